/* SPDX-License-Identifier: Apache-2.0 */
#include "control/option_share.h"

#include <assert.h>
#include <errno.h>

#include "base/text.h"
#include "control/option_set.h"
#include "worker/config.h"

static_assert(
    (int)PROCESSORS_TEXT_BYTES <= (int)OPTION_WHY_BYTES, "a list fits where options are shown");

int option_parse_cpus(void *target, const char *text, char *why, size_t why_bytes)
{
    struct config_cpus *cpus = target;
    int r = processors_parse(text, &cpus->set);
    if (r < 0) {
        (void)snprintf(
            why, why_bytes, "expected numbers of processors to %d, such as 0,2-3", CPU_SETSIZE - 1);
        return -EINVAL;
    }
    cpus->given = true;
    return 0;
}

int option_parse_nice(void *target, const char *text, char *why, size_t why_bytes)
{
    struct config_nice *nice = target;
    bool negative = text[0] == '-';
    uint64_t value = 0;
    int r = text_to_u64(text_of(text + negative), &value);
    if (r < 0 || value > (negative ? -NICE_LEAST : NICE_MOST)) {
        (void)snprintf(why, why_bytes, "expected %d to %d", NICE_LEAST, NICE_MOST);
        return -EINVAL;
    }
    *nice = (struct config_nice){.given = true, .value = negative ? -(int)value : (int)value};
    return 0;
}

const char *option_show_cpus(const void *field, char *at)
{
    const struct config_cpus *cpus = field;
    return cpus->given ? processors_text(&cpus->set, at) : "";
}

const char *option_show_nice(const void *field, char *at)
{
    const struct config_nice *nice = field;
    (void)snprintf(at, OPTION_WHY_BYTES, "%d", nice->value);
    return nice->given ? at : "";
}
