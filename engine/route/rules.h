/* SPDX-License-Identifier: Apache-2.0 */
/* The compiled form of a specification: built in build.c, asked in router.c, told in describe.c and
 * explain.c. */
#ifndef YARDER_ROUTE_RULES_H
#define YARDER_ROUTE_RULES_H

#include "route/selectors.h"

/* The two roads of uWSGI; bits, since a native route sees both. */
enum route_path { PATH_LOG = 1, PATH_REQUEST = 2 };

/* One route line. */
struct rule {
    uint32_t pattern;
    uint8_t output; /* what it names; meaningless when `known` is false */
    uint8_t paths;  /* enum route_path bits that it sees; 0 when its name is not known */
    bool known;
    bool to_native;  /* names a native output */
    const char *key; /* route, log-route, log-req-route */
    const char *to;
    const char *where;
};

struct target {
    const char *name; /* "" when the configuration had none */
    enum route_reach reach;
    bool named;
    bool routed;   /* some route line names it */
    bool shadowed; /* an earlier one of its kind has the name */
    bool rest;
    bool
        alarmed; /* gets what alarms send it, and what routes or selectors give it, if it has any */
    struct selector selector;
};

struct router {
    struct pattern_set patterns;
    struct memory *memory;
    struct selector_patterns drops;
    struct selector_patterns keeps;
    struct rule *rules;
    uint32_t rules_count;
    struct pattern_runs rule_runs; /* their patterns */
    struct target *outputs;
    uint32_t outputs_count;

    /* Masks of outputs. Native ones are in one of everything, choosy, routed, rest (may be routed).
     */
    uint64_t everything; /* take all, without a question */
    uint64_t choosy;     /* by selectors alone */
    uint64_t routed;     /* native, named by a route */
    uint64_t rest;
    uint64_t selectless;  /* of these the ones whose selectors pass everything */
    uint64_t unnamed_log; /* what a record gets on each path that no route sent to a logger */
    uint64_t unnamed_request;
    bool request_path; /* requests have a path of their own */
    bool filters_logs_only;

    uint64_t repeated[YARDER_BATCH_RECORDS];
    /* Counts for the outputs in `repeated` of that row; the rest is stale. */
    uint16_t copies[YARDER_BATCH_RECORDS][YARDER_OUTPUTS_MAX];
};

_Static_assert(YARDER_ROUTES_MAX <= UINT16_MAX, "copies of a record are counted in 16 bits");

static inline enum route_path path_of(
    const struct router *router, const struct yarder_record *record)
{
    return router->request_path && record->kind == YARDER_KIND_REQUEST ? PATH_REQUEST : PATH_LOG;
}

static inline uint64_t unnamed_of(const struct router *router, enum route_path path)
{
    return path == PATH_REQUEST ? router->unnamed_request : router->unnamed_log;
}

/* Whether drop and keep lines look at records of this path. */
static inline bool filters_see(const struct router *router, enum route_path path)
{
    return !(router->filters_logs_only && path == PATH_REQUEST);
}

/* "unnamed logger file:x", "output errors": how a target is called in sentences. */
void target_print(const struct target *target, FILE *to);

#endif
