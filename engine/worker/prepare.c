/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/prepare.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "worker/status.h"

void preparation_init(struct preparation *preparation)
{
    memset(preparation, 0, sizeof(*preparation));
    preparation->hold_fd = preparation->old_hold_fd = preparation->control_fd = -1;
    preparation->board_fd = preparation->baton_fd = -1;
    for (uint32_t i = 0; i < YARDER_INPUTS_MAX; i++) {
        preparation->sockets[i] = -1;
    }
    for (uint32_t i = 0; i < YARDER_PIPES_MAX; i++) {
        preparation->pipes[i][0] = preparation->pipes[i][1] = preparation->pipes[i][2] = -1;
        preparation->settled[i] = -1;
    }
}

static int put_file(struct preparation *preparation, struct channel_message *message)
{
    if (preparation->files_count == preparation->files_room) {
        uint32_t room = 2 * preparation->files_room + 64;
        struct preparation_file *larger = realloc(preparation->files, room * sizeof(*larger));
        if (larger == NULL) {
            return -ENOMEM;
        }
        preparation->files = larger;
        preparation->files_room = room;
    }
    struct preparation_file *file = &preparation->files[preparation->files_count++];
    *file = (struct preparation_file){.queue = message->index,
        .old = message->number == 1,
        .fd = yarder_fd_take(&message->fds[0])};
    memcpy(&file->file, message->text, sizeof(file->file));
    return 0;
}

static int put_region(struct preparation *preparation, struct channel_message *message)
{
    if (preparation->regions == NULL) {
        preparation->regions = calloc(YARDER_REGIONS_MAX, sizeof(*preparation->regions));
    }
    if (preparation->regions == NULL || preparation->regions_count == YARDER_REGIONS_MAX) {
        return -ENOMEM;
    }
    preparation->regions[preparation->regions_count++] = *message;
    message->fds[0] = message->fds[1] = -1;
    return 0;
}

static int put_stream(struct preparation *preparation, struct channel_message *message)
{
    if (preparation->streams_count == preparation->streams_room) {
        uint32_t room = 2 * preparation->streams_room + 64;
        struct preparation_stream *larger = realloc(preparation->streams, room * sizeof(*larger));
        if (larger == NULL) {
            return -ENOMEM;
        }
        preparation->streams = larger;
        preparation->streams_room = room;
    }
    preparation->streams[preparation->streams_count++] = (struct preparation_stream){
        .fd = yarder_fd_take(&message->fds[0]), .pid = message->pid, .offset = message->number};
    return 0;
}

static int put_old_config(struct preparation *preparation, const struct worker_options *options,
    const struct channel_message *message)
{
    char why[512] = "";
    preparation->old_config = options->config_of(message->fds[0], why, sizeof(why));
    if (preparation->old_config == NULL) {
        (void)fprintf(stderr, "yarder: settings of the worker before: %s\n", why);
        return -EINVAL;
    }
    return 0;
}

