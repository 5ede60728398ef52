/* SPDX-License-Identifier: Apache-2.0 */
/* Cost of a record in the codec: 200-byte lines, some hundred different ones in turn. */
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#define _Noreturn [[noreturn]] /* C's word, which base.h uses */
extern "C" {
#include "codec/encode.h"
#include "codec/frame.h"
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

void frame(benchmark::State &state, frame_kind kind)
{
    std::string stream;
    auto lines = make_lines([](size_t i) { return "<13>" + std::to_string(i); });
    for (const std::string &line : lines) {
        stream += line.substr(0, kLineBytes - 1) + "\n";
    }
    framer framer;
    framer_init(&framer, kind, 65536);
    frame_span spans[256];
    for (auto _ : state) {
        size_t done = 0;
        while (done < stream.size()) {
            size_t used = 0;
            int filled = framer_take(
                &framer, stream.data() + done, stream.size() - done, spans, 256, &used);
            benchmark::DoNotOptimize(filled);
            benchmark::ClobberMemory();
            done += used;
        }
    }
    framer_deinit(&framer);
    count(state, kLines, stream.size());
}
BENCHMARK_CAPTURE(frame, lf, FRAME_LF);
BENCHMARK_CAPTURE(frame, lf_and_nul, FRAME_AUTO);

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

void encode(benchmark::State &state, const char *format, const char *head)
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
BENCHMARK_CAPTURE(encode, json_quotes, "json", "%d %d \"a\" \"b\" \"c\" \"d\" \"e\" ");
BENCHMARK_CAPTURE(encode, json_utf8, "json", "%d %d gr\xC3\xBC\xC3\x9F" "e \xE2\x82\xAC ");
BENCHMARK_CAPTURE(
    encode, template, "${time:%F %T} ${host} ${tag}[${pid}] ${level}: ${msg}", "%d %d ");
BENCHMARK_CAPTURE(encode, template_iso, "${time} ${level} ${msg}", "%d %d ");
BENCHMARK_CAPTURE(
    encode, python, "python:%(asctime)s %(levelname)-8s %(name)s %(message)s", "%d %d ");
BENCHMARK_CAPTURE(encode, syslog, "syslog", "%d %d ");
BENCHMARK_CAPTURE(encode, rfc5424, "rfc5424", "%d %d ");

} // namespace

BENCHMARK_MAIN();
