/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/doctor.h"

#include "cli/ask.h"
#include "cli/status_text.h"
#include "control/settings.h"
#include "os/memory.h"

struct doctor_options {
    char *run_dir;
    char *state_dir;
    bool json;
};

static const struct cli_option doctor_table[] = {
    CLI_RUN_DIR(struct doctor_options),
    {{"state-dir", YARDER_OPTION_TEXT, offsetof(struct doctor_options, state_dir), NULL, 0, 0, NULL,
         NULL, "PATH", "the daemon's state directory; else the user's own"},
        0},
    {{"json", YARDER_OPTION_BOOL, offsetof(struct doctor_options, json), NULL, 0, 0, NULL, NULL, "",
         "for programs"},
        0},
    CLI_OPTIONS_END,
};

static const char *const words[] = {[DOCTOR_GOOD] = "good",
    [DOCTOR_LIMITS] = "limits",
    [DOCTOR_BROKEN] = "broken",
    [DOCTOR_NONE] = "unknown"};

static void print_finding(const char *name, const struct doctor_finding *finding)
{
    (void)printf("%-8s%-17s%s\n", words[finding->state], name, finding->what);
    if (finding->cure[0] != '\0') {
        (void)printf("%25scure: %s\n", "", finding->cure);
    }
}

static void add_finding(cJSON *list, const char *name, const struct doctor_finding *finding)
{
    cJSON *one = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(one, "name", name);
    (void)cJSON_AddStringToObject(one, "state", words[finding->state]);
    (void)cJSON_AddStringToObject(one, "what", finding->what);
    (void)cJSON_AddStringToObject(one, "cure", finding->cure);
    (void)cJSON_AddItemToArray(list, one);
}

/* What a daemon that runs here says of itself. */
static void look_at_daemon(const char *run_dir, struct doctor_finding *out)
{
    char path[ASK_PATH_BYTES];
    struct status_verdict verdict;
    cJSON *report = NULL;
    int r = ask(run_dir, "status", &report, path);
    *out = (struct doctor_finding){.state = DOCTOR_NONE};
    if (r < 0) {
        (void)snprintf(out->what, sizeof(out->what), "no daemon answers at %s", path);
        return;
    }
    status_judge(report, (uint64_t)os_realtime_ns(), &verdict);
    out->state = status_is_healthy(verdict.state) ? DOCTOR_GOOD : DOCTOR_LIMITS;
    (void)snprintf(out->what, sizeof(out->what), "%s", verdict.line);
    if (out->state == DOCTOR_LIMITS) {
        (void)snprintf(out->cure, sizeof(out->cure), "yarder status says more");
    }
    cJSON_Delete(report);
}

static int examine(const struct doctor_options *options, const struct doctor_place *place)
{
    struct doctor_finding finding;
    unsigned counts[YARDER_COUNT_OF(words)] = {0};
    cJSON *list = cJSON_CreateArray();
    for (const struct doctor_check *check = doctor_checks;; check++) {
        bool last = check->name == NULL;
        const char *name = last ? "daemon" : check->name;
        finding = (struct doctor_finding){.state = DOCTOR_NONE};
        if (last) {
            look_at_daemon(options->run_dir, &finding);
        } else {
            check->look(place, &finding);
        }
        counts[finding.state]++;
        if (options->json) {
            add_finding(list, name, &finding);
        } else {
            print_finding(name, &finding);
        }
        if (last) {
            break;
        }
    }
    if (options->json) {
        char *text = cJSON_Print(list);
        (void)puts(text != NULL ? text : "[]");
        cJSON_free(text);
    } else if (counts[DOCTOR_BROKEN] + counts[DOCTOR_LIMITS] == 0) {
        (void)puts("nothing on this machine limits yarder");
    } else {
        (void)printf("%u limit yarder here, %u keep it from working\n", counts[DOCTOR_LIMITS],
            counts[DOCTOR_BROKEN]);
    }
    cJSON_Delete(list);
    return counts[DOCTOR_BROKEN] > 0 ? CLI_FAILED : CLI_GOOD;
}

static int run_doctor(struct cli *cli)
{
    struct doctor_options options = {0};
    struct settings *settings = NULL;
    int r = cli_parse(cli, &options);
    if (r != CLI_GO_ON) {
        return r;
    }
    if (cli->words_count > 0) {
        return cli_refuse(cli, "takes no words, but got '%.64s'", cli->words[0]);
    }
    if (settings_open(&settings) < 0) {
        cli_say(cli, "no memory, or no place for a run directory; name one with --run-dir");
        return CLI_FAILED;
    }
    const struct doctor_place place = {
        .run_dir = options.run_dir != NULL ? options.run_dir : settings->place.run_dir,
        .state_dir = options.state_dir != NULL ? options.state_dir : settings->place.state_dir};
    int status = examine(&options, &place);
    settings_close(settings);
    return status;
}

const struct command command_doctor = {
    .name = "doctor",
    .usage = "[OPTIONS]",
    .summary = "what on this machine limits yarder, and the line that cures it",
    .about = "Looks, and changes nothing. Status 1 if something keeps yarder from working.\n",
    .examples = "  yarder doctor\n  yarder doctor --json | jq '.[] | select(.state != \"good\")'\n",
    .options = doctor_table,
    .run = run_doctor,
};
