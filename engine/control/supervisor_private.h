/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor and its worker processes. Private to room control. */
#ifndef YARDER_CONTROL_SUPERVISOR_PRIVATE_H
#define YARDER_CONTROL_SUPERVISOR_PRIVATE_H

#include <sys/resource.h>

#include "control/children.h"
#include "control/config.h"
#include "control/listeners.h"
#include "control/notify.h"
#include "control/regions.h"
#include "control/supervisor.h"
#include "os/identity.h"
#include "worker/board.h"
#include "worker/channel.h"
#include "worker/worker.h"

enum {
    KEPT_EACH = 2,
    LEAVING_OF_RELOADS_MAX = 8,
    /* Beside them those that hang, each fencing an output at least; one is left for a reload. */
    WORKERS_LEAVING_MAX = LEAVING_OF_RELOADS_MAX + YARDER_OUTPUTS_MAX + 1,
};

enum worker_stage {
    STAGE_NONE,
    STAGE_PREPARING, /* until READY */
    STAGE_READY,     /* waits for the lease */
    STAGE_RUNNING,
    STAGE_QUIETING, /* a reload: finishes, then gives the lease away */
    STAGE_LEAVING,  /* told to stop */
};

/* Descriptors of a queue's file, newest first: until a commit names the new one both are kept. */
struct kept_file {
    int fds[KEPT_EACH];
    struct channel_file files[KEPT_EACH];
};

/* A configuration with what hangs on it: worker after worker runs by it. */
struct deployment {
    struct settings *settings;
    struct daemon_config *config;
    int settings_fd; /* packed, for workers */
    int program_fd;  /* the binary its workers run: of the start, or as it stood at an upgrade */
    int hold_fd;
    struct hold *hold;      /* to look at: crash words, generation */
    struct kept_file *kept; /* by queue */
    uint32_t kept_count;
};

struct worker_process {
    enum worker_stage stage;
    pid_t pid;
    int channel_fd;
    uint64_t started_ns;
    uint64_t generation; /* of the hold when it started */
    uint64_t kill_ns;    /* when it is killed if it has not gone */
    bool asked;          /* whether it is alive, and has not answered yet */
    uint64_t zombie_ns;  /* since when its leader is dead, while it cannot be reaped */
    uint64_t left;       /* outputs of its deployment that it still delivers, leaving */
    uint64_t fences;     /* outputs of `current` that wait until it is gone: it is in a call */
    struct deployment *deployment;
};

struct supervisor {
    const struct supervisor_options *options;
    struct deployment *current, *next, *before; /* before: until the first commit of current */
    struct worker_process worker, candidate;    /* candidate: a reload's */
    struct worker_process leaving[WORKERS_LEAVING_MAX];
    struct children *children;
    struct listeners *listeners;
    struct regions *regions;
    struct notify notify;
    struct identity identity;
    struct rlimit files_given;                    /* RLIMIT_NOFILE before we raised it */
    int signal_fd, run_dir_fd, lock_fd, board_fd; /* lock_fd -1: it is not ours */
    char program[YARDER_PATH_BYTES_MAX];          /* where the binary stands on disk */
    struct board *board;
    uint64_t now_ns;
    uint64_t restart_ns; /* when a worker is to be started again; 0: one runs */
    uint64_t restart_pause_ns;
    uint64_t stop_ns;      /* TERM came: leave at this time at the latest; 0: no */
    bool stop_now;         /* told twice: nobody is waited for */
    uint64_t told_ns;      /* when children were told to end; 0: not yet */
    uint64_t watchdog_ns;  /* when the worker is asked again whether it is alive */
    uint64_t candidate_ns; /* a candidate that is not ready by then is given up */
    uint64_t fence_mask;   /* outputs of current whose file another worker's lane still holds */
    bool upgraded;         /* workers run by `program` now, no more by /proc/self/exe */
    unsigned candidates;   /* started for this reload */
    bool reload_again;     /* asked for while one was under way */
    bool started, first_start, ended, reader_gone;
    bool succeeds_killed; /* the daemon before could not take its pid away */
    int exit_status;
};

