/* SPDX-License-Identifier: Apache-2.0 */
#include "offload/fake_backend.h"

#include <errno.h>
#include <string.h>

struct fake_backend fake;

/* What configuration says: the thread has a copy of it. */
struct fake_self {
    uint64_t marked;
    struct yarder_host *host;
};

void fake_forget(void)
{
    free(fake.seen);
    fake = (struct fake_backend){0};
}

void fake_reset(void)
{
    fake_forget();
    fake.seed = 1;
    fake.seen = calloc(FAKE_RECORDS_MAX, sizeof(*fake.seen));
    YARDER_ASSERT(fake.seen != NULL);
}

void fake_be(enum fake_mood mood)
{
    __atomic_store_n(&fake.mood, mood, __ATOMIC_RELAXED);
}

static uint32_t below(uint32_t limit)
{
    fake.seed = fake.seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(fake.seed >> 33) % limit;
}

static int target(void *self, char *text, char *why, size_t why_bytes)
{
    (void)self, (void)text, (void)why, (void)why_bytes;
    return 0;
}

static int open_fake(void *self_, struct yarder_host *host)
{
    struct fake_self *self = self_;
    YARDER_ASSERT(self->host == NULL); /* a fresh copy, each time */
    YARDER_ASSERT(host->struct_bytes == sizeof(*host));
    self->host = host;
    fake.opens++;
    return fake.opens <= fake.open_fails ? host->fail(host, -ENOENT, "no such key: %s", "a.pem")
                                         : 0;
}

static uint64_t number_of(struct yarder_text text)
{
    uint64_t number = 0;
    for (size_t i = 0; i < text.length && text.at[i] >= '0' && text.at[i] <= '9'; i++) {
        number = number * 10 + (uint64_t)(text.at[i] - '0');
    }
    YARDER_ASSERT(number < FAKE_RECORDS_MAX);
    return number;
}

static void look_at(const struct yarder_batch *batch, const struct yarder_item *item, bool texts)
{
    struct yarder_text text = texts ? item->text : item->record->text;
    struct fake_sight *sight = &fake.seen[number_of(text)];
    bool before = sight->bytes != 0;
    YARDER_ASSERT(item->result == YARDER_LATER);
    YARDER_ASSERT(!texts || (item->newline && text.at[text.length] == '\n'));
    fake.surprises += before && !batch->again;
    fake.changed_ids +=
        before && (sight->id.epoch_ns != item->id.epoch_ns || sight->id.number != item->id.number);
    sight->id = item->id;
    sight->bytes = text.length;
}

/* 0, or -1: some are left. */
static int answer(
    struct fake_self *self, struct yarder_batch *batch, bool texts, enum fake_mood mood)
{
    int left = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        struct yarder_item *item = &batch->items[i];
        struct yarder_text text = texts ? item->text : item->record->text;
        struct fake_sight *sight = &fake.seen[number_of(text)];
        uint32_t dice = mood == FAKE_MIXES ? below(4) : mood == FAKE_REFUSES;
        if (dice == 3) {
            left = -1;
        } else if (dice == 1) {
            self->host->refuse(self->host, item, "bad\nbatch %d", 7);
            sight->refused++;
        } else {
            item->result = YARDER_DELIVERED;
            sight->taken++;
        }
    }
    return left;
}

static int submit(void *self_, struct yarder_batch *batch, uint64_t deadline_ns, bool texts)
{
    struct fake_self *self = self_;
    struct yarder_host *host = self->host;
    fake.submits++;
    fake.records_most = yarder_max(fake.records_most, batch->count);
    for (uint32_t i = 0; i < batch->count; i++) {
        look_at(batch, &batch->items[i], texts);
        fake.disorder += i > 0 && batch->items[i].id.number <= batch->items[i - 1].id.number;
    }
    enum fake_mood mood = (enum fake_mood)__atomic_load_n(&fake.mood, __ATOMIC_RELAXED);
    switch (mood) {
    case FAKE_FAILS:
        return host->fail(host, -ECONNREFUSED, "connect to %s:\x07 refused", "peer");
    case FAKE_HANGS:
        __atomic_fetch_add(&fake.waits, 1, __ATOMIC_RELAXED);
        return host->wait(host, -1, 0, deadline_ns) == -ECANCELED
                   ? -ECANCELED
                   : host->fail(host, -ETIMEDOUT, "no answer");
    case FAKE_LIES:
        return 0;
    case FAKE_GRUMBLES:
        (void)host->fail(host, -ECONNREFUSED, "nobody listens");
        break;
    case FAKE_TAKES:
    case FAKE_REFUSES:
    case FAKE_MIXES:
        break;
    }
    return answer(self, batch, texts, mood) == 0 ? 0 : host->fail(host, -EBUSY, "some must wait");
}

static int submit_records(void *self, struct yarder_batch *batch, uint64_t deadline_ns)
{
    return submit(self, batch, deadline_ns, false);
}

static int submit_texts(void *self, struct yarder_batch *batch, uint64_t deadline_ns)
{
    return submit(self, batch, deadline_ns, true);
}

static void reopen(void *self)
{
    (void)self;
    fake.reopens++;
}

static void close_fake(void *self)
{
    (void)self;
    fake.closes++;
}

static const struct yarder_option options[] = {{.kind = YARDER_OPTION_END}};

const struct yarder_backend fake_records = {.abi = YARDER_BACKEND_ABI,
    .struct_bytes = sizeof(struct yarder_backend),
    .name = "fake",
    .self_bytes = sizeof(struct fake_self),
    .options = options,
    .target = target,
    .open = open_fake,
    .submit = submit_records,
    .reopen = reopen,
    .close = close_fake};

const struct yarder_backend fake_texts = {.abi = YARDER_BACKEND_ABI,
    .struct_bytes = sizeof(struct yarder_backend),
    .name = "fake-texts",
    .flags = YARDER_BACKEND_TEXT,
    .default_format = "${msg}",
    .self_bytes = sizeof(struct fake_self),
    .options = options,
    .target = target,
    .open = open_fake,
    .submit = submit_texts,
    .reopen = reopen,
    .close = close_fake};
