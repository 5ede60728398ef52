/* SPDX-License-Identifier: Apache-2.0 */
/* libyarder against a small supervisor in a thread of this process: records, threads, handlers. */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "client/client.h"
#include "client/testing.h"

static void ways_to_log(void **state)
{
    (void)state;
    attached();
    int logger = yarder_logger("app.db");
    assert_true(logger > 0);
    assert_int_equal(yarder_logger("app.db"), logger);
    assert_int_equal(yarder_log(YARDER_LEVEL_WARNING, "plain"), YARDER_APPENDED);
    flushed();
    assert_string_equal(daemon_state.last, ":plain");
    assert_string_equal(daemon_state.program, "tested");
    assert_int_equal(daemon_state.last_record.pid, getpid());
    assert_int_equal(daemon_state.last_record.tid, gettid());
    assert_int_equal(
        yarder_logf(logger, YARDER_LEVEL_ERROR, "%s %d", "formatted", 7), YARDER_APPENDED);
    flushed();
    assert_string_equal(daemon_state.last, "app.db:formatted 7");
    int late = yarder_logger("late.name");
    assert_int_equal(yarder_log_bytes(late, YARDER_LEVEL_INFO, "a\0b", 3), YARDER_APPENDED);
    flushed();
    assert_string_equal(daemon_state.last, "late.name:a");
    assert_int_equal(yarder_request("GET /", 5), YARDER_APPENDED);
    flushed();
    assert_int_equal(daemon_state.last_record.kind, YARDER_KIND_REQUEST);
    assert_int_equal(
        yarder_stream_line(YARDER_STREAM_STDERR, YARDER_LEVEL_NOTSET, "oops", 4), YARDER_APPENDED);
    flushed();
    assert_int_equal(daemon_state.last_record.stream, YARDER_STREAM_STDERR);
    int64_t number = -5;
    const struct yarder_field fields[] = {
        {.key = {"n", 1}, .value = {(const char *)&number, 8}, .type = YARDER_FIELD_INT},
        {.key = {"who", 3}, .value = {"me", 2}, .type = YARDER_FIELD_TEXT},
    };
    assert_int_equal(
        yarder_log_fields(0, YARDER_LEVEL_INFO, "with fields", fields, 2), YARDER_APPENDED);
    flushed();
    assert_int_equal(daemon_state.last_record.fields_count, 2);
    assert_int_equal(daemon_state.records_count, 6);
    assert_int_equal(counters().appended, 6);
    assert_int_equal(counters().lost, 0);
}

static void wrong_calls(void **state)
{
    (void)state;
    static const char long_value[YARDER_FIELDS_BYTES_MAX];
    struct yarder_field field = {
        .key = {"k", 1}, .value = {long_value, 7}, .type = YARDER_FIELD_INT};
    assert_int_equal(yarder_log(256, "x"), -EINVAL);
    assert_int_equal(yarder_log(-1, "x"), -EINVAL);
    assert_int_equal(yarder_log(20, NULL), -EINVAL);
    assert_int_equal(yarder_log_bytes(4096, 20, "x", 1), -EINVAL);
    assert_int_equal(yarder_log_bytes(0, 20, NULL, 1), -EINVAL);
    assert_int_equal(yarder_log_bytes(0, 20, long_value, YARDER_TEXT_BYTES_MAX + 1), -EMSGSIZE);
    assert_int_equal(yarder_log_fields(0, 20, "x", &field, 1), -EINVAL);
    field = (struct yarder_field){
        .key = {"k", 1}, .value = {long_value, sizeof(long_value)}, .type = YARDER_FIELD_TEXT};
    assert_int_equal(yarder_log_fields(0, 20, "x", &field, 1), -EMSGSIZE);
    assert_int_equal(yarder_log_fields(0, 20, "x", &field, 65), -EINVAL);
    assert_int_equal(yarder_put(NULL), -EINVAL);
    assert_int_equal(yarder_stream_line(3, 20, "x", 1), -EINVAL);
    assert_int_equal(yarder_logger("") + yarder_logger(NULL), 0);
    assert_int_equal(yarder_configure(NULL), -EINVAL);
    assert_int_equal(yarder_counters(NULL), -EINVAL);
    assert_int_equal(counters().lost, 0);
}

