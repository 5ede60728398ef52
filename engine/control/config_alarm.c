/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alarms, by uWSGI's grammar:
 *
 *   alarm = NAME ACTION:ARGUMENT            cmd, signal, output, log
 *   log-alarm = NAME[,NAME...] REGEX        not-log-alarm ends the walk over these lines
 *   alarm-freq = SECONDS|TIME               alarm-msg-size = SIZE, alarm-timeout = TIME
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "control/config_keys.h"
#include "control/config_private.h"

enum { SIGNALS_MAX = 64 };

/* uWSGI's other kinds of alarms, and what does their work here. */
static const struct {
    const char *name;
    const char *instead;
} refused_actions[] = {
    {"mule", "mules are inside uWSGI alone; use cmd:COMMAND"},
    {"curl", "use an output of kind http or smtp, and output:OUTPUT"},
    {"xmpp", "use cmd:COMMAND with a program that speaks it"},
    {"airbrake", "use an output of kind http, and output:OUTPUT"},
    {"speech", "use cmd:COMMAND with a program that speaks"},
};

static char *copy(struct config_builder *builder, const char *text)
{
    return arena_text(builder->arena, text, strlen(text));
}

static void refuse_action(
    struct config_builder *builder, const struct setting *setting, struct yarder_text action)
{
    char word[32] = "";
    memcpy(word, action.at, yarder_min(action.length, sizeof(word) - 1));
    for (size_t i = 0; i < YARDER_COUNT_OF(refused_actions); i++) {
        if (text_is(action, refused_actions[i].name)) {
            report_error(builder->report, setting->where, "%s: there is no %s here: %s",
                setting->key, word, refused_actions[i].instead);
            return;
        }
    }
    const char *near = text_near(word, alarm_action_names, ALARM_ACTIONS);
    report_error(builder->report, setting->where,
        "%s: no action '%s'; there are cmd, signal, output and log%s%s%s", setting->key, word,
        near != NULL ? "; did you mean " : "", near != NULL ? near : "", near != NULL ? "?" : "");
}

/* HUP, SIGHUP or 1; 0: none. */
static int signal_of(struct yarder_text text)
{
    uint64_t number = 0;
    if (text_to_u64(text, &number) == 0) {
        return number >= 1 && number <= SIGNALS_MAX ? (int)number : 0;
    }
    if (text.length > 3 && memcmp(text.at, "SIG", 3) == 0) {
        text = (struct yarder_text){text.at + 3, text.length - 3};
    }
    for (int i = 1; i <= SIGNALS_MAX; i++) {
        const char *name = sigabbrev_np(i);
        if (name != NULL && text_is(text, name)) {
            return i;
        }
    }
    return 0;
}

/* SIGNAL,PIDFILE */
static bool take_signal(
    struct config_builder *builder, const struct setting *setting, struct alarm_config *alarm)
{
    const char *comma = strchr(alarm->argument, ',');
    struct yarder_text name = text_of(alarm->argument);
    name.length = comma != NULL ? (size_t)(comma - alarm->argument) : name.length;
    alarm->signal = signal_of(name);
    if (alarm->signal == 0) {
        report_error(builder->report, setting->where,
            "%s: expected a signal by name or number, 1 to %d, not '%.*s'", setting->key,
            SIGNALS_MAX, (int)yarder_min(name.length, 64), name.at);
        return false;
    }
    if (comma == NULL || comma[1] == '\0') {
        report_error(builder->report, setting->where,
            "%s: signals of uWSGI's own are inside uWSGI alone; expected signal:SIGNAL,PIDFILE, "
            "for the process that the file names",
            setting->key);
        return false;
    }
    alarm->argument = config_absolute(builder, comma + 1);
    return true;
}

static struct alarm_config *find_alarm(struct alarms_config *alarms, struct yarder_text name)
{
    for (uint32_t i = 0; i < alarms->count; i++) {
        if (text_is(name, alarms->at[i].name)) {
            return &alarms->at[i];
        }
    }
    return NULL;
}

