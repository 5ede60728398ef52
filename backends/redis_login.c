/* SPDX-License-Identifier: Apache-2.0 */
/* Where a redis server is, and who we are there: of the output and of the input. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis_private.h"

enum { WORD_BYTES_MAX = 64 };

static int read_database(struct redis *self, const char *text, char *why, size_t why_bytes)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t number = digits > 0 && digits < 8 && text[digits] == '\0' ? strtoull(text, NULL, 10)
                                                                       : REDIS_DATABASE_MAX + 1;
    if (number > REDIS_DATABASE_MAX) {
        (void)snprintf(why, why_bytes, "expected HOST:PORT/DB with a number for DB");
        return -EINVAL;
    }
    self->target_database = number;
    return 0;
}

/*
 * "[SCHEME://][PASSWORD@]ADDRESS" becomes PASSWORD, a NUL, SCHEME and ADDRESS, in place: the two
 * pieces at the front change places. Returns where the scheme begins.
 */
static char *take_password(struct redis *self, char *text)
{
    char *colon = strstr(text, "://");
    char *rest = colon == NULL ? text : colon + 3;
    char *at = strstr(rest, "@/");
    if (at == NULL) {
        at = strrchr(rest, '@');
    }
    if (*rest == '/' || *rest == '@' || at == NULL || strncmp(text, "unix:", 5) == 0) {
        return text;
    }
    char scheme[WORD_BYTES_MAX];
    size_t scheme_bytes = (size_t)(rest - text);
    if (scheme_bytes > sizeof(scheme)) {
        return text;
    }
    size_t password_bytes = (size_t)(at - rest);
    memcpy(scheme, text, scheme_bytes);
    memmove(text, rest, password_bytes);
    text[password_bytes] = '\0';
    memcpy(text + password_bytes + 1, scheme, scheme_bytes);
    self->target_password = text;
    return text + password_bytes + 1;
}

int redis_take_target(void *self_, char *text, char *why, size_t why_bytes)
{
    struct redis *self = self_;
    text = take_password(self, text);
    char *colon = strstr(text, "://");
    char *rest = colon == NULL ? text : colon + 3;
    bool is_path = *rest == '/' || *rest == '@' || strncmp(text, "unix:", 5) == 0;
    char *slash = is_path ? NULL : strchr(rest, '/');
    if (slash != NULL) {
        *slash = '\0';
        if (read_database(self, slash + 1, why, why_bytes) < 0) {
            return -EINVAL;
        }
    }
    const struct link_form form = {LINK_TCP, LINK_UNIX_STREAM,
        LINK_BIT(LINK_TCP) | LINK_BIT(LINK_TLS) | LINK_BIT(LINK_UNIX_STREAM), "6379"};
    return link_parse(text, &form, &self->address, why, why_bytes);
}

void redis_show(const void *self_, char *at, size_t room)
{
    const struct redis *self = self_;
    (void)link_show(&self->address, at, room);
    size_t used = strlen(at);
    if (self->database != 0 && self->address.host != NULL) {
        (void)snprintf(at + used, room - used, "/%llu", (unsigned long long)self->database);
    }
}

static bool fits(const char *text)
{
    return text == NULL || strlen(text) <= REDIS_SECRET_BYTES_MAX;
}

int redis_check_login(struct redis *self, char *why, size_t why_bytes)
{
    if (self->target_password != NULL && self->password != NULL &&
        self->target_password != self->password) {
        (void)snprintf(why, why_bytes, "a password in the target and in password=: give one");
        return -EINVAL;
    }
    self->password = self->target_password != NULL ? self->target_password : self->password;
    if (self->target_database != 0 && self->database != 0 &&
        self->target_database != self->database) {
        (void)snprintf(why, why_bytes, "a database in the target and another in db=: give one");
        return -EINVAL;
    }
    self->database = self->target_database != 0 ? self->target_database : self->database;
    if (self->user != NULL && self->password == NULL) {
        (void)snprintf(why, why_bytes, "user= goes with password=");
        return -EINVAL;
    }
    if (!fits(self->user) || !fits(self->password)) {
        (void)snprintf(
            why, why_bytes, "user and password: at most %d bytes each", REDIS_SECRET_BYTES_MAX);
        return -EINVAL;
    }
    return link_check_tls(&self->address, &self->tls, why, why_bytes);
}
