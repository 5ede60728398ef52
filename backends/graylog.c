/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GELF to a Graylog or whoever reads it.
 *
 *   udp  a message is a datagram, compressed or not; a longer one goes as at most 128 chunks:
 *        | 1e 0f | message id, 8 bytes | number | count | its part |
 *   tcp, tls  one after another, a NUL behind each; never compressed
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <zlib.h>

#include "frames.h"
#include "gelf.h"
#include "packets.h"

enum { CHUNK_HEAD_BYTES = 12, CHUNKS_MAX = 128, CHUNK_BYTES_MIN = 200 };
enum { DEFLATE_MEMORY_LEVEL = 5 };
enum { PACKETS_ROOM_BYTES = 256 << 10, STREAM_BYTES = 256 << 10 };
_Static_assert((int)CHUNKS_MAX <= (int)PACKETS_MAX, "a message goes as a whole");

enum compress { COMPRESS_NONE, COMPRESS_ZLIB, COMPRESS_GZIP };
static const char *const compress_choices[] = {"none", "zlib", "gzip", NULL};

struct graylog {
    struct link_address address;
    struct link_tls tls;
    int compress;
    uint64_t chunk_bytes;
    char *source;
    bool uwsgi;
    struct gelf_shape shape;

    struct yarder_host *host;
    struct link *link;
    struct packets packets; /* udp */
    struct frames frames;   /* tcp, tls: who reads nothing for a while is not left */
    z_stream deflate;       /* udp: used again and again, a stream for each message */
    bool can_deflate;
    struct bytes deflated;
    struct bytes json;
    uint64_t message_id;
    char facility[64];
};

#define FIELD(member) offsetof(struct graylog, member)

static const struct yarder_option graylog_options[] = {
    {"compress", YARDER_OPTION_CHOICE, FIELD(compress), "none", 0, 0, compress_choices, NULL,
        "none|zlib|gzip", "UDP: how messages are compressed"},
    {"chunk-size", YARDER_OPTION_BYTES, FIELD(chunk_bytes), "1420", CHUNK_BYTES_MIN,
        PACKET_BYTES_MAX, NULL, NULL, "SIZE", "UDP: datagrams are at most so long"},
    {"fields", YARDER_OPTION_BOOL, FIELD(shape.fields), "yes", 0, 0, NULL, NULL, "yes|no",
        "also what is known of a record beside its message, and its fields"},
    {"static", YARDER_OPTION_TEXTS, FIELD(shape.extra), NULL, 0, 0, NULL, NULL, "NAME=VALUE",
        "a field of every message; may repeat"},
    {"short", YARDER_OPTION_BYTES, FIELD(shape.short_bytes), "1K", 16, 64 << 10, NULL, NULL, "SIZE",
        "short_message is the first line, and at most so long"},
    {"source", YARDER_OPTION_TEXT, FIELD(source), NULL, 0, 0, NULL, NULL, "NAME",
        "the host of records that state none; not given: this machine's name"},
    LINK_TLS_OPTIONS(struct graylog, tls),
    {.kind = YARDER_OPTION_END},
};

static int set_target(void *self, char *text, char *why, size_t why_bytes)
{
    struct graylog *graylog = self;
    const struct link_form form = {LINK_UDP, LINK_UNIX_DATAGRAM,
        LINK_BIT(LINK_UDP) | LINK_BIT(LINK_TCP) | LINK_BIT(LINK_TLS), "12201"};
    return link_parse(text, &form, &graylog->address, why, why_bytes);
}

/* HOST:PORT,HOSTFIELD: always a compressed datagram, with the members that uWSGI knew. */
static int set_uwsgi(void *self, const char *name, char *argument, char *why, size_t why_bytes)
{
    (void)name;
    struct graylog *graylog = self;
    char *comma = argument != NULL ? strchr(argument, ',') : NULL;
    if (comma == NULL || comma[1] == '\0') {
        (void)snprintf(why, why_bytes, "expected HOST:PORT,NAME (the host that messages state)");
        return -EINVAL;
    }
    *comma = '\0';
    graylog->source = comma + 1;
    graylog->uwsgi = true;
    graylog->compress = COMPRESS_ZLIB;
    graylog->shape.short_bytes = GELF_SHORT_BYTES_UWSGI;
    return set_target(self, argument, why, why_bytes);
}

