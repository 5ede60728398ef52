/* SPDX-License-Identifier: Apache-2.0 */
#include "control/report.h"

#include <stdarg.h>
#include <string.h>

#include "base/text.h"

enum { WHAT_BYTES_MAX = 1000 };

void report_init(struct config_report *report)
{
    *report = (struct config_report){0};
}

void report_deinit(struct config_report *report)
{
    for (uint32_t i = 0; i < report->entries_count; i++) {
        free(report->entries[i].where);
        free(report->entries[i].what);
    }
    free(report->entries);
    report_init(report);
}

/* What a configuration holds may be anything; on a terminal it must stay one harmless line. */
static void make_printable(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f) {
            *text = '?';
        }
    }
}

static bool make_room(struct config_report *report)
{
    if (report->entries_count < report->entries_room) {
        return true;
    }
    uint32_t room = (uint32_t)yarder_min(report->entries_room * 2 + 16, REPORT_ENTRIES_MAX);
    struct report_entry *grown = reallocarray(report->entries, room, sizeof(*grown));
    if (grown == NULL) {
        return false;
    }
    report->entries = grown;
    report->entries_room = room;
    return true;
}

/* A line of a file that counts for several outputs is wrong once. */
static bool is_told(const struct config_report *report, enum report_severity severity,
    const char *where, const char *what)
{
    for (uint32_t i = 0; i < report->entries_count; i++) {
        const struct report_entry *entry = &report->entries[i];
        if (entry->severity == severity && strcmp(entry->where, where) == 0 &&
            strcmp(entry->what, what) == 0) {
            return true;
        }
    }
    return false;
}

void report_add(struct config_report *report, enum report_severity severity, const char *where,
    const char *format, ...)
{
    char what[WHAT_BYTES_MAX];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(what, sizeof(what), format, list);
    va_end(list);
    make_printable(what);
    where = where == NULL ? "" : where;
    if (where[0] != '\0' && is_told(report, severity, where, what)) {
        return;
    }
    report->counts[severity]++;
    if (report->entries_count == REPORT_ENTRIES_MAX) {
        return;
    }
    struct report_entry entry = {
        .severity = severity, .where = strdup(where), .what = strdup(what)};
    if (entry.where == NULL || entry.what == NULL || !make_room(report)) {
        free(entry.where);
        free(entry.what);
        report->no_memory = true;
        return;
    }
    make_printable(entry.where);
    report->entries[report->entries_count++] = entry;
}

/* How much of "file:line" is the file; a place without a line is one of its own. */
static size_t file_bytes(const char *where, uint32_t *line)
{
    const char *colon = strrchr(where, ':');
    uint64_t number = 0;
    *line = 0;
    if (colon == NULL || text_to_u64(text_of(colon + 1), &number) < 0 || number > UINT32_MAX) {
        return strlen(where);
    }
    *line = (uint32_t)number;
    return (size_t)(colon - where);
}

static uint64_t place_of(const struct config_report *report, uint32_t index)
{
    uint32_t line = 0;
    uint32_t ignored = 0;
    const char *where = report->entries[index].where;
    size_t length = file_bytes(where, &line);
    uint32_t first = 0;
    while (first < index && (file_bytes(report->entries[first].where, &ignored) != length ||
                                strncmp(report->entries[first].where, where, length) != 0)) {
        first++;
    }
    return length == 0 ? UINT64_MAX : (uint64_t)first << 32 | line;
}

void report_sort(struct config_report *report)
{
    struct report_entry *entries = report->entries;
    for (uint32_t i = 0; i < report->entries_count; i++) {
        entries[i].place = place_of(report, i);
    }
    for (uint32_t i = 1; i < report->entries_count; i++) { /* nearly sorted as a rule */
        struct report_entry moved = entries[i];
        uint32_t at = i;
        for (; at > 0 && entries[at - 1].place > moved.place; at--) {
            entries[at] = entries[at - 1];
        }
        entries[at] = moved;
    }
}

static void print_severity(
    const struct config_report *report, enum report_severity severity, FILE *to)
{
    static const char *const words[] = {"", "warning: ", "note: "};
    uint32_t shown = 0;
    for (uint32_t i = 0; i < report->entries_count; i++) {
        const struct report_entry *entry = &report->entries[i];
        if (entry->severity == severity) {
            const char *colon = entry->where[0] == '\0' ? "" : ": ";
            (void)fprintf(to, "%s%s%s%s\n", entry->where, colon, words[severity], entry->what);
            shown++;
        }
    }
    if (report->counts[severity] > shown) {
        static const char *const names[] = {"errors", "warnings", "notes"};
        (void)fprintf(
            to, "... and %u more %s\n", report->counts[severity] - shown, names[severity]);
    }
}

void report_print(const struct config_report *report, bool notes, FILE *to)
{
    print_severity(report, REPORT_ERROR, to);
    print_severity(report, REPORT_WARNING, to);
    if (notes) {
        print_severity(report, REPORT_NOTE, to);
    }
}
