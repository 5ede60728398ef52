/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words about an output's state are relaxed: each stands for itself. A failure is several
 * words that belong together: the writer makes `turn` odd, writes them, makes it even; who reads
 * takes what it read under one and the same even turn.
 */
#include <string.h>

#include "os/memory.h"
#include "outputs/delivery_private.h"
#include "outputs/lane_spool.h"

enum { TRIES = 1000 };

/* By words, each of them whole. */
static void store_text(char *at, const char *text)
{
    char padded[OUTPUT_FAILURE_BYTES] = "";
    (void)snprintf(padded, sizeof(padded), "%s", text == NULL ? "" : text);
    for (size_t i = 0; i < sizeof(padded); i += sizeof(uint64_t)) {
        uint64_t word = 0;
        memcpy(&word, padded + i, sizeof(word));
        __atomic_store_n((uint64_t *)(void *)(at + i), word, __ATOMIC_RELAXED);
    }
}

static void load_text(char *to, const char *at)
{
    for (size_t i = 0; i < OUTPUT_FAILURE_BYTES; i += sizeof(uint64_t)) {
        uint64_t word = __atomic_load_n((const uint64_t *)(const void *)(at + i), __ATOMIC_RELAXED);
        memcpy(to + i, &word, sizeof(word));
    }
}

void output_tell_failure(
    struct output *output, uint32_t queue, const char *call, int error, const char *text)
{
    struct output_told *told = &output->told;
    uint32_t turn = told->turn;
    output->counts->errors++;
    __atomic_store_n(&told->turn, turn + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE); /* pairs with the acquire fence in read_failure */
    __atomic_store_n(&told->failure.at_ns, (uint64_t)os_realtime_ns(), __ATOMIC_RELAXED);
    __atomic_store_n(&told->failure.call, call, __ATOMIC_RELAXED);
    __atomic_store_n(&told->failure.error, error, __ATOMIC_RELAXED);
    __atomic_store_n(&told->failure.queue, queue, __ATOMIC_RELAXED);
    store_text(told->failure.text, text);
    __atomic_store_n(&told->turn, turn + 2, __ATOMIC_RELEASE); /* pairs with the acquire there */
}

/* Zeroed when the writer fails faster than we can read, which no disk does for long. */
static struct output_failure read_failure(const struct output_told *told)
{
    for (unsigned try = 0; try < TRIES; try++) {
        uint32_t turn = __atomic_load_n(&told->turn, __ATOMIC_ACQUIRE);
        struct output_failure failure = {
            .at_ns = __atomic_load_n(&told->failure.at_ns, __ATOMIC_RELAXED),
            .call = __atomic_load_n(&told->failure.call, __ATOMIC_RELAXED),
            .error = __atomic_load_n(&told->failure.error, __ATOMIC_RELAXED),
            .queue = __atomic_load_n(&told->failure.queue, __ATOMIC_RELAXED)};
        load_text(failure.text, told->failure.text);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (turn % 2 == 0 && __atomic_load_n(&told->turn, __ATOMIC_RELAXED) == turn) {
            return failure;
        }
    }
    return (struct output_failure){0};
}

static uint64_t since(uint64_t then_ns, uint64_t now_ns)
{
    return then_ns == 0 || now_ns < then_ns ? 0 : now_ns - then_ns;
}

/* Of two threads that may be in a call, the carrier of a spool waits for strangers. */
static void look_at_carrier(const struct output *output, struct output_look *out)
{
    const struct lane_watch *watch = lane_spool_watch(output->offload.spool);
    const char *call = __atomic_load_n(&watch->call, __ATOMIC_RELAXED);
    uint64_t since_ns = __atomic_load_n(&watch->since_ns, __ATOMIC_RELAXED);
    if (call != NULL && since_ns != 0) {
        out->call = call;
        out->call_ns = since(since_ns, (uint64_t)os_monotonic_ns());
    }
}

void output_look_at(const struct output *output, struct output_look *out)
{
    *out = (struct output_look){0};
    if (output->lane == NULL) {
        return;
    }
    uint64_t now_ns = (uint64_t)os_monotonic_ns();
    out->call = lane_call(output->lane);
    out->call_ns = out->call == NULL ? 0 : lane_stuck_ns(output->lane);
    out->blocked_ns = since(__atomic_load_n(&output->blocked_ns, __ATOMIC_RELAXED), now_ns);
    for (uint32_t i = 0; i < output->slots_count; i++) {
        uint64_t late_ns = __atomic_load_n(&output->slots[i].late_ns, __ATOMIC_RELAXED);
        out->stalled_ns = yarder_max(out->stalled_ns, since(late_ns, now_ns));
    }
    if (output->offload.spool != NULL) {
        uint64_t late_ns = __atomic_load_n(&output->offload.spool_late_ns, __ATOMIC_RELAXED);
        out->stalled_ns = yarder_max(out->stalled_ns, since(late_ns, now_ns));
        look_at_carrier(output, out);
    }
    out->failure = read_failure(&output->told);
}
