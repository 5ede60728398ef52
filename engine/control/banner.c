/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon says when it starts: where it listens, where records go, what to type next. */
#include <string.h>

#include "control/supervisor_private.h"

static void show_input(const struct input_config *input, const char *run_dir)
{
    const char *kind = input_kind_name(input);
    if (input->kind == INPUT_RING) {
        (void)fprintf(
            stderr, "  takes    ring: programs with libyarder, by %s/ring.sock\n", run_dir);
    } else if (input->kind == INPUT_STDIN) {
        (void)fprintf(stderr, "  takes    stdin\n");
    } else {
        (void)fprintf(stderr, "  takes    %s:%s\n", kind, input->target);
    }
}

static void show_output(const struct output_config *output)
{
    const char *kind = output_kind_name(output);
    bool bare = output->target == NULL || output->target[0] == '\0';
    (void)fprintf(stderr, "  gives    %s%s%s\n", kind, bare ? "" : ":", bare ? "" : output->target);
}

void banner_show(const struct supervisor *supervisor)
{
    const struct daemon_config *config = supervisor->current->config;
    if (supervisor->options->quiet || config->until_end) {
        return;
    }
    (void)fprintf(stderr, "yarder %s, pid %d\n", YARDER_VERSION, (int)getpid());
    for (uint32_t i = 0; i < config->inputs_count; i++) {
        show_input(&config->inputs[i], config->run_dir);
    }
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        show_output(&config->outputs[i]);
    }
    (void)fprintf(stderr,
        "  try      yarder send --run-dir %s hello   and   yarder status --run-dir %s\n",
        config->run_dir, config->run_dir);
}
