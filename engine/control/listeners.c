/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One list holds every socket; the current and the next set name some of them. Activated sockets
 * stay in the list when no set names them: a later configuration may ask for them.
 */
#include "control/listeners.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdarg.h>
#include <string.h>

#include "base/text.h"
#include "control/listener.h"
#include "ring/hello.h"

#define CONTROL_SOCKET_NAME "control.sock"
#define STAGED_SUFFIX       ".next" /* a path that another socket of ours has is bound here first */

enum {
    ACTIVATED_FIRST = 3, /* SD_LISTEN_FDS_START */
    ACTIVATED_MAX = 256,
    PLACE_RING = YARDER_INPUTS_MAX, /* behind the inputs */
    PLACE_CONTROL,
    PLACES,
    PROBLEMS_MAX = 4 * PLACES,
    DATAGRAM_QUEUE_LOW = 64,
};

struct problem {
    bool error;
    char text[LISTENER_WHY_BYTES];
};

struct listeners {
    struct listener *all;
    struct listener *current[PLACES];
    struct listener *next[PLACES];
    bool next_there;

    /* What the next set wants; borrows from the configuration, so only until adopt or cancel. */
    struct listener_wanted wanted[PLACES];
    char what[PLACES][YARDER_NAME_BYTES_MAX + 16];
    char ring_path[YARDER_PATH_BYTES_MAX];
    char control_path[YARDER_PATH_BYTES_MAX];

    struct problem problems[PROBLEMS_MAX];
    uint32_t problems_count;
};

static void complain(struct listeners *listeners, bool error, const char *format, ...)
    YARDER_PRINTF(3, 4);
static void complain(struct listeners *listeners, bool error, const char *format, ...)
{
    if (listeners->problems_count < PROBLEMS_MAX) {
        struct problem *problem = &listeners->problems[listeners->problems_count++];
        problem->error = error;
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(problem->text, sizeof(problem->text), format, arguments);
        va_end(arguments);
    }
}

/* "file:line: input NAME" without the file where there is none. */
static const char *place_text(const struct listener_wanted *wanted, char *out, size_t out_bytes)
{
    (void)snprintf(out, out_bytes, "%s%s%s", wanted->where == NULL ? "" : wanted->where,
        wanted->where == NULL ? "" : ": ", wanted->what);
    return out;
}

/* A number from the environment; the variable is removed. 0 when there is none. */
static uint64_t environment_number(const char *name)
{
    uint64_t number = 0;
    const char *text = getenv(name);
    if (text != NULL && text_to_u64(text_of(text), &number) < 0) {
        number = 0;
    }
    (void)unsetenv(name);
    return number;
}

static int take_activated(struct listeners *listeners, int fd)
{
    int type = 0;
    socklen_t size = sizeof(type);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0) {
        return 0; /* not a socket: none of ours */
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        return -errno;
    }
    struct listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL) {
        return -ENOMEM;
    }
    *listener =
        (struct listener){.next = listeners->all, .fd = fd, .activated = true, .type = type};
    listeners->all = listener;
    return 0;
}

int listeners_open(struct listeners **out)
{
    struct listeners *listeners = calloc(1, sizeof(*listeners));
    if (listeners == NULL) {
        return -ENOMEM;
    }
    uint64_t pid = environment_number("LISTEN_PID");
    uint64_t count = environment_number("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    if (pid != (uint64_t)getpid()) {
        count = 0;
    }
    for (int i = 0; i < (int)yarder_min(count, ACTIVATED_MAX); i++) {
        int taken = take_activated(listeners, ACTIVATED_FIRST + i);
        if (taken < 0) {
            listeners_close(listeners);
            return taken;
        }
    }
    *out = listeners;
    return 0;
}

/* Takes a socket out of the list and closes it. */
static void forget(struct listeners *listeners, struct listener *listener)
{
    struct listener **link = &listeners->all;
    while (*link != listener) {
        link = &(*link)->next;
    }
    *link = listener->next;
    listener_free(listener);
}

void listeners_close(struct listeners *listeners)
{
    while (listeners != NULL && listeners->all != NULL) {
        forget(listeners, listeners->all);
    }
    free(listeners);
}

