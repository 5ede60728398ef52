# SPDX-License-Identifier: Apache-2.0
"""cpus= and nice=: what the worker's threads get of the machine, and the commands do not."""
import os
from pathlib import Path

import pytest

from harness import processes
from harness.daemon import program
from harness.wait import wait_until

CONFIG = """\
input = ring
input = exec:sleep 1000
output = file:{folder}/log,fsync=batch
"""
LAST = max(os.sched_getaffinity(0))
ALL = os.sched_getaffinity(0)


def shares(pid):
    """(processors, nice value) of each thread of a process, its kernel's own among them."""
    return {(frozenset(os.sched_getaffinity(int(task.name))),
             os.getpriority(os.PRIO_PROCESS, int(task.name)))
            for task in Path(f"/proc/{pid}/task").iterdir()}


def commands(daemon):
    return [pid for pid in processes.children(daemon.pid) if pid not in daemon.worker_pids()]


def log_one(daemon, folder, text):
    """So that every lane, and what io_uring starts for it, has been at work."""
    daemon.cli("send", text)
    log = folder / "log"
    wait_until(lambda: log.exists() and f"{text}\n" in log.read_text(), 20, text)


def test_the_worker_alone_gets_a_share(yarder, folder):
    ours = {(frozenset(ALL), os.getpriority(os.PRIO_PROCESS, 0))}
    daemon = yarder(f"cpus = {LAST}\nnice = 7\n" + CONFIG)
    (worker,) = daemon.worker_pids()
    log_one(daemon, folder, "one")
    assert len(list(Path(f"/proc/{worker}/task").iterdir())) > 3
    assert shares(worker) == {(frozenset({LAST}), 7)}
    assert shares(daemon.pid) == ours
    wait_until(lambda: commands(daemon), 20, "the command")
    for command in commands(daemon):
        assert shares(command) == ours

    daemon.write_config("nice = 11\n" + CONFIG)
    daemon.cli("reload")
    (worker,) = set(daemon.worker_pids()) - {worker}
    log_one(daemon, folder, "two")
    assert shares(worker) == {(frozenset(ALL), 11)}
    daemon.kill_worker()
    (worker,) = daemon.worker_pids()
    log_one(daemon, folder, "three")
    assert shares(worker) == {(frozenset(ALL), 11)}
    for command in commands(daemon):
        assert shares(command) == ours


def test_processors_that_are_not_there(folder, yarder):
    daemon = yarder(CONFIG)
    daemon.write_config("cpus = 0,1020-1023\n" + CONFIG)
    refused = daemon.cli("reload", check=False)
    assert refused.returncode == 1
    assert "cpus: this machine has the processors" in refused.stderr
    assert "not 1020-1023" in refused.stderr
    log_one(daemon, folder, "goes on")


@pytest.mark.skipif(os.geteuid() != 0, reason="a limit is lowered with root's rights")
def test_what_is_not_permitted_is_said_and_done_without(yarder, folder):
    """The daemon has no CAP_SYS_NICE and may not lower its nice value."""
    capsh = ["setpriv", "--bounding-set=-sys_nice", "--inh-caps=-sys_nice"]
    daemon = yarder("nice = -5\n" + CONFIG, wrapper=["prlimit", "--nice=0:0", *capsh])
    daemon.wait_for_stderr("nice = -5: not permitted without CAP_SYS_NICE", 20)
    (worker,) = daemon.worker_pids()
    log_one(daemon, folder, "goes on")
    assert shares(worker) == {(frozenset(ALL), os.getpriority(os.PRIO_PROCESS, 0))}


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's worker is started with root's rights")
def test_a_negative_value_for_another_user(yarder, folder):
    """The supervisor has the right, and hands the value on."""
    if not all(part.stat().st_mode & 1 for part in Path(program()).resolve().parents):
        pytest.skip("nobody cannot reach the program")
    folder.chmod(0o777)
    daemon = yarder("nice = -5\nuser = nobody\n" + CONFIG)
    (worker,) = daemon.worker_pids()
    log_one(daemon, folder, "as nobody")
    assert shares(worker) == {(frozenset(ALL), -5)}
    assert "not permitted" not in daemon.stderr()
