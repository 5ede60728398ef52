/* SPDX-License-Identifier: Apache-2.0 */
/* The logger of uWSGI's documentation, as its authors would build it for uWSGI. */
#include <uwsgi.h>

ssize_t uwsgi_foolog_logger(struct uwsgi_logger *ul, char *message, size_t len)
{
    struct iovec iov[2];

    iov[0].iov_base = "[foo] ";
    iov[0].iov_len = 6;

    iov[1].iov_base = message;
    iov[1].iov_len = len;

    return writev(uwsgi.original_log_fd, iov, 2);
}

void uwsgi_foolog_register()
{
    uwsgi_register_logger("foolog", uwsgi_foolog_logger);
}

struct uwsgi_plugin foolog_plugin = {
    .name = "foolog",
    .on_load = uwsgi_foolog_register,
};
