/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <string.h>

#include "preload/preload.h"

struct real real_found;

void real_find(void)
{
    static const struct {
        const char *name;
        size_t at;
    } calls[] = {
        {"close", offsetof(struct real, close)},
        {"close_range", offsetof(struct real, close_range)},
        {"closefrom", offsetof(struct real, closefrom)},
        {"closelog", offsetof(struct real, closelog)},
        {"daemon", offsetof(struct real, daemon)},
        {"dup2", offsetof(struct real, dup2)},
        {"dup3", offsetof(struct real, dup3)},
        {"fclose", offsetof(struct real, fclose)},
        {"fflush", offsetof(struct real, fflush)},
        {"fflush_unlocked", offsetof(struct real, fflush_unlocked)},
        {"freopen", offsetof(struct real, freopen)},
        {"freopen64", offsetof(struct real, freopen64)},
        {"openlog", offsetof(struct real, openlog)},
        {"setlogmask", offsetof(struct real, setlogmask)},
        {"__vdprintf_chk", offsetof(struct real, vdprintf_chk)},
        {"vsyslog", offsetof(struct real, vsyslog)},
        {"writev", offsetof(struct real, writev)},
        {"fputwc", offsetof(struct real, fputwc)},
        {"fputwc_unlocked", offsetof(struct real, fputwc_unlocked)},
        {"fputws", offsetof(struct real, fputws)},
        {"fputws_unlocked", offsetof(struct real, fputws_unlocked)},
        {"fwide", offsetof(struct real, fwide)},
        {"vfwprintf", offsetof(struct real, vfwprintf)},
        {"__vfwprintf_chk", offsetof(struct real, vfwprintf_chk)},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(calls); i++) {
        void *symbol = dlsym(RTLD_NEXT, calls[i].name);
        memcpy((char *)&real_found + calls[i].at, &symbol, sizeof(symbol));
    }
    void *symbol = dlsym(RTLD_NEXT, "write");
    ssize_t (*found)(int, const void *, size_t);
    memcpy(&found, &symbol, sizeof(found));
    __atomic_store_n(&real_found.write, found, __ATOMIC_RELEASE); /* acquire: real() */
}
