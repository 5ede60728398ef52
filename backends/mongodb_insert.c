/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch as one insert. libmongoc waits by itself, so it gets its parts of the time: selecting a
 * server, connecting, each reading and each writing. It can be told to leave only between batches.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mongodb_private.h"

enum {
    DUPLICATE_KEY = 11000,
    NS_IN_MS = 1000000,
    TIME_PARTS = 6, /* steps that may each take their time before a batch is answered */
    TIME_PART_MS_MAX = 30000,
    TIME_PART_MS_LEAST = 20,
};
static const uint32_t answered = UINT32_MAX; /* in `places` */

void mongodb_drop_client(struct mongodb *self)
{
    mongoc_client_destroy(self->client);
    self->client = NULL;
}

static int32_t part_of(uint64_t deadline_ns)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    uint64_t left_ms = deadline_ns > now_ns ? (deadline_ns - now_ns) / NS_IN_MS : 0;
    uint64_t part_ms = left_ms / TIME_PARTS;
    return part_ms < TIME_PART_MS_LEAST ? TIME_PART_MS_LEAST
           : part_ms > TIME_PART_MS_MAX ? TIME_PART_MS_MAX
                                        : (int32_t)part_ms;
}

/* A client whose times fit; what the URI says is kept where it is shorter. */
static int make_client(struct mongodb *self, uint64_t deadline_ns)
{
    static const char *const times[] = {MONGOC_URI_SERVERSELECTIONTIMEOUTMS,
        MONGOC_URI_CONNECTTIMEOUTMS, MONGOC_URI_SOCKETTIMEOUTMS};
    int32_t part_ms = part_of(deadline_ns);
    bool fits = part_ms >= self->part_ms - self->part_ms / 4 && part_ms / 2 <= self->part_ms;
    if (self->client != NULL && fits) {
        return 0;
    }
    mongodb_drop_client(self);
    mongoc_uri_t *uri = mongoc_uri_copy(self->uri);
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        int32_t stated = mongoc_uri_get_option_as_int32(uri, times[i], 0);
        if (stated <= 0 || stated > part_ms) {
            (void)mongoc_uri_set_option_as_int32(uri, times[i], part_ms);
        }
    }
    bson_error_t error = {0};
    self->client = mongoc_client_new_from_uri_with_error(uri, &error);
    mongoc_uri_destroy(uri);
    if (self->client == NULL) {
        return self->host->fail(self->host, -EINVAL, "%s", error.message);
    }
    self->part_ms = part_ms;
    (void)mongoc_client_set_error_api(self->client, MONGOC_ERROR_API_VERSION_2);
    (void)mongoc_client_set_appname(self->client, "yarder");
    return 0;
}

/* Codes of one document's failure that are the server's state, not the document's fault. */
static bool is_passing(int32_t code)
{
    static const int32_t codes[] = {6, 7, 13, 24, 43, 50, 64, 89, 91, 112, 133, 134, 189, 262, 317,
        358, 9001, 10058, 10107, 11600, 11602, 13388, 13435, 13436, 14031, 16500};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (codes[i] == code) {
            return true;
        }
    }
    return false;
}

static int32_t number_of(const bson_t *document, const char *key)
{
    bson_iter_t at;
    bool found = bson_iter_init_find(&at, document, key) && BSON_ITER_HOLDS_NUMBER(&at);
    int64_t number = found ? bson_iter_as_int64(&at) : -1;
    return number < 0 || number > INT32_MAX ? -1 : (int32_t)number;
}

/* One of writeErrors. Returns whether it was about an item of ours. */
static bool take_write_error(
    struct mongodb *self, struct yarder_batch *batch, uint32_t count, const bson_t *error)
{
    int32_t index = number_of(error, "index");
    int32_t code = number_of(error, "code");
    bson_iter_t at;
    const char *text = bson_iter_init_find(&at, error, "errmsg") && BSON_ITER_HOLDS_UTF8(&at)
                           ? bson_iter_utf8(&at, NULL)
                           : "no reason given";
    if (index < 0 || (uint32_t)index >= count || self->places[index] == answered) {
        return false;
    }
    struct yarder_item *item = &batch->items[self->places[index]];
    self->places[index] = answered;
    /* Another unique index of the collection is the operator's wish, not our double. */
    bool ours = strstr(text, "index: _id_") != NULL || strstr(text, "index: ") == NULL;
    if (code == DUPLICATE_KEY && ours && batch->again) {
        item->result = YARDER_DELIVERED;
    } else if (is_passing(code)) {
        (void)snprintf(self->passing, sizeof(self->passing), "%s (%d)", text, code);
    } else {
        self->host->refuse(self->host, item, "insert: %s (%d)", text, code);
    }
    return true;
}

