/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where io_uring is denied, AUTO answers with a working epoll loop and one line of reason, and
 * URING with the error. Each denial is made in a child: seccomp on setup or enter (containers),
 * a low RLIMIT_MEMLOCK without privileges.
 */
#include "io/loop_test.h"

#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { CHILD_GOOD = 0, CHILD_WRONG = 1, CHILD_CANNOT = 77 };

struct denial {
    long syscall; /* 0: none */
    uint32_t error;
    rlim_t memlock_bytes; /* used when no system call is denied */
    const char *reason;
};

static bool deny(const struct denial *denial)
{
    if (denial->syscall == 0) {
        struct rlimit limit = {
            .rlim_cur = denial->memlock_bytes, .rlim_max = denial->memlock_bytes};
        return setrlimit(RLIMIT_MEMLOCK, &limit) == 0 && setgroups(0, NULL) == 0 &&
               setgid(65534) == 0 && setuid(65534) == 0;
    }
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)denial->syscall, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | denial->error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = YARDER_COUNT_OF(filter), .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static bool loop_works(struct io *io)
{
    int pair[2];
    struct io_chunk chunk;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) {
        return false;
    }
    struct io_source source = {.fd = pair[1], .kind = IO_STREAM};
    bool good = io_add(io, &source) == 0 && write(pair[0], "yes", 3) == 3 &&
                io_wait(io, 1000 * MS, false) == 0 && io_next(io) == &source &&
                io_take(io, &source, &chunk) == 1 && chunk.bytes_count == 3;
    if (good) {
        io_give(io, &chunk);
        io_remove(io, &source);
        io_close(io);
    }
    return good;
}

static int child(const struct denial *denial)
{
    char why[256] = "";
    struct io *io = NULL;
    if (!deny(denial)) {
        return CHILD_CANNOT;
    }
    struct io_options options = {.choice = IO_AUTO, .sources_max = 2000};
    if (io_open(&io, &options, why) < 0 || strcmp(io_name(io), "epoll") != 0) {
        return CHILD_WRONG;
    }
    print_message("%s\n", why);
    if (strstr(why, denial->reason) == NULL || strchr(why, '\n') != NULL || !loop_works(io)) {
        return CHILD_WRONG;
    }
    options.choice = IO_URING;
    int r = io_open(&io, &options, why);
    if (r >= 0 || strstr(why, denial->reason) == NULL) {
        return CHILD_WRONG;
    }
    return io_uring_usable(why, sizeof(why)) < 0 && why[0] != '\0' ? CHILD_GOOD : CHILD_WRONG;
}

static void falls_back(void **state)
{
    const struct denial *denial = *state;
    char why[256] = "";
    if (io_uring_usable(why, sizeof(why)) < 0) {
        print_message("no io_uring to deny: %s\n", why);
        skip();
    }
    assert_string_equal(why, "");
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(child(denial));
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == CHILD_CANNOT) {
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), CHILD_GOOD);
}

int main(void)
{
    static struct denial setup_forbidden = {SYS_io_uring_setup, EPERM, 0, "forbidden by seccomp"};
    static struct denial setup_unknown = {SYS_io_uring_setup, ENOSYS, 0, "no io_uring"};
    static struct denial enter_forbidden = {SYS_io_uring_enter, EPERM, 0, "forbidden by seccomp"};
    static struct denial register_forbidden = {
        SYS_io_uring_register, EACCES, 0, "forbidden by seccomp"};
    static struct denial old_kernel = {SYS_io_uring_setup, EINVAL, 0, "older than 6.1"};
    static struct denial memlock = {0, 0, 4096, "RLIMIT_MEMLOCK is too low"};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(falls_back, &setup_forbidden),
        cmocka_unit_test_prestate(falls_back, &setup_unknown),
        cmocka_unit_test_prestate(falls_back, &enter_forbidden),
        cmocka_unit_test_prestate(falls_back, &register_forbidden),
        cmocka_unit_test_prestate(falls_back, &old_kernel),
        cmocka_unit_test_prestate(falls_back, &memlock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
