/* SPDX-License-Identifier: Apache-2.0 */
#include "outputs/pieces.h"

#include <errno.h>
#include <string.h>

static int gather(struct pieces *pieces, const char *bytes, size_t bytes_count)
{
    size_t needed = pieces->bytes_count + bytes_count;
    if (needed > pieces->room) {
        char *larger = realloc(pieces->bytes, needed);
        if (larger == NULL) {
            return -ENOMEM;
        }
        pieces->bytes = larger;
        pieces->room = needed;
    }
    memcpy(pieces->bytes + pieces->bytes_count, bytes, bytes_count);
    pieces->bytes_count = needed;
    return 0;
}

/* Where the last record of the job ends; 0: none does. */
static size_t last_end(const struct lane_job *job)
{
    const struct compare_batch *batch = &job->batch;
    uint64_t limit = (uint64_t)batch->ends_offset + job->bytes_count;
    uint32_t count = batch->ends_count;
    while (count > 0 && batch->ends[-(ptrdiff_t)count] > limit) {
        count--;
    }
    uint32_t end = count == 0 ? 0 : batch->ends[-(ptrdiff_t)count];
    return end > batch->ends_offset ? end - batch->ends_offset : 0;
}

int pieces_take(struct pieces *pieces, const struct lane_job *job, struct pieces_whole *whole)
{
    size_t end = last_end(job);
    pieces->bytes_count = job->record_open ? pieces->bytes_count : 0;
    if (!job->record_open && end > 0) {
        *whole = (struct pieces_whole){.bytes = job->bytes, .bytes_count = end, .by_ends = true};
        return 0;
    }
    int r = gather(pieces, job->bytes, job->bytes_count);
    if (r == 0) {
        *whole = (struct pieces_whole){
            .bytes = pieces->bytes, .bytes_count = end > 0 ? pieces->bytes_count : 0};
    }
    return r;
}

void pieces_settle(
    struct pieces *pieces, struct lane_job *job, const struct pieces_whole *whole, size_t settled)
{
    bool all = settled == whole->bytes_count;
    if (whole->by_ends) {
        size_t rest = job->bytes_count - whole->bytes_count;
        bool gathered = all && rest > 0 && gather(pieces, job->bytes + settled, rest) == 0;
        job->written = gathered ? job->bytes_count : (uint32_t)settled;
        return;
    }
    job->written = all ? job->bytes_count : 0;
    if (whole->bytes_count > 0) {
        pieces->bytes_count = all ? 0 : pieces->bytes_count - job->bytes_count;
    }
}

void pieces_drop(struct pieces *pieces)
{
    free(pieces->bytes);
    *pieces = (struct pieces){0};
}
