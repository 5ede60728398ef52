/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fixed amount of work of each leaf on a record's path, for counting its instructions: unlike
 * times, those are the same in every run. bench/instructions.py runs this under callgrind and
 * compares with the figures in bench/instructions.json.
 *
 *     work LEAF        LEAF as in the table at the end; each does RECORDS records
 *
 * What is counted is work_measured and all it calls.
 */
#include <string.h>

#include "client/site.h"
#include "codec/encode.h"
#include "codec/frame.h"
#include "codec/pack.h"
#include "codec/syslog.h"
#include "ring/append_private.h"
#include "ring/reader.h"
#include "route/route.h"

enum { RECORDS = 4096, LINE_BYTES = 200, SPANS = 256 };

static const int64_t now_ns = 1795221000123456789;
static const char filler[] = "GET /static/images/logo.png HTTP/1.1 from 10.1.2.3 took 12 ms; ";

static char lines[RECORDS][LINE_BYTES + 1];
static char out[RECORDS * 4 * LINE_BYTES];
static struct yarder_record records[RECORDS];

/* Lines of LINE_BYTES, the last byte a newline: a head, and text behind it. */
static void make_lines(const char *head)
{
    for (size_t i = 0; i < RECORDS; i++) {
        int length = snprintf(lines[i], LINE_BYTES, "%s%zu %zu ", head, i * 7 % 60, i);
        for (size_t at = (size_t)length; at < LINE_BYTES - 1; at++) {
            lines[i][at] = filler[(at - (size_t)length) % (sizeof(filler) - 1)];
        }
        lines[i][LINE_BYTES - 1] = '\n';
        records[i] = (struct yarder_record){.time_ns = now_ns + (int64_t)i * 1234567,
            .received_ns = now_ns,
            .text = {lines[i], LINE_BYTES - 1},
            .logger = {"app.db", 6},
            .tag = {"nginx", 5},
            .pid = 1000 + (uint32_t)i,
            .level = i % 3 == 0 ? YARDER_LEVEL_INFO : YARDER_LEVEL_ERROR,
            .facility = YARDER_FACILITY_NONE};
    }
}

/* The work of a leaf: made ready, done once under measurement. */
struct work {
    struct framer framer;
    struct encoder *encoder;
    struct router *router;
    struct ring_clock clock;
    struct ring_producer *producer;
    struct region_reader *reader;
};

static void need(bool good, const char *what)
{
    if (!good) {
        (void)fprintf(stderr, "work: %s failed\n", what);
        exit(1);
    }
}

/* ring */

static void ring_ready(struct work *work)
{
    int fd = -1;
    struct region_shape shape = {.kind = REGION_PLAIN, .clock = REGION_CLOCK_NS};
    const struct region_reader_options options = {.pid = 1};
    ring_clock_open(&work->clock);
    shape.ticks_per_s = 1000000000;
    region_shape_set(&shape, 8 << 20, 1);
    need(region_create(&fd, &shape) == 0, "region_create");
    need(ring_producer_open(&work->producer, fd, &shape) == 0, "ring_producer_open");
    need(region_reader_open(&work->reader, fd, &options) == 0, "region_reader_open");
}

/* The restartable sequence with an area of our own: it is counted where the kernel gives none. */
static void sequence_ready(struct work *work)
{
    static _Alignas(32) uint8_t area[RSEQ_MM_CID_OFFSET + sizeof(uint32_t)];
    ring_ready(work);
    need(RING_HAS_RSEQ, "a restartable sequence for this architecture");
    work->producer->kind = REGION_RSEQ;
    work->producer->id_offset = RSEQ_MM_CID_OFFSET;
    work->producer->rseq_offset = (ptrdiff_t)((uintptr_t)area - thread_pointer());
}

static void append(struct work *work)
{
    for (size_t i = 0; i < RECORDS; i++) {
        struct ring_entry entry = {.text = lines[i], .text_bytes = LINE_BYTES, .tid = 1};
        ring_entry_seal(&entry, 0, YARDER_LEVEL_ERROR, 0);
        need(ring_append(work->producer, &entry) == RING_APPENDED, "append");
    }
}

