# SPDX-License-Identifier: Apache-2.0
"""`yarder exec --preload`: streams of C++ and of libraries, users and descriptors that change."""
import os
import subprocess

import pytest

from harness.daemon import program
from harness.preloaded import (CONFIG, LIBRARY, Log, PYTHON, SECONDS, assert_same, compiled,
                               numbered, settled)

pytestmark = pytest.mark.skipif(not LIBRARY.exists(), reason=f"{LIBRARY} is not built")


CPLUSPLUS = """\
#include <iostream>
int main()
{
    for (int i = 0; i < 1000; i++) {
        std::cout << "line " << i << std::endl;
        std::cerr << "error " << i << "\\n";
    }
}
"""


def test_cplusplus_streams(yarder, folder):
    log = Log(yarder(CONFIG), folder, [compiled(folder, "streams", CPLUSPLUS)])
    assert_same(log.texts("stderr"), numbered("error", 1000))
    assert_same(log.texts("stdout"), numbered("line", 1000))


CHANGED = """\
import os, sys
if os.getuid() == 0:
    os.setgroups([])
    os.setuid(33)
print("changed", os.getpid(), flush=True)
"""


def test_a_program_that_changes_its_user_finds_the_daemon(yarder, folder):
    """And its environment; only `exec` is told where the daemon is."""
    daemon = yarder(CONFIG)
    folder.chmod(0o755)
    subprocess.run([program(), "exec", "--preload", "--no-tee", "--", "env", "-u", "YARDER_RUN_DIR",
                    PYTHON, "-c", CHANGED], timeout=SECONDS, check=True,
                   env={**os.environ, "YARDER_RUN_DIR": str(daemon.run_dir)})
    [record] = settled(daemon, folder / "all")
    assert record["message"] == f"changed {record['pid']}"


DESCRIPTORS = """\
import os
print("pid", os.getpid(), flush=True)
print(*[fd for fd in range(3, 1000) if os.path.exists(f"/proc/self/fd/{fd}")])
"""


@pytest.mark.parametrize("limit", [1000, 30])
def test_low_descriptors_are_the_programs(yarder, folder, limit):
    log = Log(yarder(CONFIG), folder, ["prlimit", f"--nofile={limit}", PYTHON, "-c", DESCRIPTORS])
    [ours] = log.by_ring()[1:]
    assert len(ours.split()) == 2
    assert limit < 100 or min(int(fd) for fd in ours.split()) >= 100


CLOSED = """\
#include <cstdio>
#include <iostream>
int main()
{
    std::cout << "one\\n";
    if (std::fclose(stdout) != 0) {
        return 3;
    }
    for (std::size_t bytes = 64; bytes < 8192; bytes += 16) {
        new std::string(bytes, 'A');
    }
    std::cout << "after\\n" << std::flush;
    bool failed = !std::cout;
    std::cerr << (failed ? "failed" : "good") << "\\n";
}
"""


def test_cplusplus_after_stdout_is_closed(yarder, folder):
    log = Log(yarder(CONFIG), folder, [compiled(folder, "closed", CLOSED)])
    assert log.texts() == ["one", "failed"]


EARLY = """\
#include <cstdio>
#include <iostream>
__attribute__((constructor)) static void load() { std::printf("library loaded\\nhalf "); }
void say() { std::cout << "by the library\\n"; }
"""

LATE = """\
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sys/wait.h>
#include <unistd.h>
void say();
int main(int, char **arguments)
{
    std::printf("a line\\n");
    std::fflush(stdout);
    say();
    std::fflush(stdout);
    if (arguments[1][0] == 'k') {
        std::raise(SIGKILL);
    } else if (fork() == 0) {
        std::exit(0);
    }
    wait(nullptr);
}
"""


@pytest.mark.parametrize("way", ["fork", "killed"])
def test_what_a_library_printed_is_flushed(yarder, folder, way):
    """It was loaded before ours, and keeps libc's own stdout."""
    library = compiled(folder, "libearly.so", EARLY, "-shared", "-fPIC")
    late = compiled(folder, "late", LATE, str(library))
    log = Log(yarder(CONFIG), folder, [late, way], status=137 if way == "killed" else 0)
    assert_same(log.texts(), ["library loaded", "half a line", "by the library"])


WIDE = """\
#include <csignal>
#include <iostream>
int main()
{
    std::wcout << L"wide line" << std::endl;
    std::raise(SIGKILL);
}
"""


def test_wide_characters_are_flushed(yarder, folder):
    log = Log(yarder(CONFIG), folder, [compiled(folder, "wide", WIDE)], status=137)
    assert log.texts() == ["wide line"]
