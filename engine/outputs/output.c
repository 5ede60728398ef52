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
static const char *const names_choices[] = {"auto", "numbers", "dates", "seconds", NULL};
static const char *const compress_choices[] = {"none", "gzip", "zstd", NULL};
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
    {{"rotate-size", YARDER_OPTION_BYTES, FIELD(rotate.size_bytes), NULL, 1, 1ull << 50, NULL, NULL,
         "SIZE", "a file that would become longer is put aside for a new one"},
        FILES},
    {{"rotate-when", YARDER_OPTION_SPECIAL, FIELD(rotate.when), NULL, 0, 0, NULL,
         option_parse_rotate_when, "S|M|H|D|midnight|W0..W6",
         "a file for each second, minute, hour, day, or week that ends with a day (W0: Monday), by "
         "the records' own times"},
        FILES},
    {{"rotate-interval", YARDER_OPTION_COUNT, FIELD(rotate.interval), NULL, 1, 100000, NULL, NULL,
         "N", "a file for so many of rotate-when, else for one"},
        FILES},
    {{"rotate-at", YARDER_OPTION_SPECIAL, FIELD(rotate.at), NULL, 0, 0, NULL,
         option_parse_rotate_at, "HH:MM[:SS]", "when a day, or that day of the week, ends"},
        FILES},
    {{"rotate-utc", YARDER_OPTION_BOOL, FIELD(rotate.utc), "no", 0, 0, NULL, NULL, "yes|no",
         "periods and names by UTC, not by local time"},
        FILES},
    {{"rotate-grace", YARDER_OPTION_DURATION, FIELD(rotate.grace_ns), "5s", 0, UINT64_MAX, NULL,
         NULL, "TIME", "so long the file of the period before still takes late records"},
        FILES},
    {{"rotate-names", YARDER_OPTION_CHOICE, FIELD(rotate.names), NULL, 0, 0, names_choices, NULL,
         "auto|numbers|dates|seconds",
         "PATH.1, .2 ... (the newest is 1), PATH.2026-11-21 (the period), PATH.1795276800; auto: "
         "dates with rotate-when, else numbers; of a taken name another with a counter"},
        FILES},
    {{"rotate-to", YARDER_OPTION_PATH, FIELD(rotate.to), NULL, 0, 0, NULL, NULL, "PATH",
         "the name of a file put aside, a counter behind where it is taken"},
        FILES},
    {{"rotate-touch", YARDER_OPTION_TEXTS, FIELD(rotate.touch), NULL, 0, 0, NULL, NULL, "PATH",
         "rotate when this file is touched or appears; repeated: any of them"},
        FILES},
    {{"reopen-touch", YARDER_OPTION_TEXTS, FIELD(rotate.reopen_touch), NULL, 0, 0, NULL, NULL,
         "PATH", "follow the path anew when this file is touched; repeated: any of them"},
        FILES},
    {{"keep", YARDER_OPTION_COUNT, FIELD(rotate.keep), NULL, 0, 1000000, NULL, NULL, "N",
         "how many files put aside stay; older ones are removed"},
        FILES},
    {{"keep-days", YARDER_OPTION_COUNT, FIELD(rotate.keep_days), NULL, 0, 100000, NULL, NULL, "N",
         "files put aside whose last record was written so many days ago are removed"},
        FILES},
    {{"keep-size", YARDER_OPTION_BYTES, FIELD(rotate.keep_bytes), NULL, 0, UINT64_MAX, NULL, NULL,
         "SIZE", "what all files put aside may have together; the oldest are removed"},
        FILES},
    {{"compress", YARDER_OPTION_CHOICE, FIELD(rotate.compress), NULL, 0, 0, compress_choices, NULL,
         "none|gzip|zstd", "how files put aside are compressed, in the background"},
        FILES},
    {{.kind = YARDER_OPTION_END}, 0},
};
/* clang-format on */

const char *output_kind_name(const struct output_config *output)
{
    return output->kind == OUTPUT_OFFLOAD ? output->backend->name : output_kind_names[output->kind];
}
