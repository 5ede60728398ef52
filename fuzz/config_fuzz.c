/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text as a configuration file. It never crashes; and what reads, reads the same after packing:
 * the same settings, the same verdict, the same messages, the same configuration as JSON. What
 * loads, routes. No other files are opened: a text that names one is left alone.
 */
#include <errno.h>
#include <string.h>

#include "control/explain.h"
#include "names_files.h"

static char *tell(struct daemon_config *config, const struct config_report *report)
{
    cJSON *root = config_to_json(config, report);
    char *told = root != NULL ? cJSON_PrintUnformatted(root) : NULL;
    cJSON_Delete(root);
    YARDER_ASSERT(told != NULL);
    return told;
}

static void check_router(const struct daemon_config *config)
{
    static struct config_route_spec spec;
    char why[512];
    struct router *router = NULL;
    config_route_spec(config, &spec);
    YARDER_ASSERT(router_open(&router, &spec.spec, why, sizeof(why)) == 0);
    router_close(router);
}

static void check_config(struct settings *settings, struct settings *unpacked)
{
    static struct config_report first;
    static struct config_report second;
    struct daemon_config *config = NULL;
    struct daemon_config *again = NULL;
    report_init(&first);
    report_init(&second);
    int r = config_load(&config, settings, &first);
    YARDER_ASSERT(r == 0 || r == -EINVAL);
    YARDER_ASSERT((r == 0) == (first.counts[REPORT_ERROR] == 0));
    YARDER_ASSERT(config_load(&again, unpacked, &second) == r);
    char *told = tell(config, &first);
    char *told_again = tell(again, &second);
    YARDER_ASSERT(strcmp(told, told_again) == 0);
    if (r == 0) {
        check_router(config);
    }
    free(told);
    free(told_again);
    config_close(config);
    config_close(again);
    report_deinit(&first);
    report_deinit(&second);
}

static void check_packing(const struct settings *unpacked, const void *packed, size_t packed_count)
{
    void *again = NULL;
    size_t again_count = 0;
    YARDER_ASSERT(settings_pack(unpacked, &again, &again_count) == 0);
    YARDER_ASSERT(again_count == packed_count && memcmp(again, packed, packed_count) == 0);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count)
{
    struct settings *settings = NULL;
    struct settings *unpacked = NULL;
    static struct config_report report;
    void *packed = NULL;
    size_t packed_count = 0;
    if (names_files_anyhow(bytes, bytes_count) ||
        names_files_by_line((const char *)bytes, bytes_count)) {
        return 0;
    }
    YARDER_ASSERT(settings_open(&settings) == 0);
    settings->place =
        (struct settings_place){"/work", "/run/yarder", "/state", "box", false, 1u << 30};
    report_init(&report);
    int r = settings_read_text(settings, "fuzz.ini", (const char *)bytes, bytes_count, &report);
    YARDER_ASSERT(r == 0 || r == -EINVAL);
    YARDER_ASSERT(settings_pack(settings, &packed, &packed_count) == 0);
    YARDER_ASSERT(settings_unpack(&unpacked, packed, packed_count) == 0);
    check_packing(unpacked, packed, packed_count);
    check_config(settings, unpacked);
    free(packed);
    settings_close(unpacked);
    settings_close(settings);
    report_deinit(&report);
    return 0;
}
