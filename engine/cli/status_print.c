/* SPDX-License-Identifier: Apache-2.0 */
/* The tables below the first line of status: a line for each input and output. */
#include <string.h>

#include "cli/ask.h"
#include "cli/status_text.h"

enum { NUMBER_WIDTH = 12, NAME_WIDTH_MAX = 40 };

struct column {
    const char *head;
    const char *key; /* a number, or an object whose numbers are added up */
};

static const struct column input_columns[] = {{"RECEIVED", "received"}, {"ACCEPTED", "accepted"},
    {"REFUSED", "refused"}, {"LOST", "lost"}, {"BYTES", "bytes"}};
static const struct column output_columns[] = {{"COPIES", "copies"}, {"DELIVERED", "delivered"},
    {"DROPPED", "dropped"}, {"DEAD", "dead"}, {"HELD", "held"}, {"BYTES", "bytes"}};

static uint64_t sum_of(const cJSON *item, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(item, key);
    if (!cJSON_IsObject(value)) {
        return ask_number(item, key);
    }
    uint64_t sum = 0;
    const cJSON *part = NULL;
    cJSON_ArrayForEach(part, value)
    {
        sum += ask_number(value, part->string);
    }
    return sum;
}

/* Thousands apart: nobody counts ten digits by eye. */
static void print_number(uint64_t value, FILE *to)
{
    char digits[24];
    char shown[32];
    size_t length = (size_t)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) {
            shown[used++] = ' ';
        }
        shown[used++] = digits[i];
    }
    shown[used] = '\0';
    (void)fprintf(to, " %*s", NUMBER_WIDTH, shown);
}

static int name_width(const cJSON *report)
{
    static const char *const lists[] = {"inputs", "outputs"};
    size_t width = strlen("OUTPUT");
    for (size_t i = 0; i < YARDER_COUNT_OF(lists); i++) {
        const cJSON *item = NULL;
        cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(report, lists[i]))
        {
            width = (size_t)yarder_max(width, strlen(ask_text(item, "name")));
        }
    }
    return (int)yarder_min(width, NAME_WIDTH_MAX);
}

static void print_table(const cJSON *list, const char *head, const struct column *columns,
    size_t columns_count, int width, FILE *to)
{
    (void)fprintf(to, "\n%-*s", width, head);
    for (size_t i = 0; i < columns_count; i++) {
        (void)fprintf(to, " %*s", NUMBER_WIDTH, columns[i].head);
    }
    (void)fputc('\n', to);
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, list)
    {
        (void)fprintf(to, "%-*.*s", width, width, ask_text(item, "name"));
        for (size_t i = 0; i < columns_count; i++) {
            print_number(sum_of(item, columns[i].key), to);
        }
        (void)fputc('\n', to);
    }
}

static void print_router(const cJSON *report, FILE *to)
{
    const cJSON *router = cJSON_GetObjectItemCaseSensitive(report, "router");
    (void)fprintf(to,
        "\nrouter: %llu accepted = %llu joined + %llu filtered + %llu unmatched + %llu routed\n",
        (unsigned long long)ask_number(router, "accepted"),
        (unsigned long long)ask_number(router, "joined"),
        (unsigned long long)sum_of(router, "filtered"),
        (unsigned long long)ask_number(router, "unmatched"),
        (unsigned long long)ask_number(router, "routed"));
}

/* Patterns that could not be decided in time, by name: their rules did not hold for some records.
 */
static void print_patterns(const cJSON *report, FILE *to)
{
    const cJSON *router = cJSON_GetObjectItemCaseSensitive(report, "router");
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(router, "patterns"))
    {
        uint64_t head = ask_number(item, "head_bytes");
        (void)fprintf(to, "pattern %s (%s): undecided on %llu records", ask_text(item, "pattern"),
            ask_text(item, "where"), (unsigned long long)ask_number(item, "undecided"));
        if (head > 0) {
            (void)fprintf(to, "; slow, it looks at the first %llu bytes of a record for now",
                (unsigned long long)head);
        }
        (void)fputc('\n', to);
    }
}

static void print_if(const cJSON *object, const char *key, const char *words, FILE *to)
{
    uint64_t count = ask_number(object, key);
    if (count > 0) {
        (void)fprintf(to, "  %llu %s\n", (unsigned long long)count, words);
    }
}

static void print_connections(const cJSON *report, FILE *to)
{
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(report, "inputs"))
    {
        if (ask_number(item, "connections_refused") + ask_number(item, "errors") > 0) {
            (void)fprintf(to, "\ninput %s:\n", ask_text(item, "name"));
        }
        print_if(item, "connections_refused", "connections were refused", to);
        print_if(item, "errors", "calls on its sockets failed", to);
    }
}

