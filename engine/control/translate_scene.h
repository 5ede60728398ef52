/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of translation: whether two configurations send the same records to the same
 * places, through the same encoders. The router decides for both.
 */
#ifndef YARDER_CONTROL_TRANSLATE_SCENE_H
#define YARDER_CONTROL_TRANSLATE_SCENE_H

#include <errno.h>
#include <string.h>

#include "control/translate.h"

enum { TRANSLATE_PLACES_BYTES = 64 << 10 };

/* Where an output goes and how its text is made, a line of its own. */
static inline void translate_place(const struct output_config *output, bool request, FILE *to)
{
    const struct yarder_texts *steps = request ? &output->encode_requests : &output->encode;
    (void)fprintf(to, "%d %s %d %d", (int)output->kind,
        output->uwsgi != NULL ? output->uwsgi : output->target, output->truncate,
        output->kind == OUTPUT_OFFLOAD && output->bare);
    for (uint32_t i = 0; i < steps->count; i++) {
        (void)fprintf(to, " | %s", steps->at[i]);
    }
    (void)fputc('\n', to);
}

static inline int translate_compare(const void *one, const void *two)
{
    return strcmp(*(char *const *)one, *(char *const *)two);
}

/*
 * The places of a text, sorted, and nothing twice: uWSGI's lines give a place several copies where
 * several routes match. In `at`.
 */
static inline void translate_places(const struct daemon_config *config, struct router *router,
    const char *text, bool request, char at[TRANSLATE_PLACES_BYTES])
{
    char *places[YARDER_OUTPUTS_MAX];
    uint32_t count = 0;
    struct route_verdict verdict;
    const struct yarder_record record = {.text = {text, strlen(text)},
        .level = YARDER_LEVEL_INFO,
        .kind = request ? YARDER_KIND_REQUEST : YARDER_KIND_LOG};
    router_decide(router, &record, 1, 0, &verdict);
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        if ((verdict.outputs >> i & 1) != 0) {
            size_t bytes = 0;
            FILE *to = open_memstream(&places[count++], &bytes);
            YARDER_ASSERT(to != NULL);
            translate_place(&config->outputs[i], request, to);
            YARDER_ASSERT(fclose(to) == 0);
        }
    }
    qsort(places, count, sizeof(*places), translate_compare);
    size_t length = 0;
    at[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        if ((i == 0 || strcmp(places[i], places[i - 1]) != 0) && length < TRANSLATE_PLACES_BYTES) {
            length +=
                (size_t)snprintf(at + length, TRANSLATE_PLACES_BYTES - length, "%s", places[i]);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        free(places[i]);
    }
}

static inline struct router *translate_router(const struct daemon_config *config)
{
    static struct config_route_spec spec;
    char why[512];
    struct router *router = NULL;
    config_route_spec(config, &spec);
    YARDER_ASSERT(router_open(&router, &spec.spec, why, sizeof(why)) == 0);
    return router;
}

static inline void translate_same(const struct daemon_config *one, const struct daemon_config *two)
{
    static const char *const texts[] = {"hello", "ERROR one", "GET / 500", "x ; y", "healthy",
        "a b", "boom", "uWSGI listen queue of socket \"x\" full", "12345", "\xff\xfe", "ab", ""};
    static char places[2][TRANSLATE_PLACES_BYTES];
    struct router *routers[2] = {translate_router(one), translate_router(two)};
    for (size_t i = 0; i < 2 * YARDER_COUNT_OF(texts); i++) {
        const char *text = texts[i / 2];
        translate_places(one, routers[0], text, i % 2 == 1, places[0]);
        translate_places(two, routers[1], text, i % 2 == 1, places[1]);
        if (strcmp(places[0], places[1]) != 0) {
            (void)fprintf(stderr, "%s '%s' goes to\n%sand translated to\n%s",
                i % 2 == 1 ? "request" : "log", text, places[0], places[1]);
            abort();
        }
    }
    router_close(routers[0]);
    router_close(routers[1]);
}

/* Translates, and looks at what the translation says; -EINVAL: it was refused. */
static inline int translate_round(struct settings *settings, const struct daemon_config *config)
{
    char why[TRANSLATE_WHY_BYTES] = "";
    char *text = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);
    YARDER_ASSERT(to != NULL);
    int r = config_translate(settings, config, true, to, why);
    YARDER_ASSERT(fclose(to) == 0);
    YARDER_ASSERT((r == -EINVAL) == (why[0] != '\0'));
    if (r == 0) {
        struct config_report report;
        struct settings *again = NULL;
        struct daemon_config *made = NULL;
        report_init(&report);
        YARDER_ASSERT(settings_open(&again) == 0);
        again->place = settings->place;
        int read = settings_read_text(again, "yarder.conf", text, bytes, &report);
        int loaded = read == 0 ? config_load(&made, again, &report) : read;
        if (loaded != 0) {
            (void)fprintf(stderr, "%s", text);
            report_print(&report, true, stderr);
        }
        YARDER_ASSERT(loaded == 0);
        YARDER_ASSERT(made->inputs_count == config->inputs_count);
        translate_same(config, made);
        config_close(made);
        settings_close(again);
        report_deinit(&report);
    }
    free(text);
    return r;
}

#endif
