/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/send.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "cli/ask.h"
#include "cli/sequence.h"
#include "os/memory.h"

struct send_options {
    char *run_dir;
    char *unix_path;
    char *udp;
    char *tcp;
    char *tag;
    char *logger;
    char *sequence;
    struct yarder_texts fields;
    uint64_t count;
    uint64_t rate;
    uint64_t size_bytes;
    uint64_t processes;
    uint64_t threads;
    uint8_t level; /* 0: not said */
    bool block;
    bool gso;
    bool stdin_lines;
    bool quiet;
};

static int parse_level(void *target, const char *text, char *why, size_t why_bytes)
{
    if (text_to_level(text_of(text), target) < 0 || *(uint8_t *)target == 0) {
        (void)snprintf(why, why_bytes,
            "expected a level: debug, info, notice, warning, error, "
            "critical, alert, emerg or 1 to 255");
        return -EINVAL;
    }
    return 0;
}

#define FIELD(member) offsetof(struct send_options, member)

/* clang-format off: a table */
static const struct cli_option send_table[] = {
    CLI_RUN_DIR(struct send_options),
    {{"level", YARDER_OPTION_SPECIAL, FIELD(level), NULL, 0, 0, NULL, parse_level, "LEVEL",
         "of the records; info if not said"},
        'l'},
    {{"tag", YARDER_OPTION_TEXT, FIELD(tag), NULL, 0, 0, NULL, NULL, "NAME",
         "who logs; else yarder"},
        't'},
    {{"logger", YARDER_OPTION_TEXT, FIELD(logger), NULL, 0, 0, NULL, NULL, "NAME",
         "dotted name of the logger"},
        0},
    {{"field", YARDER_OPTION_TEXTS, FIELD(fields), NULL, 0, 0, NULL, NULL, "KEY=VALUE",
         "a field; may repeat"},
        'f'},
    {{"stdin-lines", YARDER_OPTION_BOOL, FIELD(stdin_lines), NULL, 0, 0, NULL, NULL, "",
         "lines of standard input (also without any TEXT)"},
        0},
    {{"count", YARDER_OPTION_COUNT, FIELD(count), NULL, 0, UINT64_MAX, NULL, NULL, "N",
         "so many records of each sender; 0: until INT or TERM"},
        'n'},
    {{"rate", YARDER_OPTION_COUNT, FIELD(rate), NULL, 0, 100000000, NULL, NULL, "N",
         "records a second of each sender; 0: as fast as it goes"},
        'r'},
    {{"size", YARDER_OPTION_BYTES, FIELD(size_bytes), NULL, 1, SEQUENCE_RECORD_BYTES_MAX, NULL,
         NULL, "SIZE", "of records that are made up [100]"},
        's'},
    {{"sequence", YARDER_OPTION_TEXT, FIELD(sequence), NULL, 0, 0, NULL, NULL, "SOURCE",
         "records as SOURCE NUMBER CHECKSUM PADDING, for an audit"},
        0},
    {{"block", YARDER_OPTION_BOOL, FIELD(block), NULL, 0, 0, NULL, NULL, "",
         "wait for room in a full ring, up to 10s and while the daemon is there"},
        'b'},
    {{"processes", YARDER_OPTION_COUNT, FIELD(processes), "1", 1, SEND_SENDERS_MAX, NULL, NULL, "N",
         "senders: processes, each"},
        0},
    {{"threads", YARDER_OPTION_COUNT, FIELD(threads), "1", 1, SEND_SENDERS_MAX, NULL, NULL, "N",
         "with so many threads"},
        0},
    {{"socket", YARDER_OPTION_TEXT, FIELD(unix_path), NULL, 0, 0, NULL, NULL, "PATH",
         "by a unix socket instead of the ring"},
        0},
    {{"udp", YARDER_OPTION_TEXT, FIELD(udp), NULL, 0, 0, NULL, NULL, "HOST:PORT",
         "by datagrams instead"},
        0},
    {{"gso", YARDER_OPTION_BOOL, FIELD(gso), NULL, 0, 0, NULL, NULL, "",
         "with --udp: what is due goes by one call, a datagram each (UDP_SEGMENT)"},
        0},
    {{"tcp", YARDER_OPTION_TEXT, FIELD(tcp), NULL, 0, 0, NULL, NULL, "HOST:PORT",
         "by a connection, a line each, instead"},
        0},
    {{"quiet", YARDER_OPTION_BOOL, FIELD(quiet), NULL, 0, 0, NULL, NULL, "",
         "no summary on standard error"},
        'q'},
    CLI_OPTIONS_END,
};
/* clang-format on */

