/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mail of one record or of several: RFC 5322 with MIME, always ASCII, lines of at most 998 bytes.
 * Nothing that a record says can become a header or another mail.
 */
#ifndef YARDER_BACKENDS_SMTP_MAIL_H
#define YARDER_BACKENDS_SMTP_MAIL_H

#include "bytes.h"

struct mail_style {
    const char *from;
    struct yarder_texts to;
    const char *subject; /* may name variables: ${level} */
    const char *hostname;
    const char *output;
};

/* "NAME@DOMAIN" or a local NAME, nothing else. */
bool mail_address_is_legal(const char *address);
/* NULL, or what is wrong with it: 0 and good; -EINVAL with what was expected in `why`. */
int mail_check_subject(const char *subject, char *why, size_t why_bytes);
void mail_put(struct bytes *mail, const struct mail_style *style, const struct yarder_item *items,
    uint32_t count, int64_t now_s);

#endif
