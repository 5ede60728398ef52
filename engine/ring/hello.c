/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/hello.h"

#include <errno.h>
#include <string.h>

#include "os/memory.h"

static bool hello_is_sane(const struct ring_hello *hello)
{
    return hello->magic == RING_HELLO_MAGIC && hello->kind >= REGION_RSEQ &&
           hello->kind <= REGION_LOCKED &&
           (hello->flags & ~(uint32_t)(RING_HELLO_HAND_BACK | RING_HELLO_CLOCK_NS)) == 0;
}

static void clean_program(struct ring_hello *hello)
{
    hello->program[RING_PROGRAM_BYTES - 1] = '\0';
    for (size_t i = 0; hello->program[i] != '\0'; i++) {
        unsigned char byte = (unsigned char)hello->program[i];
        if (byte < ' ' || byte == 0x7f) {
            hello->program[i] = '_';
        }
    }
}

/* One message of exactly bytes_count, perhaps with one descriptor. */
static int receive(int socket_fd, void *bytes, size_t bytes_count, int *fd)
{
    size_t received = 0;
    uint32_t fds_count = 0;
    YARDER_OWN_FD int came = -1;
    int result = os_receive_fds(socket_fd, bytes, bytes_count, &received, &came, 1, &fds_count);
    if (result < 0) {
        came = -1; /* closed already */
        return result == -EMSGSIZE ? -EPROTO : result == -ECONNRESET ? -EPIPE : result;
    }
    if (received != bytes_count) {
        return received == 0 ? -EPIPE : -EPROTO;
    }
    *fd = yarder_fd_take(&came);
    return 0;
}

int hello_read(int socket_fd, struct ring_hello *hello, int *handed_back)
{
    YARDER_OWN_FD int fd = -1;
    int result = receive(socket_fd, hello, sizeof(*hello), &fd);
    if (result < 0) {
        return result;
    }
    bool wants_back = (hello->flags & RING_HELLO_HAND_BACK) != 0;
    if (!hello_is_sane(hello) || wants_back != (fd >= 0)) {
        return -EPROTO;
    }
    clean_program(hello);
    *handed_back = yarder_fd_take(&fd);
    return 0;
}

void hello_shape(const struct ring_hello *hello, uint64_t memory_bytes_max, enum region_clock clock,
    uint64_t ticks_per_s, uint64_t generation, struct region_shape *shape)
{
    bool ns = clock == REGION_CLOCK_NS || (hello->flags & RING_HELLO_CLOCK_NS) != 0;
    uint64_t wanted = hello->memory_bytes == 0 ? memory_bytes_max : hello->memory_bytes;
    *shape = (struct region_shape){
        .kind = hello->kind == REGION_RSEQ && ns ? REGION_PLAIN : hello->kind,
        .clock = ns ? REGION_CLOCK_NS : REGION_CLOCK_TSC,
        .generation = generation,
        .ticks_per_s = ns ? 1000000000 : ticks_per_s,
    };
    region_shape_set(shape, yarder_min(wanted, memory_bytes_max),
        hello->kind == REGION_LOCKED ? 1 : hello->rings);
}

int hello_answer(int socket_fd, enum ring_status status, uint64_t generation, int region_fd)
{
    struct ring_answer answer = {.magic = RING_HELLO_MAGIC,
        .version = RING_HELLO_VERSION,
        .status = (uint16_t)status,
        .generation = generation};
    return os_send_fds(socket_fd, &answer, sizeof(answer), &region_fd, region_fd >= 0);
}

int hello_send(int socket_fd, const struct ring_hello *hello, int region_fd)
{
    return os_send_fds(socket_fd, hello, sizeof(*hello), &region_fd, region_fd >= 0);
}

int hello_receive(int socket_fd, struct ring_answer *answer, int *region_fd)
{
    YARDER_OWN_FD int fd = -1;
    int result = receive(socket_fd, answer, sizeof(*answer), &fd);
    if (result < 0) {
        return result;
    }
    if (answer->magic != RING_HELLO_MAGIC) {
        return -EPROTO;
    }
    *region_fd = yarder_fd_take(&fd);
    return 0;
}