static int check(void *self, char *why, size_t why_bytes)
{
    const struct graylog *graylog = self;
    const struct yarder_texts *extra = &graylog->shape.extra;
    for (uint32_t i = 0; i < extra->count; i++) {
        if (!gelf_is_extra(extra->at[i]) || i == GELF_EXTRA_MAX) {
            (void)snprintf(why, why_bytes,
                "static=%.64s: expected NAME=VALUE (NAME of letters, digits, '_', '.' and '-', not "
                "id), and at most %d of them",
                extra->at[i], GELF_EXTRA_MAX);
            return -EINVAL;
        }
    }
    if (!link_is_datagram(&graylog->address) && graylog->compress != COMPRESS_NONE) {
        (void)snprintf(why, why_bytes, "compress=: expected none; GELF over TCP knows no other");
        return -EINVAL;
    }
    return link_check_tls(&graylog->address, &graylog->tls, why, why_bytes);
}

static int open_graylog(void *self, struct yarder_host *host)
{
    struct graylog *graylog = self;
    graylog->host = host;
    graylog->shape.host = graylog->source != NULL ? graylog->source : host->hostname;
    if (graylog->uwsgi) {
        (void)snprintf(graylog->facility, sizeof(graylog->facility), "yarder-%s", host->version);
        graylog->shape.facility = graylog->facility;
    }
    int r = link_open(&graylog->link, host, &graylog->address, &graylog->tls);
    if (r < 0 || !link_is_datagram(&graylog->address)) {
        return r;
    }
    size_t longest = CHUNKS_MAX * graylog->chunk_bytes;
    size_t room = longest > PACKETS_ROOM_BYTES ? longest : PACKETS_ROOM_BYTES;
    if (getrandom(&graylog->message_id, sizeof(graylog->message_id), 0) < 0) {
        return host->fail(host, -EIO, "no random numbers");
    }
    /* The fastest, and small tables, which each message clears. */
    int frame = graylog->compress == COMPRESS_GZIP ? MAX_WBITS + 16 : MAX_WBITS;
    graylog->can_deflate = deflateInit2(&graylog->deflate, Z_BEST_SPEED, Z_DEFLATED, frame,
                               DEFLATE_MEMORY_LEVEL, Z_DEFAULT_STRATEGY) == Z_OK;
    if (!graylog->can_deflate) {
        return host->fail(host, -ENOMEM, "no memory to compress with");
    }
    return packets_open(&graylog->packets, host, graylog->link, room);
}

static void close_graylog(void *self)
{
    struct graylog *graylog = self;
    packets_close(&graylog->packets);
    frames_close(&graylog->frames);
    if (graylog->can_deflate) {
        (void)deflateEnd(&graylog->deflate);
        graylog->can_deflate = false;
    }
    bytes_free(&graylog->deflated);
    bytes_free(&graylog->json);
    link_close(graylog->link);
    graylog->link = NULL;
}

/* Looks random and never comes twice from here: readers keep chunks by it, whoever sent them. */
static uint64_t next_message_id(struct graylog *graylog)
{
    uint64_t mixed = graylog->message_id += UINT64_C(0x9E3779B97F4A7C15);
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94D049BB133111EB);
    return mixed ^ mixed >> 31;
}

static int put_chunks(struct graylog *graylog, struct yarder_item *item, const struct bytes *whole,
    size_t count, uint64_t deadline_ns)
{
    struct packets *packets = &graylog->packets;
    size_t part_bytes = graylog->chunk_bytes - CHUNK_HEAD_BYTES;
    uint64_t id = next_message_id(graylog);
    int r = packets_reserve(
        packets, (uint32_t)count, whole->length + count * CHUNK_HEAD_BYTES, deadline_ns);
    for (size_t i = 0; i < count && r == 0; i++) {
        size_t begin = i * part_bytes;
        size_t length = whole->length - begin < part_bytes ? whole->length - begin : part_bytes;
        char *at = packets_at(packets);
        memcpy(at, "\x1e\x0f", 2);
        memcpy(at + 2, &id, sizeof(id));
        at[10] = (char)i;
        at[11] = (char)count;
        memcpy(at + CHUNK_HEAD_BYTES, whole->at + begin, length);
        packets_put(packets, item, CHUNK_HEAD_BYTES + length, i + 1 == count);
    }
    return r;
}

static const struct bytes *deflate_json(struct graylog *graylog)
{
    z_stream *stream = &graylog->deflate;
    struct bytes *out = &graylog->deflated;
    assert(graylog->json.length <= UINT32_MAX / 2);
    (void)deflateReset(stream);
    bytes_clear(out);
    size_t bound = deflateBound(stream, graylog->json.length);
    char *at = bytes_reserve(out, bound);
    if (at != NULL) {
        stream->next_in = (Bytef *)graylog->json.at;
        stream->avail_in = (uInt)graylog->json.length;
        stream->next_out = (Bytef *)at;
        stream->avail_out = (uInt)bound;
        int r = deflate(stream, Z_FINISH);
        assert(r == Z_STREAM_END);
        (void)r;
        out->length = bound - stream->avail_out;
    }
    return out;
}