/* An activated socket that has the address: from now on it counts as bound by us. */
static bool activated_fits(struct listener *listener, const struct listener_wanted *wanted)
{
    if (!listener->activated || listener->address != NULL || !listener_fits(listener->fd, wanted)) {
        return false;
    }
    listener->address = strdup(wanted->address);
    listener->kind = wanted->kind;
    if (wanted->kind == INPUT_UDP) {
        int yes = 1;
        (void)setsockopt(listener->fd, SOL_SOCKET, SO_RXQ_OVFL, &yes, sizeof(yes));
        (void)setsockopt(listener->fd, IPPROTO_UDP, UDP_GRO, &yes, sizeof(yes));
        int raised =
            socket_raise_receive(listener->fd, wanted->receive_bytes, &listener->receive_bytes_got);
        listener->receive_bytes = raised < 0 ? 0 : wanted->receive_bytes;
    }
    return listener->address != NULL;
}

static bool same_socket(const struct listener *listener, const struct listener_wanted *wanted)
{
    return listener->address != NULL && listener->kind == wanted->kind &&
           listener->type == wanted->type && strcmp(listener->address, wanted->address) == 0 &&
           listener_in_place(listener);
}

static struct listener *find_same(
    const struct listeners *listeners, const struct listener_wanted *wanted)
{
    for (struct listener *listener = listeners->all; listener != NULL; listener = listener->next) {
        if (!listener->next_one &&
            (same_socket(listener, wanted) || activated_fits(listener, wanted))) {
            return listener;
        }
    }
    return NULL;
}

/* A path that a socket of ours has which the next set does not keep: bound beside it for now. */
static bool path_is_ours(const struct listeners *listeners, const struct listener_wanted *wanted)
{
    for (struct listener *listener = listeners->all; listener != NULL; listener = listener->next) {
        if (listener->current && !listener->next_one && listener->path != NULL &&
            wanted->kind == INPUT_UNIX && strcmp(listener->path, wanted->address) == 0 &&
            listener_in_place(listener)) {
            return true;
        }
    }
    return false;
}

static uint32_t datagram_queue_max(void)
{
    YARDER_OWN_FILE FILE *file = fopen("/proc/sys/net/unix/max_dgram_qlen", "re");
    unsigned value = 0;
    return file != NULL && fscanf(file, "%u", &value) == 1 ? value : UINT32_MAX;
}

static void warn_of_limits(struct listeners *listeners, const struct listener_wanted *wanted,
    const struct listener *listener)
{
    char place[LISTENER_WHY_BYTES / 2];
    if (wanted->kind == INPUT_UNIX && wanted->type == SOCK_DGRAM) {
        uint32_t queue_max = datagram_queue_max();
        if (queue_max < DATAGRAM_QUEUE_LOW) {
            complain(listeners, false,
                "%s: net.unix.max_dgram_qlen is %u: senders wait as soon as %u datagrams are "
                "unread; run `sysctl -w net.unix.max_dgram_qlen=512`, then restart yarder",
                place_text(wanted, place, sizeof(place)), queue_max, queue_max + 1);
        }
    }
    if (wanted->kind == INPUT_UDP && listener->receive_bytes_got < wanted->receive_bytes) {
        complain(listeners, false,
            "%s: the kernel gave a receive buffer of %u bytes, not %u: bursts may be lost; run "
            "`sysctl -w net.core.rmem_max=%u` or give CAP_NET_ADMIN",
            place_text(wanted, place, sizeof(place)), listener->receive_bytes_got,
            wanted->receive_bytes, wanted->receive_bytes);
    }
}

/* Binds (or keeps) what one place of the next set wants: 1 when it could not be had. */
static int prepare_place(struct listeners *listeners, uint32_t place)
{
    const struct listener_wanted *wanted = &listeners->wanted[place];
    struct listener *listener = find_same(listeners, wanted);
    if (listener == NULL) {
        char staged[YARDER_PATH_BYTES_MAX + sizeof(STAGED_SUFFIX)];
        bool stage = path_is_ours(listeners, wanted);
        (void)snprintf(staged, sizeof(staged), "%s" STAGED_SUFFIX, wanted->address);
        char why[LISTENER_WHY_BYTES];
        if (listener_bind(&listener, wanted, stage ? staged : NULL, why) < 0) {
            complain(listeners, true, "%s", why);
            return 1;
        }
        listener->next = listeners->all;
        listeners->all = listener;
        warn_of_limits(listeners, wanted, listener);
    }
    listener->next_one = true;
    listeners->next[place] = listener;
    return 0;
}

