/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/sources.h"

#include <errno.h>
#include <string.h>

int sources_of(struct cli *cli, const char *file_option, struct sources *out)
{
    int files = cli->words_count + (file_option != NULL ? 1 : 0);
    if (files > 1) {
        return cli_refuse(cli, "takes one configuration file, but got '%.128s' and '%.128s'",
            file_option != NULL ? file_option : cli->words[0],
            file_option != NULL ? cli->words[0] : cli->words[1]);
    }
    *out = (struct sources){.file = file_option,
        .default_file = true,
        .keys = cli->keys,
        .keys_count = cli->keys_count};
    if (cli->words_count == 1) {
        out->file = cli->words[0];
    }
    return CLI_GO_ON;
}

bool sources_have_key(const struct settings *settings, const char *key)
{
    for (uint32_t i = 0; i < settings->count; i++) {
        if (settings->list[i].section == SETTINGS_TOP && strcmp(settings->list[i].key, key) == 0) {
            return true;
        }
    }
    return false;
}

static void worse(int r, int *result)
{
    if (r < 0 && *result != -ENOMEM) {
        *result = r;
    }
}

/* All sources are read even after an error, so that all errors are told. */
static int read_all(
    struct sources *sources, struct settings *settings, struct config_report *report)
{
    char path[YARDER_PATH_BYTES_MAX];
    int result = 0;
    if (sources->file != NULL) {
        worse(settings_read_file(settings, sources->file, report), &result);
    } else if (sources->default_file && settings_default_file(path, sizeof(path)) == 1) {
        worse(settings_read_file(settings, path, report), &result);
    }
    for (int at = 0; at < sources->keys_count && result != -ENOMEM;) {
        int before = at;
        int r = settings_read_argument(settings, sources->keys_count, sources->keys, &at, report);
        worse(r, &result);
        at += at == before ? 1 : 0;
        YARDER_ASSERT(r != 0); /* cli_parse kept keys alone */
    }
    for (size_t i = 0; i < sources->added_count; i++) {
        worse(settings_set(settings, sources->added[i].key, sources->added[i].value, report),
            &result);
    }
    return result;
}

int sources_read(void *context, struct settings **out, struct config_report *report)
{
    struct settings *settings = NULL;
    int r = settings_open(&settings);
    if (r < 0) {
        return r;
    }
    r = read_all(context, settings, report);
    if (r < 0) {
        settings_close(settings);
        return r;
    }
    *out = settings;
    return 0;
}

void configuration_close(struct configuration *configuration)
{
    if (configuration != NULL) {
        config_close(configuration->config);
        settings_close(configuration->settings);
        report_deinit(&configuration->report);
        free(configuration);
    }
}

int configuration_load(struct configuration **out, struct sources *sources)
{
    struct configuration *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        return -ENOMEM;
    }
    report_init(&made->report);
    int result = settings_open(&made->settings);
    if (result == 0) {
        result = read_all(sources, made->settings, &made->report);
    }
    if (result != -ENOMEM) { /* what could be read is looked at in any case */
        worse(config_load(&made->config, made->settings, &made->report), &result);
    }
    if (result == -ENOMEM) {
        configuration_close(made);
        return result;
    }
    *out = made;
    return result;
}

int configuration_load_or_tell(
    const struct cli *cli, struct configuration **out, struct sources *sources)
{
    int r = configuration_load(out, sources);
    if (r == -ENOMEM) {
        cli_say(cli, "no memory for the configuration");
        return CLI_FAILED;
    }
    report_print(&(*out)->report, false, stderr);
    return r < 0 ? CLI_USAGE : CLI_GO_ON;
}

int configuration_router(
    const struct cli *cli, const struct daemon_config *config, struct router **out)
{
    char why[512] = "no memory for the router";
    YARDER_OWN_HEAP struct config_route_spec *spec = malloc(sizeof(*spec));
    if (spec != NULL) {
        config_route_spec(config, spec);
    }
    if (spec == NULL || router_open(out, &spec->spec, why, sizeof(why)) < 0) {
        cli_say(cli, "%s", why);
        return CLI_FAILED;
    }
    return CLI_GO_ON;
}
