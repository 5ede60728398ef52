/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The router on batches of 256 records of 199 bytes, made of common log lines. Items are records.
 *   patterns/N/P  N routes to loggers; P of a hundred records match the first, the others none
 *   misses/N      the same routes, and no record has even the literals that they need
 *   hostile/N     the same routes on records that are made of what they almost match
 *   selectors     level, kind, tag and logger conditions on four outputs, no pattern
 *   plain         one output that takes everything
 */
#include <benchmark/benchmark.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

#define _Noreturn [[noreturn]] // the headers are C
extern "C" {
#include "route/route.h"
}

namespace
{
constexpr size_t record_bytes = 199;

const std::array<const char *, 6> lines = {
    "Jun 14 15:16:01 combo sshd(pam_unix)[19939]: authentication failure; logname= uid=0 rhost=4.2",
    "10.251.42.84 - - [09/Nov/2008:20:35:32] \"GET /openstack/v2/servers/detail HTTP/1.1\" 200 "
    "1893",
    "081109 203615 148 INFO dfs.DataNode$PacketResponder: PacketResponder 1 for block blk_38865049",
    "[pid: 4021|app: 0|req: 1/7] 127.0.0.1 () {40 vars in 620 bytes} GET / => generated 12 bytes",
    "2017-05-16 00:00:00.008 25746 INFO nova.osapi_compute.wsgi.server [req-38101a0b] accepted tcp",
    "kernel: [ 1234.567890] usb 1-1.2: new high-speed USB device number 4 using ehci-pci at bus 2",
};

const std::array<const char *, 8> shapes = {"(HTTP/1.\\d 5%02u)",
    "listen queue %u of socket .* full", "level=(err|crit|alert) +code=%u", "worker %u respawned",
    "^\\S+ \\S+ sshd%u", "Failed password %u for (invalid user )?\\S+ from", "timeout after %u ms",
    "segfault at [0-9a-f]+ ip %u"};

const std::array<const char *, 6> near_misses = {"HTTP/1.1 50 HTTP/1.1 5",
    "listen queue 1 of sock ", " code= code=x", "worker 7 respawne ", "Failed password 1 fo ",
    "timeout after 9 m "};

enum class kind { log, miss, hostile };

std::string text_of(kind what, size_t i, size_t hits)
{
    const auto &pieces = what == kind::hostile ? near_misses : lines;
    std::string text;
    while (text.size() < record_bytes) {
        text += pieces[(i + text.size()) % pieces.size()];
        text += ' ';
    }
    text.resize(record_bytes);
    for (size_t at = 0;
         what == kind::miss && (at = text.find("HTTP/1", at)) != std::string::npos;) {
        text.replace(at, 6, "http/1");
    }
    if (what == kind::log && i * 37 % 100 < hits) {
        text.replace(90, 12, "HTTP/1.1 500");
    }
    return text;
}

struct batch {
    std::vector<std::string> texts;
    std::vector<yarder_record> records;
    std::vector<route_verdict> verdicts;

    batch(kind what, size_t hits)
        : texts(YARDER_BATCH_RECORDS), records(YARDER_BATCH_RECORDS), verdicts(YARDER_BATCH_RECORDS)
    {
        for (size_t i = 0; i < texts.size(); i++) {
            texts[i] = text_of(what, i, hits);
            records[i] = {};
            records[i].text = {texts[i].data(), texts[i].size()};
            records[i].level = i % 8 == 0 ? YARDER_LEVEL_ERROR : YARDER_LEVEL_INFO;
            records[i].tag = {"nginx", 5};
            records[i].logger = {"app.db.pool", 11};
            records[i].facility = YARDER_FACILITY_NONE;
        }
    }
};

void run(benchmark::State &state, const route_spec &spec, kind what = kind::log, size_t hits = 10)
{
    batch work(what, hits);
    router *router = nullptr;
    char why[256];
    if (router_open(&router, &spec, why, sizeof(why)) != 0) {
        state.SkipWithError(why);
        return;
    }
    int64_t now_ns = 0;
    uint64_t taken = 0;
    for (auto _ : state) {
        router_decide(
            router, work.records.data(), YARDER_BATCH_RECORDS, now_ns++, work.verdicts.data());
        taken += work.verdicts[0].outputs;
        benchmark::DoNotOptimize(taken);
    }
    uint32_t at = 0;
    route_trouble trouble;
    if (router_trouble_next(router, &at, &trouble)) {
        state.SkipWithError("undecided");
    }
    router_close(router);
    state.SetItemsProcessed(state.iterations() * YARDER_BATCH_RECORDS);
    state.SetBytesProcessed(state.iterations() * YARDER_BATCH_RECORDS * int64_t{record_bytes});
}

void routes(benchmark::State &state, kind what, size_t hits = 0)
{
    auto count = static_cast<uint32_t>(state.range(0));
    std::vector<std::string> texts;
    for (uint32_t i = 0; i < count; i++) {
        char text[128];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(text, sizeof(text), shapes[i % shapes.size()], i / 8);
#pragma GCC diagnostic pop
        texts.emplace_back(text);
    }
    std::vector<route_line> routes(count);
    for (uint32_t i = 0; i < count; i++) {
        routes[i] = {ROUTE_BOTH, false, "named", texts[i].c_str(), "bench:1"};
    }
    std::array<route_output, 2> outputs = {};
    outputs[0].name = "named";
    outputs[0].named = true;
    outputs[0].reach = ROUTE_UWSGI_LOGGER;
    outputs[1].reach = ROUTE_UWSGI_LOGGER;
    route_spec spec = {};
    spec.outputs = outputs.data();
    spec.outputs_count = outputs.size();
    spec.routes = routes.data();
    spec.routes_count = count;
    run(state, spec, what, hits);
}

void patterns(benchmark::State &state)
{
    routes(state, kind::log, static_cast<size_t>(state.range(1)));
}

void misses(benchmark::State &state)
{
    routes(state, kind::miss);
}

void hostile(benchmark::State &state)
{
    routes(state, kind::hostile);
}

void selectors(benchmark::State &state)
{
    char tag[] = "ng*";
    char logger[] = "app.db";
    char *tags[] = {tag};
    char *loggers[] = {logger};
    std::array<route_output, 4> outputs = {};
    for (auto &output : outputs) {
        output.reach = ROUTE_NATIVE;
    }
    outputs[0].selectors.levels = {YARDER_LEVEL_ERROR, 255};
    outputs[1].selectors.kinds = 1 << YARDER_KIND_REQUEST;
    outputs[2].selectors.tag = {tags, 1};
    outputs[3].selectors.logger = {loggers, 1};
    route_spec spec = {};
    spec.outputs = outputs.data();
    spec.outputs_count = outputs.size();
    run(state, spec);
}

void plain(benchmark::State &state)
{
    route_output output = {};
    output.reach = ROUTE_NATIVE;
    route_spec spec = {};
    spec.outputs = &output;
    spec.outputs_count = 1;
    run(state, spec);
}
} // namespace

BENCHMARK(plain);
BENCHMARK(selectors);
BENCHMARK(patterns)
    ->ArgNames({"", "hits"})
    ->ArgsProduct({{1, 3, 10, 100, 1000}, {0, 10, 50}});
BENCHMARK(misses)->Arg(1)->Arg(3)->Arg(10)->Arg(100)->Arg(1000);
BENCHMARK(hostile)->Arg(1)->Arg(3)->Arg(10)->Arg(100)->Arg(1000);
BENCHMARK_MAIN();
