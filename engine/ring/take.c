/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking records out of hostile memory, merged by stamp. Three steps for a record: its header is
 * loaded into private memory word by word and checked; then all of it is copied; then only the copy
 * is read. The heads are loaded after the watermark, so nothing older than it can appear later in
 * the ring of a thread whose newer record we see.
 */
#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "ring/reader.h"
#include "ring/reader_private.h"

enum { FIELD_HEADER_BYTES = 6 };

/* Where a take writes to. */
struct take {
    struct region_reader *reader;
    const struct ring_clock *clock;
    struct ring_batch *batch;
    size_t scratch_used;
    uint64_t watermark;
    int64_t received_ns;
};

static uint64_t watermark(const struct region_reader *reader)
{
    /* The heads are loaded after the clock was read. */
    if (reader->map.shape.clock == REGION_CLOCK_TSC) {
        return ring_ticks_then_loads();
    }
    uint64_t now = (uint64_t)os_monotonic_ns();
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return now;
}

static void load_header(struct ring_record_header *header, const uint8_t *at)
{
    const uint64_t *shared = (const void *)at; /* 8-aligned: positions are multiples of 8 */
    uint64_t words[3];
    for (unsigned i = 0; i < 3; i++) {
        words[i] = __atomic_load_n(&shared[i], __ATOMIC_RELAXED);
    }
    memcpy(header, words, sizeof(*header));
}

/* Copies so that the compiler cannot look at the source a second time. */
static void copy_shared(char *to, const uint8_t *shared, size_t bytes)
{
    memcpy(to, shared, bytes);
    __asm__ volatile("" ::: "memory");
}

static const uint8_t *place(const struct region_reader *reader, uint32_t index)
{
    uint64_t mask = reader->map.shape.ring_bytes - 1;
    return region_data(&reader->map, index) + (reader->rings[index].cursor & mask);
}

/* A stamp within [last, watermark), or false: newer than the snapshot, and its turn is later. */
static bool settle_stamp(const struct take *take, struct reader_ring *ring)
{
    uint64_t stamp = ring->next.stamp;
    bool foreign =
        (ring->next.kind & RING_NS) != 0 && take->reader->map.shape.clock == REGION_CLOCK_TSC;
    bool newer = foreign || stamp >= take->watermark;
    if (newer && (int64_t)(ring->settled - ring->cursor) < (int64_t)ring->next_need) {
        return false;
    }
    /* Published before this watermark, hence stamped before it, whatever it says. */
    stamp = newer ? take->watermark - 1 : stamp;
    if (ring->last_stamp >= take->watermark) {
        ring->last_stamp = 0; /* the clock itself was set back: a suspend, a moved machine */
    }
    ring->next_stamp = yarder_max(stamp, ring->last_stamp);
    return true;
}

/* Checks the record at the cursor. False: there is none to take now. */
static bool peek(const struct take *take, uint32_t index)
{
    struct reader_ring *ring = &take->reader->rings[index];
    uint64_t there = ring->head - ring->cursor;
    if (there == 0) {
        return false;
    }
    load_header(&ring->next, place(take->reader, index));
    uint32_t bytes = ring->next.bytes;
    ring->next_need = yarder_align_up(bytes, 8);
    if (bytes < RING_RECORD_BYTES_MIN || bytes > RING_RECORD_BYTES_MAX || ring->next_need > there) {
        uint64_t records =
            __atomic_load_n(&region_ring(&take->reader->map, index)->records, __ATOMIC_RELAXED);
        reader_resync(take->reader, ring, ring->head, records);
        return false;
    }
    /* The record behind it is nobody's yet in our cache: 40 to 31 ns a record over eight rings. */
    const uint8_t *behind = place(take->reader, index) + ring->next_need;
    __builtin_prefetch(behind);
    __builtin_prefetch(behind + YARDER_CACHE_LINE);
    return settle_stamp(take, ring);
}

