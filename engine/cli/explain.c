/* SPDX-License-Identifier: Apache-2.0 */
/* `yarder explain LINE`: the router itself decides, on the record that an input would make. */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "cli/sources.h"
#include "codec/put.h"
#include "codec/request.h"
#include "codec/syslog.h"
#include "control/explain.h"
#include "os/memory.h"

/* Marks what was not said, where 0 is a value of its own. */
enum { NOT_SAID = -1 };

struct explain_options {
    char *file;
    char *input;
    char *tag;
    char *logger;
    char *host;
    int level;
    int kind;
    int stream;
    int facility;
};

static int parse_level(void *target, const char *text, char *why, size_t why_bytes)
{
    uint8_t level = 0;
    if (text_to_level(text_of(text), &level) < 0) {
        (void)snprintf(why, why_bytes,
            "expected a level: debug, info, notice, warning, error, "
            "critical, alert, emerg or 0 to 255");
        return -EINVAL;
    }
    *(int *)target = level;
    return 0;
}

static int parse_facility(void *target, const char *text, char *why, size_t why_bytes)
{
    uint8_t facility = 0;
    if (text_to_facility(text_of(text), &facility) < 0) {
        (void)snprintf(why, why_bytes, "expected a facility: kern, user, daemon ... or 0 to 23");
        return -EINVAL;
    }
    *(int *)target = facility;
    return 0;
}

static const char *const kind_choices[] = {"log", "request", NULL};
static const char *const stream_choices[] = {"none", "stdout", "stderr", NULL};

#define FIELD(member) offsetof(struct explain_options, member)

/* clang-format off: a table */
static const struct cli_option explain_table[] = {
    {{"config", YARDER_OPTION_TEXT, FIELD(file), NULL, 0, 0, NULL, NULL, "FILE",
         "the configuration"},
        'c'},
    {{"input", YARDER_OPTION_TEXT, FIELD(input), NULL, 0, 0, NULL, NULL, "NAME",
         "the input that the line comes from; else the first one"},
        0},
    {{"level", YARDER_OPTION_SPECIAL, FIELD(level), NULL, 0, 0, NULL, parse_level, "LEVEL",
         "of the record"},
        0},
    {{"tag", YARDER_OPTION_TEXT, FIELD(tag), NULL, 0, 0, NULL, NULL, "NAME", "of the record"}, 0},
    {{"logger", YARDER_OPTION_TEXT, FIELD(logger), NULL, 0, 0, NULL, NULL, "NAME", "of the record"},
        0},
    {{"host", YARDER_OPTION_TEXT, FIELD(host), NULL, 0, 0, NULL, NULL, "NAME", "of the record"}, 0},
    {{"facility", YARDER_OPTION_SPECIAL, FIELD(facility), NULL, 0, 0, NULL, parse_facility, "NAME",
         "of the record"},
        0},
    {{"kind", YARDER_OPTION_CHOICE, FIELD(kind), NULL, 0, 0, kind_choices, NULL, "log|request",
         "of the record"},
        0},
    {{"stream", YARDER_OPTION_CHOICE, FIELD(stream), NULL, 0, 0, stream_choices, NULL,
         "stdout|stderr", "as if a program had written the line there"},
        0},
    CLI_OPTIONS_END,
};
/* clang-format on */

static int find_input(
    const struct cli *cli, const struct daemon_config *config, const char *name, uint16_t *out)
{
    const char *names[YARDER_INPUTS_MAX];
    for (uint32_t i = 0; i < config->inputs_count; i++) {
        names[i] = config->inputs[i].name;
        if (name == NULL || strcmp(names[i], name) == 0) {
            *out = (uint16_t)i;
            return CLI_GO_ON;
        }
    }
    const char *near = name != NULL ? text_near(name, names, config->inputs_count) : NULL;
    return cli_refuse(cli, "no input is named '%.64s'%s%s%s", name != NULL ? name : "",
        near != NULL ? "; did you mean " : "", near != NULL ? near : "", near != NULL ? "?" : "");
}

/* The names of its fields lie in the format, the caller's to close. */
static struct request_format *read_request(const struct input_config *from, char *scratch,
    struct yarder_field *fields, struct yarder_record *record)
{
    char why[256];
    struct request_format *format = NULL;
    struct request_memo memo = {0};
    if (from->requests != NULL && request_open(&format, from->requests, why, sizeof(why)) == 0) {
        (void)request_parse(format, &memo, scratch, fields, record);
    }
    return format;
}

/* What the line itself says, as the input reads it. */
static void read_line(const struct daemon_config *config, uint16_t input, struct yarder_text line,
    char *scratch, struct yarder_field *fields, struct yarder_record *record)
{
    const struct input_config *from = &config->inputs[input];
    int64_t now_ns = os_realtime_ns();
    *record = (struct yarder_record){
        .received_ns = now_ns, .time_ns = now_ns, .input = input, .facility = YARDER_FACILITY_NONE};
    if (from->parse == INPUT_PARSE_SYSLOG) {
        struct syslog_parser parser = {0};
        syslog_parse(&parser, line, scratch, SYSLOG_SCRATCH_BYTES, fields, record);
    } else {
        record->text = line;
    }
    record->kind = (uint8_t)from->record_kind;
    record->tag = record->tag.length == 0 ? text_of(from->tag) : record->tag;
    record->stream = from->kind == INPUT_EXEC ? YARDER_STREAM_STDOUT : YARDER_STREAM_NONE;
}

