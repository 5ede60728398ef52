/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The children of `exec:` inputs and every pipe the worker reads. The supervisor is the children's
 * parent and holds both ends of their pipes, so a program notices neither the end of a worker nor
 * that of a reload. Beside each pipe (and beside stdin) stands a staging pipe: the worker moves
 * bytes with splice(source -> staging), then reads exactly what is in there; after a kill FIONREAD
 * on the staging pipe tells what the dead one had taken out of the source.
 *
 *   program --stdout--> source ==splice==> staging --read--> worker
 *             both ends kept here    both ends kept here
 *
 * A child:
 *
 *   WAITING --start, at its time--> RUNNING --ends, policy says again--> WAITING
 *                                      |  \--ends, policy says no------> ENDED
 *                                      \--left the configuration-------> LEAVING --reaped--> gone
 *
 * LEAVING has got TERM, and KILL 5 s later. Whoever was told to end, there or at the way out of the
 * daemon, has ended when nobody of its process group is left: of `a | b` the shell goes first.
 *
 * Start and reload are one road: children_prepare lays out the next set without starting or
 * stopping anything (so the next worker can be given its pipes), then children_adopt makes it the
 * current one, or children_cancel forgets it. One thread, no global state; nobody here calls wait.
 * now_ns is CLOCK_MONOTONIC.
 */
#ifndef YARDER_CONTROL_CHILDREN_H
#define YARDER_CONTROL_CHILDREN_H

#include <sys/resource.h>

#include "control/preload.h"
#include "inputs/pipe_index.h"
#include "os/identity.h"

enum child_state { CHILD_WAITING, CHILD_RUNNING, CHILD_ENDED, CHILD_LEAVING };

struct children; /* opaque */

struct children_options {
    char *const
        *environment; /* of the programs, as execve takes it; borrowed until children_close */
    const struct preload *preload; /* of the one that inherits stdin; borrowed; NULL: none */
    struct identity identity;      /* whom they run as */
    const struct rlimit *files;    /* their RLIMIT_NOFILE; borrowed; NULL: ours */
    int stdin_fd; /* of a stdin input, and of programs that inherit it; borrowed, never closed */
};

/* Descriptors 0 to 2 are open (to anything) before this. 0 or -ENOMEM. */
YARDER_MUST_USE int children_open(struct children **out, const struct children_options *options);

/* Closes every pipe. Signals nobody: a child that still writes gets SIGPIPE. NULL is fine. */
void children_close(struct children *children);

/*
 * Lays out the next set. An exec input whose name and command are those of a current one is that
 * child; the others get their pipes. The configuration is copied. 0; -EMFILE, -ENFILE, -ENOMEM ...:
 * nothing has changed.
 */
YARDER_MUST_USE int children_prepare(
    struct children *children, const struct input_config *inputs, uint32_t inputs_count);
void children_cancel(struct children *children);

/* What the processes of sources are made of, from the next adopt on. Borrowed until then replaced.
 */
struct children_sources {
    int program_fd, settings_fd;                  /* settings as workers are given them */
    uint64_t program;                             /* another number: another program */
    int (*socket)(void *context, uint32_t input); /* -1: none */
    void *context;
};
void children_set_sources(struct children *children, const struct children_sources *sources);

/* The next set becomes the current one: what left gets TERM, what is new starts. */
void children_adopt(struct children *children, uint64_t now_ns);

struct children_pipe {
    struct pipe_place place;
    int source; /* all three stay ours, for as long as the set that the pipe is in */
    int staging_read;
    int staging_write;
    int settled; /* a source's page; else -1 */
};

/*
 * Pipe number `pipe` (pipe_index.h) of the current set, or of the next one. Both asserted: the
 * index is below children_pipes_count, and a next set exists when it is asked.
 */
uint32_t children_pipes_count(const struct children *children, bool next);
struct children_pipe children_pipe(const struct children *children, bool next, uint32_t pipe);

/* When children_serve wants to be called; UINT64_MAX: not before something else happens. */
uint64_t children_deadline_ns(const struct children *children);

/* Starts what is due, kills what did not leave, and sees which groups are empty by now. */
void children_serve(struct children *children, uint64_t now_ns);

/*
 * What has happened, in order, for the supervisor to tell the worker and the operator. STARTED and
 * FAILED (could not be started: `error`) and ENDED (`status` as wait gives it) are of the current
 * set; LEFT is of an input that is no longer configured: `unread_bytes` stayed in its pipes, read
 * by nobody.
 */
enum children_event_kind { CHILDREN_STARTED, CHILDREN_FAILED, CHILDREN_ENDED, CHILDREN_LEFT };
struct children_event {
    enum children_event_kind kind;
    char name[YARDER_NAME_BYTES_MAX]; /* of the input; a longer one is cut */
    uint32_t input;                   /* index in the current set; not with LEFT */
    pid_t pid;
    int status;            /* ENDED, LEFT */
    int error;             /* FAILED: negative errno */
    bool final;            /* ENDED, FAILED: it will not be started again */
    bool renewed;          /* ENDED: it was told to, for another one to take its place */
    uint64_t restart_ns;   /* ENDED, FAILED: pause until it is */
    uint64_t unread_bytes; /* LEFT */
};
/* The oldest event not yet taken: true, or false when there is none. */
bool children_next_event(struct children *children, struct children_event *out);

/* A process was reaped by the supervisor's wait. True when it was one of ours. */
bool children_reaped(struct children *children, pid_t pid, int status, uint64_t now_ns);

/*
 * Sends a signal to every running child's process group; to those about to leave as well. One in
 * our place is its command alone; it has a signal that came from the terminal already.
 */
void children_signal(struct children *children, int signal_number, bool from_terminal);

/* No more starts from now on; what waits to be started has ended. For the way out. */
void children_stop_starting(struct children *children);

uint32_t children_running(const struct children *children); /* leaving ones count */
enum child_state children_state(const struct children *children, uint32_t input);

/*
 * How the child of an exec input ended last, as a shell says it: its exit status, 128 + signal, 127
 * or 126 when it could not be started. -1: it has not ended yet.
 */
int children_exit_status(const struct children *children, uint32_t input);

#endif