static void parts(void **state)
{
    (void)state;
    static char text[YARDER_TEXT_BYTES_MAX];
    uint32_t sum = 0;
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (char)(i * 13 + i / 1000);
    }
    struct yarder_options options = {.options_bytes = sizeof(options),
        .run_dir = run_dir,
        .block_ms = 5000,
        .ring_bytes = 1 << 20};
    assert_int_equal(yarder_configure(&options), 0);
    attached();
    const size_t sizes[] = {32768, 32769, 65536, 100000, sizeof(text)};
    for (unsigned i = 0; i < YARDER_COUNT_OF(sizes); i++) {
        sum = 0;
        for (size_t k = 0; k < sizes[i]; k++) {
            sum = sum * 31 + (unsigned char)text[k];
        }
        assert_int_equal(yarder_log_bytes(0, YARDER_LEVEL_ERROR, text, sizes[i]), YARDER_APPENDED);
        flushed();
        (void)pthread_mutex_lock(&daemon_state.lock);
        assert_int_equal(daemon_state.joined_bytes, sizes[i]);
        assert_int_equal(daemon_state.joined_sum, sum);
        (void)pthread_mutex_unlock(&daemon_state.lock);
    }
    char *formatted = malloc(50000);
    assert_non_null(formatted);
    memset(formatted, 'f', 49999);
    formatted[49999] = '\0';
    assert_int_equal(yarder_logf(0, YARDER_LEVEL_ERROR, "%s", formatted), YARDER_APPENDED);
    free(formatted);
    flushed();
    assert_int_equal(daemon_state.joined_bytes, 49999);
}

/* For callers with another road: what does not fit is their matter, and counted nowhere. */
static void pieces_with_fields(void **state)
{
    (void)state;
    static char value[YARDER_FIELDS_BYTES_MAX], text[CLIENT_PIECE_BYTES_MAX + 1];
    static const struct {
        size_t text_bytes, value_bytes;
        uint32_t fields;
        int result;
    } cases[] = {{100, 80, YARDER_FIELDS_MAX, 0}, {100, 80, 2, 0}, {100, 80, 4, -EMSGSIZE},
        {CLIENT_PIECE_BYTES_MAX, 80, 8, 0}, {CLIENT_PIECE_BYTES_MAX, 80, 9, -EMSGSIZE},
        {CLIENT_PIECE_BYTES_MAX + 1, 80, 0, -EMSGSIZE}, {0, 100, YARDER_FIELDS_MAX, -EMSGSIZE}};
    struct yarder_field fields[YARDER_FIELDS_MAX];
    struct yarder_message message = {.text = text, .fields = fields};
    struct client_line none = {0};
    uint64_t put = 0;
    attached();
    for (unsigned i = 0; i < YARDER_COUNT_OF(cases); i++) {
        message.text_bytes = cases[i].text_bytes;
        message.fields_count = cases[i].fields;
        for (unsigned field = 0; field < YARDER_FIELDS_MAX; field++) {
            fields[field] = (struct yarder_field){
                .key = {"k", 1}, .value = {value, cases[i].value_bytes}, .type = YARDER_FIELD_TEXT};
        }
        assert_int_equal(client_piece_put(&none, &message, false), cases[i].result);
        put += cases[i].result == 0;
        flushed();
        assert_int_equal(daemon_state.records_count, put);
        if (cases[i].result == 0) {
            assert_int_equal(daemon_state.last_record.fields_count, cases[i].fields);
        }
    }
    assert_int_equal(counters().lost, 0);
}

