/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/doctor.h"

#include "base/limits.h"
#include "cli/ask.h"
#include "cli/status_text.h"
#include "os/memory.h"

struct doctor_options {
    char *run_dir;
    char *state_dir;
    bool json;
};

static const struct cli_option doctor_table[] = {
    CLI_RUN_DIR(struct doctor_options),
    CLI_STATE_DIR(struct doctor_options),
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
    (void)snprintf(out->what, sizeof(out->what), "%.500s", verdict.line);
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
    char run_dir[ASK_PATH_BYTES];
    char state_dir[YARDER_PATH_BYTES_MAX];
    int r = cli_parse(cli, &options);
    if (r != CLI_GO_ON) {
        return r;
    }
    if (cli->words_count > 0) {
        return cli_refuse(cli, "takes no words, but got '%.64s'", cli->words[0]);
    }
    ask_run_dir(options.run_dir, run_dir, sizeof(run_dir));
    r = ask_state_dir(options.state_dir, options.run_dir, state_dir, sizeof(state_dir));
    if (r < 0 || run_dir[0] == '\0') {
        cli_say(cli, "no place for the daemon's directories; name them: --run-dir, --state-dir");
        return CLI_FAILED;
    }
    const struct doctor_place place = {.run_dir = run_dir, .state_dir = state_dir};
    return examine(&options, &place);
}

const struct command command_doctor = {
    .name = "doctor",
    .usage = "[OPTIONS]",
    .summary = "what on this machine limits yarder, and the line that cures it",
    .about =
        "Looks, and leaves nothing changed. Status 1 if something keeps yarder from working.\n",
    .examples = "  yarder doctor\n  yarder doctor --json | jq '.[] | select(.state != \"good\")'\n",
    .options = doctor_table,
    .run = run_doctor,
};
