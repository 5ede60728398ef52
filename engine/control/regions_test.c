/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ring clients, played by this process and by forked ones, against a real socket: a region for each
 * and its life, from the hello to the end of the process, or of its supervisor.
 */
#include "control/regions_client.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* A client process that attaches, then closes everything it has and lives on. */
static pid_t fork_client(const char *program)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
        struct ring_hello hello = hello_of(program);
        struct ring_answer answer;
        int region_fd = -1;
        if (connect(fd, (struct sockaddr *)&address, address_bytes) < 0 ||
            hello_send(fd, &hello, -1) < 0 || !readable(fd, 5000) ||
            hello_receive(fd, &answer, &region_fd) < 0) {
            _exit(1);
        }
        (void)close_range(0, ~0U, 0);
        (void)pause();
        _exit(0);
    }
    return pid;
}

static void life_of_a_region(void **state)
{
    (void)state;
    unsigned before = open_descriptors();
    struct regions *regions = open_regions(&options);
    pid_t pid = fork_client("web\x1b[31m");
    const struct region_view *view = event_of(regions, REGIONS_NEW);
    assert_int_equal(view->pid, pid);
    assert_int_equal(view->uid, getuid());
    assert_string_equal(view->program, "web_[31m");
    assert_false(view->gone);
    struct region_shape shape;
    struct os_file_id id;
    assert_int_equal(region_inspect(view->region_fd, &shape, &id), 0);
    assert_int_equal(shape.region_bytes, view->region_bytes);
    assert_int_equal(shape.generation, view->id);
    assert_ptr_equal(regions_after(regions, NULL), view);
    assert_null(regions_after(regions, view));

    assert_true(readable(view->socket_fd, 5000)); /* the client's end of it is closed ... */
    regions_serve(regions);
    const struct region_view *other = NULL;
    assert_int_equal(regions_next_event(regions, &other), REGIONS_NONE); /* ... which is no death */
    assert_int_equal(regions_done(regions, view->id), -EBUSY);
    assert_int_equal(regions_done(regions, view->id + 1), -ENOENT);

    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_ptr_equal(event_of(regions, REGIONS_GONE), view);
    assert_true(view->gone);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(regions_next_event(regions, &other), REGIONS_NONE);
    assert_int_equal(regions_counts(regions).open, 1);
    assert_int_equal(regions_done(regions, view->id), 0);
    assert_int_equal(regions_counts(regions).open, 0);
    assert_int_equal(regions_counts(regions).bytes, 0);
    assert_null(regions_after(regions, NULL));
    regions_close(regions);
    assert_int_equal(open_descriptors(), before);
}

static void events_in_order(void **state)
{
    (void)state;
    struct regions *regions = open_regions(&options);
    pid_t pids[5];
    for (int i = 0; i < 5; i++) {
        pids[i] = fork_client("x");
        while (regions_counts(regions).open == (uint64_t)i) {
            assert_true(readable(regions_fd(regions), 5000));
            regions_serve(regions);
        }
    }
    /* All end before anybody asked: each is still told as new first, and the list is in order. */
    for (int i = 0; i < 5; i++) {
        assert_int_equal(kill(pids[i], SIGKILL), 0);
        assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
    }
    regions_serve(regions);
    const struct region_view *listed = NULL;
    for (int i = 0; i < 5; i++) {
        listed = regions_after(regions, listed);
        assert_int_equal(listed->pid, pids[i]);
        assert_ptr_equal(event_of(regions, REGIONS_NEW), listed);
        assert_ptr_equal(event_of(regions, REGIONS_GONE), listed);
    }
    /* Done in any order; what a worker says before it was told is no harm. */
    const int order[] = {4, 0, 2, 3, 1};
    for (size_t i = 0; i < YARDER_COUNT_OF(order); i++) {
        listed = regions_after(regions, NULL);
        while (listed->pid != (uint32_t)pids[order[i]]) {
            listed = regions_after(regions, listed);
        }
        assert_int_equal(regions_done(regions, listed->id), 0);
    }
    assert_null(regions_after(regions, NULL));
    pids[0] = fork_client("again"); /* the list's ends are right */
    listed = event_of(regions, REGIONS_NEW);
    assert_ptr_equal(regions_after(regions, NULL), listed);
    assert_int_equal(kill(pids[0], SIGKILL), 0);
    assert_ptr_equal(event_of(regions, REGIONS_GONE), listed);
    assert_int_equal(waitpid(pids[0], NULL, 0), pids[0]);
    regions_close(regions);
}

