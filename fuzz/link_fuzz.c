/* SPDX-License-Identifier: Apache-2.0 */
/* An address that is taken is the same once it has been shown and read again. */
#include <stdlib.h>
#include <string.h>

#include "../backends/link.h"
#include "base/base.h"

static bool is_same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[256] = "", shown[512], *again = NULL;
    struct link_address address, second;
    char *text = malloc(size + 1);
    if (text == NULL) {
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    const struct link_form form = {LINK_UDP, LINK_UNIX_DATAGRAM, LINK_ALL, "514"};
    if (link_parse(text, &form, &address, why, sizeof(why)) == 0) {
        YARDER_ASSERT((address.path == NULL) == (address.host != NULL && address.port != NULL));
        again = strdup(link_show(&address, shown, sizeof(shown)));
        /* What a path means without its scheme is for the one who asks to say. */
        YARDER_ASSERT(again != NULL);
        enum link_kind kind = address.path != NULL ? address.kind : LINK_UDP;
        bool plain = address.path == NULL || strchr("/@", address.path[0]) != NULL;
        const struct link_form same = {kind, address.kind, LINK_ALL, NULL};
        int r = link_parse(again, &same, &second, why, sizeof(why));
        YARDER_ASSERT(!plain || r == 0);
        YARDER_ASSERT(
            !plain ||
            (second.kind == address.kind && is_same(second.host, address.host) &&
                is_same(second.port, address.port) && is_same(second.path, address.path)));
    } else {
        YARDER_ASSERT(why[0] != '\0');
    }
    free(again);
    free(text);
    return 0;
}
