/* SPDX-License-Identifier: Apache-2.0 */
/* Which files put aside stay. */
#include <stdlib.h>
#include <string.h>

#include "outputs/sweep_path.h"

static int compare(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int by_number(const void *a_, const void *b_)
{
    const struct sweep_file *a = a_;
    const struct sweep_file *b = b_;
    return compare(a->name.counter, b->name.counter);
}

/* By what the name says; a counter says little, for one that came free is given again. */
static int by_date(const void *a_, const void *b_)
{
    const struct sweep_file *a = a_;
    const struct sweep_file *b = b_;
    int order = -strverscmp(a->name.suffix, b->name.suffix);
    order = order != 0
                ? order
                : compare((uint64_t)b->status.st_mtim.tv_sec, (uint64_t)a->status.st_mtim.tv_sec);
    order = order != 0
                ? order
                : compare((uint64_t)b->status.st_mtim.tv_nsec, (uint64_t)a->status.st_mtim.tv_nsec);
    return order != 0 ? order : compare(b->name.counter, a->name.counter);
}

void sweep_sort(const struct output_rotate *rotate, struct sweep_file *files, size_t count)
{
    bool numbers = rotate_names(rotate) == ROTATE_NUMBERS;
    if (count > 1) {
        qsort(files, count, sizeof(*files), numbers ? by_number : by_date);
    }
}

size_t sweep_kept(
    const struct output_rotate *rotate, const struct sweep_file *files, size_t count, int64_t now_s)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t age_s = now_s - files[i].status.st_mtim.tv_sec;
        bytes += (uint64_t)files[i].status.st_size;
        if ((rotate->keep != 0 && i >= rotate->keep) ||
            (rotate->keep_bytes != 0 && bytes > rotate->keep_bytes) ||
            (rotate->keep_days != 0 && age_s >= (int64_t)rotate->keep_days * CALENDAR_DAY_S)) {
            return i;
        }
    }
    return count;
}
