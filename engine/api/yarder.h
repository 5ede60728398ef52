/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libyarder: hand records to the yarder daemon through shared memory, without a system call for a
 * record. Link with -lyarder; needs libc alone; C and C++.
 *
 *     #include <yarder/yarder.h>
 *     int db = yarder_logger("app.db");
 *     yarder_logf(db, YARDER_LEVEL_WARNING, "slow query: %d ms", elapsed);
 *
 * Nothing has to be opened. The first call in a process (also in a forked child, also in a signal
 * handler) attaches to the daemon, waiting at most 20 ms for it; when there is none, records are
 * counted and dropped, which costs some 20 ns, and it is tried again with a back-off of 10 ms to
 * 5 s. The first record in each ring (one for each cpu that the process runs on at a time) brings
 * the ring's memory in, for about 5 ms at most.
 * Every function may be called by any thread at any time; all but yarder_logf, yarder_configure and
 * yarder_close also by a signal handler. The library never aborts, prints, exits, installs a
 * handler, starts a thread, uses the heap or touches errno. It keeps at most three descriptors, all
 * close-on-exec, never 0, 1 or 2. A record whose append returned YARDER_APPENDED survives the death
 * of this process by any signal.
 *
 * The daemon is looked for in the run directory: yarder_options.run_dir, else $YARDER_RUN_DIR, else
 * /run/yarder for uid 0, else $XDG_RUNTIME_DIR/yarder, else /tmp/yarder-UID. The environment is
 * read when the library is loaded; what is set later does not count.
 *
 * A signal handler must not leave a function of this library that it has interrupted by siglongjmp:
 * such an append is lost, and where threads have no restartable sequences (musl, gVisor) its ring
 * stays unused from then on; once none is left, records are counted and dropped. If the interrupted
 * call was attaching, this process does not attach any more.
 */
#ifndef YARDER_API_YARDER_H
#define YARDER_API_YARDER_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h" /* installed beside this file: levels, streams, struct yarder_field */

