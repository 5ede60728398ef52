/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets, bound for real in a folder of the test's own and on ports the kernel chooses:
 * that they answer, that a reload keeps or replaces them without a moment of nobody being there,
 * and that each failure says who, where and the cure.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "control/listeners.h"

static const struct identity as_we_are = {.change = false};
static char folder[] = "/tmp/yarder-listeners-XXXXXX";
static char paths[8][64];

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL ? -1 : chmod(folder, 0755);
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder); /* fails when a socket was left behind */
}

static char *in_folder(int slot, const char *name)
{
    (void)snprintf(paths[slot], sizeof(paths[slot]), "%s/%s", folder, name);
    return paths[slot];
}

static struct input_config input_of(enum input_kind kind, char *target)
{
    return (struct input_config){.kind = kind,
        .name = target,
        .target = target,
        .where = "yarder.conf:7",
        .mode = 0660,
        .receive_bytes = 65536};
}

static struct listeners *open_listeners(void)
{
    struct listeners *listeners = NULL;
    assert_int_equal(listeners_open(&listeners), 0);
    return listeners;
}

/* The text of the only error there is. */
static const char *only_error(struct listeners *listeners)
{
    const char *found = NULL;
    bool error = false;
    const char *text;
    for (uint32_t i = 0; (text = listeners_problem(listeners, i, &error)) != NULL; i++) {
        if (error) {
            assert_null(found);
            found = text;
        }
    }
    assert_non_null(found);
    return found;
}

static int connect_unix(const char *path, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        int error = -errno;
        (void)close(fd);
        return error;
    }
    return fd;
}

static void assert_datagram_passes(const char *path, int receiver)
{
    int fd = connect_unix(path, SOCK_DGRAM);
    assert_true(fd >= 0);
    assert_int_equal(send(fd, "hi", 2, 0), 2);
    char bytes[8];
    assert_int_equal(recv(receiver, bytes, sizeof(bytes), MSG_DONTWAIT), 2);
    (void)close(fd);
}

static void assert_accepts(const char *path, int type, int listener)
{
    int fd = connect_unix(path, type);
    assert_true(fd >= 0);
    int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(accepted >= 0);
    (void)close(accepted);
    (void)close(fd);
}

static unsigned mode_of(const char *path)
{
    struct stat status;
    return stat(path, &status) < 0 ? 0 : status.st_mode & 07777;
}

static void binds_every_kind(void **state)
{
    (void)state;
    struct listeners *listeners = open_listeners();
    char *dgram = in_folder(0, "dgram");
    char *stream = in_folder(1, "stream");
    struct input_config inputs[] = {input_of(INPUT_UNIX, dgram), input_of(INPUT_UNIX, stream),
        input_of(INPUT_UDP, (char[]){"127.0.0.1:0"}), input_of(INPUT_TCP, (char[]){"127.0.0.1:0"}),
        input_of(INPUT_RING, (char[]){""}), {.kind = INPUT_EXEC},
        input_of(INPUT_UNIX, (char[]){"@yarder-listeners-test"})};
    inputs[0].mode = 0606;
    inputs[1].socket_type = INPUT_SOCKET_STREAM;
    inputs[4].mode = 0666;
    assert_int_equal(listeners_prepare(listeners, inputs, 7, folder, &as_we_are), 0);
    listeners_adopt(listeners);
    assert_datagram_passes(dgram, listeners_input(listeners, false, 0));
    assert_accepts(stream, SOCK_STREAM, listeners_input(listeners, false, 1));
    assert_int_equal(mode_of(dgram), 0606);
    assert_int_equal(mode_of(stream), 0660);
    assert_accepts(in_folder(2, "ring.sock"), SOCK_SEQPACKET, listeners_ring(listeners, false));
    assert_int_equal(mode_of(paths[2]), 0666);
    assert_accepts(in_folder(3, "control.sock"), SOCK_STREAM, listeners_control(listeners, false));
    assert_int_equal(mode_of(paths[3]), 0600);
    assert_int_equal(listeners_input(listeners, false, 5), -1);
    for (uint32_t i = 0; i < 7; i++) {
        int fd = listeners_input(listeners, false, i);
        if (i != 4 && i != 5) {
            assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
            assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
        }
    }
    listeners_close(listeners);
    assert_int_equal(access(dgram, F_OK), -1);
    assert_int_equal(access(paths[2], F_OK), -1);
}

