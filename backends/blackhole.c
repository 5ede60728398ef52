/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A destination that keeps nothing and has every trouble there can be, by its options: for scenes
 * and measurements, and to see how an output behaves before its real destination fails.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "api/backend.h"

struct blackhole {
    uint64_t latency_ns;
    uint64_t fail_every, refuse_every; /* 0: never */
    uint64_t stop_after_bytes;         /* 0: never */
    bool hang;
    bool deaf;

    struct yarder_host *host;
    uint64_t batches, records, bytes;
};

#define FIELD(member) offsetof(struct blackhole, member)
static const struct yarder_option options[] = {
    {"latency", YARDER_OPTION_DURATION, FIELD(latency_ns), "0", 0, UINT64_MAX, NULL, NULL, "TIME",
        "each batch takes so long"},
    {"fail-every", YARDER_OPTION_COUNT, FIELD(fail_every), "0", 0, UINT64_MAX, NULL, NULL, "N",
        "one batch of so many fails; 0: none"},
    {"refuse-every", YARDER_OPTION_COUNT, FIELD(refuse_every), "0", 0, UINT64_MAX, NULL, NULL, "N",
        "one record of so many is refused; 0: none"},
    {"stop-after", YARDER_OPTION_BYTES, FIELD(stop_after_bytes), NULL, 1, UINT64_MAX, NULL, NULL,
        "SIZE", "no room is left once it has taken so much; not given: it is endless"},
    {"hang", YARDER_OPTION_BOOL, FIELD(hang), "no", 0, 0, NULL, NULL, "yes|no",
        "nothing is ever answered"},
    {"deaf", YARDER_OPTION_BOOL, FIELD(deaf), "no", 0, 0, NULL, NULL, "yes|no",
        "it waits as a library may: the daemon does not get its thread back meanwhile"},
    {.kind = YARDER_OPTION_END},
};

static int set_target(void *self, char *text, char *why, size_t why_bytes)
{
    (void)self;
    if (text[0] == '\0') {
        return 0;
    }
    (void)snprintf(why, why_bytes, "expected blackhole: without a target");
    return -EINVAL;
}

static int open_hole(void *self_, struct yarder_host *host)
{
    struct blackhole *self = self_;
    self->host = host;
    return 0;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int sleep_until(uint64_t time_ns)
{
    const struct timespec time = {
        .tv_sec = (time_t)(time_ns / 1000000000), .tv_nsec = (long)(time_ns % 1000000000)};
    return -clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

/* 0, or why there is no answer. */
static int wait_for_answer(struct blackhole *self, uint64_t deadline_ns)
{
    struct yarder_host *host = self->host;
    if (!self->hang && self->latency_ns == 0) {
        return 0;
    }
    uint64_t answer_ns = self->hang ? UINT64_MAX : now_ns() + self->latency_ns;
    uint64_t until_ns = answer_ns < deadline_ns ? answer_ns : deadline_ns;
    int r = self->deaf ? sleep_until(until_ns) : host->wait(host, -1, 0, until_ns);
    if (r < 0) {
        return r;
    }
    return answer_ns < deadline_ns ? 0 : host->fail(host, -ETIMEDOUT, "blackhole: no answer");
}

static void answer(struct blackhole *self, struct yarder_item *item)
{
    self->records++;
    if (self->refuse_every != 0 && self->records % self->refuse_every == 0) {
        self->host->refuse(self->host, item, "blackhole: one of %llu is refused",
            (unsigned long long)self->refuse_every);
        return;
    }
    self->bytes += item->text.length;
    item->result = YARDER_DELIVERED;
}

static int submit(void *self_, struct yarder_batch *batch, uint64_t deadline_ns)
{
    struct blackhole *self = self_;
    int r = wait_for_answer(self, deadline_ns);
    if (r < 0) {
        return r;
    }
    if (self->fail_every != 0 && ++self->batches % self->fail_every == 0) {
        return self->host->fail(self->host, -EIO, "blackhole: one batch of %llu fails",
            (unsigned long long)self->fail_every);
    }
    for (uint32_t i = 0; i < batch->count; i++) {
        if (self->stop_after_bytes != 0 && self->bytes >= self->stop_after_bytes) {
            return self->host->fail(self->host, -ENOSPC, "blackhole: it is full");
        }
        answer(self, &batch->items[i]);
    }
    return 0;
}

static void close_hole(void *self)
{
    (void)self;
}

__attribute__((visibility("default"))) extern const struct yarder_backend yarder_backend;
const struct yarder_backend yarder_backend = {.abi = YARDER_BACKEND_ABI,
    .struct_bytes = sizeof(struct yarder_backend),
    .name = "blackhole",
    .help = "blackhole: takes records and keeps none, slowly or badly if told so, for tests",
    .means = YARDER_MEANS_ACKNOWLEDGED,
    .flags = YARDER_BACKEND_TEXT,
    .self_bytes = sizeof(struct blackhole),
    .options = options,
    .target = set_target,
    .open = open_hole,
    .submit = submit,
    .close = close_hole};