/* What yarder_logf does for a record, from its site to the ring. */
static int defer(struct work *work, const char *format, ...)
{
    static struct yarder_site site;
    uint8_t payload[SITE_PAYLOAD_BYTES_MAX];
    struct client_attachment attachment = {.producer = work->producer, .serial = 1};
    struct ring_entry entry = {.text = payload, .tid = 1};
    va_list arguments;
    va_start(arguments, format);
    entry.text_bytes =
        site_encode(payload, &site, site_place(&site, &attachment, format), arguments);
    va_end(arguments);
    ring_entry_seal(&entry, RING_DEFERRED, YARDER_LEVEL_ERROR, 0);
    return (int)ring_append(work->producer, &entry);
}

static void append_deferred(struct work *work)
{
    for (size_t i = 0; i < RECORDS; i++) {
        int result = defer(work, "request %zu of %s took %d us", i, "client.example.net", 1200);
        need(result == RING_APPENDED, "append");
    }
}

static void drain_deferred_ready(struct work *work)
{
    ring_ready(work);
    append_deferred(work);
    ring_clock_refresh(&work->clock);
}

static void drain_ready(struct work *work)
{
    ring_ready(work);
    append(work);
    ring_clock_refresh(&work->clock);
}

static void drain(struct work *work)
{
    static struct ring_record taken[256];
    static _Alignas(8) char scratch[256 << 10];
    struct ring_batch batch = {.records = taken,
        .records_max = YARDER_COUNT_OF(taken),
        .scratch = scratch,
        .scratch_bytes = sizeof(scratch)};
    for (size_t count = 0; count < RECORDS; count += batch.count) {
        need(region_reader_take(work->reader, &work->clock, &batch) == 0 && batch.count > 0,
            "drain");
        region_reader_publish(work->reader);
    }
}

/* codec */

static void frame_ready(struct work *work)
{
    for (size_t i = 0; i < RECORDS; i++) {
        memcpy(out + i * LINE_BYTES, lines[i], LINE_BYTES);
    }
    framer_init(&work->framer, FRAME_LF, 65536);
}

static void frame(struct work *work)
{
    struct frame_span spans[SPANS];
    size_t count = 0;
    for (size_t at = 0; at < RECORDS * LINE_BYTES;) {
        size_t used = 0;
        count += (size_t)framer_take(
            &work->framer, out + at, RECORDS * LINE_BYTES - at, spans, SPANS, &used);
        at += used;
    }
    need(count == RECORDS, "frame");
}

static void parse(struct work *work)
{
    (void)work;
    struct syslog_parser parser = {.bsd_memo = ""};
    static struct yarder_field fields[YARDER_FIELDS_MAX];
    static char scratch[SYSLOG_SCRATCH_BYTES];
    for (size_t i = 0; i < RECORDS; i++) {
        struct yarder_record record = {.received_ns = now_ns};
        syslog_parse(&parser, records[i].text, scratch, sizeof(scratch), fields, &record);
        need(record.pid == 71, "parse");
    }
}

static void encode_ready(struct work *work, const char *format)
{
    char why[256];
    need(encoder_open(&work->encoder, format, ENCODE_NEWLINES_AUTO, "web01", why, sizeof(why)) == 0,
        format);
}

static void json_ready(struct work *work)
{
    encode_ready(work, "json");
}

static void template_ready(struct work *work)
{
    encode_ready(work, "${time:%F %T} ${host} ${tag}[${pid}] ${level}: ${msg}");
}

static void syslog_ready(struct work *work)
{
    encode_ready(work, "syslog");
}

static void encode(struct work *work)
{
    size_t at = 0;
    for (size_t i = 0; i < RECORDS; i++) {
        need(at + encoder_bound(work->encoder, &records[i]) <= sizeof(out), "room");
        at += encoder_run(work->encoder, &records[i], out + at);
    }
}

static void pack(struct work *work)
{
    (void)work;
    size_t at = 0;
    for (size_t i = 0; i < RECORDS; i++) {
        const struct yarder_id id = {(uint64_t)now_ns, i};
        need(at + pack_bytes(&records[i]) <= sizeof(out), "room");
        at += pack_record(&records[i], id, out + at);
    }
}

