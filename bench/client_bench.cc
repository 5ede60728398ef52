// SPDX-License-Identifier: Apache-2.0
// Calls of libyarder.so as a program makes them, the daemon's side in this process: it takes what
// lies in the rings between two blocks of calls, unmeasured. Two floors beside them: `copy` puts
// the same bytes into private memory as large as a ring and as far apart as records are, `copy_hot`
// always into one place. Where in a ring the producer is has no copy in the caches of its
// processor, so the first of the two is what a call is to be held against.
//
// YARDER_BESIDE=FILE: the same calls of another build of the library, for comparing the two in one
// run: --benchmark_enable_random_interleaving=true --benchmark_repetitions=20.
#include <benchmark/benchmark.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

// C's words in the headers.
#define _Alignas(bytes) alignas(bytes)
#define _Noreturn [[noreturn]]
extern "C" {
#include "api/yarder.h"
#include "ring/hello.h"
#include "ring/reader.h"
}

namespace
{
constexpr uint32_t kBlockMax = 2000;
constexpr size_t kRegionBytes = 8 << 20;
constexpr size_t kRecordBytes = 32; // of a record beside its text, about

void need(bool good, const char *what)
{
    if (!good) {
        std::perror(what);
        std::abort();
    }
}

std::string beside_us(const char *path)
{
    char self[4096];
    ssize_t bytes = readlink("/proc/self/exe", self, sizeof(self) - 1);
    need(bytes > 0, "readlink");
    std::string folder(self, size_t(bytes));
    return folder.substr(0, folder.rfind('/')) + "/../" + path;
}

// One build of the library, attached to a region that this process reads.
struct Library {
    decltype(&yarder_configure) configure;
    decltype(&yarder_attach) attach;
    decltype(&yarder_log_bytes) log_bytes;
    decltype(&yarder_put) put;
    decltype(&yarder_logf) logf;
    decltype(&yarder_logf_site) logf_site; // null: an older build
    yarder_site sites[2] = {};             // a site is one library's
    ring_clock clock{};
    region_reader *reader = nullptr;
    size_t ring_bytes = 0;
    int connection = -1; // open as long as the library is attached
    std::vector<ring_record> records = std::vector<ring_record>(256);
    std::vector<uint64_t> scratch = std::vector<uint64_t>((256 << 10) / 8);

    explicit Library(const std::string &path)
    {
        void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (library == nullptr) {
            std::fprintf(stderr, "%s\n", dlerror());
            std::abort();
        }
        find(library, "yarder_configure", configure);
        find(library, "yarder_attach", attach);
        find(library, "yarder_log_bytes", log_bytes);
        find(library, "yarder_put", put);
        find(library, "yarder_logf", logf);
        logf_site = reinterpret_cast<decltype(logf_site)>(dlsym(library, "yarder_logf_site"));
        ring_clock_open(&clock);
        char folder[] = "/tmp/yarder-bench-XXXXXX";
        need(mkdtemp(folder) != nullptr, "mkdtemp");
        std::string socket_path = std::string(folder) + "/" + RING_SOCKET_NAME;
        int listener = listen_at(socket_path);
        std::thread daemon([&] { answer(listener); });
        yarder_options options{};
        options.options_bytes = sizeof(options);
        options.run_dir = folder;
        options.ring_bytes = kRegionBytes;
        need(configure(&options) == 0 && attach() == 0, "yarder_attach");
        daemon.join();
        close(listener);
        unlink(socket_path.c_str());
        rmdir(folder);
    }
    template <typename Function>
    static void find(void *library, const char *name, Function &function)
    {
        function = reinterpret_cast<Function>(dlsym(library, name));
        need(function != nullptr, name);
    }
    static int listen_at(const std::string &path)
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::snprintf(address.sun_path, sizeof(address.sun_path), "%s", path.c_str());
        int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        need(bind(listener, reinterpret_cast<sockaddr *>(&address), sizeof(address)) == 0 &&
                 listen(listener, 1) == 0,
            "listen");
        return listener;
    }
    void answer(int listener)
    {
        ring_hello hello;
        int back = -1;
        char byte;
        connection = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        need(connection >= 0 && recv(connection, &byte, 1, MSG_PEEK) == 1 &&
                 hello_read(connection, &hello, &back) == 0 && back < 0,
            "hello");
        region_shape shape;
        hello_shape(&hello, kRegionBytes, ring_clock_choice(), clock.ticks_per_s, 1, &shape);
        ring_bytes = shape.ring_bytes;
        region_reader_options options{};
        int fd = -1;
        need(region_create(&fd, &shape) == 0 && region_reader_open(&reader, fd, &options) == 0 &&
                 hello_answer(connection, RING_STATUS_OK, 1, fd) == 0,
            "region");
        close(fd);
    }
    uint64_t drain()
    {
        uint64_t count = 0;
        ring_batch batch{};
        batch.records = records.data();
        batch.records_max = 256;
        batch.scratch = reinterpret_cast<char *>(scratch.data());
        batch.scratch_bytes = scratch.size() * 8;
        ring_clock_refresh(&clock);
        while (!region_reader_idle(reader)) {
            need(region_reader_take(reader, &clock, &batch) == 0, "region_reader_take");
            count += batch.count;
            region_reader_publish(reader);
        }
        return count;
    }
};