int preparation_put(struct worker *worker, struct preparation *preparation,
    const struct worker_options *options, struct channel_message *message)
{
    uint32_t index = message->index;
    switch (message->kind) {
    case CHANNEL_HOLD:
        preparation->hold_fd = yarder_fd_take(&message->fds[0]);
        return 0;
    case CHANNEL_OLD_HOLD:
        preparation->old_hold_fd = yarder_fd_take(&message->fds[0]);
        return 0;
    case CHANNEL_OLD_SETTINGS:
        return put_old_config(preparation, options, message);
    case CHANNEL_LISTENER:
        if (worker->config == NULL || index >= worker->config->inputs_count) {
            return -EPROTO;
        }
        preparation->sockets[index] = yarder_fd_take(&message->fds[0]);
        return 0;
    case CHANNEL_PIPE:
        if (index >= YARDER_PIPES_MAX) {
            return -EPROTO;
        }
        for (int i = 0; i < 3; i++) {
            preparation->pipes[index][i] = yarder_fd_take(&message->fds[i]);
        }
        return 0;
    case CHANNEL_SETTLED:
        if (index >= YARDER_PIPES_MAX) {
            return -EPROTO;
        }
        preparation->settled[index] = yarder_fd_take(&message->fds[0]);
        return 0;
    case CHANNEL_FILE:
        return put_file(preparation, message);
    case CHANNEL_REGION:
        return put_region(preparation, message);
    case CHANNEL_REGION_GONE:
        for (uint32_t i = 0; i < preparation->regions_count; i++) {
            if (preparation->regions[i].number == message->number) {
                preparation->regions[i].index = 1; /* gone */
            }
        }
        return 0;
    case CHANNEL_CONTROL:
        preparation->control_fd = yarder_fd_take(&message->fds[0]);
        return 0;
    case CHANNEL_BOARD:
        preparation->board_fd = yarder_fd_take(&message->fds[0]);
        return 0;
    case CHANNEL_CONNECTION:
        return put_stream(preparation, message);
    case CHANNEL_BATON:
        yarder_fd_drop(&preparation->baton_fd);
        preparation->baton_fd = yarder_fd_take(&message->fds[0]);
        preparation->baton_pid = message->pid;
        return 0;
    case CHANNEL_FENCE:
        preparation->fenced |= index < 64 ? UINT64_C(1) << index : 0;
        return 0;
    default:
        return 0; /* said to a running worker: nothing to keep */
    }
}

int preparation_file(struct preparation *preparation, uint32_t queue, uint64_t dev, uint64_t ino)
{
    uint32_t from = preparation_from(preparation, queue);
    bool old = from != HOLD_NONE;
    for (uint32_t i = 0; i < preparation->files_count && ino != 0; i++) {
        struct preparation_file *file = &preparation->files[i];
        if (file->fd < 0 || file->old != old || file->queue != (old ? from : queue)) {
            continue;
        }
        if (file->file.dev == dev && file->file.ino == ino) {
            return yarder_fd_take(&file->fd);
        }
    }
    return -1;
}

bool preparation_keeps_more(const struct preparation *preparation, uint32_t queue)
{
    for (uint32_t i = 0; i < preparation->files_count; i++) {
        const struct preparation_file *file = &preparation->files[i];
        if (file->fd >= 0 && !file->old && file->queue == queue && file->file.ino != 0) {
            return true;
        }
    }
    return false;
}

static int open_socket(struct worker *worker, uint32_t index, int fd)
{
    const struct input_config *config = &worker->config->inputs[index];
    bool datagram = config->kind == INPUT_UDP ||
                    (config->kind == INPUT_UNIX && config->socket_type == INPUT_SOCKET_DATAGRAM);
    if (datagram) {
        struct datagram_input *own = &worker->datagrams[index];
        own->input = &worker->inputs[index];
        own->source = (struct io_source){
            .fd = fd, .kind = IO_DATAGRAM, .owner = own, .owner_kind = SOURCE_DATAGRAM};
        worker->wait_for_first |= config->kind == INPUT_UNIX;
        return io_add(worker->io, &own->source);
    }
    struct listener_input *own = &worker->listeners[index];
    own->input = &worker->inputs[index];
    own->source =
        (struct io_source){.fd = fd, .kind = IO_READY, .owner = own, .owner_kind = SOURCE_LISTENER};
    return io_add(worker->io, &own->source);
}

static int open_pipes(struct worker *worker, struct preparation *preparation)
{
    for (uint32_t i = 0; i < worker->hold->shape.pipes_count; i++) {
        struct pipe_place place;
        if (preparation->pipes[i][0] < 0 ||
            pipe_place(worker->config->inputs, worker->config->inputs_count, i, &place) < 0) {
            continue;
        }
        struct pipe_input *pipe = &worker->pipes[i];
        pipe_open(pipe, &worker->inputs[place.input], worker->hold, i, place.stream,
            preparation->pipes[i]);
        if (preparation->settled[i] >= 0) {
            pipe_settle_in(pipe, preparation->settled[i]);
            yarder_fd_drop(&preparation->settled[i]);
        }
        pipe->source.owner = pipe;
        pipe->source.owner_kind = SOURCE_PIPE;
        int r = io_add(worker->io, &pipe->source);
        if (r < 0) {
            return r;
        }
        worker->pipe_is_open[i] = true;
    }
    return 0;
}

