/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/report.h"

#include <string.h>

static void number(cJSON *to, const char *name, uint64_t value)
{
    (void)cJSON_AddNumberToObject(to, name, (double)value); /* exact up to 2^53 */
}

static cJSON *input_report(const struct hold_input *counts, const struct input_config *config)
{
    cJSON *input = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(input, "name", config->name);
    (void)cJSON_AddStringToObject(input, "kind", input_kind_names[config->kind]);
    number(input, "received", counts->received);
    number(input, "accepted", counts->accepted);
    cJSON *refused = cJSON_AddObjectToObject(input, "refused");
    for (uint32_t i = 0; i < HOLD_REFUSED_REASONS; i++) {
        number(refused, hold_refused_names[i], counts->refused[i]);
    }
    cJSON *lost = cJSON_AddObjectToObject(input, "lost");
    number(lost, "kernel", counts->lost_kernel);
    number(lost, "ring", counts->lost_ring);
    number(input, "truncated", counts->truncated);
    number(input, "partial", counts->partial);
    number(input, "unparsed", counts->unparsed);
    number(input, "bytes", counts->bytes);
    number(input, "connections", counts->connections);
    number(input, "connections_refused", counts->connections_refused);
    return input;
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

static cJSON *output_report(const struct hold *hold, uint32_t index,
    const struct output_config *config, const struct output *output)
{
    const struct hold_output *counts = &hold->outputs[index];
    cJSON *report = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(report, "name", config->name);
    (void)cJSON_AddStringToObject(report, "kind", output_kind_names[config->kind]);
    (void)cJSON_AddStringToObject(report, "to", config->target);
    number(report, "copies", counts->copies);
    number(report, "delivered", counts->delivered);
    cJSON *dropped = cJSON_AddObjectToObject(report, "dropped");
    for (uint32_t i = 0; i < HOLD_DROPPED_REASONS; i++) {
        number(dropped, hold_dropped_names[i], counts->dropped[i]);
    }
    number(report, "dead", counts->dead);
    number(report, "held", hold_held(hold, index));
    number(report, "bytes", counts->delivered_bytes);
    number(report, "torn", counts->torn);
    number(report, "foreign", counts->foreign);
    number(report, "cut", counts->cut);
    number(report, "uncertain", counts->uncertain);
    number(report, "moved", counts->moved);
    number(report, "errors", counts->errors);
    const char *call = output == NULL || output->lane == NULL ? NULL : lane_call(output->lane);
    if (call != NULL) {
        (void)cJSON_AddStringToObject(report, "in_call", call);
        number(report, "in_call_ms", lane_stuck_ns(output->lane) / 1000000);
    }
    return report;
}

static uint64_t losses_of(const struct hold *hold)
{
    uint64_t losses = 0;
    for (uint32_t i = 0; i < hold->shape.inputs_count; i++) {
        losses += hold->inputs[i].lost_kernel + hold->inputs[i].lost_ring;
        for (uint32_t k = 0; k < HOLD_REFUSED_REASONS; k++) {
            losses += hold->inputs[i].refused[k];
        }
    }
    for (uint32_t i = 0; i < hold->shape.outputs_count; i++) {
        losses += hold->outputs[i].dead;
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

cJSON *report_status(const struct hold *hold, const struct daemon_config *config,
    const struct output *outputs, const struct board *board, const char *io)
{
    cJSON *report = cJSON_CreateObject();
    uint64_t losses = losses_of(hold);
    (void)cJSON_AddStringToObject(report, "version", YARDER_VERSION);
    number(report, "pid", (uint64_t)getpid());
    number(report, "generation", hold->generation);
    number(report, "commit_fallbacks", hold->fallbacks);
    (void)cJSON_AddStringToObject(report, "io", io);
    number(report, "losses", losses);
    board_report(report, board);
    cJSON *inputs = cJSON_AddArrayToObject(report, "inputs");
    for (uint32_t i = 0; i < config->inputs_count; i++) {
        (void)cJSON_AddItemToArray(inputs, input_report(&hold->inputs[i], &config->inputs[i]));
    }
    (void)cJSON_AddItemToObject(report, "router", router_report(hold->router));
    cJSON *list = cJSON_AddArrayToObject(report, "outputs");
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        (void)cJSON_AddItemToArray(list,
            output_report(hold, i, &config->outputs[i], outputs == NULL ? NULL : &outputs[i]));
    }
    return report;
}
