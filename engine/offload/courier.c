/* SPDX-License-Identifier: Apache-2.0 */
#include "offload/courier.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "offload/courier_private.h"
#include "os/memory.h"

static const char *say(struct courier *courier, const char *format, ...) YARDER_PRINTF(2, 3);

/* What the operator is told; the answer points to it. */
static const char *say(struct courier *courier, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    host_print(courier->text, sizeof(courier->text), format, arguments);
    va_end(arguments);
    return courier->text;
}

/* The backend's words, or the error's own. */
static const char *say_failure(struct courier *courier, const char *call, int error)
{
    if (courier->host.error != 0) {
        return say(courier, "%s", courier->host.text);
    }
    return say(courier, "%s: %s", call, strerror(-error));
}

static uint64_t after(uint64_t time_ns, uint64_t wait_ns)
{
    return wait_ns > UINT64_MAX - time_ns ? UINT64_MAX : time_ns + wait_ns;
}

/* What is remembered of this try. Without memory it is not, and may be sent twice. */
static void keep(struct courier *courier, const struct courier_kept *kept)
{
    struct courier_keepsakes *list = &courier->next;
    if (list->count == list->room) {
        uint32_t room = 2 * list->room + COURIER_BATCH_RECORDS;
        struct courier_kept *larger = realloc(list->at, room * sizeof(*larger));
        if (larger == NULL) {
            return;
        }
        list->at = larger;
        list->room = room;
    }
    list->at[list->count++] = *kept;
}

/* What was kept from before and lies behind all that this try came to is kept on. */
static void end_keeping(struct courier *courier)
{
    while (courier->kept_at < courier->kept.count) {
        keep(courier, &courier->kept.at[courier->kept_at++]);
    }
    struct courier_keepsakes done = courier->kept;
    courier->kept = courier->next;
    courier->next = done;
    courier->next.count = courier->kept_at = 0;
}

static bool is_settled(uint8_t result)
{
    return result == YARDER_DELIVERED || result == YARDER_REFUSED;
}

static uint32_t count_later(const struct courier *courier)
{
    uint32_t later = 0;
    for (uint32_t i = 0; i < courier->items_count; i++) {
        later += !is_settled(courier->items[i].result);
    }
    return later;
}

/* Gives the batch to the backend. */
static int submit(struct courier *courier, const struct courier_load *load)
{
    if (courier->items_count == 0) {
        return 0;
    }
    if (host_is_wanted(&courier->host)) {
        return -ECANCELED;
    }
    struct yarder_id first = courier->items[0].id;
    struct yarder_id last = courier->items[courier->items_count - 1].id;
    struct yarder_batch batch = {.items = courier->items,
        .count = courier->items_count,
        .again =
            !id_is_before(courier->sent_until, first) || !id_is_before(load->again_until, first)};
    for (uint32_t i = 0; i < batch.count; i++) {
        batch.text_bytes += courier->items[i].text.length;
    }
    host_begin(&courier->host, courier->items, courier->items_count);
    uint64_t deadline_ns = after((uint64_t)os_monotonic_ns(), courier->options.timeout_ns);
    int r = courier->options.backend->submit(courier->self, &batch, deadline_ns);
    courier->sent_until = id_is_before(courier->sent_until, last) ? last : courier->sent_until;
    uint32_t later = count_later(courier);
    courier->fails_since_ns = later < courier->items_count ? 0 : courier->fails_since_ns;
    if (later == 0) {
        if (courier->host.error != 0) {
            (void)snprintf(courier->note, sizeof(courier->note), "%s", courier->host.text);
        }
        return 0;
    }
    if (r >= 0) {
        (void)say(courier, "the backend left %u records without an answer", later);
        return -EPROTO;
    }
    (void)say_failure(courier, "submit", r);
    return r == -ECANCELED && !host_is_wanted(&courier->host) ? -EINTR : r;
}

/* Refuses every record of the batch that was tried for too long. */
static int give_up(struct courier *courier, const struct courier_load *load)
{
    (void)load;
    struct yarder_host *face = &courier->host.face;
    uint64_t after_ms = courier->options.give_up_ns / 1000000;
    bool seconds = after_ms % 1000 == 0;
    host_begin(&courier->host, courier->items, courier->items_count);
    for (uint32_t i = 0; i < courier->items_count; i++) {
        if (!id_is_before(courier->tried_until, courier->items[i].id)) {
            face->refuse(face, &courier->items[i], "gave up after %llu%s: %s",
                (unsigned long long)(seconds ? after_ms / 1000 : after_ms), seconds ? "s" : "ms",
                courier->text);
        }
    }
    return count_later(courier) == 0 ? 0 : -ETIME;
}

