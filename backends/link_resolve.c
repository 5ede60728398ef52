/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names to addresses. The C library's resolver waits as long as it likes, so it does so on a thread
 * of its own. Who asked waits for an eventfd; the lookup belongs to both, and the last one frees
 * it. A lookup that is late stays the link's, so one that hangs has one thread, not one a try.
 */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "link_private.h"

static const uint64_t fresh_ns = 60ull * 1000 * 1000 * 1000;

struct link_lookup {
    atomic_int owners; /* the last one to leave frees: acq_rel, so it sees what the other wrote */
    atomic_bool done;  /* release by the thread, acquire by who asked */
    int event_fd;
    int error; /* of getaddrinfo */
    int error_system;
    struct addrinfo wanted;
    struct addrinfo *found;
    char *host;
    char *port;
};

static void leave(struct link_lookup *lookup)
{
    if (atomic_fetch_sub_explicit(&lookup->owners, 1, memory_order_acq_rel) > 1) {
        return;
    }
    if (lookup->found != NULL) {
        freeaddrinfo(lookup->found);
    }
    if (lookup->event_fd >= 0) {
        (void)close(lookup->event_fd);
    }
    free(lookup->host);
    free(lookup->port);
    free(lookup);
}

void link_abandon_lookup(struct link *link)
{
    if (link->lookup != NULL) {
        leave(link->lookup);
        link->lookup = NULL;
    }
}

static void look_up(struct link_lookup *lookup)
{
    lookup->error = getaddrinfo(lookup->host, lookup->port, &lookup->wanted, &lookup->found);
    lookup->error_system = lookup->error == EAI_SYSTEM ? errno : 0;
    atomic_store_explicit(&lookup->done, true, memory_order_release);
}

static void *run(void *argument)
{
    struct link_lookup *lookup = argument;
    look_up(lookup);
    const uint64_t one = 1;
    (void)!write(lookup->event_fd, &one, sizeof(one));
    leave(lookup);
    return NULL;
}

static int start_thread(struct link_lookup *lookup)
{
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    int r = pthread_attr_init(&attributes);
    if (r != 0) {
        return -r;
    }
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    atomic_fetch_add_explicit(&lookup->owners, 1, memory_order_relaxed);
    r = pthread_create(&thread, &attributes, run, lookup);
    if (r != 0) {
        leave(lookup);
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    return -r;
}

static struct link_lookup *make_lookup(const struct link *link)
{
    struct link_lookup *lookup = calloc(1, sizeof(*lookup));
    if (lookup == NULL) {
        return NULL;
    }
    atomic_init(&lookup->owners, 1);
    lookup->wanted.ai_socktype = link->kind == LINK_UDP ? SOCK_DGRAM : SOCK_STREAM;
    lookup->wanted.ai_flags = AI_NUMERICSERV;
    lookup->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    lookup->host = strdup(link->address->host);
    lookup->port = strdup(link->address->port);
    if (lookup->event_fd < 0 || lookup->host == NULL || lookup->port == NULL) {
        leave(lookup);
        return NULL;
    }
    return lookup;
}

static int tell(struct link *link, const char *why)
{
    return link->host->fail(link->host, -EHOSTUNREACH, "resolve %s: %s", link->address->host, why);
}

/* Begins the lookup, unless one is under way. Numbers need no thread and are done at once. */
static int begin(struct link *link)
{
    if (link->lookup != NULL) {
        return 0;
    }
    link->lookup = make_lookup(link);
    if (link->lookup == NULL) {
        return tell(link, "no memory or descriptor");
    }
    link->lookup->wanted.ai_flags |= AI_NUMERICHOST;
    look_up(link->lookup);
    if (link->lookup->error == 0) {
        return 0;
    }
    atomic_store_explicit(&link->lookup->done, false, memory_order_relaxed);
    link->lookup->wanted.ai_flags &= ~AI_NUMERICHOST;
    int r = start_thread(link->lookup);
    if (r < 0) {
        link_abandon_lookup(link);
        return tell(link, link_error_text(r));
    }
    return 0;
}

/* Takes what a lookup that is done has found. */
static int take(struct link *link)
{
    struct link_lookup *lookup = link->lookup;
    int r = 0;
    if (lookup->error != 0) {
        r = tell(link, lookup->error == EAI_SYSTEM ? link_error_text(lookup->error_system)
                                                   : gai_strerror(lookup->error));
    } else {
        link->places_count = 0;
        for (const struct addrinfo *each = lookup->found;
             each != NULL && link->places_count < LINK_ADDRESSES_MAX; each = each->ai_next) {
            if (each->ai_addrlen <= sizeof(struct sockaddr_storage)) {
                struct link_place *place = &link->places[link->places_count++];
                *place = (struct link_place){.bytes = each->ai_addrlen};
                memcpy(&place->at, each->ai_addr, each->ai_addrlen);
            }
        }
        link->resolved_ns = link_now_ns();
        r = link->places_count > 0 ? 0 : tell(link, "it has no address");
    }
    link_abandon_lookup(link);
    return r;
}

int link_resolve(struct link *link, uint64_t deadline_ns)
{
    int r = begin(link);
    while (r == 0 && !atomic_load_explicit(&link->lookup->done, memory_order_acquire)) {
        r = link_wait(link, link->lookup->event_fd, POLLIN, deadline_ns);
    }
    if (r == -ETIMEDOUT) {
        return link->host->fail(link->host, r, "resolve %s: no answer yet", link->address->host);
    }
    return r == 0 ? take(link) : r;
}

static bool is_same(const struct link_place *a, const struct link_place *b)
{
    return a->bytes == b->bytes && memcmp(&a->at, &b->at, a->bytes) == 0;
}

bool link_has_moved(struct link *link)
{
    if (link->lookup == NULL) {
        if (link_now_ns() - link->resolved_ns < fresh_ns || begin(link) < 0) {
            return false;
        }
    }
    if (!atomic_load_explicit(&link->lookup->done, memory_order_acquire)) {
        return false;
    }
    struct link_place mine = link->places[link->place];
    if (take(link) < 0) {
        link->resolved_ns = link_now_ns(); /* the old address serves until the name is found */
        return false;
    }
    for (uint32_t i = 0; i < link->places_count; i++) {
        if (is_same(&mine, &link->places[i])) {
            link->place = i;
            return false;
        }
    }
    return true;
}
