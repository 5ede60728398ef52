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
    bool same_user; /* workers are who asks, so what may be written now may be written then */
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

/* The path up to its last slash. */
static void cut_name(char *path)
{
    char *slash = strrchr(path, '/');
    YARDER_ASSERT(slash != NULL); /* the path is absolute */
    slash[slash == path ? 1 : 0] = '\0';
}

/* Where the file will be made: what of its folder is there must be one, and open to us. */
static void check_folder(
    const struct machine_check *check, const struct output_config *output, char *folder)
{
    struct stat status;
    cut_name(folder);
    if (!output->mkdir && stat(folder, &status) < 0) {
        report_error(check->report, check->where, "file: no folder %.512s (%s), and mkdir=no",
            folder, strerror(errno));
        return;
    }
    while (
        stat(folder, &status) < 0 && (errno == ENOENT || errno == ENOTDIR) && folder[1] != '\0') {
        cut_name(folder);
    }
    if (stat(folder, &status) < 0) {
        report_warning(check->report, check->where, "file: %.512s cannot be looked at: %s", folder,
            strerror(errno));
    } else if (!S_ISDIR(status.st_mode)) {
        report_error(check->report, check->where, "file: %.512s is not a folder", folder);
    } else if (check->same_user && eaccess(folder, W_OK | X_OK) < 0) {
        report_warning(check->report, check->where,
            "file: in the folder %.512s this user can make nothing: %s", folder, strerror(errno));
    }
}

/* Whether the file can be opened, as far as its path has no variable in it. */
static void check_file(const struct machine_check *check, const struct output_config *output)
{
    char path[YARDER_PATH_BYTES_MAX];
    const char *variable = strstr(output->target, "${");
    size_t constant =
        variable != NULL ? (size_t)(variable - output->target) : strlen(output->target);
    YARDER_ASSERT(constant < sizeof(path));
    memcpy(path, output->target, constant);
    path[constant] = '\0';
    struct stat status;
    if (variable != NULL || stat(path, &status) < 0) {
        check_folder(check, output, path);
    } else if (S_ISDIR(status.st_mode)) {
        report_error(check->report, check->where, "file: %.512s is a folder", path);
    } else if (check->same_user && eaccess(path, W_OK) < 0) {
        report_warning(check->report, check->where,
            "file: %.512s cannot be written by this user: %s", path, strerror(errno));
    }
}

/* A file that holds a secret is its owner's alone. */
static void check_secrets(struct machine_check *check, const struct settings *settings)
{
    for (uint32_t i = 0; i < settings->secrets_count; i++) {
        const struct settings_secret *secret = &settings->secrets[i];
        const char *path = strchr(secret->reference, ':') + 1; /* of file: and of text: */
        struct stat status;
        if (strncmp(secret->reference, "env:", strlen("env:")) != 0 && stat(path, &status) == 0 &&
            (status.st_mode & (S_IROTH | S_IWOTH)) != 0) {
            report_warning(check->report, secret->where,
                "%.512s holds a secret, and everybody may %s it (mode %04o)", path,
                (status.st_mode & S_IWOTH) != 0 ? "write" : "read",
                (unsigned)(status.st_mode & 07777));
        }
    }
}

static void check_dead_letter(const struct machine_check *check, const struct output_config *output)
{
    struct stat status;
    char folder[YARDER_PATH_BYTES_MAX];
    const char *path = output->dead_letter;
    if (path == NULL) {
        return;
    }
    (void)snprintf(folder, sizeof(folder), "%s", path);
    cut_name(folder);
    bool there = stat(path, &status) == 0;
    if (there && S_ISDIR(status.st_mode)) {
        report_error(check->report, check->where, "dead-letter: %.512s is a folder", path);
    } else if (!there && (stat(folder, &status) < 0 || !S_ISDIR(status.st_mode))) {
        report_warning(check->report, check->where,
            "dead-letter: no folder %.512s: what is refused waits for it, and all behind that",
            folder);
    } else if (check->same_user && eaccess(there ? path : folder, W_OK) < 0) {
        report_warning(check->report, check->where,
            "dead-letter: %.512s cannot be written by this user: %s", path, strerror(errno));
    }
}

/* Files that a backend will read, perhaps as another user than who asks now. */
static void check_paths(const struct machine_check *check, const struct output_config *output)
{
    const struct yarder_option *at = output->backend->options;
    for (; at->kind != YARDER_OPTION_END; at++) {
        const char *field = (const char *)output->settings + at->offset;
        const char *path =
            at->kind == YARDER_OPTION_PATH ? *(char *const *)(const void *)field : NULL;
        if (path != NULL && eaccess(path, check->same_user ? R_OK : F_OK) < 0) {
            report_warning(check->report, check->where, "%s: %.512s cannot be read: %s", at->name,
                path, strerror(errno));
        }
    }
}

static void check_cpus(const struct machine_check *check, const cpu_set_t *wanted)
{
    char texts[2][PROCESSORS_TEXT_BYTES];
    cpu_set_t online;
    cpu_set_t here;
    if (processors_online(&online) < 0) {
        return; /* the worker will tell what it got */
    }
    CPU_AND(&here, wanted, &online);
    if (!CPU_EQUAL(&here, wanted)) {
        CPU_XOR(&here, &here, wanted);
        report_error(check->report, check->where,
            "cpus: this machine has the processors %s, not %s", processors_text(&online, texts[0]),
            processors_text(&here, texts[1]));
    }
}

/* The line that gave a key of the top, under either of its names: the command line's wins. */
static const struct setting *find_key(
    const struct settings *settings, const char *name, const char *alias)
{
    const struct setting *found = NULL;
    for (uint32_t i = 0; i < settings->count; i++) {
        const struct setting *setting = &settings->list[i];
        bool wins = found == NULL || found->file[0] != '\0';
        if (setting->section == SETTINGS_TOP && wins &&
            (strcmp(setting->key, name) == 0 || strcmp(setting->key, alias) == 0)) {
            found = setting;
        }
    }
    return found;
}

int config_check_machine(const struct daemon_config *config, const struct settings *settings,
    struct config_report *report)
{
    uint32_t errors_before = report->counts[REPORT_ERROR];
    const struct setting *user = find_key(settings, "user", "uid");
    const struct setting *group = find_key(settings, "group", "gid");
    struct machine_check check = {.report = report, .same_user = user == NULL && group == NULL};
    if (user != NULL) {
        check.where = user->where;
        check_user(&check, user->key, config->user);
    }
    if (group != NULL) {
        check.where = group->where;
        check_group(&check, group->key, config->group);
    }
    const struct setting *cpus = find_key(settings, "cpus", "cpus");
    if (cpus != NULL) {
        check.where = cpus->where;
        check_cpus(&check, &config->cpus.set);
    }
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
        if (output->kind == OUTPUT_FILE) {
            check_file(&check, output);
        }
        check_dead_letter(&check, output);
        if (output->kind == OUTPUT_OFFLOAD) {
            check_paths(&check, output);
        }
    }
    check_secrets(&check, settings);
    report_sort(report);
    return report->counts[REPORT_ERROR] > errors_before ? -EINVAL : 0;
}
