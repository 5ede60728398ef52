/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yarder_logf with its arguments deferred, against a small supervisor in a thread of this process:
 * what the daemon makes of a call is what snprintf makes of it.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "client/site.h"
#include "client/testing.h"

/* Formats that are no literals, and %m, are what is tested here. */
#pragma GCC diagnostic ignored "-Wformat"
#pragma GCC diagnostic ignored "-Wformat-nonliteral"

static struct region_formats *formats(void)
{
    struct client_attachment *attachment = client_attached(client_page_get());
    return attachment->producer->map.formats;
}

static uint64_t table_used(void)
{
    return __atomic_load_n(&formats()->used, __ATOMIC_RELAXED);
}

static void assert_last(const char *wanted)
{
    flushed();
    (void)pthread_mutex_lock(&daemon_state.lock);
    assert_string_equal(daemon_state.last, wanted);
    assert_int_equal(daemon_state.last_record.flags, 0);
    (void)pthread_mutex_unlock(&daemon_state.lock);
}

static uint64_t records_seen(void)
{
    flushed();
    (void)pthread_mutex_lock(&daemon_state.lock);
    uint64_t count = daemon_state.records_count;
    (void)pthread_mutex_unlock(&daemon_state.lock);
    return count;
}

/* The same call twice, deferred, and once by snprintf; the table must have grown by one format. */
#define SAME(...)                                                                                  \
    do {                                                                                           \
        char wanted[200] = ":";                                                                    \
        errno = ENOENT;                                                                            \
        (void)snprintf(wanted + 1, sizeof(wanted) - 1, __VA_ARGS__);                               \
        uint64_t before = table_used();                                                            \
        for (unsigned round = 0; round < 2; round++) {                                             \
            errno = ENOENT;                                                                        \
            assert_int_equal(yarder_logf(0, YARDER_LEVEL_ERROR, __VA_ARGS__), YARDER_APPENDED);    \
            assert_int_equal(errno, ENOENT);                                                       \
            assert_last(wanted);                                                                   \
            assert_int_equal(table_used() - before, REGION_FORMAT_UNIT);                           \
        }                                                                                          \
    } while (0)

static void every_type(void **state)
{
    (void)state;
    static const char unterminated[3] = {'a', 'b', 'c'};
    const char *volatile none = NULL;
    attached();
    SAME("no argument, 100 %%");
    SAME("%d %i %u %x %X %o %c", -1, INT32_MIN, 3000000000u, 255u, 255u, 8u, 'x');
    SAME("%hhd %hd %hhu %hu", (signed char)-3, (short)-300, (unsigned char)200,
        (unsigned short)60000);
    SAME("%ld %lld %jd %zu %td", -1L, -2LL, (intmax_t)INT64_MIN, sizeof(int), (ptrdiff_t)-9);
    SAME("%f %e %g %a %5.1f", 1.5, -2e300, 0.1, 3.0, 2.25);
    SAME("%s|%10s|%-10s|%.2s|", "text", "right", "left", "cut");
    SAME("%.3s", unterminated);
    SAME("%s %.6s %.5s|", none, none, none);
    SAME("%p %p", (const void *)unterminated, (const void *)none);
    SAME("%m and %20m");
    SAME("%+05d % d %#x %.8d", 42, 42, 42u, 42);
    SAME("%d %f %s %d %f %s %d %f %s %d %f %s %d %f %s %d", 1, 2.0, "3", 4, 5.0, "6", 7, 8.0, "9",
        10, 11.0, "12", 13, 14.0, "15", 16);
    assert_int_equal(counters().lost, 0);
}

