/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `yarder spool replay`: records that lie somewhere are printed, or appended to the queue on disk
 * of an output. They get new ids: those that they had are past for a queue that has gone on since,
 * and would be taken for doubles.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/spool.h"
#include "os/memory.h"
#include "queue/spool_check.h"

enum { RUN_BYTES = 1 << 20, PROGRESS_RECORDS = 1 << 20 };

struct replay {
    const struct cli *cli;
    const struct spool_command *options;
    struct spool *to; /* NULL: records are printed */
    struct spool_shared shared, from_shared;
    struct yarder_id next;
    char *run; /* SPOOL_RECORD_BYTES_MAX + RUN_BYTES: what is appended at once */
    size_t run_bytes;
    uint64_t records, skipped;
};

static void say_line(void *owner, const char *line)
{
    (void)owner;
    (void)fprintf(stderr, "%s\n", line);
}

static int open_spool(
    struct replay *replay, const char *name, struct spool_shared *shared, struct spool **out)
{
    struct spool_options options = {.state_dir = replay->options->state_dir,
        .name = name,
        .limit_bytes = UINT64_MAX, /* who replays knows what there is room for */
        .record_bytes_max = SPOOL_RECORD_BYTES_MAX,
        .sync = SPOOL_SYNC_INTERVAL, /* forced to the disk at the end of each segment */
        .tell = say_line,
        .shared = shared};
    char why[SPOOL_LINE_BYTES_MAX];
    int r = spool_open(out, &options, why, sizeof(why));
    if (r < 0) {
        cli_say(replay->cli, "%s%s", why, r == -EAGAIN ? "; stop that daemon first" : "");
    }
    return r;
}

static bool has_spool(const struct spool_command *options, const char *name)
{
    char path[1024];
    char folder[256];
    struct stat seen;
    spool_folder_name(name, folder, sizeof(folder));
    (void)snprintf(path, sizeof(path), "%s/spool/%s", options->state_dir, folder);
    return stat(path, &seen) == 0 && S_ISDIR(seen.st_mode);
}

static void print_run(const char *bytes, size_t bytes_count)
{
    struct yarder_record record;
    struct yarder_id id;
    struct yarder_field fields[YARDER_FIELDS_MAX];
    size_t taken = 0;
    for (size_t at = 0; at < bytes_count; at += taken) {
        if (pack_read(bytes + at, bytes_count - at, &record, &id, fields, YARDER_FIELDS_MAX,
                &taken) < 0) {
            return;
        }
        (void)fwrite(record.text.at, 1, record.text.length, stdout);
        (void)putchar('\n');
    }
}

static void renumber(struct replay *replay, char *bytes, size_t bytes_count)
{
    struct pack_head head;
    for (size_t at = 0; at < bytes_count; at += head.bytes) {
        memcpy(&head, bytes + at, sizeof(head));
        head.epoch_ns = replay->next.epoch_ns;
        head.number = replay->next.number++;
        memcpy(bytes + at, &head, sizeof(head));
    }
}

static int append_run(struct replay *replay)
{
    size_t done = 0;
    renumber(replay, replay->run, replay->run_bytes);
    while (done < replay->run_bytes) {
        struct spool_stored stored;
        int r = spool_append(replay->to, replay->run + done, replay->run_bytes - done, &stored);
        if (r < 0) {
            cli_say(replay->cli, "%s: %s", replay->options->to, strerror(-r));
            return r;
        }
        done += stored.bytes;
    }
    replay->run_bytes = 0;
    return 0;
}

static void count(struct replay *replay, uint32_t records)
{
    uint64_t before = replay->records;
    replay->records += records;
    if (replay->to != NULL && before / PROGRESS_RECORDS != replay->records / PROGRESS_RECORDS) {
        (void)fprintf(stderr, "%llu records\n", (unsigned long long)replay->records);
    }
}

static int take_run(void *replay_, const char *bytes, size_t bytes_count, uint32_t records)
{
    struct replay *replay = replay_;
    count(replay, records);
    if (replay->to == NULL) {
        print_run(bytes, bytes_count);
        return ferror(stdout) ? -EIO : 0;
    }
    memcpy(replay->run, bytes, bytes_count);
    replay->run_bytes = bytes_count;
    return append_run(replay);
}

