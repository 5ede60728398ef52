/* SPDX-License-Identifier: Apache-2.0 */
/* Replays a corpus folder through a fuzz target, without any fuzz engine. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count);

static int replay_file(const char *folder, const char *name)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    YARDER_OWN_FILE FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return -1;
    }
    enum { INPUT_BYTES_MAX = 4 << 20 };
    YARDER_OWN_HEAP uint8_t *bytes = malloc(INPUT_BYTES_MAX);
    if (bytes == NULL) {
        return -1;
    }
    size_t bytes_count = fread(bytes, 1, INPUT_BYTES_MAX, file);
    /* An exact copy, so that a sanitizer sees a read past the end. */
    YARDER_OWN_HEAP uint8_t *exact = malloc(bytes_count + (bytes_count == 0));
    if (exact == NULL) {
        return -1;
    }
    memcpy(exact, bytes, bytes_count);
    return LLVMFuzzerTestOneInput(exact, bytes_count);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
        return 2;
    }
    DIR *folder = opendir(argv[1]);
    if (folder == NULL) {
        (void)fprintf(stderr, "%s: no such corpus\n", argv[1]);
        return 1;
    }
    unsigned count = 0;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        if (replay_file(argv[1], entry->d_name) != 0) {
            (void)fprintf(stderr, "%s/%s: failed\n", argv[1], entry->d_name);
            (void)closedir(folder);
            return 1;
        }
        count++;
    }
    (void)closedir(folder);
    (void)printf("%u inputs replayed\n", count);
    return count == 0;
}
