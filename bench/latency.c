/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one call costs the program that logs, at a fixed rate. bench/latency.py runs it.
 *
 *     latency HOW TARGET RATE SECONDS SIZE
 *
 * HOW  memcpy        the record is copied, nothing else: what measuring itself costs
 *      ring          yarder_log_bytes, TARGET is the daemon's run directory
 *      write         write(2) to TARGET
 *      fwrite        fwrite under a mutex to TARGET
 *      unix          a datagram to the unix socket TARGET, waiting for room
 *      spdlog        spdlog writes to TARGET, the caller itself
 *      spdlog-async  or spdlog's own thread; status 77 where either was not built
 *
 * Record i is due at start + i / RATE. The caller spins until then: a sleep would add its own
 * lateness. Prints one JSON object with two distributions, in ns:
 *
 *     call   from just before the call to its return
 *     due    from when the record was due to the return of its call: a call that takes long makes
 *            those behind it late, and here they say so (else one stall of 10 ms counts once,
 * though 2 000 records waited for it)
 *
 * The first twentieth of the records is not counted. `failed` are calls that did not take a record.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "api/yarder.h"
#include "latency_spdlog.h"

enum {
    SIZE_BYTES_MAX = 32 << 10,
    PLACES = 4096, /* of the memcpy, in turns: as much memory as a ring */
    STEPS_BITS = 6,
    STEPS = 1 << STEPS_BITS, /* for each power of two: values are true to 1.6 % */
    SLOTS = (64 - STEPS_BITS + 1) * STEPS,
    FLUSH_MS = 10000,
    WARM_SHARE = 20,
    NOT_BUILT = 77
};

/* Counts of values; slots grow with the values in them, steps of a power of two are even. */
struct histogram {
    uint64_t counts[SLOTS];
    uint64_t total;
    uint64_t max;
};

static size_t slot_of(uint64_t value)
{
    if (value < STEPS) {
        return (size_t)value;
    }
    unsigned shift = 63 - (unsigned)__builtin_clzll(value) - STEPS_BITS;
    return (size_t)shift * STEPS + (size_t)(value >> shift);
}

/* The largest value of a slot. */
static uint64_t top_of(size_t slot)
{
    if (slot < STEPS) {
        return slot;
    }
    unsigned shift = (unsigned)(slot / STEPS) - 1;
    return ((((uint64_t)slot % STEPS) + STEPS + 1) << shift) - 1;
}

static void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->counts[slot_of(value)]++;
    histogram->total++;
    histogram->max = value > histogram->max ? value : histogram->max;
}

/* The value that so many of a million do not exceed. */
static uint64_t histogram_at(const struct histogram *histogram, uint64_t of_million)
{
    uint64_t wanted = (histogram->total * of_million + 999999) / 1000000;
    uint64_t seen = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        seen += histogram->counts[i];
        if (seen >= wanted && seen > 0) {
            return top_of(i) < histogram->max ? top_of(i) : histogram->max;
        }
    }
    return histogram->max;
}

struct caller {
    bool (*call)(struct caller *caller);
    const char *target;
    char *places; /* memcpy's */
    size_t place;
    FILE *file;
    pthread_mutex_t mutex;
    int fd;
    size_t size;
    char line[SIZE_BYTES_MAX + 1]; /* the record and a newline */
};

static bool call_memcpy(struct caller *caller)
{
    char *place = caller->places + caller->place * caller->size;
    memcpy(place, caller->line, caller->size);
    __asm__ volatile("" : : "r"(place) : "memory"); /* somebody might read it */
    caller->place = (caller->place + 1) % PLACES;
    return true;
}

static bool open_memcpy(struct caller *caller)
{
    caller->places = malloc(PLACES * caller->size);
    return caller->places != NULL;
}

static bool call_ring(struct caller *caller)
{
    return yarder_log_bytes(0, YARDER_LEVEL_INFO, caller->line, caller->size) == YARDER_APPENDED;
}

static bool open_ring(struct caller *caller)
{
    const struct yarder_options options = {
        .options_bytes = sizeof(options), .run_dir = caller->target};
    return yarder_configure(&options) == 0 && yarder_attach() == 0;
}

static bool call_write(struct caller *caller)
{
    return write(caller->fd, caller->line, caller->size + 1) == (ssize_t)caller->size + 1;
}

