/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of uWSGI's options, all of them: a command line of its can be read only by who knows
 * which of them take a value, and a key that it does not know either is a mistake.
 */
#ifndef YARDER_CONTROL_UWSGI_NAMES_H
#define YARDER_CONTROL_UWSGI_NAMES_H

enum uwsgi_argument {
    UWSGI_UNKNOWN,
    UWSGI_WITHOUT_ARGUMENT,
    UWSGI_PERHAPS_ARGUMENT, /* behind a '=' alone */
    UWSGI_WITH_ARGUMENT,
};

enum uwsgi_argument uwsgi_argument(const char *name);
/* The option of a letter ("d": daemonize), or NULL. */
const char *uwsgi_letter(char letter);

#endif
