// SPDX-License-Identifier: Apache-2.0
// Appending to a ring and draining it again; the memcpy of the same bytes cannot be beaten.
#include <benchmark/benchmark.h>

#include <cstring>
#include <thread>
#include <vector>

// C's words in the headers.
#define _Alignas(bytes) alignas(bytes)
#define _Noreturn [[noreturn]]
extern "C" {
#include "ring/append.h"
#include "ring/reader.h"
}

namespace
{
constexpr uint32_t kBlock = 2000;

struct Pair {
    ring_clock clock{};
    region_shape shape{};
    int fd = -1;
    ring_producer *producer = nullptr;
    region_reader *reader = nullptr;
    std::vector<ring_record> records = std::vector<ring_record>(256);
    std::vector<uint64_t> scratch = std::vector<uint64_t>((256 << 10) / 8);

    Pair(uint32_t kind, uint32_t rings)
    {
        ring_clock_open(&clock);
        shape.kind = kind;
        bool rseq = kind == REGION_RSEQ;
        shape.clock = rseq ? uint32_t{REGION_CLOCK_TSC} : uint32_t(ring_clock_choice());
        shape.ticks_per_s = clock.ticks_per_s;
        region_shape_set(&shape, 8 << 20, rings);
        region_reader_options options{};
        if (region_create(&fd, &shape) != 0 || ring_producer_open(&producer, fd, &shape) != 0 ||
            region_reader_open(&reader, fd, &options) != 0) {
            abort();
        }
    }
    ~Pair()
    {
        ring_producer_close(producer);
        region_reader_close(reader);
        close(fd);
    }
    Pair(const Pair &) = delete;
    Pair &operator=(const Pair &) = delete;

    uint32_t append(const char *text, size_t bytes)
    {
        ring_entry entry{};
        entry.text = text;
        entry.text_bytes = bytes;
        entry.tid = 1;
        ring_entry_seal(&entry, 0, YARDER_LEVEL_ERROR, 0);
        return ring_append(producer, &entry) == RING_APPENDED;
    }
    uint64_t drain()
    {
        uint64_t count = 0;
        ring_batch batch{};
        batch.records = records.data();
        batch.records_max = 256;
        batch.scratch = reinterpret_cast<char *>(scratch.data());
        batch.scratch_bytes = scratch.size() * 8;
        while (!region_reader_idle(reader)) {
            if (region_reader_take(reader, &clock, &batch) != 0) {
                abort();
            }
            count += batch.count;
            region_reader_publish(reader);
        }
        return count;
    }
};

void finish(benchmark::State &state, size_t bytes)
{
    state.SetItemsProcessed(state.iterations() * kBlock);
    state.SetBytesProcessed(state.iterations() * kBlock * int64_t(bytes));
}

void append(benchmark::State &state)
{
    Pair pair(uint32_t(state.range(0)), state.range(0) == REGION_LOCKED ? 1 : 0);
    size_t bytes = size_t(state.range(1));
    std::vector<char> text(bytes, 'x');
    for (auto _ : state) {
        uint32_t appended = 0;
        for (uint32_t i = 0; i < kBlock; i++) {
            appended += pair.append(text.data(), bytes);
        }
        state.PauseTiming();
        if (appended != kBlock || pair.drain() != kBlock) {
            state.SkipWithError("a record was dropped");
        }
        state.ResumeTiming();
    }
    finish(state, bytes);
}

void copy(benchmark::State &state)
{
    size_t bytes = size_t(state.range(0));
    std::vector<char> text(bytes, 'x');
    std::vector<char> room(4 << 20);
    size_t at = 0;
    for (auto _ : state) {
        for (uint32_t i = 0; i < kBlock; i++) {
            memcpy(room.data() + at, text.data(), bytes);
            benchmark::ClobberMemory();
            at = (at + bytes + 32) & ((2 << 20) - 1);
        }
    }
    finish(state, bytes);
}

// Draining alone: records spread over so many rings in stamp order, one after another; the region
// may have more rings that nobody used.
void drain(benchmark::State &state)
{
    uint32_t rings = uint32_t(state.range(0));
    size_t bytes = size_t(state.range(1));
    Pair pair(REGION_PLAIN, uint32_t(state.range(2)));
    std::vector<char> text(bytes, 'x');
    ring_entry entry{};
    entry.text = text.data();
    entry.text_bytes = bytes;
    ring_entry_seal(&entry, 0, YARDER_LEVEL_ERROR, 0);
    for (auto _ : state) {
        state.PauseTiming();
        for (uint32_t i = 0; i < kBlock; i++) {
            entry.tid = i % rings; // the plain kind begins its search at tid
            if (ring_append(pair.producer, &entry) != RING_APPENDED) {
                state.SkipWithError("a record was dropped");
            }
        }
        ring_clock_refresh(&pair.clock);
        state.ResumeTiming();
        if (pair.drain() != kBlock) {
            state.SkipWithError("a record is missing");
        }
    }
    finish(state, bytes);
}
} // namespace

BENCHMARK(copy)->ArgName("bytes")->Arg(50)->Arg(200)->Arg(1000);
BENCHMARK(append)
    ->ArgNames({"kind", "bytes"})
    ->ArgsProduct({{REGION_RSEQ, REGION_PLAIN, REGION_LOCKED}, {50, 200, 1000}});
BENCHMARK(drain)
    ->ArgNames({"rings", "bytes", "of"})
    ->Args({1, 200, 1})
    ->Args({2, 200, 2})
    ->Args({8, 200, 8})
    ->Args({32, 200, 32})
    ->Args({1, 200, 32})
    ->Args({1, 1000, 1});
BENCHMARK_MAIN();
