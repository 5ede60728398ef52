/* SPDX-License-Identifier: Apache-2.0 */
#include "control/module.h"

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "control/installed.h"
#include "inputs/input.h"
#include "outputs/output.h"

enum { FIND_BYTES = 16 << 10 };

static int refuse(char *why, int error, const char *format, ...) YARDER_PRINTF(3, 4);

static int refuse(char *why, int error, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    (void)vsnprintf(why, MODULE_WHY_BYTES, format, list);
    va_end(list);
    return error;
}

/* Who may write our own program may run anything as us already. */
static bool is_ours(uid_t owner)
{
    struct stat program;
    return owner == 0 || owner == geteuid() ||
           (stat("/proc/self/exe", &program) == 0 && owner == program.st_uid);
}

/* For root: nobody else may write the file, or put another in its place. No link is in the path. */
static int check_writers(const char *path, char *why)
{
    char at[PATH_MAX];
    if (geteuid() != 0) {
        return 0;
    }
    (void)snprintf(at, sizeof(at), "%s", path);
    for (unsigned depth = 0; at[0] != '\0'; depth++) {
        struct stat facts;
        if (stat(at, &facts) < 0) {
            return refuse(why, -ENOEXEC, "%.256s: %s", at, strerror(errno));
        }
        bool sticky = depth > 1 && (facts.st_mode & S_ISVTX) != 0;
        mode_t others = depth > 1 ? S_IWOTH : S_IWGRP | S_IWOTH;
        if (!is_ours(facts.st_uid) || ((facts.st_mode & others) != 0 && !sticky)) {
            return refuse(why, -ENOEXEC,
                "%.256s can be written by others, and we are root: nothing is loaded from there",
                at);
        }
        char *slash = strrchr(at, '/');
        slash[0] = '\0';
    }
    return 0;
}

static bool is_common(const char *name)
{
    for (const struct output_option *row = output_options; row->option.kind != YARDER_OPTION_END;
         row++) {
        if ((row->kinds >> OUTPUT_OFFLOAD & 1) != 0 && strcmp(row->option.name, name) == 0) {
            return true;
        }
    }
    return strcmp(name, "type") == 0 || strcmp(name, "to") == 0;
}

static bool is_word(const char *name)
{
    size_t length = 0;
    while (islower((unsigned char)name[length]) || isdigit((unsigned char)name[length]) ||
           name[length] == '-' || name[length] == '_') {
        length++;
    }
    return length > 0 && name[length] == '\0' && length < YARDER_NAME_BYTES_MAX / 2;
}

static bool row_is_sound(const struct yarder_option *row, size_t self_bytes)
{
    static const size_t field_bytes[] = {
        [YARDER_OPTION_BOOL] = sizeof(bool),
        [YARDER_OPTION_COUNT] = sizeof(uint64_t),
        [YARDER_OPTION_BYTES] = sizeof(uint64_t),
        [YARDER_OPTION_DURATION] = sizeof(uint64_t),
        [YARDER_OPTION_TEXT] = sizeof(char *),
        [YARDER_OPTION_CHOICE] = sizeof(int),
        [YARDER_OPTION_MODE] = sizeof(uint32_t),
        [YARDER_OPTION_LEVELS] = sizeof(struct yarder_levels),
        [YARDER_OPTION_TEXTS] = sizeof(struct yarder_texts),
        [YARDER_OPTION_PATH] = sizeof(char *),
        [YARDER_OPTION_SECRET] = sizeof(char *),
        [YARDER_OPTION_SPECIAL] = 1,
    };
    return row->name != NULL && is_word(row->name) && row->kind > YARDER_OPTION_END &&
           row->kind < YARDER_COUNT_OF(field_bytes) && row->offset < self_bytes &&
           self_bytes - row->offset >= field_bytes[row->kind] && row->help != NULL &&
           row->argument != NULL && (row->kind != YARDER_OPTION_CHOICE || row->choices != NULL) &&
           (row->kind != YARDER_OPTION_SPECIAL || row->parse != NULL);
}