/*
 * Rings that were used for the first time. As for a head: a producer sets the bit before it stamps
 * a record, and we look after the watermark, so no thread's older record stays behind in a ring
 * that is not looked at.
 */
static void list_new(struct region_reader *reader)
{
    const uint64_t *used = reader->map.header->used;
    for (uint32_t word = 0; word * 64 < reader->map.shape.rings; word++) {
        uint64_t bits = __atomic_load_n(&used[word], __ATOMIC_ACQUIRE) & ~reader->used[word];
        for (; bits != 0; bits &= bits - 1) {
            uint32_t index = word * 64 + (uint32_t)__builtin_ctzll(bits);
            if (index < reader->map.shape.rings) {
                reader_list(reader, index);
            }
        }
    }
}

/* A ring without a record to take. */
static void look_at_idle(struct region_reader *reader, struct reader_ring *ring, uint64_t records)
{
    ring->head = ring->cursor;
    ring->settled = ring->cursor;
    ring->records_before = records - ring->given - ring->refused;
    ring->records_known = true;
    /* Its next record may be far off: the gap shows in the region's next. */
    if (reader_lost_growth(ring, (uint32_t)ring->lost) > 0) {
        reader_lost_set(reader, ring, (uint32_t)ring->lost);
    }
}

/* Loads every head once. Returns how many rings have something; their indices are in `active`. */
static uint32_t snapshot(const struct take *take, uint16_t *active)
{
    struct region_reader *reader = take->reader;
    uint32_t active_count = 0;
    list_new(reader);
    for (uint32_t i = 0; i < reader->list_count; i++) {
        struct reader_ring *ring = &reader->rings[reader->list[i]];
        const struct ring_header *shared = region_ring(&reader->map, reader->list[i]);
        /* acquire: the counts before the head, which pairs with the append's commit */
        uint64_t lost = __atomic_load_n(&shared->lost, __ATOMIC_ACQUIRE);
        uint64_t records = __atomic_load_n(&shared->records, __ATOMIC_ACQUIRE);
        uint64_t head = __atomic_load_n(&shared->head, __ATOMIC_ACQUIRE);
        reader->lost += lost - ring->lost;
        ring->lost = lost;
        if (head == ring->cursor) {
            look_at_idle(reader, ring, records);
            continue;
        }
        if (!reader_head_possible(reader, ring->cursor, head)) {
            reader_resync(reader, ring, head, records);
            continue;
        }
        ring->settled = ring->head;
        ring->head = head;
        if (peek(take, reader->list[i])) {
            active[active_count++] = reader->list[i];
        }
    }
    return active_count;
}

/* How many bytes a value of this type has; UINT32_MAX: any number. 0: no such type. */
static uint32_t value_bytes(uint8_t type)
{
    static const uint32_t bytes[] = {[YARDER_FIELD_TEXT] = UINT32_MAX,
        [YARDER_FIELD_INT] = 8,
        [YARDER_FIELD_UINT] = 8,
        [YARDER_FIELD_FLOAT] = 8,
        [YARDER_FIELD_BOOL] = 1};
    return type < YARDER_COUNT_OF(bytes) ? bytes[type] : 0;
}

/* One field of the private copy: bytes it takes, or 0 when it is none. */
static size_t parse_field(struct yarder_field *field, const char *at, size_t bytes)
{
    if (bytes < FIELD_HEADER_BYTES) {
        return 0;
    }
    uint8_t type = (uint8_t)at[0];
    uint8_t key_length = (uint8_t)at[1];
    uint32_t value_length;
    memcpy(&value_length, at + 2, sizeof(value_length));
    uint32_t wanted = value_bytes(type);
    bool fits =
        value_length <= bytes && FIELD_HEADER_BYTES + (size_t)key_length + value_length <= bytes;
    if (wanted == 0 || !fits || (wanted != UINT32_MAX && wanted != value_length)) {
        return 0;
    }
    *field = (struct yarder_field){.key = {at + FIELD_HEADER_BYTES, key_length},
        .value = {at + FIELD_HEADER_BYTES + key_length, value_length},
        .type = (enum yarder_field_type)type};
    return FIELD_HEADER_BYTES + (size_t)key_length + value_length;
}

