// SPDX-License-Identifier: Apache-2.0
// The hold: a record's way through a queue, and what a commit costs.
//   hand_over/B/R   records of B bytes put one by one, R to a pass; then sealed, committed,
//   answered
//                   as written and settled, as a pass of the worker does it without its file
//   commit/O        nothing but a commit, in a hold of O outputs with 16 MiB of queue each
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#define _Alignas(bytes) alignas(bytes) // C's words in the headers
#define _Noreturn [[noreturn]]
extern "C" {
#include "queue/queue.h"
}

namespace
{
constexpr uint32_t kBufferBytes = 1 << 20;
constexpr uint32_t kBuffers = 16;

struct Hold {
    struct hold *hold = nullptr;
    int fd = -1;

    explicit Hold(uint32_t outputs)
    {
        hold_shape shape{};
        shape.inputs_count = 4;
        shape.outputs_count = outputs;
        shape.pipes_count = 1;
        shape.joins_count = 16;
        shape.regions_max = 64;
        shape.rings_max = 16;
        shape.pipe_half_bytes = 1 << 20;
        shape.join_bytes = 1 << 20;
        for (uint32_t i = 0; i < outputs; i++) {
            shape.outputs[i].first_queue = i;
            shape.outputs[i].queues_count = 1;
            shape.outputs[i].first_buffer = i * kBuffers;
            shape.outputs[i].buffers_count = kBuffers;
            shape.outputs[i].buffer_bytes = kBufferBytes;
        }
        shape.queues_count = outputs;
        shape.buffers_count = outputs * kBuffers;
        if (hold_create(&shape, &fd) != 0 || hold_open(&hold, fd) != 0 || hold_load(hold) != 0) {
            abort();
        }
    }
    ~Hold()
    {
        hold_close(hold);
        close(fd);
    }
    Hold(const Hold &) = delete;
    Hold &operator=(const Hold &) = delete;
};

void finish(benchmark::State &state, int64_t items, int64_t bytes)
{
    state.SetItemsProcessed(state.iterations() * items);
    state.SetBytesProcessed(state.iterations() * items * bytes);
}

void copy(benchmark::State &state)
{
    std::vector<char> text(size_t(state.range(0)), 'x');
    std::vector<char> room(kBufferBytes);
    size_t at = 0;
    for (auto _ : state) {
        memcpy(room.data() + at, text.data(), text.size());
        benchmark::ClobberMemory();
        at += text.size();
        at = at + text.size() <= room.size() ? at : 0;
    }
    finish(state, 1, state.range(0));
}

void hand_over(benchmark::State &state)
{
    Hold own(1);
    queue_pool pool{};
    struct hold_queue *queue = &own.hold->queues[0];
    std::vector<char> text(size_t(state.range(0)), 'x');
    if (queue_pool_open(&pool, own.hold, 0) != 0) {
        abort();
    }
    for (auto _ : state) {
        for (int64_t i = 0; i < state.range(1); i++) {
            char *at = queue_put_begin(&pool, queue, text.size());
            if (at == nullptr) {
                state.SkipWithError("no room");
                break;
            }
            memcpy(at, text.data(), text.size());
            queue_put_end(&pool, queue, text.size());
        }
        while (!queue_is_empty(queue)) {
            benchmark::DoNotOptimize(queue_seal(&pool, queue));
            hold_commit(own.hold);
            queue_pool_settle(&pool);
            (void)queue_complete(&pool, queue, uint32_t(queue->seal_bytes));
        }
    }
    queue_pool_close(&pool);
    finish(state, state.range(1), state.range(0));
}

void commit(benchmark::State &state)
{
    Hold own(uint32_t(state.range(0)));
    for (auto _ : state) {
        hold_commit(own.hold);
    }
    finish(state, 1, own.hold->state_bytes);
}
} // namespace

BENCHMARK(copy)->ArgName("bytes")->Arg(50)->Arg(200)->Arg(1024);
BENCHMARK(hand_over)
    ->ArgNames({"bytes", "records"})
    ->ArgsProduct({{50, 200, 1024}, {1, 256, 2048}});
BENCHMARK(commit)->ArgName("outputs")->Arg(1)->Arg(4)->Arg(16);
BENCHMARK_MAIN();
