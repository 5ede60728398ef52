/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: what has grown in the last minute is told, and what is older is not. */
#include "worker/recent.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void a_minute_and_no_more(void **state)
{
    (void)state;
    static struct recent recent; /* large */
    struct hold_input inputs[2] = {{0}};
    struct hold_output outputs[1] = {{0}};
    const struct hold hold = {
        .shape = {.inputs_count = 2, .outputs_count = 1}, .inputs = inputs, .outputs = outputs};
    const uint64_t start_ms = 1000000;
    for (uint64_t i = 0; i < 100; i++) {
        uint64_t now_ms = start_ms + i * RECENT_EVERY_MS;
        inputs[1].lost_ring = i; /* one in each step */
        outputs[0].dead = 2 * i;
        recent_add(&recent, &hold, now_ms);
        const struct recent_sample *oldest = recent_oldest(&recent);
        uint64_t steps = i < RECENT_SAMPLES ? i : RECENT_SAMPLES - 1;
        assert_int_equal(oldest->at_ms, now_ms - steps * RECENT_EVERY_MS);
        assert_int_equal(inputs[1].lost_ring - oldest->inputs[1].lost_ring, steps);
        assert_int_equal(outputs[0].dead - oldest->outputs[0].dead, 2 * steps);
        assert_true(i < RECENT_SAMPLES || now_ms - oldest->at_ms == 60000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_minute_and_no_more)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
