/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing the io_uring loop: whatever the kernel denies here ends in a fall-back. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "io/uring.h"

enum {
    SUBMISSIONS = 256,
    COMPLETIONS_MIN = 1024,
    COMPLETIONS_MAX = 32768,
    SMALL_SUBMISSIONS = 64,
    NO_MEMORY_TRIES = 10, /* 5 ms apart: the charge for a closed ring comes back late */
    BUFFERS_MAX = 1 << 15,
    UNIX_QUEUE_LONG = 512, /* from here the wait for several datagrams does not slow senders */
};

static const char *reason_of(int error)
{
    switch (-error) {
    case EPERM:
    case EACCES:
        return "forbidden by seccomp or by the sysctl kernel.io_uring_disabled";
    case ENOSYS:
        return "this kernel, or a seccomp filter, has no io_uring";
    case EINVAL:
        return "the kernel is older than 6.1";
    case ENOMEM:
        return "RLIMIT_MEMLOCK is too low (LimitMEMLOCK=8M or ulimit -l 8192 cures it)";
    default:
        return strerror(-error);
    }
}

/*
 * DEFER_TASKRUN came with 6.1, and older kernels have hanging multishot requests: so these flags
 * are also the check of the version, and there is no try without them.
 */
static int open_ring_of(struct uring *uring, unsigned submissions, unsigned completions)
{
    int r = -ENOMEM;
    for (unsigned try = 0; r == -ENOMEM && try < NO_MEMORY_TRIES; try++) {
        if (try > 0) {
            (void)nanosleep(&(struct timespec){.tv_nsec = 5 * 1000 * 1000}, NULL);
        }
        struct io_uring_params params = {
            .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                     IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
            .cq_entries = completions,
        };
        r = io_uring_queue_init_params(submissions, &uring->ring, &params);
    }
    return r;
}

static int open_ring(struct uring *uring, uint32_t completions)
{
    int r = open_ring_of(uring, SUBMISSIONS, completions);
    if (r == -ENOMEM) {
        r = open_ring_of(uring, SMALL_SUBMISSIONS, COMPLETIONS_MIN);
    }
    uring->ring_open = r == 0;
    return r;
}

/* Setup may be allowed where enter is not. */
static int probe_ring(struct uring *uring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    YARDER_ASSERT(sqe != NULL);
    io_uring_prep_nop(sqe);
    int r = io_uring_submit_and_wait(&uring->ring, 1);
    if (r < 0) {
        return r;
    }
    struct io_uring_cqe *cqe = NULL;
    r = io_uring_peek_cqe(&uring->ring, &cqe);
    if (r < 0) {
        return r;
    }
    r = cqe->res;
    io_uring_cqe_seen(&uring->ring, cqe);
    return r;
}

static int open_buffers(struct uring *uring, unsigned group, uint32_t lent_max, size_t buffer_bytes)
{
    struct uring_buffers *buffers = &uring->buffers[group];
    buffers->group = (uint16_t)group;
    buffers->lent_max = lent_max;
    int r = pool_open(&buffers->pool, 2 * lent_max, buffer_bytes);
    if (r < 0) {
        return r;
    }
    buffers->ring_bytes = lent_max * sizeof(struct io_uring_buf);
    void *memory =
        mmap(NULL, buffers->ring_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return -errno;
    }
    buffers->ring = memory;
    io_uring_buf_ring_init(buffers->ring);
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)memory,
        .ring_entries = lent_max,
        .bgid = buffers->group,
    };
    r = io_uring_register_buf_ring(&uring->ring, &registration, 0);
    if (r < 0) {
        return r;
    }
    uring_refill(buffers);
    return 0;
}

static uint32_t power_of_two(uint32_t at_least)
{
    uint32_t power = 1;
    while (power < at_least) {
        power <<= 1;
    }
    return power;
}

/* A queue that cannot be asked counts as short. */
static bool unix_queues_short(void)
{
    char digits[16] = "";
    YARDER_OWN_FD int fd = open("/proc/sys/net/unix/max_dgram_qlen", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, digits, sizeof(digits) - 1);
    uint64_t length = 0;
    if (got <= 1 || text_to_u64((struct yarder_text){digits, (size_t)got - 1}, &length) < 0) {
        return true;
    }
    return length < UNIX_QUEUE_LONG;
}

static int open_slots(struct uring *uring, unsigned count)
{
    uring->slots = calloc(count, sizeof(*uring->slots));
    if (uring->slots == NULL) {
        return -ENOMEM;
    }
    for (unsigned i = count; i > 0; i--) {
        struct uring_slot *slot = &uring->slots[i - 1];
        slot->index = i - 1;
        slot->next = uring->slot_free;
        uring->slot_free = slot;
    }
    return 0;
}

static int open_parts(struct uring *uring, const struct io_options *options)
{
    int r = io_base_open(&uring->io, &uring_ops, options);
    if (r < 0) {
        return r;
    }
    uint32_t wanted =
        options->stream_chunks == 0 ? IO_STREAM_CHUNKS_DEFAULT : options->stream_chunks;
    uint32_t streams = power_of_two((uint32_t)yarder_min(wanted, BUFFERS_MAX));
    /* One for each buffer and for the last word of each request and its cancel. */
    uint64_t completions = streams + IO_DATAGRAM_CHUNKS + 2 * (uint64_t)options->sources_max;
    completions = yarder_min(yarder_max(completions, COMPLETIONS_MIN), COMPLETIONS_MAX);
    r = open_slots(uring, options->sources_max);
    r = r < 0 ? r : open_ring(uring, power_of_two((uint32_t)completions));
    r = r < 0 ? r : probe_ring(uring);
    r = r < 0 ? r : open_buffers(uring, URING_STREAMS, streams, IO_CHUNK_BYTES);
    r = r < 0 ? r : open_buffers(uring, URING_DATAGRAMS, IO_DATAGRAM_CHUNKS, DATAGRAM_BUFFER_BYTES);
    return r;
}

int uring_open(struct io **out, const struct io_options *options, char *why, size_t why_bytes)
{
    struct uring *uring = calloc(1, sizeof(*uring));
    if (uring == NULL) {
        (void)snprintf(why, why_bytes, "out of memory");
        return -ENOMEM;
    }
    int r = open_parts(uring, options);
    if (r < 0) {
        (void)snprintf(why, why_bytes, "%s", reason_of(r));
        uring_close(&uring->io);
        return r;
    }
    (void)io_uring_register_ring_fd(&uring->ring); /* saves a look-up each call; may be refused */
    uring->wait_batch = options->wait_batch == 0 ? IO_WAIT_BATCH_DEFAULT : options->wait_batch;
    uring->short_queues = unix_queues_short();
    uring->header.msg_namelen = DATAGRAM_PEER_ROOM;
    uring->header.msg_controllen = DATAGRAM_CONTROL_ROOM;
    uring->header_unix.msg_namelen = DATAGRAM_PEER_ROOM;
    *out = &uring->io;
    return 0;
}

void uring_close(struct io *io)
{
    struct uring *uring = (struct uring *)io;
    if (uring->ring_open) {
        io_uring_queue_exit(&uring->ring);
    }
    for (unsigned group = 0; group < URING_GROUPS; group++) {
        struct uring_buffers *buffers = &uring->buffers[group];
        YARDER_ASSERT(buffers->parked == 0 && buffers->arm_first == NULL);
        if (buffers->ring != NULL) {
            (void)munmap(buffers->ring, buffers->ring_bytes);
        }
        pool_close(&buffers->pool);
    }
    free(uring->slots);
    io_base_close(io);
    free(uring);
}
