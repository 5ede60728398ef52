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

static void print_if(const cJSON *object, const char *key, const char *words, FILE *to)
{
    uint64_t count = ask_number(object, key);
    if (count > 0) {
        (void)fprintf(to, "  %llu %s\n", (unsigned long long)count, words);
    }
}

/* What happened to a file by other hands; counted, and harmless unless it says otherwise. */
static void print_marks(const cJSON *report, FILE *to)
{
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(report, "outputs"))
    {
        uint64_t marks = ask_number(item, "torn") + ask_number(item, "uncertain") +
                         ask_number(item, "errors") + ask_number(item, "cut") +
                         ask_number(item, "foreign");
        if (marks > 0) {
            (void)fprintf(to, "\noutput %s:\n", ask_text(item, "name"));
        }
        print_if(item, "errors", "calls on its files failed", to);
        print_if(item, "foreign", "times somebody else had written to the file", to);
        print_if(item, "cut", "times the file had been cut", to);
        print_if(item, "torn", "records were cut in two by others, and written again whole", to);
        print_if(item, "uncertain", "records may stand twice: the file was cut meanwhile", to);
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

void status_print(const cJSON *report, const struct status_verdict *verdict, FILE *to)
{
    int width = name_width(report);
    (void)fprintf(to, "%s\nyarder %s, pid %llu, %s, %llu programs attached\n", verdict->line,
        ask_text(report, "version"), (unsigned long long)ask_number(report, "pid"),
        ask_text(report, "io"), (unsigned long long)ask_number(report, "ring_clients"));
    print_table(cJSON_GetObjectItemCaseSensitive(report, "inputs"), "INPUT", input_columns,
        YARDER_COUNT_OF(input_columns), width, to);
    print_router(report, to);
    print_table(cJSON_GetObjectItemCaseSensitive(report, "outputs"), "OUTPUT", output_columns,
        YARDER_COUNT_OF(output_columns), width, to);
    print_marks(report, to);
    print_notes(report, to);
}
