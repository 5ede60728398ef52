/* SPDX-License-Identifier: Apache-2.0 */
/* In place of link_tls.c where OpenSSL is not there: link_check_tls refuses what would need it. */
#include <errno.h>
#include <stddef.h>

#include "link_private.h"

const bool link_has_tls = false;

int link_tls_open(struct link *link)
{
    return link->host->fail(link->host, -EPROTONOSUPPORT,
        "%s: this yarder was built without OpenSSL (libssl-dev)", link->shown);
}

void link_tls_close(struct link *link)
{
    (void)link;
}

int link_tls_start(struct link *link, uint64_t deadline_ns)
{
    (void)link;
    (void)deadline_ns;
    return -EPROTONOSUPPORT;
}

void link_tls_stop(struct link *link)
{
    (void)link;
}

ssize_t link_tls_send(struct link *link, const void *at, size_t bytes, short *events)
{
    (void)link;
    (void)at;
    (void)bytes;
    (void)events;
    return -EPROTONOSUPPORT;
}

ssize_t link_tls_receive(struct link *link, void *at, size_t room, bool peek, short *events)
{
    (void)link;
    (void)at;
    (void)room;
    (void)peek;
    (void)events;
    return -EPROTONOSUPPORT;
}

char *link_tls_chunk(struct link *link)
{
    (void)link;
    return NULL;
}
