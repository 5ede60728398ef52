/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that logs as programs do without a logger's library: the records of
 * `yarder send --sequence`, a call each.
 *
 *     produce HOW SOURCE COUNT SIZE GATE REPORT FILE
 *
 * HOW   write   write(2) of each record to FILE, opened for appending
 *       fwrite  fwrite under a mutex to FILE, flushed at the end: what a buffered logger does
 *       stdout  write(2) of each record to standard output, waiting where it does not block
 *       tcp     FILE is PORT:BUSY:IDLE: so many connections to that port of loopback, opened before
 *               the gate. The busy ones take turns with PIECE_RECORDS lines; each sends COUNT, as
 *               SOURCE, or as SOURCE-0, SOURCE-1 ... where there are several
 * GATE  a FIFO: it starts when somebody opens that for writing, and ends when they close it, so
 *       that whoever started it does not take its end for trouble while it is being measured
 * REPORT is made when all is written: the nanoseconds on a CPU that it took
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "base/text.h"
#include "cli/sequence.h"

enum {
    SIZE_MAX_BYTES = 32 << 10,
    PIECE_RECORDS = 16,
    CONNECTIONS_MAX = 10000,
    NAME_BYTES = SEQUENCE_SOURCE_BYTES_MAX + 1
};

static int cpu_ns(int64_t *ns)
{
    struct timespec now;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) < 0) {
        return -errno;
    }
    *ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    return 0;
}

static int write_whole(int fd, const char *at, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(fd, at, bytes);
        if (written < 0 && errno == EAGAIN) {
            struct pollfd room = {.fd = fd, .events = POLLOUT};
            (void)poll(&room, 1, -1);
        } else if (written < 0 && errno != EINTR) {
            return -errno;
        } else if (written > 0) {
            at += written;
            bytes -= (size_t)written;
        }
    }
    return 0;
}

static int write_each(struct sequence *sequence, uint64_t count, int fd)
{
    static char line[SIZE_MAX_BYTES + 1];
    int r = 0;
    for (uint64_t i = 0; r == 0 && i < count; i++) {
        size_t bytes = sequence_write(sequence, line, i);
        line[bytes] = '\n';
        r = write_whole(fd, line, bytes + 1);
    }
    return r;
}

static int fwrite_each(struct sequence *sequence, uint64_t count, const char *path)
{
    static char line[SIZE_MAX_BYTES + 1];
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    FILE *file = fopen(path, "ae");
    if (file == NULL) {
        return -errno;
    }
    bool good = true;
    for (uint64_t i = 0; good && i < count; i++) {
        size_t bytes = sequence_write(sequence, line, i);
        line[bytes] = '\n';
        (void)pthread_mutex_lock(&mutex);
        good = fwrite_unlocked(line, bytes + 1, 1, file) == 1;
        (void)pthread_mutex_unlock(&mutex);
    }
    return fclose(file) == 0 && good ? 0 : -EIO;
}

struct connection {
    struct sequence sequence;
    uint64_t sent;
    int fd;
};

struct connections {
    struct connection *at;
    uint64_t busy;
    uint64_t all; /* the idle ones stand behind the busy ones */
};

/* A connection holds a descriptor here and one in the daemon. */
static int allow_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        return -errno;
    }
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

static int connect_one(struct connection *connection, uint16_t port)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 ||
        connect(connection->fd, (const struct sockaddr *)(const void *)&address, sizeof(address)) <
            0) {
        return -errno;
    }
    return 0;
}