static struct yarder_text said(const char *text, struct yarder_text otherwise)
{
    return text != NULL ? text_of(text) : otherwise;
}

static void put_said(const struct explain_options *options, struct yarder_record *record)
{
    record->tag = said(options->tag, record->tag);
    record->logger = said(options->logger, record->logger);
    record->host = said(options->host, record->host);
    record->level = options->level != NOT_SAID ? (uint8_t)options->level : record->level;
    record->kind = options->kind != NOT_SAID ? (uint8_t)options->kind : record->kind;
    record->stream = options->stream != NOT_SAID ? (uint8_t)options->stream : record->stream;
    record->facility =
        options->facility != NOT_SAID ? (uint8_t)options->facility : record->facility;
}

static void print_text(const char *name, struct yarder_text text)
{
    if (text.length > 0) {
        (void)printf(", %s %.*s", name, (int)yarder_min(text.length, 256), text.at);
    }
}

static void print_fields(const struct yarder_record *record)
{
    for (uint32_t i = 0; i < record->fields_count; i++) {
        const struct yarder_field *field = &record->fields[i];
        char number[PUT_NUMBER_BYTES_MAX];
        size_t length = (size_t)(put_number(number, field) - number);
        struct yarder_text value = length > 0 ? (struct yarder_text){number, length} : field->value;
        (void)printf("%s%.*s=%.*s", i == 0 ? "\nfields: " : " ", (int)field->key.length,
            field->key.at, (int)yarder_min(value.length, 256), value.at);
    }
}

/* The record as it was read: what the rules then look at. */
static void print_record(const struct daemon_config *config, const struct yarder_record *record)
{
    (void)printf("from %s: %s", config->inputs[record->input].name, kind_choices[record->kind]);
    if (record->level != YARDER_LEVEL_NOTSET) {
        (void)printf(", level %s", level_name(record->level));
    }
    if (record->facility != YARDER_FACILITY_NONE) {
        (void)printf(", facility %s", facility_name(record->facility));
    }
    if (record->stream != YARDER_STREAM_NONE) {
        (void)printf(", stream %s", stream_choices[record->stream]);
    }
    print_text("host", record->host);
    print_text("tag", record->tag);
    print_text("logger", record->logger);
    if ((record->flags & YARDER_FLAG_UNPARSED) != 0) {
        (void)fputs(record->kind == YARDER_KIND_REQUEST
                        ? ", which can be read in two ways: what is in doubt is left out"
                        : ", not understood as syslog and kept whole",
            stdout);
    }
    print_fields(record);
    (void)printf("\ntext: %.*s\n", (int)yarder_min(record->text.length, 4096), record->text.at);
}

static int explain(const struct cli *cli, const struct explain_options *options,
    const struct daemon_config *config)
{
    struct router *router = NULL;
    struct yarder_field fields[YARDER_FIELDS_MAX];
    struct yarder_record record;
    uint16_t input = 0;
    int r = find_input(cli, config, options->input, &input);
    if (r != CLI_GO_ON) {
        return r;
    }
    YARDER_OWN_HEAP char *scratch = malloc(SYSLOG_SCRATCH_BYTES + REQUEST_SCRATCH_BYTES);
    r = scratch != NULL ? configuration_router(cli, config, &router) : CLI_FAILED;
    if (r != CLI_GO_ON) {
        return r;
    }
    read_line(config, input, text_of(cli->words[0]), scratch, fields, &record);
    struct request_format *format =
        read_request(&config->inputs[input], scratch + SYSLOG_SCRATCH_BYTES, fields, &record);
    put_said(options, &record);
    print_record(config, &record);
    router_explain_record(router, &record, stdout);
    router_close(router);
    r = config_explain_raised(config, &record, stdout);
    request_close(format);
    return r == 0 ? CLI_GOOD : CLI_FAILED;
}

static int run_explain(struct cli *cli)
{
    struct explain_options options = {
        .level = NOT_SAID, .kind = NOT_SAID, .stream = NOT_SAID, .facility = NOT_SAID};
    int r = cli_parse(cli, &options);
    if (r != CLI_GO_ON) {
        return r;
    }
    if (cli->words_count != 1) {
        return cli_refuse(cli, "takes one line, in quotes; it got %d words", cli->words_count);
    }
    struct sources sources = {.file = options.file,
        .default_file = true,
        .keys = cli->keys,
        .keys_count = cli->keys_count};
    struct configuration *configuration = NULL;
    int status = configuration_load_or_tell(cli, &configuration, &sources);
    if (status == CLI_GO_ON) {
        status = explain(cli, &options, configuration->config);
    }
    configuration_close(configuration);
    return status;
}

const struct command command_explain = {
    .name = "explain",
    .usage = "LINE [OPTIONS]",
    .summary = "where a line would go with a configuration, and why",
    .about =
        "The line is read as the input would read it (as syslog where it says parse=syslog); what\n"
        "an option says holds instead of what the line says. Nothing is sent.\n",
    .examples = "  yarder explain 'listen queue of socket 7 full' -c yarder.conf --level error\n"
                "  yarder explain '<11>app[7]: out of memory' --input udp:127.0.0.1:5140\n",
    .options = explain_table,
    .takes_keys = true,
    .run = run_explain,
};
