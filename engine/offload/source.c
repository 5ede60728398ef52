/* SPDX-License-Identifier: Apache-2.0 */
#include "offload/source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include "codec/pack.h"
#include "inputs/packed.h"
#include "offload/host.h"
#include "os/memory.h"

enum {
    GATHER_BYTES = 64 << 10, /* frames that one write takes along */
    BUFFER_BYTES = GATHER_BYTES + PACKED_LENGTH_BYTES + PACKED_BYTES_MAX,
    PAGE_BYTES = 4096,
    MS_NS = 1000000,
    PEER_BYTES_MAX = 256,
    SAYS_MAX = 8,    /* different things in a minute: what a peer can bring about has no end */
    PAGES_SPARE = 3, /* of a pipe: what it holds begins and ends inside of pages */
};
static const uint64_t say_every_ns = UINT64_C(60) * 1000000000;
static const uint64_t pause_first_ns = UINT64_C(100) * 1000000;
static const uint64_t pause_max_ns = UINT64_C(10) * 1000000000;

struct process {
    struct yarder_source_host face; /* what the source is given; its owner is this */
    struct host host;
    const struct source_options *options;
    const uint64_t *settled;
    uint64_t first, number; /* before the first frame, of the last one */
    uint64_t refused;
    uint32_t drops, drops_told;
    size_t pipe_bytes;
    size_t used; /* of buffer */
    char *buffer;
    uint64_t said_ns, says_since_ns;
    uint32_t says;
    char said[HOST_TEXT_BYTES];
    uint32_t reasons;
};

static struct process *only; /* for the signal's handler */

static struct process *process_of(const struct yarder_source_host *face)
{
    return face->host.owner;
}

/* To standard error, unless nobody reads it: a source does not wait for that. */
static void say(struct process *process, const char *text)
{
    struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
    uint64_t now_ns = (uint64_t)os_monotonic_ns();
    bool again = strcmp(process->said, text) == 0 && now_ns - process->said_ns < say_every_ns;
    if (now_ns - process->says_since_ns >= say_every_ns) {
        process->says_since_ns = now_ns;
        process->says = 0;
    }
    if (again || process->says == SAYS_MAX || poll(&ready, 1, 0) != 1) {
        return;
    }
    process->says++;
    process->said_ns = now_ns;
    (void)snprintf(process->said, sizeof(process->said), "%s", text);
    (void)fprintf(stderr, "yarder: input %s: %s\n", process->options->input_name, text);
}

static size_t room_of(const struct process *process)
{
    int unread = 0;
    (void)ioctl(process->options->pipe_fd, FIONREAD, &unread);
    size_t taken = (size_t)unread + PAGES_SPARE * (size_t)PAGE_BYTES;
    return taken < process->pipe_bytes ? process->pipe_bytes - taken : 0;
}

static size_t frame_bytes(const char *at)
{
    uint32_t length = 0;
    memcpy(&length, at, sizeof(length));
    return PACKED_LENGTH_BYTES + (size_t)__builtin_bswap32(length);
}

/* As many whole frames as have room; of one that never has, what has. */
static size_t writable(const struct process *process, size_t done, size_t room)
{
    size_t bytes = 0;
    while (done + bytes < process->used) {
        size_t next = frame_bytes(process->buffer + done + bytes);
        if (bytes + next > room) {
            break;
        }
        bytes += next;
    }
    return bytes;
}

/* A moment: that there is some room, which poll can tell, is not that there is enough. */
static void wait_for_room(const struct process *process)
{
    struct pollfd ready = {.fd = process->options->pipe_fd};
    if (poll(&ready, 1, 1) == 1) {
        _exit(1); /* nobody reads any more: the daemon is gone */
    }
}

/* Whole frames that have room, or one that is larger than the pipe, as there is room. */
static void write_bytes(struct process *process, size_t bytes, size_t *done)
{
    size_t end = *done + bytes;
    while (*done < end) {
        ssize_t r = write(process->options->pipe_fd, process->buffer + *done, end - *done);
        if (r < 0) {
            wait_for_room(process);
        }
        *done += r > 0 ? (size_t)r : 0;
    }
}

