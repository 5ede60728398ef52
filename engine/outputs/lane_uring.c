/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WRITE linked with FSYNC, one pair at a time. The write carries IOSQE_ASYNC: without it a file
 * system that can write without waiting (xfs, btrfs) may do a part at once and the rest in a kernel
 * worker, and another process's append could land between our two pieces. From a worker it is one
 * write under one inode lock, as write(2) is (but for the retry the kernel makes after a short
 * write, that is on a full disk).
 */
#include "outputs/lane_uring.h"

#include <errno.h>
#include <liburing.h>
#include <sched.h>
#include <time.h>

enum {
    ENTRIES = 4,
    TRIES = 50, /* of 1 ms: the kernel gives back the memory of an ended ring late */
    TAG_WRITE = 1,
    TAG_SYNC = 2,
    TAGS,
};
#define CURRENT_POSITION ((uint64_t)-1) /* O_APPEND decides where; f_pos follows, for lseek */

struct lane_uring {
    struct io_uring ring;
};

static void nap(void)
{
    struct timespec millisecond = {0, 1000 * 1000};
    (void)nanosleep(&millisecond, NULL);
}

/* What is queued, to the kernel: how many entries it took (at least one), or -errno. */
static int submit(struct io_uring *ring)
{
    int r = io_uring_submit(ring);
    for (int tries = 0; r == 0 || r == -EINTR || r == -EAGAIN || r == -EBUSY; tries++) {
        if (tries == TRIES) {
            return r == 0 ? -EAGAIN : r;
        }
        nap();
        r = io_uring_submit(ring);
    }
    return r;
}

/* Waits for one answer. There is no way out before: the kernel reads the bytes until then. */
static void wait_one(struct io_uring *ring, int *results)
{
    struct io_uring_cqe *cqe = NULL;
    while (io_uring_wait_cqe(ring, &cqe) < 0) {
        nap(); /* interrupted, or the kernel is short of memory: the answer still comes */
    }
    uint64_t tag = io_uring_cqe_get_data64(cqe);
    YARDER_ASSERT(tag < TAGS);
    results[tag] = cqe->res;
    io_uring_cqe_seen(ring, cqe);
}

/*
 * Submits the `count` entries that are queued and waits for all; results[tag] is set for each that
 * ran. A kernel short of memory may take the write alone: what is left goes in after its answer,
 * so an fsync never overtakes it. 0, or -errno: entries are left over, the ring is of no use.
 */
static int run(struct io_uring *ring, int count, int *results)
{
    while (count > 0) {
        int submitted = submit(ring);
        if (submitted < 0) {
            return submitted;
        }
        count -= submitted;
        for (int i = 0; i < submitted; i++) {
            wait_one(ring, results);
        }
    }
    return 0;
}

static struct io_uring_sqe *entry_of(struct io_uring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    YARDER_ASSERT(sqe != NULL); /* nothing stays queued between two runs */
    return sqe;
}

/* Setting up may be allowed where entering is not, so a linked pair has to come through. */
static int probe(struct io_uring *ring)
{
    int results[TAGS] = {0, -ECANCELED, -ECANCELED};
    for (uint64_t tag = TAG_WRITE; tag < TAGS; tag++) {
        struct io_uring_sqe *sqe = entry_of(ring);
        io_uring_prep_nop(sqe);
        io_uring_sqe_set_flags(sqe, tag == TAG_WRITE ? IOSQE_IO_LINK : 0u);
        io_uring_sqe_set_data64(sqe, tag);
    }
    int r = run(ring, 2, results);
    if (r == 0) {
        r = results[TAG_WRITE] < 0 ? results[TAG_WRITE] : results[TAG_SYNC];
    }
    return r;
}

static int ring_open(struct io_uring *ring)
{
    static const unsigned flags[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL,
        IORING_SETUP_SUBMIT_ALL,
    };
    int r = -EINVAL;
    for (size_t i = 0; i < YARDER_COUNT_OF(flags) && r == -EINVAL; i++) {
        r = io_uring_queue_init(ENTRIES, ring, flags[i]);
        for (int tries = 0; r == -ENOMEM && tries < TRIES; tries++) {
            nap();
            r = io_uring_queue_init(ENTRIES, ring, flags[i]);
        }
    }
    return r;
}

/* Before Linux 6.2 the kernel's own threads for a ring know nothing of their task's affinity. */
static void stay_where_we_are(struct io_uring *ring)
{
    cpu_set_t cpus;
    if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0) {
        (void)io_uring_register_iowq_aff(ring, sizeof(cpus), &cpus);
    }
}

int lane_uring_open(struct lane_uring **out)
{
    YARDER_OWN_HEAP struct lane_uring *uring = calloc(1, sizeof(*uring));
    if (uring == NULL) {
        return -ENOMEM;
    }
    int r = ring_open(&uring->ring);
    if (r < 0) {
        return r;
    }
    r = probe(&uring->ring);
    if (r < 0) {
        io_uring_queue_exit(&uring->ring);
        return r;
    }
    stay_where_we_are(&uring->ring);
    *out = yarder_heap_take(&uring);
    return 0;
}

void lane_uring_close(struct lane_uring *uring)
{
    if (uring != NULL) {
        io_uring_queue_exit(&uring->ring);
        free(uring);
    }
}

void lane_uring_append(struct lane_uring *uring, int fd, const char *bytes, uint32_t bytes_count,
    bool sync, struct lane_uring_result *result)
{
    int results[TAGS] = {0, -ECANCELED, -ECANCELED};
    struct io_uring_sqe *sqe = entry_of(&uring->ring);
    io_uring_prep_write(sqe, fd, bytes, bytes_count, CURRENT_POSITION);
    io_uring_sqe_set_flags(sqe, IOSQE_ASYNC | (sync ? IOSQE_IO_LINK : 0u));
    io_uring_sqe_set_data64(sqe, TAG_WRITE);
    if (sync) {
        sqe = entry_of(&uring->ring);
        io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
        io_uring_sqe_set_data64(sqe, TAG_SYNC);
    }
    bool broken = run(&uring->ring, sync ? 2 : 1, results) < 0;
    bool synced = results[TAG_SYNC] != -ECANCELED;
    *result = (struct lane_uring_result){
        .written = results[TAG_WRITE],
        .synced = synced,
        .sync_error = synced ? results[TAG_SYNC] : 0,
        .broken = broken,
    };
}
