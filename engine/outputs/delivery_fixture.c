/* SPDX-License-Identifier: Apache-2.0 */
#include "outputs/delivery_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

enum { BUFFER_BYTES = 16 << 10, CONTENT_BYTES = 64 << 20 };

static const uint64_t tick_ns = 1000000;

static int keep(void *owner, uint32_t queue, int fd, bool only)
{
    struct world *world = owner;
    struct world_kept *kept = world->kept[queue];
    if (world->deaf > 0) {
        world->deaf--;
        return -ETIMEDOUT;
    }
    for (int i = only ? 0 : WORLD_KEPT_EACH - 1; i < WORLD_KEPT_EACH; i++) {
        yarder_fd_drop(&kept[i].fd);
        kept[i].fd = -1;
    }
    kept[1] = kept[0];
    const struct hold_queue *named = &world->hold->queues[queue];
    kept[0] = (struct world_kept){
        .fd = fcntl(fd, F_DUPFD_CLOEXEC, 3), .dev = named->dev, .ino = named->ino};
    return 0;
}

static int forget(void *owner, uint32_t queue)
{
    struct world *world = owner;
    if (world->deaf > 0) {
        world->deaf--;
        return -ETIMEDOUT;
    }
    for (int i = 0; i < WORLD_KEPT_EACH; i++) {
        yarder_fd_drop(&world->kept[queue][i].fd);
        world->kept[queue][i].fd = -1;
    }
    return 0;
}

static void complain(void *owner, const char *line)
{
    struct world *world = owner;
    (void)line;
    world->complaints++;
}

void world_init(struct world *world, uint32_t queues, uint32_t buffers)
{
    *world = (struct world){
        .hold_fd = -1, .now_ns = 1000000000, .block_limit_ns = UINT64_MAX, .queues = queues};
    world->kept = calloc(queues, sizeof(*world->kept));
    assert_non_null(world->kept);
    const char *base = getenv("TMPDIR");
    (void)snprintf(world->folder, sizeof(world->folder), "%s/delivery-test-XXXXXX",
        base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(world->folder));
    (void)snprintf(world->target, sizeof(world->target), "%s/%s", world->folder,
        queues == 1 ? "log" : "${tag}");
    static char name[] = "out";
    static char format[] = "text";
    world->config = (struct output_config){.kind = OUTPUT_FILE,
        .name = name,
        .target = world->target,
        .format = format,
        .flush_ns = 5 * tick_ns,
        .mode = 0640,
        .mkdir = true,
        .open_max = queues,
        .idle_close_ns = 300000 * tick_ns};
    const struct hold_shape shape = {.inputs_count = 1,
        .outputs_count = 1,
        .queues_count = queues,
        .buffers_count = buffers,
        .outputs = {
            {.queues_count = queues, .buffers_count = buffers, .buffer_bytes = BUFFER_BYTES}}};
    assert_int_equal(hold_create(&shape, &world->hold_fd), 0);
    world->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    world->services = (struct output_services){world, keep, forget, complain};
    for (uint32_t i = 0; i < queues; i++) {
        world->kept[i][0].fd = world->kept[i][1].fd = -1;
    }
}

/* As the worker's start does: the descriptor that the commit names, and no other is kept on. */
static int kept_of(struct world *world, uint32_t queue)
{
    const struct hold_queue *named = &world->hold->queues[queue];
    int fd = -1;
    for (int i = 0; i < WORLD_KEPT_EACH; i++) {
        const struct world_kept *kept = &world->kept[queue][i];
        if (fd < 0 && kept->fd >= 0 && named->ino != 0 && kept->ino == named->ino &&
            (named->flags & HOLD_QUEUE_ACTIVE) != 0) {
            fd = fcntl(kept->fd, F_DUPFD_CLOEXEC, 3);
        }
    }
    if (fd >= 0) {
        (void)keep(world, queue, fd, true);
    } else {
        (void)forget(world, queue);
    }
    return fd;
}

void world_start(struct world *world)
{
    assert_int_equal(hold_open(&world->hold, world->hold_fd), 0);
    assert_int_equal(hold_load(world->hold), 0);
    const struct output_open_options options = {.config = &world->config,
        .hold = world->hold,
        .host = "here",
        .state_dir = world->folder,
        .event_fd = world->event_fd,
        .writer_sleeps = &world->sleeps,
        .services = &world->services,
        .block_limit_ns = world->block_limit_ns,
        .waiting_hurts = world->waiting_hurts};
    char why[200] = "";
    int r = output_open(&world->output, &options, why, sizeof(why));
    if (r < 0) {
        fail_msg("%s", why);
    }
    for (uint32_t i = 0; i < world->hold->shape.queues_count; i++) {
        int fd = kept_of(world, i);
        if ((world->hold->queues[i].flags & HOLD_QUEUE_ACTIVE) != 0) {
            output_resume_queue(&world->output, i, fd);
        }
    }
    output_start(&world->output, world->now_ns);
    world->works = true;
}

