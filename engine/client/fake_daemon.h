/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small supervisor and worker in a thread of the test: answers hellos, reads every region, counts
 * bells and datagrams; it can refuse, stop taking, die and come back.
 */
#ifndef YARDER_CLIENT_FAKE_DAEMON_H
#define YARDER_CLIENT_FAKE_DAEMON_H

#include <pthread.h>

#include "ring/hello.h"
#include "ring/reader.h"

enum { REGIONS_MAX = 32, CONNECTIONS_MAX = 64, LINES_MAX = 4096, SCRATCH_BYTES = 256 << 10 };

struct served {
    struct region_reader *reader;
    int fd;
    struct os_file_id id;
};

/* Guarded by `lock` but for the thread's own loop. */
struct fake_daemon {
    pthread_t thread;
    pthread_mutex_t lock;
    int listener;
    int log_socket;
    bool stop;
    bool asleep;
    bool frozen; /* takes nothing */
    enum ring_status policy;
    bool refuse_back; /* a region that was another daemon's */
    int connections[CONNECTIONS_MAX];
    unsigned connections_count;
    struct served regions[REGIONS_MAX];
    unsigned regions_count;
    unsigned hand_backs;
    unsigned bells;
    unsigned datagrams;
    uint64_t generation;
    struct ring_clock clock;
    char program[RING_PROGRAM_BYTES];
    struct ring_record records[256];
    _Alignas(64) char scratch[SCRATCH_BYTES];

    uint64_t records_count; /* parts counted each */
    uint64_t lost;
    char last[256]; /* of the last record: logger:text */
    struct yarder_record last_record;
    uint32_t joined_bytes;
    uint32_t joined_sum;
    uint32_t numbers_sum; /* of the last 8 bytes of each text, read as hexadecimal */
    uint64_t gaps;
};
extern struct fake_daemon daemon_state;
extern char run_dir[64];

void daemon_start(void);
/* As a supervisor's death: connections, regions and all go at once. */
void daemon_die(void);
/* What the producers of all its regions say that they lost. */
uint64_t daemon_lost(void);
/* Waits until the daemon has counted one (bell, datagram): it is on its way through a socket. */
void daemon_await(const unsigned *count);

#endif
