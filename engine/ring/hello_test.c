/* SPDX-License-Identifier: Apache-2.0 */
/* The hello and its answer over a real socket pair: both directions, nonsense, and descriptors. */
#include "ring/testing.h"

#include <errno.h>
#include <sys/socket.h>

#include "ring/hello.h"

static int sockets[2]; /* [0] the client's, [1] the supervisor's */

static int open_sockets(void **state)
{
    (void)state;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets);
}

static int close_sockets(void **state)
{
    (void)state;
    (void)close(sockets[0]);
    (void)close(sockets[1]);
    return 0;
}

static struct ring_hello make_hello(void)
{
    return (struct ring_hello){.magic = RING_HELLO_MAGIC,
        .version = RING_HELLO_VERSION,
        .kind = REGION_RSEQ,
        .pid = 9,
        .program = "a\nb"};
}

static void both_ways(void **state)
{
    (void)state;
    struct ring_hello hello = make_hello();
    int fd = -1;
    assert_int_equal(hello_read(sockets[1], &hello, &fd), -EAGAIN);
    hello = make_hello();
    assert_int_equal(hello_send(sockets[0], &hello, -1), 0);
    struct ring_hello got;
    assert_int_equal(hello_read(sockets[1], &got, &fd), 0);
    assert_int_equal(fd, -1);
    assert_string_equal(got.program, "a_b");
    struct region_shape shape = {.kind = REGION_PLAIN, .clock = REGION_CLOCK_NS, .generation = 5};
    region_shape_set(&shape, 0, 1);
    int region = -1;
    assert_int_equal(region_create(&region, &shape), 0);
    assert_int_equal(hello_answer(sockets[1], RING_STATUS_OK, 5, region), 0);
    struct ring_answer answer;
    int received = -1;
    assert_int_equal(hello_receive(sockets[0], &answer, &received), 0);
    assert_int_equal(answer.status, RING_STATUS_OK);
    struct os_file_id sent_id;
    struct os_file_id received_id;
    assert_int_equal(os_file_id(region, &sent_id), 0);
    assert_int_equal(os_file_id(received, &received_id), 0);
    assert_true(os_file_id_equal(sent_id, received_id));
    /* and back again */
    hello.flags = RING_HELLO_HAND_BACK;
    assert_int_equal(hello_send(sockets[0], &hello, received), 0);
    assert_int_equal(hello_read(sockets[1], &got, &fd), 0);
    assert_true(fd >= 0);
    (void)close(fd);
    (void)close(region);
    (void)close(received);
}

static void nonsense(void **state)
{
    (void)state;
    struct ring_hello hello = make_hello();
    struct ring_hello got;
    int fd = -1;
    hello.magic++;
    assert_int_equal(hello_send(sockets[0], &hello, -1), 0);
    assert_int_equal(hello_read(sockets[1], &got, &fd), -EPROTO);
    hello = make_hello();
    hello.flags = RING_HELLO_HAND_BACK; /* without a descriptor */
    assert_int_equal(hello_send(sockets[0], &hello, -1), 0);
    assert_int_equal(hello_read(sockets[1], &got, &fd), -EPROTO);
    hello.flags = 0; /* with one that nobody announced */
    assert_int_equal(hello_send(sockets[0], &hello, 0), 0);
    assert_int_equal(hello_read(sockets[1], &got, &fd), -EPROTO);
    assert_int_equal(send(sockets[0], &hello, 7, 0), 7);
    assert_int_equal(hello_read(sockets[1], &got, &fd), -EPROTO);
    char long_message[sizeof(hello) + 1] = {0};
    assert_int_equal(send(sockets[0], long_message, sizeof(long_message), 0), sizeof(long_message));
    assert_int_equal(hello_read(sockets[1], &got, &fd), -EPROTO);
    int many[] = {0, 0, 0};
    assert_int_equal(os_send_fds(sockets[0], &hello, sizeof(hello), many, 3), 0);
    int before = dup(0);
    (void)close(before);
    assert_int_equal(hello_read(sockets[1], &got, &fd), -EMFILE);
    int after = dup(0);
    (void)close(after);
    assert_int_equal(after, before); /* nothing leaked */
    (void)shutdown(sockets[0], SHUT_RDWR);
    assert_int_equal(hello_read(sockets[1], &got, &fd), -EPIPE);
    assert_int_equal(fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_ways, open_sockets, close_sockets),
        cmocka_unit_test_setup_teardown(nonsense, open_sockets, close_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
