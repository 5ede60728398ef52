/* SPDX-License-Identifier: Apache-2.0 */
/* `yarder spool ls`, `check` and `repair`. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "cli/spool.h"
#include "queue/spool_check.h"

enum verb { VERB_LIST, VERB_CHECK, VERB_REPAIR };

/* What is done to each spool. */
struct tour {
    const struct cli *cli;
    const struct spool_command *options;
    enum verb verb;
    cJSON *list;
    uint32_t spools;
    int status;
};

static void say_line(void *owner, const char *line)
{
    (void)owner;
    (void)fprintf(stderr, "%s\n", line);
}

enum { SIZE_BYTES = 16 };

/* "5.6M" */
static const char *size_text(uint64_t bytes, char at[SIZE_BYTES])
{
    static const char units[] = {'K', 'M', 'G', 'T'};
    double size = (double)bytes / 1024;
    size_t unit = 0;
    while (size >= 1000 && unit + 1 < sizeof(units)) {
        size /= 1024;
        unit++;
    }
    (void)snprintf(at, SIZE_BYTES, "%.1f%c", size, units[unit]);
    return at;
}

static void print_row(const char *name, const struct spool_report *report)
{
    char since[32] = "-";
    char bytes[SIZE_BYTES];
    char process[32] = "";
    if (report->first_ns > 0) {
        time_t at = (time_t)(report->first_ns / 1000000000);
        struct tm parts;
        (void)strftime(since, sizeof(since), "%F %T", localtime_r(&at, &parts));
    }
    if (report->process != 0) {
        (void)snprintf(process, sizeof(process), "process %lld", (long long)report->process);
    }
    uint64_t lost = report->totals.damaged + report->missing;
    (void)printf("%-24s %10llu %9s %8u  %-19s %10llu %5u  %s\n", name,
        (unsigned long long)report->records, size_text(report->bytes, bytes), report->segments,
        since, (unsigned long long)lost, report->aside, process);
}

static void add_row(cJSON *list, const char *name, const struct spool_report *report, bool reads)
{
    cJSON *row = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(row, "name", name);
    (void)cJSON_AddNumberToObject(row, "records", (double)report->records);
    (void)cJSON_AddNumberToObject(row, "bytes", (double)report->bytes);
    (void)cJSON_AddNumberToObject(row, "segments", report->segments);
    (void)cJSON_AddNumberToObject(row, "first_ns", (double)report->first_ns);
    (void)cJSON_AddNumberToObject(row, "delivered", (double)report->totals.delivered);
    (void)cJSON_AddNumberToObject(row, "dead", (double)report->totals.dead);
    (void)cJSON_AddNumberToObject(row, "dropped_oldest", (double)report->totals.dropped_oldest);
    (void)cJSON_AddNumberToObject(row, "damaged", (double)report->totals.damaged);
    (void)cJSON_AddNumberToObject(row, "aside", report->aside);
    (void)cJSON_AddNumberToObject(row, "process", (double)report->process);
    if (reads) {
        (void)cJSON_AddNumberToObject(row, "sound", (double)report->sound);
        (void)cJSON_AddNumberToObject(row, "missing", (double)report->missing);
        (void)cJSON_AddNumberToObject(row, "bad_bytes", (double)report->bad_bytes);
    }
    (void)cJSON_AddItemToArray(list, row);
}

static void print_verdict(const char *name, const struct spool_report *report, bool bad)
{
    if (bad) {
        (void)printf("%s: damaged: %llu bytes in %u segments are no record, %llu records are "
                     "missing%s\n",
            name, (unsigned long long)report->bad_bytes, report->bad_segments,
            (unsigned long long)report->missing,
            report->no_ack ? "; no ack file: all of it comes again" : "");
        return;
    }
    (void)printf("%s: sound, %llu records wait", name, (unsigned long long)report->records);
    if (report->missing > 0) {
        (void)printf(
            ", and %llu of them are known to be lost", (unsigned long long)report->missing);
    }
    (void)putchar('\n');
}

