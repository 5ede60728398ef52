/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text as uWSGI's configuration: the first byte says in which form, ini, YAML, JSON or a
 * command line with an argument on each line. It never crashes; what loads is translated, or that
 * is refused with a reason; and the translation loads and sends records where the original does.
 * Nothing opens files: a text that could name one is left alone.
 */
#include "control/translate_scene.h"
#include "names_files.h"

enum { ARGUMENTS_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count);

static int read_arguments(
    struct settings *settings, const char *bytes, size_t count, struct config_report *report)
{
    char *arguments[ARGUMENTS_MAX];
    int found = 0;
    char *text = strndup(bytes, count);
    YARDER_ASSERT(text != NULL);
    for (char *at = text, *line; (line = strsep(&at, "\n")) != NULL && found < ARGUMENTS_MAX;) {
        arguments[found++] = line;
    }
    int r = settings_read_uwsgi_arguments(settings, found, arguments, report);
    free(text);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count)
{
    static const char *const names[] = {"fuzz.ini", "fuzz.yaml", "fuzz.json"};
    static struct config_report report;
    struct settings *settings = NULL;
    struct daemon_config *config = NULL;
    if (bytes_count == 0 || names_files_anyhow(bytes, bytes_count)) {
        return 0;
    }
    const char *text = (const char *)bytes + 1;
    bool lines = bytes[0] % 4 == 0;
    if (lines ? names_files_by_line(text, bytes_count - 1)
              : names_files_by_word(text, bytes_count - 1)) {
        return 0;
    }
    YARDER_ASSERT(settings_open(&settings) == 0);
    settings->place =
        (struct settings_place){"/work", "/run/yarder", "/state", "box", false, 1u << 30};
    report_init(&report);
    int r = bytes[0] % 4 == 3
                ? read_arguments(settings, text, bytes_count - 1, &report)
                : settings_read_text(settings, names[bytes[0] % 4], text, bytes_count - 1, &report);
    YARDER_ASSERT(r == 0 || r == -EINVAL);
    r = r == 0 ? config_load(&config, settings, &report) : r;
    YARDER_ASSERT(r == 0 || r == -EINVAL);
    if (r == 0) {
        (void)translate_round(settings, config);
    }
    config_close(config);
    settings_close(settings);
    report_deinit(&report);
    return 0;
}