/* The ids of what it takes are later than any before: see epoch.h. */
void supervisor_settle_epoch(const struct deployment *deployment);

/* startup.c: what the processes of sources are made of, of this deployment. */
void supervisor_set_sources(struct supervisor *supervisor, const struct deployment *deployment);

/* deployment.c: reads the sources and lays a hold out for them. 0; -EINVAL with the report. */
YARDER_MUST_USE int deployment_open(struct deployment **out,
    const struct supervisor_options *options, const char *program, struct config_report *report);
/* Commits so far, by whatever worker. */
uint64_t deployment_generation(const struct deployment *deployment);
void deployment_close(struct deployment *deployment);
/* Takes the descriptor. */
void deployment_keep(
    struct deployment *deployment, uint32_t queue, int fd, const struct channel_file *file);
void deployment_forget(struct deployment *deployment, uint32_t queue);

/* workers.c */
YARDER_MUST_USE int worker_start(struct supervisor *supervisor, struct worker_process *process,
    struct deployment *deployment, bool next_set);
YARDER_MUST_USE int worker_go(struct supervisor *supervisor, struct worker_process *process);
/* After QUIETED: what it still has to deliver, and until when (kill_ns). */
YARDER_MUST_USE int worker_tell_left(
    const struct supervisor *supervisor, struct worker_process *process);
/* In the place of a leaving one that died: delivers what that one had left, nothing else. */
YARDER_MUST_USE int worker_start_heir(
    struct supervisor *supervisor, struct worker_process *process);
YARDER_MUST_USE int worker_go_heir(
    const struct supervisor *supervisor, struct worker_process *process);
int worker_tell(
    struct worker_process *process, enum channel_kind kind, uint32_t index, uint64_t number);
int worker_tell_region(struct worker_process *process, const struct region_view *region);
/* A message of a worker; the candidate's and leaving ones' too. */
void worker_hear(struct supervisor *supervisor, struct worker_process *process);
/* waitpid gave this pid. True when it was a worker. */
bool worker_reaped(struct supervisor *supervisor, pid_t pid, int status);
/* Closes a deployment as soon as no worker uses it. */
void deployment_release(struct supervisor *supervisor, struct deployment *deployment);
/* What time brings: restarts, kills, fencing. */
void workers_serve(struct supervisor *supervisor);
/* What leaving ones have not delivered is told; whether there was any. */
bool workers_say_left(const struct supervisor *supervisor);
uint64_t workers_deadline_ns(const struct supervisor *supervisor);
/* A free place of `leaving`, or NULL when only `spare` are left. */
struct worker_process *workers_leaving_place(struct supervisor *supervisor, uint32_t spare);

/* reload.c */
/* `upgrade`: the new worker runs the binary that stands on disk now. */
void reload_begin(struct supervisor *supervisor, bool upgrade);
void reload_ready(struct supervisor *supervisor); /* the candidate is */
/* The worker has given the lease away; on the files of `busy` outputs it has a call under way. */
void reload_quieted(struct supervisor *supervisor, uint64_t busy);
void reload_failed(struct supervisor *supervisor, const char *why);

/* banner.c */
void banner_show(const struct supervisor *supervisor);

/* place.c: folders and lock. What cannot be had is told. */
YARDER_MUST_USE int place_open(struct supervisor *supervisor);
void place_close(const struct supervisor *supervisor);

/* startup.c */
/* What is closed becomes /dev/null, lest a socket of ours becomes standard output. */
void supervisor_open_standard(void);
/* A record written into that /dev/null would count as delivered: such an output is refused. */
YARDER_MUST_USE int supervisor_check_standard(
    const struct daemon_config *config, struct config_report *report);
YARDER_MUST_USE int supervisor_open(struct supervisor *supervisor);
void supervisor_close(struct supervisor *supervisor);

/* supervisor.c */
/* What the sockets of the last prepare and adopt had to say. */
void supervisor_show_problems(const struct supervisor *supervisor);
void supervisor_say(const char *format, ...) YARDER_PRINTF(1, 2);

#endif
