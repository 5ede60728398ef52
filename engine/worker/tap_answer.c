/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/tap_answer.h"

#include <errno.h>
#include <string.h>

static cJSON *refuse(const char *what, const char *name)
{
    char text[160];
    cJSON *answer = cJSON_CreateObject();
    (void)snprintf(text, sizeof(text), "%s%.64s", what, name);
    (void)cJSON_AddStringToObject(answer, "error", text);
    return answer;
}

static const char *input_name(const struct daemon_config *config, uint32_t index)
{
    return index < config->inputs_count ? config->inputs[index].name : NULL;
}

static const char *output_name(const struct daemon_config *config, uint32_t index)
{
    return index < config->outputs_count ? config->outputs[index].name : NULL;
}

typedef const char *(*name_at)(const struct daemon_config *config, uint32_t index);

/* Names to bits; no list at all: every one. The name that nothing has, or NULL. */
static const char *read_names(
    const struct daemon_config *config, const cJSON *list, name_at name, uint64_t *bits)
{
    const cJSON *item = NULL;
    *bits = cJSON_GetArraySize(list) == 0 ? UINT64_MAX : 0;
    cJSON_ArrayForEach(item, list)
    {
        const char *wanted = cJSON_IsString(item) ? item->valuestring : "";
        uint32_t index = 0;
        while (name(config, index) != NULL && strcmp(name(config, index), wanted) != 0) {
            index++;
        }
        if (name(config, index) == NULL) {
            return wanted;
        }
        *bits |= UINT64_C(1) << index;
    }
    return NULL;
}

static uint64_t read_number(
    const cJSON *request, const char *name, uint64_t otherwise, uint64_t most)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(request, name);
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0)) {
        return otherwise;
    }
    return item->valuedouble >= (double)most ? most : (uint64_t)item->valuedouble;
}

static void add_names(
    cJSON *answer, const char *member, const struct daemon_config *config, name_at name)
{
    cJSON *list = cJSON_AddArrayToObject(answer, member);
    for (uint32_t i = 0; name(config, i) != NULL; i++) {
        (void)cJSON_AddItemToArray(list, cJSON_CreateString(name(config, i)));
    }
}

cJSON *tap_answer(struct worker *worker, const cJSON *request, struct tap **tap)
{
    const struct daemon_config *config = worker->config;
    struct tap_wishes wishes = {
        .lowest = (uint8_t)read_number(request, "lowest", 0, YARDER_LEVEL_MAX),
        .highest = (uint8_t)read_number(request, "highest", YARDER_LEVEL_MAX, YARDER_LEVEL_MAX),
        .sample = read_number(request, "sample", 1, UINT32_MAX),
        .rate = read_number(request, "rate", 0, UINT32_MAX)};
    if (*tap != NULL) {
        return refuse("this connection has a tap already", "");
    }
    const cJSON *inputs = cJSON_GetObjectItemCaseSensitive(request, "inputs");
    const cJSON *outputs = cJSON_GetObjectItemCaseSensitive(request, "outputs");
    const char *unknown = read_names(config, inputs, input_name, &wishes.inputs);
    if (unknown != NULL) {
        return refuse("no input is named ", unknown);
    }
    unknown = read_names(config, outputs, output_name, &wishes.outputs);
    if (unknown != NULL) {
        return refuse("no output is named ", unknown);
    }
    int r = taps_offer(&worker->taps, &wishes, tap);
    if (r < 0) {
        return r == -EBUSY ? refuse("all places for taps are taken; at most 4 look at a time", "")
                           : refuse("no tap can be made: ", strerror(-r));
    }
    cJSON *answer = cJSON_CreateObject();
    (void)cJSON_AddNumberToObject(answer, "tap", TAP_BYTES);
    add_names(answer, "inputs", config, input_name);
    add_names(answer, "outputs", config, output_name);
    return answer;
}
