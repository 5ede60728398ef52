/* SPDX-License-Identifier: Apache-2.0 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "cli/cli.h"
#include "cli/commit.h"
#include "control/module.h"
#include "io/io.h"
#include "ring/append.h"
#include "ring/layout.h"

static const struct cli_option no_options[] = {CLI_OPTIONS_END};

static void print_io(void)
{
    char why[256];
    if (io_uring_usable(why, sizeof(why)) == 0) {
        (void)puts("io_uring  usable here");
    } else {
        (void)printf("io_uring  not usable here (%s): epoll does its work\n", why);
    }
}

static void print_pcre2(void)
{
    char version[64];
    uint32_t jit = 0;
    bool versioned = pcre2_config(PCRE2_CONFIG_VERSION, NULL) <= (int)sizeof(version) &&
                     pcre2_config(PCRE2_CONFIG_VERSION, version) > 0;
    (void)pcre2_config(PCRE2_CONFIG_JIT, &jit);
    (void)printf("PCRE2     %s, %s JIT\n", versioned ? version : "of unknown version",
        jit != 0 ? "with" : "without");
}

enum backend_state { BACKEND_LOADS, BACKEND_FAILS, BACKEND_ABSENT };

static enum backend_state state_of(const struct module_kind *kind, char why[MODULE_WHY_BYTES])
{
    const struct yarder_backend *backend = NULL;
    if (!module_is_there(kind)) {
        return BACKEND_ABSENT;
    }
    return module_load(kind, &backend, why) == 0 ? BACKEND_LOADS : BACKEND_FAILS;
}

/* The kinds in one state, behind a title; "none" when there are none. */
static void print_backends(const char *title, enum backend_state wanted)
{
    bool any = false;
    (void)fputs(title, stdout);
    for (const struct module_kind *kind = module_kinds; kind->name != NULL; kind++) {
        char why[MODULE_WHY_BYTES];
        if (state_of(kind, why) == wanted) {
            (void)printf(" %s", kind->name);
            any = true;
        }
    }
    (void)puts(any ? "" : " none");
}

static void print_failures(void)
{
    for (const struct module_kind *kind = module_kinds; kind->name != NULL; kind++) {
        char why[MODULE_WHY_BYTES];
        if (state_of(kind, why) == BACKEND_FAILS) {
            (void)printf("          %s\n", why);
        }
    }
}

static int run_version(struct cli *cli)
{
    int r = cli_parse(cli, NULL);
    if (r != CLI_GO_ON) {
        return r;
    }
    (void)printf("yarder %s (%s)\n", YARDER_VERSION, CLI_COMMIT);
    print_io();
    (void)printf("rings     %s\n", ring_producer_kind() == REGION_RSEQ
                                       ? "one for each processor, by restartable sequences"
                                       : "one for each thread: no restartable sequences here");
    print_pcre2();
    print_backends("backends ", BACKEND_LOADS);
    print_failures();
    print_backends("not built", BACKEND_ABSENT);
    return CLI_GOOD;
}

const struct command command_version = {
    .name = "version",
    .usage = "",
    .summary = "the version, what it was built with, and what works on this machine",
    .about = "",
    .examples = "  yarder --version\n  yarder version\n",
    .options = no_options,
    .run = run_version,
};
