/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public functions that take a printf format. Of a call with a literal the macro in yarder.h
 * gives us its site, and the daemon formats; all others, and what site.c does not take, are
 * formatted here.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include "client/put.h"
#include "client/site.h"

#undef yarder_logf /* the function */

/* The text did not fit on the stack: formatted again into pages of its own. */
static YARDER_PRINTF(3, 0) int vlogf_long(
    int logger, int level, const char *format, va_list arguments, size_t text_bytes)
{
    if (text_bytes > YARDER_TEXT_BYTES_MAX) {
        return -EMSGSIZE;
    }
    char *text =
        mmap(NULL, text_bytes + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (text == MAP_FAILED) {
        return -ENOMEM;
    }
    int formatted = vsnprintf(text, text_bytes + 1, format, arguments);
    int result = formatted < 0 ? -EINVAL
                               : yarder_log_bytes(logger, level, text,
                                     yarder_min((size_t)formatted, text_bytes));
    (void)munmap(text, text_bytes + 1);
    return result;
}

int yarder_vlogf(int logger, int level, const char *format, va_list arguments)
{
    if (format == NULL || !client_level_is_valid(level) || logger < 0 ||
        logger >= REGION_LOGGERS_MAX) {
        return -EINVAL;
    }
    if (yarder_level_enabled(logger, level) == 0) {
        return YARDER_FILTERED;
    }
    char text[4096];
    int error = errno; /* also what %m shows */
    va_list again;
    va_copy(again, arguments);
    int formatted = vsnprintf(text, sizeof(text), format, arguments);
    errno = error;
    int result = -EINVAL;
    if (formatted >= 0 && (size_t)formatted < sizeof(text)) {
        result = yarder_log_bytes(logger, level, text, (size_t)formatted);
    } else if (formatted >= 0) {
        result = vlogf_long(logger, level, format, again, (size_t)formatted);
    }
    va_end(again);
    errno = error;
    return result;
}

int yarder_logf(int logger, int level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int result = yarder_vlogf(logger, level, format, arguments);
    va_end(arguments);
    return result;
}

/*
 * A record with its arguments as they are; SITE_FORMAT_HERE: nothing was done. Inline, so that the
 * compiler has the list of arguments in registers.
 */
static inline __attribute__((always_inline)) int defer(
    struct yarder_site *site, int logger, int level, const char *format, va_list arguments)
{
    struct client_page *page = client_page_get();
    struct client_attachment *attachment = page == NULL ? NULL : client_attached(page);
    if (YARDER_UNLIKELY(attachment == NULL || format == NULL || !client_level_is_valid(level) ||
                        logger < 0 || logger >= REGION_LOGGERS_MAX)) {
        return SITE_FORMAT_HERE;
    }
    if (!client_wants(attachment, logger, (unsigned)level)) {
        return YARDER_FILTERED;
    }
    uint32_t place = site_place(site, attachment, format);
    if (YARDER_UNLIKELY(place == 0)) {
        return SITE_FORMAT_HERE;
    }
    uint8_t payload[SITE_PAYLOAD_BYTES_MAX];
    size_t bytes = site_encode(payload, site, place, arguments);
    if (YARDER_UNLIKELY(bytes == 0)) {
        return SITE_FORMAT_HERE;
    }
    return client_put_short(
        page, attachment, payload, bytes, logger, (uint8_t)level, RING_DEFERRED);
}

int yarder_logf_site(struct yarder_site *site, int logger, int level, const char *format, ...)
{
    va_list arguments;
    int result = SITE_FORMAT_HERE;
    if (YARDER_LIKELY(site != NULL)) {
        va_start(arguments, format);
        result = defer(site, logger, level, format, arguments);
        va_end(arguments);
    }
    if (YARDER_UNLIKELY(result == SITE_FORMAT_HERE)) {
        va_start(arguments, format);
        result = yarder_vlogf(logger, level, format, arguments);
        va_end(arguments);
    }
    return result;
}
