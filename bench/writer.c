/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writer LINES BYTES FILE: lines by write(2) on standard output; FILE gets what one cost, in ns.
 * It knows nothing of yarder: bench/preload.py wraps it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 4096 };

static double now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

int main(int count, char **arguments)
{
    char line[LINE_BYTES_MAX];
    long lines = count == 4 ? strtol(arguments[1], NULL, 10) : 0;
    long bytes = count == 4 ? strtol(arguments[2], NULL, 10) : 0;
    FILE *result = count == 4 ? fopen(arguments[3], "w") : NULL;
    if (lines < 1 || bytes < 1 || bytes > LINE_BYTES_MAX || result == NULL) {
        return 2;
    }
    memset(line, 'x', (size_t)bytes);
    line[bytes - 1] = '\n';
    (void)!write(STDOUT_FILENO, "first\n", 6);
    double begin = now_ns();
    for (long i = 0; i < lines; i++) {
        if (write(STDOUT_FILENO, line, (size_t)bytes) != bytes) {
            return 1;
        }
    }
    (void)fprintf(result, "%.1f\n", (now_ns() - begin) / (double)lines);
    return fclose(result) == 0 ? 0 : 1;
}