/* What the caller formats arrives too, and takes nothing of the table. */
static void formatted_here(void **state)
{
    (void)state;
    attached();
    uint64_t before = table_used();
    char buffer[16] = "buffer %d";
    static char longest[4000];
    memset(longest, 'x', sizeof(longest) - 1);
    assert_int_equal(yarder_logf(0, YARDER_LEVEL_ERROR, buffer, 1), YARDER_APPENDED);
    assert_last(":buffer 1");
    memcpy(buffer, "exchan %d", 9);
    assert_int_equal(yarder_logf(0, YARDER_LEVEL_ERROR, buffer, 2), YARDER_APPENDED);
    assert_last(":exchan 2");
    assert_int_equal(yarder_logf(0, YARDER_LEVEL_ERROR, "%*d", 4, 2), YARDER_APPENDED);
    assert_last(":   2");
    assert_int_equal(yarder_logf(0, YARDER_LEVEL_ERROR, "%Lf", 1.0L), YARDER_APPENDED);
    assert_last(":1.000000");
    assert_int_equal((yarder_logf)(0, YARDER_LEVEL_ERROR, "%d", 3), YARDER_APPENDED);
    assert_last(":3");
    int (*function)(int, int, const char *, ...) = yarder_logf;
    assert_int_equal(function(0, YARDER_LEVEL_ERROR, "%d", 4), YARDER_APPENDED);
    assert_last(":4");
    assert_int_equal(yarder_logf_site(NULL, 0, YARDER_LEVEL_ERROR, "%d", 5), YARDER_APPENDED);
    assert_last(":5");
    assert_int_equal(table_used(), before);
    /* Deferred, but for one record that is too long; the next is deferred again. */
    uint64_t appended = counters().appended;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(
            yarder_logf(0, YARDER_LEVEL_ERROR, "%s", i == 1 ? longest : "short"), YARDER_APPENDED);
        flushed();
        (void)pthread_mutex_lock(&daemon_state.lock);
        assert_int_equal(daemon_state.joined_bytes, i == 1 ? sizeof(longest) - 1 : 5);
        (void)pthread_mutex_unlock(&daemon_state.lock);
    }
    assert_int_equal(counters().appended, appended + 3);
    assert_int_equal(table_used(), before + REGION_FORMAT_UNIT);
    assert_int_equal(yarder_logf(4096, YARDER_LEVEL_ERROR, "%d", 1), -EINVAL);
    assert_int_equal(yarder_logf(0, 256, "%d", 1), -EINVAL);
    assert_int_equal(counters().lost, 0);
}

static int log_once(int *calls)
{
    return yarder_logf(0, YARDER_LEVEL_ERROR, "call %d", ++*calls);
}

/* The first record of a process comes before its attachment; each attachment has its own table. */
static void attachments(void **state)
{
    (void)state;
    int calls = 0;
    for (int i = 1; i < 4; i++) {
        yarder_close();
        attached();
        assert_int_equal(table_used(), 0);
        assert_int_equal(log_once(&calls), YARDER_APPENDED);
        assert_int_equal(log_once(&calls), YARDER_APPENDED);
        assert_int_equal(calls, 2 * i);
        assert_int_equal(table_used(), REGION_FORMAT_UNIT);
        char wanted[32];
        (void)snprintf(wanted, sizeof(wanted), ":call %d", calls);
        assert_last(wanted);
    }
}

/* A forked child's inherited sites are its parent's, not its own. */
static void child_attaches(void **state)
{
    (void)state;
    int calls = 0;
    attached();
    assert_int_equal(log_once(&calls), YARDER_APPENDED);
    assert_last(":call 1");
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        attached();
        int result = table_used() == 0 && log_once(&calls) == 0 && log_once(&calls) == 0 &&
                             table_used() == REGION_FORMAT_UNIT
                         ? yarder_flush(5000)
                         : 1;
        _exit(result == 0 ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    (void)pthread_mutex_lock(&daemon_state.lock);
    assert_string_equal(daemon_state.last, ":call 3");
    assert_int_equal(daemon_state.last_record.pid, pid);
    (void)pthread_mutex_unlock(&daemon_state.lock);
    assert_int_equal(log_once(&calls), YARDER_APPENDED);
    assert_last(":call 2");
    assert_int_equal(table_used(), REGION_FORMAT_UNIT);
}

/* A daemon that comes after another reads the formats of the region that it is handed. */
static void handed_back(void **state)
{
    (void)state;
    int calls = 0;
    attached();
    assert_int_equal(log_once(&calls), YARDER_APPENDED);
    flushed();
    daemon_die();
    assert_int_equal(log_once(&calls), YARDER_APPENDED);
    daemon_start();
    assert_last(":call 2");
    assert_int_equal(daemon_state.hand_backs, 1);
    assert_int_equal(table_used(), REGION_FORMAT_UNIT);
}

/* Statics of a C++ inline function are one in a process, of whatever plugin. */
static void a_site_of_two_plugins(void **state)
{
    (void)state;
    static struct yarder_site site;
    attached();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(yarder_logf_site(&site, 0, YARDER_LEVEL_ERROR, "text %s of %d", "a", i),
            YARDER_APPENDED);
        assert_int_equal(yarder_logf_site(&site, 0, YARDER_LEVEL_ERROR, "number %d of %s", i, "b"),
            YARDER_APPENDED);
    }
    assert_last(":number 2 of b");
    assert_int_equal(records_seen(), 6);
    assert_int_equal(table_used(), REGION_FORMAT_UNIT);
    yarder_close(); /* the other one may come first to a new attachment, and changes nothing */
    attached();
    assert_int_equal(
        yarder_logf_site(&site, 0, YARDER_LEVEL_ERROR, "number %d of %s", 7, "b"), YARDER_APPENDED);
    assert_last(":number 7 of b");
    assert_int_equal(table_used(), 0);
}

static int log_at(struct yarder_site *site, int number)
{
    return yarder_logf_site(site, 0, YARDER_LEVEL_ERROR, "site %d of a full table", number);
}

