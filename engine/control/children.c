/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One list holds every child; the current and the next set name some of them. A child in neither is
 * on its way out and is freed when it was reaped. An input of kind stdin is a child without a
 * program: it owns a staging pipe and is never started.
 */
#include "control/children.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "control/children_private.h"

enum { EVENTS_MAX = 1024, FAILURES_MAX = 16 };

static const uint64_t second_ns = UINT64_C(1000000000);
#define DELAY_NS_MAX (60 * second_ns)
#define DELAY_NS_MIN (second_ns / 10) /* after a run of under a second, whatever is configured */
#define LEAVE_NS_MAX (5 * second_ns)

struct child_set {
    struct child *child[YARDER_INPUTS_MAX]; /* NULL: an input without pipes */
    enum input_restart restart[YARDER_INPUTS_MAX];
    uint64_t restart_delay_ns[YARDER_INPUTS_MAX];
    uint64_t digest[YARDER_INPUTS_MAX];
    uint32_t inputs_count;
    struct pipe_place places[YARDER_PIPES_MAX];
    uint32_t pipes_count;
};

struct children {
    struct children_options options;
    struct children_sources sources;
    struct child *all;
    struct child_set current;
    struct child_set next;
    bool next_there;
    bool stop_starting;
    struct children_event events[EVENTS_MAX];
    uint32_t events_first;
    uint32_t events_count;
};

static void event_put(struct children *children, struct children_event event, const char *name)
{
    YARDER_ASSERT(children->events_count < EVENTS_MAX); /* they are taken after each call */
    (void)snprintf(event.name, sizeof(event.name), "%s", name);
    children->events[(children->events_first + children->events_count++) % EVENTS_MAX] = event;
}

bool children_next_event(struct children *children, struct children_event *out)
{
    if (children->events_count == 0) {
        return false;
    }
    *out = children->events[children->events_first];
    children->events_first = (children->events_first + 1) % EVENTS_MAX;
    children->events_count--;
    return true;
}

int children_open(struct children **out, const struct children_options *options)
{
    struct children *children = calloc(1, sizeof(*children));
    if (children == NULL) {
        return -ENOMEM;
    }
    children->options = *options;
    *out = children;
    return 0;
}

/* Takes a child out of the list and frees it. */
static void forget(struct children *children, struct child *child)
{
    struct child **link = &children->all;
    while (*link != child) {
        link = &(*link)->next;
    }
    *link = child->next;
    child_free(child);
}

void children_close(struct children *children)
{
    while (children != NULL && children->all != NULL) {
        forget(children, children->all);
    }
    free(children);
}

static struct child *find_same(const struct children *children, const struct input_config *input)
{
    for (uint32_t i = 0; i < children->current.inputs_count; i++) {
        struct child *child = children->current.child[i];
        if (child != NULL && !child->next_one && child_is(child, input)) {
            return child;
        }
    }
    return NULL;
}

static int prepare_input(struct children *children, const struct input_config *input, uint32_t at)
{
    struct child_set *set = &children->next;
    set->restart[at] = (enum input_restart)input->restart;
    set->restart_delay_ns[at] = input->restart_delay_ns;
    set->digest[at] = input->digest;
    if (pipes_of_kind(input->kind) == 0) {
        return 0;
    }
    struct child *child = find_same(children, input);
    if (child == NULL) {
        int made = child_new(&child, input, &children->options.identity);
        if (made < 0) {
            return made;
        }
        child->next = children->all;
        children->all = child;
    }
    child->next_one = true;
    set->child[at] = child;
    return 0;
}

int children_prepare(
    struct children *children, const struct input_config *inputs, uint32_t inputs_count)
{
    YARDER_ASSERT(!children->next_there);
    YARDER_ASSERT(inputs_count <= YARDER_INPUTS_MAX);
    children->next = (struct child_set){.inputs_count = inputs_count};
    children->next_there = true;
    for (uint32_t i = 0; i < inputs_count; i++) {
        int prepared = prepare_input(children, &inputs[i], i);
        if (prepared < 0) {
            children_cancel(children);
            return prepared;
        }
    }
    children->next.pipes_count = pipes_count(inputs, inputs_count);
    for (uint32_t i = 0; i < children->next.pipes_count; i++) {
        int placed = pipe_place(inputs, inputs_count, i, &children->next.places[i]);
        YARDER_ASSERT(placed == 0);
    }
    return 0;
}

void children_cancel(struct children *children)
{
    for (uint32_t i = 0; children->next_there && i < children->next.inputs_count; i++) {
        struct child *child = children->next.child[i];
        if (child != NULL && child->current) {
            child->next_one = false;
        } else if (child != NULL) {
            forget(children, child);
        }
    }
    children->next_there = false;
}

static bool policy_says_again(const struct child *child)
{
    return child->restart == INPUT_RESTART_ALWAYS ||
           (child->restart == INPUT_RESTART_ON_FAILURE && child->exit_status != 0);
}

