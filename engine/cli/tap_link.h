/* SPDX-License-Identifier: Apache-2.0 */
/* The connection behind `yarder tap`: asks a daemon for a tap and maps what it gives. */
#ifndef YARDER_CLI_TAP_LINK_H
#define YARDER_CLI_TAP_LINK_H

#include "cli/ask.h"
#include "worker/tap.h"

struct tap_link {
    int fd; /* the daemon ends the tap when this is closed, and closes it when its worker goes */
    struct tap_reader reader;
    cJSON *answer; /* names: "inputs", "outputs" */
};

/* Asks with this line ({"do":"tap",...}). CLI_GO_ON, or what to exit with; told. */
YARDER_MUST_USE int tap_link_open(
    const struct cli *cli, struct tap_link *link, const char *run_dir, const char *line);
void tap_link_close(struct tap_link *link);

/* Waits so long, unless the daemon hangs up meanwhile: false then. */
bool tap_link_wait(const struct tap_link *link, int wait_ms);

/* A name of the answer's list, "?" for none. */
const char *tap_link_name(const struct tap_link *link, const char *list, uint32_t index);

#endif
