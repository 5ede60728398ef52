// SPDX-License-Identifier: Apache-2.0
// A spool beside the plain writes and reads of the same bytes, in the same run: 200-byte texts.
//   plain_write/D, store/D   runs of 1 MiB written to a file, and appended; D 1: O_DIRECT
//   plain_read/D, replay/D   read again: as bytes; as records, each checked, and answered
// SPOOL_BENCH_DIR names the place (default: the working directory; a tmpfs measures no disk).
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#define _Alignas(bytes) alignas(bytes) // C's words in the headers
#define _Noreturn [[noreturn]]
extern "C" {
#include "queue/spool.h"
}

namespace
{
constexpr size_t kRunBytes = 1 << 20;
constexpr size_t kTextBytes = 200;
constexpr size_t kRuns = 256; // 256 MiB in a spool that is measured

std::string place()
{
    const char *wanted = getenv("SPOOL_BENCH_DIR");
    std::string made = std::string(wanted != nullptr ? wanted : ".") + "/spool-bench-XXXXXX";
    if (mkdtemp(made.data()) == nullptr) {
        abort();
    }
    return made;
}

void remove_all(const std::string &path)
{
    std::string command = "rm -rf '" + path + "'";
    if (std::system(command.c_str()) != 0) {
        abort();
    }
}

// Packed records of a run, and how many.
struct Run {
    char *bytes = nullptr;
    size_t used = 0;
    uint32_t records = 0;
    uint64_t number = 1;

    Run() : bytes(static_cast<char *>(aligned_alloc(4096, kRunBytes)))
    {
        memset(bytes, 0, kRunBytes);
        fill();
    }
    ~Run()
    {
        free(bytes);
    }
    Run(const Run &) = delete;
    Run &operator=(const Run &) = delete;

    void fill()
    {
        static const std::string text(kTextBytes, 'x');
        yarder_record record{};
        record.text = {text.data(), text.size()};
        used = 0;
        records = 0;
        while (used + pack_bytes(&record) <= kRunBytes) {
            used += pack_record(&record, {1, number++}, bytes + used);
            records++;
        }
    }
};

spool_shared shared;

spool *open_spool(const std::string &state_dir, bool direct)
{
    spool_options options{};
    options.state_dir = state_dir.c_str();
    options.name = "bench";
    options.limit_bytes = uint64_t(2) << 30;
    options.record_bytes_max = 64 << 10;
    options.direct = direct;
    shared = spool_shared{};
    options.shared = &shared;
    spool *opened = nullptr;
    char why[256];
    if (spool_open(&opened, &options, why, sizeof(why)) != 0) {
        fprintf(stderr, "%s\n", why);
        abort();
    }
    return opened;
}

// Stores, and gives back what it stored when that is a lot.
uint64_t drain(spool *opened)
{
    struct spool_look look;
    spool_look(opened, &look);
    spool_release(&shared, look.end);
    spool_batch batch;
    uint64_t records = 0;
    while (spool_read(opened, &batch) == 0) {
        spool_answers answers{};
        answers.delivered = batch.records;
        records += batch.records;
        if (spool_answer(opened, &batch, batch.bytes_count, &answers) != 0) {
            abort();
        }
    }
    return records;
}

void count(benchmark::State &state, const Run &run)
{
    state.SetItemsProcessed(state.iterations() * run.records);
    state.SetBytesProcessed(state.iterations() * int64_t(run.used));
}

void plain_write(benchmark::State &state)
{
    const std::string folder = place();
    Run run;
    const int flags = O_RDWR | O_CREAT | (state.range(0) != 0 ? O_DIRECT : 0);
    const size_t bytes = state.range(0) != 0 ? run.used & ~size_t(4095) : run.used;
    int fd = -1;
    size_t at = 0;
    size_t runs = kRuns;
    for (auto _ : state) {
        if (runs == kRuns) {
            state.PauseTiming();
            if (fd >= 0) {
                close(fd);
            }
            (void)unlink((folder + "/plain").c_str());
            fd = open((folder + "/plain").c_str(), flags, 0600);
            at = 0;
            runs = 0;
            state.ResumeTiming();
        }
        if (pwrite(fd, run.bytes, bytes, off_t(at)) != ssize_t(bytes)) {
            state.SkipWithError("write");
        }
        at += bytes;
        runs++;
    }
    close(fd);
    remove_all(folder);
    count(state, run);
}

void store(benchmark::State &state)
{
    const std::string folder = place();
    spool *opened = open_spool(folder, state.range(0) != 0);
    Run run;
    size_t runs = 0;
    for (auto _ : state) {
        state.PauseTiming();
        if (runs++ == kRuns) {
            drain(opened);
            runs = 1;
        }
        run.fill();
        state.ResumeTiming();
        spool_stored stored;
        if (spool_append(opened, run.bytes, run.used, &stored) != 0 || stored.bytes != run.used) {
            state.SkipWithError("append");
        }
    }
    spool_close(opened);
    remove_all(folder);
    count(state, run);
}

void plain_read(benchmark::State &state)
{
    const std::string folder = place();
    Run run;
    int fd = open((folder + "/plain").c_str(), O_RDWR | O_CREAT, 0600);
    for (size_t i = 0; i < kRuns; i++) {
        if (pwrite(fd, run.bytes, kRunBytes, off_t(i * kRunBytes)) != ssize_t(kRunBytes)) {
            abort();
        }
    }
    if (fsync(fd) != 0) {
        abort();
    }
    close(fd);
    fd = open((folder + "/plain").c_str(), O_RDONLY | (state.range(0) != 0 ? O_DIRECT : 0));
    size_t at = 0;
    for (auto _ : state) {
        if (pread(fd, run.bytes, kRunBytes, off_t(at)) != ssize_t(kRunBytes)) {
            state.SkipWithError("read");
        }
        at = (at + kRunBytes) % (kRuns * kRunBytes);
    }
    close(fd);
    remove_all(folder);
    count(state, run);
}

void replay(benchmark::State &state)
{
    const std::string folder = place();
    spool *opened = open_spool(folder, state.range(0) != 0);
    Run run;
    uint64_t records = 0;
    for (auto _ : state) {
        state.PauseTiming();
        for (size_t i = 0; i < kRuns; i++) {
            spool_stored stored;
            if (spool_append(opened, run.bytes, run.used, &stored) != 0) {
                abort();
            }
            run.fill();
        }
        state.ResumeTiming();
        records += drain(opened);
    }
    spool_close(opened);
    remove_all(folder);
    state.SetItemsProcessed(int64_t(records));
    state.SetBytesProcessed(int64_t(records * (run.used / run.records)));
}
} // namespace

BENCHMARK(plain_write)->ArgName("direct")->Arg(0)->Arg(1)->Iterations(1024);
BENCHMARK(store)->ArgName("direct")->Arg(0)->Arg(1)->Iterations(1024);
BENCHMARK(plain_read)->ArgName("direct")->Arg(0)->Arg(1)->Iterations(1024);
BENCHMARK(replay)->ArgName("direct")->Arg(0)->Arg(1)->Iterations(4);

BENCHMARK_MAIN();