static void send(const struct child *child, int signal_number)
{
    (void)kill(child->inherits ? child->pid : -child->pid, signal_number);
}

static bool group_lives(const struct child *child)
{
    return !child->inherits && (kill(-child->pid, 0) == 0 || errno == EPERM);
}

static void left(struct children *children, struct child *child)
{
    event_put(children,
        (struct children_event){.kind = CHILDREN_LEFT,
            .pid = child->pid,
            .status = child->status,
            .final = true,
            .unread_bytes = child_unread_bytes(child)},
        child->name);
    forget(children, child);
}

static void leave(struct children *children, struct child *child, uint64_t now_ns)
{
    child->current = false;
    if (child->state != CHILD_RUNNING) {
        child->status = 0;
        left(children, child);
        return;
    }
    child->state = CHILD_LEAVING;
    child->due_ns = now_ns + LEAVE_NS_MAX;
    send(child, SIGTERM);
}

void children_set_sources(struct children *children, const struct children_sources *sources)
{
    children->sources = *sources;
}

/* A source's process that is made of something else now: another one takes its place. */
static void renew(struct child *child, uint64_t digest, uint64_t now_ns)
{
    if (child->kind == INPUT_SOURCE && child->state == CHILD_RUNNING && child->digest != digest) {
        child->renewed = true;
        child->due_ns = now_ns + LEAVE_NS_MAX;
        send(child, SIGTERM);
    } else if (child->kind == INPUT_SOURCE && child->state == CHILD_WAITING) {
        child->failures = 0; /* what it lacked may be there now */
        child->due_ns = now_ns;
    }
    child->digest = digest;
}

void children_adopt(struct children *children, uint64_t now_ns)
{
    YARDER_ASSERT(children->next_there);
    for (uint32_t i = 0; i < children->current.inputs_count; i++) {
        struct child *child = children->current.child[i];
        if (child != NULL && !child->next_one) {
            leave(children, child, now_ns);
        }
    }
    children->current = children->next;
    children->next_there = false;
    for (uint32_t i = 0; i < children->current.inputs_count; i++) {
        struct child *child = children->current.child[i];
        if (child == NULL) {
            continue;
        }
        bool other_policy = child->restart != children->current.restart[i];
        child->input = i;
        child->restart = children->current.restart[i];
        child->restart_delay_ns = children->current.restart_delay_ns[i];
        renew(child, children->current.digest[i] ^ children->sources.program, now_ns);
        if (!child->current) {
            child->due_ns = now_ns;
        } else if (child->state == CHILD_ENDED && other_policy && policy_says_again(child)) {
            child->state = CHILD_WAITING;
            child->due_ns = now_ns;
        }
        child->current = true;
        child->next_one = false;
    }
    children_serve(children, now_ns);
}

uint32_t children_pipes_count(const struct children *children, bool next)
{
    YARDER_ASSERT(!next || children->next_there);
    return next ? children->next.pipes_count : children->current.pipes_count;
}

struct children_pipe children_pipe(const struct children *children, bool next, uint32_t pipe)
{
    YARDER_ASSERT(pipe < children_pipes_count(children, next));
    const struct child_set *set = next ? &children->next : &children->current;
    struct pipe_place place = set->places[pipe];
    const struct child *child = set->child[place.input];
    int stream = place.stream == YARDER_STREAM_STDERR ? 1 : 0;
    return (struct children_pipe){
        .place = place,
        .source =
            child->kind == INPUT_STDIN ? children->options.stdin_fd : child->source[stream].read,
        .staging_read = child->staging[stream].read,
        .staging_write = child->staging[stream].write,
        .settled = child->settled_fd,
    };
}

static bool startable(const struct children *children, const struct child *child)
{
    return child->kind != INPUT_STDIN && child->current && child->state == CHILD_WAITING &&
           !children->stop_starting;
}

uint64_t children_deadline_ns(const struct children *children)
{
    uint64_t deadline_ns = UINT64_MAX;
    for (const struct child *child = children->all; child != NULL; child = child->next) {
        if (child->state == CHILD_LEAVING || child->renewed || startable(children, child)) {
            deadline_ns = yarder_min(deadline_ns, child->due_ns);
        }
    }
    return deadline_ns;
}

/* The pause before the next start: the configured one, doubled for each further quick failure. */
static uint64_t pause_ns(struct child *child, bool failed, uint64_t now_ns)
{
    bool quick = now_ns - child->started_ns < second_ns &&
                 child_settled(child) == child->settled_at_start; /* it got nothing done */
    child->failures = !failed || !quick                ? 0
                      : child->failures < FAILURES_MAX ? child->failures + 1
                                                       : FAILURES_MAX;
    uint64_t delay_ns = yarder_max(child->restart_delay_ns, quick ? DELAY_NS_MIN : 0);
    uint64_t delay_ns_max = yarder_max(DELAY_NS_MAX, delay_ns);
    for (uint32_t i = 1; i < child->failures && delay_ns < delay_ns_max; i++) {
        delay_ns = yarder_min(delay_ns * 2, delay_ns_max);
    }
    return delay_ns;
}