static int plan_way(
    const struct cli *cli, const struct send_options *options, struct send_plan *plan)
{
    const char *const addresses[] = {NULL, options->unix_path, options->udp, options->tcp};
    for (size_t i = 0; i < YARDER_COUNT_OF(addresses); i++) {
        if (addresses[i] == NULL) {
            continue;
        }
        if (plan->address != NULL) {
            return cli_refuse(cli, "takes one of --socket, --udp and --tcp");
        }
        plan->address = addresses[i];
        plan->way = (enum send_way)i;
    }
    if (plan->way != SEND_RING &&
        (options->fields.count > 0 || options->block || options->logger != NULL)) {
        return cli_refuse(cli, "--field, --logger and --block go with the ring, not with a socket");
    }
    if (options->gso && plan->way != SEND_UDP) {
        return cli_refuse(cli, "--gso goes with --udp");
    }
    plan->syslog_head = plan->way != SEND_RING && (options->level != 0 || options->tag != NULL);
    return CLI_GO_ON;
}

static int plan_text(struct cli *cli, const struct send_options *options, struct send_plan *plan)
{
    bool made = options->sequence != NULL || options->count > 0 || options->size_bytes > 0;
    if (cli->words_count > 0 &&
        (options->sequence != NULL || options->size_bytes > 0 || options->stdin_lines)) {
        return cli_refuse(
            cli, "TEXT does not go together with --sequence, --size or --stdin-lines");
    }
    if (options->stdin_lines && (made || options->rate > 0)) {
        return cli_refuse(
            cli, "--stdin-lines does not go together with --sequence, --count, --rate or --size");
    }
    if (options->sequence != NULL && !sequence_source_is_good(options->sequence)) {
        return cli_refuse(cli,
            "--sequence: expected 1 to %d letters, digits, '_', '.' or '-', not '%.64s'",
            SEQUENCE_SOURCE_BYTES_MAX, options->sequence);
    }
    if (cli->words_count > 0) {
        struct arena *arena = &cli->arena;
        char *text = cli->words[0];
        for (int i = 1; i < cli->words_count; i++) {
            text = arena_format(arena, "%s %s", text, cli->words[i]);
        }
        plan->text = text;
        return CLI_GO_ON;
    }
    plan->sequence = options->sequence;
    plan->read_lines = !made && options->rate == 0;
    plan->size_bytes = options->size_bytes > 0 ? options->size_bytes : 100;
    return CLI_GO_ON;
}

static int plan_fields(struct cli *cli, const struct send_options *options, struct send_plan *plan)
{
    const struct yarder_texts *given = &options->fields;
    if (given->count > YARDER_FIELDS_MAX) {
        return cli_refuse(cli, "at most %d fields", YARDER_FIELDS_MAX);
    }
    struct yarder_field *fields = arena_take(&cli->arena, sizeof(*fields) * YARDER_FIELDS_MAX);
    for (uint32_t i = 0; i < given->count && fields != NULL; i++) {
        const char *equals = strchr(given->at[i], '=');
        if (equals == NULL || equals == given->at[i] ||
            equals - given->at[i] > YARDER_FIELD_KEY_BYTES_MAX) {
            return cli_refuse(cli, "--field: expected KEY=VALUE, not '%.64s'", given->at[i]);
        }
        fields[i] = (struct yarder_field){.key = {given->at[i], (size_t)(equals - given->at[i])},
            .value = text_of(equals + 1),
            .type = YARDER_FIELD_TEXT};
    }
    plan->message.fields = fields;
    plan->message.fields_count = given->count;
    return CLI_GO_ON;
}

static int make_plan(struct cli *cli, const struct send_options *options, struct send_plan *plan)
{
    bool endless = options->rate > 0 || options->sequence != NULL || options->size_bytes > 0;
    *plan = (struct send_plan){.run_dir = options->run_dir,
        .tag = options->tag != NULL ? options->tag : "yarder",
        .block = options->block,
        .trains = options->gso,
        .count = options->count > 0 || endless ? options->count : 1,
        .rate = options->rate,
        .processes = (uint32_t)options->processes,
        .threads = (uint32_t)options->threads};
    plan->message.level = options->level != 0 ? options->level : YARDER_LEVEL_INFO;
    int r = plan_way(cli, options, plan);
    r = r == CLI_GO_ON ? plan_text(cli, options, plan) : r;
    r = r == CLI_GO_ON ? plan_fields(cli, options, plan) : r;
    if (r != CLI_GO_ON) {
        return r;
    }
    if (options->processes * options->threads > SEND_SENDERS_MAX) {
        return cli_refuse(cli, "at most %d senders", SEND_SENDERS_MAX);
    }
    if (plan->read_lines && options->processes * options->threads > 1) {
        return cli_refuse(
            cli, "standard input has one reader: no --processes or --threads with it");
    }
    plan->message.logger = options->logger != NULL ? yarder_logger(options->logger) : 0;
    if (options->logger != NULL && options->logger[0] != '\0' && plan->message.logger == 0) {
        return cli_refuse(cli, "--logger: at most %d bytes, not '%.64s'", YARDER_LOGGER_BYTES_MAX,
            options->logger);
    }
    return CLI_GO_ON;
}