static void levels(void **state)
{
    (void)state;
    int logger = yarder_logger("noisy");
    attached();
    assert_int_equal(yarder_level_enabled(logger, YARDER_LEVEL_DEBUG), 1);
    (void)pthread_mutex_lock(&daemon_state.lock);
    for (unsigned i = 0; i < daemon_state.regions_count; i++) {
        uint8_t level = YARDER_LEVEL_ERROR; /* of this logger, in the page of levels */
        assert_int_equal(
            pwrite(daemon_state.regions[i].fd, &level, 1, REGION_PAGE_BYTES + logger), 1);
    }
    (void)pthread_mutex_unlock(&daemon_state.lock);
    assert_int_equal(yarder_level_enabled(logger, YARDER_LEVEL_DEBUG), 0);
    assert_int_equal(yarder_logf(logger, YARDER_LEVEL_DEBUG, "no"), YARDER_FILTERED);
    assert_int_equal(yarder_log_bytes(logger, YARDER_LEVEL_WARNING, "no", 2), YARDER_FILTERED);
    assert_int_equal(yarder_log_bytes(logger, YARDER_LEVEL_ERROR, "yes", 3), YARDER_APPENDED);
    assert_int_equal(counters().lost, 0);
}

static void full_ring(void **state)
{
    (void)state;
    attached();
    static char text[1000];
    __atomic_store_n(&daemon_state.frozen, true, __ATOMIC_RELAXED);
    uint64_t dropped = 0;
    for (unsigned i = 0; i < 20000; i++) {
        dropped += yarder_log_bytes(0, YARDER_LEVEL_ERROR, text, sizeof(text)) == YARDER_DROPPED;
    }
    assert_true(dropped > 0);
    assert_int_equal(counters().lost_full, dropped);
    assert_int_equal(counters().appended, 20000 - dropped);
    assert_int_equal(counters().lost_bytes, dropped * sizeof(text));
    assert_int_equal(yarder_flush(20), -ETIMEDOUT);
    struct yarder_options options = {
        .options_bytes = sizeof(options), .run_dir = run_dir, .block_ms = 30};
    assert_int_equal(yarder_configure(&options), 0);
    int64_t before_ns = os_monotonic_ns();
    int result = YARDER_APPENDED;
    for (unsigned i = 0; i < 20000 && result == YARDER_APPENDED; i++) {
        result = yarder_log_bytes(
            0, YARDER_LEVEL_ERROR, text, sizeof(text)); /* a fresh cpu's ring may have room */
    }
    assert_int_equal(result, YARDER_DROPPED);
    assert_true(os_monotonic_ns() - before_ns >= 30000000);
    options.block_ms = 10000;
    assert_int_equal(yarder_configure(&options), 0);
    __atomic_store_n(&daemon_state.frozen, false, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 20000; i++) {
        assert_int_equal(
            yarder_log_bytes(0, YARDER_LEVEL_ERROR, text, sizeof(text)), YARDER_APPENDED);
    }
    flushed();
    assert_int_equal(daemon_state.records_count, counters().appended);
    assert_int_equal(daemon_lost(), counters().lost);
    assert_true(daemon_state.gaps > 0 && daemon_state.gaps <= counters().lost);
}

static void doorbell(void **state)
{
    (void)state;
    daemon_state.asleep = true;
    attached();
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(yarder_log(YARDER_LEVEL_ERROR, "wake up"), YARDER_APPENDED);
    }
    daemon_await(&daemon_state.bells);
    (void)pthread_mutex_lock(&daemon_state.lock);
    assert_int_equal(daemon_state.bells, 1);
    (void)pthread_mutex_unlock(&daemon_state.lock);
}

