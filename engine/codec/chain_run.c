/* SPDX-License-Identifier: Apache-2.0 */
/* Running a chain: texts go to and fro between its two buffers, the last step writes for good. */
#include <errno.h>
#include <time.h>

#include "codec/calendar.h"
#include "codec/chain_private.h"

static struct yarder_text without_newline(struct yarder_text text)
{
    bool ends = text.length > 0 && text.at[text.length - 1] == '\n';
    return (struct yarder_text){text.at, text.length - (ends ? 1 : 0)};
}

/* libc's strftime of local time, once a second; "" when it is too long. */
static struct yarder_text clock_text(struct chain_clock *clock, int64_t time_ns)
{
    int64_t second = calendar_second(time_ns);
    if (clock->second != second || !clock->known) {
        struct tm local;
        const time_t seconds = second;
        size_t length = 0;
        if (localtime_r(&seconds, &local) != NULL) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            length = strftime(clock->text, sizeof(clock->text), clock->format, &local);
#pragma GCC diagnostic pop
        }
        clock->length = (uint8_t)length;
        clock->second = second;
        clock->known = true;
    }
    return (struct yarder_text){clock->text, clock->length};
}

/* In JSON a byte becomes six at the most; msgpack puts a head before it. */
static size_t text_bound(enum chain_form form, size_t bytes)
{
    return form == CHAIN_JSON ? PUT_JSON_FACTOR * bytes : bytes + CHAIN_HEAD_BYTES_MAX;
}

static char *put_formed(char *at, enum chain_form form, struct yarder_text text)
{
    switch (form) {
    case CHAIN_JSON:
        return put_json_text(at, text);
    case CHAIN_PACKED:
        at = chain_put_str_head(at, text.length);
        break;
    case CHAIN_PACKED_BIN:
        at = chain_put_bin_head(at, text.length);
        break;
    case CHAIN_PLAIN:
        break;
    }
    return text.length > 0 ? put_text(at, text) : at;
}

static char *put_time(char *at, enum chain_form form, int64_t value)
{
    return form == CHAIN_PACKED ? chain_put_int(at, value) : put_signed(at, value);
}

static size_t piece_bound(const struct chain_piece *piece, size_t bytes)
{
    switch (piece->what) {
    case CHAIN_LITERAL:
        return piece->text_bytes;
    case CHAIN_MSG:
    case CHAIN_MSGNL:
        return text_bound(piece->form, bytes);
    case CHAIN_STRFTIME:
        return text_bound(piece->form, CHAIN_CLOCK_BYTES_MAX);
    case CHAIN_UNIX:
    case CHAIN_MILLIS:
    case CHAIN_MICROS:
    default:
        return CHAIN_NUMBER_BYTES_MAX;
    }
}

static char *put_piece(
    char *at, const struct chain_piece *piece, struct yarder_text text, int64_t time_ns)
{
    switch (piece->what) {
    case CHAIN_LITERAL:
        return put_bytes(at, piece->text, piece->text_bytes);
    case CHAIN_MSG:
        return put_formed(at, piece->form, without_newline(text));
    case CHAIN_MSGNL:
        return put_formed(at, piece->form, text);
    case CHAIN_UNIX:
        return put_time(at, piece->form, calendar_second(time_ns));
    case CHAIN_MILLIS:
        return put_time(at, piece->form, time_ns / 1000000);
    case CHAIN_MICROS:
        return put_time(at, piece->form, time_ns / 1000);
    case CHAIN_STRFTIME:
    default:
        return put_formed(at, piece->form, clock_text(piece->clock, time_ns));
    }
}

static size_t step_bound(const struct chain_step *step, size_t bytes)
{
    if (step->zlib != NULL) {
        return chain_zlib_bound(step->zlib, bytes);
    }
    size_t bound = PUT_SLACK_BYTES;
    for (uint32_t i = 0; i < step->pieces_count; i++) {
        bound += piece_bound(&step->pieces[i], bytes);
    }
    return bound;
}

static size_t step_run(
    const struct chain_step *step, struct yarder_text text, int64_t time_ns, char *at)
{
    if (step->zlib != NULL) {
        return chain_zlib_run(step->zlib, text, at);
    }
    char *end = at;
    for (uint32_t i = 0; i < step->pieces_count; i++) {
        end = put_piece(end, &step->pieces[i], text, time_ns);
    }
    return (size_t)(end - at);
}

size_t chain_bound(const struct chain *chain, size_t bytes)
{
    for (uint32_t i = 0; i < chain->steps_count && bytes <= CHAIN_BYTES_MAX; i++) {
        bytes = step_bound(&chain->steps[i], bytes);
    }
    return yarder_min(bytes, CHAIN_BYTES_MAX + 1);
}

char *chain_input(struct chain *chain)
{
    return chain->buffers[0];
}

ssize_t chain_run(struct chain *chain, int64_t time_ns, size_t bytes, char *at, size_t room)
{
    YARDER_ASSERT(bytes <= CHAIN_BYTES_MAX && chain->steps_count > 0);
    for (uint32_t i = 0; i < chain->steps_count; i++) {
        const struct chain_step *step = &chain->steps[i];
        const struct yarder_text text = {chain->buffers[i % CHAIN_BUFFERS], bytes};
        bool last = i + 1 == chain->steps_count;
        size_t step_room = last ? yarder_min(room, CHAIN_BYTES_MAX) : CHAIN_BYTES_MAX;
        if (step_bound(step, bytes) > step_room) {
            return -EMSGSIZE;
        }
        bytes = step_run(step, text, time_ns, last ? at : chain->buffers[(i + 1) % CHAIN_BUFFERS]);
    }
    return (ssize_t)bytes;
}
