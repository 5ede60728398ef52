/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/ask.h"
#include "cli/status_text.h"

enum { HELD_UP_MS = 1000 };

/* One count of losses. */
struct loss {
    const char *list; /* "inputs", "outputs" */
    const char *name;
    const char *group;  /* "lost", "refused", "connections_refused", "dropped", "dead" */
    const char *reason; /* NULL: the group is the count itself */
    uint64_t count;
};

/* The greatest one, since the start or in the last minute. */
struct losses {
    bool recent;
    struct loss worst;
};

static void take_loss(struct losses *losses, const struct loss *loss)
{
    if (loss->count > losses->worst.count) {
        losses->worst = *loss;
    }
}

static void take_group(
    struct losses *losses, const char *list, const cJSON *item, const char *group_name)
{
    const cJSON *counts = losses->recent ? cJSON_GetObjectItemCaseSensitive(item, "recent") : item;
    const cJSON *group = cJSON_GetObjectItemCaseSensitive(counts, group_name);
    struct loss loss = {.list = list, .name = ask_text(item, "name"), .group = group_name};
    if (cJSON_IsNumber(group)) {
        loss.count = ask_number(counts, group_name);
        take_loss(losses, &loss);
        return;
    }
    const cJSON *reason = NULL;
    cJSON_ArrayForEach(reason, group)
    {
        loss.reason = reason->string;
        loss.count = ask_number(group, loss.reason);
        take_loss(losses, &loss);
    }
}

static void take_all(struct losses *losses, const cJSON *report)
{
    static const char *const input_groups[] = {"lost", "refused", "connections_refused"};
    static const char *const output_groups[] = {"dropped", "dead"};
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(report, "inputs"))
    {
        for (size_t i = 0; i < YARDER_COUNT_OF(input_groups); i++) {
            take_group(losses, "inputs", item, input_groups[i]);
        }
    }
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(report, "outputs"))
    {
        bool kept = ask_text(item, "dead_letter")[0] != '\0';
        for (size_t i = 0; i < YARDER_COUNT_OF(output_groups); i++) {
            if (!kept || strcmp(output_groups[i], "dead") != 0) {
                take_group(losses, "outputs", item, output_groups[i]);
            }
        }
    }
}

/* The reasons of the ledger in an operator's words. */
static const char *reason_words(const struct loss *loss)
{
    static const char *const words[][3] = {
        {"lost", "kernel", "the kernel's receive buffer was full"},
        {"lost", "ring", "the ring was full"},
        {"refused", "limit", "over a limit"},
        {"refused", "quarantine", "a record that killed workers is in quarantine"},
        {"refused", "corrupt", "the producer's memory made no sense"},
        {"dropped", "full", "queue full"},
        {"dropped", "oldest", "queue full, the oldest went"},
        {"dropped", "path", "its path cannot be made or opened"},
        {"dropped", "left", "it left the configuration before delivering them"},
        {"dropped", "damaged", "damaged in its queue"},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(words) && loss->reason != NULL; i++) {
        if (strcmp(words[i][0], loss->group) == 0 && strcmp(words[i][1], loss->reason) == 0) {
            return words[i][2];
        }
    }
    return loss->reason != NULL ? loss->reason : "refused by its destination, or given up";
}

/* "output events dropped 1204 (queue full)" */
static void say_loss(const struct loss *loss, char *at, size_t room)
{
    unsigned long long count = loss->count;
    if (strcmp(loss->group, "connections_refused") == 0) {
        (void)snprintf(at, room, "input %.128s refused %llu connections", loss->name, count);
        return;
    }
    (void)snprintf(at, room, "%s %.128s %s %llu (%s)",
        strcmp(loss->list, "outputs") == 0 ? "output" : "input", loss->name,
        strcmp(loss->group, "dead") == 0 ? "lost" : loss->group, count, reason_words(loss));
}

