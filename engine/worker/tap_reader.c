/* SPDX-License-Identifier: Apache-2.0 */
/* A looker's side of a tap: copies entries out, and believes only what was not overwritten. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "worker/tap.h"

int tap_reader_open(struct tap_reader *reader, int fd)
{
    static const off_t size_bytes = TAP_HEADER_BYTES + TAP_BYTES;
    struct stat facts;
    *reader = (struct tap_reader){0};
    bool sealed = (fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK) != 0; /* else a cut would kill us */
    if (!sealed || fstat(fd, &facts) < 0 || facts.st_size != size_bytes) {
        return -EBADMSG;
    }
    reader->copy = malloc(TAP_ENTRY_BYTES_MAX);
    if (reader->copy == NULL) {
        return -ENOMEM;
    }
    void *all = mmap(NULL, (size_t)size_bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (all == MAP_FAILED) {
        int r = -errno;
        free(reader->copy);
        return r;
    }
    reader->header = all;
    reader->data = (const uint8_t *)all + TAP_HEADER_BYTES;
    if (reader->header->magic != TAP_MAGIC || reader->header->version != TAP_VERSION) {
        tap_reader_close(reader);
        return -EBADMSG;
    }
    return 0;
}

void tap_reader_close(struct tap_reader *reader)
{
    union {
        const struct tap_header *shared;
        void *memory;
    } mapped = {.shared = reader->header};
    (void)munmap(mapped.memory, TAP_HEADER_BYTES + TAP_BYTES);
    free(reader->copy);
    *reader = (struct tap_reader){0};
}

static void copy_out(const struct tap_reader *reader, uint64_t position, uint8_t *to, size_t bytes)
{
    size_t at = position % TAP_BYTES;
    size_t first = yarder_min(bytes, TAP_BYTES - at);
    memcpy(to, reader->data + at, first);
    memcpy(to + first, reader->data, bytes - first);
}

/* false: it was overwritten meanwhile, or what stands there makes no sense. */
static bool copy_entry(struct tap_reader *reader, uint64_t head)
{
    struct tap_entry entry;
    uint64_t left = head - reader->position;
    if (left < sizeof(entry) || left > TAP_BYTES) {
        return false;
    }
    copy_out(reader, reader->position, (uint8_t *)&entry, sizeof(entry));
    if (entry.bytes < sizeof(entry) || entry.bytes > left || entry.bytes > TAP_ENTRY_BYTES_MAX) {
        return false;
    }
    copy_out(reader, reader->position, reader->copy, entry.bytes);
    memcpy(reader->copy, &entry, sizeof(entry)); /* as it was checked */
    __atomic_thread_fence(__ATOMIC_ACQUIRE);     /* pairs with the release fence in put_entry */
    return __atomic_load_n(&reader->header->begin, __ATOMIC_RELAXED) <= reader->position;
}

const struct tap_entry *tap_reader_next(struct tap_reader *reader, size_t *bytes)
{
    uint64_t head = __atomic_load_n(&reader->header->head, __ATOMIC_ACQUIRE); /* put_entry */
    if (head == reader->position) {
        return NULL;
    }
    if (!copy_entry(reader, head)) {
        reader->position = head; /* where entries begin is known here again */
        return NULL;
    }
    const struct tap_entry *entry = (const void *)reader->copy;
    reader->position += entry->bytes;
    reader->missed += entry->number - reader->number;
    reader->number = entry->number + 1;
    *bytes = entry->bytes - sizeof(*entry);
    return entry;
}
