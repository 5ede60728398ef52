/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a lane appends in a second, by plain writes and through io_uring, to tmpfs and to a disk,
 * with and without fsync=batch. Each write is submitted when the one before is answered, as the
 * writer does for one file; the file is emptied each GiB. The figure is of the whole process: the
 * writer side only polls. Folders: TMPFS (default /dev/shm) and DISK (default /var/tmp).
 *
 *   bench-outputs-lane --benchmark_min_time=2
 */
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

#include <benchmark/benchmark.h>

#define _Noreturn [[noreturn]] // the headers are C
extern "C" {
#include "outputs/lane.h"
}

namespace
{

constexpr uint64_t FILE_BYTES_MAX = 1u << 30;

struct writer {
    int event_fd = eventfd(0, EFD_CLOEXEC);
    uint32_t sleeps = 0;
    struct output_config config = {};
    struct lane *lane = nullptr;

    lane_job *wait()
    {
        lane_job *job = lane_done(lane);
        while (job == nullptr) {
            __atomic_store_n(&sleeps, 1, __ATOMIC_SEQ_CST);
            job = lane_done(lane);
            if (job == nullptr) {
                uint64_t count = 0;
                (void)!read(event_fd, &count, sizeof(count));
                job = lane_done(lane);
            }
            __atomic_store_n(&sleeps, 0, __ATOMIC_SEQ_CST);
        }
        return job;
    }
    ~writer()
    {
        (void)close(event_fd);
    }
};

double cpu_seconds()
{
    rusage usage = {};
    (void)getrusage(RUSAGE_SELF, &usage);
    auto seconds = [](timeval t) { return double(t.tv_sec) + double(t.tv_usec) / 1e6; };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/* Arguments: bytes of a write, enum output_file_io, disk or tmpfs, enum output_sync. */
void append(benchmark::State &state)
{
    const char *folder = state.range(2) != 0 ? getenv("DISK") : getenv("TMPFS");
    const char *usual = state.range(2) != 0 ? "/var/tmp" : "/dev/shm";
    std::string path = std::string(folder != nullptr ? folder : usual) + "/lane-bench.log";
    std::vector<char> bytes(size_t(state.range(0)), 'x');
    writer writer;
    writer.config.kind = OUTPUT_FILE;
    writer.config.mode = 0600;
    writer.config.file_io = int(state.range(1));
    writer.config.fsync.policy = static_cast<output_sync>(state.range(3));
    lane_options options = {&writer.config, nullptr, nullptr, 0, writer.event_fd, &writer.sleeps,
        uid_t(-1), gid_t(-1), nullptr};
    if (lane_open(&writer.lane, &options) < 0) {
        state.SkipWithError("no such lane here");
        return;
    }
    lane_job job = {};
    job.request = LANE_OPEN;
    job.path = path.c_str();
    job.truncate = true;
    lane_submit(writer.lane, &job);
    (void)writer.wait();
    if (job.answer != LANE_DONE) {
        state.SkipWithError("cannot open the file");
    }
    job.request = LANE_WRITE;
    job.bytes = bytes.data();
    job.bytes_count = uint32_t(bytes.size());
    job.expected_size = job.size;
    double cpu_before = cpu_seconds();
    for (auto _ : state) {
        if (job.expected_size >= FILE_BYTES_MAX) {
            state.PauseTiming();
            (void)!ftruncate(job.fd, 0);
            job.expected_size = 0;
            state.ResumeTiming();
        }
        lane_submit(writer.lane, &job);
        (void)writer.wait();
        if (job.answer != LANE_DONE || job.written != job.bytes_count || job.sync_error != 0) {
            state.SkipWithError("not written whole");
            break;
        }
        job.expected_size = job.size;
    }
    double gigabytes = double(state.iterations()) * double(state.range(0)) / 1e9;
    state.SetBytesProcessed(state.iterations() * state.range(0));
    state.SetItemsProcessed(state.iterations());
    state.counters["cpu_s_per_GB"] = (cpu_seconds() - cpu_before) / gigabytes;
    state.SetLabel(std::string(lane_io_name(writer.lane)) +
                   (state.range(2) != 0 ? " disk" : " tmpfs") +
                   (state.range(3) == OUTPUT_SYNC_BATCH ? " fsync=batch" : ""));
    job.request = LANE_CLOSE;
    lane_submit(writer.lane, &job);
    (void)writer.wait();
    (void)!lane_close(writer.lane, 1000000000);
    (void)unlink(path.c_str());
}

void scenes(benchmark::internal::Benchmark *bench)
{
    for (int disk : {0, 1}) {
        for (int sync : {int(OUTPUT_SYNC_NONE), int(OUTPUT_SYNC_BATCH)}) {
            for (int bytes : {256 << 10, 1 << 20}) {
                bench->Args({bytes, OUTPUT_FILE_IO_WRITE, disk, sync});
                bench->Args({bytes, OUTPUT_FILE_IO_URING, disk, sync});
            }
        }
    }
}

BENCHMARK(append)->Apply(scenes)->UseRealTime();

} // namespace

BENCHMARK_MAIN();
