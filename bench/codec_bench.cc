/* SPDX-License-Identifier: Apache-2.0 */
/* Cost of a record in the codec: 200-byte lines, some hundred different ones in turn; bytes are
 * those that go in. */
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#define _Noreturn [[noreturn]] /* C's word, which base.h uses */
extern "C" {
#include "codec/encode.h"
#include "codec/frame.h"
#include "codec/multiline.h"
#include "codec/syslog.h"
}

namespace
{

constexpr size_t kLineBytes = 200;
constexpr size_t kLines = 512;
constexpr int64_t kNowNs = 1795221000123456789;

/* Lines of one length whose head comes from `make`, filled up with text. */
template <typename Make> std::vector<std::string> make_lines(Make make)
{
    std::vector<std::string> lines;
    for (size_t i = 0; i < kLines; i++) {
        std::string line = make(i);
        while (line.size() < kLineBytes) {
            line += "GET /static/images/logo.png HTTP/1.1 from 10.1.2.3 took 12 ms; ";
        }
        line.resize(kLineBytes);
        lines.push_back(line);
    }
    return lines;
}

std::string format_line(const char *format, size_t i)
{
    char line[256];
    (void)std::snprintf(line, sizeof(line), format, static_cast<int>(i * 7 % 60),
        static_cast<int>(1000 + i * 37 % 9000));
    return line;
}

void count(benchmark::State &state, size_t items, size_t bytes)
{
    state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * items));
    state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes));
}

// The same bytes put elsewhere, line by line: what a leaf that looks at each byte is held against.
void copy(benchmark::State &state)
{
    auto lines = make_lines([](size_t) { return std::string(); });
    std::vector<char> out(kLines * kLineBytes);
    for (auto _ : state) {
        char *at = out.data();
        for (const std::string &line : lines) {
            std::memcpy(at, line.data(), line.size());
            at += line.size();
        }
        benchmark::ClobberMemory();
    }
    count(state, kLines, kLines * kLineBytes);
}
BENCHMARK(copy);

// A record of kLineBytes with its frame.
std::string framed(std::string line, frame_kind kind)
{
    switch (kind) {
    case FRAME_OCTETS:
        line.resize(kLineBytes - 4);
        return std::to_string(line.size()) + " " + line;
    case FRAME_LENGTH4:
        line.resize(kLineBytes - 4);
        return std::string{0, 0, 0, static_cast<char>(line.size())} + line;
    default:
        line.back() = kind == FRAME_NUL ? '\0' : '\n';
        return line;
    }
}

void frame(benchmark::State &state, frame_kind kind, frame_kind sent)
{
    std::string stream;
    for (const std::string &line :
        make_lines([](size_t i) { return "<13>" + std::to_string(i) + " "; })) {
        stream += framed(line, sent);
    }
    framer framer;
    framer_init(&framer, kind, 65536);
    frame_span spans[256];
    for (auto _ : state) {
        size_t done = 0;
        size_t records = 0;
        while (done < stream.size()) {
            size_t used = 0;
            records += static_cast<size_t>(framer_take(
                &framer, stream.data() + done, stream.size() - done, spans, 256, &used));
            benchmark::ClobberMemory();
            done += used;
        }
        if (records != kLines) {
            state.SkipWithError("not one span for each record");
        }
    }
    framer_deinit(&framer);
    count(state, kLines, stream.size());
}
BENCHMARK_CAPTURE(frame, lf, FRAME_LF, FRAME_LF);
BENCHMARK_CAPTURE(frame, nul, FRAME_NUL, FRAME_NUL);
BENCHMARK_CAPTURE(frame, octets, FRAME_OCTETS, FRAME_OCTETS);
BENCHMARK_CAPTURE(frame, length4, FRAME_LENGTH4, FRAME_LENGTH4);
BENCHMARK_CAPTURE(frame, auto_lf, FRAME_AUTO, FRAME_LF);
BENCHMARK_CAPTURE(frame, auto_octets, FRAME_AUTO, FRAME_OCTETS);

// Lines that are records by themselves, as nearly all are where a rule looks for tracebacks.
void multiline(benchmark::State &state, multiline_kind kind)
{
    auto lines = make_lines([](size_t i) { return format_line("2026-11-21 00:00:%02d %d ", i); });
    for (auto _ : state) {
        multiline_state under_way = 0;
        for (const std::string &line : lines) {
            auto verdict =
                multiline_look(kind, &under_way, yarder_text{line.data(), line.size()}, true);
            benchmark::DoNotOptimize(verdict);
        }
    }
    count(state, kLines, kLines * kLineBytes);
}
BENCHMARK_CAPTURE(multiline, python, MULTILINE_PYTHON);
BENCHMARK_CAPTURE(multiline, java, MULTILINE_JAVA);
BENCHMARK_CAPTURE(multiline, go, MULTILINE_GO);
BENCHMARK_CAPTURE(multiline, indent, MULTILINE_INDENT);

void parse(benchmark::State &state, const char *format)
{
    auto lines = make_lines([format](size_t i) { return format_line(format, i); });
    syslog_parser parser = {};
    yarder_field fields[YARDER_FIELDS_MAX];
    char scratch[SYSLOG_SCRATCH_BYTES];
    for (auto _ : state) {
        for (const std::string &line : lines) {
            yarder_record record = {};
            record.received_ns = kNowNs;
            syslog_parse(
                &parser, {line.data(), line.size()}, scratch, sizeof(scratch), fields, &record);
            benchmark::DoNotOptimize(record);
        }
    }
    count(state, kLines, kLines * kLineBytes);
}
BENCHMARK_CAPTURE(parse, rfc3164_host, "<30>Nov 21 01:14:%02d web01 nginx[%d]: ");
BENCHMARK_CAPTURE(parse, rfc3164_local, "<30>Nov 21 01:14:%02d nginx[%d]: ");
BENCHMARK_CAPTURE(parse, rfc5424, "<30>1 2026-11-21T01:14:%02d.123456+01:00 web01 nginx %d ID7 - ");
BENCHMARK_CAPTURE(parse, rfc5424_fields,
    "<30>1 2026-11-21T01:14:%02d.123456+01:00 web01 nginx %d - [req@1 id=\"77\" u=\"bob\"] ");
