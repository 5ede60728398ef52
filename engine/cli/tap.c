/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `yarder tap`: what passes the router, live. The daemon asks only integers of each record (level,
 * input, output, sample, rate); patterns and names are asked here, by the same router that outputs
 * are chosen by, so a looker's regular expression costs the daemon nothing.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/text.h"
#include "cli/tap_link.h"
#include "cli/tap_print.h"
#include "codec/encode.h"
#include "codec/pack.h"
#include "os/memory.h"
#include "route/route.h"

enum { LOOK_MS = 50, WHY_BYTES = 256, RATE_OF_PEOPLE = 2000 };

struct tap_options {
    char *run_dir;
    struct route_selectors selectors; /* inputs are asked by the daemon */
    struct yarder_texts outputs;
    uint64_t sample;
    uint64_t rate;
    uint64_t count;
    uint64_t for_ns;
    char *format;
};

#define FIELD(member) offsetof(struct tap_options, member)

/* clang-format off: a table */
static const struct cli_option tap_table[] = {
    CLI_RUN_DIR(struct tap_options),
    {{"level", YARDER_OPTION_LEVELS, FIELD(selectors.levels), NULL, 0, 0, NULL, NULL,
         "LEVEL[..LEVEL]", "records of this level and above, or of a range"},
        'l'},
    {{"match", YARDER_OPTION_TEXTS, FIELD(selectors.match), NULL, 0, 0, NULL, NULL, "REGEX",
         "records whose text matches; repeated: any of them"},
        'm'},
    {{"not-match", YARDER_OPTION_TEXTS, FIELD(selectors.not_match), NULL, 0, 0, NULL, NULL, "REGEX",
         "not those whose text matches"},
        0},
    {{"logger", YARDER_OPTION_TEXTS, FIELD(selectors.logger), NULL, 0, 0, NULL, NULL, "NAME",
         "records of this logger and its children"},
        0},
    {{"tag", YARDER_OPTION_TEXTS, FIELD(selectors.tag), NULL, 0, 0, NULL, NULL, "NAME[*]",
         "records with this tag"},
        0},
    {{"host", YARDER_OPTION_TEXTS, FIELD(selectors.host), NULL, 0, 0, NULL, NULL, "NAME[*]",
         "records of this host"},
        0},
    {{"field", YARDER_OPTION_TEXTS, FIELD(selectors.field), NULL, 0, 0, NULL, NULL,
         "NAME=REGEX|LOW..HIGH", "records whose field matches whole, or whose number lies between"},
        0},
    {{"input", YARDER_OPTION_TEXTS, FIELD(selectors.input), NULL, 0, 0, NULL, NULL, "NAME",
         "records of this input"},
        'i'},
    {{"output", YARDER_OPTION_TEXTS, FIELD(outputs), NULL, 0, 0, NULL, NULL, "NAME",
         "records that this output takes"},
        'o'},
    {{"sample", YARDER_OPTION_COUNT, FIELD(sample), "1", 1, UINT32_MAX, NULL, NULL, "N",
         "one of N only"},
        0},
    {{"rate", YARDER_OPTION_COUNT, FIELD(rate), NULL, 0, UINT32_MAX, NULL, NULL, "N",
         "at most N a second; 0: all, as far as they can be read [2000]"},
        0},
    {{"count", YARDER_OPTION_COUNT, FIELD(count), NULL, 1, UINT64_MAX, NULL, NULL, "N",
         "ends after N records"},
        'n'},
    {{"for", YARDER_OPTION_DURATION, FIELD(for_ns), NULL, 0, UINT64_MAX, NULL, NULL, "TIME",
         "ends after this time"},
        0},
    {{"format", YARDER_OPTION_TEXT, FIELD(format), NULL, 0, 0, NULL, NULL, "FORMAT",
         "as an output's: json, text, a template ...; else a line for people"},
        'f'},
    CLI_OPTIONS_END,
};
/* clang-format on */

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