/* Fields from what follows the text. False: something there is no field. */
static bool parse_fields(
    struct yarder_record *record, struct yarder_field *fields, const char *at, size_t bytes)
{
    uint32_t count = 0;
    while (bytes > 0 && count < YARDER_FIELDS_MAX) {
        size_t used = parse_field(&fields[count], at, bytes);
        if (used == 0) {
            break;
        }
        at += used;
        bytes -= used;
        count++;
    }
    record->fields = fields;
    record->fields_count = count;
    return bytes == 0;
}

/*
 * Losses that the record at the cursor tells: those of its ring since the record before, and what
 * else is not told. Less than nothing: they were told already, before a worker's death or a rewind.
 */
static uint32_t gap_before(const struct region_reader *reader, const struct reader_ring *ring)
{
    int64_t untold = (int64_t)(int32_t)(reader->lost_seen - reader->told) +
                     reader_lost_growth(ring, ring->next.lost);
    return untold <= 0 ? 0 : (uint32_t)yarder_min((uint64_t)untold, INT32_MAX);
}

/* What the header says, into the caller's record. */
static void fill(const struct take *take, uint32_t index, struct ring_record *out)
{
    struct region_reader *reader = take->reader;
    struct reader_ring *ring = &reader->rings[index];
    const struct ring_record_header *header = &ring->next;
    uint32_t gap = gap_before(reader, ring);
    unsigned stream = (header->kind & RING_STREAM_MASK) >> RING_STREAM_SHIFT;
    enum region_clock clock = (enum region_clock)reader->map.shape.clock;
    *out = (struct ring_record){
        .ring = index,
        .before = ring->cursor,
        .refused_before_it = ring->refused,
        .lost_before_it = ring->lost_seen,
        .strikes_before_it = ring->strikes,
        .continues = (header->kind & RING_CONTINUES) != 0,
        .more = (header->kind & RING_MORE) != 0,
        .record =
            {
                .time_ns = ring_clock_time_ns(take->clock, clock, ring->next_stamp),
                .received_ns = take->received_ns,
                .tag = {reader->tag, reader->tag_bytes},
                .logger = region_reader_logger(reader, header->logger),
                .flags = gap == 0 ? 0 : YARDER_FLAG_GAP,
                .pid = reader->pid,
                .tid = header->tid,
                .lost_before = gap,
                .input = reader->input,
                .level = header->level,
                .kind = (header->kind & RING_REQUEST) != 0 ? YARDER_KIND_REQUEST : YARDER_KIND_LOG,
                .stream = (uint8_t)(stream > YARDER_STREAM_STDERR ? YARDER_STREAM_NONE : stream),
                .facility = YARDER_FACILITY_NONE,
            },
    };
}

static void strike(const struct take *take, struct ring_record *out)
{
    out->record.flags |= YARDER_FLAG_UNPARSED;
    reader_strike(take->reader, &take->reader->rings[out->ring]);
}

/* A place in the scratch, or NULL when it is used up. */
static char *reserve(struct take *take, size_t bytes)
{
    bytes = yarder_align_up(bytes, 8);
    if (bytes > take->batch->scratch_bytes - take->scratch_used) {
        return NULL;
    }
    char *at = take->batch->scratch + take->scratch_used;
    take->scratch_used += bytes;
    return at;
}

enum give { GIVE_TAKEN, GIVE_SKIPPED, GIVE_NO_ROOM };

