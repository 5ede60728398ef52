/* SPDX-License-Identifier: Apache-2.0 */
/*
 * syslog(3): a record whose logger is the ident, whose level is that of the priority, with the
 * fields facility and (LOG_PID) pid. libc's own hears all but the messages, and gets those, too,
 * when the ring takes none.
 */
#include <errno.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "base/text.h"
#include "preload/preload.h"

enum { TEXT_BYTES = 4096 };

/* As the last openlog said; a race between two of them mixes what they said. */
static const char *ident;
static int options;
static int facility = LOG_USER;
static int mask = 0xff;

PRELOAD_CALL void openlog(const char *new_ident, int new_options, int new_facility)
{
    if (new_ident != NULL) {
        __atomic_store_n(&ident, new_ident, __ATOMIC_RELEASE);
    }
    options = new_options;
    if (new_facility != 0 && (new_facility & ~LOG_FACMASK) == 0) {
        facility = new_facility;
    }
    real()->openlog(new_ident, new_options, new_facility);
}

PRELOAD_CALL void closelog(void)
{
    __atomic_store_n(&ident, NULL, __ATOMIC_RELEASE);
    real()->closelog();
}

PRELOAD_CALL int setlogmask(int new_mask)
{
    mask = new_mask != 0 ? new_mask : mask;
    return real()->setlogmask(new_mask);
}

/* LOG_PERROR: the same on standard error, as libc writes it. */
static void show(const char *name, const char *text, size_t text_bytes)
{
    char head[96];
    int bytes = (options & LOG_PID) != 0
                    ? snprintf(head, sizeof(head), "%.64s[%d]: ", name, (int)getpid())
                    : snprintf(head, sizeof(head), "%.64s: ", name);
    struct iovec parts[3] = {{head, (size_t)bytes}, {NULL, text_bytes}, {NULL, 1}};
    static const char newline[] = "\n";
    const char *end = newline;
    memcpy(&parts[1].iov_base, &text, sizeof(text)); /* only read from */
    memcpy(&parts[2].iov_base, &end, sizeof(end));
    bool ended = text_bytes > 0 && text[text_bytes - 1] == '\n';
    (void)!writev(STDERR_FILENO, parts, ended ? 2 : 3);
}

static bool put(int priority, const char *text, size_t text_bytes)
{
    const char *name = __atomic_load_n(&ident, __ATOMIC_ACQUIRE);
    name = name == NULL ? program_invocation_short_name : name;
    int of = (priority & LOG_FACMASK) != 0 ? priority & LOG_FACMASK : facility;
    uint64_t pid = (uint64_t)getpid();
    const struct yarder_field fields[] = {{.key = text_of("facility"),
                                              .value = text_of(facility_name((uint8_t)LOG_FAC(of))),
                                              .type = YARDER_FIELD_TEXT},
        {.key = text_of("pid"),
            .value = {(const char *)&pid, sizeof(pid)},
            .type = YARDER_FIELD_UINT}};
    bool ended = text_bytes > 0 && text[text_bytes - 1] == '\n';
    const struct yarder_message message = {.text = text,
        .text_bytes = text_bytes - ended,
        .fields = fields,
        .fields_count = (options & LOG_PID) != 0 ? 2 : 1,
        .logger = yarder_logger(name),
        .level = level_from_severity((uint8_t)LOG_PRI(priority))};
    struct client_line none = {0};
    if (client_piece_put(&none, &message, false) != 0) {
        return false;
    }
    if ((options & LOG_PERROR) != 0) {
        show(name, text, text_bytes);
    }
    return true;
}

/* What is longer than the place for it, and whatever else is out of the ordinary, is libc's. */
PRELOAD_CALL void vsyslog(int priority, const char *format, va_list arguments)
{
    char text[TEXT_BYTES];
    va_list again;
    int error = errno; /* what %m shows */
    bool is_ours = preload_ready && !vfork_child() &&
                   (priority & ~(LOG_PRIMASK | LOG_FACMASK)) == 0 &&
                   (LOG_MASK(LOG_PRI(priority)) & mask) != 0;
    va_copy(again, arguments);
    int bytes = is_ours ? vsnprintf(text, sizeof(text), format, again) : -1;
    va_end(again);
    if (bytes < 0 || (size_t)bytes >= sizeof(text) || !put(priority, text, (size_t)bytes)) {
        errno = error;
        real()->vsyslog(priority, format, arguments);
    }
    errno = error;
}

PRELOAD_CALL void syslog(int priority, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsyslog(priority, format, arguments);
    va_end(arguments);
}

/* What -D_FORTIFY_SOURCE makes of them. */
PRELOAD_CALL void __syslog_chk(int priority, int flag, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
PRELOAD_CALL void __vsyslog_chk(int priority, int flag, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

void __syslog_chk(int priority, int flag, const char *format, ...)
{
    (void)flag;
    va_list arguments;
    va_start(arguments, format);
    vsyslog(priority, format, arguments);
    va_end(arguments);
}

void __vsyslog_chk(int priority, int flag, const char *format, va_list arguments)
{
    (void)flag;
    vsyslog(priority, format, arguments);
}