/* NAME ACTION:ARGUMENT, taken apart; false: it is not so, and that was reported. */
static bool split_alarm(struct config_builder *builder, const struct setting *setting,
    struct yarder_text *name, struct yarder_text *action, const char **argument)
{
    const char *value = setting->value != NULL ? setting->value : "";
    const char *space = strchr(value, ' ');
    const char *colon = space != NULL ? strchr(space, ':') : NULL;
    if (space == value || colon == NULL || memchr(value, ',', (size_t)(space - value)) != NULL) {
        report_error(builder->report, setting->where,
            "%s: expected NAME ACTION:ARGUMENT, a name without commas", setting->key);
        return false;
    }
    *name = (struct yarder_text){value, (size_t)(space - value)};
    *action = (struct yarder_text){space + 1, (size_t)(colon - space) - 1};
    *argument = colon + 1;
    return true;
}

/* What happens inside uWSGI alone. */
static bool is_uwsgis(struct yarder_text action, const char *argument)
{
    bool found = text_is(action, "signal") && strchr(argument, ',') == NULL;
    for (size_t i = 0; i < YARDER_COUNT_OF(refused_actions); i++) {
        found |= text_is(action, refused_actions[i].name);
    }
    return found;
}

/* Whether a log-alarm names it; else uWSGI raises it by itself (alarm-backlog and others). */
static bool is_raised(const struct config_builder *builder, struct yarder_text name)
{
    for (uint32_t i = 0; i < builder->settings_count; i++) {
        const struct setting *setting = builder->ordered[i];
        const struct config_key *key = config_key_find(setting->key);
        const char *at = setting->value;
        if (key == NULL || key->line != CONFIG_LOG_ALARM || at == NULL) {
            continue;
        }
        for (size_t length = 0; *at != '\0' && *at != ' '; at += length + (at[length] == ',')) {
            length = strcspn(at, ", ");
            if (text_equal((struct yarder_text){at, length}, name)) {
                return true;
            }
        }
    }
    return false;
}

static void take_alarm(struct config_builder *builder, const struct setting *setting)
{
    struct alarms_config *alarms = &builder->config->alarms;
    struct yarder_text name;
    struct yarder_text action;
    const char *argument = NULL;
    if (!split_alarm(builder, setting, &name, &action, &argument)) {
        return;
    }
    if (is_uwsgis(action, argument) && !is_raised(builder, name)) {
        report_note(builder->report, setting->where,
            "%s: no log-alarm raises it, and it is uWSGI's own: left to uWSGI", setting->key);
        return;
    }
    const struct alarm_config *before = find_alarm(alarms, name);
    if (before != NULL || alarms->count == ALARMS_MAX) {
        const char *where = before != NULL ? before->where : "";
        report_error(builder->report, setting->where, "%s: %s%s", setting->key,
            before != NULL ? "there is one of that name at " : "there are 64 already", where);
        return;
    }
    unsigned known = 0;
    while (known < ALARM_ACTIONS && !text_is(action, alarm_action_names[known])) {
        known++;
    }
    if (known == ALARM_ACTIONS) {
        refuse_action(builder, setting, action);
    }
    if (alarms->at == NULL) {
        alarms->at = arena_take(builder->arena, ALARMS_MAX * sizeof(*alarms->at));
    }
    if (alarms->at == NULL) {
        return;
    }
    /* A wrong one keeps its name, so that the lines which use it are no error as well. */
    struct alarm_config *alarm = &alarms->at[alarms->count++];
    *alarm = (struct alarm_config){.name = arena_text(builder->arena, name.at, name.length),
        .where = copy(builder, setting->where),
        .action = known == ALARM_ACTIONS ? ALARM_LOG : (enum alarm_action)known,
        .argument = copy(builder, argument)};
    if (known == ALARM_COMMAND && argument[0] == '\0') {
        report_error(builder->report, setting->where, "%s: expected cmd:COMMAND", setting->key);
    } else if (known == ALARM_SIGNAL) {
        (void)take_signal(builder, setting, alarm);
    }
}

