/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mongodb: a document for each record, as uWSGI's mongodblog; a batch is one unordered insert, and
 * the server answers for each. The _id is made of the record's own, so what is there already and is
 * sent again is told so (11000), and is delivered. What is configured is here.
 */
#include <errno.h>
#include <mongoc/mongoc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mongodb_private.h"

enum { WHY_BYTES = 256 };

static const struct yarder_option options[] = {
    {"uri", YARDER_OPTION_SECRET, offsetof(struct mongodb, uri_secret), NULL, 0, 0, NULL, NULL,
        "URI|file:PATH|env:NAME",
        "mongodb://USER:PASSWORD@HOST/?tls=true..., in place of a target"},
    {"db", YARDER_OPTION_TEXT, offsetof(struct mongodb, database), NULL, 0, 0, NULL, NULL, "NAME",
        "database; not given: the URI's, else yarder"},
    {"collection", YARDER_OPTION_TEXT, offsetof(struct mongodb, collection), NULL, 0, 0, NULL, NULL,
        "NAME", "collection; not given: logs"},
    {"node", YARDER_OPTION_TEXT, offsetof(struct mongodb, node), NULL, 0, 0, NULL, NULL, "NAME",
        "what `node` says; not given: the record's host, else this machine"},
    {"fields", YARDER_OPTION_BOOL, offsetof(struct mongodb, fields), "no", 0, 0, NULL, NULL,
        "yes|no", "also level, logger, tag, peer, pid, and the record's own fields"},
    {NULL, YARDER_OPTION_END, 0, NULL, 0, 0, NULL, NULL, NULL, NULL},
};

/* ---- configuration ---- */

/* What libmongoc would print; kept while its URI is looked at. */
static _Thread_local char *warning;

static void take_warning(
    mongoc_log_level_t level, const char *domain, const char *message, void *data)
{
    (void)domain;
    (void)data;
    if (warning != NULL && level <= MONGOC_LOG_LEVEL_WARNING) {
        (void)snprintf(warning, WHY_BYTES, "%s", message);
    }
}

static bool is_uri(const char *text)
{
    return strncmp(text, "mongodb://", 10) == 0 || strncmp(text, "mongodb+srv://", 14) == 0;
}

/* A path's slashes, and whatever else means something in a URI, as %XX. */
static void put_address(const char *address, char *at, size_t room)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]";
    size_t used = (size_t)snprintf(at, room, "mongodb://");
    for (; *address != '\0' && used + 4 < room; address++) {
        bool stays = strchr(plain, *address) != NULL;
        used += (size_t)snprintf(
            at + used, room - used, stays ? "%c" : "%%%02X", (unsigned char)*address);
    }
    (void)snprintf(at + used, room - used, "/");
}

/* libmongoc quotes what it does not like, and that may be the password. */
static bool tells_password(const char *uri, const char *message)
{
    const char *user = strstr(uri, "://");
    const char *host = strrchr(uri, '@');
    const char *password = user == NULL ? NULL : strchr(user + 3, ':');
    if (password == NULL || host == NULL || password + 1 >= host) {
        return false;
    }
    size_t bytes = (size_t)(host - password - 1);
    return memmem(message, strlen(message), password + 1, bytes) != NULL ||
           strncmp(message, "Password", 8) == 0;
}

/* NULL with `why`, which has WHY_BYTES. */
static mongoc_uri_t *read_uri(const struct mongodb *self, char *why)
{
    char made[1024];
    const char *text = self->uri_secret;
    if (text == NULL && is_uri(self->target)) {
        text = self->target;
    } else if (text == NULL) {
        put_address(self->target, made, sizeof(made));
        text = made;
    }
    bson_error_t error = {0};
    char said[WHY_BYTES] = "";
    mongoc_log_set_handler(take_warning, NULL);
    warning = said;
    mongoc_uri_t *uri = mongoc_uri_new_with_error(text, &error);
    warning = NULL;
    const char *wrong = uri == NULL ? error.message : said;
    const mongoc_write_concern_t *concern = uri == NULL ? NULL : mongoc_uri_get_write_concern(uri);
    if (*wrong == '\0' && concern != NULL && !mongoc_write_concern_is_acknowledged(concern)) {
        wrong = "w=0 takes the answers away, by which records are known to be delivered";
    }
    if (tells_password(text, wrong)) {
        wrong = "the password has characters that a URI wants as %XX";
    }
    if (*wrong != '\0') {
        (void)snprintf(why, WHY_BYTES, "%.*s", WHY_BYTES - 1, wrong);
        mongoc_uri_destroy(uri);
        return NULL;
    }
    return uri;
}

static int take_target(void *self_, char *text, char *why, size_t why_bytes)
{
    struct mongodb *self = self_;
    self->target = *text == '\0' ? NULL : text;
    if (self->target == NULL || is_uri(text)) {
        return 0;
    }
    char *collection = strchr(text, ',');
    if (collection != NULL) {
        *collection++ = '\0';
        char *node = strchr(collection, ',');
        if (node != NULL) {
            *node++ = '\0';
            self->target_node = *node == '\0' ? NULL : node;
        }
        const char *dot = strchr(collection, '.');
        if (*collection != '\0' && (dot == NULL || dot == collection || dot[1] == '\0')) {
            (void)snprintf(why, why_bytes, "expected HOST:PORT,DB.COLLECTION[,NODE]");
            return -EINVAL;
        }
        self->target_collection = *collection == '\0' ? NULL : collection;
    }
    if (*text == '\0' || strstr(text, "://") != NULL || strchr(text, '@') != NULL) {
        (void)snprintf(why, why_bytes,
            "expected HOST:PORT[,DB.COLLECTION[,NODE]], /PATH.sock or mongodb://...");
        return -EINVAL;
    }
    return 0;
}

