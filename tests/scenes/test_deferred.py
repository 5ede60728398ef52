# SPDX-License-Identifier: Apache-2.0
"""yarder_logf with its arguments deferred: the file holds what the program's own printf says."""
import os
import re
import shutil
import signal
import subprocess

import pytest

from harness import ledger
from harness.daemon import ROOT, program
from harness.wait import wait_until

SETTLE_SECONDS = 30
ROUNDS = 10_000
KILLS = 5
CONFIG = "input = ring\noutput = all file:{folder}/all,format=${pid} ${msg}\n"
SAID = re.compile(r"pid (\d+) appended (\d+) lost 0 refused 0 flushed 0")


def deferred(name):
    path = program().parent / "tests" / name
    if not path.exists():
        pytest.skip(f"{name} was not built: no C++ compiler")
    return path


def lines_of(data, pid):
    head = b"%d " % pid
    return [line[len(head):] for line in data.split(b"\n") if line.startswith(head)]


def size_of(path):
    return path.stat().st_size if path.exists() else 0


def kill_workers(one, process):
    """While the program logs: each death takes a worker that has read the formats."""
    size = 0
    for number in range(1, KILLS + 1):
        wait_until(lambda: process.poll() is not None
                   or size_of(one.folder / "all") > size, 20, "more records")
        if process.poll() is not None:
            return number - 1
        (pid,) = one.worker_pids()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: one.worker_pids() not in ([], [pid]), 10, "another worker")
        size = size_of(one.folder / "all")
    return KILLS


@pytest.mark.sanitize
@pytest.mark.parametrize("name", ["deferred", "deferred-cc"])
def test_text_is_printf_s(yarder, folder, name):
    """C and C++, parent and forked child, while workers die: line for line, nothing lost."""
    one = yarder(CONFIG)
    wanted = folder / "wanted"
    process = subprocess.Popen(
        [deferred(name), wanted, str(ROUNDS)], stderr=subprocess.PIPE, text=True,
        env={**os.environ, "YARDER_RUN_DIR": str(one.run_dir)})
    try:
        kills = kill_workers(one, process)
        _, said = process.communicate(timeout=60)
    finally:
        if process.returncode is None:
            process.kill()
            process.communicate()
    assert process.returncode == 0, said
    assert kills > 0
    appended = {int(pid): int(count) for pid, count in SAID.findall(said)}
    assert len(appended) == 2
    status = ledger.wait_settled(one, sum(appended.values()), SETTLE_SECONDS)
    assert ledger.lost(status) == 0
    data = (folder / "all").read_bytes()
    for pid, count in appended.items():
        path = wanted if pid == process.pid else folder / "wanted.child"
        assert lines_of(data, pid) == path.read_bytes().split(b"\n")[:-1]
        assert len(lines_of(data, pid)) == count
    print(f"{sum(appended.values())} records, {kills} workers killed")


CALLS = """
#include "api/yarder.h"
static int log_two(const char *one, int two)
{
    return yarder_logf(0, 20, "%s %d", one, two) + yarder_logf(0, 20, "no argument");
}
int main(void)
{
    int result = 0;
    if (log_two("a", 1) != 0)
        yarder_logf(0, YARDER_LEVEL_INFO, "%d", result);
    else
        result = yarder_logf(1, 2, "%d%%", yarder_logf(0, 0, "inner"));
    return result + (yarder_logf)(0, 0, "%d", 1);
}
"""


@pytest.mark.parametrize("compiler, language, standards", [
    ("gcc", "c", ["c90", "c99", "c17", "gnu17"]),
    ("g++", "c++", ["c++98", "c++11", "c++17", "c++20"]),
    ("clang-14", "c", ["c99", "c17"]), ("clang++-14", "c++", ["c++11", "c++17"])])
@pytest.mark.parametrize("flags", [["-O0"], ["-O2"], ["-O2", "-DYARDER_NO_DEFER"]])
def test_calls_compile_silently(compiler, language, standards, flags):
    """In each dialect; a wrong argument is told, however the call is made."""
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    for standard in standards:
        command = [compiler, "-x", language, f"-std={standard}", "-pedantic-errors", "-Werror",
                   "-Wno-long-long", "-Wall", "-Wextra", "-Wundef", *flags, "-S", "-o", "-",
                   "-I", str(ROOT / "engine"), "-"]
        good = subprocess.run(command, input=CALLS, text=True, capture_output=True, timeout=60)
        assert (good.returncode, good.stderr) == (0, ""), standard
        old = standard in ("c90", "c++98") or "-DYARDER_NO_DEFER" in flags
        assert ("yarder_logf_site" in good.stdout) == (not old), standard
        wrong = CALLS.replace("%d%%", "%s%%")
        bad = subprocess.run(command, input=wrong, text=True, capture_output=True, timeout=60)
        assert bad.returncode != 0 and "format" in bad.stderr, standard
        if old or language == "c++":
            continue
        split = ("#include \"api/yarder.h\"\nstruct id { int a, b; };\n"
                 "int split(const char *format);\nint split(const char *format)\n"
                 "{\n    return yarder_logf((struct id){1, 0}.b, 40, format, 7);\n}\n")
        bad = subprocess.run(command, input=split, text=True, capture_output=True, timeout=60)
        assert bad.returncode != 0, "a comma split an argument: what is tested is no format"
