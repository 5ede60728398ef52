/* SPDX-License-Identifier: Apache-2.0 */
/* The public functions that log a ready text. The way of a record: checks, level, append, bell. */
#include <errno.h>
#include <string.h>

#include "client/put.h"

enum { BLOCK_SLICE_NS = 2000000 };

static uint8_t message_kind(const struct yarder_message *message)
{
    unsigned stream = (unsigned)message->stream << RING_STREAM_SHIFT;
    return (uint8_t)(stream | (message->kind == YARDER_KIND_REQUEST ? RING_REQUEST : 0));
}

static bool message_is_valid(const struct yarder_message *message)
{
    return message->logger >= 0 && message->logger < REGION_LOGGERS_MAX &&
           message->kind <= YARDER_KIND_REQUEST && message->stream <= YARDER_STREAM_STDERR &&
           (message->text != NULL || message->text_bytes == 0) &&
           message->fields_count <= YARDER_FIELDS_MAX &&
           (message->fields != NULL || message->fields_count == 0);
}

static void lose(uint64_t *reason, struct client_page *page, size_t bytes)
{
    __atomic_fetch_add(reason, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&page->lost_bytes, bytes, __ATOMIC_RELAXED);
}

/* No region: the daemon's socket if it sent us there, else it is counted. */
static int put_detached(struct client_page *page, const struct yarder_message *message)
{
    int error = errno;
    bool has_socket = __atomic_load_n(&page->fallback_ready, __ATOMIC_RELAXED) != 0;
    bool sent = client_datagram(page, message);
    errno = error;
    if (sent) {
        __atomic_fetch_add(&page->sent, 1, __ATOMIC_RELAXED);
        return YARDER_APPENDED;
    }
    lose(has_socket ? &page->lost_socket : &page->lost_detached, page, message->text_bytes);
    __atomic_fetch_add(&page->lost_untold, 1, __ATOMIC_RELAXED);
    return YARDER_DROPPED;
}

/* The daemon that reads it takes what is there, and goes. */
static bool is_left(const struct client_attachment *attachment)
{
    return __atomic_load_n(&attachment->producer->map.header->shutdown, __ATOMIC_RELAXED) != 0;
}

/* The ring is full and the process wants to wait: until there is room, the limit, or no daemon. */
enum ring_append_result client_append_blocking(
    struct client_page *page, struct client_attachment *attachment, struct ring_entry *entry)
{
    enum ring_append_result result = RING_FULL;
    int error = errno;
    int64_t deadline_ns = os_monotonic_ns() + (int64_t)client_settings.block_ms * 1000000;
    int64_t left_ns = deadline_ns;
    while (result == RING_FULL && !is_left(attachment)) {
        client_ring_bell(page);
        left_ns = deadline_ns - os_monotonic_ns();
        if (left_ns <= 0 || !client_check(page, attachment)) {
            break;
        }
        ring_wait_space(
            attachment->producer, entry->ring, left_ns < BLOCK_SLICE_NS ? left_ns : BLOCK_SLICE_NS);
        result = ring_append(attachment->producer, entry);
    }
    errno = error;
    return result;
}

int client_lose_in_ring(struct client_page *page, struct client_attachment *attachment,
    uint32_t ring, enum ring_append_result why, size_t bytes)
{
    ring_lose(attachment->producer, ring, 1);
    lose(why == RING_FULL ? &page->lost_full : &page->lost_other, page, bytes);
    return YARDER_DROPPED;
}

/* A record over RING_APPEND_BYTES_MAX: parts, the fields with the first. extra has room in front
 * for the number. */
static int append_parts(struct client_page *page, struct client_attachment *attachment,
    const struct yarder_message *message, uint8_t *extra, size_t fields_bytes)
{
    static uint16_t last_serial;
    uint16_t serial = __atomic_add_fetch(&last_serial, 1, __ATOMIC_RELAXED);
    size_t done = 0;
    for (uint16_t part = 0; part == 0 || done < message->text_bytes; part++) {
        size_t extra_bytes = RING_PART_BYTES + (part == 0 ? fields_bytes : 0);
        size_t bytes = yarder_min(message->text_bytes - done, RING_APPEND_BYTES_MAX - extra_bytes);
        bool more = done + bytes < message->text_bytes;
        memcpy(extra, &part, sizeof(part));
        memcpy(extra + sizeof(part), &serial, sizeof(serial));
        struct ring_entry entry = {.text = message->text + done,
            .text_bytes = bytes,
            .extra = extra,
            .extra_bytes = extra_bytes,
            .tid = client_tid(attachment)};
        unsigned kind =
            message_kind(message) | (part > 0 ? RING_CONTINUES : 0u) | (more ? RING_MORE : 0u);
        ring_entry_seal(&entry, (uint8_t)kind, message->level, (uint16_t)message->logger);
        enum ring_append_result result = client_append(page, attachment, &entry);
        if (result != RING_APPENDED) {
            return client_lose_in_ring(page, attachment, entry.ring, result, message->text_bytes);
        }
        done += bytes;
    }
    return YARDER_APPENDED;
}

