/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of libyarder. All that says "attached" lies in a page that a forked child reads as
 * zeros, so a child begins anew by itself, whichever way it was made:
 *
 *   client_page (MADV_WIPEONFORK)  -> client_attachment -> ring_producer -> region (MADV_DONTFORK)
 *        lock, back-off, counters       descriptors            |
 *                                                              +-- appended to without the lock
 *
 * The lock is only ever tried: who does not get it leaves a note (bell_wanted) or drops, so a
 * signal handler inside the holder cannot hang. An attachment is never freed before yarder_close,
 * since other threads may be appending to it; all of them are in the chain that begins at `newest`.
 *
 *   appended to --daemon gone, the next one takes it back--> appended to
 *      |  \--the next one has no memory for it--> parked: offered again, meanwhile the log socket
 *      \--the next one does not want it--> given up: what nobody took of it is lost, and counted
 */
#ifndef YARDER_CLIENT_CLIENT_H
#define YARDER_CLIENT_CLIENT_H

#include "api/yarder.h"
#include "os/memory.h"
#include "ring/append.h"

enum {
    CLIENT_ATTACH_NS_MAX = 20000000,
    CLIENT_BACKOFF_NS_MIN = 10000000,
    CLIENT_ATTACHMENTS_MAX = 16, /* of one process, replaced ones included */
    CLIENT_RUN_DIR_BYTES = 96,   /* with the NUL; the socket's path must fit in sockaddr_un */
    CLIENT_FD_MIN = 100,         /* of our descriptors: the application's low ones stay as known */
};
#define CLIENT_BACKOFF_NS_MAX INT64_C(5000000000)

/* A descriptor that we keep, and what it was: the application may have closed it and reused the
 * number. */
struct client_fd {
    int fd;
    bool open;
    struct os_file_id id;
};

struct client_attachment {
    struct ring_producer *producer;
    uint64_t serial;      /* of all attachments of this process and its ancestors */
    uint64_t check_at;    /* stamp from which on the socket is looked at again */
    uint64_t check_every; /* a second, in the stamps' clock */
    uint64_t generation;
    uint32_t given_up; /* refused by the daemon that came after its own */
    struct client_fd region;
    struct client_attachment *older;
};

struct client_page {
    struct client_attachment *attachment; /* what is appended to; NULL: nothing */
    struct client_attachment *parked;
    struct client_attachment *newest;
    uint32_t lock;    /* tid of the holder */
    int cancel_state; /* of the holder, before */
    uint32_t names_lock;
    uint32_t bell_wanted;
    uint32_t begun; /* descriptors of a parent were closed */
    uint32_t attachments_count;
    int64_t retry_at_ns;
    int64_t backoff_ns;
    struct client_fd fallback; /* the datagram socket, while the daemon has no memory for us */
    uint32_t fallback_ready;

    _Alignas(YARDER_CACHE_LINE) uint64_t sent;
    uint64_t lost_bytes;
    uint64_t lost_full;
    uint64_t lost_detached;
    uint64_t lost_socket;
    uint64_t lost_other;
    uint64_t appended_closed; /* records in regions that yarder_close gave back */
    uint64_t lost_untold;     /* lost while detached: goes into the next region's count */
};

/* Set by yarder_configure; inherited by children. */
struct client_settings {
    uint32_t block_ms;
    uint64_t ring_bytes;
    char run_dir[CLIENT_RUN_DIR_BYTES];
    char program[64];
};
extern struct client_settings client_settings;

extern struct client_page *client_page;
struct client_page *client_page_make(void);
/* The page, made on first use; NULL when it cannot be had. */
static inline struct client_page *client_page_get(void)
{
    /* acquire: pairs with the exchange in client_page_make() */
    struct client_page *page = __atomic_load_n(&client_page, __ATOMIC_ACQUIRE);
    return YARDER_LIKELY(page != NULL) ? page : client_page_make();
}
static inline struct client_attachment *client_attached(struct client_page *page)
{
    /* acquire: pairs with the release in attach_region() */
    return __atomic_load_n(&page->attachment, __ATOMIC_ACQUIRE);
}

struct client_thread {
    uint64_t serial; /* of the attachment that the id was asked for */
    uint32_t tid;
};
extern __thread struct client_thread client_thread __attribute__((tls_model("initial-exec")));
uint32_t client_tid_ask(const struct client_attachment *attachment);
/* Our thread's id, cached for this attachment's lifetime. */
static inline uint32_t client_tid(const struct client_attachment *attachment)
{
    return YARDER_LIKELY(client_thread.serial == attachment->serial) ? client_thread.tid
                                                                     : client_tid_ask(attachment);
}

