/* SPDX-License-Identifier: Apache-2.0 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <errno.h>
#include <fcntl.h>
#include <pcre2.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#include "base/limits.h"
#include "base/text.h"
#include "cli/doctor.h"
#include "io/io.h"
#include "ring/append.h"
#include "ring/layout.h"

enum {
    DATAGRAMS_WANTED = 512,         /* waiting in a unix socket before senders wait */
    RECEIVE_BYTES_WANTED = 8 << 20, /* what a burst of UDP needs, and inputs ask for */
    FILES_WANTED = 4096,            /* connections, regions and files together */
    PIPE_BYTES_WANTED = 1 << 20,
};
static const uint64_t free_bytes_wanted = 1ull << 30;
static const uint64_t memory_bytes_wanted = 64ull << 20;

static void say(struct doctor_finding *out, enum doctor_state state, const char *format, ...)
    YARDER_PRINTF(3, 4);
static void say(struct doctor_finding *out, enum doctor_state state, const char *format, ...)
{
    va_list arguments;
    out->state = state;
    va_start(arguments, format);
    (void)vsnprintf(out->what, sizeof(out->what), format, arguments);
    va_end(arguments);
}

static void cure(struct doctor_finding *out, const char *format, ...) YARDER_PRINTF(2, 3);
static void cure(struct doctor_finding *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(out->cure, sizeof(out->cure), format, arguments);
    va_end(arguments);
}

/* The first line of a file of the kernel's. */
static bool read_line(const char *path, char *at, int room)
{
    YARDER_OWN_FILE FILE *file = fopen(path, "re");
    if (file == NULL || fgets(at, room, file) == NULL) {
        return false;
    }
    at[strcspn(at, "\n")] = '\0';
    return true;
}

static bool read_number(const char *path, uint64_t *out)
{
    char line[64];
    return read_line(path, line, sizeof(line)) && text_to_u64(text_of(line), out) == 0;
}

static void look_at_io_uring(const struct doctor_place *place, struct doctor_finding *out)
{
    char why[160] = "";
    uint64_t disabled = 0;
    (void)place;
    if (io_uring_usable(why, sizeof(why)) == 0) {
        say(out, DOCTOR_GOOD, "io_uring is usable");
        return;
    }
    say(out, DOCTOR_LIMITS, "io_uring is not usable (%s); epoll does its work, a little dearer",
        why);
    if (read_number("/proc/sys/kernel/io_uring_disabled", &disabled) && disabled != 0) {
        cure(out, "sysctl -w kernel.io_uring_disabled=0");
    } else {
        struct utsname name;
        bool known = uname(&name) == 0;
        cure(out, "a kernel of 6.1 or newer (this is %s), and a container that allows io_uring",
            known ? name.release : "unknown");
    }
}

static void look_at_rings(const struct doctor_place *place, struct doctor_finding *out)
{
    (void)place;
    if (ring_producer_kind() == REGION_RSEQ) {
        say(out, DOCTOR_GOOD, "restartable sequences work: an append is about 10 ns");
        return;
    }
    say(out, DOCTOR_LIMITS,
        "no restartable sequences: each thread has a ring of its own and an append costs about "
        "twice as much");
    const char *tunables = getenv("GLIBC_TUNABLES");
    bool off = tunables != NULL && strstr(tunables, "rseq=0") != NULL;
    cure(out, "%s",
        off ? "unset GLIBC_TUNABLES (glibc.pthread.rseq=0)"
            : "glibc 2.35 or newer, on x86-64 or arm64");
}

static void look_at_clock(const struct doctor_place *place, struct doctor_finding *out)
{
    static const char path[] = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    char source[64];
    (void)place;
    if (!read_line(path, source, sizeof(source))) {
        say(out, DOCTOR_NONE, "the kernel does not say which clock it keeps time by");
    } else if (strcmp(source, "tsc") == 0 || strcmp(source, "arch_sys_counter") == 0 ||
               strcmp(source, "kvm-clock") == 0) {
        say(out, DOCTOR_GOOD, "the clock is %s: reading it is no system call", source);
    } else {
        say(out, DOCTOR_LIMITS,
            "the clock is %s: each stamp is a system call, for yarder and for "
            "programs alike",
            source);
        cure(out, "echo tsc > %s", path);
    }
}