#ifdef __cplusplus
extern "C" {
#endif

#define YARDER_API __attribute__((visibility("default")))

/* What became of a record. Negative results are the caller's mistakes: nothing was logged. */
enum yarder_result {
    YARDER_APPENDED = 0, /* it lies in the ring (or went to the daemon's socket) */
    YARDER_FILTERED = 1, /* the daemon does not want this level of this logger */
    YARDER_DROPPED = 2   /* lost and counted, see yarder_counters; the gap shows in the log */
};

enum {
    YARDER_TEXT_BYTES_MAX = 1 << 20,   /* of one record; over 32 KiB it travels in parts */
    YARDER_FIELDS_BYTES_MAX = 6 << 10, /* of one record: keys, values and 6 bytes for each */
    YARDER_FIELD_KEY_BYTES_MAX = 255,
    YARDER_LOGGERS = 4096, /* ids 1 to 4095 have names, 0 is the root */
    YARDER_LOGGER_BYTES_MAX = 63
};

/* Zeroed means the defaults. */
struct yarder_options {
    uint32_t options_bytes; /* sizeof(struct yarder_options) in the caller's build */
    uint32_t block_ms; /* a full ring: wait this long at most for room; 0: drop at once (default) */
    uint64_t ring_bytes; /* of all rings; 0: what the daemon gives; it may give less */
    const char *run_dir; /* copied; at most 95 bytes; NULL: as said above */
    const char *program; /* the daemon's tag; copied, cut to 63 bytes; NULL: argv[0]'s name */
};

/*
 * Sets the options for attachments from now on; those that exist keep their region. 0; -EINVAL: an
 * options_bytes that is no known size, a path too long. Not for signal
 * handlers, and not while other threads log.
 */
YARDER_API int yarder_configure(const struct yarder_options *options);

/*
 * Attaches now instead of at the first record, ignoring the back-off. 0: attached
 * (or was already); -ENOENT, -ECONNREFUSED: no daemon; -EACCES; -ETIMEDOUT; -ENOMEM: the daemon has
 * no memory for a region, records go to its socket meanwhile; -EBUSY: another thread is at it.
 */
YARDER_API int yarder_attach(void);

/*
 * The id of a logger by its dotted name: always the same for a name in a process and its forked
 * children. 1 to 4095; 0 (the root) for an empty name, one over 63 bytes, or when all are taken. A
 * search through a table; keep the id.
 */
YARDER_API int yarder_logger(const char *name);

/* Whether the daemon wants this level of this logger: one load of shared memory. 1 or 0. */
YARDER_API int yarder_level_enabled(int logger, int level);

/*
 * One record, with everything it can carry. Zeroed members are the defaults. Texts may hold any
 * byte. Result: enum yarder_result, or -EINVAL (a logger, level, kind or stream out of range, a
 * NULL text with a length, a bad field, over 64 fields), -EMSGSIZE (over the limits above).
 */
struct yarder_message {
    const char *text;
    size_t text_bytes;
    const struct yarder_field *fields; /* values as their type says: raw numbers in host order */
    uint32_t fields_count;             /* at most YARDER_FIELDS_MAX (64) */
    int logger;                        /* of yarder_logger; 0: the root */
    uint8_t level;                     /* enum yarder_level, or any number to 255 */
    uint8_t kind;                      /* enum yarder_record_kind */
    uint8_t stream; /* enum yarder_stream: says it was a line of stdout or stderr */
};
YARDER_API int yarder_put(const struct yarder_message *message); /* 7 KiB of stack with fields */

/* The common cases of yarder_put, with its results. `text` is terminated. */
YARDER_API int yarder_log(int level, const char *text);
YARDER_API int yarder_log_bytes(int logger, int level, const void *text, size_t text_bytes);
YARDER_API int yarder_log_fields(int logger, int level, const char *text,
    const struct yarder_field *fields, size_t fields_count);
YARDER_API int yarder_request(const void *text, size_t text_bytes); /* kind request, info */
/* A line that a program wrote to stdout or stderr, without its newline. */
YARDER_API int yarder_stream_line(int stream, int level, const void *text, size_t text_bytes);

/*
 * A printf format and its arguments. Where the compiler knows the format (a literal) this is a
 * macro: the arguments travel as they are, the daemon formats, as its libc does in the C locale; a
 * call with numbers costs what yarder_log_bytes costs. Formatted in the caller: what is no literal,
 * the first record of a process, over 1.9 KB of arguments, a format over 1000 bytes or with over 16
 * conversions, %n, *, 1$, ', wide characters, long double (man libyarder has the whole list); all
 * before C99 and C++11, and where YARDER_NO_DEFER is defined before this file is included. Where a
 * macro cannot stand (::yarder_logf, a C++ pack, outside a function, a C function that is inline
 * and not static, constexpr) write (yarder_logf)(...). 3 KiB of stack, formatted here 7 (a longer
 * text: pages). Also -EINVAL: the format fails; -ENOMEM. Nothing is formatted if the level is not
 * wanted.
 */
YARDER_API int yarder_logf(int logger, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
YARDER_API int yarder_vlogf(int logger, int level, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

/* A call's own memory, zeroed at first; the library's from then on. NULL: no literal. */
struct yarder_site {
    uint64_t word, types;
    const char
        *format; /* the only one this site defers: two plugins may share it (unique symbols) */
    uint16_t precisions[16];
};
YARDER_API int yarder_logf_site(struct yarder_site *site, int logger, int level, const char *format,
    ...) __attribute__((format(printf, 4, 5)));

#if defined(__GNUC__) && !defined(YARDER_NO_DEFER) &&                                              \
    (defined(__cplusplus) ? __cplusplus >= 201103L                                                 \
                          : defined(__STDC_VERSION__) && __STDC_VERSION__ >= 199901L)
#define YARDER_FIRST(...)           YARDER_FIRST_OF(__VA_ARGS__, 0)
#define YARDER_FIRST_OF(first, ...) first
/* Decided before any inlining; sizeof refuses what is no format: a comma had split an argument. */
#define YARDER_IS_LITERAL(format) (sizeof(*(format)) == 1 && __builtin_constant_p(format))
#ifdef __cplusplus
#define YARDER_LITERAL(format) constexpr bool yarder_literal_ = YARDER_IS_LITERAL(format)
#else
#define YARDER_LITERAL(format) enum { yarder_literal_ = YARDER_IS_LITERAL(format) }
#endif
#define yarder_logf(logger, level, ...)                                                            \
    (__extension__({                                                                               \
        static struct yarder_site yarder_site_;                                                    \
        YARDER_LITERAL(YARDER_FIRST(__VA_ARGS__));                                                 \
        yarder_logf_site(yarder_literal_ ? &yarder_site_ : NULL, logger, level, __VA_ARGS__);      \
    }))
#endif

/*
 * Waits until the daemon holds every record that this process appended before the call (it then
 * survives this process and the daemon's worker; it need not be in a file yet). Attaches when
 * needed, hands the region to a new daemon when the old one is gone. 0; -ETIMEDOUT after
 * deadline_ms; -ENOTCONN: there is no daemon to wait for, or the new one did not want the region:
 * what lay in it is lost, and counted (later calls do not wait for it). Worth a call before exit.
 */
YARDER_API int yarder_flush(uint32_t deadline_ms);

/* Since the process began (a forked child begins anew). Exact when no other thread is logging. */
struct yarder_counts {
    uint32_t counters_bytes; /* in: sizeof(struct yarder_counts) in the caller's build */
    uint32_t attached;       /* 1: a region, 2: the daemon's socket, 0: nothing */
    uint64_t appended;       /* records and parts in rings */
    uint64_t sent;           /* records handed to the socket instead */
    uint64_t lost;           /* sum of the following */
    uint64_t lost_bytes;     /* their texts */
    uint64_t lost_full;      /* no room in the ring (after waiting, if so configured) */
    uint64_t lost_detached;  /* no daemon; or left in a region that none took back */
    uint64_t lost_socket;    /* the socket did not take it */
    uint64_t lost_other;     /* no ring for this cpu, or stepped through by a debugger */
};
/* 0; -EINVAL: counters_bytes is no known size. */
YARDER_API int yarder_counters(struct yarder_counts *out);

/*
 * Gives everything back: descriptors and mappings. No other thread may be inside a yarder function.
 * What was appended stays with the daemon. A later call attaches anew.
 */
YARDER_API void yarder_close(void);

#ifdef __cplusplus
}
#endif
#endif
