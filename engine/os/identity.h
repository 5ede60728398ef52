/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users and groups by name or number, looked up before a fork and taken on after it.
 */
#ifndef YARDER_OS_IDENTITY_H
#define YARDER_OS_IDENTITY_H

#include <sys/types.h>

#include "base/base.h"

enum { IDENTITY_GROUPS_MAX = 64 };

struct identity {
    bool change; /* false: stay who we are */
    uid_t uid;
    gid_t gid;
    gid_t groups[IDENTITY_GROUPS_MAX];
    size_t groups_count;
};

/* "www-data" or "33": 0; -ENOENT: no such user (group); -errno. */
YARDER_MUST_USE int identity_user(const char *text, uid_t *out);
YARDER_MUST_USE int identity_group(const char *text, gid_t *out);

/*
 * Everything about `user` (NULL: as we are), with `group` in place of its own if given; both NULL
 * change nothing. 0, or -errno with one line in `why`.
 */
YARDER_MUST_USE int identity_find(
    struct identity *out, const char *user, const char *group, char *why, size_t why_bytes);

/*
 * Whether this process may become it, and so its children: tried in one of them. 0, or -errno with
 * one line in `why` that names the cure.
 */
YARDER_MUST_USE int identity_try(const struct identity *identity, char *why, size_t why_bytes);

/*
 * Becomes that user for good; safe between fork and exec. Clears PR_SET_PDEATHSIG, so that comes
 * afterwards. 0 or -errno.
 */
YARDER_MUST_USE int identity_assume(const struct identity *identity);

#endif