static void look_at_datagrams(const struct doctor_place *place, struct doctor_finding *out)
{
    uint64_t most = 0;
    (void)place;
    if (!read_number("/proc/sys/net/unix/max_dgram_qlen", &most)) {
        say(out, DOCTOR_NONE, "net.unix.max_dgram_qlen cannot be read");
    } else if (most >= DATAGRAMS_WANTED) {
        say(out, DOCTOR_GOOD, "unix datagram sockets hold %llu datagrams",
            (unsigned long long)most);
    } else {
        say(out, DOCTOR_LIMITS,
            "unix datagram sockets hold %llu datagrams: a sender (syslog, for one) waits as soon "
            "as %llu are unread",
            (unsigned long long)most, (unsigned long long)most + 1);
        cure(out, "sysctl -w net.unix.max_dgram_qlen=%d", DATAGRAMS_WANTED);
    }
}

static void look_at_udp(const struct doctor_place *place, struct doctor_finding *out)
{
    uint64_t most = 0;
    (void)place;
    if (!read_number("/proc/sys/net/core/rmem_max", &most)) {
        say(out, DOCTOR_NONE, "net.core.rmem_max cannot be read");
    } else if (most >= RECEIVE_BYTES_WANTED) {
        say(out, DOCTOR_GOOD, "UDP receive buffers may have %llu bytes", (unsigned long long)most);
    } else {
        say(out, DOCTOR_LIMITS,
            "UDP receive buffers may have %llu bytes: bursts beyond are dropped by the kernel, and "
            "counted (a daemon with CAP_NET_ADMIN takes what it wants)",
            (unsigned long long)most);
        cure(out, "sysctl -w net.core.rmem_max=%d", RECEIVE_BYTES_WANTED);
    }
}

static void look_at_files(const struct doctor_place *place, struct doctor_finding *out)
{
    struct rlimit limit = {0};
    (void)place;
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max >= FILES_WANTED) {
        say(out, DOCTOR_GOOD, "a process may open %llu files", (unsigned long long)limit.rlim_max);
    } else {
        say(out, DOCTOR_LIMITS,
            "a process may open %llu files, which connections, rings and log files share",
            (unsigned long long)limit.rlim_max);
        cure(out, "LimitNOFILE=65536 in the unit, or ulimit -Hn 65536 before the start");
    }
}

static void look_at_pipes(const struct doctor_place *place, struct doctor_finding *out)
{
    uint64_t most = 0;
    (void)place;
    if (!read_number("/proc/sys/fs/pipe-max-size", &most)) {
        say(out, DOCTOR_NONE, "fs.pipe-max-size cannot be read");
    } else if (most >= PIPE_BYTES_WANTED) {
        say(out, DOCTOR_GOOD, "pipes may hold %llu bytes", (unsigned long long)most);
    } else {
        say(out, DOCTOR_LIMITS, "pipes may hold %llu bytes: programs under exec wait sooner",
            (unsigned long long)most);
        cure(out, "sysctl -w fs.pipe-max-size=%d", PIPE_BYTES_WANTED);
    }
}

/* Some systems forbid memory that is first written and then run. */
static void look_at_patterns(const struct doctor_place *place, struct doctor_finding *out)
{
    int error = 0;
    PCRE2_SIZE at = 0;
    (void)place;
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR) "a+b", PCRE2_ZERO_TERMINATED, 0, &error, &at, NULL);
    if (code != NULL && pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0) {
        say(out, DOCTOR_GOOD, "patterns are compiled to machine code");
    } else {
        say(out, DOCTOR_LIMITS,
            "patterns are interpreted, some ten times slower: memory may not be made executable");
        cure(out, "setsebool -P deny_execmem 0, or no MemoryDenyWriteExecute= in the unit");
    }
    pcre2_code_free(code);
}

static void look_at_processors(const struct doctor_place *place, struct doctor_finding *out)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    (void)place;
    if (count > 1) {
        say(out, DOCTOR_GOOD, "%ld processors", count);
    } else {
        say(out, DOCTOR_LIMITS,
            "one processor: the writer works in the time of the programs that log");
    }
}

static void look_at_memory(const struct doctor_place *place, struct doctor_finding *out)
{
    uint64_t most = 0;
    (void)place;
    if (!read_number("/sys/fs/cgroup/memory.max", &most)) {
        say(out, DOCTOR_GOOD, "no memory limit of a control group");
    } else if (most >= memory_bytes_wanted) {
        say(out, DOCTOR_GOOD,
            "the control group may have %llu MiB; ring-memory-total should be a part of it",
            (unsigned long long)most >> 20);
    } else {
        say(out, DOCTOR_LIMITS,
            "the control group may have %llu MiB, less than queues and rings take when they fill",
            (unsigned long long)most >> 20);
        cure(
            out, "queue = memory:1M for each output and ring-memory-total = 8M, or a larger limit");
    }
}

