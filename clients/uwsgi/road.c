/* SPDX-License-Identifier: Apache-2.0 */
#include "road.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "slots.h"

enum {
    GATHER_BYTES = 6 << 10, /* uWSGI's own line of a request has 4 KiB at most */
    STATE_UNKNOWN = 0,
    STATE_LOG = 1,
    STATE_OTHER = 2,
    STATE_MASK = 3,
    TIME_SHIFT = 20, /* of ns: about a millisecond */
    LOOK_EVERY = 10,
};

/* A descriptor: 1 or 2. */
struct end {
    uint32_t word;   /* state, and above it how often it was forgotten */
    uint32_t looked; /* when: it is asked for again after a while, for not all calls are ours */
    struct line line;
};

/* Wiped on fork: a child has no line under way, and is not the master. */
struct page {
    bool is_master;
    struct end ends[2];
};
static struct page *page;
static struct road_options options;
static struct os_file_id log_id;
static uint64_t epoch;
static __thread const struct road_request *the_request __attribute__((tls_model("initial-exec")));

/* In the order of `calls`. */
enum { CALL_WRITE, CALL_WRITEV, CALL_CLOSE, CALL_DUP2, CALL_DUP3, CALLS };
static struct slots_call calls[CALLS];

static ssize_t real_write(int fd, const void *bytes, size_t bytes_count)
{
    return ((ssize_t(*)(int, const void *, size_t))calls[CALL_WRITE].real)(fd, bytes, bytes_count);
}

static ssize_t real_writev(int fd, const struct iovec *parts, int count)
{
    return ((ssize_t(*)(int, const struct iovec *, int))calls[CALL_WRITEV].real)(fd, parts, count);
}

static struct end *end_of(int fd)
{
    bool is_other = fd != STDOUT_FILENO && fd != STDERR_FILENO;
    return YARDER_LIKELY(is_other) || page->is_master ? NULL : &page->ends[fd - STDOUT_FILENO];
}

static uint32_t now(void)
{
    return (uint32_t)(os_monotonic_coarse_ns() >> TIME_SHIFT);
}

