/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uWSGI's logger `yarder`, and what makes it more than that: where nobody in uWSGI's master looks
 * at lines on their way (routes, filters, encoders, alarms, other loggers), all of its processes
 * append them to the ring themselves, and requests have fields.
 *
 *     plugins    = yarder
 *     logger     = yarder:[NAME][,level=LEVEL]
 *     req-logger = yarder:[NAME][,level=LEVEL]
 */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "built.h"
#include "host.h"
#include "request.h"
#include "road.h"

static char *run_dir;
static char *tag = (char[]){"uwsgi"};
static int by_pipe;

/* Of a logger: what its records are. Lives as long as the process. */
struct target {
    struct yarder_message message;
    struct line line; /* under way, where the pipe is a stream, which knows no messages */
    bool is_stream;
};

static char option_run_dir[] = "yarder-run-dir", option_tag[] = "yarder-tag",
            option_by_pipe[] = "yarder-by-pipe";
static char help_run_dir[] = "the run directory of the yarder daemon",
            help_tag[] = "the tag of all records (uwsgi)",
            help_by_pipe[] = "leave all lines to the master's pipe";

static struct uwsgi_option plugin_options[] = {
    {option_run_dir, required_argument, 0, help_run_dir, uwsgi_opt_set_str, &run_dir, 0},
    {option_tag, required_argument, 0, help_tag, uwsgi_opt_set_str, &tag, 0},
    {option_by_pipe, no_argument, 0, help_by_pipe, uwsgi_opt_true, &by_pipe, 0},
    {.name = NULL},
};

/* [NAME][,level=LEVEL] */
static bool parse(struct yarder_message *message, const char *argument)
{
    static const char level[] = ",level=";
    struct yarder_text name = text_of(argument);
    const char *comma = argument == NULL ? NULL : strstr(argument, level);
    if (comma != NULL) {
        name.length = (size_t)(comma - argument);
        if (text_to_level(text_of(comma + strlen(level)), &message->level) < 0) {
            return false;
        }
    }
    char terminated[YARDER_LOGGER_BYTES_MAX + 1];
    if (name.length > YARDER_LOGGER_BYTES_MAX ||
        (name.length > 0 && memchr(name.at, ',', name.length) != NULL)) {
        return false;
    }
    memcpy(terminated, name.at == NULL ? "" : name.at, name.length);
    terminated[name.length] = '\0';
    message->logger = yarder_logger(terminated);
    return true;
}

static bool is_in(const struct uwsgi_logger *list, const struct uwsgi_logger *logger)
{
    for (; list != NULL; list = list->next) {
        if (list == logger) {
            return true;
        }
    }
    return false;
}

/* As uWSGI does with a logger that there is not, but where somebody may read it. */
static _Noreturn void refuse(const char *what, const char *expected, unsigned bytes_max)
{
    (void)dup2(uwsgi.original_log_fd, STDERR_FILENO);
    uwsgi_log("yarder: %s: expected %s of at most %u bytes\n", what, expected, bytes_max);
    exit(1); /* which writes what waits in the pipe, by way of log_message */
}

static struct target *target_of(struct uwsgi_logger *logger)
{
    struct target *target = logger->data;
    if (target == NULL) {
        target = uwsgi_calloc(sizeof(*target));
        target->message.level = YARDER_LEVEL_INFO;
        bool of_requests = is_in(uwsgi.choosen_req_logger, logger);
        target->message.kind = of_requests ? YARDER_KIND_REQUEST : YARDER_KIND_LOG;
        target->is_stream =
            (of_requests ? uwsgi.log_master_req_stream : uwsgi.log_master_stream) != 0;
        logger->data = target;
        if (!parse(&target->message, logger->arg)) {
            refuse(logger->arg, "[NAME][,level=LEVEL], NAME", YARDER_LOGGER_BYTES_MAX);
        }
    }
    return target;
}