/* A table is somebody else's: what makes no sense in it is said, not stumbled over. */
static int check_options(const struct yarder_backend *backend, char *why)
{
    const struct yarder_option *row = backend->options;
    for (size_t i = 0; row->kind != YARDER_OPTION_END; i++, row++) {
        if (i == MODULE_OPTIONS_MAX) {
            return refuse(why, -ENOEXEC, "its table has over %d options, or no end", (int)i);
        }
        if (!row_is_sound(row, backend->self_bytes)) {
            return refuse(why, -ENOEXEC, "row %zu of its options makes no sense (%.32s)", i,
                row->name != NULL ? row->name : "no name");
        }
        if (is_common(row->name)) {
            return refuse(why, -ENOEXEC,
                "its option %.32s has the name of an option that all outputs have", row->name);
        }
    }
    return 0;
}

static int check_backend(const struct yarder_backend *backend, char *why)
{
    if (backend->abi != YARDER_BACKEND_ABI || backend->struct_bytes != sizeof(*backend)) {
        return refuse(why, -ENOEXEC,
            "it was built for another yarder (interface %u, %u bytes; expected %u, %zu)",
            backend->abi, backend->struct_bytes, YARDER_BACKEND_ABI, sizeof(*backend));
    }
    if (backend->name == NULL || !is_word(backend->name) || backend->help == NULL ||
        backend->options == NULL || backend->target == NULL || backend->open == NULL ||
        backend->submit == NULL || backend->close == NULL || backend->means > YARDER_MEANS_SENT) {
        return refuse(why, -ENOEXEC, "its struct yarder_backend is incomplete");
    }
    return check_options(backend, why);
}

/*
 * A logger of uWSGI's, compiled with our uwsgi.h, registers itself by the symbol that uWSGI would
 * look for: FILE_plugin. Nothing to do for anything else.
 */
static int load_uwsgi(void *library, const char *path, char *why)
{
    static const char suffix[] = "_plugin";
    char symbol[128];
    union { /* what dlsym gives is a function here */
        void *object;
        int (*call)(const void *plugin);
    } load = {dlsym(library, "yarder_uwsgi_load")};
    if (load.object == NULL) {
        return 0;
    }
    const char *slash = strrchr(path, '/');
    const char *file = slash != NULL ? slash + 1 : path;
    size_t length = strcspn(file, ".");
    bool named = length >= sizeof(suffix) - 1 &&
                 strncmp(file + length - sizeof(suffix) + 1, suffix, sizeof(suffix) - 1) == 0;
    (void)snprintf(
        symbol, sizeof(symbol), "%.*s%s", (int)yarder_min(length, 64), file, named ? "" : suffix);
    const void *plugin = dlsym(library, symbol);
    if (plugin == NULL) {
        return refuse(why, -ENOEXEC, "%.256s: uWSGI's plugin in it is not called %s, as its file",
            path, symbol);
    }
    return load.call(plugin) == 0
               ? 0
               : refuse(
                     why, -ENOEXEC, "%.256s: it must register one logger, and it does not", path);
}

/* The library in a file that may be loaded. 0; -ENOENT or -ENOEXEC with `why`. */
static int open_library(const char *path, void **out, char *why)
{
    if (access(path, R_OK) < 0) {
        return refuse(why, -ENOENT, "%.256s: %s", path, strerror(errno));
    }
    /* What is looked at is what is loaded: a link may lead elsewhere by then. */
    YARDER_OWN_HEAP char *real = realpath(path, NULL);
    if (real == NULL) {
        return refuse(why, -ENOENT, "%.256s: %s", path, strerror(errno));
    }
    struct stat facts;
    if (stat(real, &facts) < 0 || !S_ISREG(facts.st_mode)) { /* a FIFO would hold us for ever */
        return refuse(why, -ENOEXEC, "%.256s is no file", path);
    }
    int r = check_writers(real, why);
    if (r < 0) {
        return r;
    }
    *out = dlopen(real, RTLD_NOW | RTLD_LOCAL);
    if (*out == NULL) {
        const char *error = dlerror();
        bool uwsgi = error != NULL && strstr(error, "undefined symbol: uwsgi") != NULL;
        return refuse(why, -ENOEXEC, "%.400s%s", error != NULL ? error : "no reason given",
            uwsgi ? " (a plugin for uWSGI: compile it with the uwsgi.h of yarder)" : "");
    }
    return 0;
}

