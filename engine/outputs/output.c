/* SPDX-License-Identifier: Apache-2.0 */
#include "outputs/output.h"

#include <errno.h>
#include <string.h>

#include "outputs/output_private.h"

/* clang-format off: a table */
const char *const output_kind_names[OUTPUT_KINDS] = {
    "file", "stdio", "null", "kinds with a backend"};

const char *const output_kind_helps[OUTPUT_KINDS] = {
    [OUTPUT_FILE] = "file:PATH: appends to a file; PATH may hold ${host}, ${tag}, ${time:%F} ...",
    [OUTPUT_STDIO] = "stdio:[stdout|stderr]: the daemon's own standard output or error",
    [OUTPUT_NULL] = "null: takes records and throws them away, for measuring",
    [OUTPUT_OFFLOAD] = "",
};

static const char *const newlines_choices[] = {"auto", "keep", "escape", "indent", NULL};
static const char *const file_io_choices[] = {"auto", "uring", "write", NULL};

enum {
    FILES = 1 << OUTPUT_FILE,
    STDIO = 1 << OUTPUT_STDIO,
    NONE = 1 << OUTPUT_NULL,
    OFFLOAD = 1 << OUTPUT_OFFLOAD,
    EVERY = FILES | STDIO | NONE | OFFLOAD
};

#define FIELD(member) offsetof(struct output_config, member)