/* Until all of it is there: the worker takes it, or we are killed. */
static void write_all(struct process *process)
{
    size_t done = 0;
    while (done < process->used) {
        size_t room = room_of(process);
        size_t bytes = writable(process, done, room);
        size_t first = frame_bytes(process->buffer + done);
        bool large = first + PAGES_SPARE * (size_t)PAGE_BYTES > process->pipe_bytes;
        if (bytes > 0 || large) {
            write_bytes(process, bytes > 0 ? bytes : first, &done);
        } else {
            wait_for_room(process);
        }
    }
    process->used = 0;
}

static void begin_frame(struct process *process, size_t bytes)
{
    uint32_t length = __builtin_bswap32((uint32_t)bytes);
    memcpy(process->buffer + process->used, &length, sizeof(length));
    process->used += PACKED_LENGTH_BYTES;
}

static void put_packed(struct process *process, const struct yarder_record *record)
{
    size_t bytes = pack_bytes(record);
    YARDER_ASSERT(bytes <= PACKED_BYTES_MAX);
    if (process->used >= GATHER_BYTES) {
        write_all(process);
    }
    begin_frame(process, bytes);
    const struct yarder_id id = {.number = ++process->number};
    process->used += pack_record(record, id, process->buffer + process->used);
}

static void put_tally(struct process *process)
{
    const struct packed_tally tally = {.refused = process->refused,
        .drops = process->drops,
        .has_drops = process->drops != process->drops_told};
    if (tally.refused == 0 && tally.has_drops == 0) {
        return;
    }
    process->refused = 0;
    process->drops_told = process->drops;
    const struct yarder_record record = {
        .kind = PACKED_TALLY, .text = {(const char *)&tally, sizeof(tally)}};
    put_packed(process, &record);
}

static void flush(struct yarder_source_host *face)
{
    struct process *process = process_of(face);
    put_tally(process);
    write_all(process);
}

/*
 * What does not fit a frame goes: fields from the last on, then names, then text. Who sent it
 * stays: that is not the sender's to say.
 */
static void cut(struct yarder_record *record, uint64_t record_bytes_max)
{
    if (record->text.length > 0 && record->text.at[record->text.length - 1] == '\n') {
        record->text.length--;
    }
    if (record->text.length > record_bytes_max) {
        record->text.length = record_bytes_max;
        record->flags |= YARDER_FLAG_TRUNCATED;
    }
    while (record->fields_count > 0 &&
           (record->fields_count > YARDER_FIELDS_MAX || pack_bytes(record) > PACKED_BYTES_MAX)) {
        record->fields_count--;
        record->flags |= YARDER_FLAG_TRUNCATED;
    }
    if (pack_bytes(record) > PACKED_BYTES_MAX) {
        record->host = record->tag = record->logger = (struct yarder_text){0};
        record->peer.length = yarder_min(record->peer.length, PEER_BYTES_MAX);
        size_t others = pack_bytes(record) - record->text.length;
        record->text.length = yarder_min(record->text.length, PACKED_BYTES_MAX - others);
        record->flags |= YARDER_FLAG_TRUNCATED;
    }
}

static void put(struct yarder_source_host *face, const struct yarder_record *given)
{
    struct process *process = process_of(face);
    struct yarder_record record = *given;
    cut(&record, face->record_bytes_max);
    if (record.received_ns == 0) {
        record.received_ns = os_realtime_ns();
    }
    record.time_ns = record.time_ns == 0 ? record.received_ns : record.time_ns;
    put_packed(process, &record);
}

static uint64_t last(const struct yarder_source_host *face)
{
    return process_of(face)->number;
}

static uint64_t settled(const struct yarder_source_host *face)
{
    /* acquire: pairs with the release in inputs/pipe.h */
    uint64_t number = __atomic_load_n(process_of(face)->settled, __ATOMIC_ACQUIRE);
    return yarder_max(number, process_of(face)->first); /* none of the lower ones is ours */
}

static bool settle(struct yarder_source_host *face, uint64_t deadline_ns)
{
    flush(face);
    while (settled(face) < last(face)) {
        if ((uint64_t)os_monotonic_ns() >= deadline_ns) {
            return false;
        }
        const struct timespec pause = {.tv_nsec = MS_NS};
        (void)nanosleep(&pause, NULL);
    }
    return true;
}

