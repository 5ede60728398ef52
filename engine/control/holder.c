/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two steps: a table of /proc/net gives the inode of the socket, the descriptors of all processes
 * tell who has that inode open. Other users' processes are hidden from us unless we are root.
 */
#include "control/holder.h"

#include <dirent.h>
#include <inttypes.h>
#include <string.h>

enum { LINE_BYTES = 1024 };

/* "sl local:port remote:port st queues timer retransmits uid timeout inode ..." */
static uint64_t inode_in_port_table(const char *table, unsigned state, uint16_t port)
{
    YARDER_OWN_FILE FILE *file = fopen(table, "re");
    char line[LINE_BYTES];
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        unsigned found_port = 0;
        unsigned found_state = 0;
        uint64_t inode = 0;
        int fields =
            sscanf(line, "%*u: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*u %*u %" SCNu64,
                &found_port, &found_state, &inode);
        if (fields == 3 && found_port == port && found_state == state && inode != 0) {
            return inode;
        }
    }
    return 0;
}

/*
 * "Num: RefCount Protocol Flags Type St Inode Path". Connections have the path of the socket that
 * they came by, those that nobody accepted yet with inode 0: the listening one is meant.
 */
static uint64_t inode_in_unix_table(const char *path)
{
    enum { LISTENING = 1 << 16 }; /* __SO_ACCEPTCON */
    YARDER_OWN_FILE FILE *file = fopen("/proc/net/unix", "re");
    char line[LINE_BYTES];
    uint64_t any = 0;
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        unsigned flags = 0;
        uint64_t inode = 0;
        int path_at = 0;
        line[strcspn(line, "\n")] = '\0';
        int fields =
            sscanf(line, "%*x: %*x %*x %x %*x %*x %" SCNu64 " %n", &flags, &inode, &path_at);
        if (fields != 2 || path_at == 0 || strcmp(line + path_at, path) != 0) {
            continue;
        }
        if ((flags & LISTENING) != 0) {
            return inode;
        }
        any = any == 0 ? inode : any;
    }
    return any;
}

static void folder_drop(DIR **folder)
{
    if (*folder != NULL) {
        (void)closedir(*folder);
    }
}

static bool process_has(pid_t pid, const char *wanted)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    __attribute__((cleanup(folder_drop))) DIR *folder = opendir(path);
    if (folder == NULL) {
        return false;
    }
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        char target[64];
        ssize_t length = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);
        target[length < 0 ? 0 : length] = '\0';
        if (strcmp(target, wanted) == 0) {
            return true;
        }
    }
    return false;
}

static void name_of(pid_t pid, struct holder *out)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    YARDER_OWN_FILE FILE *file = fopen(path, "re");
    if (file == NULL || fgets(out->name, sizeof(out->name), file) == NULL) {
        (void)snprintf(out->name, sizeof(out->name), "?");
    }
    out->name[strcspn(out->name, "\n")] = '\0';
    for (char *at = out->name; *at != '\0'; at++) {
        if (*at < ' ' || *at > '~') {
            *at = '?';
        }
    }
}

static bool holder_of_inode(uint64_t inode, struct holder *out)
{
    __attribute__((cleanup(folder_drop))) DIR *processes = inode == 0 ? NULL : opendir("/proc");
    if (processes == NULL) {
        return false;
    }
    char wanted[64];
    (void)snprintf(wanted, sizeof(wanted), "socket:[%" PRIu64 "]", inode);
    for (struct dirent *entry = readdir(processes); entry != NULL; entry = readdir(processes)) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10); /* 0: not a process */
        if (pid > 0 && process_has(pid, wanted)) {
            out->pid = pid;
            name_of(pid, out);
            return true;
        }
    }
    return false;
}

bool holder_of_port(bool tcp, uint16_t port, struct holder *out)
{
    enum { TCP_LISTENING = 0x0a, UDP_OPEN = 0x07 };
    unsigned state = tcp ? TCP_LISTENING : UDP_OPEN;
    return holder_of_inode(
               inode_in_port_table(tcp ? "/proc/net/tcp" : "/proc/net/udp", state, port), out) ||
           holder_of_inode(
               inode_in_port_table(tcp ? "/proc/net/tcp6" : "/proc/net/udp6", state, port), out);
}

bool holder_of_path(const char *path, struct holder *out)
{
    return holder_of_inode(inode_in_unix_table(path), out);
}