// Of this thread on a processor: what it waits for one is nobody's cost.
double now_s()
{
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return double(now.tv_sec) + double(now.tv_nsec) / 1e9;
}

// Blocks of calls, as many as half a ring takes; only they are on the clock.
template <typename Call, typename After>
void blocks(benchmark::State &state, size_t ring_bytes, Call call, After after)
{
    auto bytes = size_t(state.range(0));
    auto block = uint32_t(std::min<size_t>(kBlockMax, ring_bytes / 2 / (bytes + kRecordBytes)));
    for (auto _ : state) {
        double begin = now_s();
        for (uint32_t i = 0; i < block; i++) {
            call();
        }
        state.SetIterationTime(now_s() - begin);
        after(block);
    }
    state.SetItemsProcessed(state.iterations() * block);
    state.SetBytesProcessed(state.iterations() * block * int64_t(bytes));
}

template <typename Call> void calls(benchmark::State &state, Library &library, Call call)
{
    int failed = 0;
    library.drain();
    blocks(
        state, library.ring_bytes, [&] { failed |= call(); },
        [&](uint32_t block) {
            if (failed != 0 || library.drain() != block) {
                state.SkipWithError("a record was dropped");
            }
        });
}

void log_bytes(benchmark::State &state, Library &library)
{
    std::vector<char> text(size_t(state.range(0)), 'x');
    calls(state, library,
        [&] { return library.log_bytes(0, YARDER_LEVEL_ERROR, text.data(), text.size()); });
}

void put(benchmark::State &state, Library &library, uint32_t fields_count)
{
    std::vector<char> text(size_t(state.range(0)), 'x');
    static const int64_t number = 4711;
    yarder_field fields[2] = {};
    fields[0].type = YARDER_FIELD_TEXT;
    fields[0].key = {"user", 4};
    fields[0].value = {"somebody", 8};
    fields[1].type = YARDER_FIELD_INT;
    fields[1].key = {"took_us", 7};
    fields[1].value = {reinterpret_cast<const char *>(&number), sizeof(number)};
    yarder_message message{};
    message.text = text.data();
    message.text_bytes = text.size();
    message.level = YARDER_LEVEL_ERROR;
    message.fields = fields_count > 0 ? fields : nullptr;
    message.fields_count = fields_count;
    calls(state, library, [&] { return library.put(&message); });
}

// A short line of three arguments, then as much text as makes the size; formatted by the caller.
void logf(benchmark::State &state, Library &library)
{
    std::string text(size_t(state.range(0)) - 30, 'x');
    int number = 0;
    calls(state, library, [&] {
        return library.logf(
            0, YARDER_LEVEL_ERROR, "request %08d took %06u us: %s", number++, 1234u, text.c_str());
    });
}

// The same, formatted by the daemon.
int logf_text(Library &library, int number, const char *text)
{
    return library.logf_site(&library.sites[0], 0, YARDER_LEVEL_ERROR,
        "request %08d took %06u us: %s", number, 1234u, text);
}

void logf_deferred(benchmark::State &state, Library &library)
{
    std::string text(size_t(state.range(0)) - 30, 'x');
    int number = 0;
    calls(state, library, [&] { return logf_text(library, number++, text.c_str()); });
}

// Three numbers, the daemon's quickest conversions.
int logf_numbers(Library &library, uint32_t number)
{
    return library.logf_site(&library.sites[1], 0, YARDER_LEVEL_ERROR,
        "request %u of client %llu took %d us and was answered from the cache of this node", number,
        123456789012ull, -17);
}