const char *status_span(uint64_t seconds, char at[STATUS_SPAN_BYTES])
{
    unsigned long long s = seconds;
    if (s >= 86400) {
        (void)snprintf(at, STATUS_SPAN_BYTES, "%llud %lluh", s / 86400, s / 3600 % 24);
    } else if (s >= 3600) {
        (void)snprintf(at, STATUS_SPAN_BYTES, "%lluh %llum", s / 3600, s / 60 % 60);
    } else if (s >= 60) {
        (void)snprintf(at, STATUS_SPAN_BYTES, "%llum %llus", s / 60, s % 60);
    } else {
        (void)snprintf(at, STATUS_SPAN_BYTES, "%llus", s);
    }
    return at;
}

/* How long an output has not got on with what waits for it. */
static uint64_t held_up_ms(const cJSON *output)
{
    return yarder_max(ask_number(output, "in_call_ms"), ask_number(output, "stalled_ms"));
}

/* An input whose socket could not be had: nothing comes in there. */
static const cJSON *find_deaf(const cJSON *report)
{
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(report, "inputs"))
    {
        if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(item, "deaf"))) {
            return item;
        }
    }
    return NULL;
}

/* The one that waits longest, and how many others do. */
static const cJSON *find_held_up(const cJSON *report, uint32_t *others)
{
    *others = 0;
    const cJSON *item = NULL;
    const cJSON *longest = NULL;
    uint64_t longest_ms = HELD_UP_MS - 1;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(report, "outputs"))
    {
        *others += longest != NULL && held_up_ms(item) >= HELD_UP_MS;
        if (held_up_ms(item) > longest_ms) {
            longest = item;
            longest_ms = held_up_ms(item);
        }
    }
    return longest;
}

/* The last failure, in brackets; "" if it is not known. */
static const char *error_words(const cJSON *output, char *at, size_t room)
{
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(output, "last_error");
    at[0] = '\0';
    if (error != NULL) {
        (void)snprintf(
            at, room, " (%.32s: %.200s)", ask_text(error, "call"), ask_text(error, "text"));
    }
    return at;
}

/* What it was given may be gone though it counts as delivered, or lies with the dead letters. */
static bool is_failing(const cJSON *output)
{
    const cJSON *recent = cJSON_GetObjectItemCaseSensitive(output, "recent");
    const char *means = ask_text(output, "means");
    bool unanswered = strcmp(means, "stream") == 0 || strcmp(means, "sent") == 0;
    return (unanswered && ask_number(recent, "errors") > 0) || ask_number(recent, "dead") > 0;
}

static const cJSON *find_failing(const cJSON *report)
{
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(report, "outputs"))
    {
        if (is_failing(item)) {
            return item;
        }
    }
    return NULL;
}

static void judge_failing(const cJSON *output, const char *totals, struct status_verdict *out)
{
    char error[256];
    const cJSON *recent = cJSON_GetObjectItemCaseSensitive(output, "recent");
    unsigned long long dead = ask_number(recent, "dead");
    (void)error_words(output, error, sizeof(error));
    out->state = STATUS_FAILING;
    if (dead > 0) {
        (void)snprintf(out->line, sizeof(out->line),
            "FAILING: output %.64s had %llu records refused%s in the last minute, they are in "
            "%.128s; %s",
            ask_text(output, "name"), dead, error, ask_text(output, "dead_letter"), totals);
        return;
    }
    (void)snprintf(out->line, sizeof(out->line),
        "FAILING: output %.64s failed %llu times%s in the last minute, and what it had sent may "
        "not "
        "have arrived; %s",
        ask_text(output, "name"), (unsigned long long)ask_number(recent, "errors"), error, totals);
}

/* "has been in fsync for 12s" or "has delivered nothing for 3m 2s (write: No space left ...)" */
static void say_held_up(const cJSON *output, char *at, size_t room)
{
    char span[STATUS_SPAN_BYTES];
    (void)status_span(held_up_ms(output) / 1000, span);
    if (ask_number(output, "in_call_ms") >= HELD_UP_MS) {
        (void)snprintf(at, room, "has been in %.32s for %s", ask_text(output, "in_call"), span);
    } else {
        char error[256];
        (void)snprintf(at, room, "has delivered nothing for %s%s", span,
            error_words(output, error, sizeof(error)));
    }
}