static int tell_error(const struct cli *cli, const struct send_plan *plan, int error)
{
    char run_dir[ASK_PATH_BYTES];
    const char *where = plan->address;
    if (plan->way == SEND_RING) {
        ask_run_dir(plan->run_dir, run_dir, sizeof(run_dir));
        where = run_dir;
    }
    if (error == -EINVAL && plan->address != NULL) {
        return cli_refuse(cli, "expected HOST:PORT, not '%.128s'", plan->address);
    }
    if (error == -EADDRNOTAVAIL) {
        return cli_refuse(cli, "%.128s: no such host or port", where);
    }
    if (error == -EMSGSIZE) {
        cli_say(cli, "a record over %d bytes, or fields over %d", YARDER_TEXT_BYTES_MAX,
            YARDER_FIELDS_BYTES_MAX);
        return CLI_FAILED;
    }
    return ask_tell(cli, error, where);
}

static void print_summary(const struct cli *cli, const struct send_tally *tally, double seconds)
{
    double rate = seconds > 0 ? (double)tally->sent / seconds : 0;
    double megabytes = seconds > 0 ? (double)tally->bytes / seconds / 1e6 : 0;
    cli_say(cli, "sent %llu lost %llu filtered %llu seconds %.3f rate %.0f/s %.1f MB/s",
        (unsigned long long)tally->sent, (unsigned long long)tally->lost,
        (unsigned long long)tally->filtered, seconds, rate, megabytes);
}

/* What lies in the ring is taken by the daemon there is; without one it is gone with this process.
 */
static void tell_unflushed(const struct cli *cli, const struct send_plan *plan)
{
    char path[ASK_PATH_BYTES];
    cJSON *answer = NULL;
    int r = ask(plan->run_dir, "status", &answer, path);
    cJSON_Delete(answer);
    if (r == -ENOENT || r == -ECONNREFUSED) {
        cli_say(cli, "the daemon went away: what it had not taken yet is lost");
    } else {
        cli_say(cli, "the daemon has not taken everything within %d s; it lies in the ring",
            SEND_FLUSH_MS / 1000);
    }
}

static int send_plan(const struct cli *cli, const struct send_plan *plan, bool quiet)
{
    struct send_tally tally;
    int64_t start_ns = os_monotonic_ns();
    int r = send_load(plan, &tally);
    int status = CLI_GOOD;
    if (r < 0 || tally.error < 0) {
        status = tell_error(cli, plan, r < 0 ? r : tally.error);
        if (tally.sent == 0) {
            return status;
        }
    }
    if (!quiet || tally.lost > 0) {
        print_summary(cli, &tally, (double)(tally.end_ns - start_ns) / 1e9);
    }
    if (tally.unflushed) {
        tell_unflushed(cli, plan);
        return CLI_FAILED;
    }
    return status == CLI_GOOD && tally.lost > 0 ? CLI_FAILED : status;
}

static int run_send(struct cli *cli)
{
    struct send_options options = {0};
    struct send_plan plan;
    int r = cli_parse(cli, &options);
    if (r == CLI_GO_ON) {
        r = make_plan(cli, &options, &plan);
    }
    if (r != CLI_GO_ON) {
        return r;
    }
    bool one = plan.text != NULL && plan.count == 1;
    return send_plan(cli, &plan, options.quiet || one);
}

const struct command command_send = {
    .name = "send",
    .usage = "[TEXT...] [OPTIONS]",
    .summary = "send records: a word, lines, or a load to measure with",
    .about = "Without TEXT (and without --count, --rate, --size, --sequence) lines of standard "
             "input are\n"
             "sent. Status 1 if anything was lost, 3 if there is no daemon.\n",
    .examples = "  yarder send --level warning disk is nearly full\n"
                "  yarder send --sequence a --count 1000000 --rate 200000 --size 200 --block\n",
    .options = send_table,
    .run = run_send,
};