/* Kept, unless somebody forgot it meanwhile: then it may be another already. */
static unsigned look(struct end *end, int fd)
{
    struct os_file_id id;
    int error = errno;
    uint32_t before = __atomic_load_n(&end->word, __ATOMIC_ACQUIRE);
    bool is_log = os_file_id(fd, &id) == 0 && os_file_id_equal(id, log_id);
    unsigned state = is_log ? STATE_LOG : STATE_OTHER;
    errno = error;
    __atomic_store_n(&end->looked, now(), __ATOMIC_RELAXED);
    (void)__atomic_compare_exchange_n(&end->word, &before, (before & ~(uint32_t)STATE_MASK) | state,
        false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
    return state;
}

static bool is_log(struct end *end, int fd)
{
    unsigned state = __atomic_load_n(&end->word, __ATOMIC_RELAXED) & STATE_MASK;
    uint32_t age = now() - __atomic_load_n(&end->looked, __ATOMIC_RELAXED);
    if (state == STATE_UNKNOWN || age >= LOOK_EVERY) {
        state = look(end, fd);
    }
    return state == STATE_LOG;
}

static void forget(int fd)
{
    struct end *end = end_of(fd);
    if (end != NULL) {
        uint32_t word = __atomic_load_n(&end->word, __ATOMIC_RELAXED);
        while (!__atomic_compare_exchange_n(&end->word, &word, (word | STATE_MASK) + 1, false,
            __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
        }
    }
}

/* How many of the bytes the ring has. */
static size_t put(struct end *end, int fd, const char *bytes, size_t bytes_count)
{
    struct yarder_message message = options.line;
    message.stream = fd == STDOUT_FILENO ? YARDER_STREAM_STDOUT : YARDER_STREAM_STDERR;
    bool is_whole = bytes[bytes_count - 1] == '\n' && bytes_count <= CLIENT_PIECE_BYTES_MAX &&
                    __atomic_load_n(&end->line.under_way, __ATOMIC_RELAXED) == 0;
    if (!is_whole) {
        return lines_put(&end->line, &message, bytes, bytes_count);
    }
    message.text = bytes;
    message.text_bytes = bytes_count - 1;
    return lines_put_record(&message) ? bytes_count : 0;
}

static ssize_t write_instead(int fd, const void *bytes, size_t bytes_count)
{
    struct end *end = end_of(fd);
    if (YARDER_LIKELY(end == NULL) || bytes_count == 0 || bytes_count > SSIZE_MAX ||
        !is_log(end, fd)) {
        return real_write(fd, bytes, bytes_count);
    }
    size_t done = put(end, fd, bytes, bytes_count);
    if (done == bytes_count) {
        return (ssize_t)done;
    }
    ssize_t written = real_write(fd, (const char *)bytes + done, bytes_count - done);
    return written >= 0 ? (ssize_t)done + written : done > 0 ? (ssize_t)done : written;
}

/* 0: more than a record has, or some are no lengths. */
static size_t sum_of(const struct iovec *parts, int count)
{
    size_t sum = 0;
    for (int i = 0; i < count; i++) {
        if (parts[i].iov_len > LINES_BYTES_MAX - sum) {
            return 0;
        }
        sum += parts[i].iov_len;
    }
    return sum;
}

static void gather(char *to, const struct iovec *parts, int count)
{
    for (int i = 0; i < count; i++) {
        if (parts[i].iov_len > 0) {
            memcpy(to, parts[i].iov_base, parts[i].iov_len);
            to += parts[i].iov_len;
        }
    }
}

/* A line that has no room for fields beside it goes without. */
static bool put_request(const struct road_request *request, const char *line, size_t bytes)
{
    struct yarder_message message = options.request;
    message.text = line;
    message.text_bytes = bytes - (line[bytes - 1] == '\n');
    if (bytes <= CLIENT_PIECE_BYTES_MAX - YARDER_FIELDS_BYTES_MAX) {
        message.fields = request->fields;
        message.fields_count = request->fields_count;
    }
    return lines_put_record(&message);
}

static ssize_t write_gathered(int fd, const char *bytes, size_t count, const struct iovec *parts,
    int parts_count, const struct road_request *request)
{
    if (request == NULL) {
        return write_instead(fd, bytes, count);
    }
    return put_request(request, bytes, count) ? (ssize_t)count
                                              : real_writev(fd, parts, parts_count);
}

/* Apart from writev_instead, so that other descriptors' calls need no such stack. */
static __attribute__((noinline)) ssize_t write_parts(
    int fd, const struct iovec *parts, int count, const struct road_request *request)
{
    char small[GATHER_BYTES];
    size_t sum = sum_of(parts, count);
    int error = errno;
    char *bytes = sum <= sizeof(small)
                      ? small
                      : mmap(NULL, sum, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    errno = error;
    if (sum == 0 || bytes == MAP_FAILED) {
        return real_writev(fd, parts, count);
    }
    gather(bytes, parts, count);
    ssize_t written = write_gathered(fd, bytes, sum, parts, count, request);
    if (bytes != small) {
        error = errno;
        (void)munmap(bytes, sum);
        errno = error;
    }
    return written;
}

static ssize_t writev_instead(int fd, const struct iovec *parts, int count)
{
    const struct road_request *request = the_request;
    if (request != NULL && request->fd == fd) {
        return write_parts(fd, parts, count, request);
    }
    struct end *end = end_of(fd);
    return YARDER_LIKELY(end == NULL) || count <= 0 || count > IOV_MAX || !is_log(end, fd)
               ? real_writev(fd, parts, count)
               : write_parts(fd, parts, count, NULL);
}

/* Forgotten before and after: another thread may use the number as soon as it is free. */
static int close_instead(int fd)
{
    forget(fd);
    int result = ((int (*)(int))calls[CALL_CLOSE].real)(fd);
    forget(fd);
    return result;
}

static int dup2_instead(int from, int to)
{
    forget(to);
    int result = ((int (*)(int, int))calls[CALL_DUP2].real)(from, to);
    forget(to);
    return result;
}

static int dup3_instead(int from, int to, int flags)
{
    forget(to);
    int result = ((int (*)(int, int, int))calls[CALL_DUP3].real)(from, to, flags);
    forget(to);
    return result;
}

static struct slots_call calls[CALLS] = {
    [CALL_WRITE] = {"write", (void (*)(void))write_instead, NULL},
    [CALL_WRITEV] = {"writev", (void (*)(void))writev_instead, NULL},
    [CALL_CLOSE] = {"close", (void (*)(void))close_instead, NULL},
    [CALL_DUP2] = {"dup2", (void (*)(void))dup2_instead, NULL},
    [CALL_DUP3] = {"dup3", (void (*)(void))dup3_instead, NULL},
};

bool road_open(const struct road_options *wanted)
{
    void *memory =
        mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || madvise(memory, sizeof(*page), MADV_WIPEONFORK) < 0 ||
        (wanted->log_fd >= 0 && os_file_id(wanted->log_fd, &log_id) < 0) ||
        !slots_find(calls, CALLS)) {
        return false;
    }
    page = memory;
    page->is_master = wanted->in_master;
    options = *wanted;
    epoch = slots_epoch();
    return slots_turn(calls, CALLS) > 0;
}

void road_look_again(void)
{
    uint64_t loaded = slots_epoch();
    if (loaded != __atomic_load_n(&epoch, __ATOMIC_RELAXED)) {
        __atomic_store_n(
            &epoch, loaded, __ATOMIC_RELAXED); /* two threads may turn: it is no harm */
        (void)slots_turn(calls, CALLS);
    }
}

void road_request_begin(const struct road_request *request)
{
    the_request = request;
}

void road_request_end(void)
{
    the_request = NULL;
}