struct tap_view {
    const struct tap_options *options;
    struct tap_link link;
    struct router *router;   /* one output: what is shown */
    struct encoder *encoder; /* NULL: for people */
    char *rendered;
    size_t rendered_bytes;
    bool terminal;
    uint64_t shown, missed;
};

static void add_texts(cJSON *request, const char *member, const struct yarder_texts *texts)
{
    cJSON *list = cJSON_AddArrayToObject(request, member);
    for (uint32_t i = 0; i < texts->count; i++) {
        (void)cJSON_AddItemToArray(list, cJSON_CreateString(texts->at[i]));
    }
}

/* The line that asks; the caller's. NULL: no memory. */
static char *request_of(const struct tap_options *options)
{
    const struct yarder_levels *levels = &options->selectors.levels;
    cJSON *request = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(request, "do", "tap");
    (void)cJSON_AddNumberToObject(request, "lowest", levels->lowest);
    (void)cJSON_AddNumberToObject(
        request, "highest", levels->highest == 0 ? YARDER_LEVEL_MAX : levels->highest);
    (void)cJSON_AddNumberToObject(request, "sample", (double)options->sample);
    (void)cJSON_AddNumberToObject(request, "rate", (double)options->rate);
    add_texts(request, "inputs", &options->selectors.input);
    add_texts(request, "outputs", &options->outputs);
    char *text = cJSON_PrintUnformatted(request);
    cJSON_Delete(request);
    size_t length = text == NULL ? 0 : strlen(text);
    char *line = text == NULL ? NULL : realloc(text, length + 2);
    if (line != NULL) {
        line[length] = '\n';
        line[length + 1] = '\0';
    }
    return line;
}

static int open_filter(const struct cli *cli, struct tap_view *view)
{
    static const char of_output[] = "output tap, "; /* the router knows us as one */
    char why[WHY_BYTES] = "";
    struct route_output output = {
        .name = "tap", .named = true, .selectors = view->options->selectors};
    output.selectors.input = (struct yarder_texts){0};
    output.selectors.levels = (struct yarder_levels){0};
    const struct route_spec spec = {.outputs = &output, .outputs_count = 1};
    int r = router_open(&view->router, &spec, why, sizeof(why));
    if (r == 0 && view->options->format != NULL) {
        r = encoder_open(
            &view->encoder, view->options->format, ENCODE_NEWLINES_ESCAPE, "-", why, sizeof(why));
    }
    bool ours = strncmp(why, of_output, strlen(of_output)) == 0;
    const char *reason = ours ? why + strlen(of_output) : why;
    return r < 0 ? cli_refuse(cli, "%s%s", ours ? "--" : "", why[0] != '\0' ? reason : strerror(-r))
                 : CLI_GO_ON;
}

static void print_rendered(struct tap_view *view, const struct yarder_record *record)
{
    size_t bound = encoder_bound(view->encoder, record);
    if (bound > view->rendered_bytes) {
        char *larger = realloc(view->rendered, bound);
        if (larger == NULL) {
            view->missed++;
            return;
        }
        view->rendered = larger;
        view->rendered_bytes = bound;
    }
    size_t length = encoder_run(view->encoder, record, view->rendered);
    if (view->terminal) {
        tap_print_safe((struct yarder_text){view->rendered, length}, stdout);
    } else {
        (void)fwrite(view->rendered, 1, length, stdout);
    }
}

/* One entry: shown if it passes. */
static void look_at(struct tap_view *view, const struct tap_entry *entry, size_t bytes)
{
    struct yarder_field fields[YARDER_FIELDS_MAX];
    struct yarder_record record;
    struct yarder_id id;
    struct route_verdict verdict;
    size_t taken = 0;
    if (pack_read((const char *)(entry + 1), bytes, &record, &id, fields, YARDER_FIELDS_MAX,
            &taken) < 0) {
        view->missed++;
        return;
    }
    record.input = 0; /* asked by the daemon; the filter knows none */
    router_decide(view->router, &record, 1, record.received_ns, &verdict);
    if (verdict.outputs == 0) {
        return;
    }
    view->shown++;
    if (view->encoder != NULL) {
        print_rendered(view, &record);
    } else {
        tap_print_record(&record, view->terminal && getenv("NO_COLOR") == NULL, stdout);
    }
}