/* The dead letter of a refused record must stand before the record is settled. 0 or -errno. */
static int write_letters(struct courier *courier)
{
    const struct courier_options *options = &courier->options;
    const char *call = "write";
    int r = 0;
    for (uint32_t i = 0; i < courier->items_count && r == 0; i++) {
        const struct yarder_item *item = &courier->items[i];
        if (item->result != YARDER_REFUSED) {
            continue;
        }
        const char *reason = host_reason(&courier->host, i);
        (void)snprintf(courier->refusal, sizeof(courier->refusal), "%s", reason);
        r = options->dead_letter == NULL ? 0
                                         : dead_letter_put(&courier->letters, options->output_name,
                                               reason, item->id, item->record);
    }
    if (options->dead_letter != NULL && r == 0) {
        r = dead_letters_write(&courier->letters, options->dead_letter, &call);
    }
    if (r == 0) {
        return 0;
    }
    courier->letters.bytes_count = 0;
    courier->refusal[0] = '\0'; /* none is dead yet */
    for (uint32_t i = 0; i < courier->items_count; i++) {
        if (courier->items[i].result == YARDER_REFUSED) {
            courier->items[i].result = YARDER_LATER;
        }
    }
    (void)say(courier, "dead-letter %s: %s: %s", options->dead_letter, call, strerror(-r));
    return r;
}

/* The batch's results go into the answer: settled, or kept in mind behind one that is not. */
static void account(struct courier *courier, struct courier_load *load, bool *whole)
{
    for (uint32_t i = 0; i < courier->entries_count; i++) {
        struct courier_entry *entry = &courier->entries[i];
        if (entry->item != COURIER_NONE) {
            entry->fate = courier->items[entry->item].result;
        }
        bool settled = is_settled(entry->fate);
        *whole = *whole && settled;
        if (*whole) {
            load->settled_bytes = entry->end;
            load->settled++;
            load->delivered += entry->fate == YARDER_DELIVERED;
            load->delivered_bytes += entry->fate == YARDER_DELIVERED ? entry->payload : 0;
            if (entry->flaw != NULL) {
                (void)snprintf(courier->refusal, sizeof(courier->refusal), "%s", entry->flaw);
            }
        } else if (settled && entry->flaw == NULL) {
            keep(courier, &(struct courier_kept){
                              .id = entry->id, .payload = entry->payload, .fate = entry->fate});
        }
    }
}

/*
 * Whether the batch that just failed was first tried so long ago, with the records that went with
 * it then; or nothing at all has been settled for so long, though tried again and again: then those
 * that are new have no better prospects.
 */
static bool is_time_up(struct courier *courier)
{
    uint64_t give_up_ns = courier->options.give_up_ns;
    const struct yarder_item *first = courier->items;
    const struct yarder_item *last = &courier->items[courier->items_count - 1];
    while (first < last && is_settled(first->result)) {
        first++;
    }
    uint64_t now_ns = (uint64_t)os_monotonic_ns();
    if (courier->tried_since_ns == 0 || id_is_before(courier->tried_until, first->id)) {
        courier->tried_since_ns = now_ns;
        courier->tried_until = last->id;
    }
    if (courier->fails_since_ns == 0 || now_ns - courier->failed_ns > give_up_ns) {
        courier->fails_since_ns = now_ns;
    }
    courier->failed_ns = now_ns;
    if (now_ns - courier->fails_since_ns >= give_up_ns) {
        courier->tried_until = last->id;
        return true;
    }
    return now_ns - courier->tried_since_ns >= give_up_ns;
}

/* What becomes of a batch: 0, or why a part of it is left. */
typedef int batch_call(struct courier *courier, const struct courier_load *load);

/* From the first record that is not settled, until all are or a batch is left. 0 or -errno. */
static int walk(struct courier *courier, struct courier_load *load, batch_call *call)
{
    size_t at = load->settled_bytes;
    bool whole = true;
    int r = 0;
    courier->kept_at = courier->ends_at = 0;
    while (at < load->bytes_count && r == 0) {
        r = courier_fill(courier, load, at);
        if (r < 0) {
            (void)say(courier, "no memory for a batch");
            courier->starved = true;
            break;
        }
        r = call(courier, load);
        int written = write_letters(courier);
        r = written < 0 ? written : r;
        account(courier, load, &whole);
        at = courier->entries[courier->entries_count - 1].end;
    }
    end_keeping(courier);
    return r;
}

