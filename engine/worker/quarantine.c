/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record that kills the worker would kill every worker after it, for it is taken again each
 * time. After three crashes at the same commit the supervisor asks for care: one record a pass,
 * named in the hold before it is touched. If the worker dies with a name standing there, the next
 * one puts that source's first record into STATE_DIR/quarantine and goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/worker_private.h"

enum { CAREFUL_RECORDS = 2000 };

uint32_t careful_limit(const struct worker *worker, uint32_t records)
{
    if (!worker->careful.on) {
        return records;
    }
    return worker->hold->header->suspect != 0 ? 0 : 1; /* one in the whole pass */
}

void careful_before(struct worker *worker, uint64_t suspect)
{
    if (!worker->careful.on) {
        return;
    }
    struct hold_header *header = worker->hold->header;
    __atomic_store_n(&header->suspect_input, suspect, __ATOMIC_RELEASE);
    __atomic_store_n(&header->suspect, suspect != 0, __ATOMIC_RELEASE);
}

static int quarantine_write(const struct worker *worker, const struct yarder_record *record)
{
    char path[YARDER_PATH_BYTES_MAX];
    (void)snprintf(path, sizeof(path), "%s/quarantine", worker->config->state_dir);
    if (mkdir(path, 0700) < 0 && errno != EEXIST) {
        return -errno;
    }
    size_t folder_bytes = strlen(path);
    (void)snprintf(path + folder_bytes, sizeof(path) - folder_bytes, "/%llu-%s",
        (unsigned long long)worker->batch->now_ns, worker->config->inputs[record->input].name);
    for (char *at = path + folder_bytes + 1; *at != '\0'; at++) {
        *at = *at == '/' || *at == ' ' ? '_' : *at;
    }
    YARDER_OWN_FD int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -errno;
    }
    return write(fd, record->text.at, record->text.length) == (ssize_t)record->text.length ? 0
                                                                                           : -EIO;
}

bool careful_is_killer(struct worker *worker, uint64_t suspect, const struct yarder_record *record)
{
    if (!worker->careful.set_aside || worker->careful.suspect != suspect) {
        return false;
    }
    worker->careful.set_aside = false;
    struct hold_input *counts = &worker->hold->inputs[record->input];
    counts->received++;
    counts->refused[HOLD_REFUSED_QUARANTINE]++;
    int r = quarantine_write(worker, record);
    worker_say(worker, "a record of input %s killed the worker again and again: set aside%s%s",
        worker->config->inputs[record->input].name,
        r < 0 ? ", but not kept: " : " in the folder quarantine of the state directory",
        r < 0 ? strerror(-r) : "");
    return true;
}

void careful_after_commit(struct worker *worker)
{
    struct careful *careful = &worker->careful;
    if (!careful->on || worker->hold->header->suspect == 0) {
        return;
    }
    __atomic_store_n(&worker->hold->header->suspect, 0, __ATOMIC_RELEASE);
    if (--careful->left == 0) {
        careful->on = false;
    }
}

void careful_begin(struct worker *worker)
{
    const struct hold_header *header = worker->hold->header;
    worker->careful = (struct careful){.on = true,
        .set_aside = header->suspect != 0,
        .suspect = header->suspect_input,
        .left = CAREFUL_RECORDS};
    __atomic_store_n(&worker->hold->header->suspect, 0, __ATOMIC_RELEASE);
}