void logf_deferred_numbers(benchmark::State &state, Library &library)
{
    uint32_t number = 0;
    calls(state, library, [&] { return logf_numbers(library, number++); });
}

// What the daemon does to have the text of a record.
template <typename Call> void taken(benchmark::State &state, Library &library, Call call)
{
    auto block = uint32_t(library.ring_bytes / 2 / (size_t(state.range(0)) + kRecordBytes));
    block = std::min(block, kBlockMax);
    int failed = 0;
    library.drain();
    for (auto _ : state) {
        for (uint32_t i = 0; i < block; i++) {
            failed |= call(i);
        }
        double begin = now_s();
        uint64_t count = library.drain();
        state.SetIterationTime(now_s() - begin);
        if (failed != 0 || count != block) {
            state.SkipWithError("a record was dropped");
        }
    }
    state.SetItemsProcessed(state.iterations() * block);
}

void take_bytes(benchmark::State &state, Library &library)
{
    std::vector<char> text(size_t(state.range(0)), 'x');
    taken(state, library, [&](uint32_t) {
        return library.log_bytes(0, YARDER_LEVEL_ERROR, text.data(), text.size());
    });
}

void take_deferred_numbers(benchmark::State &state, Library &library)
{
    taken(state, library, [&](uint32_t i) { return logf_numbers(library, i); });
}

void take_deferred(benchmark::State &state, Library &library)
{
    std::string text(size_t(state.range(0)) - 30, 'x');
    taken(state, library, [&](uint32_t i) { return logf_text(library, int(i), text.c_str()); });
}

void copy(benchmark::State &state, size_t ring_bytes, size_t room_bytes)
{
    auto bytes = size_t(state.range(0));
    std::vector<char> text(bytes, 'x');
    std::vector<char> room(room_bytes + bytes);
    size_t at = 0;
    auto call = [&] {
        std::memcpy(room.data() + at, text.data(), bytes);
        benchmark::ClobberMemory();
        at += bytes + kRecordBytes;
        at = at < room_bytes ? at : 0;
    };
    blocks(state, ring_bytes, call, [](uint32_t) {});
}

void sizes(benchmark::internal::Benchmark *bench)
{
    bench->UseManualTime()->ArgName("bytes")->Arg(50)->Arg(200)->Arg(1024)->Arg(16384);
}

void one_size(benchmark::internal::Benchmark *bench)
{
    bench->UseManualTime()->ArgName("bytes")->Arg(200);
}

void add(const std::string &suffix, Library *library)
{
    using benchmark::RegisterBenchmark;
    auto name = [&](const char *call) { return call + suffix; };
    RegisterBenchmark(name("log_bytes").c_str(), log_bytes, std::ref(*library))->Apply(sizes);
    RegisterBenchmark(name("put").c_str(), put, std::ref(*library), 0)->Apply(sizes);
    RegisterBenchmark(name("put_fields").c_str(), put, std::ref(*library), 2)->Apply(sizes);
    RegisterBenchmark(name("logf").c_str(), logf, std::ref(*library))->Apply(sizes);
    if (library->logf_site == nullptr) {
        return;
    }
    RegisterBenchmark(name("logf_deferred").c_str(), logf_deferred, std::ref(*library))
        ->Apply(sizes);
    RegisterBenchmark(
        name("logf_deferred_numbers").c_str(), logf_deferred_numbers, std::ref(*library))
        ->Apply(one_size);
    RegisterBenchmark(name("take_bytes").c_str(), take_bytes, std::ref(*library))->Apply(one_size);
    RegisterBenchmark(name("take_deferred").c_str(), take_deferred, std::ref(*library))
        ->Apply(one_size);
    RegisterBenchmark(
        name("take_deferred_numbers").c_str(), take_deferred_numbers, std::ref(*library))
        ->Apply(one_size);
}
} // namespace

int main(int argc, char **argv)
{
    static Library library(beside_us("engine/client/libyarder.so.0"));
    size_t ring_bytes = library.ring_bytes;
    benchmark::RegisterBenchmark("copy", copy, ring_bytes, ring_bytes)->Apply(sizes);
    benchmark::RegisterBenchmark("copy_hot", copy, ring_bytes, 0)->Apply(sizes);
    add("", &library);
    if (const char *beside = std::getenv("YARDER_BESIDE")) {
        add("_beside", new Library(beside));
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 1;
    }
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
