/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "control/epoch.h"
#include "control/supervisor_private.h"

static int pack(struct deployment *deployment)
{
    void *bytes = NULL;
    size_t bytes_count = 0;
    int r = settings_pack(deployment->settings, &bytes, &bytes_count);
    if (r < 0) {
        return r;
    }
    YARDER_OWN_HEAP void *owned = bytes;
    deployment->settings_fd = memfd_create("yarder-settings", MFD_CLOEXEC);
    if (deployment->settings_fd < 0) {
        return -errno;
    }
    ssize_t written = write(deployment->settings_fd, owned, bytes_count);
    return written == (ssize_t)bytes_count ? 0 : -EIO;
}

static int lay_out(struct deployment *deployment)
{
    const struct hold_shape shape = hold_shape_of(deployment->config);
    int r = hold_create(&shape, &deployment->hold_fd);
    if (r == 0) {
        r = hold_open(&deployment->hold, deployment->hold_fd);
    }
    if (r < 0) {
        return r;
    }
    deployment->kept_count = shape.queues_count;
    deployment->kept = calloc(shape.queues_count + 1ul, sizeof(*deployment->kept));
    if (deployment->kept == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < shape.queues_count; i++) {
        deployment->kept[i].fds[0] = deployment->kept[i].fds[1] = -1;
    }
    return 0;
}

void supervisor_settle_epoch(const struct deployment *deployment)
{
    char why[EPOCH_WHY_BYTES];
    epoch_settle(deployment->config, deployment->hold, why, sizeof(why));
    if (why[0] != '\0') {
        supervisor_say("%s", why);
    }
}

int deployment_open(struct deployment **out, const struct supervisor_options *options,
    const char *program, struct config_report *report)
{
    struct deployment *deployment = calloc(1, sizeof(*deployment));
    if (deployment == NULL) {
        return -ENOMEM;
    }
    deployment->settings_fd = deployment->hold_fd = -1;
    deployment->program_fd = open(program, O_PATH | O_CLOEXEC);
    if (deployment->program_fd < 0) {
        report_error(report, program, "cannot be run: %s", strerror(errno));
        deployment_close(deployment);
        return -EINVAL;
    }
    int r = options->read_settings(options->context, &deployment->settings, report);
    if (r == 0) {
        r = config_load(&deployment->config, deployment->settings, report);
    }
    if (r == 0) {
        r = config_check_machine(deployment->config, deployment->settings, report);
    }
    if (r == 0) {
        r = supervisor_check_standard(deployment->config, report);
    }
    if (r == 0) {
        r = pack(deployment);
    }
    if (r == 0) {
        r = lay_out(deployment);
    }
    if (r < 0) {
        deployment_close(deployment);
        return r;
    }
    *out = deployment;
    return 0;
}

void deployment_close(struct deployment *deployment)
{
    if (deployment == NULL) {
        return;
    }
    for (uint32_t i = 0; i < deployment->kept_count && deployment->kept != NULL; i++) {
        deployment_forget(deployment, i);
    }
    free(deployment->kept);
    hold_close(deployment->hold);
    yarder_fd_drop(&deployment->hold_fd);
    yarder_fd_drop(&deployment->settings_fd);
    yarder_fd_drop(&deployment->program_fd);
    config_close(deployment->config);
    settings_close(deployment->settings);
    free(deployment);
}

uint64_t deployment_generation(const struct deployment *deployment)
{
    return __atomic_load_n(&deployment->hold->header->generation, __ATOMIC_ACQUIRE);
}

void deployment_keep(
    struct deployment *deployment, uint32_t queue, int fd, const struct channel_file *file)
{
    if (queue >= deployment->kept_count || fd < 0) {
        yarder_fd_drop(&fd);
        return;
    }
    struct kept_file *kept = &deployment->kept[queue];
    yarder_fd_drop(&kept->fds[1]);
    kept->fds[1] = kept->fds[0];
    kept->files[1] = kept->files[0];
    kept->fds[0] = fd;
    kept->files[0] = *file;
}

void deployment_forget(struct deployment *deployment, uint32_t queue)
{
    if (queue >= deployment->kept_count) {
        return;
    }
    for (int i = 0; i < KEPT_EACH; i++) {
        yarder_fd_drop(&deployment->kept[queue].fds[i]);
        deployment->kept[queue].fds[i] = -1;
    }
}
