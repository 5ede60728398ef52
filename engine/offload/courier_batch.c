/* SPDX-License-Identifier: Apache-2.0 */
/* From packed bytes to what a backend is given. */
#include <errno.h>
#include <string.h>

#include "codec/pack.h"
#include "offload/courier_private.h"

/* Where the record that begins at `at` ends by the queue's account; 0: it has none. */
static size_t end_of(struct courier *courier, const struct courier_load *load, size_t at)
{
    for (; load->ends != NULL && courier->ends_at < load->ends_count; courier->ends_at++) {
        uint32_t end = load->ends[-(ptrdiff_t)(courier->ends_at + 1)];
        if (end > load->ends_from && end - load->ends_from > at) {
            return yarder_min(end - load->ends_from, load->bytes_count);
        }
    }
    return load->ends == NULL ? 0 : load->bytes_count;
}

/* What was settled in a try before; NULL: it was not. */
static const struct courier_kept *kept_of(struct courier *courier, struct yarder_id id)
{
    const struct courier_keepsakes *kept = &courier->kept;
    while (courier->kept_at < kept->count &&
           id_is_before(kept->at[courier->kept_at].id, id)) { /* delivered since, or dropped */
        courier->kept_at++;
    }
    bool found = courier->kept_at < kept->count &&
                 memcmp(&kept->at[courier->kept_at].id, &id, sizeof(id)) == 0;
    return found ? &kept->at[courier->kept_at] : NULL;
}

/* Room for a text. 0; -ENOBUFS: the batch has none any more; -ENOMEM. */
static int make_room(struct courier *courier, size_t bytes)
{
    if (bytes <= courier->texts_room - courier->texts_bytes) {
        return 0;
    }
    if (courier->items_count > 0) {
        return -ENOBUFS;
    }
    char *larger = realloc(courier->texts, bytes); /* nothing points into it yet */
    if (larger == NULL) {
        return -ENOMEM;
    }
    courier->texts = larger;
    courier->texts_room = bytes;
    return 0;
}

/* What the chain makes of the text: *bytes. 0, -ENOBUFS, -ENOMEM or -EMSGSIZE. */
static int run_chain(
    struct courier *courier, struct chain *chain, const struct yarder_record *record, size_t *bytes)
{
    if (encoder_bound(courier->encoder, record) > CHAIN_BYTES_MAX) {
        return -EMSGSIZE;
    }
    size_t text_bytes = encoder_run(courier->encoder, record, chain_input(chain));
    int r = make_room(courier, yarder_min(chain_bound(chain, text_bytes), CHAIN_BYTES_MAX));
    if (r < 0) {
        return r;
    }
    ssize_t made = chain_run(chain, record->time_ns, text_bytes,
        courier->texts + courier->texts_bytes, courier->texts_room - courier->texts_bytes);
    *bytes = made < 0 ? 0 : (size_t)made;
    return made < 0 ? (int)made : 0;
}

/* The same without one. */
static int run_encoder(struct courier *courier, const struct yarder_record *record, size_t *bytes)
{
    int r = make_room(courier, encoder_bound(courier->encoder, record));
    if (r == 0) {
        *bytes = encoder_run(courier->encoder, record, courier->texts + courier->texts_bytes);
    }
    return r;
}

/* The item's text, if the backend wants one: 0, -ENOBUFS, -ENOMEM or -EMSGSIZE. */
static int render(
    struct courier *courier, const struct yarder_record *record, struct yarder_item *item)
{
    struct chain *chain = courier->chains[record->kind == YARDER_KIND_REQUEST];
    size_t bytes = 0;
    if (courier->encoder == NULL) {
        return 0;
    }
    int r = chain == NULL ? run_encoder(courier, record, &bytes)
                          : run_chain(courier, chain, record, &bytes);
    if (r < 0) {
        return r;
    }
    const char *at = courier->texts + courier->texts_bytes;
    item->newline = bytes > 0 && at[bytes - 1] == '\n';
    item->text = (struct yarder_text){at, bytes - item->newline};
    courier->texts_bytes += bytes;
    return 0;
}

/* 0, -ENOBUFS or -ENOMEM. */
static int put_item(
    struct courier *courier, struct courier_entry *entry, const struct yarder_record *record)
{
    struct yarder_item *item = &courier->items[courier->items_count];
    struct yarder_record *kept = &courier->records[courier->items_count];
    *item = (struct yarder_item){.record = kept, .id = entry->id};
    int r = render(courier, record, item);
    if (r == -EMSGSIZE) {
        entry->flaw = "too long for the encoders";
        return 0;
    }
    if (r < 0) {
        return r;
    }
    entry->fate = YARDER_LATER;
    if (courier->encoder != NULL && item->text.length == 0 && !item->newline) {
        entry->fate = YARDER_DELIVERED; /* a chain's nothing */
        return 0;
    }
    *kept = *record;
    entry->payload = (uint32_t)(courier->encoder != NULL ? item->text.length : record->text.length);
    entry->item = courier->items_count++;
    courier->fields_count += record->fields_count;
    return 0;
}

/* The entry of one record. 0, -ENOBUFS or -ENOMEM; then it is not in the batch. */
static int put_entry(struct courier *courier, const struct courier_load *load, size_t at)
{
    struct courier_entry *entry = &courier->entries[courier->entries_count];
    struct yarder_record record;
    size_t taken = 0;
    size_t end = end_of(courier, load, at);
    size_t most = (end == 0 ? load->bytes_count : end) - at;
    *entry = (struct courier_entry){.item = COURIER_NONE, .fate = YARDER_REFUSED};
    int r = pack_read(load->bytes + at, most, &record, &entry->id,
        &courier->fields[courier->fields_count], YARDER_FIELDS_MAX, &taken);
    bool damaged = r < 0 || (end != 0 && taken != most);
    entry->end = at + (damaged ? most : taken);
    if (damaged) {
        entry->flaw = "damaged in the queue";
        return 0;
    }
    const struct courier_kept *kept = kept_of(courier, entry->id);
    if (kept != NULL) {
        entry->payload = kept->payload;
        entry->fate = kept->fate;
        return 0;
    }
    return put_item(courier, entry, &record);
}

int courier_fill(struct courier *courier, const struct courier_load *load, size_t from)
{
    size_t at = from;
    courier->entries_count = courier->items_count = courier->fields_count = 0;
    courier->texts_bytes = 0;
    while (at < load->bytes_count && at - from < COURIER_BATCH_BYTES &&
           courier->entries_count < COURIER_BATCH_RECORDS &&
           courier->fields_count + YARDER_FIELDS_MAX <= COURIER_FIELDS) {
        int r = put_entry(courier, load, at);
        if (r < 0) {
            return r == -ENOBUFS ? 0 : r;
        }
        at = courier->entries[courier->entries_count++].end;
    }
    return 0;
}
