/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One backend by itself, without the daemon: a host that only waits, tries again and counts.
 *
 *     backend-try MODULE TARGET RECORDS BYTES [OPTION=VALUE ...]
 *     backend-try MODULE uwsgi:NAME:ARGUMENT RECORDS BYTES [OPTION=VALUE ...]
 *
 * Record N has the text "N " and padding up to BYTES. Batches are of 256 records at most. A try may
 * take 10 s (YARDER_TRY_MS says otherwise); one that failed is made again after 100 ms, for 30 s
 * without progress at most. Prints what became of the records and how many a second were
 * delivered; 0 when none is left.
 */
#include <api/backend.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "control/option_set.h"

enum { BATCH_RECORDS = 256, RECORD_BYTES_MAX = 1 << 20, WHY_BYTES = OPTION_WHY_BYTES };
static uint64_t try_ns = 10ull * 1000 * 1000 * 1000;
static const uint64_t patience_ns = 30ull * 1000 * 1000 * 1000;

static uint64_t delivered, refused;
static char *texts[BATCH_RECORDS];
static struct yarder_record records[BATCH_RECORDS];
static struct yarder_item items[BATCH_RECORDS];

static uint64_t monotonic_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int host_wait(struct yarder_host *host, int fd, short events, uint64_t deadline_ns)
{
    (void)host;
    struct pollfd one = {.fd = fd, .events = events};
    uint64_t now_ns = monotonic_ns();
    int left_ms = deadline_ns <= now_ns ? 0 : (int)((deadline_ns - now_ns) / 1000000 + 1);
    int r = poll(&one, 1, left_ms);
    return r > 0 ? one.revents : r;
}

YARDER_PRINTF(3, 4)
static int host_fail(struct yarder_host *host, int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)fprintf(stderr, "%s: ", host->output_name);
    (void)vfprintf(stderr, format, arguments);
    (void)fputc('\n', stderr);
    va_end(arguments);
    return error;
}

YARDER_PRINTF(3, 4)
static void host_refuse(struct yarder_host *host, struct yarder_item *item, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)fprintf(stderr, "%s: refused: ", host->output_name);
    (void)vfprintf(stderr, format, arguments);
    (void)fputc('\n', stderr);
    va_end(arguments);
    item->result = YARDER_REFUSED;
    refused++;
}

static void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "backend-try: %s: %s\n", what, why);
    exit(2);
}

static const struct yarder_backend *load(const char *path)
{
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (module == NULL) {
        die(path, dlerror());
    }
    const struct yarder_backend *backend = dlsym(module, "yarder_backend");
    if (backend == NULL || backend->abi != YARDER_BACKEND_ABI) {
        die(path, "no backend of this version");
    }
    return backend;
}

static void set_option(const struct yarder_backend *backend, void *self, struct arena *arena,
    const char *name, size_t length, const char *value)
{
    char why[WHY_BYTES] = "";
    for (const struct yarder_option *row = backend->options; row->kind != YARDER_OPTION_END;
         row++) {
        if (strlen(row->name) == length && strncmp(row->name, name, length) == 0) {
            if (option_set(row, self, value, arena, why) < 0) {
                die(name, why);
            }
            return;
        }
    }
    die(name, "no such option");
}

static void configure(const struct yarder_backend *backend, void *self, struct arena *arena,
    char *target, int options_count, char **options)
{
    char why[WHY_BYTES] = "";
    for (const struct yarder_option *row = backend->options; row->kind != YARDER_OPTION_END;
         row++) {
        if (row->default_text != NULL) {
            set_option(backend, self, arena, row->name, strlen(row->name), row->default_text);
        }
    }
    int r = 0;
    if (strncmp(target, "uwsgi:", 6) == 0) {
        char *name = target + 6;
        char *argument = strchr(name, ':');
        if (argument != NULL) {
            *argument++ = '\0';
        }
        r = backend->uwsgi(self, name, argument, why, sizeof(why));
    } else {
        r = backend->target(self, target, why, sizeof(why));
    }
    for (int i = 0; i < options_count; i++) {
        size_t length = strcspn(options[i], "=");
        set_option(backend, self, arena, options[i], length,
            options[i][length] == '=' ? options[i] + length + 1 : NULL);
    }
    if (r == 0 && backend->check != NULL) {
        r = backend->check(self, why, sizeof(why));
    }
    if (r < 0) {
        die(target, why);
    }
}