/* What comes after an end or a failed start; fills in what the event says of it. */
static void decide(
    struct children *children, struct child *child, struct children_event *event, uint64_t now_ns)
{
    event->input = child->input;
    event->final = !policy_says_again(child) || children->stop_starting;
    if (event->final) {
        child->state = CHILD_ENDED;
        return;
    }
    event->restart_ns = child->renewed ? 0 : pause_ns(child, child->exit_status != 0, now_ns);
    event->renewed = child->renewed;
    child->renewed = false;
    child->state = CHILD_WAITING;
    if (__builtin_add_overflow(now_ns, event->restart_ns, &child->due_ns)) {
        child->due_ns = UINT64_MAX;
    }
}

/*
 * A new process's frames begin where the worker has taken all that the one before wrote, the torn
 * end of a killed one too.
 */
static bool is_drained(struct child *child, uint64_t now_ns)
{
    bool drained = child->kind != INPUT_SOURCE || child_unread_bytes(child) == 0;
    child->due_ns = drained ? child->due_ns : now_ns + DELAY_NS_MIN;
    return drained;
}

static void start(struct children *children, struct child *child, uint64_t now_ns)
{
    struct children_event event = {.input = child->input};
    child->started_ns = now_ns;
    child->settled_at_start = child_settled(child);
    event.error = child_spawn(child, &children->options, &children->sources);
    event.pid = event.error < 0 ? 0 : child->pid;
    if (event.error < 0) {
        event.kind = CHILDREN_FAILED;
        child->exit_status = event.error == -ENOENT ? 127 : 126;
        decide(children, child, &event, now_ns);
    } else {
        event.kind = CHILDREN_STARTED;
        child->state = CHILD_RUNNING;
    }
    event_put(children, event, child->name);
}

static void ended(struct children *children, struct child *child, uint64_t now_ns)
{
    child->leaderless = false;
    if (child->state == CHILD_LEAVING) {
        left(children, child);
        return;
    }
    int status = child->status;
    child->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    struct children_event event = {.kind = CHILDREN_ENDED, .pid = child->pid, .status = status};
    decide(children, child, &event, now_ns);
    event_put(children, event, child->name);
}

void children_serve(struct children *children, uint64_t now_ns)
{
    struct child *next = NULL;
    for (struct child *child = children->all; child != NULL; child = next) {
        next = child->next;
        if (startable(children, child) && child->due_ns <= now_ns) {
            if (is_drained(child, now_ns)) {
                start(children, child, now_ns);
            }
        } else if (child->leaderless && (!group_lives(child) || child->due_ns == UINT64_MAX)) {
            ended(children, child, now_ns); /* or killed: a zombie that nobody reaps is no life */
        } else if ((child->state == CHILD_LEAVING || child->renewed) && child->due_ns <= now_ns) {
            child->due_ns = UINT64_MAX;
            send(child, SIGKILL);
        }
    }
}

static bool is_running(const struct child *child)
{
    return child->state == CHILD_RUNNING || child->state == CHILD_LEAVING;
}

bool children_reaped(struct children *children, pid_t pid, int status, uint64_t now_ns)
{
    struct child *child = children->all;
    while (child != NULL && (child->pid != pid || !is_running(child) || child->leaderless)) {
        child = child->next;
    }
    if (child == NULL || (!WIFEXITED(status) && !WIFSIGNALED(status))) {
        return child != NULL; /* stopped or continued: not an end */
    }
    child->status = status;
    bool told_to_end = child->state == CHILD_LEAVING || children->stop_starting;
    if (told_to_end && group_lives(child)) {
        child->leaderless = true;
    } else {
        ended(children, child, now_ns);
    }
    return true;
}

void children_signal(struct children *children, int signal_number, bool from_terminal)
{
    for (struct child *child = children->all; child != NULL; child = child->next) {
        if (is_running(child) && !(from_terminal && child->inherits)) {
            send(child, signal_number);
        }
    }
}

void children_stop_starting(struct children *children)
{
    children->stop_starting = true;
    for (struct child *child = children->all; child != NULL; child = child->next) {
        if (child->kind != INPUT_STDIN && child->state == CHILD_WAITING) {
            child->state = CHILD_ENDED;
        }
    }
}

uint32_t children_running(const struct children *children)
{
    uint32_t count = 0;
    for (const struct child *child = children->all; child != NULL; child = child->next) {
        count += is_running(child);
    }
    return count;
}

static const struct child *exec_child(const struct children *children, uint32_t input)
{
    YARDER_ASSERT(input < children->current.inputs_count);
    const struct child *child = children->current.child[input];
    YARDER_ASSERT(child != NULL && child->kind != INPUT_STDIN);
    return child;
}

enum child_state children_state(const struct children *children, uint32_t input)
{
    return exec_child(children, input)->state;
}

int children_exit_status(const struct children *children, uint32_t input)
{
    return exec_child(children, input)->exit_status;
}
