/* SPDX-License-Identifier: Apache-2.0 */
/* Spools from outside: for commands, which look while a daemon works, or mend what nobody has open.
 */
#ifndef YARDER_QUEUE_SPOOL_CHECK_H
#define YARDER_QUEUE_SPOOL_CHECK_H

#include "queue/spool.h"

struct spool_report {
    struct spool_totals totals;
    uint64_t records; /* left: not answered */
    uint64_t bytes;   /* of all segments */
    int64_t first_ns; /* when the first record that is left was received; 0: none is left */
    uint32_t segments;
    uint32_t aside;  /* files in damaged/ */
    int64_t process; /* that has it open; 0: none has */
    bool no_ack;     /* its ack file is missing or damaged, though there are records */
    /* of a check: what is left was read, record by record */
    uint64_t sound, missing, bad_bytes;
    uint32_t bad_segments;
};

struct spool_check_options {
    const char *state_dir;
    const char *folder;                          /* in STATE_DIR/spool */
    bool reads;                                  /* every record that is left, not only the heads */
    void (*tell)(void *owner, const char *line); /* what is wrong; NULL: nobody listens */
    void *owner;
};

/* Changes nothing. 0; -ENOENT: there is no such spool; -errno. */
YARDER_MUST_USE int spool_check(
    struct spool_report *out, const struct spool_check_options *options);

/*
 * Sets aside in damaged/ what is no sound record and writes segments anew without it; what it cost
 * is counted when the daemon's reader gets there. *mended: segments. 0; -EAGAIN: some process has
 * it open; -errno.
 */
YARDER_MUST_USE int spool_repair(const struct spool_check_options *options, uint32_t *mended);

/*
 * Calls `each` with runs of sound records, as they lie there: of those that are left in a spool, or
 * of a file of its damaged/. It answers 0 to go on. Changes nothing. Their last one's answer, or
 * -errno.
 */
typedef int spool_visitor(void *owner, const char *bytes, size_t bytes_count, uint32_t records);
YARDER_MUST_USE int spool_visit(
    const struct spool_check_options *options, spool_visitor *each, void *owner);
YARDER_MUST_USE int spool_visit_file(int fd, spool_visitor *each, void *owner);

/* Calls `each` with every folder of STATE_DIR/spool, in order. 0 (also: there is none); -errno. */
YARDER_MUST_USE int spool_folders(
    const char *state_dir, void (*each)(void *owner, const char *folder), void *owner);

/* The output's name that a folder's stands for. */
void spool_name_of_folder(const char *folder, char *at, size_t room);

#endif
