/* SPDX-License-Identifier: Apache-2.0 */
/* Queues on disk whose output the configuration has no more: nobody delivers what lies in them. */
#include <string.h>

#include "control/config.h"
#include "queue/spool_check.h"

struct spools_check {
    const struct daemon_config *config;
    struct config_report *report;
};

static bool has_output(const struct daemon_config *config, const char *name)
{
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        const struct output_config *output = &config->outputs[i];
        if (output->queue.disk_bytes > 0 && strcmp(output->name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void check_one(void *check_, const char *folder)
{
    struct spools_check *check = check_;
    char name[256];
    struct spool_report report;
    const struct spool_check_options options = {
        .state_dir = check->config->state_dir, .folder = folder};
    spool_name_of_folder(folder, name, sizeof(name));
    if (has_output(check->config, name) || spool_check(&report, &options) < 0 ||
        report.records == 0) {
        return;
    }
    report_warning(check->report, NULL,
        "%llu records lie in %s/spool/%s, and no output %s has a queue on disk any more; "
        "yarder spool replay gives them to another",
        (unsigned long long)report.records, check->config->state_dir, folder, name);
}

void config_check_spools(const struct daemon_config *config, struct config_report *report)
{
    struct spools_check check = {.config = config, .report = report};
    int r = spool_folders(config->state_dir, check_one, &check);
    (void)r; /* a folder that cannot be read is the state directory's trouble, told elsewhere */
}