/* Mode and owner as the input says, looked up now so that a wrong name is told before anything. */
static int owner_of(struct listeners *listeners, const struct input_config *input,
    const struct listener_wanted *wanted, struct socket_path_owner *out)
{
    char place[LISTENER_WHY_BYTES / 2];
    *out = (struct socket_path_owner){.mode = input->mode, .owner = (uid_t)-1, .group = (gid_t)-1};
    if (input->owner != NULL && identity_user(input->owner, &out->owner) < 0) {
        complain(listeners, true, "%s: owner=%s: no such user",
            place_text(wanted, place, sizeof(place)), input->owner);
        return 1;
    }
    if (input->group != NULL && identity_group(input->group, &out->group) < 0) {
        complain(listeners, true, "%s: group=%s: no such group",
            place_text(wanted, place, sizeof(place)), input->group);
        return 1;
    }
    return 0;
}

static int prepare_input(struct listeners *listeners, const struct input_config *input,
    uint32_t place, enum input_kind kind, int type, const char *address)
{
    struct listener_wanted *wanted = &listeners->wanted[place];
    char *what = listeners->what[place];
    (void)snprintf(what, sizeof(listeners->what[place]), "input %s", input->name);
    *wanted = (struct listener_wanted){
        .what = what,
        .where = input->where,
        .kind = kind,
        .type = type,
        .address = address,
        .receive_bytes = (uint32_t)yarder_min(input->receive_bytes, UINT32_MAX),
    };
    return owner_of(listeners, input, wanted, &wanted->owner) || prepare_place(listeners, place);
}

static int prepare_each_input(
    struct listeners *listeners, const struct input_config *inputs, uint32_t inputs_count)
{
    int failed = 0;
    bool ring = false;
    for (uint32_t i = 0; i < inputs_count; i++) {
        const struct input_config *input = &inputs[i];
        switch (input->kind) {
        case INPUT_UNIX:
            failed += prepare_input(listeners, input, i, INPUT_UNIX,
                input->socket_type == INPUT_SOCKET_STREAM ? SOCK_STREAM : SOCK_DGRAM,
                input->target);
            break;
        case INPUT_UDP:
            failed += prepare_input(listeners, input, i, INPUT_UDP, SOCK_DGRAM, input->target);
            break;
        case INPUT_TCP:
            failed += prepare_input(listeners, input, i, INPUT_TCP, SOCK_STREAM, input->target);
            break;
        case INPUT_RING:
            failed += ring ? 0
                           : prepare_input(listeners, input, PLACE_RING, INPUT_UNIX, SOCK_SEQPACKET,
                                 listeners->ring_path);
            ring = true; /* one socket serves them all */
            break;
        case INPUT_SOURCE:
            failed += input->listens == INPUT_SOURCE
                          ? 0
                          : prepare_input(listeners, input, i, input->listens,
                                input->listens == INPUT_TCP ? SOCK_STREAM : SOCK_DGRAM,
                                input->listen_address);
            break;
        case INPUT_STDIN:
        case INPUT_EXEC:
        case INPUT_KINDS:
            break;
        }
    }
    return failed;
}

/* The group of whoever started it may be everybody's: it has to be named. */
static struct socket_path_owner control_owner(const struct identity *identity)
{
    return identity->change ? (struct socket_path_owner){.mode = 0660, identity->uid, identity->gid}
                            : (struct socket_path_owner){.mode = 0600, (uid_t)-1, (gid_t)-1};
}