static void look_at_overcommit(const struct doctor_place *place, struct doctor_finding *out)
{
    uint64_t policy = 0;
    (void)place;
    if (read_number("/proc/sys/vm/overcommit_memory", &policy) && policy == 2) {
        say(out, DOCTOR_LIMITS,
            "vm.overcommit_memory is 2: memory that is reserved but never touched counts too");
        cure(out, "sysctl -w vm.overcommit_memory=0");
    } else {
        say(out, DOCTOR_GOOD, "memory counts when it is touched");
    }
}

/* The folder, or the nearest one above it that is there. */
static bool nearest_folder(const char *path, char *at, size_t room)
{
    (void)snprintf(at, room, "%s", path);
    while (access(at, F_OK) < 0) {
        char *slash = strrchr(at, '/');
        if (slash == NULL || at[1] == '\0') {
            return false;
        }
        slash[slash == at ? 1 : 0] = '\0';
    }
    return true;
}

/* By trying: a file system of the kernel's, a quota or a policy says yes to whoever only asks. */
static int try_to_make(const char *folder)
{
    char path[YARDER_PATH_BYTES_MAX + 32];
    (void)snprintf(path, sizeof(path), "%s/.yarder-doctor.%d", folder, (int)getpid());
    if (mkdir(path, 0700) < 0) {
        return -errno;
    }
    return rmdir(path) < 0 ? -errno : 0;
}

static void look_at_folder(const char *name, const char *path, struct doctor_finding *out)
{
    char folder[YARDER_PATH_BYTES_MAX];
    struct statvfs facts;
    if (!nearest_folder(path, folder, sizeof(folder)) || statvfs(folder, &facts) < 0) {
        say(out, DOCTOR_BROKEN, "the %s %s cannot be had: %s", name, path, strerror(errno));
        return;
    }
    struct stat kind;
    if (stat(folder, &kind) < 0 || !S_ISDIR(kind.st_mode)) {
        say(out, DOCTOR_BROKEN, "the %s %s cannot be made: %s is no folder", name, path, folder);
        return;
    }
    uint64_t free_bytes = (uint64_t)facts.f_bavail * facts.f_frsize;
    bool bounded = facts.f_blocks != 0; /* else it says nothing of what is free */
    int r = try_to_make(folder);
    if ((facts.f_flag & ST_RDONLY) != 0) {
        say(out, DOCTOR_BROKEN, "the %s %s lies on a file system that may only be read", name,
            path);
    } else if (r < 0) {
        say(out, DOCTOR_BROKEN, "the %s %s cannot be made or written by us: no folder in %s: %s",
            name, path, folder, strerror(-r));
        cure(out, "run as the daemon's user, or name another place with --%s-dir",
            name[0] == 'r' ? "run" : "state");
    } else if (bounded && free_bytes < free_bytes_wanted && name[0] == 's') {
        say(out, DOCTOR_LIMITS, "the %s %s has %llu MiB left", name, path,
            (unsigned long long)free_bytes >> 20);
    } else if (facts.f_files != 0 && facts.f_favail < 1000) {
        say(out, DOCTOR_LIMITS, "the %s %s has room for %llu more files only", name, path,
            (unsigned long long)facts.f_favail);
    } else {
        say(out, DOCTOR_GOOD, "the %s %s can be written", name, path);
    }
}

static void look_at_run_dir(const struct doctor_place *place, struct doctor_finding *out)
{
    look_at_folder("run directory", place->run_dir, out);
}

static void look_at_state_dir(const struct doctor_place *place, struct doctor_finding *out)
{
    look_at_folder("state directory", place->state_dir, out);
}

const struct doctor_check doctor_checks[] = {
    {"io_uring", look_at_io_uring},
    {"rings", look_at_rings},
    {"clock", look_at_clock},
    {"patterns", look_at_patterns},
    {"processors", look_at_processors},
    {"memory limit", look_at_memory},
    {"overcommit", look_at_overcommit},
    {"open files", look_at_files},
    {"unix datagrams", look_at_datagrams},
    {"udp buffers", look_at_udp},
    {"pipes", look_at_pipes},
    {"run directory", look_at_run_dir},
    {"state directory", look_at_state_dir},
    {NULL, NULL},
};
