/* SPDX-License-Identifier: Apache-2.0 */
#include "control/report.h"

#include <stdarg.h>
#include <string.h>

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

void report_add(struct config_report *report, enum report_severity severity, const char *where,
    const char *format, ...)
{
    report->counts[severity]++;
    if (report->entries_count == REPORT_ENTRIES_MAX) {
        return;
    }
    char what[WHAT_BYTES_MAX];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(what, sizeof(what), format, list);
    va_end(list);
    make_printable(what);
    struct report_entry entry = {severity, strdup(where == NULL ? "" : where), strdup(what)};
    if (entry.where == NULL || entry.what == NULL) {
        free(entry.where);
        free(entry.what);
        report->no_memory = true;
        return;
    }
    make_printable(entry.where);
    report->entries[report->entries_count++] = entry;
}

static void print_severity(
    const struct config_report *report, enum report_severity severity, uint32_t shown_max, FILE *to)
{
    static const char *const words[] = {"", "warning: ", "note: "};
    uint32_t shown = 0;
    for (uint32_t i = 0; i < report->entries_count && shown < shown_max; i++) {
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
    print_severity(report, REPORT_ERROR, REPORT_SHOWN_MAX, to);
    print_severity(report, REPORT_WARNING, REPORT_SHOWN_MAX, to);
    if (notes) {
        print_severity(report, REPORT_NOTE, REPORT_SHOWN_MAX, to);
    }
}