BENCHMARK_CAPTURE(parse, python, "<14>%d %d message ");
// As nginx (access_log syslog:) and haproxy (RFC 3164, httplog; RFC 5424) write them.
BENCHMARK_CAPTURE(parse, nginx,
    "<190>Nov 21 01:14:%02d web01 nginx: 192.0.2.%d - - [21/Nov/2026:01:14:07 +0000] \"GET /a/b "
    "HTTP/1.1\" 200 612 \"-\" \"curl/7.88.1\"");
BENCHMARK_CAPTURE(parse, haproxy,
    "<134>Nov 21 01:14:%02d localhost haproxy[%d]: 192.0.2.7:51234 [21/Nov/2026:01:14:07.123] "
    "front~ app/app2 0/0/1/12/13 200 1532 - - ---- 12/12/3/1/0 0/0 \"GET /api/v1/items HTTP/1.1\"");
BENCHMARK_CAPTURE(parse, haproxy_rfc5424,
    "<134>1 2026-11-21T01:14:%02d.123456+00:00 - haproxy %d - - 192.0.2.7:51234 app/app2 "
    "0/0/1/12/13 200 1532 \"GET /api/v1/items HTTP/1.1\"");

const int64_t kNumber = 4711;
const yarder_field kFields[] = {
    {{"user", 4}, {"somebody", 8}, YARDER_FIELD_TEXT},
    {{"took_us", 7}, {reinterpret_cast<const char *>(&kNumber), 8}, YARDER_FIELD_INT},
};

void encode(benchmark::State &state, const char *format, const char *head, bool has_fields = false)
{
    auto lines = make_lines([head](size_t i) { return format_line(head, i); });
    char why[256] = "";
    encoder *encoder = nullptr;
    if (encoder_open(&encoder, format, ENCODE_NEWLINES_AUTO, "web01", why, sizeof(why)) != 0) {
        state.SkipWithError(why);
        return;
    }
    std::vector<yarder_record> records(kLines);
    for (size_t i = 0; i < kLines; i++) {
        records[i] = {};
        records[i].time_ns = kNowNs + static_cast<int64_t>(i) * 1234567;
        records[i].text = {lines[i].data(), lines[i].size()};
        records[i].logger = {"app.db", 6};
        records[i].tag = {"nginx", 5};
        records[i].pid = static_cast<uint32_t>(1000 + i * 37 % 9000);
        records[i].level = i % 3 == 0 ? YARDER_LEVEL_INFO : YARDER_LEVEL_ERROR;
        records[i].facility = YARDER_FACILITY_NONE;
        records[i].fields = has_fields ? kFields : nullptr;
        records[i].fields_count = has_fields ? 2 : 0;
    }
    std::vector<char> out(kLines * encoder_bound(encoder, &records[0]) + 4096);
    for (auto _ : state) {
        char *at = out.data();
        for (const yarder_record &record : records) {
            benchmark::DoNotOptimize(encoder_bound(encoder, &record));
            at += encoder_run(encoder, &record, at);
        }
        benchmark::DoNotOptimize(at);
        benchmark::ClobberMemory();
    }
    encoder_close(encoder);
    count(state, kLines, kLines * kLineBytes);
}
BENCHMARK_CAPTURE(encode, text, "text", "%d %d ");
BENCHMARK_CAPTURE(encode, json, "json", "%d %d ");
BENCHMARK_CAPTURE(encode, json_fields, "json", "%d %d ", true);
BENCHMARK_CAPTURE(encode, json_quotes, "json", "%d %d \"a\" \"b\" \"c\" \"d\" \"e\" ");
BENCHMARK_CAPTURE(encode, json_utf8, "json",
    "%d %d gr\xC3\xBC\xC3\x9F"
    "e \xE2\x82\xAC ");
// One for each class of a template's steps: constants, texts, numbers, names, times, fields.
BENCHMARK_CAPTURE(encode, template_constant, "app: ${msg}", "%d %d ");
BENCHMARK_CAPTURE(encode, template_texts, "${host} ${tag} ${logger} ${msg}", "%d %d ");
BENCHMARK_CAPTURE(encode, template_numbers, "${pid} ${tid} ${msg}", "%d %d ");
BENCHMARK_CAPTURE(encode, template_level, "${level} ${msg}", "%d %d ");
BENCHMARK_CAPTURE(encode, template_time, "${time:%F %T} ${msg}", "%d %d ");
BENCHMARK_CAPTURE(encode, template_iso, "${time} ${msg}", "%d %d ");
BENCHMARK_CAPTURE(encode, template_field, "${field.user} ${field.took_us} ${msg}", "%d %d ", true);
BENCHMARK_CAPTURE(
    encode, template_usual, "${time:%F %T} ${host} ${tag}[${pid}] ${level}: ${msg}", "%d %d ");
BENCHMARK_CAPTURE(
    encode, python, "python:%(asctime)s %(levelname)-8s %(name)s %(message)s", "%d %d ");
BENCHMARK_CAPTURE(encode, syslog, "syslog", "%d %d ");
BENCHMARK_CAPTURE(encode, rfc5424, "rfc5424", "%d %d ");
BENCHMARK_CAPTURE(encode, rfc5424_fields, "rfc5424", "%d %d ", true);

} // namespace

BENCHMARK_MAIN();
