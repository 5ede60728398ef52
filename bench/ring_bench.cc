// SPDX-License-Identifier: Apache-2.0
// Appending to a ring, in each of its three ways, and draining it again. `copy` puts the same bytes
// into private memory as large as a ring and as far apart as records are: it cannot be beaten.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstring>
#include <ctime>
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
constexpr size_t kRegionBytes = 8 << 20;
constexpr size_t kRecordBytes = 32; // of a record beside its text, about

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
        region_shape_set(&shape, kRegionBytes, rings);
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

    uint32_t append(const std::vector<char> &text, const std::vector<char> &fields)
    {
        ring_entry entry{};
        entry.text = text.data();
        entry.text_bytes = text.size();
        entry.extra = fields.data();
        entry.extra_bytes = fields.size();
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

void finish(benchmark::State &state, uint32_t block, size_t bytes)
{
    state.SetItemsProcessed(state.iterations() * block);
    state.SetBytesProcessed(state.iterations() * block * int64_t(bytes));
}

// Of this thread on a processor: what it waits for one is nobody's cost.
double now_s()
{
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return double(now.tv_sec) + double(now.tv_nsec) / 1e9;
}

// As many as half a ring takes.
uint32_t block_of(size_t bytes, size_t ring_bytes)
{
    return uint32_t(std::min<size_t>(kBlock, ring_bytes / 2 / (bytes + kRecordBytes)));
}

// Two fields, as a record carries them.
std::vector<char> two_fields()
{
    std::vector<char> room(64);
    int64_t number = 4711;
    yarder_field text{{"user", 4}, {"somebody", 8}, YARDER_FIELD_TEXT};
    yarder_field value{{"took_us", 7}, {reinterpret_cast<char *>(&number), 8}, YARDER_FIELD_INT};
    auto *at = reinterpret_cast<uint8_t *>(room.data());
    size_t used = ring_field_put(at, room.size(), &text);
    used += ring_field_put(at + used, room.size() - used, &value);
    room.resize(used);
    return room;
}

void append(benchmark::State &state, uint32_t kind, bool has_fields)
{
    Pair pair(kind, kind == REGION_LOCKED ? 1 : 0);
    std::vector<char> text(size_t(state.range(0)), 'x');
    std::vector<char> fields = has_fields ? two_fields() : std::vector<char>();
    uint32_t block = block_of(text.size() + fields.size(), pair.shape.ring_bytes);
    (void)pair.append(text, fields); // the first one brings the ring's pages in
    (void)pair.drain();
    for (auto _ : state) {
        uint32_t appended = 0;
        double begin = now_s();
        for (uint32_t i = 0; i < block; i++) {
            appended += pair.append(text, fields);
        }
        state.SetIterationTime(now_s() - begin);
        if (appended != block || pair.drain() != block) {
            state.SkipWithError("a record was dropped");
        }
    }
    finish(state, block, text.size() + fields.size());
}

void copy(benchmark::State &state)
{
    region_shape shape{};
    region_shape_set(&shape, kRegionBytes, 0);
    size_t room_bytes = shape.ring_bytes;
    std::vector<char> text(size_t(state.range(0)), 'x');
    std::vector<char> room(room_bytes + text.size());
    uint32_t block = block_of(text.size(), room_bytes);
    size_t at = 0;
    for (auto _ : state) {
        double begin = now_s();
        for (uint32_t i = 0; i < block; i++) {
            memcpy(room.data() + at, text.data(), text.size());
            benchmark::ClobberMemory();
            at += text.size() + kRecordBytes;
            at = at < room_bytes ? at : 0;
        }
        state.SetIterationTime(now_s() - begin);
    }
    finish(state, block, text.size());
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
    uint32_t block = std::min(kBlock, rings * block_of(bytes, pair.shape.ring_bytes));
    for (auto _ : state) {
        uint32_t appended = 0;
        for (uint32_t i = 0; i < block; i++) {
            entry.tid = i % rings; // the plain kind begins its search at tid
            appended += ring_append(pair.producer, &entry) == RING_APPENDED;
        }
        ring_clock_refresh(&pair.clock);
        double begin = now_s();
        uint64_t drained = pair.drain();
        state.SetIterationTime(now_s() - begin);
        if (appended != block || drained != block) {
            state.SkipWithError("a record is missing");
        }
    }
    finish(state, block, bytes);
}
} // namespace

#define SIZES ArgName("bytes")->Arg(50)->Arg(200)->Arg(1024)->Arg(16384)
BENCHMARK(copy)->UseManualTime()->SIZES;
BENCHMARK_CAPTURE(append, rseq, REGION_RSEQ, false)->UseManualTime()->SIZES;
BENCHMARK_CAPTURE(append, plain, REGION_PLAIN, false)->UseManualTime()->SIZES;
BENCHMARK_CAPTURE(append, locked, REGION_LOCKED, false)->UseManualTime()->SIZES;
BENCHMARK_CAPTURE(append, rseq_fields, REGION_RSEQ, true)->UseManualTime()->SIZES;
BENCHMARK(drain)
    ->UseManualTime()
    ->ArgNames({"rings", "bytes", "of"})
    ->Args({1, 200, 1})
    ->Args({2, 200, 2})
    ->Args({8, 200, 8})
    ->Args({32, 200, 32})
    ->Args({1, 200, 32})
    ->Args({1, 50, 1})
    ->Args({1, 1024, 1})
    ->Args({1, 16384, 1});
BENCHMARK_MAIN();
