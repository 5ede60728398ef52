/* SPDX-License-Identifier: Apache-2.0 */
#include "os/crash.h"

#include <signal.h>
#include <string.h>

bool crash_armed;
static char crash_name[64];
static uint64_t crash_count;

void crash_arm(void)
{
    const char *setting = getenv("YARDER_CRASH_POINT");
    const char *colon = setting == NULL ? NULL : strrchr(setting, ':');
    if (colon == NULL || (size_t)(colon - setting) >= sizeof(crash_name)) {
        return;
    }
    memcpy(crash_name, setting, (size_t)(colon - setting));
    crash_count = strtoull(colon + 1, NULL, 10);
    crash_armed = crash_count > 0;
}

void crash_at(const char *name)
{
    /* Lanes pass points too: the count is shared. */
    if (strcmp(name, crash_name) == 0 &&
        __atomic_sub_fetch(&crash_count, 1, __ATOMIC_RELAXED) == 0) {
        (void)kill(getpid(), SIGKILL);
    }
}
