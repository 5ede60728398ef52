/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/report.h"

#include <string.h>

#include "worker/alarm.h"

static void number(cJSON *to, const char *name, uint64_t value)
{
    char digits[24];
    if (value <= UINT64_C(1) << 53) { /* a double has it exactly */
        (void)cJSON_AddNumberToObject(to, name, (double)value);
        return;
    }
    (void)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
    (void)cJSON_AddRawToObject(to, name, digits);
}

/* What has grown since `before`; a counter that went back is another's and says nothing. */
static uint64_t growth(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0;
}

static void input_losses(cJSON *to, const struct hold_input *now, const struct hold_input *before)
{
    cJSON *refused = cJSON_AddObjectToObject(to, "refused");
    for (uint32_t i = 0; i < HOLD_REFUSED_REASONS; i++) {
        number(refused, hold_refused_names[i], growth(now->refused[i], before->refused[i]));
    }
    cJSON *lost = cJSON_AddObjectToObject(to, "lost");
    number(lost, "kernel", growth(now->lost_kernel, before->lost_kernel));
    number(lost, "ring", growth(now->lost_ring, before->lost_ring));
    number(
        to, "connections_refused", growth(now->connections_refused, before->connections_refused));
}

static cJSON *input_report(const struct hold_input *counts, const struct hold_input *before,
    const struct input_config *config, bool deaf)
{
    static const struct hold_input nothing;
    cJSON *input = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(input, "name", config->name);
    (void)cJSON_AddStringToObject(input, "kind", input_kind_name(config));
    number(input, "received", counts->received);
    number(input, "accepted", counts->accepted);
    input_losses(input, counts, &nothing);
    number(input, "truncated", counts->truncated);
    number(input, "partial", counts->partial);
    number(input, "unparsed", counts->unparsed);
    number(input, "bytes", counts->bytes);
    number(input, "connections", counts->connections);
    number(input, "errors", counts->errors);
    (void)cJSON_AddBoolToObject(input, "deaf", deaf);
    input_losses(cJSON_AddObjectToObject(input, "recent"), counts, before);
    return input;
}

/* Patterns that were undecided, or are slow and look at the head of long records only. */
static void troubles_report(cJSON *to, const struct router *router)
{
    cJSON *list = cJSON_AddArrayToObject(to, "patterns");
    struct route_trouble trouble;
    uint32_t at = 0;
    while (router_trouble_next(router, &at, &trouble)) {
        cJSON *pattern = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(pattern, "pattern", trouble.pattern);
        (void)cJSON_AddStringToObject(pattern, "where", trouble.where);
        number(pattern, "undecided", trouble.undecided);
        number(pattern, "head_bytes", trouble.head_bytes);
        (void)cJSON_AddItemToArray(list, pattern);
    }
}

static cJSON *router_report(const struct hold_router *router)
{
    cJSON *report = cJSON_CreateObject();
    number(report, "accepted", router->accepted);
    number(report, "joined", router->joined);
    cJSON *filtered = cJSON_AddObjectToObject(report, "filtered");
    number(filtered, "drop", router->filtered_drop);
    number(filtered, "keep", router->filtered_keep);
    number(report, "unmatched", router->unmatched);
    number(report, "routed", router->routed);
    number(report, "undecided", router->undecided);
    return report;
}

static void failure_report(cJSON *to, const struct hold *hold, const struct output_failure *failure)
{
    if (failure->at_ns == 0) {
        return;
    }
    const char *name = strerrorname_np(-failure->error);
    cJSON *error = cJSON_AddObjectToObject(to, "last_error");
    (void)cJSON_AddStringToObject(error, "call", failure->call);
    (void)cJSON_AddStringToObject(error, "errno", name != NULL ? name : "");
    (void)cJSON_AddStringToObject(
        error, "text", failure->text[0] != '\0' ? failure->text : strerrordesc_np(-failure->error));
    if (failure->queue < hold->shape.queues_count) {
        (void)cJSON_AddStringToObject(error, "path", hold_queue_name(hold, failure->queue));
    }
    number(error, "at_ns", failure->at_ns);
}

