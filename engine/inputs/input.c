/* SPDX-License-Identifier: Apache-2.0 */
#include "inputs/input.h"

/* clang-format off: a table */
const char *const input_kind_names[INPUT_KINDS] = {
    "ring", "stdin", "exec", "unix", "udp", "tcp", "kinds with a module"};

const char *const input_kind_helps[INPUT_KINDS] = {
    [INPUT_RING] = "ring: programs that use libyarder; records come through shared memory",
    [INPUT_STDIN] = "stdin: lines of the daemon's own standard input",
    [INPUT_EXEC] = "exec:COMMAND: runs COMMAND with sh -c and takes its stdout and stderr, apart",
    [INPUT_UNIX] =
        "unix:PATH: a unix socket, datagram or (socket=stream) stream; @NAME is abstract",
    [INPUT_UDP] = "udp:HOST:PORT: datagrams, IPv4 or [IPv6]; an empty host is every address",
    [INPUT_TCP] = "tcp:HOST:PORT: connections, IPv4 or [IPv6]; an empty host is every address",
    [INPUT_SOURCE] = "KIND:TARGET: of a module",
};

static const char *const parse_choices[] = {"raw", "syslog", NULL};
static const char *const framing_choices[] = {"auto", "lf", "nul", "octets", "length4", NULL};
static const char *const record_kind_choices[] = {"log", "request", NULL};
static const char *const socket_type_choices[] = {"dgram", "stream", NULL};
static const char *const stdin_choices[] = {"null", "inherit", NULL};
static const char *const restart_choices[] = {"always", "on-failure", "never", NULL};

enum {
    RING = 1 << INPUT_RING,
    STDIN = 1 << INPUT_STDIN,
    EXEC = 1 << INPUT_EXEC,
    UNIX = 1 << INPUT_UNIX,
    UDP = 1 << INPUT_UDP,
    TCP = 1 << INPUT_TCP,
    SOURCE = 1 << INPUT_SOURCE,
    STREAMS = STDIN | EXEC | UNIX | TCP,
    SOCKETS = UNIX | UDP | TCP,
    EVERY = RING | STDIN | EXEC | SOCKETS | SOURCE,
};

#define FIELD(member) offsetof(struct input_config, member)

const struct input_option input_options[] = {
    {{"parse", YARDER_OPTION_CHOICE, FIELD(parse), "raw", 0, 0, parse_choices, NULL, "raw|syslog",
         "raw: a line or datagram is a record; syslog: RFC 3164 and RFC 5424 headers are read, the "
         "default of RUN_DIR/log.sock and /dev/log alone"},
        STREAMS | UDP | SOURCE},
    {{"framing", YARDER_OPTION_CHOICE, FIELD(framing), "auto", 0, 0, framing_choices, NULL,
         "auto|lf|nul|octets|length4",
         "where a record ends in a stream; auto decides for each connection (lf for stdin and "
         "exec)"},
        STREAMS},
    {{"kind", YARDER_OPTION_CHOICE, FIELD(record_kind), "log", 0, 0, record_kind_choices, NULL,
         "log|request", "what the records are, for the selector kind="},
        STREAMS | UDP | SOURCE},
    {{"requests", YARDER_OPTION_TEXT, FIELD(requests), NULL, 0, 0, NULL, NULL,
         "uwsgi|format:TEMPLATE|none",
         "lines that are requests, by uWSGI's own form or its log-format, get kind=request and "
         "fields; else log-format of [uwsgi], or uwsgi where a req-logger or log-req-route is"},
        EVERY},
    {{"multiline", YARDER_OPTION_TEXT, FIELD(multiline), NULL, 0, 0, NULL, NULL,
         "python|java|go|indent|REGEX",
         "lines of one source that are one record: tracebacks of a language, a line and what is "
         "indented behind it, or what follows a first line that matches REGEX"},
        EVERY},
    {{"multiline-time", YARDER_OPTION_DURATION, FIELD(multiline_wait_ns), NULL, 1000000,
         UINT64_C(3600) * 1000000000, NULL, NULL, "TIME",
         "so long after its last line it is delivered as it stands [500ms]"},
        EVERY},
    {{"multiline-size", YARDER_OPTION_BYTES, FIELD(multiline_bytes_max), NULL, 64,
         YARDER_RECORD_BYTES_MAX, NULL, NULL, "SIZE",
         "what would be longer is ended there and goes on as another record; else record-max"},
        EVERY},
    {{"tag", YARDER_OPTION_TEXT, FIELD(tag), NULL, 0, 0, NULL, NULL, "NAME",
         "tag of records that state none"},
        EVERY},
    {{"record-max", YARDER_OPTION_BYTES, FIELD(record_bytes_max), NULL, 64, YARDER_RECORD_BYTES_MAX,
         NULL, NULL, "SIZE", "longer records are cut and flagged; else the daemon's record-max"},
        STREAMS | UDP | SOURCE},
    {{"socket", YARDER_OPTION_CHOICE, FIELD(socket_type), "dgram", 0, 0, socket_type_choices, NULL,
         "dgram|stream", "type of the unix socket"},
        UNIX},
    {{"mode", YARDER_OPTION_MODE, FIELD(mode), "0660", 0, 0777, NULL, NULL, "MODE",
         "permissions of the socket's path"},
        UNIX | RING},
    {{"owner", YARDER_OPTION_TEXT, FIELD(owner), NULL, 0, 0, NULL, NULL, "USER",
         "owner of the socket's path"},
        UNIX | RING},
    {{"group", YARDER_OPTION_TEXT, FIELD(group), NULL, 0, 0, NULL, NULL, "GROUP",
         "group of the socket's path"},
        UNIX | RING},
    {{"rcvbuf", YARDER_OPTION_BYTES, FIELD(receive_bytes), "8M", 4096, 1 << 30, NULL, NULL, "SIZE",
         "the kernel's receive buffer; a default one loses bursts"},
        UDP | SOURCE},
    {{"connections-max", YARDER_OPTION_COUNT, FIELD(connections_max), "2000", 1, 60000, NULL, NULL,
         "N", "connections at a time; more are closed and counted"},
        UNIX | TCP},
    {{"idle-timeout", YARDER_OPTION_DURATION, FIELD(idle_timeout_ns), "0ms", 0, UINT64_MAX, NULL,
         NULL, "TIME", "a connection that says nothing for so long is closed; 0ms: never"},
        UNIX | TCP},
    {{"restart", YARDER_OPTION_CHOICE, FIELD(restart), "always", 0, 0, restart_choices, NULL,
         "always|on-failure|never", "what happens when the command has ended"},
        EXEC},
    {{"restart-delay", YARDER_OPTION_DURATION, FIELD(restart_delay_ns), "1s", 0, UINT64_MAX, NULL,
         NULL, "TIME",
         "pause before it is started again; doubles up to a minute while it fails at once"},
        EXEC | SOURCE},
    {{"stdin", YARDER_OPTION_CHOICE, FIELD(program_stdin), "null", 0, 0, stdin_choices, NULL,
         "null|inherit",
         "standard input of the command: none, or the daemon's own and its process group"},
        EXEC},
    {{"size", YARDER_OPTION_BYTES, FIELD(ring_bytes), NULL, 64 << 10, 1ull << 32, NULL, NULL,
         "SIZE", "ring memory of each producer process; else the daemon's ring-memory"},
        RING},
    {{.kind = YARDER_OPTION_END}, 0},
};
/* clang-format on */

const char *input_kind_name(const struct input_config *input)
{
    return input->kind == INPUT_SOURCE ? input->source->name : input_kind_names[input->kind];
}
