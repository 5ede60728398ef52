/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs: their targets, and what holds when nobody said otherwise. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/un.h>

#include "codec/multiline.h"
#include "codec/request.h"
#include "control/config_source.h"

static const struct yarder_option *input_row(size_t index, uint32_t *kinds)
{
    const struct input_option *row = &input_options[index];
    *kinds = row->kinds;
    return row->option.kind != YARDER_OPTION_END ? &row->option : NULL;
}

const struct config_table config_input_table = {
    .noun = "input",
    .items_max = YARDER_INPUTS_MAX,
    .kind_names = input_kind_names,
    .kinds_count = INPUT_SOURCE, /* sources go by their own names */
    .whole_kinds = 1u << INPUT_EXEC,
    .row = input_row,
};

static void refuse(struct config_builder *builder, struct config_item *item, const char *expected,
    const char *target)
{
    item->broken = true;
    report_error(builder->report, item->where, "input %s: expected %s, not '%.128s'",
        config_item_kind(item), expected, target);
}

char *config_absolute(struct config_builder *builder, const char *path)
{
    const char *working_dir = builder->settings->place.working_dir;
    const char *slash =
        working_dir[strlen(working_dir) - (working_dir[0] != '\0')] == '/' ? "" : "/";
    while (path[0] == '.' && path[1] == '/') {
        path += 2 + strspn(path + 2, "/");
    }
    return path[0] == '/' ? arena_text(builder->arena, path, strlen(path))
                          : arena_format(builder->arena, "%s%s%s", working_dir, slash, path);
}

/* "@NAME" is abstract and has no folder; both must fit a socket's address with a NUL. */
static void set_socket_path(
    struct config_builder *builder, struct config_item *item, const char *target)
{
    struct input_config *input = item->target;
    struct sockaddr_un address;
    bool abstract = target[0] == '@';
    input->target = abstract ? arena_text(builder->arena, target, strlen(target))
                             : config_absolute(builder, target);
    if (target[0] == '\0' || (abstract && target[1] == '\0')) {
        refuse(builder, item, "unix:PATH or unix:@NAME", target);
    } else if (strlen(input->target) >= sizeof(address.sun_path)) {
        refuse(builder, item, "a path of at most 107 bytes", input->target);
    }
}

static bool host_is_good(struct yarder_text host)
{
    char text[INET6_ADDRSTRLEN + 1];
    unsigned char address[sizeof(struct in6_addr)];
    bool bracketed = host.length > 0 && host.at[0] == '[';
    if (bracketed) {
        host = (struct yarder_text){host.at + 1, host.length - 2};
    }
    if (host.length >= sizeof(text)) {
        return false;
    }
    memcpy(text, host.at, host.length);
    text[host.length] = '\0';
    return host.length == 0 ? !bracketed
                            : inet_pton(bracketed ? AF_INET6 : AF_INET, text, address) == 1;
}

/* HOST:PORT by numbers alone: a name would have to be asked for, and may answer late or never. */
char *config_address(struct config_builder *builder, struct config_item *item, const char *target)
{
    const char *closing = target[0] == '[' ? strchr(target, ']') : NULL;
    const char *colon = closing != NULL ? closing + 1 : strchr(target, ':');
    bool open = target[0] == '[' && closing == NULL;
    uint64_t port = 0;
    if (colon != NULL &&
        text_is((struct yarder_text){target, (size_t)(colon - target)}, "localhost")) {
        target = arena_format(builder->arena, "127.0.0.1%s", colon);
        colon = strchr(target, ':');
    }
    if (open || colon == NULL || *colon != ':' ||
        !host_is_good((struct yarder_text){target, (size_t)(colon - target)}) ||
        text_to_u64(text_of(colon + 1), &port) < 0 || port == 0 || port > UINT16_MAX) {
        refuse(builder, item,
            "HOST:PORT with an IPv4 address, an [IPv6] address, localhost or nothing for "
            "every address, and a port to 65535",
            target);
    }
    return arena_text(builder->arena, target, strlen(target));
}

void config_input_target(
    struct config_builder *builder, struct config_item *item, const char *target)
{
    struct input_config *input = item->target;
    input->target = arena_text(builder->arena, "", 0);
    switch (input->kind) {
    case INPUT_RING:
    case INPUT_STDIN:
        if (target[0] != '\0') {
            refuse(builder, item, "no target", target);
        }
        break;
    case INPUT_EXEC:
        input->target = arena_text(builder->arena, target, strlen(target));
        if (target[0] == '\0') {
            refuse(builder, item, "exec:COMMAND", target);
        }
        break;
    case INPUT_UNIX:
        set_socket_path(builder, item, target);
        break;
    case INPUT_UDP:
    case INPUT_TCP:
        input->target = config_address(builder, item, target);
        break;
    case INPUT_SOURCE:
    case INPUT_KINDS:
        YARDER_ASSERT(false);
    }
}