static bool is_done(const struct tap_view *view, uint64_t end_ns)
{
    bool enough = view->options->count != 0 && view->shown >= view->options->count;
    return enough || interrupted != 0 || (uint64_t)os_monotonic_ns() >= end_ns ||
           ferror(stdout) != 0;
}

/* Until the end, or until the daemon hangs up: false. */
static bool watch(struct tap_view *view, uint64_t end_ns)
{
    bool there = true;
    while (!is_done(view, end_ns)) {
        size_t bytes = 0;
        const struct tap_entry *entry = tap_reader_next(&view->link.reader, &bytes);
        if (entry != NULL) {
            look_at(view, entry, bytes);
            continue;
        }
        (void)fflush(stdout);
        if (!there) {
            return false; /* all that it had written was read */
        }
        there = tap_link_wait(&view->link, LOOK_MS);
    }
    return true;
}

static void tell_missed(const struct cli *cli, const struct tap_view *view)
{
    const struct tap_reader *reader = &view->link.reader;
    uint64_t spared = reader->header == NULL ? 0 : reader->header->spared;
    uint64_t missed = view->missed + reader->missed;
    if (spared > 0) {
        cli_say(cli, "%llu records were not shown: over --rate, or between samples",
            (unsigned long long)spared);
    }
    if (missed > 0) {
        cli_say(cli, "%llu records came faster than they were read and were not shown",
            (unsigned long long)missed);
    }
}

static int show(const struct cli *cli, struct tap_view *view, const char *line)
{
    const struct tap_options *options = view->options;
    uint64_t end_ns =
        options->for_ns == 0 ? UINT64_MAX : (uint64_t)os_monotonic_ns() + options->for_ns;
    int status = CLI_GO_ON;
    while (status == CLI_GO_ON) {
        status = tap_link_open(cli, &view->link, options->run_dir, line);
        if (status != CLI_GO_ON) {
            break;
        }
        status = watch(view, end_ns) ? CLI_GOOD : CLI_GO_ON;
        tell_missed(cli, view);
        tap_link_close(&view->link);
        if (status == CLI_GO_ON) {
            cli_say(cli, "the daemon's worker went; looking for the next one");
        }
    }
    return status;
}

static int run_tap(struct cli *cli)
{
    struct tap_options options = {.sample = 1, .rate = RATE_OF_PEOPLE};
    int r = cli_parse(cli, &options);
    if (r != CLI_GO_ON) {
        return r;
    }
    if (cli->words_count > 0) {
        return cli_refuse(
            cli, "takes no words, but got '%.64s'; --match shows what matches", cli->words[0]);
    }
    struct tap_view view = {.options = &options, .terminal = isatty(STDOUT_FILENO) == 1};
    YARDER_OWN_HEAP char *line = request_of(&options);
    const struct sigaction act = {.sa_handler = on_signal};
    (void)sigaction(SIGINT, &act, NULL);
    (void)sigaction(SIGTERM, &act, NULL);
    r = line == NULL ? CLI_FAILED : open_filter(cli, &view);
    int status = r == CLI_GO_ON ? show(cli, &view, line) : r;
    router_close(view.router);
    encoder_close(view.encoder);
    free(view.rendered);
    return status;
}

const struct command command_tap = {
    .name = "tap",
    .usage = "[OPTIONS]",
    .summary = "records as they pass, live",
    .about =
        "Shows what the daemon routes right now, filtered; nothing waits for it and nothing is\n"
        "taken away. Patterns are matched here, not in the daemon. Control characters of records\n"
        "are escaped. Ends at ctrl-C, after --count records or --for a time.\n",
    .examples = "  yarder tap --level warning --match 'timeout|refused'\n"
                "  yarder tap --output all.log --sample 100 --format json | jq .message\n",
    .options = tap_table,
    .run = run_tap,
};
