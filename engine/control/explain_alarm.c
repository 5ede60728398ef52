/* SPDX-License-Identifier: Apache-2.0 */
/* Alarms in sentences: what raises them, and whether a record does. */
#include "control/explain.h"
#include "route/pattern.h"

static const char *key_of(const struct alarm_rule *rule)
{
    return rule->negative ? "not-log-alarm" : "log-alarm";
}

void config_explain_alarms(const struct daemon_config *config, FILE *to)
{
    const struct alarms_config *alarms = &config->alarms;
    for (uint32_t i = 0; i < alarms->count; i++) {
        const struct alarm_config *alarm = &alarms->at[i];
        (void)fprintf(to, "alarm %s is %s:%s (%s)\n", alarm->name,
            alarm_action_names[alarm->action], alarm->argument, alarm->where);
    }
    for (uint32_t i = 0; i < alarms->rules_count; i++) {
        const struct alarm_rule *rule = &alarms->rules[i];
        (void)fprintf(to, "    what matches '%s' raises %s (%s)\n", rule->pattern,
            rule->negative ? "nothing by the lines below" : rule->names, rule->where);
    }
}

int config_explain_raised(
    const struct daemon_config *config, const struct yarder_record *record, FILE *to)
{
    const struct alarms_config *alarms = &config->alarms;
    char why[256];
    if (alarms->logs_only && record->kind == YARDER_KIND_REQUEST) {
        return 0;
    }
    __attribute__((cleanup(pattern_set_close))) struct pattern_set patterns;
    int r = pattern_set_open(&patterns);
    for (uint32_t i = 0; i < alarms->rules_count && r == 0; i++) {
        const struct alarm_rule *rule = &alarms->rules[i];
        uint32_t index = 0;
        r = pattern_add(&patterns, rule->pattern, false, rule->where, &index, why, sizeof(why));
        if (r < 0 || pattern_match(&patterns, index, record->text) != PATTERN_YES) {
            continue;
        }
        (void)fprintf(to, "%s '%s' (%s): matches, %s %s\n", key_of(rule), rule->pattern,
            rule->where, rule->negative ? "nothing below raises" : "raises", rule->names);
        if (rule->negative) {
            break;
        }
    }
    return r;
}