void courier_carry(struct courier *courier, struct courier_load *load)
{
    YARDER_ASSERT(courier->is_open);
    load->settled_bytes = load->settled = load->delivered = 0;
    load->delivered_bytes = 0;
    courier->refusal[0] = courier->note[0] = '\0';
    courier->starved = false;
    int r = walk(courier, load, submit);
    if (r < 0 && r != -ECANCELED && !courier->starved && is_time_up(courier)) {
        int left = walk(courier, load, give_up);
        r = left < 0 && left != -ETIME ? left : r;
        courier->tried_since_ns = 0;
    }
    bool all = load->settled_bytes == load->bytes_count;
    courier->tried_since_ns = all ? 0 : courier->tried_since_ns;
    load->error = all ? 0 : r;
    load->text = all ? NULL : courier->text;
    load->refusal = courier->refusal[0] == '\0' ? NULL : courier->refusal;
    load->note = !all || courier->note[0] == '\0' ? NULL : courier->note;
    YARDER_ASSERT(all || load->error < 0);
}

int courier_start(struct courier *courier, const char **text)
{
    const struct courier_options *options = &courier->options;
    if (courier->is_open) {
        return 0;
    }
    if (options->backend->self_bytes > 0) {
        memcpy(courier->self, options->settings, options->backend->self_bytes);
    }
    host_begin(&courier->host, NULL, 0);
    int r = options->backend->open(courier->self, &courier->host.face);
    if (r < 0) {
        *text = say_failure(courier, "open", r);
        options->backend->close(courier->self);
        return r;
    }
    courier->is_open = true;
    return 0;
}

void courier_stop(struct courier *courier)
{
    if (courier->is_open) {
        courier->is_open = false;
        courier->options.backend->close(courier->self);
    }
}

void courier_reopen(struct courier *courier)
{
    if (courier->is_open && courier->options.backend->reopen != NULL) {
        courier->options.backend->reopen(courier->self);
    }
}

void courier_want(struct courier *courier, bool wanted)
{
    host_want(&courier->host, wanted);
}

int courier_pause(struct courier *courier, uint64_t until_ns)
{
    struct yarder_host *face = &courier->host.face;
    return face->wait(face, -1, 0, until_ns);
}

/* Where each record is a message of its own, no byte of it forges another. */
static enum encode_newlines newlines_of(const struct courier_options *options)
{
    bool framed = (options->backend->flags & YARDER_BACKEND_FRAMED) != 0;
    bool kept = options->bare || (framed && options->newlines == ENCODE_NEWLINES_AUTO);
    return kept ? ENCODE_NEWLINES_KEEP : (enum encode_newlines)options->newlines;
}

static int open_encoder(struct courier *courier, char *why, size_t why_bytes)
{
    const struct courier_options *options = &courier->options;
    if ((options->backend->flags & YARDER_BACKEND_TEXT) == 0) {
        return 0;
    }
    enum chain_dialect dialect = options->encode_uwsgi ? CHAIN_UWSGI : CHAIN_NATIVE;
    const char *format =
        options->format != NULL ? options->format : options->backend->default_format;
    courier->texts_room = COURIER_BATCH_BYTES;
    courier->texts = malloc(courier->texts_room);
    if (courier->texts == NULL) {
        return -ENOMEM;
    }
    int r = encoder_open(&courier->encoder, options->bare || format == NULL ? "text" : format,
        newlines_of(options), options->hostname, why, why_bytes);
    if (r == 0) {
        r = chain_open(&courier->chains[YARDER_KIND_LOG], options->encode, dialect, why, why_bytes);
    }
    if (r == 0) {
        r = chain_open(&courier->chains[YARDER_KIND_REQUEST], options->encode_requests, dialect,
            why, why_bytes);
    }
    return r;
}

int courier_open(
    struct courier **out, const struct courier_options *options, char *why, size_t why_bytes)
{
    struct courier *courier = calloc(1, sizeof(*courier));
    if (courier == NULL) {
        return -ENOMEM;
    }
    courier->options = *options;
    courier->self = calloc(1, options->backend->self_bytes + 1); /* perhaps it needs none */
    int r = host_open(&courier->host, options->output_name, options->hostname, courier->reasons);
    if (r == 0 && courier->self == NULL) {
        r = -ENOMEM;
    }
    if (r == 0) {
        r = open_encoder(courier, why, why_bytes);
    }
    if (r < 0) {
        courier_close(courier);
        return r;
    }
    *out = courier;
    return 0;
}

void courier_close(struct courier *courier)
{
    if (courier == NULL) {
        return;
    }
    courier_stop(courier);
    host_close(&courier->host);
    encoder_close(courier->encoder);
    chain_close(courier->chains[YARDER_KIND_LOG]);
    chain_close(courier->chains[YARDER_KIND_REQUEST]);
    dead_letters_drop(&courier->letters);
    free(courier->kept.at);
    free(courier->next.at);
    free(courier->texts);
    free(courier->self);
    free(courier);
}