void world_die(struct world *world)
{
    assert_int_equal(output_close(&world->output, 20000000000), 0);
    hold_close(world->hold);
    world->works = false;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status, (void)type, (void)where;
    return remove(path);
}

void world_remove(const char *folder)
{
    (void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void world_end(struct world *world)
{
    if (world->works) {
        world_die(world);
    }
    for (uint32_t i = 0; i < world->queues; i++) {
        (void)forget(world, i);
    }
    free(world->kept);
    (void)close(world->hold_fd);
    (void)close(world->event_fd);
    world_remove(world->folder);
}

void world_reap(struct world *world)
{
    world->now_ns += tick_ns;
    (void)output_reap(&world->output, world->now_ns);
}

void world_commit(struct world *world, bool drain)
{
    (void)output_seal(&world->output, world->now_ns, drain);
    hold_commit(world->hold);
    output_settle(&world->output);
    output_submit(&world->output, world->now_ns);
}

void world_pass(struct world *world)
{
    world_reap(world);
    world_commit(world, false);
}

void world_put(struct world *world, const char *text, size_t bytes, const char *tag)
{
    const struct yarder_record record = {
        .text = {text, bytes}, .tag = {tag, tag == NULL ? 0 : strlen(tag)}};
    output_put(&world->output, &record, 1, world->now_ns);
}

void world_wait(struct world *world)
{
    if (world->output.under_way == 0) {
        return;
    }
    __atomic_store_n(&world->sleeps, 1, __ATOMIC_SEQ_CST);
    if (!output_reap(&world->output, world->now_ns)) { /* once more, after the flag */
        struct pollfd event = {.fd = world->event_fd, .events = POLLIN};
        assert_int_equal(poll(&event, 1, 20000), 1);
    }
    uint64_t count = 0;
    (void)!read(world->event_fd, &count, sizeof(count));
    __atomic_store_n(&world->sleeps, 0, __ATOMIC_SEQ_CST);
}

void world_deliver(struct world *world)
{
    enum { PASSES_MAX = 1000000 };
    for (unsigned i = 0; !output_is_idle(&world->output); i++) {
        assert_true(i < PASSES_MAX);
        world_reap(world);
        world_commit(world, true);
        world_wait(world);
    }
    world_pass(world);
}

const char *world_path(const struct world *world, const char *name)
{
    static char paths[2][WORLD_PATH_BYTES];
    static unsigned turn;
    char *path = paths[turn++ % 2];
    int length = snprintf(path, WORLD_PATH_BYTES, "%s/%s", world->folder, name);
    assert_in_range(length, 1, WORLD_PATH_BYTES - 1);
    return path;
}

const char *world_content(const struct world *world, const char *name, size_t *bytes)
{
    static char content[CONTENT_BYTES];
    YARDER_OWN_FD int fd = open(world_path(world, name), O_RDONLY | O_CLOEXEC);
    *bytes = 0;
    ssize_t r = fd < 0 ? 0 : 1;
    while (r > 0 && *bytes + 1 < sizeof(content)) {
        r = read(fd, content + *bytes, sizeof(content) - 1 - *bytes);
        assert_true(r >= 0);
        *bytes += (size_t)r;
    }
    content[*bytes] = '\0';
    return content;
}

bool world_put_number(struct world *world, uint64_t number)
{
    char text[64];
    char tag[16];
    int bytes =
        snprintf(text, sizeof(text), "%llu and some more of it", (unsigned long long)number);
    (void)snprintf(tag, sizeof(tag), "t%llu", (unsigned long long)(number % WORLD_TAGS));
    const struct yarder_record record = {.text = {text, (size_t)bytes}, .tag = {tag, strlen(tag)}};
    if (output_blocks(&world->output, &record, world->now_ns)) {
        return false;
    }
    output_put(&world->output, &record, 1, world->now_ns);
    return true;
}

uint64_t world_check_numbers(
    const struct world *world, const char *name, uint64_t first, uint64_t step)
{
    size_t bytes = 0;
    const char *at = world_content(world, name, &bytes);
    const char *end = at + bytes;
    uint64_t count = 0;
    for (; at < end; count++) {
        char *rest = NULL;
        assert_int_equal(strtoull(at, &rest, 10), first + count * step);
        at = memchr(at, '\n', (size_t)(end - at));
        assert_non_null(at);
        at++;
    }
    return count;
}

void world_append(const struct world *world, const char *name, const char *text)
{
    YARDER_OWN_FD int fd = open(world_path(world, name), O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

void world_check_ledger(const struct world *world)
{
    const struct hold_output *counts = &world->hold->outputs[0];
    uint64_t dropped = 0;
    for (int i = 0; i < HOLD_DROPPED_REASONS; i++) {
        dropped += counts->dropped[i];
    }
    assert_int_equal(counts->copies + counts->found,
        counts->delivered + dropped + counts->dead + hold_held(world->hold, 0) + counts->spooled);
}