static void reload_keeps_and_replaces(void **state)
{
    (void)state;
    struct listeners *listeners = open_listeners();
    char *path = in_folder(0, "log.sock");
    struct input_config old[] = {input_of(INPUT_UNIX, path),
        input_of(INPUT_UDP, (char[]){"127.0.0.1:0"}), input_of(INPUT_TCP, (char[]){"127.0.0.1:0"}),
        input_of(INPUT_RING, (char[]){""})};
    assert_int_equal(listeners_prepare(listeners, old, 4, folder, &as_we_are), 0);
    listeners_adopt(listeners);
    int unix_fd = listeners_input(listeners, false, 0);
    int udp_fd = listeners_input(listeners, false, 1);
    int control_fd = listeners_control(listeners, false);

    /* Other order, other mode: the same sockets; the tcp input and the ring are gone. */
    struct input_config next[] = {old[1], old[0]};
    next[1].mode = 0600;
    assert_int_equal(listeners_prepare(listeners, next, 2, folder, &as_we_are), 0);
    assert_int_equal(mode_of(path), 0660);
    assert_int_equal(listeners_input(listeners, true, 0), udp_fd);
    listeners_cancel(listeners);
    assert_int_equal(listeners_input(listeners, false, 0), unix_fd);
    assert_int_equal(access(in_folder(1, "ring.sock"), F_OK), 0);
    assert_int_equal(listeners_prepare(listeners, next, 2, folder, &as_we_are), 0);
    listeners_adopt(listeners);
    assert_int_equal(listeners_input(listeners, false, 0), udp_fd);
    assert_int_equal(listeners_input(listeners, false, 1), unix_fd);
    assert_int_equal(listeners_control(listeners, false), control_fd);
    assert_int_equal(listeners_ring(listeners, false), -1);
    assert_int_equal(mode_of(path), 0600);
    assert_int_equal(access(paths[1], F_OK), -1);

    /* Another type at the same path: the old one answers until the moment the new one does. */
    struct input_config other[] = {old[0]};
    other[0].socket_type = INPUT_SOCKET_STREAM;
    assert_int_equal(listeners_prepare(listeners, other, 1, folder, &as_we_are), 0);
    assert_datagram_passes(path, unix_fd);
    listeners_cancel(listeners);
    assert_datagram_passes(path, unix_fd);
    assert_int_equal(access(in_folder(1, "log.sock.next"), F_OK), -1);
    assert_int_equal(listeners_prepare(listeners, other, 1, folder, &as_we_are), 0);
    listeners_adopt(listeners);
    assert_accepts(path, SOCK_STREAM, listeners_input(listeners, false, 0));
    assert_int_equal(access(paths[1], F_OK), -1);

    /* Somebody removed the path: the next reload makes it anew. */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(listeners_prepare(listeners, other, 1, folder, &as_we_are), 0);
    listeners_adopt(listeners);
    assert_accepts(path, SOCK_STREAM, listeners_input(listeners, false, 0));

    /* What is there now is not ours: it stays. */
    assert_int_equal(unlink(path), 0);
    int foreign = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(foreign >= 0);
    (void)close(foreign);
    listeners_close(listeners);
    assert_int_equal(unlink(path), 0);
}

static void assert_refused(struct input_config input, const char *expected)
{
    struct listeners *listeners = open_listeners();
    assert_int_equal(listeners_prepare(listeners, &input, 1, folder, &as_we_are), 1);
    const char *error = only_error(listeners);
    if (strstr(error, expected) == NULL) {
        fail_msg("\"%s\" lacks \"%s\"", error, expected);
    }
    assert_int_equal(strncmp(error, "yarder.conf:7: input ", 21), 0);
    assert_null(strchr(error, '\n'));
    assert_true(listeners_control(listeners, true) >= 0); /* the others are there */
    listeners_adopt(listeners);
    assert_int_equal(listeners_input(listeners, false, 0), -1);
    listeners_close(listeners);
}

