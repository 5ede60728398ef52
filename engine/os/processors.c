/* SPDX-License-Identifier: Apache-2.0 */
#include "os/processors.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/text.h"

/* Reads a number, moves *at behind it. */
static int take_number(const char **at, uint64_t *out)
{
    size_t digits = strspn(*at, "0123456789");
    int r = text_to_u64((struct yarder_text){*at, digits}, out);
    *at += digits;
    return r == 0 && *out >= CPU_SETSIZE ? -ERANGE : r;
}

int processors_parse(const char *text, cpu_set_t *out)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const char *at = text;; at++) {
        uint64_t first = 0;
        int r = take_number(&at, &first);
        uint64_t last = first;
        if (r == 0 && *at == '-') {
            at++;
            r = take_number(&at, &last);
        }
        if (r < 0) {
            return r;
        }
        if (last < first || (*at != ',' && *at != '\0')) {
            return -EINVAL;
        }
        for (uint64_t i = first; i <= last; i++) {
            CPU_SET(i, &set);
        }
        if (*at == '\0') {
            *out = set;
            return 0;
        }
    }
}

const char *processors_text(const cpu_set_t *set, char at[PROCESSORS_TEXT_BYTES])
{
    enum { RANGE_BYTES = 16, MORE_BYTES = sizeof(",...") };
    size_t used = 0;
    at[0] = '\0';
    for (unsigned first = 0; first < CPU_SETSIZE; first++) {
        if (!CPU_ISSET(first, set)) {
            continue;
        }
        unsigned last = first;
        while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, set)) {
            last++;
        }
        const char *comma = used > 0 ? "," : "";
        size_t room = PROCESSORS_TEXT_BYTES - used;
        if (room < RANGE_BYTES + MORE_BYTES) {
            (void)snprintf(at + used, room, ",...");
            break;
        }
        used += (size_t)(last > first ? snprintf(at + used, room, "%s%u-%u", comma, first, last)
                                      : snprintf(at + used, room, "%s%u", comma, first));
        first = last;
    }
    return at;
}

int processors_online(cpu_set_t *out)
{
    char text[4096];
    YARDER_OWN_FD int fd = open("/sys/devices/system/cpu/online", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    ssize_t got = read(fd, text, sizeof(text) - 1);
    if (got <= 0) {
        return got < 0 ? -errno : -ENODATA;
    }
    text[got] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return processors_parse(text, out);
}

void processors_take(const struct processors_share *share)
{
    if (share->cpus != NULL) {
        (void)sched_setaffinity(0, sizeof(*share->cpus), share->cpus);
    }
    if (share->nice != NULL) {
        (void)setpriority(PRIO_PROCESS, 0, *share->nice);
    }
}

unsigned processors_refused(const struct processors_share *share, cpu_set_t *cpus, int *nice)
{
    unsigned refused = 0;
    bool known = sched_getaffinity(0, sizeof(*cpus), cpus) == 0;
    *nice = getpriority(PRIO_PROCESS, 0);
    if (share->cpus != NULL && known && !CPU_EQUAL(share->cpus, cpus)) {
        refused |= PROCESSORS_CPUS_REFUSED;
    }
    if (share->nice != NULL && *share->nice != *nice) {
        refused |= PROCESSORS_NICE_REFUSED;
    }
    return refused;
}