static void add_default(struct config_builder *builder, enum input_kind kind, const char *target)
{
    struct config_item *item = config_item_add(builder, SETTINGS_INPUT, "", "default");
    YARDER_ASSERT(item != NULL); /* there was none */
    item->one_line = true;
    config_item_start(builder, item, kind, target);
}

void config_default_inputs(struct config_builder *builder)
{
    if (builder->settings->place.stdin_feeds && !settings_have_file(builder->settings)) {
        add_default(builder, INPUT_STDIN, "");
        return;
    }
    add_default(builder, INPUT_RING, "");
    add_default(
        builder, INPUT_UNIX, arena_format(builder->arena, "%s/log.sock", builder->config->run_dir));
}

/* /dev/log and our own socket are spoken to in syslog's form; what is not is kept as it came. */
static bool is_syslog_socket(const struct config_builder *builder, const struct input_config *input)
{
    const char *run_dir = builder->config->run_dir;
    size_t length = strlen(run_dir);
    bool ours = strncmp(input->target, run_dir, length) == 0 &&
                strcmp(input->target + length, "/log.sock") == 0;
    return input->kind == INPUT_UNIX && (ours || strcmp(input->target, "/dev/log") == 0);
}

/* Whether requests can be known by it; what is wrong with it is `why`. */
static bool is_request_format(struct config_builder *builder, const char *what, char why[256])
{
    struct request_format *format = NULL;
    int r = request_open(&format, what, why, 256);
    request_close(format);
    builder->arena->failed |= r == -ENOMEM;
    return r != -EINVAL;
}

/* How the top, or uWSGI's lines, say that requests look; NULL: they say nothing, or nothing of use.
 */
static char *usual_requests(struct config_builder *builder)
{
    const struct setting *line = builder->log_format;
    char *given = builder->config->requests;
    char why[256];
    if (given != NULL && strcmp(given, "none") == 0) {
        return NULL;
    }
    if (given != NULL) {
        if (!is_request_format(builder, given, why)) {
            report_error(builder->report, "", "requests: %s", why);
        }
        return given;
    }
    if (line == NULL || line->value == NULL) {
        return builder->request_pipe ? arena_format(builder->arena, "uwsgi") : NULL;
    }
    char *format = arena_format(builder->arena, "format:%s", line->value);
    if (builder->arena->failed || is_request_format(builder, format, why)) {
        return format;
    }
    report_warning(
        builder->report, line->where, "%s: requests are not known by it: %s", line->key, why);
    return NULL;
}

static void settle_requests(
    struct config_builder *builder, const struct config_item *item, char *otherwise)
{
    struct input_config *input = item->target;
    char why[256];
    if (!config_item_gave(item, "requests")) {
        bool logs = config_item_gave(item, "kind") && input->record_kind == YARDER_KIND_LOG;
        input->requests = logs ? NULL : otherwise;
    } else if (strcmp(input->requests, "none") == 0) {
        input->requests = NULL;
    } else if (!is_request_format(builder, input->requests, why)) {
        report_error(builder->report, config_item_where(item, "requests"), "requests: %s", why);
    }
}

static void settle_multiline(struct config_builder *builder, const struct config_item *item)
{
    static const uint64_t wait_ns = 500ull * 1000 * 1000;
    struct input_config *input = item->target;
    enum multiline_kind kind = MULTILINE_NONE;
    char why[256];
    if (input->multiline == NULL) {
        return;
    }
    if (input->multiline_wait_ns == 0) {
        input->multiline_wait_ns = wait_ns;
    }
    const char *where = config_item_where(item, "multiline");
    if (multiline_kind_of(input->multiline, &kind, why, sizeof(why)) < 0) {
        report_error(builder->report, where, "multiline: %s", why);
    } else if (kind == MULTILINE_REGEX) {
        config_check_pattern(builder, where, "multiline", input->multiline, false);
    }
}

void config_settle_inputs(struct config_builder *builder)
{
    struct daemon_config *config = builder->config;
    char *requests = builder->config->requests = usual_requests(builder);
    config->until_end = config->inputs_count > 0;
    for (uint32_t i = 0; i < builder->items_count; i++) {
        struct config_item *item = &builder->items[i];
        struct input_config *input = item->target;
        if (item->table != &config_input_table || item->broken) {
            continue;
        }
        bool ends = input->kind == INPUT_STDIN || input->kind == INPUT_EXEC;
        config->until_end = config->until_end && ends;
        if (ends && input->framing == FRAME_AUTO) {
            input->framing = FRAME_LF; /* a program's first line may begin with a number */
        }
        settle_requests(builder, item, requests);
        config_source_settle(builder, item);
        settle_multiline(builder, item);
        bool given = config_item_gave(item, "parse");
        if (!given && is_syslog_socket(builder, input)) {
            input->parse = INPUT_PARSE_SYSLOG;
        }
    }
}