static void judge_quiet(const cJSON *report, const char *totals, struct status_verdict *out)
{
    char what[400] = "";
    struct losses losses = {.recent = false};
    take_all(&losses, report);
    char others[32] = "";
    uint32_t others_count = 0;
    const cJSON *held_up = find_held_up(report, &others_count);
    const cJSON *failing = find_failing(report);
    const cJSON *deaf = find_deaf(report);
    if (deaf != NULL) {
        out->state = STATUS_HELD_UP;
        (void)snprintf(out->line, sizeof(out->line),
            "HELD UP: input %.128s does not listen, its socket could not be had (yarder reload "
            "tries again); %s",
            ask_text(deaf, "name"), totals);
    } else if (held_up != NULL) {
        out->state = STATUS_HELD_UP;
        say_held_up(held_up, what, sizeof(what));
        if (others_count > 0) {
            (void)snprintf(others, sizeof(others), ", and %u others", others_count);
        }
        (void)snprintf(out->line, sizeof(out->line),
            "HELD UP: output %.64s %s, %llu records wait%s; %s", ask_text(held_up, "name"), what,
            (unsigned long long)ask_number(held_up, "held"), others, totals);
    } else if (failing != NULL) {
        judge_failing(failing, totals, out);
    } else if (losses.worst.count > 0) {
        out->state = STATUS_LOST;
        say_loss(&losses.worst, what, sizeof(what));
        (void)snprintf(out->line, sizeof(out->line), "healthy now, %s: %s", totals, what);
    } else {
        out->state = STATUS_HEALTHY;
        (void)snprintf(out->line, sizeof(out->line), "healthy, %s", totals);
    }
}

/* "1207 lost, 3 connections refused since start (3d 4h)" */
static void say_totals(const cJSON *report, uint64_t at_ns, char *at, size_t room)
{
    char span[STATUS_SPAN_BYTES];
    char connections[64] = "";
    uint64_t started_ns = ask_number(report, "started_ns");
    bool known = at_ns > started_ns && started_ns > 0;
    (void)status_span(known ? (at_ns - started_ns) / 1000000000u : 0, span);
    uint64_t refused = 0;
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(report, "inputs"))
    {
        refused += ask_number(item, "connections_refused");
    }
    uint64_t lost = ask_number(report, "losses");
    if (lost == 0 && refused == 0) {
        (void)snprintf(at, room, "nothing lost since start (%s)", span);
        return;
    }
    if (refused > 0) {
        (void)snprintf(connections, sizeof(connections), ", %llu connections refused",
            (unsigned long long)refused);
    }
    (void)snprintf(
        at, room, "%llu lost%s since start (%s)", (unsigned long long)lost, connections, span);
}

void status_judge(const cJSON *report, uint64_t at_ns, struct status_verdict *out)
{
    enum { MINUTE_MS = 60000 };
    struct losses losses = {.recent = true};
    char what[300];
    char totals[128];
    char span[STATUS_SPAN_BYTES];
    say_totals(report, at_ns, totals, sizeof(totals));
    take_all(&losses, report);
    if (losses.worst.count == 0) {
        judge_quiet(report, totals, out);
        return;
    }
    uint64_t recent_ms = ask_number(report, "recent_ms");
    out->state = STATUS_LOSING;
    say_loss(&losses.worst, what, sizeof(what));
    (void)snprintf(out->line, sizeof(out->line), "LOSING: %s in the last %s; %s", what,
        recent_ms >= MINUTE_MS ? "minute" : status_span(recent_ms / 1000, span), totals);
}

const char *status_word(enum status_state state)
{
    static const char *const words[] = {"healthy", "lost", "failing", "held up", "losing"};
    return words[state];
}