static void look_report(cJSON *to, const struct hold *hold, const struct output *output)
{
    struct output_look look;
    output_look_at(output, &look);
    number(to, "blocked_ms", look.blocked_ns / 1000000);
    number(to, "stalled_ms", look.stalled_ns / 1000000);
    if (look.call != NULL) {
        (void)cJSON_AddStringToObject(to, "in_call", look.call);
        number(to, "in_call_ms", look.call_ns / 1000000);
    }
    failure_report(to, hold, &look.failure);
}

static void output_losses(
    cJSON *to, const struct hold_output *now, const struct hold_output *before)
{
    cJSON *dropped = cJSON_AddObjectToObject(to, "dropped");
    for (uint32_t i = 0; i < HOLD_DROPPED_REASONS; i++) {
        number(dropped, hold_dropped_names[i], growth(now->dropped[i], before->dropped[i]));
    }
    number(to, "dead", growth(now->dead, before->dead));
}

static void rotation_report(
    cJSON *to, const struct hold_output *counts, const struct output *output)
{
    const struct rotation_swept *swept = &output->rotation->swept;
    number(to, "rotations", counts->rotations);
    number(to, "rotation_failures", counts->rotation_failures);
    number(to, "rotated_ns", counts->rotated_ns);
    number(to, "compressed", __atomic_load_n(&swept->compressed, __ATOMIC_RELAXED));
    number(to, "removed", __atomic_load_n(&swept->removed, __ATOMIC_RELAXED));
    number(to, "sweep_failures", __atomic_load_n(&swept->failed, __ATOMIC_RELAXED));
}

static cJSON *output_report(const struct hold *hold, uint32_t index,
    const struct hold_output *before, const struct output *output)
{
    static const struct hold_output nothing;
    static const char *const means[] = {[YARDER_MEANS_ACKNOWLEDGED] = "acknowledged",
        [YARDER_MEANS_STREAM] = "stream",
        [YARDER_MEANS_SENT] = "sent"};
    const struct hold_output *counts = &hold->outputs[index];
    const struct output_config *config = output->config;
    cJSON *report = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(report, "name", config->name);
    (void)cJSON_AddStringToObject(report, "kind", output_kind_name(config));
    (void)cJSON_AddStringToObject(report, "to", config->target);
    if (config->kind == OUTPUT_OFFLOAD) {
        (void)cJSON_AddStringToObject(report, "means", means[config->backend->means]);
    }
    if (config->dead_letter != NULL) {
        (void)cJSON_AddStringToObject(report, "dead_letter", config->dead_letter);
    }
    number(report, "copies", counts->copies);
    number(report, "delivered", counts->delivered);
    output_losses(report, counts, &nothing);
    number(report, "found", counts->found);
    number(report, "held", hold_held(hold, index) + counts->spooled);
    number(report, "spooled", counts->spooled);
    number(report, "bytes", counts->delivered_bytes);
    number(report, "torn", counts->torn);
    number(report, "foreign", counts->foreign);
    number(report, "cut", counts->cut);
    number(report, "uncertain", counts->uncertain);
    number(report, "moved", counts->moved);
    number(report, "errors", counts->errors);
    number(report, "last_progress_ns", counts->last_progress_ns);
    if (config->kind == OUTPUT_FILE) {
        rotation_report(report, counts, output);
    }
    look_report(report, hold, output);
    cJSON *recent = cJSON_AddObjectToObject(report, "recent");
    output_losses(recent, counts, before);
    number(recent, "errors", growth(counts->errors, before->errors));
    return report;
}

