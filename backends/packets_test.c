/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which items are answered when only some of their packets go. The link is ours: it takes as many
 * packets as it is told, then answers as it is told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka needs the three above */
#include <cmocka.h>
#include <errno.h>

#include "packets.h"

enum { ROOM = 64 };

static struct {
    size_t room; /* packets that still go */
    int answer;  /* then; -EMSGSIZE: of `too_long` bytes and more */
    int connected;
    size_t too_long;
    size_t sent;
    size_t refused;
} link_state;

int link_connect(struct link *link, uint64_t deadline_ns)
{
    (void)link;
    (void)deadline_ns;
    return link_state.connected;
}

int link_send_many(struct link *link, const struct iovec *datagrams, size_t count,
    uint64_t deadline_ns, size_t *sent)
{
    (void)link;
    (void)deadline_ns;
    for (*sent = 0; *sent < count; (*sent)++) {
        if (link_state.too_long > 0 && datagrams[*sent].iov_len >= link_state.too_long) {
            return -EMSGSIZE;
        }
        if (link_state.room == 0) {
            return link_state.answer;
        }
        link_state.room--;
        link_state.sent++;
    }
    return 0;
}

static void refuse(struct yarder_host *host, struct yarder_item *item, const char *format, ...)
{
    (void)host;
    (void)format;
    item->result = YARDER_REFUSED;
    link_state.refused++;
}

static struct yarder_host host = {.refuse = refuse};
static struct packets packets;
static struct yarder_item items[4];

static int set_up(void **state)
{
    (void)state;
    link_state.room = SIZE_MAX;
    link_state.answer = link_state.connected = 0;
    link_state.too_long = link_state.sent = link_state.refused = 0;
    memset(items, 0, sizeof(items));
    return packets_open(&packets, &host, NULL, ROOM);
}

static int tear_down(void **state)
{
    (void)state;
    packets_close(&packets);
    return 0;
}

static void put(unsigned item, size_t bytes, bool last)
{
    memset(packets_at(&packets), 'x', bytes);
    packets_put(&packets, &items[item], bytes, last);
}

/* Items of one, three and one packets. */
static void put_three(void)
{
    put(0, 4, true);
    put(1, 4, false);
    put(1, 8, false);
    put(1, 4, true);
    put(2, 4, true);
}

static void expect(int first, int second, int third)
{
    assert_int_equal(items[0].result, first);
    assert_int_equal(items[1].result, second);
    assert_int_equal(items[2].result, third);
    assert_int_equal(packets.count + packets.used, 0);
}

static void test_all_go(void **state)
{
    (void)state;
    put_three();
    assert_int_equal(packets_send(&packets, 0), 0);
    expect(YARDER_DELIVERED, YARDER_DELIVERED, YARDER_DELIVERED);
    assert_int_equal(packets_send(&packets, 0), 0);
    assert_int_equal(link_state.sent, 5);
}

static void test_a_part_is_nothing(void **state)
{
    (void)state;
    put_three();
    link_state.room = 3;
    link_state.answer = -ECANCELED;
    assert_int_equal(packets_send(&packets, 0), -ECANCELED);
    expect(YARDER_DELIVERED, YARDER_LATER, YARDER_LATER);
}

static void test_no_connection(void **state)
{
    (void)state;
    put_three();
    link_state.connected = -EHOSTUNREACH;
    assert_int_equal(packets_send(&packets, 0), -EHOSTUNREACH);
    expect(YARDER_LATER, YARDER_LATER, YARDER_LATER);
    assert_int_equal(link_state.sent, 0);
}

/* What the network cannot take is refused once; nothing more of that item goes, the rest does. */
static void test_too_long(void **state)
{
    (void)state;
    put_three();
    link_state.too_long = 8;
    assert_int_equal(packets_send(&packets, 0), 0);
    expect(YARDER_DELIVERED, YARDER_REFUSED, YARDER_DELIVERED);
    assert_int_equal(link_state.refused, 1);
    assert_int_equal(link_state.sent, 3);
}

static void test_room_is_made(void **state)
{
    (void)state;
    put(0, 40, true);
    assert_int_equal(packets_reserve(&packets, 1, 24, 0), 0);
    assert_int_equal(packets.count, 1);
    assert_int_equal(packets_reserve(&packets, 1, 25, 0), 0);
    expect(YARDER_DELIVERED, YARDER_LATER, YARDER_LATER);
    for (unsigned i = 0; i < PACKETS_MAX - 1; i++) {
        put(1, 0, true);
    }
    assert_int_equal(packets_reserve(&packets, 1, 0, 0), 0);
    assert_int_equal(packets.count, PACKETS_MAX - 1);
    link_state.room = 0;
    link_state.answer = -ETIMEDOUT;
    assert_int_equal(packets_reserve(&packets, 2, 0, 0), -ETIMEDOUT);
    expect(YARDER_DELIVERED, YARDER_LATER, YARDER_LATER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_part_is_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_connection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_long, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_room_is_made, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