/* Part number and fields from the private copy of what follows the text. */
static enum give give_rest(
    struct take *take, struct ring_record *out, const char *rest, size_t rest_bytes)
{
    if (out->continues || out->more) {
        if (rest_bytes < RING_PART_BYTES) {
            return GIVE_SKIPPED;
        }
        memcpy(&out->part, rest, sizeof(out->part));
        memcpy(&out->serial, rest + sizeof(out->part), sizeof(out->serial));
        rest += RING_PART_BYTES;
        rest_bytes -= RING_PART_BYTES;
    }
    if (rest_bytes == 0) {
        return GIVE_TAKEN;
    }
    size_t fields_max = yarder_min(rest_bytes / FIELD_HEADER_BYTES, YARDER_FIELDS_MAX);
    struct yarder_field *fields = (void *)reserve(take, fields_max * sizeof(*fields));
    if (fields == NULL) {
        return GIVE_NO_ROOM;
    }
    if (!parse_fields(&out->record, fields, rest, rest_bytes)) {
        strike(take, out);
    }
    return GIVE_TAKEN;
}

/* The payload of the record at the cursor, from a copy: text and the rest. */
static enum give give_payload(struct take *take, uint32_t index, struct ring_record *out)
{
    const uint8_t *shared = place(take->reader, index) + sizeof(struct ring_record_header);
    size_t bytes = take->reader->rings[index].next.bytes - sizeof(struct ring_record_header);
    uint32_t text_bytes;
    char *copy = reserve(take, bytes);
    if (copy == NULL) {
        return GIVE_NO_ROOM;
    }
    copy_shared(copy, shared, bytes);
    memcpy(&text_bytes, copy, sizeof(text_bytes));
    bytes -= sizeof(text_bytes);
    if (text_bytes > bytes) {
        return GIVE_SKIPPED;
    }
    const char *text = copy + sizeof(text_bytes);
    out->record.text = (struct yarder_text){text, text_bytes};
    return give_rest(take, out, text + text_bytes, bytes - text_bytes);
}

/* Instead of a payload's arguments their text, or that of the format when they are not of it. */
static enum give give_deferred(struct take *take, struct ring_record *out)
{
    struct region_reader *reader = take->reader;
    struct yarder_text payload = out->record.text;
    struct reader_format format;
    uint32_t format_at;
    size_t left = (take->batch->scratch_bytes - take->scratch_used) & ~(size_t)7;
    size_t room = yarder_min(RING_APPEND_BYTES_MAX, left);
    char *at = take->batch->scratch + take->scratch_used;
    size_t used = 0;
    if (take->batch->work_bytes >= RING_WORK_BYTES_MAX) {
        return GIVE_NO_ROOM;
    }
    if (payload.length < DEFERRED_HEAD_BYTES || out->continues || out->more) {
        return GIVE_SKIPPED;
    }
    memcpy(&format_at, payload.at, sizeof(format_at));
    if (!formats_find(reader->formats, reader->map.formats, format_at, &format)) {
        return GIVE_SKIPPED;
    }
    enum deferred_result result = DEFERRED_MISMATCH;
    if (format.parsed != NULL) {
        result =
            deferred_render(at, room, &used, &take->batch->work_bytes, format.parsed, format.text,
                (struct yarder_text){
                    payload.at + sizeof(format_at), payload.length - sizeof(format_at)});
    }
    if (result == DEFERRED_MISMATCH) {
        used = yarder_min(format.text.length, room);
        memcpy(at, format.text.at, used);
    }
    bool cut = result == DEFERRED_MISMATCH ? used < format.text.length : result == DEFERRED_CUT;
    if (cut && room < RING_APPEND_BYTES_MAX) {
        return GIVE_NO_ROOM;
    }
    if (result == DEFERRED_MISMATCH) {
        strike(take, out);
    }
    out->record.flags |= cut ? (uint32_t)YARDER_FLAG_TRUNCATED : 0u;
    out->record.text = (struct yarder_text){at, used};
    (void)reserve(take, used);
    return GIVE_TAKEN;
}