static void take_rule(struct config_builder *builder, const struct setting *setting, bool negative)
{
    struct alarms_config *alarms = &builder->config->alarms;
    const char *value = setting->value != NULL ? setting->value : "";
    const char *space = strchr(value, ' ');
    if (space == NULL || space == value || space[1] == '\0') {
        report_error(
            builder->report, setting->where, "%s: expected NAME[,NAME...] REGEX", setting->key);
        return;
    }
    if (alarms->rules_count == ALARM_RULES_MAX) {
        report_error(builder->report, setting->where, "too many lines of log-alarm, at most %d",
            ALARM_RULES_MAX);
        return;
    }
    if (alarms->rules == NULL) {
        size_t room = yarder_min(builder->settings->count, ALARM_RULES_MAX);
        alarms->rules = arena_take(builder->arena, room * sizeof(*alarms->rules));
    }
    if (alarms->rules != NULL) {
        alarms->rules[alarms->rules_count++] =
            (struct alarm_rule){.names = arena_text(builder->arena, value, (size_t)(space - value)),
                .pattern = copy(builder, space + 1),
                .where = copy(builder, setting->where),
                .negative = negative};
        config_check_pattern(builder, setting->where, setting->key, space + 1, false);
    }
}

/* One of the three numbers, by an option of the usual kinds; seconds need no unit in uWSGI. */
static void take_number(
    struct config_builder *builder, const struct config_key *key, const struct setting *setting)
{
    static const uint64_t year_ns = UINT64_C(365) * 86400 * 1000000000;
    const struct yarder_option options[] = {
        {.kind = YARDER_OPTION_DURATION, .max = year_ns, .argument = "SECONDS or TIME"},
        {.kind = YARDER_OPTION_BYTES, .min = 1, .max = ALARM_MESSAGE_BYTES_MAX, .argument = "SIZE"},
        {.kind = YARDER_OPTION_DURATION, .min = 1000000, .max = year_ns, .argument = "TIME"},
    };
    struct alarms_config *alarms = &builder->config->alarms;
    uint64_t *const fields[] = {&alarms->quiet_ns, &alarms->bytes_max, &alarms->limit_ns};
    char why[OPTION_WHY_BYTES];
    char refusal[OPTION_REFUSAL_BYTES];
    size_t which = (size_t)key->line - CONFIG_ALARM_FREQ;
    const char **seen = &builder->top_seen[setting->file[0] == '\0'][key - config_keys];
    if (*seen != NULL) {
        report_error(
            builder->report, setting->where, "%s is given twice, first at %s", setting->key, *seen);
        return;
    }
    *seen = setting->where;
    const char *value = setting->value;
    bool bare = value != NULL && value[0] != '\0' && value[strspn(value, "0123456789")] == '\0';
    if (bare && key->line == CONFIG_ALARM_FREQ) {
        value = arena_format(builder->arena, "%ss", value);
    }
    if (option_set(&options[which], fields[which], value, builder->arena, why) < 0) {
        report_error(builder->report, setting->where, "%s: %s", setting->key,
            option_refusal(&options[which], why, setting->value, refusal));
    }
}

void config_take_alarm(
    struct config_builder *builder, const struct config_key *key, const struct setting *setting)
{
    switch ((int)key->line) {
    case CONFIG_ALARM:
        take_alarm(builder, setting);
        break;
    case CONFIG_LOG_ALARM:
    case CONFIG_NOT_LOG_ALARM:
        take_rule(builder, setting, key->line == CONFIG_NOT_LOG_ALARM);
        break;
    default:
        take_number(builder, key, setting);
    }
}

