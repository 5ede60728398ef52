/* SPDX-License-Identifier: Apache-2.0 */
/* One child of an exec input with its pipes; what becomes of it is decided in children.c. */
#ifndef YARDER_CONTROL_CHILDREN_PRIVATE_H
#define YARDER_CONTROL_CHILDREN_PRIVATE_H

#include "control/children.h"

struct pipe_ends {
    int read;
    int write;
};

struct child {
    struct child *next; /* in the list of all */
    enum input_kind kind;
    char *name;
    char *command;
    bool inherits;    /* the daemon's standard input, and so its place at the terminal (spawn.h) */
    char **arguments; /* NULL: sh -c command */
    struct pipe_ends source[2]; /* stdout, stderr; none for stdin */
    struct pipe_ends staging[2];

    enum child_state state;
    pid_t pid;       /* RUNNING, LEAVING */
    bool leaderless; /* it was reaped, with this status, and others of its group live on */
    int status;
    uint64_t started_ns;
    uint64_t due_ns;   /* WAITING: to be started; LEAVING: to be killed */
    uint32_t failures; /* in a row, each within a second of its start */
    int exit_status;   /* -1: has not ended yet */

    /* A source: its page, of what its process is made, and whether another one is to replace it. */
    int settled_fd;
    uint64_t settled_at_start;
    uint64_t digest;
    bool renewed; /* told to end, so that another one starts at once; killed at due_ns */

    /* of the current set, and what the next one will make of them */
    uint32_t input;
    enum input_restart restart;
    uint64_t restart_delay_ns;
    bool current;
    bool next_one;
};

/* A copy of what the configuration says, with its pipes. 0; -ENOMEM; -EMFILE, -ENFILE. */
YARDER_MUST_USE int child_new(
    struct child **out, const struct input_config *input, const struct identity *identity);
void child_free(struct child *child);

/* Whether this configured input is that child: kind, name, command, standard input. */
bool child_is(const struct child *child, const struct input_config *input);

/* How far a source's page says that commits go; of others 0. */
uint64_t child_settled(const struct child *child);

/* Starts its program; its pid is set. 0 or -errno, as spawn. */
YARDER_MUST_USE int child_spawn(struct child *child, const struct children_options *options,
    const struct children_sources *sources);

/* What is in its pipes now. */
uint64_t child_unread_bytes(const struct child *child);

#endif
