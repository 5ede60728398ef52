/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of the backend `mongodb`: mongodb.c what is configured, mongodb_insert.c batches,
 * mongodb_document.c a record as a document.
 */
#ifndef YARDER_BACKENDS_MONGODB_PRIVATE_H
#define YARDER_BACKENDS_MONGODB_PRIVATE_H

#include <mongoc/mongoc.h>

#include "api/backend.h"

struct mongodb_shape {
    uint64_t origin;  /* of host and output, so that no two of them share an _id */
    const char *node; /* NULL: the record's host, else `hostname` */
    const char *hostname;
    bool newline;  /* stays in msg */
    bool fields;   /* level, logger, tag, pid and the record's fields, too */
    char *scratch; /* owned; for texts that are not UTF-8 */
    size_t scratch_bytes;
};

/* 64 bits of the texts (FNV-1a). */
uint64_t mongodb_origin(const char *hostname, const char *output_name);
/* Into an empty document. false: no memory, or a document that cannot be. */
bool mongodb_document(
    struct mongodb_shape *shape, const struct yarder_item *item, bson_t *document);
void mongodb_shape_close(struct mongodb_shape *shape);

struct mongodb {
    char *uri_secret;
    char *database, *collection, *node;
    bool fields;

    char *target; /* a URI, or HOST:PORT, or a path; NULL: uri= */
    char *target_collection, *target_node;
    bool uwsgi; /* a line of its: the newline stays, and its defaults */

    struct yarder_host *host;
    struct mongodb_shape shape;
    mongoc_uri_t *uri;
    char *database_name, *collection_name; /* owned */
    mongoc_client_t *client;
    int32_t part_ms;   /* that the client was made with */
    char passing[256]; /* of the last insert: why some are to be tried again */
    uint32_t *places;  /* of the items of an insert, in the batch */
    uint32_t places_room;
};

/* All that a batch's records need; see submit in api/backend.h. */
int mongodb_insert(struct mongodb *self, struct yarder_batch *batch, uint64_t deadline_ns);
void mongodb_drop_client(struct mongodb *self);

#endif