static void refuse(struct yarder_source_host *face, uint64_t count)
{
    process_of(face)->refused += count;
}

static void drops(struct yarder_source_host *face, uint32_t since_bound)
{
    process_of(face)->drops = since_bound;
}

static struct process *process_of_host(struct yarder_host *host)
{
    return host->owner;
}

static int wait_for(struct yarder_host *host, int fd, short events, uint64_t deadline_ns)
{
    struct process *process = process_of_host(host);
    flush(&process->face);
    return process->host.face.wait(&process->host.face, fd, events, deadline_ns);
}

YARDER_PRINTF(3, 4)
static int fail(struct yarder_host *host, int error, const char *format, ...)
{
    char text[HOST_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    host_print(text, sizeof(text), format, arguments);
    va_end(arguments);
    say(process_of_host(host), text);
    return error < 0 ? error : -EIO;
}

static void want(int number)
{
    (void)number;
    host_want(&only->host, true);
}

static void set_signals(void)
{
    static const int ignored[] = {SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE, SIGXFSZ};
    const struct sigaction action = {.sa_handler = want};
    for (size_t i = 0; i < YARDER_COUNT_OF(ignored); i++) {
        (void)signal(ignored[i], SIG_IGN);
    }
    (void)sigaction(SIGTERM, &action, NULL);
}

static int prepare(struct process *process, const struct source_options *options)
{
    process->options = options;
    process->buffer = malloc(BUFFER_BYTES);
    int r = process->buffer == NULL ? -ENOMEM
                                    : host_open(&process->host, options->input_name,
                                          options->hostname, &process->reasons);
    if (r < 0) {
        return r;
    }
    void *page = mmap(NULL, sizeof(uint64_t), PROT_READ, MAP_SHARED, options->settled_fd, 0);
    int pipe_bytes = fcntl(options->pipe_fd, F_GETPIPE_SZ);
    int flags = fcntl(options->pipe_fd, F_GETFL);
    if (page == MAP_FAILED || pipe_bytes < 0 || flags < 0 ||
        fcntl(options->pipe_fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        return -errno;
    }
    process->settled = page;
    process->pipe_bytes = (size_t)pipe_bytes;
    /* acquire: as in settled() */
    uint64_t before = __atomic_load_n(process->settled, __ATOMIC_ACQUIRE);
    process->first = process->number = packed_number_first(os_realtime_ns(), before);
    process->face = (struct yarder_source_host){.host = process->host.face,
        .socket_fd = options->socket_fd,
        .record_bytes_max = options->record_bytes_max,
        .put = put,
        .flush = flush,
        .last = last,
        .settled = settled,
        .settle = settle,
        .refuse = refuse,
        .drops = drops};
    process->face.host.owner = process;
    process->face.host.wait = wait_for;
    process->face.host.fail = fail;
    process->face.host.refuse = NULL;
    return 0;
}

/* Again and again, with pauses that grow while nothing comes of it. */
static void serve(struct process *process)
{
    const struct yarder_source *source = process->options->source;
    uint64_t pause_ns = pause_first_ns;
    while (!host_is_wanted(&process->host)) {
        uint64_t before = process->number;
        (void)source->run(process->options->self);
        flush(&process->face);
        pause_ns = process->number != before ? pause_first_ns : pause_ns;
        uint64_t until_ns = (uint64_t)os_monotonic_ns() + pause_ns;
        (void)process->face.host.wait(&process->face.host, -1, 0, until_ns);
        pause_ns = yarder_min(2 * pause_ns, pause_max_ns);
    }
}

int source_run(const struct source_options *options)
{
    static struct process process; /* a process runs one */
    int r = prepare(&process, options);
    if (r < 0) {
        (void)fprintf(stderr, "yarder: input %s: %s\n", options->input_name, strerror(-r));
        return 1;
    }
    only = &process;
    set_signals();
    r = options->source->open(options->self, &process.face);
    if (r == 0) {
        serve(&process);
    }
    options->source->close(options->self);
    flush(&process.face);
    return r < 0 ? 1 : 0;
}
