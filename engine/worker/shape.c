/* SPDX-License-Identifier: Apache-2.0 */
/* The hold's shape, from the configuration: the same in the supervisor and in each worker. */
#include <string.h>

#include "codec/encode.h"
#include "inputs/gather.h"
#include "ring/region.h"
#include "worker/worker_private.h"

enum {
    BUFFER_BYTES_MAX = 1 << 20,
    BUFFER_BYTES_OF_A_TRY = 256 << 10, /* a backend's: what is tried, and dropped, at once */
    BUFFER_BYTES_MIN = 64 << 10,
    BUFFERS_LEAST = 4,
};

/* One queue for a constant path, or one for each period that still gets records; for one with
 * variables as many as may be open, and a few more. */
static uint32_t queues_of(const struct output_config *output)
{
    if (output->kind == OUTPUT_NULL) {
        return 0;
    }
    bool constant = output->kind != OUTPUT_FILE || strchr(output->target, '$') == NULL;
    bool timed = output->kind == OUTPUT_FILE && rotate_by_time(&output->rotate);
    uint32_t periods = timed ? OUTPUT_PERIODS_OPEN : 1;
    return constant ? periods : (uint32_t)yarder_max(output->open_max, periods);
}

static struct hold_shape_output output_shape(const struct output_config *output)
{
    struct hold_shape_output shape = {.queues_count = queues_of(output)};
    if (shape.queues_count == 0) {
        return shape;
    }
    /* Written at once: large for one file; with many files each needs a buffer of its own. */
    uint64_t pieces = yarder_max(16, 2ull * shape.queues_count);
    uint64_t bytes = output->queue.memory_bytes / pieces;
    uint64_t most = output->kind == OUTPUT_OFFLOAD ? BUFFER_BYTES_OF_A_TRY : BUFFER_BYTES_MAX;
    bytes = yarder_min(most, yarder_max(BUFFER_BYTES_MIN, bytes));
    shape.buffer_bytes = (uint32_t)(bytes & ~UINT64_C(4095));
    shape.buffers_count =
        (uint32_t)yarder_max(BUFFERS_LEAST, output->queue.memory_bytes / shape.buffer_bytes);
    return shape;
}

struct hold_shape hold_shape_of(const struct daemon_config *config)
{
    struct hold_shape shape = {.inputs_count = config->inputs_count,
        .outputs_count = config->outputs_count,
        .pipes_count = pipes_count(config->inputs, config->inputs_count),
        .pipe_half_bytes = PIPE_HALF_BYTES,
        .rings_max = region_rings_default()};
    for (uint32_t i = 0; i < config->inputs_count; i++) {
        bool ring = config->inputs[i].kind == INPUT_RING;
        bool lines = config->inputs[i].multiline != NULL;
        uint32_t joins = lines ? JOINS_COUNT + GATHERS_COUNT : ring ? JOINS_COUNT : 0;
        shape.joins_count = (uint32_t)yarder_max(shape.joins_count, joins);
        shape.join_bytes = shape.joins_count > 0 ? JOIN_BYTES : 0;
        shape.regions_max = ring ? YARDER_REGIONS_MAX : shape.regions_max;
    }
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        struct hold_shape_output *output = &shape.outputs[i];
        *output = output_shape(&config->outputs[i]);
        output->first_queue = shape.queues_count;
        output->first_buffer = shape.buffers_count;
        shape.queues_count += output->queues_count;
        shape.buffers_count += output->buffers_count;
    }
    return shape;
}
