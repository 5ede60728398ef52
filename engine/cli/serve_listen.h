/* SPDX-License-Identifier: Apache-2.0 */
/* The socket of `serve-udp`, and addresses as it shows them. */
#ifndef YARDER_CLI_SERVE_LISTEN_H
#define YARDER_CLI_SERVE_LISTEN_H

#include "cli/cli.h"
#include "os/socket.h"

enum { SERVE_ADDRESS_BYTES = SOCKET_PEER_BYTES_MAX + 8 };

/* "1.2.3.4:514", "[::1]:514". */
void serve_show(
    const struct sockaddr_storage *address, socklen_t bytes, char at[SERVE_ADDRESS_BYTES]);

/*
 * Bound to ADDRESS:PORT, and a member where that is a group; interface_name NULL: as routed.
 * CLI_GO_ON, or told. `shown`: as bound.
 */
YARDER_MUST_USE int serve_listen(const struct cli *cli, const char *word,
    const char *interface_name, char shown[SERVE_ADDRESS_BYTES], int *fd);

#endif
