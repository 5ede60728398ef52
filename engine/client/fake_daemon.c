/* SPDX-License-Identifier: Apache-2.0 */
#include "client/fake_daemon.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include <cmocka.h>

struct fake_daemon daemon_state = {.lock = PTHREAD_MUTEX_INITIALIZER, .listener = -1};
char run_dir[64];

static void note_record(const struct ring_record *got)
{
    const struct yarder_record *record = &got->record;
    daemon_state.records_count++;
    daemon_state.last_record = *record;
    daemon_state.gaps += record->lost_before;
    (void)snprintf(daemon_state.last, sizeof(daemon_state.last), "%.*s:%.*s",
        (int)record->logger.length, record->logger.at, (int)yarder_min(record->text.length, 100),
        record->text.at);
    if (record->text.length >= 8) {
        char digits[9] = "";
        memcpy(digits, record->text.at + record->text.length - 8, 8);
        daemon_state.numbers_sum += (uint32_t)strtoul(digits, NULL, 16);
    }
    if (!got->continues) {
        daemon_state.joined_bytes = 0;
        daemon_state.joined_sum = 0;
    }
    for (size_t i = 0; i < record->text.length; i++) {
        daemon_state.joined_sum = daemon_state.joined_sum * 31 + (unsigned char)record->text.at[i];
    }
    daemon_state.joined_bytes += (uint32_t)record->text.length;
}

static void daemon_take(void)
{
    ring_clock_refresh(&daemon_state.clock);
    for (unsigned i = 0; i < daemon_state.regions_count; i++) {
        struct ring_batch batch = {.records = daemon_state.records,
            .records_max = 256,
            .scratch = daemon_state.scratch,
            .scratch_bytes = SCRATCH_BYTES};
        if (region_reader_take(daemon_state.regions[i].reader, &daemon_state.clock, &batch) != 0) {
            continue;
        }
        for (uint32_t k = 0; k < batch.count; k++) {
            note_record(&batch.records[k]);
        }
        region_reader_publish(daemon_state.regions[i].reader);
    }
}

static int serve_region(int fd, const struct ring_hello *hello)
{
    struct served *served = &daemon_state.regions[daemon_state.regions_count];
    struct region_shape shape;
    struct region_reader_options options = {.pid = hello->pid};
    if (daemon_state.regions_count == REGIONS_MAX || region_inspect(fd, &shape, &served->id) != 0 ||
        region_reader_open(&served->reader, fd, &options) != 0) {
        return -EPROTO;
    }
    served->fd = fd;
    if (daemon_state.asleep) {
        region_reader_sleep(served->reader, RING_DEEP);
    }
    daemon_state.regions_count++;
    return 0;
}

static void answer(int connection)
{
    struct ring_hello hello;
    int back = -1;
    if (hello_read(connection, &hello, &back) != 0) {
        return;
    }
    memcpy(daemon_state.program, hello.program, sizeof(hello.program));
    if (daemon_state.policy != RING_STATUS_OK) {
        (void)!hello_answer(connection, daemon_state.policy, 0, -1);
        return;
    }
    if (back >= 0) {
        daemon_state.hand_backs++;
        enum ring_status status =
            !daemon_state.refuse_back && region_is_owned(back) && serve_region(back, &hello) == 0
                ? RING_STATUS_OK
                : RING_STATUS_REFUSED;
        (void)!hello_answer(connection, status, hello.generation, -1);
        return;
    }
    struct region_shape shape;
    hello_shape(&hello, REGION_MEMORY_DEFAULT, ring_clock_choice(), daemon_state.clock.ticks_per_s,
        ++daemon_state.generation, &shape);
    int fd = -1;
    if (region_create(&fd, &shape) != 0 || serve_region(fd, &hello) != 0) {
        abort();
    }
    (void)!hello_answer(connection, RING_STATUS_OK, shape.generation, fd);
}

