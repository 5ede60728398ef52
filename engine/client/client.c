/* SPDX-License-Identifier: Apache-2.0 */
/* The public functions that log. The way of a record: checks, level, append, bell. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "client/client.h"

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

/* The ring is full and the process wants to wait: until there is room, the limit, or no daemon. */
static enum ring_append_result append_blocking(
    struct client_page *page, struct client_attachment *attachment, struct ring_entry *entry)
{
    enum ring_append_result result = RING_FULL;
    int error = errno;
    int64_t deadline_ns = os_monotonic_ns() + (int64_t)client_settings.block_ms * 1000000;
    int64_t left_ns = deadline_ns;
    const struct region_header *shared = attachment->producer->map.header;
    while (result == RING_FULL && __atomic_load_n(&shared->shutdown, __ATOMIC_RELAXED) == 0) {
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

/* One append, with all that follows from it. */
static inline enum ring_append_result append(
    struct client_page *page, struct client_attachment *attachment, struct ring_entry *entry)
{
    struct ring_producer *producer = attachment->producer;
    enum ring_append_result result = ring_append(producer, entry);
    if (YARDER_UNLIKELY(result == RING_FULL && client_settings.block_ms > 0)) {
        result = append_blocking(page, attachment, entry);
    }
    if (YARDER_UNLIKELY(ring_sleeping(producer)) && ring_must_ring(producer, entry->ring)) {
        client_ring_bell(page);
    }
    uint64_t stamp = YARDER_LIKELY(result == RING_APPENDED) ? entry->stamp : ring_stamp(producer);
    if (YARDER_UNLIKELY(stamp >= __atomic_load_n(&attachment->check_at, __ATOMIC_RELAXED))) {
        (void)client_check(page, attachment);
    }
    return result;
}

static int lose_in_ring(struct client_page *page, struct client_attachment *attachment,
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
        enum ring_append_result result = append(page, attachment, &entry);
        if (result != RING_APPENDED) {
            return lose_in_ring(page, attachment, entry.ring, result, message->text_bytes);
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
    enum ring_append_result result = append(page, attachment, &entry);
    return result == RING_APPENDED
               ? YARDER_APPENDED
               : lose_in_ring(page, attachment, entry.ring, result, message->text_bytes);
}

/* The attachment, made if there is none and it is time to try. */
static struct client_attachment *attachment_get(struct client_page *page)
{
    struct client_attachment *attachment = client_attached(page);
    if (YARDER_UNLIKELY(attachment == NULL)) {
        (void)client_attach(page, false);
        attachment = client_attached(page);
    }
    return attachment;
}

static bool is_wanted(const struct client_attachment *attachment, int logger, unsigned level)
{
    const uint8_t *levels = attachment->producer->map.levels;
    return level >= __atomic_load_n(&levels[logger], __ATOMIC_RELAXED);
}

/*
 * The way of nearly all records: no fields, one append, checked by the caller. Inlined, and the
 * entry not zeroed (its other members are results): what lies in memory between a call and the ring
 * is most of a short record's price.
 */
static inline __attribute__((always_inline)) int put_short(struct client_page *page,
    struct client_attachment *attachment, const void *text, size_t text_bytes, int logger,
    uint8_t level, uint8_t kind)
{
    struct ring_entry entry;
    entry.text = text;
    entry.text_bytes = text_bytes;
    entry.extra_bytes = 0;
    entry.tid = client_tid(attachment);
    ring_entry_seal(&entry, kind, level, (uint16_t)logger);
    enum ring_append_result result = append(page, attachment, &entry);
    return YARDER_LIKELY(result == RING_APPENDED)
               ? YARDER_APPENDED
               : lose_in_ring(page, attachment, entry.ring, result, text_bytes);
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
    struct client_attachment *attachment = attachment_get(page);
    if (YARDER_LIKELY(attachment != NULL) &&
        !is_wanted(attachment, message->logger, message->level)) {
        return YARDER_FILTERED;
    }
    if (message->fields_count > 0 || message->text_bytes > RING_APPEND_BYTES_MAX ||
        attachment == NULL) {
        return put_long(page, attachment, message);
    }
    return put_short(page, attachment, message->text, message->text_bytes, message->logger,
        message->level, message_kind(message));
}

/* Looked at before the append: what is in a ring that nobody reads cannot take another road. */
static bool is_read(struct client_page *page, struct client_attachment *attachment)
{
    uint64_t stamp = ring_stamp(attachment->producer);
    if (stamp < __atomic_load_n(&attachment->check_at, __ATOMIC_RELAXED)) {
        return true;
    }
    bool lives = client_check(page, attachment);
    if (!lives) { /* and the next one looks again */
        __atomic_store_n(&attachment->check_at, 0, __ATOMIC_RELAXED);
    }
    return lives && attachment == client_attached(page);
}

/* Makes an entry of a message, and its kind: a part or whole. -EMSGSIZE. */
static int piece_entry(struct ring_entry *entry, uint8_t *extra, const struct client_line *line,
    const struct yarder_message *message, bool more)
{
    size_t used = 0;
    bool is_part = more || line->parts > 0;
    if (is_part) {
        memcpy(extra, &line->parts, sizeof(line->parts));
        memcpy(extra + sizeof(line->parts), &line->serial, sizeof(line->serial));
        used = RING_PART_BYTES;
    }
    for (uint32_t i = 0; i < message->fields_count; i++) {
        size_t room = CLIENT_PIECE_FIELDS_BYTES_MAX - used;
        size_t bytes = ring_field_put(extra + used, room, &message->fields[i]);
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
    return 0;
}

int client_piece_put(struct client_line *line, const struct yarder_message *message, bool more)
{
    static uint16_t last_serial;
    struct client_page *page = client_page_get();
    struct client_attachment *attachment = page == NULL ? NULL : attachment_get(page);
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
        if (!is_wanted(attachment, message->logger, message->level)) {
            return 0;
        }
    }
    uint8_t extra[CLIENT_PIECE_FIELDS_BYTES_MAX];
    struct ring_entry entry;
    if (message->text_bytes > CLIENT_PIECE_BYTES_MAX ||
        piece_entry(&entry, extra, line, message, more) < 0) {
        return -EMSGSIZE;
    }
    enum ring_append_result result = append(page, attachment, &entry);
    if (result != RING_APPENDED) {
        return result == RING_FULL ? -ENOBUFS : -ENOTCONN;
    }
    line->parts = more ? (uint16_t)(line->parts + 1) : 0;
    return 0;
}

static bool level_is_valid(int level)
{
    return level >= 0 && level <= YARDER_LEVEL_MAX;
}

int yarder_log(int level, const char *text)
{
    return text == NULL ? -EINVAL : yarder_log_bytes(0, level, text, strlen(text));
}

int yarder_log_bytes(int logger, int level, const void *text, size_t text_bytes)
{
    if (!level_is_valid(level)) {
        return -EINVAL;
    }
    struct client_page *page = client_page_get();
    struct client_attachment *attachment = page == NULL ? NULL : client_attached(page);
    if (YARDER_LIKELY(attachment != NULL && text != NULL && text_bytes <= RING_APPEND_BYTES_MAX &&
                      logger >= 0 && logger < REGION_LOGGERS_MAX)) {
        return is_wanted(attachment, logger, (unsigned)level)
                   ? put_short(page, attachment, text, text_bytes, logger, (uint8_t)level, 0)
                   : YARDER_FILTERED;
    }
    return yarder_put(&(struct yarder_message){
        .text = text, .text_bytes = text_bytes, .logger = logger, .level = (uint8_t)level});
}

int yarder_log_fields(
    int logger, int level, const char *text, const struct yarder_field *fields, size_t fields_count)
{
    if (!level_is_valid(level) || text == NULL || fields_count > YARDER_FIELDS_MAX) {
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
    if (!level_is_valid(level) || stream < YARDER_STREAM_NONE || stream > YARDER_STREAM_STDERR) {
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
    if (page == NULL || logger < 0 || logger >= REGION_LOGGERS_MAX || !level_is_valid(level)) {
        return 0;
    }
    struct client_attachment *attachment = attachment_get(page);
    return attachment == NULL || is_wanted(attachment, logger, (unsigned)level);
}

/* The text did not fit on the stack: formatted again into pages of its own. */
static YARDER_PRINTF(3, 0) int vlogf_long(
    int logger, int level, const char *format, va_list arguments, size_t text_bytes)
{
    if (text_bytes > YARDER_TEXT_BYTES_MAX) {
        return -EMSGSIZE;
    }
    char *text =
        mmap(NULL, text_bytes + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (text == MAP_FAILED) {
        return -ENOMEM;
    }
    int formatted = vsnprintf(text, text_bytes + 1, format, arguments);
    int result = formatted < 0 ? -EINVAL
                               : yarder_log_bytes(logger, level, text,
                                     yarder_min((size_t)formatted, text_bytes));
    (void)munmap(text, text_bytes + 1);
    return result;
}

int yarder_vlogf(int logger, int level, const char *format, va_list arguments)
{
    if (format == NULL || !level_is_valid(level) || logger < 0 || logger >= REGION_LOGGERS_MAX) {
        return -EINVAL;
    }
    if (yarder_level_enabled(logger, level) == 0) {
        return YARDER_FILTERED;
    }
    char text[4096];
    int error = errno; /* also what %m shows */
    va_list again;
    va_copy(again, arguments);
    int formatted = vsnprintf(text, sizeof(text), format, arguments);
    errno = error;
    int result = -EINVAL;
    if (formatted >= 0 && (size_t)formatted < sizeof(text)) {
        result = yarder_log_bytes(logger, level, text, (size_t)formatted);
    } else if (formatted >= 0) {
        result = vlogf_long(logger, level, format, again, (size_t)formatted);
    }
    va_end(again);
    errno = error;
    return result;
}

int yarder_logf(int logger, int level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int result = yarder_vlogf(logger, level, format, arguments);
    va_end(arguments);
    return result;
}
