/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that logs by yarder_logf what it also writes by fprintf, line for line:
 *
 *     deferred WANTED COUNT
 *
 * COUNT rounds of calls in this process, with their text in the file WANTED, and as many in a child
 * that is forked halfway, in WANTED.child. C and C++ (deferred_cc.cc includes it).
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <yarder.h>

#define LEVEL YARDER_LEVEL_WARNING

static FILE *wanted;
static int refused;
static int evaluated;

static int count_one(int value)
{
    evaluated++;
    return value;
}

#define LOG(...)                                                                                   \
    do {                                                                                           \
        if (fprintf(wanted, __VA_ARGS__) < 0 || fputc('\n', wanted) == EOF) {                      \
            refused++;                                                                             \
        }                                                                                          \
        refused += yarder_logf(0, LEVEL, __VA_ARGS__) != YARDER_APPENDED;                          \
    } while (0)

static void log_round(int process, int number)
{
    char changing[24];
    const char *const words[] = {
        "one", "", "a longer word with blanks", "\xc3\xa4\xc3\xb6\xc3\xbc"};
    const char *word = words[number % 4];
    LOG("process %d begins round %d", process, number);
    LOG("no argument");
    LOG("%d%% of %s: %5d|%-5d|%05d|%+d|% d", number, word, number, number, number, number, number);
    LOG("%u %x %X %#o %c %hhd %hu", (unsigned)number * 77777u, (unsigned)number, (unsigned)number,
        (unsigned)number, 'a' + number % 26, (signed char)number, (unsigned short)number);
    LOG("%ld %lld %zu %jd %td", (long)number << 33, (long long)number * -7, strlen(word),
        (intmax_t)number, (ptrdiff_t)-number);
    LOG("%s|%12s|%-12s|%.2s|%p", word, word, word, word, (const void *)word);
    LOG("%f %.3e %g %a", number / 7.0, number * 1e200, (double)number, number * 0.1);
    LOG("%.*s and %*d are the caller's", 2, word, 6, number);
    LOG("%Lf too", (long double)number / 3);
    (void)snprintf(changing, sizeof(changing), "changing %d: %%s", number % 3);
    refused += fprintf(wanted, "changing %d: %s\n", number % 3, word) < 0;
    refused += yarder_logf(0, LEVEL, changing, word) != YARDER_APPENDED;
    int before = evaluated;
    refused += yarder_logf(0, LEVEL, "evaluated %d", count_one(number)) != YARDER_APPENDED;
    refused += fprintf(wanted, "evaluated %d\n", number) < 0 || evaluated != before + 1;
#ifdef __cplusplus
    log_round_cc(number);
#endif
}

/* One try ends after 20 ms, and on a busy machine that is not much. */
static void attach(void)
{
    struct timespec pause;
    pause.tv_sec = 0;
    pause.tv_nsec = 1000000;
    for (int tries = 0; tries < 1000 && yarder_attach() < 0; tries++) {
        (void)nanosleep(&pause, NULL);
    }
}

static void log_rounds(int process, int from, int until)
{
    attach();
    for (int number = from; number < until; number++) {
        log_round(process, number);
    }
}

static int end(void)
{
    struct yarder_counts counts;
    memset(&counts, 0, sizeof(counts));
    counts.counters_bytes = sizeof(counts);
    int flushed = yarder_flush(30000);
    (void)yarder_counters(&counts);
    bool good = fclose(wanted) == 0 && refused == 0 && flushed == 0 && counts.lost == 0;
    (void)fprintf(stderr, "pid %d appended %llu lost %llu refused %d flushed %d\n", (int)getpid(),
        (unsigned long long)counts.appended, (unsigned long long)counts.lost, refused, flushed);
    return good ? 0 : 1;
}

static bool open_wanted(const char *path, const char *suffix)
{
    char name[4096];
    (void)snprintf(name, sizeof(name), "%s%s", path, suffix);
    wanted = fopen(name, "we");
    return wanted != NULL;
}

int main(int count, char **words)
{
    struct yarder_options options;
    memset(&options, 0, sizeof(options));
    options.options_bytes = sizeof(options);
    options.block_ms = 30000;
    if (count != 3 || !open_wanted(words[1], "") || yarder_configure(&options) < 0) {
        return 2;
    }
    int rounds = (int)strtol(words[2], NULL, 10);
    log_rounds(0, 0, rounds / 2);
    (void)fflush(wanted);
    pid_t child = fork();
    if (child == 0) {
        (void)fclose(wanted);
        if (!open_wanted(words[1], ".child")) {
            return 2;
        }
        log_rounds(1, 0, rounds);
        return end();
    }
    log_rounds(0, rounds / 2, rounds);
    int status = 0;
    bool good = child > 0 && waitpid(child, &status, 0) == child && status == 0;
    return end() == 0 && good ? 0 : 1;
}