static void child_attaches(void **state)
{
    (void)state;
    attached();
    int logger = yarder_logger("family");
    assert_int_equal(yarder_log_bytes(logger, YARDER_LEVEL_ERROR, "parent", 6), YARDER_APPENDED);
    flushed();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        attached();
        int result = yarder_log_bytes(logger, YARDER_LEVEL_ERROR, "child", 5);
        result = result == 0 ? yarder_flush(5000) : result;
        struct yarder_counts own = {.counters_bytes = sizeof(own)};
        (void)yarder_counters(&own);
        _exit(result == 0 && own.appended == 1 ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    (void)pthread_mutex_lock(&daemon_state.lock);
    assert_string_equal(daemon_state.last, "family:child");
    assert_int_equal(daemon_state.last_record.pid, pid);
    assert_int_equal(daemon_state.last_record.tid, pid);
    (void)pthread_mutex_unlock(&daemon_state.lock);
    assert_int_equal(yarder_log(YARDER_LEVEL_ERROR, "parent again"), YARDER_APPENDED);
    flushed();
    assert_int_equal(daemon_state.records_count, 3);
    assert_int_equal(daemon_state.last_record.pid, getpid());
}

static void *log_many(void *argument)
{
    (void)argument;
    for (unsigned i = 0; i < 2000; i++) {
        (void)yarder_logf(0, YARDER_LEVEL_ERROR, "%u", i);
    }
    return NULL;
}

/* Threads race to attach: one region, nothing counted twice. Who loses the race may drop, counted.
 */
static void racing_threads(void **state)
{
    (void)state;
    pthread_t threads[8];
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, NULL), 0);
    }
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    flushed();
    struct yarder_counts after = counters();
    assert_int_equal(after.appended + after.lost, 16000);
    assert_int_equal(daemon_state.records_count, after.appended);
}

static void *log_first(void *wait)
{
    (void)pthread_barrier_wait(wait);
    for (unsigned i = 0; i < 100; i++) {
        (void)yarder_log(YARDER_LEVEL_ERROR, "of the thread");
    }
    pthread_testcancel();
    return NULL;
}

/* A thread that is cancelled gives the lock back before it goes: others attach, and are heard. */
static void cancelled_thread(void **state)
{
    (void)state;
    pthread_t thread;
    pthread_barrier_t wait;
    void *result;
    assert_int_equal(pthread_barrier_init(&wait, NULL, 2), 0);
    assert_int_equal(pthread_create(&thread, NULL, log_first, &wait), 0);
    assert_int_equal(pthread_cancel(thread), 0); /* a barrier is no cancellation point */
    (void)pthread_barrier_wait(&wait);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, PTHREAD_CANCELED);
    attached();
    assert_int_equal(client_page->lock, 0);
    assert_int_equal(yarder_log(YARDER_LEVEL_ERROR, "after"), YARDER_APPENDED);
    flushed();
    struct yarder_counts after = counters();
    assert_int_equal(after.appended + after.lost, 101);
}

static void on_timer(int number)
{
    (void)number;
    (void)yarder_log(YARDER_LEVEL_ERROR, "from the handler");
}

/* The first record of the process comes from a handler, and handlers log into the midst of appends.
 */
static void handlers_log(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = on_timer, .sa_flags = SA_RESTART};
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    (void)raise(SIGUSR1);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    event._sigev_un._tid = gettid();
    timer_t timer;
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    struct itimerspec every = {.it_interval = {.tv_nsec = 101000}, .it_value = {.tv_nsec = 101000}};
    assert_int_equal(timer_settime(timer, 0, &every, NULL), 0);
    int64_t until_ns = os_monotonic_ns() + 300000000;
    for (unsigned i = 0; os_monotonic_ns() < until_ns; i++) {
        (void)yarder_logf(0, YARDER_LEVEL_ERROR, "record %u of the thread", i);
    }
    (void)timer_delete(timer);
    flushed();
    struct yarder_counts after = counters();
    assert_true(after.appended > 1000);
    assert_int_equal(daemon_state.records_count, after.appended);
    assert_int_equal(daemon_lost(), after.lost);
    assert_true(daemon_state.gaps <= after.lost);
}

int main(void)
{
    if (!run_dir_make()) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        SCENE(handlers_log),
        SCENE(ways_to_log),
        SCENE(wrong_calls),
        SCENE(parts),
        SCENE(pieces_with_fields),
        SCENE(levels),
        SCENE(full_ring),
        SCENE(doorbell),
        SCENE(child_attaches),
        SCENE(racing_threads),
        SCENE(cancelled_thread),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    run_dir_remove();
    return failed;
}
