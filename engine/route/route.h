/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which outputs take a record. Built once from a specification, immutable afterwards, asked for a
 * batch at a time. In this order:
 *
 *   1. drop / keep   matches a drop: goes nowhere. Keeps exist and none matches: goes nowhere.
 *   2. routes        each `route`, `log-route`, `log-req-route` that sees the record and matches is
 *                    a hit for the output it names. No break. An unknown name: as if no such line.
 *   3. outputs       by the table
 *
 *   output                            takes a record when
 *   ------                            -------------------
 *   logger, req-logger without name   it travels this path, and no route hit any logger on the way
 *   logger, req-logger with a name    a route hits it: one copy for each hit, even two alike
 *     ... a second one of that name   never: routes reach the first
 *   fallback (standard output)        its path has no unnamed logger and no route hit a logger; and
 *                                     the configuration has a logger, log-route or their req- twins
 *   native, no selectors              always, unless an alarm names it
 *   native, selectors                 they pass
 *   native, named by a `route`        one of its routes hits, and its selectors pass; one copy
 *   native, `rest`                    as above, and nobody else took it
 *
 *   Took it: a hit of any route, on whatever it names and even if the selectors there then refuse;
 *   or a native output without route whose selectors passed. Outputs that take everything, unnamed
 *   loggers, the fallback and other `rest` outputs took nothing in this sense.
 *
 *   Which lines see a record of kind request: without a req-logger or log-req-route, all but
 *   log-req-route (it travels the log path). With one, requests have their own path, as in uWSGI:
 *   log-route does not see them, log-req-route does, and the req-loggers are the loggers on it. A
 *   log-req-route finds its name among the req-loggers, then the loggers (uWSGI: loggers only,
 *   which leaves a named req-logger dead). A native `route` sees every record on either path and
 *   finds its name among native outputs, then loggers, then req-loggers; on a logger it counts as
 *   that logger's own line. A hit on a native output takes nothing from the loggers. Drop and keep
 *   see all records, save requests on their own path when the spec says that they are uWSGI's.
 *
 * uWSGI matches a message with its newline, we match a text without. `$` agrees: PCRE2's matches at
 * the very end and before a final newline. What can tell the two apart is a pattern whose last
 * piece takes the newline itself (`\s$`, `[^x]$`, `\n`) or looks at it (`(?!\s)`, `\z`, `\B$`).
 *
 * A pattern is compiled once with PCRE2's JIT and bounded by a match limit and by time. What stays
 * undecided is no match for a route, a selector and a drop; a keep that is undecided keeps; it is
 * counted, and flagged.
 */
#ifndef YARDER_ROUTE_ROUTE_H
#define YARDER_ROUTE_ROUTE_H

#include "api/option.h"
#include "api/record.h"
#include "base/base.h"
#include "base/limits.h"

/* What an output takes; zeroed means everything. Texts are borrowed until router_open returned. */
struct route_selectors {
    struct yarder_levels levels;   /* both 0: any */
    struct yarder_texts match;     /* regexes on the text; any of them */
    struct yarder_texts not_match; /* regexes; none of them */
    struct yarder_texts logger;    /* name or prefix "a.b" (also its children), any of them */
    struct yarder_texts tag;       /* exact, any of them; a trailing * is a prefix */
    struct yarder_texts host;      /* likewise */
    struct yarder_texts input;     /* names of inputs */
    struct yarder_texts field;     /* NAME=REGEX, anchored at both ends, or a range of
                                      numbers (route/range.h); each must hold */
    uint32_t facilities;           /* bit per facility; 0: any */
    uint8_t kinds;                 /* bit per enum yarder_record_kind; 0: any */
    uint8_t streams;               /* bit per enum yarder_stream; 0: any */
    bool rest;                     /* only what no selector or route of another output took */
};