static void open_regions(struct worker *worker, struct preparation *preparation)
{
    for (uint32_t i = 0; i < preparation->regions_count; i++) {
        struct channel_message *message = &preparation->regions[i];
        worker_take_region(worker, message);
        channel_message_drop(message);
    }
    free(preparation->regions);
    preparation->regions = NULL;
    preparation->regions_count = 0;
}

static bool is_offered(const struct worker *worker, uint64_t region)
{
    const struct ring_input *ring = worker->rings;
    while (ring != NULL && ring->id != region) {
        ring = ring->next;
    }
    return ring != NULL;
}

/* Regions that the supervisor has freed, after a commit that still had a place for them. */
static void forget_freed_regions(struct worker *worker)
{
    for (uint32_t i = 0; i < *worker->hold->regions_used; i++) {
        struct hold_region *region = hold_region_at(worker->hold, i);
        if (region->id != 0 && !is_offered(worker, region->id)) {
            *region = (struct hold_region){0};
        }
    }
}

/* What nobody claimed: files of queues that the commit does not name, old ones among them. */
static void drop_rest(struct preparation *preparation)
{
    for (uint32_t i = 0; i < preparation->files_count; i++) {
        yarder_fd_drop(&preparation->files[i].fd);
    }
    free(preparation->files);
    free(preparation->queue_from);
    yarder_fd_drop(&preparation->baton_fd);
    yarder_fd_drop(&preparation->old_hold_fd);
    for (uint32_t i = 0; i < preparation->streams_count; i++) {
        yarder_fd_drop(&preparation->streams[i].fd);
    }
    free(preparation->streams);
}

static void map_board(struct worker *worker, int board_fd)
{
    if (board_fd < 0) {
        return;
    }
    void *board = mmap(NULL, sizeof(struct board), PROT_READ, MAP_SHARED, board_fd, 0);
    worker->board = board == MAP_FAILED ? NULL : board;
    (void)close(board_fd);
}

int preparation_inputs(struct worker *worker, struct preparation *preparation)
{
    int r = open_pipes(worker, preparation);
    for (uint32_t i = 0; i < worker->config->inputs_count && r == 0; i++) {
        enum input_kind kind = worker->config->inputs[i].kind;
        bool wants = kind == INPUT_UNIX || kind == INPUT_UDP || kind == INPUT_TCP;
        worker->deaf[i] = wants && preparation->sockets[i] < 0;
        if (preparation->sockets[i] >= 0) {
            r = open_socket(worker, i, preparation->sockets[i]);
        }
    }
    if (r == 0) {
        r = handover_take_streams(worker, preparation);
    }
    if (r < 0) {
        return r;
    }
    open_regions(worker, preparation);
    forget_freed_regions(worker);
    for (uint32_t i = 0; i < worker->sink.outputs_count; i++) {
        worker->outputs[i].fenced = (preparation->fenced >> i & 1) != 0;
    }
    drop_rest(preparation);
    map_board(worker, preparation->board_fd);
    return preparation->control_fd < 0 ? 0 : status_open(worker, preparation->control_fd);
}

struct route_spec worker_route_spec(const struct daemon_config *config,
    struct route_output outputs[YARDER_OUTPUTS_MAX], const char *input_names[YARDER_INPUTS_MAX])
{
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        const struct output_config *output = &config->outputs[i];
        outputs[i] = (struct route_output){
            .name = output->logger_name != NULL ? output->logger_name : output->name,
            .named = output->named,
            .reach = output->reach,
            .alarmed = (config->alarms.outputs >> i & 1) != 0,
            .selectors = output->selectors};
    }
    for (uint32_t i = 0; i < config->inputs_count; i++) {
        input_names[i] = config->inputs[i].name;
    }
    return (struct route_spec){.outputs = outputs,
        .outputs_count = config->outputs_count,
        .routes = config->routes,
        .routes_count = config->routes_count,
        .drop = config->drop,
        .keep = config->keep,
        .uwsgi_filters_logs_only = config->uwsgi_filters_logs_only,
        .input_names = input_names,
        .inputs_count = config->inputs_count};
}