/* A record whose payload is no text, or one that says what this version does not know. */
static __attribute__((noinline)) enum give give_special(
    struct take *take, uint8_t kind, struct ring_record *out)
{
    bool render = (kind & RING_DEFERRED) != 0 && !take->batch->verbatim;
    enum give given = render ? give_deferred(take, out) : GIVE_TAKEN;
    out->record.flags |= (kind & RING_DEFERRED) != 0 && !render ? YARDER_FLAG_UNPARSED : 0u;
    if (given == GIVE_TAKEN && (kind & RING_RESERVED) != 0) {
        strike(take, out);
    }
    return given;
}

/* Gives the record at the ring's cursor to the caller and moves on. False: no room for it. */
static bool give(struct take *take, uint32_t index)
{
    struct reader_ring *ring = &take->reader->rings[index];
    struct ring_batch *batch = take->batch;
    if (batch->count == batch->records_max) {
        return false;
    }
    size_t scratch_before = take->scratch_used;
    struct ring_record *out = &batch->records[batch->count];
    fill(take, index, out);
    enum give given = give_payload(take, index, out);
    if (YARDER_UNLIKELY((ring->next.kind & (RING_DEFERRED | RING_RESERVED)) != 0) &&
        given == GIVE_TAKEN) {
        given = give_special(take, ring->next.kind, out);
    }
    if (given != GIVE_TAKEN) {
        take->scratch_used = scratch_before;
    }
    if (given == GIVE_NO_ROOM) {
        reader_strikes_set(take->reader, ring, out->strikes_before_it);
        return false;
    }
    if (given == GIVE_SKIPPED) {
        strike(take, out);
    }
    if (given == GIVE_TAKEN) {
        take->reader->told += out->record.lost_before;
        if (reader_lost_growth(ring, ring->next.lost) > 0) {
            reader_lost_set(take->reader, ring, ring->next.lost);
        }
        batch->count++;
        ring->given++;
    } else {
        reader_refuse(take->reader, ring, 1);
    }
    ring->last_stamp = ring->next_stamp;
    ring->cursor += ring->next_need;
    return true;
}

/* Of the active rings: the place of the oldest in `active`, and the stamp of the next oldest. */
static uint32_t oldest(
    const struct region_reader *reader, const uint16_t *active, uint32_t count, uint64_t *next)
{
    uint32_t best = 0;
    uint64_t best_stamp = UINT64_MAX;
    uint64_t second_stamp = UINT64_MAX;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t stamp = reader->rings[active[i]].next_stamp;
        if (stamp < best_stamp) {
            second_stamp = best_stamp;
            best_stamp = stamp;
            best = i;
        } else if (stamp < second_stamp) {
            second_stamp = stamp;
        }
    }
    *next = second_stamp;
    return best;
}

static void merge(struct take *take, uint16_t *active, uint32_t active_count)
{
    while (active_count > 0) {
        uint64_t until;
        uint32_t at = oldest(take->reader, active, active_count, &until);
        uint32_t index = active[at];
        bool there = true;
        while (there && take->reader->rings[index].next_stamp <= until) {
            if (!give(take, index)) {
                take->batch->more = true;
                return;
            }
            there = peek(take, index);
        }
        if (!there) {
            active[at] = active[--active_count];
        }
    }
}

int region_reader_take(
    struct region_reader *reader, const struct ring_clock *clock, struct ring_batch *batch)
{
    YARDER_ASSERT(batch->records_max > 0);
    YARDER_ASSERT(
        batch->scratch_bytes >= RING_SCRATCH_BYTES_MIN && (uintptr_t)batch->scratch % 8 == 0);
    batch->count = 0;
    batch->work_bytes = 0;
    batch->more = false;
    if (reader->dead) {
        return -EPROTO;
    }
    uint16_t active[REGION_RINGS_MAX];
    struct take take = {
        .reader = reader, .clock = clock, .batch = batch, .received_ns = clock->real_ns};
    take.watermark = watermark(reader);
    uint64_t refused = reader->refused;
    uint32_t active_count = snapshot(&take, active);
    merge(&take, active, active_count);
    batch->skipped = reader->refused != refused;
    /* A reader that just died gives what it took; the next call says so. */
    return 0;
}