static void unpack_ready(struct work *work)
{
    memset(out, 0, sizeof(out));
    pack(work);
}

static void unpack(struct work *work)
{
    (void)work;
    struct yarder_record record;
    struct yarder_field fields[YARDER_FIELDS_MAX];
    struct yarder_id id;
    size_t taken = 0;
    size_t at = 0;
    for (size_t i = 0; i < RECORDS; i++) {
        int r =
            pack_read(out + at, sizeof(out) - at, &record, &id, fields, YARDER_FIELDS_MAX, &taken);
        need(r == 0 && id.number == i, "pack_read");
        at += taken;
    }
}

/* route */

static void route_ready(struct work *work, uint32_t patterns_count)
{
    static char patterns[1000][64];
    static struct route_line routes[1000];
    static const struct route_output outputs[] = {
        {.name = "named", .named = true, .reach = ROUTE_UWSGI_LOGGER},
        {.name = "", .reach = ROUTE_UWSGI_LOGGER}};
    char why[256];
    for (uint32_t i = 0; i < patterns_count; i++) {
        (void)snprintf(patterns[i], sizeof(patterns[i]), "worker %u (died|respawned)", i);
        routes[i] = (struct route_line){.to = "named", .pattern = patterns[i], .where = "work"};
    }
    const struct route_spec spec = {
        .outputs = outputs, .outputs_count = 2, .routes = routes, .routes_count = patterns_count};
    need(router_open(&work->router, &spec, why, sizeof(why)) == 0, "router_open");
}

static void route_one_ready(struct work *work)
{
    route_ready(work, 1);
}

static void route_hundred_ready(struct work *work)
{
    route_ready(work, 100);
}

static void route_thousand_ready(struct work *work)
{
    route_ready(work, 1000);
}

static void route(struct work *work)
{
    static struct route_verdict verdicts[YARDER_BATCH_RECORDS];
    for (size_t at = 0; at < RECORDS; at += YARDER_BATCH_RECORDS) {
        router_decide(work->router, records + at, YARDER_BATCH_RECORDS, (int64_t)at, verdicts);
        need(verdicts[0].outputs == 2, "route");
    }
}

static const struct leaf {
    const char *name;
    const char *head; /* of its lines */
    void (*ready)(struct work *work);
    void (*run)(struct work *work);
} leaves[] = {
    {"append", "", ring_ready, append},
    {"append-rseq", "", sequence_ready, append},
    {"append-deferred", "", ring_ready, append_deferred},
    {"drain", "", drain_ready, drain},
    {"drain-deferred", "", drain_deferred_ready, drain},
    {"frame", "", frame_ready, frame},
    {"parse-rfc3164", "<30>Nov 21 01:14:07 web01 nginx[71]: ", NULL, parse},
    {"parse-rfc5424", "<30>1 2026-11-21T01:14:07.123456+01:00 web01 nginx 71 - [a@1 b=\"c\"] ",
        NULL, parse},
    {"encode-json", "", json_ready, encode},
    {"encode-template", "", template_ready, encode},
    {"encode-syslog", "", syslog_ready, encode},
    {"pack", "", NULL, pack},
    {"unpack", "", unpack_ready, unpack},
    {"route-1", "", route_one_ready, route},
    {"route-100", "", route_hundred_ready, route},
    {"route-1000", "", route_thousand_ready, route},
};

/* By its name callgrind knows when to count. */
__attribute__((noinline)) void work_measured(const struct leaf *leaf, struct work *work);

void work_measured(const struct leaf *leaf, struct work *work)
{
    leaf->run(work);
}

int main(int argc, char **argv)
{
    static struct work work;
    for (size_t i = 0; argc == 2 && i < YARDER_COUNT_OF(leaves); i++) {
        if (strcmp(argv[1], leaves[i].name) == 0) {
            make_lines(leaves[i].head);
            if (leaves[i].ready != NULL) {
                leaves[i].ready(&work);
            }
            work_measured(&leaves[i], &work);
            return 0;
        }
    }
    for (size_t i = 0; i < YARDER_COUNT_OF(leaves); i++) {
        (void)printf("%s\n", leaves[i].name);
    }
    return argc == 1 ? 0 : 2;
}