/* The control socket: its user's alone, unless the daemon was given a user or a group. */
static void the_group_of_the_daemon_may_ask(void **state)
{
    (void)state;
    struct identity identity = {.change = true, .uid = geteuid(), .gid = getegid()};
    if (geteuid() == 0) {
        identity.uid = identity.gid = 65534;
    }
    struct listeners *listeners = open_listeners();
    assert_int_equal(listeners_prepare(listeners, NULL, 0, folder, &identity), 0);
    listeners_adopt(listeners);
    struct stat status;
    assert_int_equal(stat(in_folder(0, "control.sock"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0660);
    assert_true(status.st_uid == identity.uid && status.st_gid == identity.gid);
    listeners_close(listeners);
}

static void failures_name_the_cure(void **state)
{
    (void)state;
    char long_path[200];
    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[0] = '/';
    long_path[sizeof(long_path) - 1] = '\0';
    assert_refused(input_of(INPUT_UNIX, (char[]){"/nowhere/at/all"}), "its folder does not exist");
    assert_refused(input_of(INPUT_UNIX, long_path), "107 bytes");
    assert_refused(input_of(INPUT_UNIX, folder), "is no socket");
    assert_refused(input_of(INPUT_UDP, (char[]){"127.0.0.1"}), "expected HOST:PORT");
    assert_refused(input_of(INPUT_TCP, (char[]){"127.0.0.1:70000"}), "expected HOST:PORT");
    assert_refused(input_of(INPUT_TCP, (char[]){"192.0.2.1:0"}), "no interface of this machine");
    struct input_config input = input_of(INPUT_UNIX, in_folder(0, "x"));
    input.owner = (char[]){"no-such-user"};
    assert_refused(input, "owner=no-such-user: no such user");
    input.owner = NULL;
    input.group = (char[]){"no-such-group"};
    assert_refused(input, "group=no-such-group: no such group");
    assert_int_equal(access(paths[0], F_OK), -1);
}

/* Forks a process that binds what `input` says, tells through a pipe, and holds it until killed. */
static pid_t hold(struct input_config input, char *target, size_t target_bytes)
{
    int told[2];
    assert_int_equal(pipe2(told, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct listeners *listeners = open_listeners();
        char other[] = "/tmp/yarder-holder-XXXXXX";
        if (mkdtemp(other) == NULL ||
            listeners_prepare(listeners, &input, 1, other, &as_we_are) != 0) {
            _exit(1);
        }
        listeners_adopt(listeners);
        struct sockaddr_in bound = {0};
        socklen_t bytes = sizeof(bound);
        (void)getsockname(listeners_input(listeners, false, 0), (struct sockaddr *)&bound, &bytes);
        char control[64];
        (void)snprintf(control, sizeof(control), "%s/control.sock", other);
        (void)unlink(control);
        (void)rmdir(other);
        uint16_t port = ntohs(bound.sin_port);
        (void)!write(told[1], &port, sizeof(port));
        (void)pause();
        _exit(0);
    }
    (void)close(told[1]);
    uint16_t port = 0;
    assert_int_equal(read(told[0], &port, sizeof(port)), sizeof(port));
    (void)close(told[0]);
    if (input.kind != INPUT_UNIX) {
        (void)snprintf(target, target_bytes, "127.0.0.1:%u", port);
    }
    return pid;
}

static void who_holds_it_is_named(void **state)
{
    (void)state;
    const enum input_kind kinds[] = {INPUT_UDP, INPUT_TCP, INPUT_UNIX};
    for (size_t i = 0; i < YARDER_COUNT_OF(kinds); i++) {
        char target[64] = "127.0.0.1:0";
        if (kinds[i] == INPUT_UNIX) {
            (void)snprintf(target, sizeof(target), "%s", in_folder(0, "held"));
        }
        pid_t pid = hold(input_of(kinds[i], target), target, sizeof(target));
        char expected[64];
        (void)snprintf(expected, sizeof(expected), "address in use by pid %d (", (int)pid);
        assert_refused(input_of(kinds[i], target), expected);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);

        struct input_config twice[] = {input_of(kinds[i], target), input_of(kinds[i], target)};
        struct listeners *listeners = open_listeners(); /* a dead one's path is replaced */
        assert_int_equal(listeners_prepare(listeners, twice, 2, folder, &as_we_are), 1);
        assert_non_null(strstr(only_error(listeners), "this yarder holds it itself"));
        listeners_cancel(listeners);
        listeners_close(listeners);
    }
}

/* A connection that nobody has accepted yet has the path as well, and no inode. */
static void who_listens_is_named_not_who_waits(void **state)
{
    (void)state;
    struct input_config input = input_of(INPUT_UNIX, in_folder(0, "busy"));
    input.socket_type = INPUT_SOCKET_STREAM;
    pid_t pid = hold(input, NULL, 0);
    int waiting[3];
    for (size_t i = 0; i < YARDER_COUNT_OF(waiting); i++) {
        waiting[i] = connect_unix(paths[0], SOCK_STREAM);
        assert_true(waiting[i] >= 0);
    }
    char expected[64];
    (void)snprintf(expected, sizeof(expected), "address in use by pid %d (", (int)pid);
    assert_refused(input, expected);
    for (size_t i = 0; i < YARDER_COUNT_OF(waiting); i++) {
        (void)close(waiting[i]);
    }
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(unlink(paths[0]), 0);
}

static void low_ports_need_privileges(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    pid_t pid = fork();
    if (pid == 0) {
        struct listeners *listeners = open_listeners();
        struct input_config input = input_of(INPUT_TCP, (char[]){"127.0.0.1:81"});
        if (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 ||
            setresuid(65534, 65534, 65534) < 0) {
            _exit(1);
        }
        /* The control socket is refused as well, in a folder that belongs to root. */
        bool error = false;
        bool good =
            listeners_prepare(listeners, &input, 1, folder, &as_we_are) == 2 &&
            strcmp(listeners_problem(listeners, 0, &error),
                "yarder.conf:7: input 127.0.0.1:81: cannot listen on tcp 127.0.0.1:81: port 81 "
                "needs root or CAP_NET_BIND_SERVICE") == 0 &&
            strstr(listeners_problem(listeners, 1, &error), "this user may not") != NULL;
        listeners_close(listeners);
        _exit(good ? 0 : 2);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* In a forked process, where the numbers from 3 on can be what the service manager makes them. */
static int activated(void)
{
    char *path = in_folder(0, "activated");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    struct sockaddr_in port = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t port_bytes = sizeof(port);
    int unix_fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    int tcp_fd = socket(AF_INET, SOCK_STREAM, 0);
    int spare_fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (bind(unix_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        bind(tcp_fd, (struct sockaddr *)&port, sizeof(port)) < 0 || listen(tcp_fd, 5) < 0 ||
        getsockname(tcp_fd, (struct sockaddr *)&port, &port_bytes) < 0 || dup2(unix_fd, 103) < 0 ||
        dup2(tcp_fd, 104) < 0 || dup2(spare_fd, 105) < 0 || close_range(3, 99, 0) < 0 ||
        dup2(105, 3) < 0 || dup2(104, 4) < 0 || dup2(103, 5) < 0) {
        return 10;
    }
    char number[32];
    (void)snprintf(number, sizeof(number), "%d", (int)getpid());
    (void)setenv("LISTEN_PID", number, 1);
    (void)setenv("LISTEN_FDS", "3", 1);
    struct listeners *listeners = NULL;
    if (listeners_open(&listeners) != 0 || getenv("LISTEN_FDS") != NULL) {
        return 11;
    }
    char tcp_target[64];
    (void)snprintf(tcp_target, sizeof(tcp_target), "127.0.0.1:%u", ntohs(port.sin_port));
    struct input_config inputs[] = {input_of(INPUT_TCP, tcp_target), input_of(INPUT_UNIX, path)};
    if (listeners_prepare(listeners, inputs, 2, folder, &as_we_are) != 0 ||
        listeners_input(listeners, true, 0) != 4 || listeners_input(listeners, true, 1) != 5 ||
        (fcntl(4, F_GETFD) & FD_CLOEXEC) == 0) {
        return 12;
    }
    listeners_adopt(listeners);
    bool error = true;
    const char *warning = NULL;
    for (uint32_t i = 0; listeners_problem(listeners, i, &error) != NULL; i++) {
        warning = listeners_problem(listeners, i, &error);
    }
    if (warning == NULL || error || strncmp(warning, "1 of the sockets", 16) != 0) {
        return 13;
    }
    /* Left by one configuration, wanted again by the next: still there. */
    if (listeners_prepare(listeners, NULL, 0, folder, &as_we_are) != 0) {
        return 14;
    }
    listeners_adopt(listeners);
    if (listeners_prepare(listeners, inputs, 2, folder, &as_we_are) != 0 ||
        listeners_input(listeners, true, 1) != 5) {
        return 15;
    }
    listeners_adopt(listeners);
    listeners_close(listeners);
    return access(path, F_OK) == 0 && unlink(path) == 0 ? 0 : 16; /* not ours to remove */
}

static void socket_activation(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(activated());
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 0);
    (void)setenv("LISTEN_PID", "1", 1); /* meant for somebody else */
    (void)setenv("LISTEN_FDS", "1", 1);
    struct listeners *listeners = open_listeners();
    assert_null(getenv("LISTEN_PID"));
    listeners_close(listeners);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(binds_every_kind),
        cmocka_unit_test(reload_keeps_and_replaces),
        cmocka_unit_test(failures_name_the_cure),
        cmocka_unit_test(who_holds_it_is_named),
        cmocka_unit_test(who_listens_is_named_not_who_waits),
        cmocka_unit_test(the_group_of_the_daemon_may_ask),
        cmocka_unit_test(low_ports_need_privileges),
        cmocka_unit_test(socket_activation),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