static int put_datagrams(struct graylog *graylog, struct yarder_item *item, uint64_t deadline_ns)
{
    size_t part_bytes = graylog->chunk_bytes - CHUNK_HEAD_BYTES;
    const struct bytes *whole = &graylog->json;
    if (graylog->compress != COMPRESS_NONE || whole->length > CHUNKS_MAX * part_bytes) {
        whole = deflate_json(graylog); /* or the last way to get it through */
    }
    if (whole->lacks) {
        return graylog->host->fail(graylog->host, -ENOMEM, "no memory for a message");
    }
    size_t count = (whole->length + part_bytes - 1) / part_bytes;
    if (count > CHUNKS_MAX) {
        graylog->host->refuse(graylog->host, item,
            "%zu bytes of GELF, %zu compressed: more than %d chunks of %zu", graylog->json.length,
            whole->length, CHUNKS_MAX, part_bytes);
        return 0;
    }
    if (whole->length > graylog->chunk_bytes) {
        return put_chunks(graylog, item, whole, count, deadline_ns);
    }
    int r = packets_reserve(&graylog->packets, 1, whole->length, deadline_ns);
    if (r == 0) {
        memcpy(packets_at(&graylog->packets), whole->at, whole->length);
        packets_put(&graylog->packets, item, whole->length, true);
    }
    return r;
}

static void put_message(struct graylog *graylog, const struct yarder_item *item)
{
    gelf_put(&graylog->json, &graylog->shape, item->record, item->text);
}

static int submit_datagrams(
    struct graylog *graylog, struct yarder_batch *batch, uint64_t deadline_ns)
{
    int r = 0;
    packets_clear(&graylog->packets);
    for (uint32_t i = 0; i < batch->count && r == 0; i++) {
        bytes_clear(&graylog->json);
        put_message(graylog, &batch->items[i]);
        r = graylog->json.lacks
                ? graylog->host->fail(graylog->host, -ENOMEM, "no memory for a message")
                : put_datagrams(graylog, &batch->items[i], deadline_ns);
    }
    return r == 0 ? packets_send(&graylog->packets, deadline_ns) : r;
}

/* A message and what ends it, of a stream. */
static int add_message(struct graylog *graylog, const struct yarder_item *item, uint32_t index)
{
    struct bytes *json = &graylog->json;
    bytes_clear(json);
    put_message(graylog, item);
    bytes_put_char(json, '\0');
    char *at = json->lacks ? NULL : frames_take(&graylog->frames, json->length);
    if (at == NULL) {
        return graylog->host->fail(graylog->host, -ENOMEM, "no memory for messages");
    }
    memcpy(at, json->at, json->length);
    frames_add(&graylog->frames, json->length, index, true);
    return 0;
}

static int submit_stream(struct graylog *graylog, struct yarder_batch *batch, uint64_t deadline_ns)
{
    struct frames *frames = &graylog->frames;
    int r = frames_connect(frames, graylog->link, deadline_ns);
    for (uint32_t i = 0; i < batch->count && r == 0;) {
        frames_clear(frames);
        for (; i < batch->count && r == 0 && frames->used < STREAM_BYTES; i++) {
            if (!frames_was_paid(frames, &batch->items[i])) {
                r = add_message(graylog, &batch->items[i], i);
            }
        }
        r = r == 0 ? frames_send(frames, graylog->host, batch, deadline_ns) : r;
    }
    return r;
}

static int submit(void *self, struct yarder_batch *batch, uint64_t deadline_ns)
{
    struct graylog *graylog = self;
    return link_is_datagram(&graylog->address) ? submit_datagrams(graylog, batch, deadline_ns)
                                               : submit_stream(graylog, batch, deadline_ns);
}

static const char *const uwsgi_names[] = {"graylog2", NULL};

YARDER_EXPORT const struct yarder_backend yarder_backend = {
    .abi = YARDER_BACKEND_ABI,
    .struct_bytes = sizeof(struct yarder_backend),
    .name = "graylog",
    .help = "graylog:[udp|tcp|tls://]HOST[:PORT]: GELF messages to a Graylog",
    .means = YARDER_MEANS_SENT,
    .flags = YARDER_BACKEND_TEXT | YARDER_BACKEND_FRAMED,
    .self_bytes = sizeof(struct graylog),
    .options = graylog_options,
    .target = set_target,
    .check = check,
    .uwsgi_names = uwsgi_names,
    .uwsgi = set_uwsgi,
    .open = open_graylog,
    .submit = submit,
    .close = close_graylog,
};