static void look(struct tour *tour, const char *name, const struct spool_check_options *options)
{
    struct spool_report report;
    int r = spool_check(&report, options);
    if (r < 0) {
        cli_say(tour->cli, "%s: %s", name, strerror(-r));
        tour->status = CLI_FAILED;
        return;
    }
    bool bad = report.bad_bytes > 0 || report.no_ack;
    if (tour->verb == VERB_CHECK && bad) {
        tour->status = CLI_FAILED;
    }
    if (tour->list != NULL) {
        add_row(tour->list, name, &report, options->reads);
    } else if (tour->verb == VERB_CHECK) {
        print_verdict(name, &report, bad);
    } else {
        print_row(name, &report);
    }
}

static void repair(struct tour *tour, const char *name, const struct spool_check_options *options)
{
    uint32_t mended = 0;
    int r = spool_repair(options, &mended);
    if (r == 0) {
        (void)printf("%s: %s\n", name, mended > 0 ? "mended" : "nothing to mend");
        return;
    }
    if (r == -EAGAIN) {
        cli_say(tour->cli,
            "%s: a daemon has it open, and goes on behind damage by itself; stop it "
            "to repair",
            name);
    } else if (r == -ENOSPC) {
        cli_say(tour->cli, "%s: no room for what is damaged: empty its folder damaged/", name);
    } else {
        cli_say(tour->cli, "%s: %s", name, strerror(-r));
    }
    tour->status = CLI_FAILED;
}

static void visit(void *tour_, const char *folder)
{
    struct tour *tour = tour_;
    char name[256];
    const struct spool_check_options options = {.state_dir = tour->options->state_dir,
        .folder = folder,
        .reads = tour->verb == VERB_CHECK,
        .tell = tour->list != NULL ? NULL : say_line};
    spool_name_of_folder(folder, name, sizeof(name));
    tour->spools++;
    if (tour->verb == VERB_REPAIR) {
        repair(tour, name, &options);
    } else {
        look(tour, name, &options);
    }
}

static int visit_all(struct tour *tour, char *const *names, int count)
{
    for (int i = 0; i < count; i++) {
        char folder[256];
        spool_folder_name(names[i], folder, sizeof(folder));
        visit(tour, folder);
    }
    int r = count > 0 ? 0 : spool_folders(tour->options->state_dir, visit, tour);
    if (r < 0) {
        cli_say(tour->cli, "%s/spool: %s", tour->options->state_dir, strerror(-r));
        tour->status = CLI_FAILED;
    }
    if (tour->spools == 0 && r == 0 && tour->list == NULL) {
        (void)fprintf(stderr, "no queue on disk in %s/spool\n", tour->options->state_dir);
    }
    return tour->status;
}

static int look_at_all(const struct cli *cli, const struct spool_command *options, enum verb verb,
    char *const *names, int count)
{
    struct tour tour = {.cli = cli, .options = options, .verb = verb, .status = CLI_GOOD};
    if (options->json) {
        tour.list = cJSON_CreateArray();
    } else if (verb == VERB_LIST) {
        (void)printf("%-24s %10s %9s %8s  %-19s %10s %5s\n", "NAME", "RECORDS", "BYTES", "SEGMENTS",
            "SINCE", "KNOWN LOST", "ASIDE");
    }
    int status = visit_all(&tour, names, count);
    char *text = tour.list == NULL ? NULL : cJSON_Print(tour.list);
    if (text != NULL) {
        (void)puts(text);
        cJSON_free(text);
    }
    cJSON_Delete(tour.list);
    return status;
}

int spool_list_command(
    const struct cli *cli, const struct spool_command *options, char *const *names, int count)
{
    return look_at_all(cli, options, VERB_LIST, names, count);
}

int spool_check_command(
    const struct cli *cli, const struct spool_command *options, char *const *names, int count)
{
    return look_at_all(cli, options, VERB_CHECK, names, count);
}

int spool_repair_command(
    const struct cli *cli, const struct spool_command *options, char *const *names, int count)
{
    if (options->json) {
        return cli_refuse(cli, "--json is for ls and check");
    }
    struct tour tour = {.cli = cli, .options = options, .verb = VERB_REPAIR, .status = CLI_GOOD};
    return visit_all(&tour, names, count);
}
