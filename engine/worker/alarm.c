/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/alarm.h"

#include <errno.h>
#include <string.h>

#include "codec/calendar.h"
#include "codec/encode.h"
#include "route/pattern.h"
#include "worker/worker_private.h"

enum { LOG_HEAD_BYTES = 64 };

const char *const alarm_action_names[ALARM_ACTIONS] = {"cmd", "signal", "output", "log"};

/* The message that an alarm was last raised with. */
struct last_message {
    char *at;
    size_t bytes;
    uint64_t raised_ns; /* 0: never */
};

struct alarms {
    const struct alarms_config *config;
    struct worker *worker;
    struct pattern_set patterns;
    struct pattern_run *runs_at;
    struct pattern_runs runs;          /* of the rules' patterns */
    uint32_t indexes[ALARM_RULES_MAX]; /* the rules' patterns */
    struct alarm_runner *runner;       /* NULL: no alarm needs it */
    struct alarm_counts counts[ALARMS_MAX];
    struct last_message last[ALARMS_MAX];
    struct calendar_text clock;
    struct calendar_zone zone;
    char *text; /* of a record that an alarm makes */
    size_t text_room;
    uint64_t failed_said; /* of all alarms together */
    uint64_t said_ns;
};

static int add_rules(struct alarms *alarms, char *why, size_t why_bytes)
{
    const struct alarms_config *config = alarms->config;
    int r = pattern_set_open(&alarms->patterns);
    alarms->runs.at = calloc(config->rules_count + 1, sizeof(*alarms->runs.at));
    r = alarms->runs.at == NULL ? -ENOMEM : r;
    for (uint32_t i = 0; i < config->rules_count && r == 0; i++) {
        const struct alarm_rule *rule = &config->rules[i];
        r = pattern_add(&alarms->patterns, rule->pattern, false, rule->where, &alarms->indexes[i],
            why, why_bytes);
        if (r == 0) {
            pattern_runs_add(&alarms->runs, alarms->indexes[i]);
        }
    }
    return r != 0 ? r : pattern_set_seal(&alarms->patterns);
}

static int open_actions(struct alarms *alarms)
{
    const struct alarms_config *config = alarms->config;
    size_t text_bytes = 0;
    bool runs = false;
    for (uint32_t i = 0; i < config->count; i++) {
        const struct alarm_config *alarm = &config->at[i];
        runs = runs || alarm->action == ALARM_COMMAND || alarm->action == ALARM_SIGNAL;
        text_bytes = yarder_max(text_bytes, strlen(alarm->argument));
        alarms->last[i].at = malloc(config->bytes_max);
        if (alarms->last[i].at == NULL) {
            return -ENOMEM;
        }
    }
    alarms->text_room = LOG_HEAD_BYTES + text_bytes + config->bytes_max;
    alarms->text = malloc(alarms->text_room + CALENDAR_TEXT_SLACK_BYTES);
    if (alarms->text == NULL) {
        return -ENOMEM;
    }
    return runs ? alarm_runner_open(&alarms->runner, config, alarms->counts) : 0;
}

int alarms_open(struct alarms **out, struct worker *worker, char *why, size_t why_bytes)
{
    static const char ctime_format[] = "%a %b %e %T %Y";
    if (worker->config->alarms.rules_count == 0) {
        *out = NULL;
        return 0;
    }
    struct alarms *alarms = calloc(1, sizeof(*alarms));
    if (alarms == NULL) {
        return -ENOMEM;
    }
    alarms->config = &worker->config->alarms;
    alarms->worker = worker;
    alarms->clock.format_length = sizeof(ctime_format) - 1;
    memcpy(alarms->clock.format, ctime_format, alarms->clock.format_length);
    int r = add_rules(alarms, why, why_bytes);
    if (r == 0) {
        r = open_actions(alarms);
    }
    if (r < 0) {
        alarms_close(alarms);
        return r;
    }
    *out = alarms;
    return 0;
}

void alarms_close(struct alarms *alarms)
{
    if (alarms == NULL) {
        return;
    }
    alarm_runner_close(alarms->runner);
    pattern_set_close(&alarms->patterns);
    for (uint32_t i = 0; i < alarms->config->count; i++) {
        free(alarms->last[i].at);
    }
    free(alarms->runs.at);
    free(alarms->text);
    free(alarms);
}

/* "Sat Nov 21 01:14:02 2026 - ALARM: [TEXT ]MESSAGE" */
static struct yarder_text log_text(struct alarms *alarms, const struct alarm_config *alarm,
    const struct yarder_record *record, struct yarder_text message)
{
    calendar_refresh(&alarms->clock, &alarms->zone, calendar_second(record->received_ns));
    int bytes =
        snprintf(alarms->text, alarms->text_room, "%.*s - ALARM: %s%s", (int)alarms->clock.length,
            alarms->clock.text, alarm->argument, alarm->argument[0] != '\0' ? " " : "");
    YARDER_ASSERT(bytes > 0 && (size_t)bytes + message.length <= alarms->text_room);
    if (message.length > 0) {
        memcpy(alarms->text + bytes, message.at, message.length);
    }
    return (struct yarder_text){alarms->text, (size_t)bytes + message.length};
}