/* What failed last, and whether it still does; how long nothing has moved. */
static void print_state(const cJSON *item, uint64_t at_ns, FILE *to)
{
    char span[STATUS_SPAN_BYTES];
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(item, "last_error");
    uint64_t error_ns = ask_number(error, "at_ns");
    uint64_t stalled_ms = ask_number(item, "stalled_ms");
    uint64_t blocked_ms = ask_number(item, "blocked_ms");
    uint64_t spooled = ask_number(item, "spooled");
    if (stalled_ms >= 1000) {
        (void)fprintf(to, "  what waits has waited for %s\n", status_span(stalled_ms / 1000, span));
    }
    if (stalled_ms >= 1000 && spooled > 0) {
        (void)fprintf(to, "  %llu of it lie on disk, and stay when the daemon ends\n",
            (unsigned long long)spooled);
    }
    if (blocked_ms >= 1000) {
        (void)fprintf(
            to, "  its queue has been full for %s\n", status_span(blocked_ms / 1000, span));
    }
    if (error != NULL) {
        uint64_t ago_ns = at_ns > error_ns ? at_ns - error_ns : 0;
        const char *path = ask_text(error, "path");
        (void)fprintf(to, "  last error %s ago: %s%s%s: %s (%s)\n",
            status_span(ago_ns / 1000000000u, span), ask_text(error, "call"),
            path[0] != '\0' ? " " : "", path, ask_text(error, "text"), ask_text(error, "errno"));
    }
}

static bool is_file(const cJSON *output)
{
    const char *kind = ask_text(output, "kind");
    return strcmp(kind, "file") == 0 || strcmp(kind, "stdio") == 0;
}

/*
 * What became of an output, and of its file by other hands; the latter is counted, and harmless
 * unless it says otherwise.
 */
static void print_marks(const cJSON *report, uint64_t at_ns, FILE *to)
{
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(report, "outputs"))
    {
        uint64_t marks = ask_number(item, "torn") + ask_number(item, "uncertain") +
                         ask_number(item, "errors") + ask_number(item, "cut") +
                         ask_number(item, "foreign");
        if (marks > 0 || ask_number(item, "stalled_ms") >= 1000 ||
            ask_number(item, "blocked_ms") >= 1000) {
            (void)fprintf(to, "\noutput %s:\n", ask_text(item, "name"));
        }
        print_state(item, at_ns, to);
        print_if(item, "errors",
            is_file(item) ? "calls on its files failed" : "tries to deliver failed", to);
        print_if(item, "foreign", "times somebody else had written to the file", to);
        print_if(item, "cut", "times the file had been cut", to);
        print_if(item, "torn", "records were cut in two by others, and written again whole", to);
        print_if(item, "uncertain",
            is_file(item) ? "records may stand twice: the file was cut meanwhile"
                          : "records were under way when a worker ended, and were sent again",
            to);
    }
}

static void print_alarms(const cJSON *report, FILE *to)
{
    const cJSON *alarm = NULL;
    bool first = true;
    cJSON_ArrayForEach(alarm, cJSON_GetObjectItemCaseSensitive(report, "alarms"))
    {
        const char *failure = ask_text(alarm, "last_failure");
        (void)fprintf(to, "%salarm %s: raised %llu, suppressed %llu, failed %llu%s%s\n",
            first ? "\n" : "", ask_text(alarm, "name"),
            (unsigned long long)ask_number(alarm, "raised"),
            (unsigned long long)ask_number(alarm, "suppressed"),
            (unsigned long long)ask_number(alarm, "failed"), failure[0] != '\0' ? ": " : "",
            failure);
        first = false;
    }
}

static void print_notes(const cJSON *report, FILE *to)
{
    const char *reload_error = ask_text(report, "reload_error");
    uint64_t crashed = ask_number(report, "workers_crashed");
    uint64_t fenced = ask_number(report, "fenced_outputs");
    if (crashed > 0) {
        (void)fprintf(to, "\nworkers that died and were replaced: %llu; standard error says how\n",
            (unsigned long long)crashed);
    }
    if (fenced > 0) {
        (void)fprintf(to,
            "\n%d outputs stay closed: a dead worker is still in a call on their files\n",
            __builtin_popcountll(fenced));
    }
    if (ask_number(report, "ring_refused") > 0) {
        (void)fprintf(to, "\nprograms that got no ring, for want of ring-memory-total: %llu\n",
            (unsigned long long)ask_number(report, "ring_refused"));
    }
    if (reload_error[0] != '\0') {
        (void)fprintf(to, "\nthe last reload changed nothing:\n%s\n", reload_error);
    }
}

void status_print(
    const cJSON *report, uint64_t at_ns, const struct status_verdict *verdict, FILE *to)
{
    int width = name_width(report);
    (void)fprintf(to, "%s\nyarder %s, pid %llu, %s, %llu programs attached\n", verdict->line,
        ask_text(report, "version"), (unsigned long long)ask_number(report, "pid"),
        ask_text(report, "io"), (unsigned long long)ask_number(report, "ring_clients"));
    print_table(cJSON_GetObjectItemCaseSensitive(report, "inputs"), "INPUT", input_columns,
        YARDER_COUNT_OF(input_columns), width, to);
    print_router(report, to);
    print_patterns(report, to);
    print_table(cJSON_GetObjectItemCaseSensitive(report, "outputs"), "OUTPUT", output_columns,
        YARDER_COUNT_OF(output_columns), width, to);
    print_connections(report, to);
    print_marks(report, at_ns, to);
    print_alarms(report, to);
    print_notes(report, to);
}
