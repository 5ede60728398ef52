/* SPDX-License-Identifier: Apache-2.0 */
/* uWSGI's own header, as the program there prints it, and what that program was built with. */
#ifndef YARDER_CLIENTS_UWSGI_HOST_H
#define YARDER_CLIENTS_UWSGI_HOST_H

#pragma GCC system_header

#include <uwsgi.h>

extern struct uwsgi_server uwsgi;

/* Printed by `uwsgi --dot-h` and `uwsgi --cflags`. */
char *uwsgi_get_dot_h(void);
char *uwsgi_get_cflags(void);

#endif
