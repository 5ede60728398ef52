/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which descriptors are the log's: those that are one of its two pipes, whatever their number
 * (/dev/stdout opened anew is one). That one is not the log's is kept until a call that closes or
 * replaces the descriptor passes through us, or a fork. That one is the log's is kept so, too, for
 * 1 and 2, and asked for again after 10 ms: so long a system call made past libc, or deep inside
 * it, can deceive us. Any other number is asked for at each write, for files get it as well.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "preload/preload.h"

enum {
    DESCRIPTORS_MAX = 1024, /* those above pass through */
    STATE_UNKNOWN = 0,      /* 1 and 2: enum yarder_stream */
    STATE_OTHER = 3,
    STATE_MASK = 3,
    TIME_SHIFT = 20, /* of ns: about a millisecond */
    LOOK_EVERY = 10,
};

struct descriptor {
    uint32_t word; /* state, and above it how often it was forgotten */
    uint32_t looked;
};

/* Wiped on fork: nothing is known in a child, and it has no line under way. */
struct page {
    struct descriptor descriptors[DESCRIPTORS_MAX];
    struct road roads[2];
    uint32_t writes;
};
static struct page *page;

static struct preload_pipes pipes;

bool owned_begin(const struct preload_pipes *named)
{
    void *memory =
        mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || madvise(memory, sizeof(*page), MADV_WIPEONFORK) < 0) {
        return false;
    }
    pipes = *named;
    __atomic_store_n(&page, memory, __ATOMIC_RELEASE); /* acquire: descriptor_of */
    return true;
}

static struct descriptor *descriptor_of(int fd)
{
    struct page *there = __atomic_load_n(&page, __ATOMIC_ACQUIRE);
    return there == NULL || fd < 0 || fd >= DESCRIPTORS_MAX ? NULL : &there->descriptors[fd];
}

struct road *owned_road(enum yarder_stream stream)
{
    return &page->roads[stream - YARDER_STREAM_STDOUT];
}

uint32_t *owned_writes(void)
{
    return &page->writes;
}

static uint32_t now(void)
{
    return (uint32_t)(os_monotonic_coarse_ns() >> TIME_SHIFT);
}

static unsigned state_of(int fd, unsigned known)
{
    struct stat facts;
    if (fstat(fd, &facts) < 0 || !S_ISFIFO(facts.st_mode)) {
        return STATE_OTHER;
    }
    for (unsigned i = 0; i < 2; i++) {
        if (facts.st_dev == pipes.device[i] && facts.st_ino == pipes.inode[i]) {
            if (known == YARDER_STREAM_STDOUT + i) {
                return known;
            }
            int flags = fcntl(fd, F_GETFL);
            bool writes = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
            return writes ? YARDER_STREAM_STDOUT + i : STATE_OTHER;
        }
    }
    return STATE_OTHER;
}

/* What it is now. Kept, unless somebody forgot it meanwhile: then it may be another already. */
static unsigned look(struct descriptor *descriptor, int fd)
{
    int error = errno;
    uint32_t before = __atomic_load_n(&descriptor->word, __ATOMIC_ACQUIRE);
    unsigned state = state_of(fd, before & STATE_MASK);
    errno = error;
    __atomic_store_n(&descriptor->looked, now(), __ATOMIC_RELAXED);
    (void)__atomic_compare_exchange_n(&descriptor->word, &before,
        (before & ~(uint32_t)STATE_MASK) | state, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
    return state;
}

enum yarder_stream owned_stream(int fd)
{
    struct descriptor *descriptor = descriptor_of(fd);
    if (descriptor == NULL || vfork_child()) {
        return YARDER_STREAM_NONE;
    }
    unsigned state = __atomic_load_n(&descriptor->word, __ATOMIC_RELAXED) & STATE_MASK;
    if (YARDER_LIKELY(state == STATE_OTHER)) {
        return YARDER_STREAM_NONE;
    }
    uint32_t age = now() - __atomic_load_n(&descriptor->looked, __ATOMIC_RELAXED);
    if (state == STATE_UNKNOWN || age >= LOOK_EVERY || fd > STDERR_FILENO) {
        state = look(descriptor, fd);
    }
    return state == STATE_OTHER ? YARDER_STREAM_NONE : (enum yarder_stream)state;
}

void owned_forget(int fd)
{
    struct descriptor *descriptor = descriptor_of(fd);
    if (descriptor == NULL || vfork_child()) {
        return;
    }
    uint32_t word = __atomic_load_n(&descriptor->word, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&descriptor->word, &word, (word | STATE_MASK) + 1, false,
        __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
    }
}

void owned_forget_range(unsigned first, unsigned last)
{
    for (unsigned fd = first; fd <= last && fd < DESCRIPTORS_MAX; fd++) {
        owned_forget((int)fd);
    }
}
