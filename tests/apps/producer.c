/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that logs through libyarder, for the scenes that kill, stop and watch it:
 *
 *     producer MODE SOURCE THREADS COUNT RATE SIZE BLOCK_MS TALLY
 *
 * Each logger has a source of its own, SOURCE0, SOURCE1, ..., and writes records that an audit
 * knows: SOURCE NUMBER CHECKSUM PADDING. TALLY is a file of u64, two for each logger: the number
 * after that of its last record whose append returned, and how many appends were refused. It is
 * mapped, so it outlives a kill.
 *
 *   log      THREADS threads, COUNT records each (0: until killed or INT), RATE a second each (0:
 *            as fast as it goes); then flushes and says what became of them
 *   fork     as log with logger 0 in the parent, 1 in a child forked while attached, 2 in its child
 *   signal   as log without end; the first thread gets a signal again and again, in whose handler
 *            logger THREADS logs, COUNT records at least
 *   watched  as log, one logger, waits by looking at the clock, and calls getppid where the log
 *            begins and where it ends, for whoever counts its system calls in between
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <yarder.h>
#include <zlib.h>

enum { LOGGERS_MAX = 64, RECORD_BYTES_MAX = (1 << 20) + 4096, ALPHABET = 26 };

struct tally {
    _Atomic uint64_t numbered, refused;
};

struct logger {
    unsigned index;
    uint64_t number;
    char record[512]; /* of those that no heap may be used for */
};

static const char *source;
static uint64_t records_count, handled_count, rate;
static size_t size_bytes;
static struct tally *tallies;
static char padding[RECORD_BYTES_MAX];
static atomic_bool ending;
static struct logger in_handler;

static size_t put_number(char *at, uint64_t number)
{
    char digits[24];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    for (size_t i = 0; i < count; i++) {
        at[i] = digits[count - 1 - i];
    }
    return count;
}

static size_t make_record(char *at, unsigned index, uint64_t number)
{
    size_t length = strlen(source);
    memcpy(at, source, length);
    length += put_number(at + length, index);
    at[length++] = ' ';
    length += put_number(at + length, number);
    at[length++] = ' ';
    size_t padding_bytes = size_bytes > length + 9 ? size_bytes - length - 9 : 0;
    const char *letters = padding + number % ALPHABET;
    unsigned long crc = crc32(0, (const unsigned char *)at, (unsigned)length);
    crc = crc32(crc, (const unsigned char *)letters, (unsigned)padding_bytes);
    for (unsigned i = 0; i < 8; i++) {
        at[length++] = "0123456789abcdef"[crc >> (28 - 4 * i) & 0xf];
    }
    at[length++] = ' ';
    memcpy(at + length, letters, padding_bytes);
    return length + padding_bytes;
}

/* What is refused leaves a hole in the numbers. */
static void log_one(struct logger *logger, char *memory)
{
    struct tally *tally = &tallies[logger->index];
    size_t length = make_record(memory, logger->index, logger->number++);
    if (yarder_log_bytes(0, YARDER_LEVEL_WARNING, memory, length) == YARDER_APPENDED) {
        atomic_store_explicit(&tally->numbered, logger->number, memory_order_release);
    } else {
        atomic_fetch_add_explicit(&tally->refused, 1, memory_order_relaxed);
    }
}

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void pace(uint64_t start_ns, uint64_t done, bool look)
{
    uint64_t due_ns = rate == 0 ? 0 : start_ns + done * 1000000000u / rate;
    while (due_ns > now_ns()) {
        if (!look && due_ns - now_ns() > 100000) {
            const struct timespec nap = {0, 1000000};
            (void)nanosleep(&nap, NULL);
        }
    }
}

static void log_all(unsigned index, bool look)
{
    static char memories[LOGGERS_MAX][RECORD_BYTES_MAX];
    struct logger logger = {.index = index};
    uint64_t start_ns = now_ns();
    for (uint64_t i = 0; (records_count == 0 || i < records_count) && !ending; i++) {
        pace(start_ns, i, look);
        log_one(&logger, memories[index]);
    }
}

static void *log_thread(void *index)
{
    log_all((unsigned)(uintptr_t)index, false);
    return NULL;
}

static void on_signal(int number)
{
    if (number == SIGINT) {
        ending = true;
    } else {
        log_one(&in_handler, in_handler.record);
    }
}

static void log_in_threads(unsigned threads, bool signals)
{
    pthread_t ids[LOGGERS_MAX];
    for (unsigned i = 0; i < threads; i++) {
        (void)pthread_create(&ids[i], NULL, log_thread, (void *)(uintptr_t)i);
    }
    while (signals && !ending) {
        ending = tallies[threads].numbered >= handled_count;
        (void)pthread_kill(ids[0], SIGUSR1); /* one thread only: the handler is one logger */
    }
    for (unsigned i = 0; i < threads; i++) {
        (void)pthread_join(ids[i], NULL);
    }
}

static int end(void)
{
    struct yarder_counts counts = {.counters_bytes = sizeof(counts)};
    int flushed = yarder_flush(30000);
    (void)yarder_counters(&counts);
    (void)fprintf(stderr, "pid %d appended %llu lost %llu (full %llu detached %llu) flushed %d\n",
        (int)getpid(), (unsigned long long)counts.appended, (unsigned long long)counts.lost,
        (unsigned long long)counts.lost_full, (unsigned long long)counts.lost_detached, flushed);
    return flushed == 0 ? 0 : 1;
}

/* One try ends after 20 ms, and on a busy machine that is not much. */
static void attach(void)
{
    const struct timespec pause = {0, 1000000};
    for (int tries = 0; tries < 1000 && yarder_attach() < 0; tries++) {
        (void)nanosleep(&pause, NULL);
    }
}

static int log_and_fork(void)
{
    pid_t child = -1;
    unsigned generation = 0;
    attach();
    while (generation < 2 && (child = fork()) == 0) {
        generation++;
        attach();
    }
    log_all(generation, false);
    int status = 0;
    if (child > 0 && waitpid(child, &status, 0) == child && status != 0) {
        return 1;
    }
    return end();
}

int main(int count, char **words)
{
    if (count != 9) {
        return 2;
    }
    const char *mode = words[1];
    unsigned threads = (unsigned)strtoul(words[3], NULL, 10);
    source = words[2];
    records_count = strtoull(words[4], NULL, 10);
    rate = strtoull(words[5], NULL, 10);
    size_bytes = strtoull(words[6], NULL, 10);
    for (size_t i = 0; i < sizeof(padding); i++) {
        padding[i] = (char)('a' + i % ALPHABET);
    }
    int fd = open(words[8], O_RDWR | O_CLOEXEC);
    tallies = mmap(NULL, LOGGERS_MAX * sizeof(*tallies), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    const struct yarder_options options = {
        .options_bytes = sizeof(options), .block_ms = (uint32_t)strtoul(words[7], NULL, 10)};
    in_handler.index = threads;
    (void)signal(SIGINT, on_signal);
    (void)signal(SIGUSR1, on_signal);
    if (tallies == MAP_FAILED || threads >= LOGGERS_MAX || yarder_configure(&options) < 0) {
        return 2;
    }
    if (strcmp(mode, "fork") == 0) {
        return log_and_fork();
    }
    attach();
    if (strcmp(mode, "watched") == 0) {
        (void)syscall(SYS_getppid);
        log_all(0, true);
        (void)syscall(SYS_getppid);
        return end();
    }
    bool signals = strcmp(mode, "signal") == 0;
    if (signals) {
        handled_count = records_count;
        records_count = 0;
    }
    log_in_threads(threads, signals);
    return end();
}
