/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record in the shapes that Windows' own events have: the XML of its event log, the line of the
 * Snare agent, and the JSON of Winlogbeat. Each is one line, whatever the text holds.
 */
#ifndef YARDER_BACKENDS_WINEVENT_EVENT_H
#define YARDER_BACKENDS_WINEVENT_EVENT_H

#include "bytes.h"

enum { WINEVENT_TEXT_UNITS_MAX = 31839 }; /* of UTF-16, in one string of an event */

struct winevent_style {
    const char *source;   /* NULL: the record's tag, its logger, or "yarder" */
    const char *channel;  /* "Application" */
    const char *computer; /* NULL: the record's host, or hostname */
    const char *hostname;
    uint64_t event_id; /* 0 to 65535; a field winevent_id of the record comes before it */
    bool extended_levels;
    bool named_data; /* fields as named data, besides the text */
};

void winevent_put_xml(
    struct bytes *bytes, const struct winevent_style *style, const struct yarder_item *item);
/* From "MSWinEventLog" on; the syslog header in front of it is winevent_put_header's. */
void winevent_put_snare(
    struct bytes *bytes, const struct winevent_style *style, const struct yarder_item *item);
void winevent_put_json(
    struct bytes *bytes, const struct winevent_style *style, const struct yarder_item *item);
/* "<PRI>Nov 21 13:00:00 HOST ", or, with a version, RFC 5424's up to the message. */
void winevent_put_header(struct bytes *bytes, const struct winevent_style *style,
    const struct yarder_item *item, bool rfc5424);

#endif
