/* SPDX-License-Identifier: Apache-2.0 */
/* What `serve-udp --decrypt` decrypts with: the module of the kind `crypto`, once for each key. */
#ifndef YARDER_CLI_SERVE_KEYS_H
#define YARDER_CLI_SERVE_KEYS_H

#include "api/opener.h"
#include "cli/cli.h"

enum { SERVE_KEYS_MAX = 16 };

struct serve_keys {
    const struct yarder_opener *opener;
    uint32_t count; /* 0: nothing is decrypted */
    void *at[SERVE_KEYS_MAX];
};

/* One key for each "NAME=VALUE,NAME=VALUE ..."; "\," is a comma. CLI_GO_ON, or told. */
YARDER_MUST_USE int serve_keys_open(
    struct cli *cli, const struct yarder_texts *given, struct serve_keys *keys);
void serve_keys_close(struct serve_keys *keys);
/* As struct yarder_opener's take, of the key that knows most of the packet. */
enum yarder_opened serve_keys_take(const struct serve_keys *keys, struct yarder_text packet,
    int64_t now_ns, char *at, struct yarder_text *text);

#endif
