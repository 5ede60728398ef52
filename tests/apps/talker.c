/* SPDX-License-Identifier: Apache-2.0 */
/* A program that knows nothing of yarder and writes to its standard streams in many ways. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>
#include <wchar.h>

enum { THREADS = 4, LONG_BYTES = 200000 };

static int rounds;
static const char *path;

static void put(const char *text)
{
    size_t bytes = strlen(text);
    errno = 77;
    if (write(STDOUT_FILENO, text, bytes) != (ssize_t)bytes || errno != 77) {
        _exit(9);
    }
}

static void put_lines(const char *name)
{
    char line[64];
    for (int i = 0; i < rounds; i++) {
        (void)snprintf(line, sizeof(line), "%s %d\n", name, i);
        put(line);
    }
}

static void by_printf(void)
{
    for (int i = 0; i < rounds; i++) {
        (void)printf("printed %d\n", i);
        if (i % 2 == 0) {
            (void)fprintf(stderr, "error %d\n", i);
        }
    }
    (void)printf("descriptors %d %d\n", fileno(stdout), fileno(stderr));
}

static void by_killed(void)
{
    put_lines("line");
    put("unfin");
    put("ished");
    (void)raise(SIGKILL);
}

static void by_pieces(void)
{
    static const char text[] = "piece by piece";
    for (int i = 0; i < rounds; i++) {
        char two[] = "two ";
        char end[] = "parts\n";
        struct iovec parts[] = {{two, 4}, {end, 6}};
        for (size_t at = 0; at < sizeof(text) - 1; at++) {
            (void)!write(STDOUT_FILENO, &text[at], 1);
        }
        put("\n");
        (void)!writev(STDOUT_FILENO, parts, 2);
    }
}

static void by_long(void)
{
    char *text = malloc(LONG_BYTES);
    memset(text, 'x', LONG_BYTES);
    (void)!write(STDOUT_FILENO, text, LONG_BYTES);
    put("\nbehind\n");
    free(text);
}

static int small_file;

static void in_handler(int number)
{
    char text[] = "to the file\n";
    struct iovec parts[2] = {{text, 5}, {text + 5, sizeof(text) - 6}};
    (void)!writev(small_file, parts, 2);
    (void)number;
}

/* What the kernel puts on the stack of a handler, and little for the handler itself. */
static void on_small_stack(void)
{
    enum { OWN_BYTES = 2048, KERNEL_BYTES = 2048, AUX_SIGNAL_BYTES = 51 };
    static unsigned char memory[64 << 10] __attribute__((aligned(16)));
    size_t kernel_bytes = getauxval(AUX_SIGNAL_BYTES);
    size_t bytes = (kernel_bytes > KERNEL_BYTES ? kernel_bytes : KERNEL_BYTES) + OWN_BYTES;
    const stack_t small = {.ss_sp = memory + sizeof(memory) - bytes, .ss_size = bytes};
    struct sigaction action = {.sa_handler = in_handler, .sa_flags = SA_ONSTACK};
    small_file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (sigaltstack(&small, NULL) < 0 || sigaction(SIGUSR1, &action, NULL) < 0) {
        _exit(6);
    }
    (void)raise(SIGUSR1);
    for (size_t i = 0; i < sizeof(memory) - bytes; i++) {
        if (memory[i] != 0) {
            _exit(5);
        }
    }
}

/* Over a megabyte at once. */
static void by_parts(void)
{
    enum { LINE = 60000, LINES = 20 };
    static char line[LINE];
    struct iovec parts[LINES + 1];
    memset(line, 'x', sizeof(line));
    line[LINE - 1] = '\n';
    for (int i = 0; i < LINES; i++) {
        parts[i] = (struct iovec){line, LINE};
    }
    parts[LINES] = (struct iovec){line, 10};
    if (writev(STDOUT_FILENO, parts, LINES + 1) != LINE * LINES + 10) {
        _exit(7);
    }
    put(" end\n");
    on_small_stack();
}

static void by_fork(void)
{
    put("one ");
    if (fork() == 0) {
        put("child first\n");
        put_lines("child");
        _exit(0);
    }
    (void)wait(NULL);
    put("two\n");
    put_lines("parent");
}

static void by_vfork(void)
{
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);
    for (int i = 0; i < rounds; i++) {
        put("before\n");
        pid_t child = vfork();
        if (child == 0) {
            (void)dup2(file, STDOUT_FILENO);
            (void)!write(STDOUT_FILENO, "to the file\n", 12);
            _exit(0);
        }
        put("after\n");
        (void)waitpid(child, NULL, 0);
    }
}