/* How much of what came by the pipe the ring has. A message is a record, if it is not too long. */
static size_t put(struct target *target, const char *text, size_t bytes)
{
    struct yarder_message message = target->message;
    if (bytes > CLIENT_PIECE_BYTES_MAX || target->is_stream) {
        size_t done = lines_put(&target->line, &message, text, bytes);
        if (!target->is_stream && target->line.under_way != 0) {
            (void)lines_put(&target->line, &message, "\n", 1);
        }
        return done;
    }
    message.text = text;
    message.text_bytes = bytes > 0 && text[bytes - 1] == '\n' ? bytes - 1 : bytes;
    return lines_put_record(&message) ? bytes : 0;
}

/* In the master. Where the ring takes none, uWSGI's own last resort. */
static ssize_t log_message(struct uwsgi_logger *logger, char *text, size_t bytes)
{
    size_t done = put(target_of(logger), text, bytes);
    return done == bytes ? (ssize_t)bytes : write(uwsgi.original_log_fd, text + done, bytes - done);
}

/* Whether one logger, which is ours, has all of a list's lines. */
static bool is_alone(const struct uwsgi_logger *list)
{
    return list != NULL && list->next == NULL && list->func == log_message && list->id == NULL;
}

/* Who else in the master wants to see lines of logs, or of requests; NULL: nobody. */
static const char *log_watcher(void)
{
    return by_pipe != 0                           ? option_by_pipe
           : uwsgi.log_route != NULL              ? "log-route"
           : uwsgi.log_drain_rules != NULL        ? "log-drain"
           : uwsgi.log_filter_rules != NULL       ? "log-filter"
           : uwsgi.requested_log_encoders != NULL ? "log-encoder"
           : uwsgi.alarm_logs_list != NULL        ? "log-alarm"
           : !is_alone(uwsgi.choosen_logger)      ? "logger"
                                                  : NULL;
}

static const char *request_watcher(void)
{
    if (uwsgi.req_log_master == 0) {
        return log_watcher();
    }
    return by_pipe != 0                               ? option_by_pipe
           : uwsgi.log_req_route != NULL              ? "log-req-route"
           : uwsgi.requested_log_req_encoders != NULL ? "log-req-encoder"
           : !is_alone(uwsgi.choosen_req_logger)      ? "req-logger"
                                                      : NULL;
}

static bool is_ours(const struct uwsgi_logger *list)
{
    for (; list != NULL; list = list->next) {
        if (list->func == log_message) {
            return true;
        }
    }
    return false;
}

static void tell(const char *what, bool is_wanted, const char *watcher)
{
    if (is_wanted && watcher == NULL) {
        uwsgi_log("yarder: %s go to the ring from each process\n", what);
    } else if (is_wanted) {
        uwsgi_log("yarder: %s go by the master's pipe, which loses lines under load: %s\n", what,
            watcher);
    }
}

static bool has_begun, has_road, has_requests;
static void (*own_logit)(struct wsgi_request *);

/* All loggers' arguments are looked at before the first line. */
static void read_targets(struct uwsgi_logger *list)
{
    for (; list != NULL; list = list->next) {
        if (list->func == log_message) {
            (void)target_of(list);
        }
    }
}

/* A process that begins has time for a daemon that is there and busy: 0.2 s. 0 or -errno. */
static int attach(void)
{
    enum { TRIES = 10 };
    int result = -ETIMEDOUT;
    for (unsigned i = 0; i < TRIES && result == -ETIMEDOUT; i++) {
        result = yarder_attach();
    }
    return result;
}