/* A record with fields, or a long one. Its own function: its buffer is no part of the short way. */
static __attribute__((noinline)) int put_long(struct client_page *page,
    struct client_attachment *attachment, const struct yarder_message *message)
{
    uint8_t extra[RING_PART_BYTES + YARDER_FIELDS_BYTES_MAX];
    size_t fields_bytes = 0;
    for (uint32_t i = 0; i < message->fields_count; i++) {
        uint8_t *at = extra + RING_PART_BYTES + fields_bytes;
        size_t room = YARDER_FIELDS_BYTES_MAX - fields_bytes;
        size_t used = ring_field_put(at, room, &message->fields[i]);
        if (used == 0) {
            bool too_long =
                message->fields[i].key.length + message->fields[i].value.length + 6 > room;
            return too_long ? -EMSGSIZE : -EINVAL;
        }
        fields_bytes += used;
    }
    if (attachment == NULL) {
        return put_detached(page, message);
    }
    if (message->text_bytes + fields_bytes > RING_APPEND_BYTES_MAX) {
        return append_parts(page, attachment, message, extra, fields_bytes);
    }
    struct ring_entry entry = {.text = message->text,
        .text_bytes = message->text_bytes,
        .extra = extra + RING_PART_BYTES,
        .extra_bytes = fields_bytes,
        .tid = client_tid(attachment)};
    ring_entry_seal(&entry, message_kind(message), message->level, (uint16_t)message->logger);
    enum ring_append_result result = client_append(page, attachment, &entry);
    return result == RING_APPENDED
               ? YARDER_APPENDED
               : client_lose_in_ring(page, attachment, entry.ring, result, message->text_bytes);
}

int yarder_put(const struct yarder_message *message)
{
    struct client_page *page = client_page_get();
    if (YARDER_UNLIKELY(page == NULL)) {
        return YARDER_DROPPED;
    }
    if (YARDER_UNLIKELY(message == NULL || !message_is_valid(message))) {
        return -EINVAL;
    }
    if (YARDER_UNLIKELY(message->text_bytes > YARDER_TEXT_BYTES_MAX)) {
        return -EMSGSIZE;
    }
    struct client_attachment *attachment = client_attachment_get(page);
    if (YARDER_LIKELY(attachment != NULL) &&
        !client_wants(attachment, message->logger, message->level)) {
        return YARDER_FILTERED;
    }
    if (message->fields_count > 0 || message->text_bytes > RING_APPEND_BYTES_MAX ||
        attachment == NULL) {
        return put_long(page, attachment, message);
    }
    return client_put_short(page, attachment, message->text, message->text_bytes, message->logger,
        message->level, message_kind(message));
}

/*
 * Looked at before the append: what is in a ring that nobody reads, or soon nobody, cannot take
 * another road.
 */
static bool is_read(struct client_page *page, struct client_attachment *attachment)
{
    uint64_t stamp = ring_stamp(attachment->producer);
    if (stamp < __atomic_load_n(&attachment->check_at, __ATOMIC_RELAXED) && !is_left(attachment)) {
        return true;
    }
    bool read = client_check(page, attachment) && !is_left(attachment);
    if (!read) { /* and the next one looks again */
        __atomic_store_n(&attachment->check_at, 0, __ATOMIC_RELAXED);
    }
    return read && attachment == client_attached(page);
}

/* Makes an entry of a message, and its kind: a part or whole. -EMSGSIZE. */
static int piece_entry(struct ring_entry *entry, uint8_t *extra, size_t extra_bytes_max,
    const struct client_line *line, const struct yarder_message *message, bool more)
{
    size_t used = 0;
    bool is_part = more || line->parts > 0;
    if (is_part) {
        memcpy(extra, &line->parts, sizeof(line->parts));
        memcpy(extra + sizeof(line->parts), &line->serial, sizeof(line->serial));
        used = RING_PART_BYTES;
    }
    for (uint32_t i = 0; i < message->fields_count; i++) {
        size_t bytes = ring_field_put(extra + used, extra_bytes_max - used, &message->fields[i]);
        if (bytes == 0) {
            return -EMSGSIZE;
        }
        used += bytes;
    }
    *entry = (struct ring_entry){.text = message->text,
        .text_bytes = message->text_bytes,
        .extra = extra,
        .extra_bytes = used,
        .tid = line->tid};
    unsigned kind =
        message_kind(message) | (line->parts > 0 ? RING_CONTINUES : 0u) | (more ? RING_MORE : 0u);
    ring_entry_seal(entry, (uint8_t)kind, message->level, (uint16_t)message->logger);
    return message->text_bytes + used <= RING_APPEND_BYTES_MAX ? 0 : -EMSGSIZE;
}

