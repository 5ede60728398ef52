/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/serve_keys.h"

#include <dlfcn.h>
#include <string.h>

#include "control/module.h"
#include "control/option_set.h"

static int load(const struct cli *cli, const struct yarder_opener **out)
{
    char why[MODULE_WHY_BYTES];
    const struct module_kind *kind = module_kind_find("crypto");
    const struct yarder_backend *backend = NULL;
    YARDER_ASSERT(kind != NULL);
    if (module_load(kind, &backend, why) < 0) {
        cli_say(cli, "--decrypt: %s", why);
        return CLI_FAILED;
    }
    Dl_info place;
    void *module = dladdr(backend, &place) != 0
                       ? dlopen(place.dli_fname, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD)
                       : NULL;
    const struct yarder_opener *opener = module != NULL ? dlsym(module, "yarder_opener") : NULL;
    if (opener == NULL || opener->abi != YARDER_OPENER_ABI ||
        opener->struct_bytes != sizeof(*opener)) {
        cli_say(cli, "--decrypt: the module crypto is of another version than this program");
        return CLI_FAILED;
    }
    *out = opener;
    return CLI_GO_ON;
}

/* Ends the item at the next comma, takes "\," for one in it; what follows, or NULL. */
static char *cut_item(char *text)
{
    char *to = text;
    for (; *text != '\0' && *text != ','; text++) {
        text += text[0] == '\\' && text[1] == ',';
        *to++ = *text;
    }
    char *next = *text == ',' ? text + 1 : NULL;
    *to = '\0';
    return next;
}

/* What was given is not shown: half of a secret with a comma in it may stand there. */
static int refuse_name(const struct cli *cli, const struct yarder_opener *opener)
{
    enum { NAMES_BYTES = 256 };
    char names[NAMES_BYTES] = "";
    size_t used = 0;
    for (const struct yarder_option *row = opener->options;
         row->kind != YARDER_OPTION_END && used < sizeof(names); row++) {
        used += (size_t)snprintf(
            names + used, sizeof(names) - used, "%s%s=", used > 0 ? ", " : "", row->name);
    }
    return cli_refuse(cli, "--decrypt: expected %s with commas between them", names);
}

static int set_item(
    struct cli *cli, const struct yarder_opener *opener, void *self, const char *item)
{
    char why[OPTION_WHY_BYTES];
    char refusal[OPTION_REFUSAL_BYTES];
    size_t length = strcspn(item, "=");
    const struct yarder_option *row = opener->options;
    while (row->kind != YARDER_OPTION_END &&
           (strlen(row->name) != length || memcmp(row->name, item, length) != 0)) {
        row++;
    }
    if (row->kind == YARDER_OPTION_END || item[length] != '=') {
        return refuse_name(cli, opener);
    }
    const char *value = item + length + 1;
    if (option_set(row, self, value, &cli->arena, why) < 0) {
        bool secret = row->kind == YARDER_OPTION_SECRET;
        return cli_refuse(cli, "--decrypt: %s: %s", row->name,
            secret ? why : option_refusal(row, why, value, refusal));
    }
    return CLI_GO_ON;
}

static int open_key(struct cli *cli, const struct yarder_opener *opener, char *items, void *self)
{
    char why[OPTION_WHY_BYTES] = "";
    for (const struct yarder_option *row = opener->options; row->kind != YARDER_OPTION_END; row++) {
        if (row->default_text != NULL) {
            int r = option_set(row, self, row->default_text, &cli->arena, why);
            YARDER_ASSERT(r == 0); /* a default in the module's own table */
        }
    }
    for (char *at = items, *next; at != NULL; at = next) {
        next = cut_item(at);
        int r = set_item(cli, opener, self, at);
        if (r != CLI_GO_ON) {
            return r;
        }
    }
    return opener->open(self, why, sizeof(why)) < 0 ? cli_refuse(cli, "--decrypt: %s", why)
                                                    : CLI_GO_ON;
}

int serve_keys_open(struct cli *cli, const struct yarder_texts *given, struct serve_keys *keys)
{
    *keys = (struct serve_keys){0};
    if (given->count > SERVE_KEYS_MAX) {
        return cli_refuse(cli, "--decrypt: at most %d keys", SERVE_KEYS_MAX);
    }
    int r = given->count > 0 ? load(cli, &keys->opener) : CLI_GO_ON;
    for (uint32_t i = 0; i < given->count && r == CLI_GO_ON; i++) {
        void *self = arena_take(&cli->arena, keys->opener->self_bytes);
        if (self == NULL) {
            cli_say(cli, "no memory for %u keys", given->count);
            return CLI_FAILED;
        }
        keys->at[keys->count++] = self;
        r = open_key(cli, keys->opener, given->at[i], self);
    }
    return r;
}

void serve_keys_close(struct serve_keys *keys)
{
    for (uint32_t i = 0; i < keys->count; i++) {
        keys->opener->close(keys->at[i]);
    }
    keys->count = 0;
}

enum yarder_opened serve_keys_take(const struct serve_keys *keys, struct yarder_text packet,
    int64_t now_ns, char *at, struct yarder_text *text)
{
    enum yarder_opened most = YARDER_OPENED_UNKNOWN;
    for (uint32_t i = 0; i < keys->count && most != YARDER_OPENED_GOOD; i++) {
        enum yarder_opened opened = keys->opener->take(keys->at[i], packet, now_ns, at, text);
        most = opened > most ? opened : most;
    }
    return most;
}