int listeners_prepare(struct listeners *listeners, const struct input_config *inputs,
    uint32_t inputs_count, const char *run_dir, const struct identity *identity)
{
    YARDER_ASSERT(!listeners->next_there);
    YARDER_ASSERT(inputs_count <= YARDER_INPUTS_MAX);
    memset(listeners->next, 0, sizeof(listeners->next));
    listeners->next_there = true;
    listeners->problems_count = 0;
    (void)snprintf(
        listeners->ring_path, sizeof(listeners->ring_path), "%s/" RING_SOCKET_NAME, run_dir);
    (void)snprintf(listeners->control_path, sizeof(listeners->control_path),
        "%s/" CONTROL_SOCKET_NAME, run_dir);
    int failed = prepare_each_input(listeners, inputs, inputs_count);
    listeners->wanted[PLACE_CONTROL] = (struct listener_wanted){
        .what = "control socket",
        .kind = INPUT_UNIX,
        .type = SOCK_STREAM,
        .address = listeners->control_path,
        .owner = control_owner(identity),
    };
    return failed + prepare_place(listeners, PLACE_CONTROL);
}

void listeners_cancel(struct listeners *listeners)
{
    for (uint32_t i = 0; listeners->next_there && i < PLACES; i++) {
        struct listener *listener = listeners->next[i];
        if (listener != NULL) {
            listener->next_one = false;
            if (!listener->current && !listener->activated) {
                forget(listeners, listener);
            }
        }
    }
    listeners->next_there = false;
}

static void warn_of_unused(struct listeners *listeners)
{
    unsigned unused = 0;
    for (struct listener *listener = listeners->all; listener != NULL; listener = listener->next) {
        unused += listener->activated && !listener->current;
    }
    if (unused > 0) {
        complain(listeners, false,
            "%u of the sockets that the service manager passed have the address of no input: "
            "nobody reads them",
            unused);
    }
}

/* What was bound beside its path goes there; options of kept ones become the new ones. */
static void settle(struct listeners *listeners, uint32_t place)
{
    struct listener *listener = listeners->next[place];
    const struct listener_wanted *wanted = &listeners->wanted[place];
    if (listener == NULL) {
        return;
    }
    int result = 0;
    if (listener->path != NULL && strcmp(listener->path, wanted->address) != 0) {
        result = listener_move(listener, wanted->address);
    }
    if (result == 0 && listener->current) {
        result = listener_change(listener, wanted);
    }
    if (result < 0) {
        char text[LISTENER_WHY_BYTES / 2];
        complain(listeners, false, "%s: %.200s keeps its old name, mode, owner or buffer: %s",
            place_text(wanted, text, sizeof(text)), wanted->address, strerror(-result));
    }
}

void listeners_adopt(struct listeners *listeners)
{
    YARDER_ASSERT(listeners->next_there);
    for (uint32_t i = 0; i < PLACES; i++) {
        settle(listeners, i);
    }
    for (uint32_t i = 0; i < PLACES; i++) {
        struct listener *listener = listeners->current[i];
        if (listener != NULL && !listener->next_one) {
            listener->current = false;
            if (!listener->activated) {
                forget(listeners, listener);
            }
        }
    }
    memcpy(listeners->current, listeners->next, sizeof(listeners->current));
    listeners->next_there = false;
    for (uint32_t i = 0; i < PLACES; i++) {
        struct listener *listener = listeners->current[i];
        if (listener != NULL) {
            listener->current = true;
            listener->next_one = false;
        }
    }
    warn_of_unused(listeners);
}

const char *listeners_problem(const struct listeners *listeners, uint32_t index, bool *error)
{
    if (index >= listeners->problems_count) {
        return NULL;
    }
    *error = listeners->problems[index].error;
    return listeners->problems[index].text;
}

static int fd_of(const struct listeners *listeners, bool next, uint32_t place)
{
    YARDER_ASSERT(!next || listeners->next_there);
    const struct listener *listener = next ? listeners->next[place] : listeners->current[place];
    return listener == NULL ? -1 : listener->fd;
}

int listeners_input(const struct listeners *listeners, bool next, uint32_t input)
{
    YARDER_ASSERT(input < YARDER_INPUTS_MAX);
    return fd_of(listeners, next, input);
}

int listeners_ring(const struct listeners *listeners, bool next)
{
    return fd_of(listeners, next, PLACE_RING);
}

int listeners_control(const struct listeners *listeners, bool next)
{
    return fd_of(listeners, next, PLACE_CONTROL);
}