static void open_road(void)
{
    const char *of_logs = log_watcher(), *of_requests = request_watcher();
    bool logs = is_ours(uwsgi.choosen_logger), requests = is_ours(uwsgi.choosen_req_logger);
    const struct yarder_options client = {.options_bytes = sizeof(client),
        .block_ms = LINES_WAIT_MS,
        .run_dir = run_dir,
        .program = tag};
    if (yarder_configure(&client) < 0) {
        refuse(run_dir, "a run directory's path", CLIENT_RUN_DIR_BYTES - 1);
    }
    read_targets(uwsgi.choosen_logger);
    read_targets(uwsgi.choosen_req_logger);
    struct road_options road = {.in_master = uwsgi.mywid == 0, .log_fd = -1};
    if (of_logs == NULL) {
        road.log_fd = uwsgi.shared->worker_log_pipe[1];
        road.line = target_of(uwsgi.choosen_logger)->message;
    }
    if (of_requests == NULL) {
        road.request =
            target_of(uwsgi.req_log_master != 0 ? uwsgi.choosen_req_logger : uwsgi.choosen_logger)
                ->message;
        road.request.kind = YARDER_KIND_REQUEST;
    }
    has_road = (of_logs == NULL || of_requests == NULL) && road_open(&road);
    static const char closed[] = "no calls to take over";
    has_requests = has_road && of_requests == NULL;
    tell("logs", logs, has_road || of_logs != NULL ? of_logs : closed);
    tell("requests", uwsgi.req_log_master != 0 ? requests : logs,
        has_road || of_requests != NULL ? of_requests : closed);
}

/* The pipe is there: with daemonize2 that is later than usual. */
static void begin(void)
{
    if (!has_begun && uwsgi.shared->worker_log_pipe[1] >= 0) {
        has_begun = true;
        open_road();
        if (is_ours(uwsgi.choosen_logger) || is_ours(uwsgi.choosen_req_logger)) {
            int result = attach();
            if (result < 0) {
                uwsgi_log(
                    "yarder: no daemon answers%s%s (%s): all goes by the pipe until one does\n",
                    run_dir != NULL ? " at " : "", run_dir != NULL ? run_dir : "",
                    strerror(-result));
            }
        }
    }
}

/* uWSGI makes the line, to the byte, and writes it by one writev. */
static void log_request_instead(struct wsgi_request *request)
{
    struct request_fields fields;
    request_fields_of(&fields, request);
    const struct road_request road = {uwsgi.req_log_fd, fields.fields, fields.count};
    road_look_again();
    road_request_begin(&road);
    own_logit(request);
    road_request_end();
}

/* In each worker, before its applications when these are lazy. */
static void after_fork(void)
{
    begin();
    if (has_road) {
        (void)attach(); /* before there are threads, of which one would attach and the others not
                           wait */
        road_look_again();
    }
    if (has_requests && uwsgi.logit != log_request_instead) {
        own_logit = uwsgi.logit;
        uwsgi.logit = log_request_instead;
    }
}

/* FNV-1a, as header.py has it, of what the header's structures depend on. */
static uint64_t hash(uint64_t sum, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        sum = (sum ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
    }
    return sum;
}

static bool is_same_host(void)
{
    char *header = uwsgi_get_dot_h(), *flags = uwsgi_get_cflags();
    uint64_t sum = hash(UINT64_C(0xcbf29ce484222325), header, strlen(header));
    for (const char *word = flags; *word != '\0';) {
        size_t bytes = strcspn(word, " ");
        if (bytes >= 2 && word[0] == '-' && word[1] == 'D') {
            sum = hash(sum, word, bytes);
        }
        word += bytes + (word[bytes] == ' ');
    }
    free(flags);
    return sum == BUILT_FOR; /* the header may be a literal: it is left */
}

static void load(void)
{
    static char name[] = "yarder";
    if (!is_same_host()) {
        uwsgi_log("yarder: this plugin was built for " UWSGI_VERSION
                  " with other options than this uWSGI's, or for another: build it here\n");
        exit(1);
    }
    uwsgi_register_logger(name, log_message);
    uwsgi_get_logger(name)->arg = NULL; /* where no colon follows the name uWSGI sets none */
}

extern struct uwsgi_plugin yarder_plugin;
__attribute__((visibility("default"))) struct uwsgi_plugin yarder_plugin = {
    .name = "yarder",
    .on_load = load,
    .options = plugin_options,
    .post_init = begin,
    .post_fork = after_fork,
};