static inline bool client_level_is_valid(int level)
{
    return level >= 0 && level <= YARDER_LEVEL_MAX;
}
/* Whether the daemon wants this level of this logger, which are valid. */
static inline bool client_wants(
    const struct client_attachment *attachment, int logger, unsigned level)
{
    const uint8_t *levels = attachment->producer->map.levels;
    return level >= __atomic_load_n(&levels[logger], __ATOMIC_RELAXED);
}

/* Attaches if the back-off allows it, or at once with `now`. 0 or as yarder_attach says. */
int client_attach(struct client_page *page, bool now);
/* Says in the region whether appends wait for room: the daemon then need not hurry. */
void client_tell_waits(const struct client_attachment *attachment);
/* The attachment, made if there is none and it is time to try. */
static inline struct client_attachment *client_attachment_get(struct client_page *page)
{
    struct client_attachment *attachment = client_attached(page);
    if (YARDER_UNLIKELY(attachment == NULL)) {
        (void)client_attach(page, false);
        attachment = client_attached(page);
    }
    return attachment;
}

/* The daemon sleeps: ring its doorbell. */
void client_ring_bell(struct client_page *page);
/* Looks whether the daemon is still there; if not, tries to hand the region back. True: it is
 * there. */
bool client_check(struct client_page *page, struct client_attachment *attachment);

/* The fallback has no daemon behind it any more: connected anew at the next try, which is soon. */
void client_fallback_lost(struct client_page *page);

/* A line that is appended piece by piece, as parts of one record. Zeroed: none is under way. */
struct client_line {
    uint64_t region; /* serial of the attachment that has its beginning */
    uint32_t tid;    /* of who began it: all its parts have it */
    uint16_t serial;
    uint16_t parts; /* so far; 0: none is under way */
};
/* Few fields have 240 bytes together; more of them YARDER_FIELDS_BYTES_MAX, and take that stack. */
enum { CLIENT_PIECE_BYTES_MAX = 32000, CLIENT_FEW_FIELDS = 4, CLIENT_FEW_FIELDS_BYTES_MAX = 240 };

/*
 * For the room below: a whole record, a piece of a line (`more`: another will follow), or its last
 * one. What is not appended is not counted as lost: the caller has another road. At most
 * CLIENT_PIECE_BYTES_MAX. 0: in the ring, or a level that is not wanted; -ENOBUFS: no room (after
 * block_ms); -ENOTCONN: no daemon reads; -EMSGSIZE: text and fields are over a limit.
 */
YARDER_MUST_USE int client_piece_put(
    struct client_line *line, const struct yarder_message *message, bool more);

/* One record as a datagram of its text; true: the socket took it. */
bool client_datagram(struct client_page *page, const struct yarder_message *message);

/* The run directory's path and "/name" appended: 0, or -ENAMETOOLONG. *guessable: under /tmp. */
YARDER_MUST_USE int client_path(char *path, size_t room, const char *name, bool *guessable);
/* What the daemon shall call us. */
const char *client_program(void);

/* Records ever published in its rings. */
uint64_t client_appended(const struct client_attachment *attachment);
/* Of these, what no daemon has taken: records, and the bytes of their texts. */
struct client_unread {
    uint64_t records, bytes;
};
struct client_unread client_unread(const struct client_attachment *attachment);
/* The same, of all regions that are neither appended to nor to be handed back. */
struct client_unread client_unread_left(const struct client_page *page);

/* Every name that the region does not have yet. */
void client_names_copy(struct client_attachment *attachment);

/* Not 0 to 2, which are the application's even while closed; if possible from CLIENT_FD_MIN on. */
YARDER_MUST_USE int client_fd_move_up(int *fd);
/* A connected socket, close-on-exec, moved up: 0 or -errno. */
YARDER_MUST_USE int client_connect(struct client_fd *out, const char *name, int type);
/* A datagram socket anew, under the same number: other threads may be about to send by it. */
YARDER_MUST_USE int client_reconnect(const struct client_fd *kept, const char *name);
void client_fd_close(struct client_fd *kept); /* only if it is still the same file */
bool client_fd_valid(const struct client_fd *kept);

#endif
