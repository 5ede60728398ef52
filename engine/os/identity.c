/* SPDX-License-Identifier: Apache-2.0 */
#include "os/identity.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/wait.h>

#include "base/text.h"

enum { LOOKUP_BYTES = 64 << 10 };

/* A plain number stands for itself; (uid_t)-1 means "unchanged" to the kernel and is none. */
static int number_of(const char *text, uint32_t *out)
{
    uint64_t number = 0;
    int result = text_to_u64(text_of(text), &number);
    if (result == 0 && number >= UINT32_MAX) {
        return -ERANGE;
    }
    if (result == 0) {
        *out = (uint32_t)number;
    }
    return result;
}

int identity_user(const char *text, uid_t *out)
{
    int numeric = number_of(text, out);
    if (numeric != -EINVAL) {
        return numeric;
    }
    YARDER_OWN_HEAP char *buffer = malloc(LOOKUP_BYTES);
    if (buffer == NULL) {
        return -ENOMEM;
    }
    struct passwd entry;
    struct passwd *found = NULL;
    int result = getpwnam_r(text, &entry, buffer, LOOKUP_BYTES, &found);
    if (found == NULL) {
        return result == 0 ? -ENOENT : -result;
    }
    *out = found->pw_uid;
    return 0;
}

int identity_group(const char *text, gid_t *out)
{
    int numeric = number_of(text, out);
    if (numeric != -EINVAL) {
        return numeric;
    }
    YARDER_OWN_HEAP char *buffer = malloc(LOOKUP_BYTES);
    if (buffer == NULL) {
        return -ENOMEM;
    }
    struct group entry;
    struct group *found = NULL;
    int result = getgrnam_r(text, &entry, buffer, LOOKUP_BYTES, &found);
    if (found == NULL) {
        return result == 0 ? -ENOENT : -result;
    }
    *out = found->gr_gid;
    return 0;
}

/* The user's own groups; a number without an entry has none but `gid`. */
static int groups_of(struct identity *identity, bool gid_given)
{
    YARDER_OWN_HEAP char *buffer = malloc(LOOKUP_BYTES);
    if (buffer == NULL) {
        return -ENOMEM;
    }
    struct passwd entry;
    struct passwd *found = NULL;
    int result = getpwuid_r(identity->uid, &entry, buffer, LOOKUP_BYTES, &found);
    if (found == NULL) {
        identity->groups[0] = identity->gid;
        identity->groups_count = 1;
        return result != 0 ? -result : gid_given ? 0 : -ENOENT;
    }
    if (!gid_given) {
        identity->gid = found->pw_gid;
    }
    int count = IDENTITY_GROUPS_MAX;
    if (getgrouplist(found->pw_name, identity->gid, identity->groups, &count) < 0) {
        count = IDENTITY_GROUPS_MAX; /* the first so many */
    }
    identity->groups_count = (size_t)count;
    return 0;
}

int identity_find(
    struct identity *out, const char *user, const char *group, char *why, size_t why_bytes)
{
    struct identity found = {
        .change = user != NULL || group != NULL, .uid = geteuid(), .gid = getegid()};
    int result = 0;
    if (user != NULL) {
        result = identity_user(user, &found.uid);
    }
    if (result < 0) {
        (void)snprintf(why, why_bytes, "user %s: %s", user,
            result == -ENOENT ? "no such user" : strerror(-result));
        return result;
    }
    if (group != NULL) {
        result = identity_group(group, &found.gid);
    }
    if (result < 0) {
        (void)snprintf(why, why_bytes, "group %s: %s", group,
            result == -ENOENT ? "no such group" : strerror(-result));
        return result;
    }
    if (found.change) {
        result = groups_of(&found, group != NULL);
    }
    if (result < 0) {
        (void)snprintf(why, why_bytes, "user %s: %s", user == NULL ? "" : user,
            result == -ENOENT ? "has no entry that names its group; give a group as well"
                              : strerror(-result));
        return result;
    }
    *out = found;
    return 0;
}

int identity_assume(const struct identity *identity)
{
    if (!identity->change) {
        return 0;
    }
    /* An unprivileged daemon may name itself as the user it is already. */
    bool same = geteuid() == identity->uid && getegid() == identity->gid;
    if (same && geteuid() != 0) {
        return 0;
    }
    if (setgroups(identity->groups_count, identity->groups) < 0 ||
        setresgid(identity->gid, identity->gid, identity->gid) < 0 ||
        setresuid(identity->uid, identity->uid, identity->uid) < 0) {
        return -errno;
    }
    return 0;
}

int identity_try(const struct identity *identity, char *why, size_t why_bytes)
{
    if (!identity->change) {
        return 0;
    }
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(-identity_assume(identity));
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    int error = pid < 0 ? errno : WIFEXITED(status) ? WEXITSTATUS(status) : ECANCELED;
    if (error != 0) {
        (void)snprintf(why, why_bytes,
            "this process (uid %u) may not become uid %u with gid %u: %s; start it as root, or "
            "leave user and group out",
            (unsigned)geteuid(), (unsigned)identity->uid, (unsigned)identity->gid, strerror(error));
    }
    return -error;
}
