/* SPDX-License-Identifier: Apache-2.0 */
/* What a service manager would receive, on a path and on an abstract name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "control/notify.h"

static const char *received(int fd)
{
    static char text[1024];
    ssize_t length = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
    assert_true(length >= 0);
    text[length] = '\0';
    return text;
}

static void speak(const char *name, int manager)
{
    char pid[32];
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
    (void)setenv("NOTIFY_SOCKET", name, 1);
    (void)setenv("WATCHDOG_USEC", "3000000", 1);
    (void)setenv("WATCHDOG_PID", pid, 1);
    struct notify notify;
    assert_int_equal(notify_open(&notify), 0);
    assert_null(getenv("NOTIFY_SOCKET"));
    assert_null(getenv("WATCHDOG_USEC"));
    assert_true(notify.watchdog_ns == UINT64_C(1500000000));
    notify_ready(&notify);
    assert_string_equal(received(manager), "READY=1");
    notify_reloading(&notify);
    unsigned long long usec = 0;
    assert_int_equal(sscanf(received(manager), "RELOADING=1\nMONOTONIC_USEC=%llu", &usec), 1);
    assert_true(usec > 0);
    notify_alive(&notify);
    assert_string_equal(received(manager), "WATCHDOG=1");
    notify_stopping(&notify);
    assert_string_equal(received(manager), "STOPPING=1");
    for (int i = 0; i < 5000; i++) {
        notify_alive(&notify); /* a manager that does not read stops nobody */
    }
    (void)close(notify.fd);
}

static void speaks_to_both_kinds(void **state)
{
    (void)state;
    char folder[] = "/tmp/yarder-notify-XXXXXX";
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < 2; i++) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int length = i == 0
                         ? snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", folder)
                         : snprintf(address.sun_path, sizeof(address.sun_path), "@%s", folder);
        char name[sizeof(address.sun_path)];
        memcpy(name, address.sun_path, sizeof(name));
        if (i == 1) {
            address.sun_path[0] = '\0';
        }
        int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        size_t bytes = offsetof(struct sockaddr_un, sun_path) + (size_t)length + (i == 0 ? 1 : 0);
        assert_int_equal(bind(manager, (struct sockaddr *)&address, (socklen_t)bytes), 0);
        speak(name, manager);
        (void)close(manager);
    }
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/socket", folder);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void silent_without_a_manager(void **state)
{
    (void)state;
    struct notify notify;
    assert_int_equal(notify_open(&notify), 0);
    assert_int_equal(notify.fd, -1);
    assert_true(notify.watchdog_ns == 0);
    notify_ready(&notify);
    notify_alive(&notify);
    const char *bad[] = {"relative/path", "@", "/", "vsock:2:1"};
    for (size_t i = 0; i < YARDER_COUNT_OF(bad); i++) {
        (void)setenv("NOTIFY_SOCKET", bad[i], 1);
        assert_int_equal(notify_open(&notify), -EINVAL);
        notify_ready(&notify); /* nobody hears it */
    }
    (void)setenv("WATCHDOG_USEC", "3000000", 1); /* for another process */
    (void)setenv("WATCHDOG_PID", "1", 1);
    assert_int_equal(notify_open(&notify), 0);
    assert_true(notify.watchdog_ns == 0);
    (void)setenv("WATCHDOG_USEC", "soon", 1);
    assert_int_equal(notify_open(&notify), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(speaks_to_both_kinds),
        cmocka_unit_test(silent_without_a_manager),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
