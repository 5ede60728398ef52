/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backends as modules: which kinds there are, and the way from a kind's name to its code. A module
 * is loaded only for a kind that is asked for, and stays: what a library started ends with us.
 *
 * Own modules lie in $YARDER_BACKENDS, else in backends/ beside the program, else in
 * LIBDIR/yarder/backends; anybody's are named by their path.
 */
#ifndef YARDER_CONTROL_MODULE_H
#define YARDER_CONTROL_MODULE_H

#include "api/backend.h"
#include "api/source.h"
#include "base/base.h"

enum { MODULE_WHY_BYTES = 512, MODULE_OPTIONS_MAX = 80, MODULE_PLUGINS_MAX = 32 };

/* A kind of our own, whether it was built or not. */
struct module_kind {
    const char *name;
    const char *help;
    const char *build;              /* the Debian package it is built with; NULL: none */
    const char *runtime;            /* and the one it runs with */
    const char *const *uwsgi_names; /* uWSGI's loggers that it stands for; ends with NULL */
};
extern const struct module_kind module_kinds[]; /* ends with a NULL name */

/* Inputs with a source: kinds of their own, each with the module that it lies in. */
struct module_source {
    const char *name;
    const char *module;
    const char *help;
};
extern const struct module_source module_sources[]; /* ends with a NULL name */
/* The module of an input's kind; NULL: none. */
const struct module_kind *module_kind_of_source(const char *name);

/* The kind of our own by its name, or by that of uWSGI's logger; NULL: none. */
const struct module_kind *module_kind_find(const char *name);
const struct module_kind *module_kind_of_uwsgi(const char *logger);

/* Whether its module lies where it would be loaded from. */
bool module_is_there(const struct module_kind *kind);

/* The backend of a kind of our own. 0; -ENOENT: it was not built; -ENOEXEC; both with `why`. */
YARDER_MUST_USE int module_load(
    const struct module_kind *kind, const struct yarder_backend **out, char why[MODULE_WHY_BYTES]);

/* The source of one that has one, in the same way. */
YARDER_MUST_USE int module_load_source(
    const struct module_kind *kind, const struct yarder_source **out, char why[MODULE_WHY_BYTES]);

/* The backend of somebody's file, checked. 0; -ENOENT or -ENOEXEC with `why`. */
YARDER_MUST_USE int module_load_file(
    const char *path, const struct yarder_backend **out, char why[MODULE_WHY_BYTES]);

#endif
