/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attaching to the daemon, and keeping in touch: async-signal-safe calls only, waiting at most 20
 * ms for the daemon, under a lock that is only ever tried.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "client/client.h"
#include "ring/hello.h"

struct client_page *client_page;
static uint64_t last_serial;
/*
 * The connection is not in the page: a child must find its parent's descriptors to close them, else
 * the daemon would not see the parent's end.
 */
static struct client_fd the_socket;
static struct client_fd the_region;
static struct client_fd the_fallback;

__thread struct client_thread client_thread;

uint32_t client_tid_ask(const struct client_attachment *attachment)
{
    client_thread.tid = (uint32_t)syscall(SYS_gettid);
    client_thread.serial = attachment->serial;
    return client_thread.tid;
}

struct client_page *client_page_make(void)
{
    int error = errno;
    struct client_page *page =
        mmap(NULL, REGION_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || madvise(page, REGION_PAGE_BYTES, MADV_WIPEONFORK) < 0) {
        if (page != MAP_FAILED) {
            (void)munmap(page, REGION_PAGE_BYTES);
        }
        errno = error;
        return NULL;
    }
    struct client_page *other = NULL;
    if (!__atomic_compare_exchange_n(
            &client_page, &other, page, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        (void)munmap(page, REGION_PAGE_BYTES);
        page = other;
    }
    errno = error;
    return page;
}

/* Of the calling thread; attached, without a system call. */
static uint32_t own_tid(struct client_page *page)
{
    const struct client_attachment *attachment = client_attached(page);
    return attachment != NULL ? client_tid(attachment) : (uint32_t)syscall(SYS_gettid);
}

/* A thread that is cancelled would leave the lock behind: it is not while it has it. */
static bool try_lock(struct client_page *page)
{
    uint32_t free_word = 0;
    int cancel_state;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    if (__atomic_compare_exchange_n(
            &page->lock, &free_word, own_tid(page), false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        page->cancel_state = cancel_state;
        return true;
    }
    (void)pthread_setcancelstate(cancel_state, NULL);
    return false;
}

static void send_bell(struct client_page *page)
{
    if (__atomic_exchange_n(&page->bell_wanted, 0, __ATOMIC_RELAXED) == 0 ||
        !client_fd_valid(&the_socket)) {
        return;
    }
    struct client_attachment *attachment = page->attachment;
    if (send(the_socket.fd, "!", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN &&
        attachment != NULL) {
        __atomic_store_n(&attachment->check_at, 0,
            __ATOMIC_RELAXED); /* the daemon is gone: the next append looks */
    }
}

/* Whoever was refused the lock meanwhile left a note: it is answered by who gives the lock up. */
static void unlock(struct client_page *page)
{
    do {
        send_bell(page);
        int cancel_state = page->cancel_state;
        __atomic_store_n(&page->lock, 0,
            __ATOMIC_SEQ_CST); /* before the look at the note: pairs with client_ring_bell */
        (void)pthread_setcancelstate(cancel_state, NULL);
    } while (__atomic_load_n(&page->bell_wanted, __ATOMIC_SEQ_CST) != 0 && try_lock(page));
}

void client_ring_bell(struct client_page *page)
{
    int error = errno;
    __atomic_store_n(
        &page->bell_wanted, 1, __ATOMIC_SEQ_CST); /* before the try: pairs with unlock */
    if (try_lock(page)) {
        unlock(page);
    }
    errno = error;
}

/* In a child: what the parent kept is not ours. */
static void begin(struct client_page *page)
{
    if (page->begun == 0) {
        client_fd_close(&the_socket);
        client_fd_close(&the_region);
        client_fd_close(&the_fallback);
        page->begun = 1;
    }
}

/* Sends the hello and waits for its answer until the deadline. */
static int converse(int socket_fd, const struct ring_hello *hello, int region_fd,
    struct ring_answer *answer, int *new_region, int64_t deadline_ns)
{
    int result = hello_send(socket_fd, hello, region_fd);
    while (result == 0) {
        result = hello_receive(socket_fd, answer, new_region);
        if (result != -EAGAIN) {
            return result;
        }
        int64_t left_ns = deadline_ns - os_monotonic_ns();
        struct pollfd wait = {.fd = socket_fd, .events = POLLIN};
        if (left_ns <= 0) {
            return -ETIMEDOUT;
        }
        if (poll(&wait, 1, (int)(left_ns / 1000000) + 1) < 0 && errno != EINTR) {
            return -errno;
        }
        result = 0;
    }
    return result;
}

static int answer_result(const struct ring_answer *answer)
{
    switch ((enum ring_status)answer->status) {
    case RING_STATUS_OK:
        return 0;
    case RING_STATUS_MEMORY:
        return -ENOMEM;
    case RING_STATUS_VERSION:
        return -EPROTONOSUPPORT;
    case RING_STATUS_REFUSED:
        return -EACCES;
    }
    return -EPROTO;
}

/*
 * What this process runs since its last exec, by the bytes that the kernel made up for that: the
 * supervisor learns that regions from before have nobody any more.
 */
static uint32_t image(void)
{
    const uint8_t *bytes = NULL;
    unsigned long at = getauxval(AT_RANDOM);
    uint32_t sum = 0x811c9dc5;
    memcpy(&bytes, &at, sizeof(bytes));
    for (unsigned i = 0; bytes != NULL && i < 16; i++) {
        sum = (sum ^ bytes[i]) * 0x01000193;
    }
    return bytes == NULL ? 0 : sum | 1;
}

/* One connection: hello, with the region to hand back or none; the socket stays ours on success. */
static int ask(struct client_fd *socket_out, const struct client_attachment *back,
    struct ring_answer *answer, int *new_region, int64_t deadline_ns)
{
    struct ring_hello hello = {
        .magic = RING_HELLO_MAGIC,
        .version = RING_HELLO_VERSION,
        .kind = (uint16_t)ring_producer_kind(),
        .flags = back != NULL ? RING_HELLO_HAND_BACK : 0,
        .pid = (uint32_t)getpid(),
        .image = image(),
        .memory_bytes = client_settings.ring_bytes,
        .generation = back != NULL ? back->generation : 0,
    };
    const char *program = client_program();
    memcpy(hello.program, program, strnlen(program, sizeof(hello.program) - 1));
    struct client_fd connection;
    int result = client_connect(&connection, RING_SOCKET_NAME, SOCK_SEQPACKET);
    if (result < 0) {
        return result;
    }
    YARDER_OWN_FD int came = -1;
    result = converse(
        connection.fd, &hello, back != NULL ? back->region.fd : -1, answer, &came, deadline_ns);
    result = result < 0 ? result : answer_result(answer);
    if (result < 0) {
        client_fd_close(&connection);
        return result;
    }
    *socket_out = connection;
    *new_region = yarder_fd_take(&came);
    return 0;
}

void client_tell_waits(const struct client_attachment *attachment)
{
    __atomic_store_n(
        &attachment->producer->map.header->waits, client_settings.block_ms > 0, __ATOMIC_RELAXED);
}

/* Appended to from now on. What was lost while nothing was is told by its next record. */
static void begin_appending(struct client_page *page, struct client_attachment *attachment)
{
    ring_lose(attachment->producer, ring_here(attachment->producer),
        __atomic_exchange_n(&page->lost_untold, 0, __ATOMIC_RELAXED));
    client_tell_waits(attachment);
    client_names_copy(attachment);
    __atomic_store_n(
        &page->attachment, attachment, __ATOMIC_RELEASE); /* acquire: client_attached */
    __atomic_thread_fence(
        __ATOMIC_SEQ_CST); /* a name given since: either its giver saw us, or we see it now */
    client_names_copy(attachment);
}

/* Opens the region that came and makes it the process's own. Takes the descriptor. */
static int attach_region(struct client_page *page, int fd)
{
    YARDER_OWN_FD int region_fd = fd;
    struct region_shape shape;
    struct os_file_id id;
    int result = region_fd < 0 ? -EPROTO : region_inspect(region_fd, &shape, &id);
    result = result < 0 ? result : client_fd_move_up(&region_fd);
    struct ring_producer *producer = NULL;
    result = result < 0 ? result : ring_producer_open(&producer, region_fd, &shape);
    if (result < 0) {
        return result;
    }
    struct client_attachment *attachment =
        mmap(NULL, sizeof(*attachment), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (attachment == MAP_FAILED) {
        ring_producer_close(producer);
        return -ENOMEM;
    }
    attachment->producer = producer;
    if (last_serial == 0) { /* of this copy of the library, should a process hold two */
        last_serial = (uintptr_t)&last_serial >> 4 & ((UINT64_C(1) << 39) - 1);
    }
    attachment->serial = ++last_serial;
    attachment->check_every = shape.ticks_per_s == 0 ? 1000000000 : shape.ticks_per_s;
    attachment->generation = shape.generation;
    attachment->region = (struct client_fd){yarder_fd_take(&region_fd), true, id};
    attachment->older = page->newest;
    client_fd_close(&the_region); /* of an attachment that this one replaces */
    the_region = attachment->region;
    page->attachments_count++;
    __atomic_store_n(&page->newest, attachment, __ATOMIC_RELEASE); /* acquire: yarder_flush */
    begin_appending(page, attachment);
    return 0;
}

/* No memory for a region: the datagram socket until there is. */
static void fall_back(struct client_page *page)
{
    if (page->fallback_ready != 0) {
        return;
    }
    if (client_fd_valid(&page->fallback)) {
        if (client_reconnect(&page->fallback, LOG_SOCKET_NAME) < 0) {
            return;
        }
    } else if (client_connect(&page->fallback, LOG_SOCKET_NAME, SOCK_DGRAM) < 0) {
        return;
    }
    the_fallback = page->fallback;
    __atomic_store_n(&page->fallback_ready, 1, __ATOMIC_RELEASE); /* acquire: client_datagram */
}

void client_fallback_lost(struct client_page *page)
{
    if (try_lock(page)) { /* else another sender is at it, or will be */
        __atomic_store_n(&page->fallback_ready, 0, __ATOMIC_RELAXED);
        page->backoff_ns = 0;
        __atomic_store_n(&page->retry_at_ns, 0, __ATOMIC_RELAXED);
        unlock(page);
    }
}

static int attach_fresh(struct client_page *page, int64_t deadline_ns)
{
    if (page->attachments_count >= CLIENT_ATTACHMENTS_MAX) {
        return -EMFILE;
    }
    struct ring_answer answer;
    struct client_fd connection;
    int region_fd = -1;
    int result = ask(&connection, NULL, &answer, &region_fd, deadline_ns);
    if (result < 0) {
        if (result == -ENOMEM) {
            fall_back(page);
        }
        return result;
    }
    result = attach_region(page, region_fd);
    if (result < 0) {
        client_fd_close(&connection);
        return result;
    }
    client_fd_close(&the_socket);
    the_socket = connection;
    return 0;
}

/* Nobody will read it any more: what lies in it is lost. */
static void give_up(struct client_page *page, struct client_attachment *attachment)
{
    __atomic_store_n(&page->attachment, NULL, __ATOMIC_RELEASE);
    page->parked = NULL;
    __atomic_store_n(&attachment->given_up, 1, __ATOMIC_RELEASE); /* acquire: flush_ring */
    __atomic_fetch_add(&page->lost_untold, client_unread(attachment).records, __ATOMIC_RELAXED);
}

/* Offers the region to the daemon that is there now; one that does not want it gives us another. */
static int hand_back(
    struct client_page *page, struct client_attachment *attachment, int64_t deadline_ns)
{
    struct ring_answer answer;
    struct client_fd connection;
    YARDER_OWN_FD int unwanted = -1;
    if (!client_fd_valid(&attachment->region)) {
        return attach_fresh(page, deadline_ns); /* its daemon may live and read on */
    }
    int result = ask(&connection, attachment, &answer, &unwanted, deadline_ns);
    if (result == -EACCES) {
        give_up(page, attachment);
        return attach_fresh(page, deadline_ns);
    }
    if (result == -ENOMEM) {
        page->parked = attachment;
        __atomic_store_n(&page->attachment, NULL, __ATOMIC_RELEASE);
        fall_back(page);
    }
    if (result < 0) {
        return result;
    }
    client_fd_close(&the_socket);
    the_socket = connection;
    __atomic_store_n(&page->bell_wanted, 1, __ATOMIC_RELAXED); /* the lock's holder: us */
    if (page->parked != NULL) {
        page->parked = NULL;
        begin_appending(page, attachment);
    }
    return 0;
}

static void note_result(struct client_page *page, int result)
{
    int64_t backoff_ns = page->backoff_ns * 2;
    backoff_ns = backoff_ns < CLIENT_BACKOFF_NS_MIN ? CLIENT_BACKOFF_NS_MIN : backoff_ns;
    backoff_ns = backoff_ns > CLIENT_BACKOFF_NS_MAX || result == -ENOMEM ? CLIENT_BACKOFF_NS_MAX
                                                                         : backoff_ns;
    page->backoff_ns = result == 0 ? 0 : backoff_ns;
    __atomic_store_n(&page->retry_at_ns, result == 0 ? 0 : os_monotonic_coarse_ns() + backoff_ns,
        __ATOMIC_RELAXED);
}

static bool is_time(const struct client_page *page)
{
    return os_monotonic_coarse_ns() >= __atomic_load_n(&page->retry_at_ns, __ATOMIC_RELAXED);
}

/* Another thread is at it: then its result is ours. But a handler that interrupted it has to go. */
static int await_other(struct client_page *page)
{
    uint32_t self_tid = own_tid(page);
    int cancel_state; /* what calls us may have a lock, too */
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    for (int waited_ms = 0; waited_ms < CLIENT_ATTACH_NS_MAX / 1000000; waited_ms++) {
        uint32_t holder = __atomic_load_n(&page->lock, __ATOMIC_ACQUIRE); /* pairs with unlock */
        if (holder == 0 || holder == self_tid) {
            break;
        }
        (void)poll(NULL, 0, 1);
    }
    (void)pthread_setcancelstate(cancel_state, NULL);
    return client_attached(page) != NULL ? 0 : -EBUSY;
}

int client_attach(struct client_page *page, bool now)
{
    if (client_attached(page) != NULL) {
        return 0;
    }
    if (!now && !is_time(page)) {
        return -EAGAIN;
    }
    int error = errno;
    int result = 0;
    if (!try_lock(page)) {
        result = await_other(page);
        errno = error;
        return result;
    }
    if (client_attached(page) == NULL) {
        begin(page);
        int64_t deadline_ns = os_monotonic_ns() + CLIENT_ATTACH_NS_MAX;
        result = page->parked != NULL ? hand_back(page, page->parked, deadline_ns)
                                      : attach_fresh(page, deadline_ns);
        note_result(page, result);
    }
    unlock(page);
    errno = error;
    return result;
}

static bool connection_lives(void)
{
    char byte;
    if (!client_fd_valid(&the_socket)) {
        return false;
    }
    ssize_t result = recv(the_socket.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return result > 0 || (result < 0 && (errno == EAGAIN || errno == EINTR));
}

bool client_check(struct client_page *page, struct client_attachment *attachment)
{
    int error = errno;
    if (!try_lock(page)) {
        errno = error;
        return true; /* somebody else is at it */
    }
    bool lives = connection_lives();
    if (!lives && attachment == page->attachment && is_time(page)) {
        int result = hand_back(page, attachment, os_monotonic_ns() + CLIENT_ATTACH_NS_MAX);
        note_result(page, result);
        lives = result == 0;
    }
    uint64_t stamp = ring_stamp(attachment->producer);
    __atomic_store_n(&attachment->check_at, stamp + attachment->check_every, __ATOMIC_RELAXED);
    unlock(page);
    errno = error;
    return lives;
}

void yarder_close(void)
{
    struct client_page *page = __atomic_load_n(&client_page, __ATOMIC_ACQUIRE);
    int error = errno;
    if (page == NULL || !try_lock(page)) {
        errno = error;
        return;
    }
    begin(page);
    struct client_unread left = client_unread_left(page);
    page->lost_detached += left.records;
    page->lost_bytes += left.bytes;
    struct client_attachment *attachment = page->newest;
    __atomic_store_n(&page->attachment, NULL, __ATOMIC_RELEASE);
    __atomic_store_n(&page->newest, NULL, __ATOMIC_RELEASE);
    page->parked = NULL;
    while (attachment != NULL) {
        struct client_attachment *older = attachment->older;
        page->appended_closed += client_appended(attachment);
        ring_producer_close(attachment->producer);
        (void)munmap(attachment, sizeof(*attachment));
        attachment = older;
    }
    page->attachments_count = 0;
    __atomic_store_n(&page->fallback_ready, 0, __ATOMIC_RELAXED);
    client_fd_close(&the_fallback);
    client_fd_close(&the_region);
    client_fd_close(&the_socket);
    note_result(page, 0);
    unlock(page);
    errno = error;
}