static void daemon_pass(void)
{
    int connection = accept4(daemon_state.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (connection >= 0) {
        daemon_state.connections[daemon_state.connections_count++ % CONNECTIONS_MAX] = connection;
        struct timespec rest = {.tv_nsec = 1000000};
        for (int i = 0; i < 20; i++) { /* the hello follows at once */
            char byte;
            if (recv(connection, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0) {
                break;
            }
            (void)nanosleep(&rest, NULL);
        }
        answer(connection);
    }
    for (unsigned i = 0; i < yarder_min(daemon_state.connections_count, CONNECTIONS_MAX); i++) {
        char bell[16];
        if (daemon_state.connections[i] >= 0 &&
            recv(daemon_state.connections[i], bell, sizeof(bell), MSG_DONTWAIT) > 0) {
            daemon_state.bells++;
        }
    }
    char datagram[512];
    ssize_t bytes = recv(daemon_state.log_socket, datagram, sizeof(datagram) - 1, MSG_DONTWAIT);
    if (bytes > 0) {
        datagram[bytes] = '\0';
        (void)snprintf(daemon_state.last, sizeof(daemon_state.last), "%.200s", datagram);
        daemon_state.datagrams++;
    }
    if (!__atomic_load_n(&daemon_state.frozen, __ATOMIC_RELAXED)) {
        daemon_take();
    }
}

static void *daemon_loop(void *argument)
{
    (void)argument;
    while (!__atomic_load_n(&daemon_state.stop, __ATOMIC_RELAXED)) {
        (void)pthread_mutex_lock(&daemon_state.lock);
        daemon_pass();
        (void)pthread_mutex_unlock(&daemon_state.lock);
        struct timespec rest = {.tv_nsec = 200000};
        (void)nanosleep(&rest, NULL);
    }
    return NULL;
}

static int bind_socket(const char *name, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", run_dir, name);
    (void)unlink(address.sun_path);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)&address, sizeof(address)), 0);
    return fd;
}

void daemon_start(void)
{
    if (daemon_state.clock.ticks_per_s == 0) {
        ring_clock_open(&daemon_state.clock);
    }
    daemon_state.listener = bind_socket(RING_SOCKET_NAME, SOCK_SEQPACKET);
    assert_int_equal(listen(daemon_state.listener, 16), 0);
    daemon_state.log_socket = bind_socket(LOG_SOCKET_NAME, SOCK_DGRAM);
    daemon_state.stop = false;
    assert_int_equal(pthread_create(&daemon_state.thread, NULL, daemon_loop, NULL), 0);
}

void daemon_die(void)
{
    __atomic_store_n(&daemon_state.stop, true, __ATOMIC_RELAXED);
    assert_int_equal(pthread_join(daemon_state.thread, NULL), 0);
    (void)close(daemon_state.listener);
    (void)close(daemon_state.log_socket);
    for (unsigned i = 0; i < yarder_min(daemon_state.connections_count, CONNECTIONS_MAX); i++) {
        (void)close(daemon_state.connections[i]);
    }
    daemon_state.connections_count = 0;
    for (unsigned i = 0; i < daemon_state.regions_count; i++) {
        region_reader_close(daemon_state.regions[i].reader);
        (void)close(daemon_state.regions[i].fd);
    }
    daemon_state.regions_count = 0;
}

uint64_t daemon_lost(void)
{
    uint64_t lost = 0;
    (void)pthread_mutex_lock(&daemon_state.lock);
    daemon_take(); /* its counts are of the last take */
    for (unsigned i = 0; i < daemon_state.regions_count; i++) {
        struct ring_losses losses;
        region_reader_losses(daemon_state.regions[i].reader, &losses);
        lost += losses.lost;
    }
    (void)pthread_mutex_unlock(&daemon_state.lock);
    return lost;
}

void daemon_await(const unsigned *count)
{
    struct timespec rest = {.tv_nsec = 1000000};
    bool there = false;
    for (unsigned i = 0; i < 5000 && !there; i++) {
        (void)nanosleep(&rest, NULL);
        (void)pthread_mutex_lock(&daemon_state.lock);
        there = *count > 0;
        (void)pthread_mutex_unlock(&daemon_state.lock);
    }
    assert_true(there);
}
