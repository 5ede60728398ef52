/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/lines.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

enum { SPINS = 200, YIELDS = 50 };

static __thread char self __attribute__((tls_model("initial-exec")));

/*
 * Whoever is in a signal handler above the holder gets it never, another thread after a moment;
 * who does not get it takes the other road.
 */
static bool take(struct line *line)
{
    uint64_t own = (uint64_t)(uintptr_t)&self;
    for (unsigned tries = 0; tries < SPINS + YIELDS; tries++) {
        uint64_t owner = 0;
        if (__atomic_compare_exchange_n(
                &line->owner, &owner, own, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
            return true;
        }
        if (owner == own) {
            return false;
        }
        if (tries >= SPINS) {
            (void)sched_yield();
        }
    }
    return false;
}

static void give(struct line *line)
{
    __atomic_store_n(&line->owner, 0, __ATOMIC_RELEASE);
}

/* After one wait in vain the ring is only tried, until it takes something again. */
static bool put(struct client_line *parts, const struct yarder_message *message, bool more)
{
    int result = client_piece_put(parts, message, more);
    uint32_t wait_ms = result == -ENOBUFS ? 0 : LINES_WAIT_MS;
    if ((result == 0 || result == -ENOBUFS) && client_settings.block_ms != wait_ms) {
        __atomic_store_n(&client_settings.block_ms, wait_ms, __ATOMIC_RELAXED);
    }
    return result == 0;
}

static size_t without_return(const char *line, size_t bytes)
{
    return bytes > 0 && line[bytes - 1] == '\r' ? bytes - 1 : bytes;
}

/* Lines that are there from beginning to end: no thread has to wait for another. */
static size_t put_whole(struct yarder_message *message, const char *bytes, size_t count, bool *good)
{
    struct client_line none = {0};
    size_t done = 0;
    *good = true;
    while (done < count) {
        const char *from = bytes + done;
        const char *end = memchr(from, '\n', yarder_min(count - done, CLIENT_PIECE_BYTES_MAX));
        if (end == NULL) {
            break;
        }
        message->text = from;
        message->text_bytes = without_return(from, (size_t)(end - from));
        *good = message->text_bytes == 0 || put(&none, message, false); /* an empty line is none */
        if (!*good) {
            break;
        }
        done += (size_t)(end - from) + 1;
    }
    return done;
}

/* The next piece of the line under way, or of the next one; its bytes, or 0. */
static size_t put_piece(
    struct line *line, struct yarder_message *message, const char *from, size_t count)
{
    size_t most = yarder_min(CLIENT_PIECE_BYTES_MAX, LINES_BYTES_MAX - line->bytes);
    size_t bytes = yarder_min(count, most);
    const char *end = memchr(from, '\n', bytes);
    bool more = end == NULL && line->bytes + bytes < LINES_BYTES_MAX;
    bytes = end == NULL ? bytes : (size_t)(end - from);
    message->text = from;
    message->text_bytes = end == NULL ? bytes : without_return(from, bytes);
    bool is_empty = message->text_bytes == 0 && line->parts.parts == 0;
    if (!is_empty && !put(&line->parts, message, more)) {
        line->is_to_end = line->parts.parts > 0;
        return 0;
    }
    line->bytes = more ? line->bytes + (uint32_t)bytes : 0;
    __atomic_store_n(&line->under_way, more, __ATOMIC_RELAXED);
    return bytes + (end != NULL);
}

/* A line whose rest took the other road is over: what comes now is another record. */
static bool end_line(struct line *line, struct yarder_message *message)
{
    if (line->is_to_end == 0) {
        return true;
    }
    message->text_bytes = 0;
    if (!put(&line->parts, message, false)) {
        return false;
    }
    line->is_to_end = 0;
    line->bytes = 0;
    __atomic_store_n(&line->under_way, 0, __ATOMIC_RELAXED);
    return true;
}

bool lines_put_record(const struct yarder_message *message)
{
    struct client_line none = {0};
    return put(&none, message, false);
}

size_t lines_put(
    struct line *line, const struct yarder_message *like, const char *bytes, size_t bytes_count)
{
    struct yarder_message message = *like;
    size_t done = 0;
    bool good = true;
    if (__atomic_load_n(&line->under_way, __ATOMIC_RELAXED) == 0) {
        done = put_whole(&message, bytes, bytes_count, &good);
    }
    if (!good || done == bytes_count || !take(line)) {
        return done;
    }
    good = end_line(line, &message);
    while (good && done < bytes_count) {
        size_t put_bytes = put_piece(line, &message, bytes + done, bytes_count - done);
        good = put_bytes > 0;
        done += put_bytes;
    }
    give(line);
    return done;
}