static uint32_t fill(uint64_t number, uint64_t end, size_t bytes)
{
    uint32_t count = 0;
    for (; count < BATCH_RECORDS && number < end; count++, number++) {
        int length = snprintf(texts[count], bytes + 32, "%llu ", (unsigned long long)number);
        size_t text_bytes = bytes > (size_t)length ? bytes : (size_t)length;
        memset(texts[count] + length, 'x', text_bytes - (size_t)length);
        texts[count][text_bytes] = '\n';
        struct timespec now;
        (void)clock_gettime(CLOCK_REALTIME, &now);
        int64_t now_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
        records[count] = (struct yarder_record){.time_ns = now_ns,
            .received_ns = now_ns,
            .text = {texts[count], text_bytes},
            .level = YARDER_LEVEL_INFO,
            .facility = YARDER_FACILITY_NONE};
        items[count] = (struct yarder_item){.record = &records[count],
            .text = records[count].text,
            .id = {.epoch_ns = 1700000000000000000, .number = number},
            .newline = true};
    }
    return count;
}

/* Takes out what was answered; how many are left. */
static uint32_t keep_later(uint32_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        delivered += items[i].result == YARDER_DELIVERED;
        if (items[i].result == YARDER_LATER) {
            items[kept++] = items[i];
        }
    }
    return kept;
}

/* false: no progress for too long. */
static bool deliver(const struct yarder_backend *backend, void *self, uint32_t count)
{
    uint64_t since_ns = monotonic_ns();
    bool again = false;
    while (count > 0) {
        struct yarder_batch batch = {.items = items, .count = count, .again = again};
        for (uint32_t i = 0; i < count; i++) {
            batch.text_bytes += items[i].text.length;
        }
        int r = backend->submit(self, &batch, monotonic_ns() + try_ns);
        uint32_t kept = keep_later(count);
        if (r == 0 && kept > 0) {
            die("submit", "answered 0 with records that are left");
        }
        since_ns = kept < count ? monotonic_ns() : since_ns;
        if (kept > 0 && monotonic_ns() - since_ns > patience_ns) {
            return false;
        }
        if (kept > 0) {
            (void)poll(NULL, 0, 100);
        }
        count = kept;
        again = true;
    }
    return true;
}

int main(int count, char **words)
{
    if (count < 5) {
        die("usage", "backend-try MODULE TARGET RECORDS BYTES [OPTION=VALUE ...]");
    }
    const struct yarder_backend *backend = load(words[1]);
    const char *try_ms = getenv("YARDER_TRY_MS");
    try_ns = try_ms == NULL ? try_ns : strtoull(try_ms, NULL, 10) * 1000000;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    void *self = calloc(1, backend->self_bytes);
    configure(backend, self, &arena, words[2], count - 5, words + 5);
    uint64_t end = strtoull(words[3], NULL, 10);
    size_t bytes = strtoull(words[4], NULL, 10);
    if (bytes > RECORD_BYTES_MAX) {
        die(words[4], "at most 1048576");
    }
    for (int i = 0; i < BATCH_RECORDS; i++) {
        texts[i] = malloc(bytes + 64);
    }
    struct yarder_host host = {.struct_bytes = sizeof(host),
        .output_name = backend->name,
        .hostname = "vm",
        .version = YARDER_VERSION,
        .wait = host_wait,
        .fail = host_fail,
        .refuse = host_refuse};
    if (backend->open(self, &host) < 0) {
        return 1;
    }
    uint64_t start_ns = monotonic_ns();
    bool good = true;
    for (uint64_t number = 0; number < end && good; number += BATCH_RECORDS) {
        good = deliver(backend, self, fill(number, end, bytes));
    }
    double seconds = (double)(monotonic_ns() - start_ns) / 1e9;
    (void)printf("delivered %llu, refused %llu of %llu in %.3f s: %.0f a second\n",
        (unsigned long long)delivered, (unsigned long long)refused, (unsigned long long)end,
        seconds, (double)delivered / seconds);
    backend->close(self);
    free(self);
    arena_deinit(&arena);
    return good ? 0 : 1;
}
