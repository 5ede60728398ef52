/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/ask.h"
#include "cli/status_text.h"

enum { HELD_UP_MS = 1000 };

/* One count of losses. */
struct loss {
    const char *list; /* "inputs", "outputs" */
    const char *name;
    const char *group;  /* "lost", "refused", "dropped", "dead" */
    const char *reason; /* NULL: the group is the count itself */
    uint64_t count;
    uint64_t growth;
};

struct losses {
    const cJSON *before;
    uint64_t growth; /* of all */
    struct loss worst_growth;
    struct loss worst_count;
};

static const cJSON *find_named(const cJSON *report, const char *list, const char *name)
{
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(report, list))
    {
        if (strcmp(ask_text(item, "name"), name) == 0) {
            return item;
        }
    }
    return NULL;
}

static void take_loss(struct losses *losses, struct loss *loss)
{
    const cJSON *then = find_named(losses->before, loss->list, loss->name);
    if (then != NULL) {
        uint64_t count =
            loss->reason == NULL
                ? ask_number(then, loss->group)
                : ask_number(cJSON_GetObjectItemCaseSensitive(then, loss->group), loss->reason);
        loss->growth = loss->count > count ? loss->count - count : 0;
    }
    losses->growth += loss->growth;
    if (loss->growth > losses->worst_growth.growth) {
        losses->worst_growth = *loss;
    }
    if (loss->count > losses->worst_count.count) {
        losses->worst_count = *loss;
    }
}

static void take_group(
    struct losses *losses, const char *list, const cJSON *item, const char *group_name)
{
    const cJSON *group = cJSON_GetObjectItemCaseSensitive(item, group_name);
    struct loss loss = {.list = list, .name = ask_text(item, "name"), .group = group_name};
    if (cJSON_IsNumber(group)) {
        loss.count = ask_number(item, group_name);
        take_loss(losses, &loss);
        return;
    }
    const cJSON *reason = NULL;
    cJSON_ArrayForEach(reason, group)
    {
        loss.reason = reason->string;
        loss.count = ask_number(group, loss.reason);
        loss.growth = 0;
        take_loss(losses, &loss);
    }
}

static void take_all(struct losses *losses, const cJSON *report)
{
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(report, "inputs"))
    {
        take_group(losses, "inputs", item, "lost");
        take_group(losses, "inputs", item, "refused");
    }
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(report, "outputs"))
    {
        take_group(losses, "outputs", item, "dropped");
        take_group(losses, "outputs", item, "dead");
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
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(words) && loss->reason != NULL; i++) {
        if (strcmp(words[i][0], loss->group) == 0 && strcmp(words[i][1], loss->reason) == 0) {
            return words[i][2];
        }
    }
    return loss->reason != NULL ? loss->reason : "given up";
}

/* "output events dropped 1204 (queue full)" */
static void say_loss(const struct loss *loss, uint64_t count, char *at, size_t room)
{
    bool output = strcmp(loss->list, "outputs") == 0;
    (void)snprintf(at, room, "%s %.128s %s %llu (%s)", output ? "output" : "input", loss->name,
        strcmp(loss->group, "dead") == 0 ? "gave up" : loss->group, (unsigned long long)count,
        reason_words(loss));
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

/* The output that has been longest in one call on its file, or NULL. */
static const cJSON *find_held_up(const cJSON *report)
{
    const cJSON *item = NULL;
    const cJSON *longest = NULL;
    uint64_t longest_ms = HELD_UP_MS - 1;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(report, "outputs"))
    {
        if (ask_number(item, "in_call_ms") > longest_ms) {
            longest = item;
            longest_ms = ask_number(item, "in_call_ms");
        }
    }
    return longest;
}

static void judge_quiet(
    const cJSON *report, const struct losses *losses, const char *since, struct status_verdict *out)
{
    char what[300] = "";
    char span[STATUS_SPAN_BYTES];
    uint64_t lost = ask_number(report, "losses");
    const cJSON *held_up = find_held_up(report);
    if (losses->worst_count.count > 0) {
        say_loss(&losses->worst_count, losses->worst_count.count, what, sizeof(what));
    }
    if (held_up != NULL) {
        out->state = STATUS_HELD_UP;
        (void)snprintf(out->line, sizeof(out->line),
            "HELD UP: output %.128s has been in %.32s for %s, %llu records wait; %llu lost since "
            "start (%s)",
            ask_text(held_up, "name"), ask_text(held_up, "in_call"),
            status_span(ask_number(held_up, "in_call_ms") / 1000, span),
            (unsigned long long)ask_number(held_up, "held"), (unsigned long long)lost, since);
    } else if (lost > 0) {
        out->state = STATUS_LOST;
        (void)snprintf(out->line, sizeof(out->line), "healthy now, %llu lost since start (%s)%s%s",
            (unsigned long long)lost, since, what[0] != '\0' ? ": " : "", what);
    } else {
        out->state = STATUS_HEALTHY;
        (void)snprintf(
            out->line, sizeof(out->line), "healthy, nothing lost since start (%s)", since);
    }
}

void status_judge(
    const struct status_look *look, const struct status_look *before, struct status_verdict *out)
{
    struct losses losses = {.before = before->report};
    char what[300];
    char since[STATUS_SPAN_BYTES];
    uint64_t started_ns = ask_number(look->report, "started_ns");
    (void)status_span(
        look->at_ns > started_ns && started_ns > 0 ? (look->at_ns - started_ns) / 1000000000u : 0,
        since);
    take_all(&losses, look->report);
    if (losses.growth == 0) {
        judge_quiet(look->report, &losses, since, out);
        return;
    }
    out->state = STATUS_LOSING;
    say_loss(&losses.worst_growth, losses.worst_growth.growth, what, sizeof(what));
    (void)snprintf(out->line, sizeof(out->line),
        "LOSING: %s in the last %llu ms; %llu lost since start (%s)", what,
        (unsigned long long)((look->at_ns - before->at_ns) / 1000000u),
        (unsigned long long)ask_number(look->report, "losses"), since);
}

const char *status_word(enum status_state state)
{
    static const char *const words[] = {"healthy", "lost", "held up", "losing"};
    return words[state];
}