const struct output_option output_options[] = {
    {{"level", YARDER_OPTION_LEVELS, FIELD(selectors.levels), NULL, 0, 0, NULL, NULL,
         "LEVEL[..LEVEL]", "records of this level and above, or of a range"},
        EVERY},
    {{"match", YARDER_OPTION_TEXTS, FIELD(selectors.match), NULL, 0, 0, NULL, NULL, "REGEX",
         "records whose text matches; repeated: any of them"},
        EVERY},
    {{"not-match", YARDER_OPTION_TEXTS, FIELD(selectors.not_match), NULL, 0, 0, NULL, NULL, "REGEX",
         "not those whose text matches; repeated: none of them"},
        EVERY},
    {{"logger", YARDER_OPTION_TEXTS, FIELD(selectors.logger), NULL, 0, 0, NULL, NULL, "NAME",
         "records of this logger and its children"},
        EVERY},
    {{"tag", YARDER_OPTION_TEXTS, FIELD(selectors.tag), NULL, 0, 0, NULL, NULL, "NAME[*]",
         "records with this tag"},
        EVERY},
    {{"host", YARDER_OPTION_TEXTS, FIELD(selectors.host), NULL, 0, 0, NULL, NULL, "NAME[*]",
         "records of this host"},
        EVERY},
    {{"input", YARDER_OPTION_TEXTS, FIELD(selectors.input), NULL, 0, 0, NULL, NULL, "NAME",
         "records of this input"},
        EVERY},
    {{"field", YARDER_OPTION_TEXTS, FIELD(selectors.field), NULL, 0, 0, NULL, NULL,
         "NAME=REGEX|LOW..HIGH",
         "records whose field matches whole, or whose number lies in LOW..HIGH, LOW.. or ..HIGH; "
         "also written field.NAME="},
        EVERY},
    {{"facility", YARDER_OPTION_SPECIAL, FIELD(selectors.facilities), NULL, 0, 0, NULL,
         option_parse_facilities, "NAME[+NAME...]", "records of these syslog facilities"},
        EVERY},
    {{"kind", YARDER_OPTION_SPECIAL, FIELD(selectors.kinds), NULL, 0, 0, NULL, option_parse_kinds,
         "log|request", "records of this kind"},
        EVERY},
    {{"stream", YARDER_OPTION_SPECIAL, FIELD(selectors.streams), NULL, 0, 0, NULL,
         option_parse_streams, "stdout|stderr", "records of this stream of a program"},
        EVERY},
    {{"rest", YARDER_OPTION_BOOL, FIELD(selectors.rest), "no", 0, 0, NULL, NULL, "yes|no",
         "only what no selector or route of another output took"},
        EVERY},
    {{"format", YARDER_OPTION_TEXT, FIELD(format), "text", 0, 0, NULL, NULL, "FORMAT",
         "text, syslog, rfc5424, json, python:..., or a template such as ${time:%F %T} ${level}: "
         "${msg}"},
        EVERY},
    {{"newlines", YARDER_OPTION_CHOICE, FIELD(newlines), "auto", 0, 0, newlines_choices, NULL,
         "auto|keep|escape|indent",
         "line ends inside a text; auto escapes what came from a network or as syslog and keeps "
         "the rest"},
        EVERY},
    {{"encode", YARDER_OPTION_TEXTS, FIELD(encode), NULL, 0, 0, NULL, NULL, "ENCODER[ ARGUMENT]",
         "a step that makes new bytes of the text and its newline: prefix, suffix, nl, format, "
         "json, gzip, compress or msgpack; repeated: one after the other"},
        FILES | STDIO | OFFLOAD},
    {{"flush", YARDER_OPTION_DURATION, FIELD(flush_ns), "5ms", 0, UINT64_MAX, NULL, NULL, "TIME",
         "longest wait before a record is written"},
        FILES | STDIO | OFFLOAD},
    {{"queue", YARDER_OPTION_SPECIAL, FIELD(queue), "memory:16M", 0, 0, NULL, option_parse_queue,
         "memory:SIZE|disk:SIZE",
         "what may wait for delivery; on disk, for kinds with a backend, it outlives the daemon"},
        FILES | STDIO | OFFLOAD},
    {{"on-full", YARDER_OPTION_SPECIAL, FIELD(on_full), NULL, 0, 0, NULL, option_parse_on_full,
         "auto|block[:TIME]|drop-newest|drop-oldest",
         "when the queue is full; auto: a single output blocks; of several a file waits 2s a "
         "minute, while nothing is lost, and one with a backend drops the newest"},
        FILES | STDIO | OFFLOAD},
    {{"retry", YARDER_OPTION_SPECIAL, FIELD(retry), "100ms..30s", 0, 0, NULL, option_parse_retry,
         "TIME[..TIME]", "pause before a failed delivery is tried again, and how far it grows"},
        OFFLOAD},
    {{"give-up", YARDER_OPTION_SPECIAL, FIELD(give_up_ns), "never", 0, 0, NULL,
         option_parse_give_up, "TIME|never",
         "a record that was tried for so long is dead; so is any when nothing else has gone "
         "either"},
        OFFLOAD},
    {{"timeout", YARDER_OPTION_DURATION, FIELD(timeout_ns), "10s", 100000000, 600000000000, NULL,
         NULL, "TIME", "longest time of one try"},
        OFFLOAD},
    {{"dead-letter", YARDER_OPTION_TEXT, FIELD(dead_letter), NULL, 0, 0, NULL, NULL, "PATH",
         "file of the records that could not be delivered; else they are counted only"},
        OFFLOAD},
    {{"direct", YARDER_OPTION_BOOL, FIELD(direct), "no", 0, 0, NULL, NULL, "yes|no",
         "a queue on disk leaves the page cache alone (O_DIRECT)"},
        OFFLOAD},
    {{"fsync", YARDER_OPTION_SPECIAL, FIELD(fsync), "none", 0, 0, NULL, option_parse_fsync,
         "none|interval:TIME|batch",
         "when written bytes are forced to the disk; of a queue on disk interval:1s"},
        FILES | OFFLOAD},
    {{"file-io", YARDER_OPTION_CHOICE, FIELD(file_io), "auto", 0, 0, file_io_choices, NULL,
         "auto|uring|write", "how the file's lane writes"},
        FILES},
    {{"mode", YARDER_OPTION_MODE, FIELD(mode), "0640", 0, 0777, NULL, NULL, "MODE",
         "permissions of new files"},
        FILES},
    {{"owner", YARDER_OPTION_TEXT, FIELD(owner), NULL, 0, 0, NULL, NULL, "USER",
         "owner of new files"},
        FILES},
    {{"group", YARDER_OPTION_TEXT, FIELD(group), NULL, 0, 0, NULL, NULL, "GROUP",
         "group of new files"},
        FILES},
    {{"mkdir", YARDER_OPTION_BOOL, FIELD(mkdir), "yes", 0, 0, NULL, NULL, "yes|no",
         "make missing folders"},
        FILES},
    {{"max-open", YARDER_OPTION_COUNT, FIELD(open_max), "100", 1, OUTPUT_OPEN_MAX, NULL, NULL, "N",
         "files open at a time when the path has variables"},
        FILES},
    {{"idle-close", YARDER_OPTION_DURATION, FIELD(idle_close_ns), "5m", 0, UINT64_MAX, NULL, NULL,
         "TIME", "close a file that got nothing for so long, when the path has variables"},
        FILES},
    {{.kind = YARDER_OPTION_END}, 0},
};
/* clang-format on */

const char *output_kind_name(const struct output_config *output)
{
    return output->kind == OUTPUT_OFFLOAD ? output->backend->name : output_kind_names[output->kind];
}
