/* SPDX-License-Identifier: Apache-2.0 */
/* Users and groups by name and number, and whether they can be taken on. */
#include "os/identity.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/wait.h>

static void by_name_and_number(void **state)
{
    (void)state;
    struct identity identity;
    char why[256] = "";
    assert_int_equal(identity_find(&identity, NULL, NULL, why, sizeof(why)), 0);
    assert_false(identity.change);
    assert_int_equal(identity_assume(&identity), 0);
    assert_int_equal(identity_try(&identity, why, sizeof(why)), 0);
    assert_int_equal(identity_find(&identity, "root", NULL, why, sizeof(why)), 0);
    assert_true(identity.change && identity.uid == 0 && identity.gid == 0);
    assert_true(identity.groups_count >= 1);
    assert_int_equal(identity_find(&identity, "no-such-user", NULL, why, sizeof(why)), -ENOENT);
    assert_string_equal(why, "user no-such-user: no such user");
    assert_int_equal(identity_find(&identity, "root", "no-such-group", why, sizeof(why)), -ENOENT);
    assert_string_equal(why, "group no-such-group: no such group");
    assert_int_equal(identity_find(&identity, "54321", NULL, why, sizeof(why)), -ENOENT);
    assert_int_equal(identity_find(&identity, "54321", "99", why, sizeof(why)), 0);
    assert_true(identity.uid == 54321 && identity.gid == 99 && identity.groups_count == 1);
    uid_t uid = 5;
    assert_int_equal(
        identity_user("4294967295", &uid), -ERANGE); /* means "unchanged" to the kernel */
    assert_int_equal(uid, 5);
}

static void who_is_nobody_becomes_nobody_else(void **state)
{
    (void)state;
    struct identity identity;
    char why[256] = "";
    assert_int_equal(identity_find(&identity, "54321", "99", why, sizeof(why)), 0);
    pid_t pid = fork();
    if (pid == 0) {
        bool good = geteuid() != 0 || (setgroups(0, NULL) == 0 && setresgid(99, 99, 99) == 0 &&
                                          setresuid(54320, 54320, 54320) == 0);
        good = good && identity_try(&identity, why, sizeof(why)) == -EPERM;
        _exit(good && strstr(why, "may not become uid 54321 with gid 99") != NULL ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    if (geteuid() == 0) {
        assert_int_equal(identity_try(&identity, why, sizeof(why)), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_name_and_number),
        cmocka_unit_test(who_is_nobody_becomes_nobody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
