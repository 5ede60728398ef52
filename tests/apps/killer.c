/* SPDX-License-Identifier: Apache-2.0 */
/* Loaded into a daemon: the text of one error is a bug of the C library's. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

__attribute__((visibility("default"))) const char *strerrordesc_np(int error)
{
    static char text[128];
    if (error == EUCLEAN) {
        abort();
    }
    return strerror_r(error, text, sizeof(text));
}