/* The alarms that a rule names. */
static void resolve_rule(struct config_builder *builder, struct alarm_rule *rule)
{
    struct alarms_config *alarms = &builder->config->alarms;
    const char *names[ALARMS_MAX];
    for (uint32_t i = 0; i < alarms->count; i++) {
        names[i] = alarms->at[i].name;
    }
    for (const char *at = rule->names; *at != '\0';) {
        struct yarder_text name = {at, strcspn(at, ",")};
        const struct alarm_config *alarm = find_alarm(alarms, name);
        const char *wrong = arena_text(builder->arena, at, yarder_min(name.length, 64));
        const char *near = alarm == NULL ? text_near(wrong, names, alarms->count) : NULL;
        if (alarm != NULL) {
            rule->alarms |= UINT64_C(1) << (alarm - alarms->at);
        } else if (name.length > 0) {
            report_error(builder->report, rule->where, "%s: no alarm is named '%s'%s%s%s",
                rule->negative ? "not-log-alarm" : "log-alarm", wrong,
                near != NULL ? "; did you mean " : "", near != NULL ? near : "",
                near != NULL ? "?" : "");
        }
        at += name.length + (at[name.length] == ',');
    }
}

/* The output that an alarm names: native ones first, as for a route. */
static void resolve_output(struct config_builder *builder, struct alarm_config *alarm)
{
    struct daemon_config *config = builder->config;
    const char *names[YARDER_OUTPUTS_MAX];
    uint32_t found = UINT32_MAX;
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        const struct output_config *output = &config->outputs[i];
        names[i] = output->logger_name != NULL ? output->logger_name : output->name;
        bool same = strcmp(names[i], alarm->argument) == 0;
        bool better = found == UINT32_MAX || (output->reach == ROUTE_NATIVE &&
                                                 config->outputs[found].reach != ROUTE_NATIVE);
        found = same && better ? i : found;
    }
    if (found != UINT32_MAX) {
        alarm->output = found;
        config->alarms.outputs |= UINT64_C(1) << found;
        return;
    }
    const char *near = text_near(alarm->argument, names, config->outputs_count);
    report_error(builder->report, alarm->where, "alarm: no output is named '%.64s'%s%s%s",
        alarm->argument, near != NULL ? "; did you mean " : "", near != NULL ? near : "",
        near != NULL ? "?" : "");
}

static bool parts_requests(const struct config_builder *builder)
{
    for (uint32_t i = 0; i < builder->settings_count; i++) {
        const struct setting *setting = builder->ordered[i];
        bool top = setting->section == SETTINGS_TOP || setting->section == SETTINGS_UWSGI;
        const struct config_key *key = top ? config_key_find(setting->key) : NULL;
        if (key != NULL && (key->line == CONFIG_REQ_LOGGER || key->line == CONFIG_LOG_REQ_ROUTE)) {
            return true;
        }
    }
    return false;
}

void config_settle_alarms(struct config_builder *builder)
{
    struct alarms_config *alarms = &builder->config->alarms;
    uint64_t raised = 0;
    for (uint32_t i = 0; i < alarms->rules_count; i++) {
        resolve_rule(builder, &alarms->rules[i]);
        raised |= alarms->rules[i].negative ? 0 : alarms->rules[i].alarms;
    }
    for (uint32_t i = 0; i < alarms->count; i++) {
        if (alarms->at[i].action == ALARM_OUTPUT) {
            resolve_output(builder, &alarms->at[i]);
        }
        if ((raised >> i & 1) == 0) {
            report_warning(builder->report, alarms->at[i].where,
                "alarm '%.64s' is never raised: no log-alarm names it", alarms->at[i].name);
        }
    }
    alarms->logs_only = parts_requests(builder);
}

void config_alarm_defaults(struct daemon_config *config)
{
    static const uint64_t second_ns = 1000000000;
    config->alarms.quiet_ns = 3 * second_ns;
    config->alarms.limit_ns = 30 * second_ns;
    config->alarms.bytes_max = 8192;
}
