/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A spool's files as somebody else left them. Whatever they hold, the spool opens, gives sound
 * records alone, comes to an end, takes new records and gives those, and then nothing is left.
 *
 *   input: u8 what | u8 unused | u16 bytes of the ack file | ack | a segment, or its records
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checksum.h"
#include "queue/spool_disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count);

enum {
    WHOLE_FILE = 1, /* the bytes are all of the segment, its head included */
    SEAL = 2,       /* checksums are put in where they are no barrier to what follows */
    FOOT = 4,       /* the segment is finished */
    NEIGHBOUR = 8,  /* a good segment stands behind it */
    DROP_OLDEST = 16,
    TWICE = 32, /* opened and closed before anything is read */
    DATA_BYTES_MAX = 1 << 20,
    RECORD_BYTES_MAX = 64 << 10,
};

/* Far from where numbers wrap, as those of any spool are. */
#define INDEX_MASK (SPOOL_INDEX_MAX / 16)

static char state_dir[64];
static char folder[96];
static struct spool_shared shared;

static int remove_one(const char *path, const struct stat *seen, int kind, struct FTW *place)
{
    (void)seen;
    (void)kind;
    return place->level == 0 ? 0 : remove(path);
}

static void clear(void)
{
    if (nftw(state_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0) {
        abort();
    }
}

static void clear_at_exit(void)
{
    clear();
    (void)rmdir(state_dir);
}

static void begin(void)
{
    if (state_dir[0] == '\0') {
        (void)snprintf(state_dir, sizeof(state_dir), "/dev/shm/yarder-spool-fuzz-XXXXXX");
        YARDER_ASSERT(mkdtemp(state_dir) != NULL);
        (void)snprintf(folder, sizeof(folder), "%s/spool/fuzz", state_dir);
        (void)atexit(clear_at_exit);
    }
    clear();
    char parent[96];
    (void)snprintf(parent, sizeof(parent), "%s/spool", state_dir);
    YARDER_ASSERT(mkdir(parent, 0700) == 0 && mkdir(folder, 0700) == 0);
}

static void put(const char *name, const void *bytes, size_t bytes_count)
{
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    YARDER_OWN_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    YARDER_ASSERT(fd >= 0 && write(fd, bytes, bytes_count) == (ssize_t)bytes_count);
}

static void put_ack(uint8_t what, const char *bytes, size_t bytes_count)
{
    static char file[2 * SPOOL_HEAD_BYTES];
    memset(file, 0, sizeof(file));
    memcpy(file, bytes, yarder_min(bytes_count, sizeof(file)));
    for (size_t at = 0; (what & SEAL) != 0 && at < sizeof(file); at += SPOOL_HEAD_BYTES) {
        struct spool_ack ack;
        memcpy(&ack, file + at, sizeof(ack));
        ack.spool_id = 77;
        ack.index &= INDEX_MASK;
        ack.dropped_ahead &= INDEX_MASK;
        spool_ack_seal(&ack);
        memcpy(file + at, &ack, sizeof(ack));
    }
    put("ack", file, sizeof(file));
}

static void seal_records(char *data, size_t count)
{
    struct pack_head head;
    for (size_t at = 0; at + sizeof(head) <= count;) {
        bool good = spool_record_is_plausible(data + at, count - at, &head);
        if (good) {
            pack_seal(data + at);
        }
        at += good ? head.bytes : PACK_UNIT_BYTES;
    }
}

/* A head whose words come from the input, but for those that it is known by. */
static void seal_head(uint64_t number, char *file, size_t count)
{
    struct spool_segment segment = {.number = number};
    struct spool_head made;
    struct spool_head head;
    if (count < SPOOL_HEAD_BYTES) {
        return;
    }
    spool_head_make(&made, 77, &segment);
    memcpy(&head, file, sizeof(head));
    made.first = head.first & INDEX_MASK;
    made.before = head.before;
    made.recycled = head.recycled;
    made.crc = checksum_crc32c(&made, offsetof(struct spool_head, crc));
    memcpy(file, &made, sizeof(made));
    seal_records(file + SPOOL_HEAD_BYTES, count - SPOOL_HEAD_BYTES);
}

static void put_segment(uint64_t number, uint8_t what, const char *data, size_t count)
{
    static char file[SPOOL_HEAD_BYTES + DATA_BYTES_MAX];
    struct spool_segment segment = {.number = number,
        .first = number * 100,
        .before = {{{1, number * 1000}}},
        .data_end = SPOOL_HEAD_BYTES + count,
        .records = 100,
        .last = {{{1, number * 1000 + 999}}}};
    char name[SPOOL_FILE_NAME_BYTES];
    spool_segment_name(number, name);
    if ((what & WHOLE_FILE) != 0) {
        memcpy(file, data, count);
        if ((what & SEAL) != 0) {
            seal_head(number, file, count);
        }
        put(name, file, count);
        return;
    }
    struct spool_head head;
    spool_head_make(&head, 77, &segment);
    memset(file, 0, SPOOL_HEAD_BYTES);
    memcpy(file, &head, sizeof(head));
    memcpy(file + SPOOL_HEAD_BYTES, data, count);
    if ((what & SEAL) != 0) {
        seal_records(file + SPOOL_HEAD_BYTES, count);
    }
    put(name, file, SPOOL_HEAD_BYTES + count);
    if ((what & FOOT) != 0) {
        YARDER_OWN_FD int dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r = spool_foot_write(dir_fd, &segment);
        YARDER_ASSERT(r == 0);
    }
}

/* How many records came; the last one's id in *last. */
static uint64_t drain(struct spool *spool, struct yarder_id *last)
{
    struct spool_look look;
    spool_look(spool, &look);
    spool_release(&shared, look.end);
    struct spool_batch batch;
    uint64_t records = 0;
    int r;
    while ((r = spool_read(spool, &batch)) == 0) {
        size_t at = 0;
        for (uint32_t i = 0; i < batch.records; i++) {
            struct pack_head head;
            bool good =
                spool_record_is_plausible(batch.bytes + at, batch.bytes_count - at, &head) &&
                pack_is_sound(batch.bytes + at);
            YARDER_ASSERT(good);
            *last = (struct yarder_id){head.epoch_ns, head.number};
            at += head.bytes;
        }
        YARDER_ASSERT(at == batch.bytes_count);
        records += batch.records;
        struct spool_answers answers = {.delivered = batch.records};
        r = spool_answer(spool, &batch, at, &answers);
        YARDER_ASSERT(r == 0);
    }
    YARDER_ASSERT(r == -EAGAIN);
    return records;
}

static struct spool *open_spool(uint8_t what)
{
    struct spool_options options = {.state_dir = state_dir,
        .name = "fuzz",
        .limit_bytes = 256 << 20,
        .record_bytes_max = RECORD_BYTES_MAX,
        .shared = &shared,
        .drop_oldest = (what & DROP_OLDEST) != 0};
    struct spool *spool = NULL;
    char why[256];
    int r = spool_open(&spool, &options, why, sizeof(why));
    YARDER_ASSERT(r == 0);
    return spool;
}

static void append_one(struct spool *spool, struct yarder_id id)
{
    char bytes[256];
    struct yarder_record record = {.text = {"hello", 5}};
    size_t used = pack_record(&record, id, bytes);
    struct spool_stored stored;
    int r = spool_append(spool, bytes, used, &stored);
    YARDER_ASSERT(r == 0 && stored.records == 1 && stored.doubles == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count)
{
    if (bytes_count < 4 || bytes_count > DATA_BYTES_MAX) {
        return 0;
    }
    uint8_t what = bytes[0];
    const char *at = (const char *)bytes + 4;
    size_t left = bytes_count - 4;
    size_t ack_bytes = yarder_min(left, (size_t)bytes[2] | ((size_t)bytes[3] << 8));
    begin();
    shared = (struct spool_shared){0};
    if (ack_bytes > 0) {
        put_ack(what, at, ack_bytes);
    }
    put_segment(5, what, at + ack_bytes, left - ack_bytes);
    if ((what & NEIGHBOUR) != 0) {
        put_segment(6, FOOT, "", 0);
    }
    struct spool *spool = open_spool(what);
    if ((what & TWICE) != 0) {
        spool_close(spool);
        spool = open_spool(what);
    }
    /* An epoch that no record of the input can have guessed, save by being told. */
    struct yarder_id id = {UINT64_C(0x7a5f3e1d9b8c6420), 1};
    struct yarder_id last = {0};
    (void)drain(spool, &last);
    id.number += last.epoch_ns == id.epoch_ns ? last.number : 0;
    append_one(spool, id);
    uint64_t records = drain(spool, &last);
    YARDER_ASSERT(records == 1 && last.number == id.number);
    struct spool_look look;
    spool_look(spool, &look);
    YARDER_ASSERT(look.left == 0);
    spool_close(spool);
    spool = open_spool(what);
    records = drain(spool, &last);
    YARDER_ASSERT(records == 0);
    spool_close(spool);
    return 0;
}