static void show(const void *self_, char *at, size_t room)
{
    const struct mongodb *self = self_;
    const char *target = self->target == NULL || self->uri_secret != NULL ? "" : self->target;
    const char *user = is_uri(target) ? strstr(target, "://") + 3 : target;
    const char *host = strrchr(user, '@'); /* a password's own @ is %40 */
    const char *end = strchr(host == NULL ? user : host, '?');
    const char *from = host == NULL ? user : host + 1;
    size_t bytes = end == NULL ? strlen(from) : (size_t)(end - from);
    if (*target == '\0') {
        (void)snprintf(at, room, "by uri=");
    } else {
        const char *collection = self->target_collection;
        (void)snprintf(at, room, "%.*s%.*s%s%s", (int)(user - target), target, (int)bytes, from,
            collection == NULL ? "" : ",", collection == NULL ? "" : collection);
    }
}

static int check(void *self_, char *why, size_t why_bytes)
{
    static char address[] = "127.0.0.1:27017", collection[] = "uwsgi.logs";
    struct mongodb *self = self_;
    char said[WHY_BYTES] = "";
    if (self->uwsgi && self->target == NULL && self->uri_secret == NULL) {
        self->target = address;
    }
    if (self->uwsgi && self->target_collection == NULL && self->database == NULL &&
        self->collection == NULL) {
        self->target_collection = collection;
    }
    if ((self->target == NULL) == (self->uri_secret == NULL)) {
        (void)snprintf(why, why_bytes, "expected a target or uri=, one of them");
        return -EINVAL;
    }
    if (self->target_collection != NULL && (self->database != NULL || self->collection != NULL)) {
        (void)snprintf(why, why_bytes, "DB.COLLECTION in the target and in db=, collection=");
        return -EINVAL;
    }
    mongoc_uri_t *uri = read_uri(self, said);
    if (uri == NULL) {
        (void)snprintf(why, why_bytes, "%s", said);
        return -EINVAL;
    }
    mongoc_uri_destroy(uri);
    return 0;
}

static int take_uwsgi(void *self_, const char *name, char *argument, char *why, size_t why_bytes)
{
    static char nothing[] = "";
    (void)name;
    struct mongodb *self = self_;
    self->uwsgi = true;
    return take_target(self, argument == NULL ? nothing : argument, why, why_bytes);
}

/* ---- the thread's ---- */

static void close_mongodb(void *self_)
{
    struct mongodb *self = self_;
    mongodb_drop_client(self);
    mongoc_uri_destroy(self->uri);
    self->uri = NULL;
    free(self->database_name);
    free(self->collection_name);
    free(self->places);
    self->database_name = self->collection_name = NULL;
    self->places = NULL;
    self->places_room = 0;
    mongodb_shape_close(&self->shape);
}

static int name_collection(struct mongodb *self)
{
    const char *database = self->database;
    const char *collection = self->collection;
    size_t database_bytes = 0;
    if (self->target_collection != NULL) {
        database = self->target_collection;
        database_bytes = strcspn(database, ".");
        collection = database + database_bytes + 1;
    } else {
        database = database != NULL ? database : mongoc_uri_get_database(self->uri);
        database = database != NULL ? database : "yarder";
        database_bytes = strlen(database);
        collection = collection != NULL ? collection : "logs";
    }
    self->database_name = strndup(database, database_bytes);
    self->collection_name = strdup(collection);
    return self->database_name == NULL || self->collection_name == NULL ? -ENOMEM : 0;
}

/*
 * libmongoc begins when it is loaded, with a file of counters in /dev/shm that it leaves there, one
 * for each process. Nobody looks for ours.
 */
__attribute__((constructor)) static void remove_counters(void)
{
    char name[32];
    (void)snprintf(name, sizeof(name), "/mongoc-%u", (unsigned)getpid());
    (void)shm_unlink(name);
}

static int open_mongodb(void *self_, struct yarder_host *host)
{
    struct mongodb *self = self_;
    char why[WHY_BYTES] = "";
    self->host = host;
    mongoc_init(); /* once a process; mongoc_cleanup would be for good, and so for other outputs */
    self->uri = read_uri(self, why);
    if (self->uri == NULL) {
        return host->fail(host, -EINVAL, "%s", why);
    }
    if (name_collection(self) < 0) {
        return host->fail(host, -ENOMEM, "no memory");
    }
    const char *node = self->target_node != NULL ? self->target_node : self->node;
    self->shape = (struct mongodb_shape){.node = node,
        .hostname = host->hostname,
        .origin = mongodb_origin(host->hostname, host->output_name),
        .newline = self->uwsgi,
        .fields = self->fields};
    return 0;
}

static int submit(void *self_, struct yarder_batch *batch, uint64_t deadline_ns)
{
    return mongodb_insert(self_, batch, deadline_ns);
}

static const char *const uwsgi_names[] = {"mongodblog", NULL};

__attribute__((visibility("default"))) extern const struct yarder_backend yarder_backend;
const struct yarder_backend yarder_backend = {
    .abi = YARDER_BACKEND_ABI,
    .struct_bytes = sizeof(struct yarder_backend),
    .name = "mongodb",
    .help = "mongodb:HOST:PORT[,DB.COLLECTION[,NODE]], mongodb://...: a document for each record",
    .means = YARDER_MEANS_ACKNOWLEDGED,
    .flags = YARDER_BACKEND_TEXT | YARDER_BACKEND_FRAMED,
    .self_bytes = sizeof(struct mongodb),
    .options = options,
    .target = take_target,
    .shown = show,
    .check = check,
    .uwsgi_names = uwsgi_names,
    .uwsgi = take_uwsgi,
    .open = open_mongodb,
    .submit = submit,
    .close = close_mongodb,
};