static int hand_back(struct regions *regions, uint64_t generation, int region_fd)
{
    int fd = connect_client();
    struct ring_hello hello = hello_of("survivor");
    hello.flags = RING_HELLO_HAND_BACK;
    hello.generation = generation;
    assert_int_equal(hello_send(fd, &hello, region_fd), 0);
    int none = -1;
    int status = answer_for(regions, fd, &none);
    assert_int_equal(none, -1);
    (void)close(fd);
    return status;
}

static void regions_come_back(void **state)
{
    (void)state;
    struct regions *regions = open_regions(&options);
    struct ring_hello hello = hello_of("survivor");
    int fd;
    int region_fd;
    assert_int_equal(attach(regions, &hello, &fd, &region_fd), RING_STATUS_OK);
    uint64_t generation = event_of(regions, REGIONS_NEW)->id;
    assert_int_equal(
        hand_back(regions, generation, region_fd), RING_STATUS_REFUSED); /* it is known */
    regions_close(regions);                                              /* the supervisor dies */
    (void)close(fd);

    regions = open_regions(&options);
    int unsealed = memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int empty = -1;
    assert_int_equal(os_memfd_create(&empty, "forged", 1 << 20), 0); /* sealed, but no region */
    assert_int_equal(ftruncate(unsealed, 1 << 20), 0);
    unsigned before = open_descriptors();
    assert_int_equal(hand_back(regions, generation, unsealed), RING_STATUS_REFUSED);
    assert_int_equal(hand_back(regions, generation, empty), RING_STATUS_REFUSED);
    assert_int_equal(hand_back(regions, generation, 1), RING_STATUS_REFUSED);
    if (geteuid() == 0) { /* right in everything but its maker */
        struct region_shape shape = {
            .kind = REGION_RSEQ, .clock = REGION_CLOCK_NS, .generation = generation};
        region_shape_set(&shape, 1 << 20, 1);
        int foreign = -1;
        assert_int_equal(seteuid(65534), 0);
        assert_int_equal(region_create(&foreign, &shape), 0);
        assert_int_equal(seteuid(0), 0);
        assert_int_equal(hand_back(regions, generation, foreign), RING_STATUS_REFUSED);
        (void)close(foreign);
    }
    assert_int_equal(hand_back(regions, generation + 1, region_fd), RING_STATUS_REFUSED);
    assert_int_equal(open_descriptors(), before);
    assert_int_equal(hand_back(regions, generation, region_fd), RING_STATUS_OK);
    assert_int_equal(hand_back(regions, generation, region_fd), RING_STATUS_REFUSED);
    const struct region_view *view = event_of(regions, REGIONS_NEW);
    assert_true(view->id > generation);
    struct os_file_id file[2];
    assert_true(os_file_id(view->region_fd, &file[0]) == 0 && os_file_id(region_fd, &file[1]) == 0);
    assert_true(os_file_id_equal(file[0], file[1]));
    assert_int_equal(regions_counts(regions).handed_back, 1);
    assert_int_equal(regions_counts(regions).refused_region, geteuid() == 0 ? 6 : 5);
    (void)close(unsealed);
    (void)close(empty);
    (void)close(region_fd);
    regions_close(regions);
}

/* From here on this process has a kernel without pidfds. */
static int forbid_pidfds(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getsockopt, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 77 /* SO_PEERPIDFD */, 2, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOPROTOOPT),
    };
    struct sock_fprog program = {.len = YARDER_COUNT_OF(code), .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0;
}

static int socket_end_stands_in(void)
{
    int probe = -1;
    if (forbid_pidfds() || os_pidfd_open(&probe, getpid()) != -EPERM) {
        return 1;
    }
    struct regions *regions = open_regions(&options);
    struct ring_hello hello = hello_of("x");
    int fd = -1;
    int region_fd = -1;
    const struct region_view *view = NULL;
    if (attach(regions, &hello, &fd, &region_fd) != RING_STATUS_OK ||
        regions_next_event(regions, &view) != REGIONS_NEW || view->pid != 0 || view->gone) {
        return 2;
    }
    /* A doorbell is no end and does not wake the supervisor; it is there for the worker. */
    if (send(fd, "!", 1, MSG_NOSIGNAL) != 1 || readable(regions_fd(regions), 0) ||
        regions_done(regions, view->id) != -EBUSY) {
        return 3;
    }
    (void)close(fd);
    if (!readable(regions_fd(regions), 5000)) {
        return 4;
    }
    regions_serve(regions);
    char byte = 0;
    if (regions_next_event(regions, &view) != REGIONS_GONE || !view->gone ||
        readable(regions_fd(regions), 0) || recv(view->socket_fd, &byte, 1, MSG_DONTWAIT) != 1 ||
        regions_done(regions, view->id) != 0) {
        return 5;
    }
    regions_close(regions);
    return 0;
}

