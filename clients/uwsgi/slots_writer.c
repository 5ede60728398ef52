/* SPDX-License-Identifier: Apache-2.0 */
/* A library that writes by a slot of its own: for slots_test. */
#include <unistd.h>

__attribute__((visibility("default"))) ssize_t writer_write(
    int fd, const void *bytes, size_t count);

ssize_t writer_write(int fd, const void *bytes, size_t count)
{
    return write(fd, bytes, count);
}
