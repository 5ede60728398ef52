/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checker of the end-to-end figures: what `yarder send --sequence` made and what stands in the
 * files, at memory speed. Files are read in the order given; all of them together are the landing.
 *
 *     audit SOURCE SENDERS COUNT FILE...
 *
 * SENDERS sent COUNT records each, as SOURCE, or SOURCE-0, SOURCE-1, ... What stands before the
 * source in a line (a time, a host) is passed over. Prints one JSON object:
 *
 *     records    lines that are whole records           missing  never came
 *     twice      came before                            torn     lines that are none
 *     backward   came behind a later one of their sender in one file
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/text.h"
#include "cli/sequence.h"

struct audit {
    struct yarder_text source;
    uint64_t senders;
    uint64_t count;
    uint8_t *seen;  /* a byte for each record of each sender */
    uint64_t *next; /* of each sender: the number behind the highest in this file */
    uint64_t records, twice, torn, backward;
};

/* Which sender a source names; SIZE_MAX: none of ours. */
static uint64_t sender_of(const struct audit *audit, struct yarder_text source)
{
    size_t bytes = audit->source.length;
    if (source.length < bytes || memcmp(source.at, audit->source.at, bytes) != 0) {
        return UINT64_MAX;
    }
    if (source.length == bytes) {
        return audit->senders == 1 ? 0 : UINT64_MAX;
    }
    uint64_t sender = 0;
    const struct yarder_text number = {source.at + bytes + 1, source.length - bytes - 1};
    bool named = source.at[bytes] == '-' && text_to_u64(number, &sender) == 0;
    return named && sender < audit->senders ? sender : UINT64_MAX;
}

/* The record at the end of a line: it begins with the source, wherever that stands. */
static bool read_record(
    const struct audit *audit, struct yarder_text line, uint64_t *sender, uint64_t *number)
{
    while (line.length > 0) {
        const char *at = memmem(line.at, line.length, audit->source.at, audit->source.length);
        if (at == NULL) {
            return false;
        }
        struct yarder_text record = {at, line.length - (size_t)(at - line.at)};
        struct yarder_text source;
        if (sequence_read(record, &source, number)) {
            *sender = sender_of(audit, source);
            return *sender != UINT64_MAX && *number < audit->count;
        }
        line = (struct yarder_text){at + 1, record.length - 1};
    }
    return false;
}

static void take_line(struct audit *audit, struct yarder_text line)
{
    uint64_t sender = 0;
    uint64_t number = 0;
    if (!read_record(audit, line, &sender, &number)) {
        audit->torn++;
        return;
    }
    uint8_t *seen = &audit->seen[sender * audit->count + number];
    audit->records++;
    audit->twice += *seen;
    audit->backward += *seen == 0 && number < audit->next[sender];
    *seen = 1;
    audit->next[sender] = yarder_max(audit->next[sender], number + 1);
}

static int take_file(struct audit *audit, const char *path)
{
    YARDER_OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat stat;
    if (fd < 0 || fstat(fd, &stat) < 0) {
        return -errno;
    }
    size_t bytes = (size_t)stat.st_size;
    if (bytes == 0) {
        return 0;
    }
    const char *begin = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (begin == MAP_FAILED) {
        return -errno;
    }
    const char *end = begin + bytes;
    memset(audit->next, 0, audit->senders * sizeof(*audit->next));
    for (const char *at = begin; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        take_line(audit, (struct yarder_text){at, (size_t)((stop == NULL ? end : stop) - at)});
        audit->torn += stop == NULL; /* without its newline it is not whole */
        at = stop == NULL ? end : stop + 1;
    }
    return 0;
}

static uint64_t missing_of(const struct audit *audit)
{
    uint64_t missing = 0;
    for (uint64_t i = 0; i < audit->senders * audit->count; i++) {
        missing += audit->seen[i] == 0;
    }
    return missing;
}

int main(int argc, char **argv)
{
    struct audit audit = {0};
    if (argc < 5 || !sequence_source_is_good(argv[1]) ||
        text_to_u64(text_of(argv[2]), &audit.senders) < 0 ||
        text_to_u64(text_of(argv[3]), &audit.count) < 0) {
        (void)fprintf(stderr, "usage: audit SOURCE SENDERS COUNT FILE...\n");
        return 2;
    }
    sequence_init();
    audit.source = text_of(argv[1]);
    audit.seen = calloc(audit.senders * audit.count + 1, 1);
    audit.next = calloc(audit.senders + 1, sizeof(*audit.next));
    if (audit.seen == NULL || audit.next == NULL) {
        (void)fprintf(stderr, "audit: no memory for %s records\n", argv[3]);
        return 1;
    }
    for (int i = 4; i < argc; i++) {
        int r = take_file(&audit, argv[i]);
        if (r < 0) {
            (void)fprintf(stderr, "audit: %s: %s\n", argv[i], strerror(-r));
            return 1;
        }
    }
    (void)printf("{\"records\": %llu, \"missing\": %llu, \"twice\": %llu, \"torn\": %llu, "
                 "\"backward\": %llu}\n",
        (unsigned long long)audit.records, (unsigned long long)missing_of(&audit),
        (unsigned long long)audit.twice, (unsigned long long)audit.torn,
        (unsigned long long)audit.backward);
    return 0;
}