/* Its client hears of it by the socket's end, and takes the log socket for a while. */
/* An exec leaves the process and takes its mappings: the next image's hello says so. */
static void an_image_is_replaced(void **state)
{
    (void)state;
    struct regions *regions = open_regions(&options);
    struct ring_hello hello = hello_of("web");
    const struct region_view *views[3];
    static const uint32_t images[] = {0, 7, 7};
    int fds[4], region_fds[4];
    for (unsigned i = 0; i < 3; i++) {
        hello.image = images[i];
        assert_int_equal(attach(regions, &hello, &fds[i], &region_fds[i]), RING_STATUS_OK);
        views[i] = event_of(regions, REGIONS_NEW);
    }
    hello.image = 8;
    assert_int_equal(attach(regions, &hello, &fds[3], &region_fds[3]), RING_STATUS_OK);
    assert_ptr_equal(event_of(regions, REGIONS_GONE), views[1]);
    assert_ptr_equal(event_of(regions, REGIONS_GONE), views[2]);
    const struct region_view *view = event_of(regions, REGIONS_NEW);
    assert_false(view->gone);
    assert_false(views[0]->gone); /* it does not tell: as long as its process lives */
    assert_int_equal(regions_done(regions, views[1]->id), 0);
    assert_int_equal(regions_done(regions, views[0]->id), -EBUSY);
    for (unsigned i = 0; i < 4; i++) {
        yarder_fd_drop(&fds[i]);
        yarder_fd_drop(&region_fds[i]);
    }
    regions_close(regions);
}

static void what_no_worker_can_read(void **state)
{
    (void)state;
    struct regions *regions = open_regions(&options);
    struct ring_hello hello = hello_of("unreadable");
    int fd = -1;
    int region_fd = -1;
    assert_int_equal(attach(regions, &hello, &fd, &region_fd), RING_STATUS_OK);
    const struct region_view *view = event_of(regions, REGIONS_NEW);
    int worker_fd = fcntl(view->socket_fd, F_DUPFD_CLOEXEC, 3);
    uint64_t id = view->id;
    assert_int_equal(regions_refuse(regions, id + 1), -ENOENT);
    assert_int_equal(regions_refuse(regions, id), 0);
    assert_int_equal(regions_refuse(regions, id), -ENOENT);
    assert_null(regions_after(regions, NULL));
    char byte;
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
    /* Neither the same again nor another. */
    struct region_shape shape;
    struct os_file_id file;
    assert_int_equal(region_inspect(region_fd, &shape, &file), 0);
    hello.generation = shape.generation;
    hello.flags = RING_HELLO_HAND_BACK;
    int other_fd = connect_client();
    int nothing = -1;
    assert_int_equal(hello_send(other_fd, &hello, region_fd), 0);
    assert_int_equal(answer_for(regions, other_fd, &nothing), RING_STATUS_MEMORY);
    (void)close(other_fd);
    hello.flags = 0;
    assert_int_equal(attach(regions, &hello, &other_fd, &nothing), RING_STATUS_MEMORY);
    assert_int_equal(regions_counts(regions).refused_memory, 3);
    (void)close(other_fd);
    (void)close(worker_fd);
    (void)close(region_fd);
    (void)close(fd);
    regions_close(regions);
}

static void without_pidfds(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(socket_end_stands_in());
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(life_of_a_region),
        cmocka_unit_test(events_in_order),
        cmocka_unit_test(regions_come_back),
        cmocka_unit_test(an_image_is_replaced),
        cmocka_unit_test(what_no_worker_can_read),
        cmocka_unit_test(without_pidfds),
    };
    return cmocka_run_group_tests(tests, open_listener, NULL);
}