static int append_piece(struct client_page *page, struct client_attachment *attachment,
    struct ring_entry *entry, struct client_line *line, bool more)
{
    enum ring_append_result result = client_append(page, attachment, entry);
    if (result != RING_APPENDED) {
        return result == RING_FULL ? -ENOBUFS : -ENOTCONN;
    }
    line->parts = more ? (uint16_t)(line->parts + 1) : 0;
    return 0;
}

/* Apart from the others, which strangers call on the small stacks of signal handlers. */
static __attribute__((noinline)) int put_piece_wide(struct client_page *page,
    struct client_attachment *attachment, struct client_line *line,
    const struct yarder_message *message, bool more)
{
    uint8_t extra[RING_PART_BYTES + YARDER_FIELDS_BYTES_MAX];
    struct ring_entry entry;
    int result = piece_entry(&entry, extra, sizeof(extra), line, message, more);
    return result < 0 ? result : append_piece(page, attachment, &entry, line, more);
}

static int put_piece(struct client_page *page, struct client_attachment *attachment,
    struct client_line *line, const struct yarder_message *message, bool more)
{
    uint8_t extra[CLIENT_FEW_FIELDS_BYTES_MAX];
    struct ring_entry entry;
    int result = piece_entry(&entry, extra, sizeof(extra), line, message, more);
    return result < 0 ? result : append_piece(page, attachment, &entry, line, more);
}

int client_piece_put(struct client_line *line, const struct yarder_message *message, bool more)
{
    static uint16_t last_serial;
    struct client_page *page = client_page_get();
    struct client_attachment *attachment = page == NULL ? NULL : client_attachment_get(page);
    if (attachment == NULL || !is_read(page, attachment)) {
        return -ENOTCONN;
    }
    if (line->parts > 0 && line->region != attachment->serial && message->text_bytes == 0) {
        *line = (struct client_line){0};
        return 0; /* the end of a line whose beginning went with its region */
    }
    if (line->parts == 0 || line->region != attachment->serial) {
        *line = (struct client_line){.region = attachment->serial,
            .tid = client_tid(attachment),
            .serial = more ? __atomic_add_fetch(&last_serial, 1, __ATOMIC_RELAXED) : 0};
        if (!client_wants(attachment, message->logger, message->level)) {
            return 0;
        }
    }
    if (message->text_bytes > CLIENT_PIECE_BYTES_MAX) {
        return -EMSGSIZE;
    }
    return message->fields_count > CLIENT_FEW_FIELDS
               ? put_piece_wide(page, attachment, line, message, more)
               : put_piece(page, attachment, line, message, more);
}

int yarder_log(int level, const char *text)
{
    return text == NULL ? -EINVAL : yarder_log_bytes(0, level, text, strlen(text));
}

int yarder_log_bytes(int logger, int level, const void *text, size_t text_bytes)
{
    if (!client_level_is_valid(level)) {
        return -EINVAL;
    }
    struct client_page *page = client_page_get();
    struct client_attachment *attachment = page == NULL ? NULL : client_attached(page);
    if (YARDER_LIKELY(attachment != NULL && text != NULL && text_bytes <= RING_APPEND_BYTES_MAX &&
                      logger >= 0 && logger < REGION_LOGGERS_MAX)) {
        return client_wants(attachment, logger, (unsigned)level)
                   ? client_put_short(page, attachment, text, text_bytes, logger, (uint8_t)level, 0)
                   : YARDER_FILTERED;
    }
    return yarder_put(&(struct yarder_message){
        .text = text, .text_bytes = text_bytes, .logger = logger, .level = (uint8_t)level});
}

int yarder_log_fields(
    int logger, int level, const char *text, const struct yarder_field *fields, size_t fields_count)
{
    if (!client_level_is_valid(level) || text == NULL || fields_count > YARDER_FIELDS_MAX) {
        return -EINVAL;
    }
    return yarder_put(&(struct yarder_message){.text = text,
        .text_bytes = strlen(text),
        .fields = fields,
        .fields_count = (uint32_t)fields_count,
        .logger = logger,
        .level = (uint8_t)level});
}

int yarder_request(const void *text, size_t text_bytes)
{
    return yarder_put(&(struct yarder_message){.text = text,
        .text_bytes = text_bytes,
        .level = YARDER_LEVEL_INFO,
        .kind = YARDER_KIND_REQUEST});
}

int yarder_stream_line(int stream, int level, const void *text, size_t text_bytes)
{
    if (!client_level_is_valid(level) || stream < YARDER_STREAM_NONE ||
        stream > YARDER_STREAM_STDERR) {
        return -EINVAL;
    }
    return yarder_put(&(struct yarder_message){.text = text,
        .text_bytes = text_bytes,
        .level = (uint8_t)level,
        .stream = (uint8_t)stream});
}

int yarder_level_enabled(int logger, int level)
{
    struct client_page *page = client_page_get();
    if (page == NULL || logger < 0 || logger >= REGION_LOGGERS_MAX ||
        !client_level_is_valid(level)) {
        return 0;
    }
    struct client_attachment *attachment = client_attachment_get(page);
    return attachment == NULL || client_wants(attachment, logger, (unsigned)level);
}
