/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any chain compiles or is refused with a reason; what runs keeps to its bound, and says the same
 * when it runs again. The input: steps, a line each; an empty line; the message.
 */
#include <errno.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "codec/chain.h"

enum { WHY_BYTES = 200, STEPS_MAX = 40 };

static const int64_t time_ns = 1795262400123456789;

static void run_again(struct chain *chain, struct yarder_text message, size_t bound)
{
    char *once = malloc(bound + 1);
    char *again = malloc(bound + 1);
    YARDER_ASSERT(once != NULL && again != NULL);
    memcpy(chain_input(chain), message.at, message.length);
    ssize_t bytes = chain_run(chain, time_ns, message.length, once, bound);
    YARDER_ASSERT(bytes >= 0 && (size_t)bytes <= bound);
    memcpy(chain_input(chain), message.at, message.length);
    YARDER_ASSERT(chain_run(chain, time_ns, message.length, again, bound) == bytes);
    YARDER_ASSERT(memcmp(once, again, (size_t)bytes) == 0);
    bool ends = message.length > 0 && message.at[message.length - 1] == '\n';
    YARDER_ASSERT(!ends || !chain_keeps_lines(chain) || (bytes > 0 && once[bytes - 1] == '\n'));
    free(once);
    free(again);
}

static void run_chain(
    const struct yarder_texts *steps, enum chain_dialect dialect, struct yarder_text message)
{
    char why[WHY_BYTES] = "";
    struct chain *chain = NULL;
    if (chain_open(&chain, steps, dialect, why, sizeof(why)) < 0) {
        YARDER_ASSERT(why[0] != '\0');
        return;
    }
    size_t bound = chain_bound(chain, message.length);
    if (bound <= 1 << 20) {
        run_again(chain, message, bound);
    }
    chain_close(chain);
}

/* Whatever the message is, what stands for it is a JSON string. */
static void run_json(struct yarder_text message)
{
    char step[] = "json {\"m\":\"${msg}\",\"n\":\"${msgnl}\"}";
    char *at[] = {step};
    const struct yarder_texts steps = {at, 1};
    char why[WHY_BYTES];
    struct chain *chain = NULL;
    int r = chain_open(&chain, &steps, CHAIN_NATIVE, why, sizeof(why));
    YARDER_ASSERT(r == 0);
    size_t bound = chain_bound(chain, message.length);
    char *text = malloc(bound);
    YARDER_ASSERT(text != NULL);
    memcpy(chain_input(chain), message.at, message.length);
    ssize_t bytes = chain_run(chain, time_ns, message.length, text, bound);
    YARDER_ASSERT(bytes > 0);
    cJSON *json = cJSON_ParseWithLength(text, (size_t)bytes);
    YARDER_ASSERT(json != NULL);
    cJSON_Delete(json);
    free(text);
    chain_close(chain);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count)
{
    char *copy = calloc(1, bytes_count + 1);
    char *at[STEPS_MAX];
    struct yarder_texts steps = {.at = at, .count = 0};
    YARDER_ASSERT(copy != NULL);
    if (bytes_count > 0) {
        memcpy(copy, bytes, bytes_count);
    }
    char *rest = copy;
    char *end = strchr(rest, '\n');
    while (end != NULL && end != rest && steps.count < STEPS_MAX) {
        *end = '\0';
        at[steps.count++] = rest;
        rest = end + 1;
        end = strchr(rest, '\n');
    }
    rest += end == rest ? 1 : 0;
    const struct yarder_text message = {rest, bytes_count - (size_t)(rest - copy)};
    if (steps.count > 0) {
        run_chain(&steps, CHAIN_NATIVE, message);
        run_chain(&steps, CHAIN_UWSGI, message);
    }
    run_json(message);
    free(copy);
    return 0;
}