static void alarms_report(cJSON *report, const struct worker *worker)
{
    const struct alarms_config *config = &worker->config->alarms;
    cJSON *list = cJSON_AddArrayToObject(report, "alarms");
    for (uint32_t i = 0; i < config->count && worker->sink.alarms != NULL; i++) {
        const struct alarm_counts *counts = alarms_counts(worker->sink.alarms, i);
        uint64_t failed = alarm_counted(&counts->failed);
        char words[ALARM_WORDS_BYTES];
        cJSON *alarm = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(alarm, "name", config->at[i].name);
        (void)cJSON_AddStringToObject(alarm, "action", alarm_action_names[config->at[i].action]);
        number(alarm, "raised", alarm_counted(&counts->raised));
        number(alarm, "suppressed", alarm_counted(&counts->suppressed));
        number(alarm, "failed", failed);
        if (failed > 0) {
            (void)cJSON_AddStringToObject(
                alarm, "last_failure", alarm_trouble_words(alarm_trouble(counts), words));
        }
        (void)cJSON_AddItemToArray(list, alarm);
    }
}

/* A record in a file of dead letters is not lost. */
static uint64_t losses_of(const struct hold *hold, const struct daemon_config *config)
{
    uint64_t losses = 0;
    for (uint32_t i = 0; i < hold->shape.inputs_count; i++) {
        losses += hold->inputs[i].lost_kernel + hold->inputs[i].lost_ring;
        for (uint32_t k = 0; k < HOLD_REFUSED_REASONS; k++) {
            losses += hold->inputs[i].refused[k];
        }
    }
    for (uint32_t i = 0; i < hold->shape.outputs_count; i++) {
        losses += config->outputs[i].dead_letter == NULL ? hold->outputs[i].dead : 0;
        for (uint32_t k = 0; k < HOLD_DROPPED_REASONS; k++) {
            losses += hold->outputs[i].dropped[k];
        }
    }
    return losses;
}

static void board_report(cJSON *report, const struct board *board)
{
    if (board == NULL) {
        return;
    }
    uint64_t reloads = __atomic_load_n(&board->reloads_done, __ATOMIC_ACQUIRE);
    number(report, "started_ns", board->started_ns);
    number(report, "workers_started", board->workers_started);
    number(report, "workers_crashed", board->workers_crashed);
    number(report, "reloads", reloads);
    number(report, "reloads_failed", board->reloads_failed);
    (void)cJSON_AddStringToObject(report, "reload_error", board->reload_error);
    number(report, "ring_clients", board->ring_clients);
    number(report, "ring_bytes", board->ring_bytes);
    number(report, "ring_refused", board->ring_refused);
    number(report, "fenced_outputs", board->fenced_outputs);
}

cJSON *report_status(const struct hold *hold, const struct worker *worker,
    const struct recent_sample *before, uint64_t now_ms)
{
    const struct daemon_config *config = worker->config;
    cJSON *report = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(report, "version", YARDER_VERSION);
    number(report, "pid", (uint64_t)getpid());
    number(report, "generation", hold->generation);
    number(report, "commit_fallbacks", hold->fallbacks);
    (void)cJSON_AddStringToObject(report, "io", io_name(worker->io));
    (void)cJSON_AddStringToObject(report, "state_dir", config->state_dir);
    number(report, "losses", losses_of(hold, config));
    number(report, "recent_ms", now_ms - before->at_ms);
    board_report(report, worker->board);
    cJSON *inputs = cJSON_AddArrayToObject(report, "inputs");
    for (uint32_t i = 0; i < config->inputs_count; i++) {
        (void)cJSON_AddItemToArray(inputs, input_report(&hold->inputs[i], &before->inputs[i],
                                               &config->inputs[i], worker->deaf[i]));
    }
    cJSON *router = router_report(hold->router);
    troubles_report(router, worker->sink.router);
    (void)cJSON_AddItemToObject(report, "router", router);
    cJSON *outputs = cJSON_AddArrayToObject(report, "outputs");
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        (void)cJSON_AddItemToArray(
            outputs, output_report(hold, i, &before->outputs[i], &worker->outputs[i]));
    }
    alarms_report(report, worker);
    return report;
}
