/* SPDX-License-Identifier: Apache-2.0 */
#include "latency_follow.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define PATIENCE_NS UINT64_C(10000000000)

void follow_stamp(char *line, uint64_t due_ns)
{
    for (unsigned i = FOLLOW_STAMP_BYTES; i > 0; i--) {
        line[i - 1] = (char)('0' + due_ns % 10);
        due_ns /= 10;
    }
}

static uint64_t stamp_of(const char *line)
{
    uint64_t ns = 0;
    for (unsigned i = 0; i < FOLLOW_STAMP_BYTES; i++) {
        ns = ns * 10 + (uint64_t)(line[i] - '0');
    }
    return ns;
}

/* Whole lines of the buffer: they landed at `now`. Returns the bytes of them. */
static size_t take_lines(struct follower *follower, size_t bytes, uint64_t now)
{
    size_t at = 0;
    const char *end = memchr(follower->buffer, '\n', bytes);
    while (end != NULL) {
        const char *line = follower->buffer + at;
        if (end - line >= FOLLOW_STAMP_BYTES) {
            uint64_t due = stamp_of(line);
            follower->seen++;
            if (due >= follower->count_from_ns) {
                histogram_add(&follower->landed, now > due ? now - due : 0);
            }
        }
        at = (size_t)(end + 1 - follower->buffer);
        end = memchr(follower->buffer + at, '\n', bytes - at);
    }
    return at;
}

static void *follow(void *argument)
{
    struct follower *follower = argument;
    const struct timespec rest = {.tv_nsec = FOLLOW_LOOK_NS};
    off_t at = 0;
    size_t kept = 0;
    uint64_t grown_ns = now_ns();
    (void)prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    for (;;) {
        uint64_t expected = __atomic_load_n(&follower->expected, __ATOMIC_ACQUIRE);
        ssize_t got = pread(follower->fd, follower->buffer + kept, FOLLOW_BUFFER_BYTES - kept, at);
        uint64_t now = now_ns();
        if (got > 0) {
            at += got;
            kept += (size_t)got;
            size_t used = take_lines(follower, kept, now);
            memmove(follower->buffer, follower->buffer + used, kept - used);
            kept -= used;
            grown_ns = now;
        } else if (follower->seen >= expected ||
                   (expected != UINT64_MAX && now - grown_ns > PATIENCE_NS)) {
            return NULL;
        } else {
            (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, NULL);
        }
    }
}

bool follow_start(struct follower *follower, const char *path)
{
    follower->expected = UINT64_MAX;
    follower->fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0644);
    if (follower->fd < 0) {
        return false;
    }
    errno = pthread_create(&follower->thread, NULL, follow, follower);
    return errno == 0;
}

uint64_t follow_end(struct follower *follower, uint64_t expected)
{
    /* release: the thread sees all of them, or waits for what is not there */
    __atomic_store_n(&follower->expected, expected, __ATOMIC_RELEASE);
    (void)pthread_join(follower->thread, NULL);
    return follower->seen < expected ? expected - follower->seen : 0;
}
