/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: each input knows requests by what is said of it, of uWSGI's lines, or not at all. */
#include "control/config_scene.h"

static void expect(const char *text, int result, const char *requests, const char *said)
{
    struct scene scene;
    scene_run(&scene, text);
    assert_string_equal(scene.said, said);
    assert_int_equal(scene.result, result);
    const char *got = result != 0 || scene.config->inputs[0].requests == NULL
                          ? "none"
                          : scene.config->inputs[0].requests;
    assert_string_equal(got, requests);
    scene_close(&scene);
}

#define APACHE "%(addr) [%(ltime)] \"%(method) %(uri) %(proto)\" %(status)"

static void inputs_say_it(void **state)
{
    (void)state;
    expect("input = udp:127.0.0.1:1\n", 0, "none", "");
    expect("input = udp:127.0.0.1:1,requests=uwsgi\n", 0, "uwsgi", "");
    expect("input = ring,requests=uwsgi\n", 0, "uwsgi", "");
    expect("input = udp:127.0.0.1:1,requests=format:%(status) %(uri), %(size),tag=x\n", 0,
        "format:%(status) %(uri), %(size)", "");
    expect("[input a]\ntype = udp\nto = 127.0.0.1:1\nrequests = format:" APACHE "\n", 0,
        "format:" APACHE, "");
}

static void uwsgi_lines_say_it(void **state)
{
    (void)state;
    expect("[uwsgi]\nlog-format = " APACHE "\n[yarder]\ninput = ring\n", 0, "format:" APACHE, "");
    expect("log-format = " APACHE "\ninput = ring\n", 0, "format:" APACHE, "");
    expect("input = ring\nreq-logger = file:/r\nlogger = file:/l\n", 0, "uwsgi", "");
    expect("input = ring,requests=none\nreq-logger = file:/r\nlogger = file:/l\n", 0, "none", "");
    expect("input = udp:127.0.0.1:1,kind=request\nreq-logger = file:/r\nlogger = file:/l\n", 0,
        "uwsgi", "");
    expect("input = udp:127.0.0.1:1,kind=log\nreq-logger = file:/r\nlogger = file:/l\n", 0, "none",
        "");
    expect("logger = file:/l\ninput = ring\n", 0, "none", "");
}

static void what_is_wrong(void **state)
{
    (void)state;
    expect("input = ring,requests=apache\n", -EINVAL, "none",
        "y.conf:1: requests: expected uwsgi or format:TEMPLATE, not 'apache'\n");
    expect("input = ring,requests=format:%(status)%(size)\n", -EINVAL, "none",
        "y.conf:1: requests: nothing stands between %(status) and %(size): where one ends cannot "
        "be told\n");
    expect("input = ring\nlog-format = %(method)%(uri) x\n", 0, "none",
        "y.conf:2: warning: log-format: requests are not known by it: nothing stands between "
        "%(method) and %(uri): where one ends cannot be told\n");
    expect("input = ring\nlog-format = a\nlogformat = b\n", -EINVAL, "none",
        "y.conf:3: logformat is given twice, first at y.conf:2\n"
        "y.conf:2: warning: log-format: requests are not known by it: there is no variable such as "
        "%(uri) in it, so nearly every line would be a request\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inputs_say_it),
        cmocka_unit_test(uwsgi_lines_say_it),
        cmocka_unit_test(what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