static void full_table(void **state)
{
    (void)state;
    enum { SITES = REGION_FORMATS_BYTES / REGION_FORMAT_UNIT + 9 };
    static struct yarder_site sites[SITES];
    attached();
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < SITES; i++) {
            assert_int_equal(log_at(&sites[i], i), YARDER_APPENDED);
        }
        assert_int_equal(records_seen(), (round + 1) * SITES);
        assert_int_equal(table_used(), sizeof(formats()->units));
        assert_int_equal(sites[SITES - 1].word & 0xff, SITE_CALLER);
    }
    char wanted[64];
    (void)snprintf(wanted, sizeof(wanted), ":site %d of a full table", SITES - 1);
    assert_last(wanted);
    /* Who died between reserving and writing harms nobody; a count that cannot be is full. */
    __atomic_store_n(&formats()->used, UINT64_MAX - 63, __ATOMIC_RELAXED);
    struct yarder_site late = {0};
    assert_int_equal(log_at(&late, 1), YARDER_APPENDED);
    __atomic_store_n(&formats()->used, 3, __ATOMIC_RELAXED);
    struct yarder_site crooked = {0};
    assert_int_equal(log_at(&crooked, 2), YARDER_APPENDED);
    assert_last(":site 2 of a full table");
    assert_int_equal(counters().lost, 0);
}

static void filtered(void **state)
{
    (void)state;
    attached();
    int logger = yarder_logger("quiet");
    client_attached(client_page_get())->producer->map.levels[logger] = YARDER_LEVEL_ERROR;
    int calls = 0;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(yarder_logf(logger, YARDER_LEVEL_WARNING, "%d", ++calls), YARDER_FILTERED);
    }
    assert_int_equal(calls, 2);
    assert_int_equal(table_used(), 0);
}

/* No room: dropped, counted, told, as any other record. */
static void no_room(void **state)
{
    (void)state;
    attached();
    __atomic_store_n(&daemon_state.frozen, true, __ATOMIC_RELAXED);
    uint64_t dropped = 0;
    for (unsigned i = 0; i < 100000; i++) {
        dropped += yarder_logf(0, YARDER_LEVEL_ERROR, "%u %200s", i, "x") == YARDER_DROPPED;
    }
    assert_true(dropped > 0);
    assert_int_equal(counters().lost_full, dropped);
    __atomic_store_n(&daemon_state.frozen, false, __ATOMIC_RELAXED);
    flushed();
    assert_int_equal(yarder_logf(0, YARDER_LEVEL_ERROR, "%d", 1), YARDER_APPENDED);
    assert_int_equal(records_seen(), counters().appended);
    assert_int_equal(daemon_lost(), dropped);
}

/* One site for all: threads, and a handler into the midst of them. */
static uint32_t numbers_sum;

static int log_shared(uint32_t number)
{
    int result = yarder_logf(0, YARDER_LEVEL_ERROR, "%s %08x", "number", number);
    if (result == YARDER_APPENDED) {
        (void)__atomic_fetch_add(&numbers_sum, number, __ATOMIC_RELAXED);
    }
    return result;
}

static void on_signal(int number)
{
    (void)number;
    (void)log_shared(0x1000000);
}

static void *log_many(void *argument)
{
    for (uint32_t i = 0; i < 5000; i++) {
        (void)log_shared((uint32_t)(uintptr_t)argument + i);
    }
    return NULL;
}

static void shared_site(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    for (unsigned round = 0; round < 10; round++) {
        pthread_t threads[3];
        yarder_close();
        daemon_state.records_count = 0;
        daemon_state.numbers_sum = 0;
        numbers_sum = 0;
        baseline = (struct yarder_counts){0};
        baseline = counters();
        attached();
        for (unsigned i = 0; i < YARDER_COUNT_OF(threads); i++) {
            void *from = (void *)(uintptr_t)(i * 10000);
            assert_int_equal(pthread_create(&threads[i], NULL, log_many, from), 0);
        }
        for (unsigned i = 0; i < 200; i++) {
            (void)pthread_kill(threads[0], SIGUSR1);
        }
        for (unsigned i = 0; i < YARDER_COUNT_OF(threads); i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        }
        assert_int_equal(records_seen(), counters().appended);
        assert_int_equal(daemon_state.numbers_sum, numbers_sum);
        assert_int_equal(table_used(), REGION_FORMAT_UNIT);
    }
}

int main(void)
{
    if (!run_dir_make()) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        SCENE(every_type),
        SCENE(formatted_here),
        SCENE(attachments),
        SCENE(child_attaches),
        SCENE(handed_back),
        SCENE(a_site_of_two_plugins),
        SCENE(full_table),
        SCENE(filtered),
        SCENE(no_room),
        SCENE(shared_site),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    run_dir_remove();
    return failed;
}