/* How an output came into the configuration, which decides how records reach it. */
enum route_reach {
    ROUTE_NATIVE,        /* `output =`: by its selectors, or only by `route =` lines that name it */
    ROUTE_UWSGI_LOGGER,  /* `logger =`: by log-route if named, else what matched no route */
    ROUTE_UWSGI_REQUEST, /* `req-logger =`: the same for records of kind request */
    ROUTE_UWSGI_FALLBACK, /* the standard output of uWSGI's last resort; at most one */
};

struct route_output {
    const char *name; /* the configured name */
    bool named;       /* uWSGI's sense: the line gave a name */
    enum route_reach reach;
    bool alarmed; /* alarms send records here past the router; so it takes everything no more */
    struct route_selectors selectors; /* NATIVE only */
};

enum route_list { ROUTE_BOTH, ROUTE_REQUESTS }; /* `route`, `log-route` / `log-req-route` */

struct route_line {
    enum route_list list;
    bool native;    /* `route =` reaches outputs and loggers; log-route loggers only */
    const char *to; /* name of an output or logger; an unknown one is as if not there (uWSGI) */
    const char *pattern;
    const char *where; /* "file:line", for errors and explain */
};

struct route_spec {
    const struct route_output *outputs; /* index = the bit in the mask of a record */
    uint32_t outputs_count;             /* at most YARDER_OUTPUTS_MAX */
    const struct route_line *routes;
    uint32_t routes_count;
    struct yarder_texts drop;       /* `drop =` and `log-drain =`, in order */
    struct yarder_texts keep;       /* `keep =` and `log-filter =` */
    bool uwsgi_filters_logs_only;   /* the keep and drop lines are uWSGI's: requests on their own
                                       pipe (a req-logger or log-req-route exists) are not asked */
    const char *const *input_names; /* index = yarder_record.input */
    uint32_t inputs_count;
};

struct router;

/*
 * Compiles a specification. -EINVAL: a pattern is wrong; `why` says which, where and what PCRE2
 * says. -ENOMEM. Allocates; nothing afterwards does.
 */
YARDER_MUST_USE int router_open(
    struct router **out, const struct route_spec *spec, char *why, size_t why_bytes);
void router_close(struct router *router);

enum route_fate { ROUTE_ROUTED, ROUTE_DROPPED, ROUTE_NOT_KEPT, ROUTE_UNMATCHED };

/*
 * For one record: which outputs, and how often. uWSGI delivers a line as often as routes to the
 * same logger match, hence `repeated`.
 */
struct route_verdict {
    uint64_t outputs;  /* bit per output that gets at least one copy */
    uint64_t repeated; /* subset of outputs that gets more than one; see router_copies */
    enum route_fate fate;
    bool undecided; /* a pattern hit its limit on this record */
};

/*
 * Decides a batch of up to YARDER_BATCH_RECORDS. verdicts has room for count. now_ns is any clock
 * that does not go back; a pass's own is fresh enough. Never allocates, while PCRE2 has a JIT.
 */
void router_decide(struct router *router, const struct yarder_record *records, uint32_t count,
    int64_t now_ns, struct route_verdict *verdicts);

/*
 * Copies of the record for an output in its verdict; asked before the next router_decide. 1 for all
 * that is not in `repeated`.
 */
uint32_t router_copies(const struct router *router, uint32_t record_index, uint32_t output);

/* A pattern that gave trouble, for status. Texts belong to the router. */
struct route_trouble {
    const char *pattern;
    const char *where;   /* the first line that has it */
    uint64_t undecided;  /* times */
    uint32_t head_bytes; /* not 0: it was slow and is matched on so many first bytes for now */
};

/*
 * Walks the patterns that gave trouble: *at begins as 0, false ends the walk. Any thread may ask.
 */
bool router_trouble_next(const struct router *router, uint32_t *at, struct route_trouble *out);

/*
 * `check --explain`: one sentence for an output ("takes records of level warning and above that
 * match /x/"), and `explain LINE`: rule by rule why a record goes where it goes. Written to `to`.
 */
void router_explain_output(const struct router *router, uint32_t output, FILE *to);
void router_explain_record(struct router *router, const struct yarder_record *record, FILE *to);

#endif
