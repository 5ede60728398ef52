/* SPDX-License-Identifier: Apache-2.0 */
/* Receive buffers and the datagrams in them. */
#include "io/pool.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static_assert(sizeof(struct datagram_head) == 16, "the kernel's layout");
static_assert(DATAGRAM_CONTROL_ROOM == 2 * CMSG_SPACE(sizeof(uint32_t)), "two control messages");
static_assert(DATAGRAM_BUFFER_BYTES % 64 == 0, "buffers begin on cache lines");

int pool_open(struct pool *pool, uint32_t count, size_t buffer_bytes)
{
    YARDER_ASSERT(count > 0 && buffer_bytes % 64 == 0);
    YARDER_OWN_HEAP struct pool_node *nodes = calloc(count, sizeof(*nodes));
    if (nodes == NULL) {
        return -ENOMEM;
    }
    void *memory = mmap(NULL, count * buffer_bytes, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return -errno;
    }
    *pool = (struct pool){.memory = memory, .buffer_bytes = buffer_bytes, .count = count};
    pool->nodes = yarder_heap_take(&nodes);
    for (uint32_t index = count; index > 0; index--) {
        pool->nodes[index - 1].place = POOL_LENT;
        pool_free(pool, index - 1);
    }
    return 0;
}

void pool_close(struct pool *pool)
{
    if (pool->memory != NULL) {
        (void)munmap(pool->memory, pool->count * pool->buffer_bytes);
    }
    free(pool->nodes);
    *pool = (struct pool){0};
}

uint32_t pool_lend(struct pool *pool)
{
    YARDER_ASSERT(pool->free_count > 0 && pool->free_first > 0);
    uint32_t index = pool->free_first - 1;
    struct pool_node *node = &pool->nodes[index];
    YARDER_ASSERT(node->place == POOL_FREE);
    node->place = POOL_LENT;
    pool->free_first = node->next;
    pool->free_count--;
    return index;
}

void pool_free(struct pool *pool, uint32_t index)
{
    YARDER_ASSERT(index < pool->count);
    struct pool_node *node = &pool->nodes[index];
    YARDER_ASSERT(node->place == POOL_LENT || node->place == POOL_HELD);
    *node = (struct pool_node){.next = pool->free_first, .place = POOL_FREE};
    pool->free_first = index + 1;
    pool->free_count++;
}

void pool_queue(struct pool *pool, struct pool_queue *queue, uint32_t index, uint32_t bytes)
{
    YARDER_ASSERT(index < pool->count && bytes <= pool->buffer_bytes);
    YARDER_ASSERT(pool->nodes[index].place == POOL_LENT);
    pool->nodes[index] = (struct pool_node){.bytes = bytes, .place = POOL_QUEUED};
    if (queue->count == 0) {
        queue->first = index + 1;
    } else {
        pool->nodes[queue->last - 1].next = index + 1;
    }
    queue->last = index + 1;
    queue->count++;
}

uint32_t pool_dequeue(struct pool *pool, struct pool_queue *queue)
{
    YARDER_ASSERT(queue->count > 0 && queue->first > 0);
    uint32_t index = queue->first - 1;
    YARDER_ASSERT(pool->nodes[index].place == POOL_QUEUED);
    pool->nodes[index].place = POOL_HELD;
    queue->first = pool->nodes[index].next;
    queue->count--;
    return index;
}

void pool_queue_drop(struct pool *pool, struct pool_queue *queue)
{
    while (queue->count > 0) {
        pool_free(pool, pool_dequeue(pool, queue));
    }
}

uint32_t pool_index(const struct pool *pool, const char *buffer)
{
    YARDER_ASSERT(pool_owns(pool, buffer));
    size_t offset = (size_t)(buffer - pool->memory);
    YARDER_ASSERT(offset % pool->buffer_bytes == 0);
    return (uint32_t)(offset / pool->buffer_bytes);
}

static void read_control(const char *control, uint32_t control_bytes, struct io_chunk *chunk)
{
    char copy[DATAGRAM_CONTROL_ROOM] __attribute__((aligned(8)));
    memcpy(copy, control, control_bytes);
    struct msghdr header = {.msg_control = copy, .msg_controllen = control_bytes};
    for (struct cmsghdr *item = CMSG_FIRSTHDR(&header); item != NULL;
         item = CMSG_NXTHDR(&header, item)) {
        uint32_t value = 0;
        if (item->cmsg_len < CMSG_LEN(sizeof(value))) {
            continue;
        }
        memcpy(&value, CMSG_DATA(item), sizeof(value));
        if (item->cmsg_level == SOL_SOCKET && item->cmsg_type == SO_RXQ_OVFL) {
            chunk->kernel_drops = value;
            chunk->kernel_drops_known = true;
        } else if (item->cmsg_level == IPPROTO_UDP && item->cmsg_type == IO_UDP_GRO) {
            chunk->segment_bytes = value;
        }
    }
}

void datagram_read(
    const char *buffer, uint32_t received, uint32_t control_room, struct io_chunk *chunk)
{
    struct datagram_head head;
    uint32_t payload_at = DATAGRAM_PAYLOAD_AT + control_room;
    YARDER_ASSERT(received >= payload_at && received <= DATAGRAM_BUFFER_BYTES);
    memcpy(&head, buffer, sizeof(head));

    uint32_t bytes = (uint32_t)yarder_min(head.payload_bytes, received - payload_at);
    chunk->bytes = buffer + payload_at;
    chunk->bytes_count = (uint32_t)yarder_min(bytes, IO_DATAGRAM_BYTES);
    if ((head.flags & MSG_TRUNC) != 0 || head.payload_bytes > chunk->bytes_count) {
        chunk->flags |= IO_CHUNK_TRUNCATED;
    }
    chunk->peer_bytes = (socklen_t)yarder_min(head.peer_bytes, DATAGRAM_PEER_ROOM);
    memcpy(&chunk->peer, buffer + sizeof(head), chunk->peer_bytes);
    if (head.control_bytes > 0) {
        uint32_t control_bytes = (uint32_t)yarder_min(head.control_bytes, control_room);
        read_control(buffer + sizeof(head) + DATAGRAM_PEER_ROOM, control_bytes, chunk);
    }
}

int io_socket_check(int fd, enum io_kind kind, bool *is_unix)
{
    int type = 0;
    int domain = 0;
    int listens = 0;
    socklen_t size = sizeof(int);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0) {
        return -errno;
    }
    if (type != (kind == IO_STREAM ? SOCK_STREAM : SOCK_DGRAM) || listens != 0) {
        return -EPROTOTYPE;
    }
    *is_unix = domain == AF_UNIX;
    return 0;
}

bool io_error_passes(enum io_kind kind, int error)
{
    if (error == -EINTR || error == -EAGAIN) {
        return true;
    }
    return kind == IO_DATAGRAM &&
           (error == -ECONNREFUSED || error == -EHOSTUNREACH || error == -ENETUNREACH);
}
