/* SPDX-License-Identifier: Apache-2.0 */
/* What workers say. Their numbers are checked where they are used: a worker may be out of order. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "control/supervisor_private.h"

enum { MESSAGES_EACH_TIME = 256 };

static void ready(struct supervisor *supervisor, struct worker_process *process)
{
    if (process->stage != STAGE_PREPARING) {
        return;
    }
    process->stage = STAGE_READY;
    notify_alive(&supervisor->notify);
    if (process == &supervisor->candidate) {
        reload_ready(supervisor);
    } else if (process != &supervisor->worker) {
        if (worker_go_heir(supervisor, process) < 0) {
            (void)kill(process->pid, SIGKILL);
        }
    } else if (worker_go(supervisor, process) < 0) {
        supervisor_say("the worker does not listen; it is started again");
        (void)kill(process->pid, SIGKILL);
    } else if (!supervisor->started) {
        supervisor->started = true;
        notify_ready(&supervisor->notify);
    } else if (supervisor->candidate.stage == STAGE_READY) {
        reload_ready(supervisor); /* of a reload that began before our predecessor died */
    }
}

/* Connections go on to the candidate as they come; its own queue of messages holds them. */
static void pass_on(struct supervisor *supervisor, struct channel_message *message)
{
    if (supervisor->candidate.pid != 0 &&
        channel_send(supervisor->candidate.channel_fd, message, 5000) < 0) {
        supervisor_say("a connection could not be handed over at the reload");
    }
}

static void hear_one(
    struct supervisor *supervisor, struct worker_process *process, struct channel_message *message)
{
    struct channel_file file;
    switch (message->kind) {
    case CHANNEL_READY:
        ready(supervisor, process);
        return;
    case CHANNEL_FILE:
        if (message->number == 1) {
            deployment_forget(process->deployment, message->index);
        }
        memcpy(&file, message->text, sizeof(file));
        deployment_keep(
            process->deployment, message->index, yarder_fd_take(&message->fds[0]), &file);
        return;
    case CHANNEL_FILE_CLOSED:
        deployment_forget(process->deployment, message->index);
        return;
    case CHANNEL_ALIVE:
        process->asked = false;
        notify_alive(&supervisor->notify);
        return;
    case CHANNEL_REGION_DONE:
        (void)!regions_done(supervisor->regions, message->number);
        return;
    case CHANNEL_REGION_REFUSED:
        if (process == &supervisor->worker && supervisor->candidate.pid == 0) {
            (void)!regions_refuse(supervisor->regions, message->number);
        } /* else the next worker, which was told of it too, says whether it can */
        return;
    case CHANNEL_RELOAD:
        reload_begin(supervisor, false);
        return;
    case CHANNEL_REOPEN:
        (void)!worker_tell(&supervisor->worker, CHANNEL_REOPEN, 0, 0);
        return;
    case CHANNEL_CONNECTION:
    case CHANNEL_BATON:
        pass_on(supervisor, message);
        return;
    case CHANNEL_QUIETED:
        if (process == &supervisor->worker && process->stage == STAGE_QUIETING) {
            reload_quieted(supervisor, message->number);
        }
        return;
    case CHANNEL_ENDED:
        supervisor->ended = message->number == 0;
        supervisor->reader_gone = message->number != 0;
        return;
    default:
        return;
    }
}

void worker_hear(struct supervisor *supervisor, struct worker_process *process)
{
    for (unsigned i = 0; i < MESSAGES_EACH_TIME && process->channel_fd >= 0; i++) {
        struct channel_message message;
        int r = channel_receive(process->channel_fd, &message);
        if (r == -EPIPE) { /* it is dying: its pid tells */
            yarder_fd_drop(&process->channel_fd);
            process->channel_fd = -1;
            return;
        }
        if (r == 0) {
            return;
        }
        if (r < 0) {
            supervisor_say("a message of the worker was lost: %s", strerror(-r));
            continue;
        }
        hear_one(supervisor, process, &message);
        channel_message_drop(&message);
    }
}
