/* SPDX-License-Identifier: Apache-2.0 */
#include "control/epoch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"

enum { EPOCH_DIGITS = 20, EPOCH_BYTES = EPOCH_DIGITS + 1 };

static bool makes_ids(const struct daemon_config *config)
{
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        if (config->outputs[i].kind == OUTPUT_OFFLOAD) {
            return true;
        }
    }
    return false;
}

/* The last epoch; 0: none, or what stands there is none. */
static uint64_t read_last(int fd)
{
    char text[EPOCH_BYTES + 1] = "";
    uint64_t last_ns = 0;
    if (pread(fd, text, EPOCH_BYTES, 0) <= 0) {
        return 0;
    }
    text[strspn(text, "0123456789")] = '\0';
    return text_to_u64(text_of(text), &last_ns) == 0 && last_ns < INT64_MAX ? last_ns : 0;
}

/* One write of a length that never changes: a death leaves the old one or the new one. */
static int write_last(int fd, uint64_t last_ns)
{
    char text[EPOCH_BYTES + 1];
    (void)snprintf(text, sizeof(text), "%0*llu\n", EPOCH_DIGITS, (unsigned long long)last_ns);
    return pwrite(fd, text, EPOCH_BYTES, 0) == EPOCH_BYTES ? 0 : -EIO;
}

void epoch_settle(
    const struct daemon_config *config, struct hold *hold, char *why, size_t why_bytes)
{
    char path[YARDER_PATH_BYTES_MAX];
    struct stat facts;
    why[0] = '\0';
    if (!makes_ids(config)) {
        return;
    }
    (void)snprintf(path, sizeof(path), "%s/epoch", config->state_dir);
    YARDER_OWN_FD int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    int r = fd < 0 ? -errno : 0;
    if (r == 0 && (fstat(fd, &facts) < 0 || !S_ISREG(facts.st_mode))) {
        r = -EINVAL;
    }
    if (r == 0) {
        uint64_t least_ns = read_last(fd) + YARDER_OUTPUTS_MAX;
        hold->header->epoch_ns = yarder_max(hold->header->epoch_ns, least_ns);
        r = write_last(fd, hold->header->epoch_ns);
    }
    if (r < 0) {
        (void)snprintf(why, why_bytes,
            "%s: %s: ids of records may repeat if the clock is ever set back", path, strerror(-r));
    }
}
