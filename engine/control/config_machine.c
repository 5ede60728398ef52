/* SPDX-License-Identifier: Apache-2.0 */
/* What only this machine can tell of a configuration. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "control/config.h"

struct machine_check {
    struct config_report *report;
    const char *where;
};

static bool is_number(const char *text)
{
    uint64_t number = 0;
    return text_to_u64(text_of(text), &number) == 0 && number < UINT32_MAX;
}

static void check_user(const struct machine_check *check, const char *key, const char *name)
{
    if (name != NULL && !is_number(name) && getpwnam(name) == NULL) {
        report_error(check->report, check->where, "%s: there is no user '%.64s' here", key, name);
    }
}

static void check_group(const struct machine_check *check, const char *key, const char *name)
{
    if (name != NULL && !is_number(name) && getgrnam(name) == NULL) {
        report_error(check->report, check->where, "%s: there is no group '%.64s' here", key, name);
    }
}

/* The folder of a file that may not be made: as far as the path has no variable in it. */
static void check_folder(const struct machine_check *check, const struct output_config *output)
{
    char folder[YARDER_PATH_BYTES_MAX];
    const char *variable = strstr(output->target, "${");
    size_t constant =
        variable != NULL ? (size_t)(variable - output->target) : strlen(output->target);
    YARDER_ASSERT(constant < sizeof(folder));
    memcpy(folder, output->target, constant);
    folder[constant] = '\0';
    char *slash = strrchr(folder, '/');
    YARDER_ASSERT(slash != NULL); /* the path is absolute */
    slash[slash == folder ? 1 : 0] = '\0';
    struct stat status;
    if (stat(folder, &status) < 0) {
        report_error(check->report, check->where, "file: no folder %.512s (%s), and mkdir=no",
            folder, strerror(errno));
    } else if (!S_ISDIR(status.st_mode)) {
        report_error(check->report, check->where, "file: %.512s is not a folder", folder);
    }
}

int config_check_machine(const struct daemon_config *config, struct config_report *report)
{
    uint32_t errors_before = report->counts[REPORT_ERROR];
    struct machine_check check = {report, NULL};
    check_user(&check, "user", config->user);
    check_group(&check, "group", config->group);
    for (uint32_t i = 0; i < config->inputs_count; i++) {
        const struct input_config *input = &config->inputs[i];
        check.where = input->where;
        check_user(&check, "owner", input->owner);
        check_group(&check, "group", input->group);
    }
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        const struct output_config *output = &config->outputs[i];
        check.where = output->where;
        check_user(&check, "owner", output->owner);
        check_group(&check, "group", output->group);
        if (output->kind == OUTPUT_FILE && !output->mkdir) {
            check_folder(&check, output);
        }
    }
    return report->counts[REPORT_ERROR] > errors_before ? -EINVAL : 0;
}