static void by_moved(void)
{
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);
    int saved = dup(STDOUT_FILENO);
    for (int i = 0; i < rounds; i++) {
        put("to the log\n");
        (void)printf("printed to the log\n");
        (void)fflush(stdout);
        (void)dup2(file, STDOUT_FILENO);
        put("to the file\n");
        (void)printf("printed to the file\n");
        (void)fflush(stdout);
        (void)dup3(saved, STDOUT_FILENO, 0);
    }
    put("to the log\n");
    (void)close(STDOUT_FILENO);
    (void)open(path, O_WRONLY | O_APPEND);
    put("to the file\n");
}

/* As libuv closes: past libc. */
static void by_unseen(void)
{
    for (int i = 0; i < rounds; i++) {
        int log = open("/dev/stdout", O_WRONLY);
        (void)!write(log, "to the log\n", 11);
        (void)syscall(SYS_close, log);
        int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (file != log) {
            _exit(8);
        }
        (void)!write(file, "to the file\n", 12);
        (void)close(file);
    }
}

static void by_reopened(void)
{
    put("before\n");
    (void)printf("printed before\n");
    if (freopen(path, "a", stdout) != NULL) {
        (void)printf("printed to the file\n");
        (void)fflush(stdout);
        put("to the file\n");
    }
    (void)fclose(stderr);
    int file = open(path, O_WRONLY | O_APPEND);
    (void)!write(file, "to the file\n", 12);
}

static void *thread(void *name)
{
    char text[32];
    for (int i = 0; i < rounds; i++) {
        (void)snprintf(text, sizeof(text), "%s %d\n", (const char *)name, i);
        put(text);
        (void)printf("printed %s", text);
    }
    return NULL;
}

static void by_threads(void)
{
    static char names[THREADS][2] = {"a", "b", "c", "d"};
    pthread_t threads[THREADS];
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 0; i < THREADS; i++) {
        (void)pthread_create(&threads[i], NULL, thread, names[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
}

static void by_wide(void)
{
    for (int i = 0; i < rounds; i++) {
        (void)wprintf(L"wide %d\n", i);
        (void)fputws(L"and wide\n", stderr);
    }
}

/* A line with an end far behind its beginning, and another process's between. */
static void by_dprintf(void)
{
    (void)dprintf(STDOUT_FILENO, "progress: %d ", rounds);
    pid_t pid = fork();
    if (pid == 0) {
        (void)dprintf(STDOUT_FILENO, "of the %s\n", "child");
        _exit(0);
    }
    (void)waitpid(pid, NULL, 0);
    if (dprintf(STDOUT_FILENO, "%2000d done\n", 1) != 2006) {
        _exit(4);
    }
}

static void by_syslog(void)
{
    openlog("talking", LOG_PID, LOG_USER);
    openlog(NULL, LOG_PID | LOG_PERROR, LOG_DAEMON);
    syslog(LOG_WARNING, "warning %d", 1);
    errno = ENOENT;
    syslog(LOG_MAIL | LOG_ERR, "mail: %s\n", strerror(errno));
    (void)setlogmask(LOG_UPTO(LOG_ERR));
    syslog(LOG_INFO, "not this one");
}

static void *put_for_ever(void *nothing)
{
    for (;;) {
        put("of the thread\n");
        (void)sched_yield();
    }
    return nothing;
}

static void by_cancelled(void)
{
    pthread_t thread;
    (void)pthread_create(&thread, NULL, put_for_ever, NULL);
    (void)usleep(10000);
    (void)pthread_cancel(thread);
    (void)pthread_join(thread, NULL);
    put_lines("line");
}

static void by_steady(void)
{
    char line[64];
    for (int i = 0; i < rounds; i++) {
        (void)snprintf(line, sizeof(line), "line %d\n", i);
        put(line);
        (void)usleep(100);
    }
}

static void by_prompt(void)
{
    char byte;
    put("prompt> ");
    (void)!write(STDERR_FILENO, "ready\n", 6);
    (void)!read(STDIN_FILENO, &byte, 1);
}

static const struct {
    const char *name;
    void (*run)(void);
} ways[] = {{"printf", by_printf}, {"killed", by_killed}, {"pieces", by_pieces}, {"long", by_long},
    {"parts", by_parts}, {"fork", by_fork}, {"vfork", by_vfork}, {"moved", by_moved},
    {"unseen", by_unseen}, {"reopened", by_reopened}, {"threads", by_threads}, {"wide", by_wide},
    {"dprintf", by_dprintf}, {"syslog", by_syslog}, {"steady", by_steady}, {"prompt", by_prompt},
    {"cancelled", by_cancelled}};

int main(int count, char **arguments)
{
    char first[64];
    if (count < 4) {
        return 2;
    }
    rounds = (int)strtol(arguments[2], NULL, 10);
    path = arguments[3];
    (void)snprintf(first, sizeof(first), "pid %d\n", (int)getpid());
    put(first);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        if (strcmp(arguments[1], ways[i].name) == 0) {
            ways[i].run();
            return 0;
        }
    }
    return 2;
}