/* PORT:BUSY:IDLE; they stay open until the process ends. */
static int connect_all(
    struct connections *connections, const char *target, const char *source, uint64_t size)
{
    unsigned port = 0;
    unsigned busy = 0;
    unsigned idle = 0;
    char end = '\0';
    if (sscanf(target, "%5u:%5u:%5u%c", &port, &busy, &idle, &end) != 3 || port > UINT16_MAX ||
        busy == 0 || busy + idle > CONNECTIONS_MAX) {
        return -EINVAL;
    }
    *connections = (struct connections){.busy = busy, .all = busy + idle};
    connections->at = calloc(connections->all, sizeof(*connections->at));
    int r = connections->at == NULL ? -ENOMEM : allow_descriptors();
    for (uint64_t i = 0; r == 0 && i < connections->all; i++) {
        char name[NAME_BYTES];
        (void)snprintf(
            name, sizeof(name), busy > 1 ? "%.40s-%llu" : "%.40s", source, (unsigned long long)i);
        sequence_open(&connections->at[i].sequence, name, (size_t)size);
        r = connect_one(&connections->at[i], (uint16_t)port);
    }
    return r;
}

static int send_piece(struct connection *connection, uint64_t count)
{
    static char piece[PIECE_RECORDS * (SIZE_MAX_BYTES + 1)];
    size_t bytes = 0;
    for (int i = 0; i < PIECE_RECORDS && connection->sent < count; i++) {
        bytes += sequence_write(&connection->sequence, piece + bytes, connection->sent);
        piece[bytes++] = '\n';
        connection->sent++;
    }
    return write_whole(connection->fd, piece, bytes);
}

static int send_turns(const struct connections *connections, uint64_t count)
{
    int r = 0;
    for (uint64_t sent = 0; r == 0 && sent < count; sent += PIECE_RECORDS) {
        for (uint64_t i = 0; r == 0 && i < connections->busy; i++) {
            r = send_piece(&connections->at[i], count);
        }
    }
    return r;
}

static int produce(const char *how, struct sequence *sequence, uint64_t count, const char *path)
{
    if (strcmp(how, "stdout") == 0) {
        return write_each(sequence, count, STDOUT_FILENO);
    }
    if (strcmp(how, "fwrite") == 0) {
        return fwrite_each(sequence, count, path);
    }
    YARDER_OWN_FD int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    return fd < 0 ? -errno : write_each(sequence, count, fd);
}

static int report(const char *path, int64_t ns)
{
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        return -errno;
    }
    bool good = fprintf(file, "%lld\n", (long long)ns) > 0;
    return fclose(file) == 0 && good ? 0 : -EIO;
}

/* Through the gate, all records, and back to it. */
static int run(char **argv, struct sequence *sequence, uint64_t count)
{
    int64_t before_ns = 0;
    int64_t after_ns = 0;
    char byte;
    struct connections connections = {0};
    const bool tcp = strcmp(argv[1], "tcp") == 0;
    int r = tcp ? connect_all(&connections, argv[7], argv[2], sequence->size) : 0;
    if (r < 0) {
        return r;
    }
    YARDER_OWN_FD int gate = open(argv[5], O_RDONLY | O_CLOEXEC);
    r = gate < 0 ? -errno : cpu_ns(&before_ns);
    if (r == 0) {
        r = tcp ? send_turns(&connections, count) : produce(argv[1], sequence, count, argv[7]);
    }
    r = r < 0 ? r : cpu_ns(&after_ns);
    r = r < 0 ? r : report(argv[6], after_ns - before_ns);
    while (r == 0 && read(gate, &byte, 1) < 0 && errno == EINTR) {
    }
    return r;
}

int main(int argc, char **argv)
{
    static struct sequence sequence;
    uint64_t count = 0;
    uint64_t size = 0;
    if (argc != 8 || !sequence_source_is_good(argv[2]) ||
        text_to_u64(text_of(argv[3]), &count) < 0 || text_to_u64(text_of(argv[4]), &size) < 0 ||
        size > SIZE_MAX_BYTES) {
        (void)fprintf(stderr, "usage: produce HOW SOURCE COUNT SIZE GATE REPORT FILE\n");
        return 2;
    }
    sequence_init();
    sequence_open(&sequence, argv[2], (size_t)size);
    int r = run(argv, &sequence, count);
    if (r < 0) {
        (void)fprintf(stderr, "produce: %s\n", strerror(-r));
    }
    return r < 0 ? 1 : 0;
}