int module_load_file(
    const char *path, const struct yarder_backend **out, char why[MODULE_WHY_BYTES])
{
    void *library = NULL;
    int r = open_library(path, &library, why);
    if (r < 0) {
        return r;
    }
    const struct yarder_backend *backend = dlsym(library, "yarder_backend");
    if (backend == NULL) {
        return refuse(why, -ENOEXEC, "%.256s: it exports no yarder_backend", path);
    }
    r = load_uwsgi(library, path, why);
    r = r < 0 ? r : check_backend(backend, why);
    *out = r == 0 ? backend : *out;
    return r;
}

/* Where a module of our own lies, or NULL. */
static const char *find(struct arena *arena, const char *name)
{
    const char *folder = secure_getenv("YARDER_BACKENDS");
    if (folder != NULL && folder[0] != '\0') {
        const char *path = arena_format(arena, "%s/%s.so", folder, name);
        return access(path, R_OK) == 0 ? path : NULL;
    }
    const char *file = arena_format(arena, "backends/%s.so", name);
    return installed_find(arena, file, file);
}

bool module_is_there(const struct module_kind *kind)
{
    struct arena arena;
    arena_init(&arena, FIND_BYTES);
    bool found = find(&arena, kind->name) != NULL;
    arena_deinit(&arena);
    return found;
}

static bool has_option(const struct yarder_option *rows, const char *name)
{
    while (rows->kind != YARDER_OPTION_END && strcmp(rows->name, name) != 0) {
        rows++;
    }
    return rows->kind != YARDER_OPTION_END;
}

static int refuse_missing(const struct module_kind *kind, char *why)
{
    return refuse(why, -ENOENT, "this yarder was built without %s%s%s%s", kind->name,
        kind->build != NULL ? " (" : "", kind->build != NULL ? kind->build : "",
        kind->build != NULL ? ")" : "");
}

static int refuse_load(
    const char *noun, const struct module_kind *kind, int error, const char *reason, char *why)
{
    bool library = kind->runtime != NULL && strstr(reason, "cannot open shared object") != NULL;
    return refuse(why, error, "%s kind %s: cannot be loaded: %.400s%s%s", noun, kind->name, reason,
        library ? ": install " : "", library ? kind->runtime : "");
}

int module_load(
    const struct module_kind *kind, const struct yarder_backend **out, char why[MODULE_WHY_BYTES])
{
    struct arena arena;
    char reason[MODULE_WHY_BYTES] = "";
    const struct yarder_backend *backend = NULL;
    arena_init(&arena, FIND_BYTES);
    const char *path = find(&arena, kind->name);
    int r = path != NULL ? module_load_file(path, &backend, reason) : -ENOENT;
    arena_deinit(&arena);
    if (path == NULL) {
        return refuse_missing(kind, why);
    }
    if (r == 0 && strcmp(backend->name, kind->name) != 0) {
        r = refuse(reason, -ENOEXEC, "the module says that it is %.32s", backend->name);
    }
    if (r < 0) {
        return refuse_load("output", kind, r, reason, why);
    }
    *out = backend;
    return 0;
}

int module_load_source(
    const struct module_kind *kind, const struct yarder_source **out, char why[MODULE_WHY_BYTES])
{
    struct arena arena;
    char reason[MODULE_WHY_BYTES] = "";
    void *library = NULL;
    arena_init(&arena, FIND_BYTES);
    const char *path = find(&arena, kind->name);
    int r = path != NULL ? open_library(path, &library, reason) : -ENOENT;
    arena_deinit(&arena);
    if (path == NULL) {
        return refuse_missing(kind, why);
    }
    const struct yarder_source *source = r == 0 ? dlsym(library, "yarder_source") : NULL;
    bool fits = source != NULL && source->abi == YARDER_SOURCE_ABI &&
                source->struct_bytes == sizeof(*source);
    if (r == 0 && !fits) {
        r = refuse(reason, -ENOEXEC, "it has no source of this version");
    }
    for (const struct input_option *row = input_options;
         r == 0 && row->option.kind != YARDER_OPTION_END; row++) {
        if (has_option(source->options, row->option.name)) {
            r = refuse(
                reason, -ENOEXEC, "its option %.32s is one that all inputs have", row->option.name);
        }
    }
    if (r < 0) {
        return refuse_load("input", kind, r, reason, why);
    }
    *out = source;
    return 0;
}