static bool open_write(struct caller *caller)
{
    caller->fd = open(caller->target, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    return caller->fd >= 0;
}

static bool call_fwrite(struct caller *caller)
{
    (void)pthread_mutex_lock(&caller->mutex);
    bool good = fwrite_unlocked(caller->line, caller->size + 1, 1, caller->file) == 1;
    (void)pthread_mutex_unlock(&caller->mutex);
    return good;
}

static bool open_fwrite(struct caller *caller)
{
    caller->file = fopen(caller->target, "ae");
    return caller->file != NULL;
}

static bool call_unix(struct caller *caller)
{
    return send(caller->fd, caller->line, caller->size, MSG_NOSIGNAL) == (ssize_t)caller->size;
}

static bool open_unix(struct caller *caller)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length = snprintf(address.sun_path, sizeof(address.sun_path), "%s", caller->target);
    if (length < 0 || (size_t)length >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return false;
    }
    caller->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return caller->fd >= 0 && connect(caller->fd, (const struct sockaddr *)(const void *)&address,
                                  sizeof(address)) == 0;
}

static bool call_spdlog(struct caller *caller)
{
    return latency_spdlog_call(caller->line, caller->size);
}

static bool open_spdlog(struct caller *caller)
{
    return latency_spdlog_open(caller->target, false);
}

static bool open_spdlog_async(struct caller *caller)
{
    return latency_spdlog_open(caller->target, true);
}

static const struct way {
    const char *name;
    bool (*open)(struct caller *caller);
    bool (*call)(struct caller *caller);
} ways[] = {
    {"memcpy", open_memcpy, call_memcpy},
    {"ring", open_ring, call_ring},
    {"write", open_write, call_write},
    {"fwrite", open_fwrite, call_fwrite},
    {"unix", open_unix, call_unix},
    {"spdlog", open_spdlog, call_spdlog},
    {"spdlog-async", open_spdlog_async, call_spdlog},
};

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static struct histogram own;
static struct histogram since_due;

/* Returns how many calls failed. */
static uint64_t run(struct caller *caller, uint64_t rate, uint64_t count)
{
    uint64_t failed = 0;
    uint64_t start = now_ns();
    for (uint64_t i = 0; i < count; i++) {
        uint64_t due = start + i / rate * 1000000000 + i % rate * 1000000000 / rate;
        uint64_t before = now_ns();
        while (before < due) {
            before = now_ns();
        }
        failed += !caller->call(caller);
        uint64_t after = now_ns();
        if (i >= count / WARM_SHARE) {
            histogram_add(&own, after - before);
            histogram_add(&since_due, after - due);
        }
    }
    return failed;
}

static void print(const char *name, const struct histogram *histogram)
{
    static const struct {
        const char *name;
        uint64_t of_million;
    } points[] = {
        {"p50", 500000}, {"p90", 900000}, {"p99", 990000}, {"p99.9", 999000}, {"p99.99", 999900}};
    (void)printf("\"%s\": {", name);
    for (size_t i = 0; i < sizeof(points) / sizeof(*points); i++) {
        (void)printf("\"%s\": %llu, ", points[i].name,
            (unsigned long long)histogram_at(histogram, points[i].of_million));
    }
    (void)printf("\"max\": %llu}", (unsigned long long)histogram->max);
}

static bool read_number(const char *text, double most, double *number)
{
    char *end = NULL;
    *number = strtod(text, &end);
    return end != text && *end == '\0' && *number > 0 && *number <= most;
}

static const struct way *find_way(const char *name)
{
    for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
        if (strcmp(name, ways[i].name) == 0) {
            return &ways[i];
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static struct caller caller = {.mutex = PTHREAD_MUTEX_INITIALIZER, .fd = -1};
    double rate = 0;
    double seconds = 0;
    double size = 0;
    const struct way *way = argc == 6 ? find_way(argv[1]) : NULL;
    if (way == NULL || !read_number(argv[3], 1e9, &rate) || rate < 1 ||
        !read_number(argv[4], 3600, &seconds) || !read_number(argv[5], SIZE_BYTES_MAX, &size)) {
        (void)fprintf(stderr, "usage: latency HOW TARGET RATE SECONDS SIZE\n");
        return 2;
    }
    caller.target = argv[2];
    caller.size = size < 1 ? 1 : (size_t)size;
    caller.call = way->call;
    memset(caller.line, 'x', caller.size);
    caller.line[caller.size] = '\n';
    if (!way->open(&caller)) {
        int error = errno;
        (void)fprintf(stderr, "latency: %s %s: %s\n", argv[1], argv[2], strerror(error));
        return error == ENOSYS ? NOT_BUILT : 1;
    }
    uint64_t failed = run(&caller, (uint64_t)rate, (uint64_t)(rate * seconds));
    if (way->call == call_ring && yarder_flush(FLUSH_MS) < 0) {
        (void)fprintf(stderr, "latency: the daemon did not take all of it\n");
        return 1;
    }
    (void)printf("{\"calls\": %llu, \"failed\": %llu, ", (unsigned long long)own.total,
        (unsigned long long)failed);
    print("call", &own);
    (void)printf(", ");
    print("due", &since_due);
    (void)printf("}\n");
    return 0;
}