/* Answered once they stand in the other, whatever then happens: twice sooner than never. */
static int move_spool(struct replay *replay, const char *name)
{
    struct spool *from = NULL;
    struct spool_look look;
    struct spool_batch batch;
    int r = open_spool(replay, name, &replay->from_shared, &from);
    if (r < 0) {
        return r;
    }
    spool_look(from, &look);
    spool_release(&replay->from_shared, look.end);
    while ((r = spool_read(from, &batch)) == 0) {
        r = take_run(replay, batch.bytes, batch.bytes_count, batch.records);
        if (r == 0) {
            const struct spool_answers answers = {.delivered = batch.records};
            r = spool_answer(from, &batch, batch.bytes_count, &answers);
        }
        if (r < 0) {
            break;
        }
    }
    spool_close(from);
    return r == -EAGAIN ? 0 : r;
}

static int read_letters(struct replay *replay, FILE *file)
{
    YARDER_OWN_HEAP char *line = NULL;
    size_t room = 0;
    int r = 0;
    while (r == 0 && getline(&line, &room, file) > 0) {
        size_t taken = 0;
        r = letter_pack(line, replay->run, SPOOL_RECORD_BYTES_MAX, &taken);
        if (r == -ENOMEM) {
            return r;
        }
        if (r < 0 || taken == 0) {
            replay->skipped++;
            r = 0;
            continue;
        }
        count(replay, 1);
        replay->run_bytes = taken;
        if (replay->to == NULL) {
            print_run(replay->run, taken);
        } else {
            r = append_run(replay);
        }
    }
    return r;
}

/*
 * Dead letters are lines that begin with a brace; all else is taken for bytes of a spool, and what
 * has no record of one for lines again, which are counted.
 */
static int read_file(struct replay *replay, const char *path)
{
    YARDER_OWN_FILE FILE *file = fopen(path, "rbe");
    if (file == NULL) {
        cli_say(replay->cli, "%s: %s", path, strerror(errno));
        return -errno;
    }
    int first = getc(file);
    rewind(file);
    int r = first == '{' ? 0 : spool_visit_file(fileno(file), take_run, replay);
    return r < 0 || replay->records > 0 ? r : read_letters(replay, file);
}

static int run_replay(struct replay *replay, const char *source)
{
    bool spool = has_spool(replay->options, source);
    if (spool && replay->to == NULL) {
        char folder[256];
        spool_folder_name(source, folder, sizeof(folder));
        const struct spool_check_options options = {
            .state_dir = replay->options->state_dir, .folder = folder, .tell = say_line};
        return spool_visit(&options, take_run, replay);
    }
    return spool ? move_spool(replay, source) : read_file(replay, source);
}

/* Both kinds of trouble with --to, said. */
static int check_to(const struct cli *cli, const struct spool_command *options, const char *source)
{
    if (strcmp(options->to, source) == 0) {
        return cli_refuse(cli, "a spool cannot be replayed to itself");
    }
    if (!has_spool(options, options->to)) {
        return cli_refuse(cli,
            "output '%.64s' has no queue on disk in %s/spool (a daemon that has "
            "run with queue=disk leaves one there)",
            options->to, options->state_dir);
    }
    return CLI_GO_ON;
}

int spool_replay_command(
    const struct cli *cli, const struct spool_command *options, const char *source)
{
    if (options->json) {
        return cli_refuse(cli, "--json is for ls and check");
    }
    int status = options->to == NULL ? CLI_GO_ON : check_to(cli, options, source);
    if (status != CLI_GO_ON) {
        return status;
    }
    struct replay replay = {
        .cli = cli, .options = options, .next = {(uint64_t)os_realtime_ns(), 1}};
    YARDER_OWN_HEAP char *run = malloc(SPOOL_RECORD_BYTES_MAX + RUN_BYTES);
    replay.run = run;
    int r = run == NULL           ? -ENOMEM
            : options->to == NULL ? 0
                                  : open_spool(&replay, options->to, &replay.shared, &replay.to);
    bool told = r < 0 && run != NULL;
    if (r == 0) {
        r = run_replay(&replay, source);
    }
    spool_close(replay.to);
    if (r < 0 && !told) {
        cli_say(cli, "%s: %s", source, strerror(-r));
    }
    bool nothing = replay.records == 0 && replay.skipped > 0;
    if (replay.to != NULL || replay.skipped > 0) {
        (void)fprintf(stderr, "%llu records replayed, %llu lines that are no dead letter\n",
            (unsigned long long)replay.records, (unsigned long long)replay.skipped);
    }
    return r < 0 || nothing ? CLI_FAILED : CLI_GOOD;
}