/* A record about the record takes its way through the router, and past the alarms. */
static void log_again(struct alarms *alarms, struct sink *sink, const struct alarm_config *alarm,
    const struct yarder_record *record, struct yarder_text message, uint64_t now_ns)
{
    struct yarder_record made = *record;
    made.text = log_text(alarms, alarm, record, message);
    made.time_ns = record->received_ns;
    made.flags = encode_is_foreign(record) ? (uint32_t)YARDER_FLAG_NETWORK : 0u;
    made.lost_before = 0;
    sink_add(sink, &made, now_ns);
}

static void give_output(struct sink *sink, uint32_t output, uint32_t row,
    const struct yarder_record *record, uint64_t now_ns)
{
    if ((sink->verdicts[row].outputs >> output & 1) == 0) {
        output_put(&sink->outputs[output], record, 1, now_ns);
    }
}

/* Whether it is the message of the last time, too soon; else it is that from now on. */
static bool comes_again(
    struct alarms *alarms, uint32_t index, struct yarder_text message, uint64_t now_ns)
{
    struct last_message *last = &alarms->last[index];
    bool same = last->raised_ns != 0 && last->bytes == message.length &&
                (message.length == 0 || memcmp(last->at, message.at, message.length) == 0);
    if (same && now_ns - last->raised_ns < alarms->config->quiet_ns) {
        return true;
    }
    last->raised_ns = now_ns;
    last->bytes = message.length;
    if (message.length > 0) {
        memcpy(last->at, message.at, message.length);
    }
    return false;
}

static void raise_alarm(struct alarms *alarms, struct sink *sink, uint32_t index, uint32_t row,
    const struct yarder_record *record, uint64_t now_ns)
{
    const struct alarm_config *alarm = &alarms->config->at[index];
    const struct yarder_text message = {
        record->text.at, yarder_min(record->text.length, alarms->config->bytes_max)};
    if (comes_again(alarms, index, message, now_ns)) {
        alarm_count(&alarms->counts[index].suppressed);
        return;
    }
    alarm_count(&alarms->counts[index].raised);
    switch (alarm->action) {
    case ALARM_COMMAND:
    case ALARM_SIGNAL:
        alarm_runner_put(alarms->runner, index, message);
        return;
    case ALARM_OUTPUT:
        give_output(sink, alarm->output, row, record, now_ns);
        return;
    case ALARM_LOG:
        log_again(alarms, sink, alarm, record, message, now_ns);
        return;
    case ALARM_ACTIONS:
        break;
    }
    YARDER_ASSERT(false);
}

/* The records of one row that an alarm of the rules from the run on is raised by. */
static void look_at(struct alarms *alarms, struct sink *sink, uint32_t row,
    const struct yarder_record *record, uint64_t now_ns)
{
    const struct alarms_config *config = alarms->config;
    pattern_begin(&alarms->patterns, record->text);
    for (uint32_t i = 0; i < alarms->runs.count; i++) {
        const struct pattern_run *run = &alarms->runs.at[i];
        for (uint64_t left = pattern_open(&alarms->patterns, run); left != 0; left &= left - 1) {
            const struct alarm_rule *rule = &config->rules[pattern_run_item(run, left)];
            if (pattern_answer(&alarms->patterns, pattern_run_index(run, left)) != PATTERN_YES) {
                continue;
            }
            if (rule->negative) {
                return;
            }
            for (uint64_t raised = rule->alarms; raised != 0; raised &= raised - 1) {
                uint32_t index = (uint32_t)__builtin_ctzll(raised);
                raise_alarm(alarms, sink, index, row, record, now_ns);
            }
        }
    }
}

/* What failed since the last time, once a minute: the runner has nobody to tell. */
static void tell_failures(struct alarms *alarms, uint64_t now_ns)
{
    static const uint64_t minute_ns = UINT64_C(60) * 1000000000;
    char words[ALARM_WORDS_BYTES];
    uint64_t failed = 0;
    uint32_t worst = 0;
    for (uint32_t i = 0; i < alarms->config->count; i++) {
        uint64_t of_it = alarm_counted(&alarms->counts[i].failed);
        failed += of_it;
        worst = of_it > alarm_counted(&alarms->counts[worst].failed) ? i : worst;
    }
    if (failed == alarms->failed_said ||
        (alarms->said_ns != 0 && now_ns - alarms->said_ns < minute_ns)) {
        return;
    }
    alarms->failed_said = failed;
    alarms->said_ns = now_ns;
    int trouble = alarm_trouble(&alarms->counts[worst]);
    worker_say(alarms->worker, "alarm %s: %s; %llu alarms have failed so far",
        alarms->config->at[worst].name, alarm_trouble_words(trouble, words),
        (unsigned long long)failed);
}

void alarms_look(struct alarms *alarms, struct sink *sink, const struct yarder_record *records,
    uint32_t count, uint64_t now_ns)
{
    alarms->patterns.now_ns = (int64_t)now_ns;
    for (uint32_t row = 0; row < count; row++) {
        if (!alarms->config->logs_only || records[row].kind != YARDER_KIND_REQUEST) {
            look_at(alarms, sink, row, &records[row], now_ns);
        }
    }
    if (alarms->runner != NULL) {
        tell_failures(alarms, now_ns);
    }
}

const struct alarm_counts *alarms_counts(const struct alarms *alarms, uint32_t alarm)
{
    return &alarms->counts[alarm];
}