static uint32_t take_write_errors(
    struct mongodb *self, struct yarder_batch *batch, uint32_t count, const bson_t *reply)
{
    bson_iter_t list, at;
    uint32_t errors = 0;
    if (!bson_iter_init_find(&list, reply, "writeErrors") || !BSON_ITER_HOLDS_ARRAY(&list) ||
        !bson_iter_recurse(&list, &at)) {
        return 0;
    }
    while (errors < count && bson_iter_next(&at)) {
        const uint8_t *bytes = NULL;
        uint32_t bytes_count = 0;
        bson_t error;
        if (BSON_ITER_HOLDS_DOCUMENT(&at)) {
            bson_iter_document(&at, &bytes_count, &bytes);
            errors += bson_init_static(&error, bytes, bytes_count) &&
                      take_write_error(self, batch, count, &error);
        }
    }
    return errors;
}

static bool has_any(const bson_t *reply, const char *key)
{
    bson_iter_t list, at;
    return bson_iter_init_find(&list, reply, key) && BSON_ITER_HOLDS_ARRAY(&list) &&
           bson_iter_recurse(&list, &at) && bson_iter_next(&at);
}

/* Those that the server said nothing against, when it has answered for all. */
static void deliver_others(struct mongodb *self, struct yarder_batch *batch, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (self->places[i] != answered) {
            batch->items[self->places[i]].result = YARDER_DELIVERED;
        }
    }
}

/* The items that are to be sent, as documents; their count. */
static uint32_t fill(
    struct mongodb *self, struct yarder_batch *batch, mongoc_bulk_operation_t *bulk)
{
    bson_t document = BSON_INITIALIZER;
    bson_t *plain = BCON_NEW("validate", BCON_BOOL(false)); /* we make no others than valid ones */
    uint32_t count = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        if (batch->items[i].result != YARDER_LATER) {
            continue;
        }
        bson_error_t error = {.message = "it cannot be made a document"};
        bson_reinit(&document);
        if (mongodb_document(&self->shape, &batch->items[i], &document) &&
            mongoc_bulk_operation_insert_with_opts(bulk, &document, plain, &error)) {
            self->places[count++] = i;
        } else {
            self->host->refuse(self->host, &batch->items[i], "%s", error.message);
        }
    }
    bson_destroy(plain);
    bson_destroy(&document);
    return count;
}

static int execute(
    struct mongodb *self, struct yarder_batch *batch, uint32_t count, mongoc_bulk_operation_t *bulk)
{
    bson_t reply;
    bson_error_t error = {0};
    self->passing[0] = '\0';
    bool good = mongoc_bulk_operation_execute(bulk, &reply, &error) != 0;
    uint32_t errors = take_write_errors(self, batch, count, &reply);
    int32_t inserted = number_of(&reply, "nInserted");
    bool whole = inserted >= 0 && (uint32_t)inserted + errors == count;
    int r = 0;
    if (has_any(&reply, "writeConcernErrors")) {
        r = self->host->fail(self->host, -EAGAIN, "insert: %s", error.message);
    } else if (good || whole) {
        deliver_others(self, batch, count);
    } else {
        r = self->host->fail(self->host, -EIO, "insert: %s", error.message);
        mongodb_drop_client(self); /* else it would not look at this server again for seconds */
    }
    bson_destroy(&reply);
    if (r == 0 && self->passing[0] != '\0') {
        r = self->host->fail(self->host, -EAGAIN, "insert: %s", self->passing);
    }
    return r;
}

int mongodb_insert(struct mongodb *self, struct yarder_batch *batch, uint64_t deadline_ns)
{
    int r = self->host->wait(self->host, -1, 0, 0);
    if (r == 0 && self->places_room < batch->count) {
        free(self->places);
        self->places = malloc(batch->count * sizeof(*self->places));
        self->places_room = self->places == NULL ? 0 : batch->count;
        r = self->places != NULL ? 0 : self->host->fail(self->host, -ENOMEM, "no memory");
    }
    if (r == 0) {
        r = make_client(self, deadline_ns);
    }
    if (r < 0) {
        return r;
    }
    mongoc_collection_t *collection =
        mongoc_client_get_collection(self->client, self->database_name, self->collection_name);
    bson_t *unordered = BCON_NEW("ordered", BCON_BOOL(false));
    mongoc_bulk_operation_t *bulk =
        mongoc_collection_create_bulk_operation_with_opts(collection, unordered);
    uint32_t count = fill(self, batch, bulk);
    r = count == 0 ? 0 : execute(self, batch, count, bulk);
    mongoc_bulk_operation_destroy(bulk);
    bson_destroy(unordered);
    mongoc_collection_destroy(collection);
    return r;
}
