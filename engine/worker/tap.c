/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/tap.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "codec/pack.h"
#include "os/memory.h"

enum { ENTRY_UNIT_BYTES = 8 };
static const uint64_t second_ns = 1000000000;

static int map(struct tap *tap)
{
    void *header = mmap(NULL, TAP_HEADER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, tap->fd, 0);
    if (header == MAP_FAILED) {
        return -errno;
    }
    tap->header = header;
    void *data = mmap(NULL, 2 * TAP_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) {
        return -errno;
    }
    tap->data = data;
    return os_map_twice(tap->fd, TAP_HEADER_BYTES, TAP_BYTES, tap->data);
}

int tap_open(struct tap **out, const struct tap_wishes *wishes)
{
    struct tap *tap = calloc(1, sizeof(*tap));
    if (tap == NULL) {
        return -ENOMEM;
    }
    tap->wishes = *wishes;
    tap->fd = -1;
    int r = os_memfd_create(&tap->fd, "yarder-tap", TAP_HEADER_BYTES + TAP_BYTES);
    r = r < 0 ? r : map(tap);
    if (r < 0) {
        tap_close(tap);
        return r;
    }
    tap->header->magic = TAP_MAGIC;
    tap->header->version = TAP_VERSION;
    *out = tap;
    return 0;
}

void tap_close(struct tap *tap)
{
    if (tap->header != NULL) {
        (void)munmap(tap->header, TAP_HEADER_BYTES);
    }
    if (tap->data != NULL) {
        (void)munmap(tap->data, 2 * TAP_BYTES);
    }
    yarder_fd_drop(&tap->fd);
    free(tap);
}

static bool is_wished(const struct tap_wishes *wishes, const struct yarder_record *record,
    const struct route_verdict *verdict)
{
    bool output = wishes->outputs == UINT64_MAX || (verdict->outputs & wishes->outputs) != 0;
    return output && (wishes->inputs >> (record->input & 63) & 1) != 0 &&
           record->level >= wishes->lowest && record->level <= wishes->highest;
}

/* Whether sample and rate let it through. */
static bool is_due(struct tap *tap, uint64_t now_ns)
{
    if (tap->wishes.sample > 1 && tap->passed % tap->wishes.sample != 0) {
        return false;
    }
    if (now_ns - tap->second_ns >= second_ns) {
        tap->second_ns = now_ns;
        tap->second_taken = 0;
    }
    return tap->wishes.rate == 0 || tap->second_taken++ < tap->wishes.rate;
}

static void put_entry(
    struct tap *tap, const struct yarder_record *record, uint64_t outputs, size_t bytes)
{
    struct tap_header *header = tap->header;
    uint64_t end = tap->head + bytes;
    __atomic_store_n(&header->begin, end > TAP_BYTES ? end - TAP_BYTES : 0, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE); /* pairs with the acquire fence in copy_entry */
    uint8_t *at = tap->data + tap->head % TAP_BYTES;
    const struct tap_entry entry = {
        .bytes = (uint32_t)bytes, .number = tap->number, .outputs = outputs};
    memcpy(at, &entry, sizeof(entry));
    (void)pack_record(record, (struct yarder_id){0}, (char *)at + sizeof(entry));
    tap->head = end;
    __atomic_store_n(&header->head, end, __ATOMIC_RELEASE); /* pairs with tap_reader_next */
}

void tap_put(struct tap *tap, const struct yarder_record *records,
    const struct route_verdict *verdicts, uint32_t count, uint64_t now_ns)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!is_wished(&tap->wishes, &records[i], &verdicts[i])) {
            continue;
        }
        bool due = is_due(tap, now_ns);
        tap->passed++;
        tap->spared += !due;
        size_t bytes = sizeof(struct tap_entry) + pack_bytes(&records[i]);
        bytes = yarder_align_up(bytes, ENTRY_UNIT_BYTES);
        if (due && bytes <= TAP_ENTRY_BYTES_MAX) {
            put_entry(tap, &records[i], verdicts[i].outputs, bytes);
        }
        tap->number += due;
    }
    __atomic_store_n(&tap->header->passed, tap->passed, __ATOMIC_RELAXED);
    __atomic_store_n(&tap->header->spared, tap->spared, __ATOMIC_RELAXED);
}

void taps_look(struct taps *taps)
{
    uint32_t changes = __atomic_load_n(&taps->changes, __ATOMIC_ACQUIRE); /* note_change */
    if (YARDER_LIKELY(changes == taps->seen)) {
        return;
    }
    taps->count = 0;
    for (uint32_t i = 0; i < TAPS_MAX; i++) {
        struct tap_place *place = &taps->places[i];
        place->taken = __atomic_load_n(&place->offered, __ATOMIC_ACQUIRE); /* taps_offer */
        taps->count += place->taken != NULL;
    }
    __atomic_store_n(&taps->seen, changes, __ATOMIC_RELEASE); /* taps_sweep */
}

void taps_put(struct taps *taps, const struct yarder_record *records,
    const struct route_verdict *verdicts, uint32_t count, uint64_t now_ns)
{
    for (uint32_t i = 0; i < TAPS_MAX; i++) {
        if (taps->places[i].taken != NULL) {
            tap_put(taps->places[i].taken, records, verdicts, count, now_ns);
        }
    }
}

static uint32_t note_change(struct taps *taps)
{
    uint32_t change = taps->changes + 1;
    __atomic_store_n(&taps->changes, change, __ATOMIC_RELEASE); /* taps_look */
    return change;
}

int taps_offer(struct taps *taps, const struct tap_wishes *wishes, struct tap **out)
{
    taps_sweep(taps);
    for (uint32_t i = 0; i < TAPS_MAX; i++) {
        struct tap_place *place = &taps->places[i];
        if (place->offered != NULL || place->leaving != NULL) {
            continue;
        }
        int r = tap_open(out, wishes);
        if (r == 0) {
            __atomic_store_n(&place->offered, *out, __ATOMIC_RELEASE); /* taps_look */
            (void)note_change(taps);
        }
        return r;
    }
    return -EBUSY;
}

void taps_withdraw(struct taps *taps, const struct tap *tap)
{
    for (uint32_t i = 0; i < TAPS_MAX; i++) {
        struct tap_place *place = &taps->places[i];
        if (place->offered == tap) {
            place->leaving = place->offered;
            __atomic_store_n(&place->offered, NULL, __ATOMIC_RELAXED); /* before the change */
            place->left_with = note_change(taps);
        }
    }
}

void taps_sweep(struct taps *taps)
{
    uint32_t seen = __atomic_load_n(&taps->seen, __ATOMIC_ACQUIRE); /* taps_look */
    for (uint32_t i = 0; i < TAPS_MAX; i++) {
        struct tap_place *place = &taps->places[i];
        if (place->leaving != NULL && (int32_t)(seen - place->left_with) >= 0) {
            tap_close(place->leaving);
            place->leaving = NULL;
        }
    }
}
