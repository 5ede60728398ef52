// SPDX-License-Identifier: Apache-2.0
// Receiving through both loops: a stream written in 16 KiB pieces, unix and UDP datagrams of 200
// bytes. The writer is the same thread, so the time is that of sending and receiving together;
// what differs between the two loops is the receiving.
#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <sys/socket.h>
#include <unistd.h>

#define _Noreturn [[noreturn]] // the headers are C
extern "C" {
#include "io/io.h"
}

namespace
{

enum { STREAM_BYTES = 16384, DATAGRAM_BYTES = 200, DATAGRAMS = 64, UNIX_DATAGRAMS = 8 };

struct Loop {
    struct io *io = nullptr;
    struct io_source source = {};
    int writer = -1;

    Loop(benchmark::State &state, io_kind kind, int reader, int writer_fd) : writer(writer_fd)
    {
        struct io_options options = {};
        char why[256];
        options.choice = state.range(0) == 0 ? IO_EPOLL : IO_URING;
        options.sources_max = 8;
        source.fd = reader;
        source.kind = kind;
        if (io_open(&io, &options, why) < 0) {
            io = nullptr;
            state.SkipWithError(why);
        } else if (io_add(io, &source) < 0) {
            state.SkipWithError("io_add");
        }
        state.SetLabel(io == nullptr ? "none" : io_name(io));
    }
    ~Loop()
    {
        if (io != nullptr) {
            io_remove(io, &source);
            io_close(io);
        }
        close(source.fd);
        close(writer);
    }
    size_t Take(size_t wanted)
    {
        size_t taken = 0;
        struct io_chunk chunk;
        while (taken < wanted && io_wait(io, 1000000000, false) == 0) {
            for (struct io_source *next = io_next(io); next != nullptr; next = io_next(io)) {
                if (io_take(io, next, &chunk) == 1) {
                    taken += chunk.bytes_count;
                    io_give(io, &chunk);
                }
            }
        }
        return taken;
    }
};

void Run(benchmark::State &state, Loop &loop, size_t piece, size_t pieces)
{
    static char bytes[STREAM_BYTES];
    size_t total = 0;
    if (loop.io == nullptr) {
        return;
    }
    for (auto _ : state) {
        size_t sent = 0;
        for (size_t i = 0; i < pieces; i++) {
            ssize_t r = send(loop.writer, bytes, piece, MSG_DONTWAIT);
            sent += r < 0 ? 0 : static_cast<size_t>(r);
        }
        total += loop.Take(sent);
    }
    state.SetBytesProcessed(static_cast<int64_t>(total));
    state.SetItemsProcessed(static_cast<int64_t>(total / DATAGRAM_BYTES)); // messages of 200 bytes
}

void BM_Stream(benchmark::State &state)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) {
        state.SkipWithError("socketpair");
        return;
    }
    Loop loop(state, IO_STREAM, pair[1], pair[0]);
    Run(state, loop, STREAM_BYTES, 8);
}

void BM_UnixDatagram(benchmark::State &state)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) < 0) {
        state.SkipWithError("socketpair");
        return;
    }
    Loop loop(state, IO_DATAGRAM, pair[1], pair[0]);
    Run(state, loop, DATAGRAM_BYTES, UNIX_DATAGRAMS);
}

void BM_Udp(benchmark::State &state)
{
    struct sockaddr_in address = {};
    socklen_t size = sizeof(address);
    int reader = socket(AF_INET, SOCK_DGRAM, 0);
    int writer = socket(AF_INET, SOCK_DGRAM, 0);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto *name = reinterpret_cast<struct sockaddr *>(&address);
    if (bind(reader, name, size) < 0 || getsockname(reader, name, &size) < 0 ||
        connect(writer, name, size) < 0) {
        state.SkipWithError("bind");
        return;
    }
    Loop loop(state, IO_DATAGRAM, reader, writer);
    Run(state, loop, DATAGRAM_BYTES, DATAGRAMS);
}

BENCHMARK(BM_Stream)->Arg(0)->Arg(1);
BENCHMARK(BM_UnixDatagram)->Arg(0)->Arg(1);
BENCHMARK(BM_Udp)->Arg(0)->Arg(1);

} // namespace

BENCHMARK_MAIN();
