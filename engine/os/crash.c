/* SPDX-License-Identifier: Apache-2.0 */
#include "os/crash.h"

#include <signal.h>
#include <string.h>

#define VARIABLE "YARDER_CRASH_POINT"

bool crash_armed;
static char crash_name[64];
static uint64_t crash_count;

void crash_arm(void)
{
    const char *setting = getenv(VARIABLE);
    size_t length = setting == NULL ? 0 : strcspn(setting, ":,");
    if (length == 0 || setting[length] != ':' || length >= sizeof(crash_name)) {
        return;
    }
    memcpy(crash_name, setting, length);
    crash_count = strtoull(setting + length + 1, NULL, 10);
    crash_armed = crash_count > 0;
}

void crash_point_used(char *const *environment)
{
    for (; *environment != NULL; environment++) {
        char *setting = *environment;
        if (strncmp(setting, VARIABLE "=", sizeof(VARIABLE)) != 0) {
            continue;
        }
        setting += sizeof(VARIABLE);
        const char *rest = strchr(setting, ',');
        if (rest == NULL) {
            setting[0] = '\0';
        } else {
            memmove(setting, rest + 1, strlen(rest)); /* with its terminator */
        }
        return;
    }
}

void crash_now(void)
{
    (void)kill(getpid(), SIGKILL);
    for (;;) {
        (void)pause();
    }
}

/* Lanes pass points too: the count is shared. */
static bool is_hit(const char *name)
{
    return strcmp(name, crash_name) == 0 &&
           __atomic_sub_fetch(&crash_count, 1, __ATOMIC_RELAXED) == 0;
}

void crash_at(const char *name)
{
    if (is_hit(name)) {
        crash_now();
    }
}

size_t crash_part_of(const char *name, size_t count)
{
    return count > 1 && is_hit(name) ? (count / 3) | 1 : count;
}
