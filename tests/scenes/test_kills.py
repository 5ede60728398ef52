# SPDX-License-Identifier: Apache-2.0
"""The worker killed under load: each record of ring, stdin and exec stands in the file once.

Of a connection what the dead worker had not committed goes with it: records may be missing at the
end of connections that broke, and nowhere else. A reader that follows the file sees it only grow.
"""
import os
import signal
import time
from pathlib import Path

import pytest

from harness import kills, ledger, load, mounts, processes, producers
from harness.audit import Audit, audit
from harness.follow import Follower
from harness.wait import wait_until

SETTLE_SECONDS = 30
# At FAST a ring of this size is full before the worker after a dead one comes.
SMALL_RING = "ring-memory = 128K\n"
FAST = 1_000_000
EXACT = ("ring", "stdin", "exec")
SOCKET = "unix"


class Scene:
    """A daemon with the inputs named, load on each, and a reader of its file."""

    def __init__(self, start, folder, kinds=(*EXACT, SOCKET), rate=10_000, ring_rate=None,
                 file="all", output="", head="", crash=""):
        self.folder = folder
        self.writer = kills.PipeWriter("stdin", rate / 2)
        self.talker = load.Talker(folder, "talker", rate // 8)
        inputs = {"ring": "ring", "stdin": "stdin", SOCKET: "unix:{folder}/in,socket=stream",
                  "exec": f"exec:{self.talker.command}"}
        lines = [f"input = {kind} {inputs[kind]}" for kind in kinds]
        lines.insert(0, f"output = all file:{{folder}}/{file}{output}")
        self.yarder = start(head + "\n".join(lines) + "\n", stdin=self.writer.read_fd,
                            environment={"YARDER_CRASH_POINT": crash})
        self.producers = {
            "ring": lambda: load.RingProducer(self.yarder, "ring", ring_rate or rate),
            "stdin": lambda: self.writer, "exec": lambda: self.talker,
            SOCKET: lambda: kills.unix_reconnector("unix", folder / "in", rate / 4)}
        self.producers = {kind: self.producers[kind]() for kind in kinds}
        self.follower = Follower(folder / file)
        self.killer = kills.Killer(self.yarder, self.follower)

    def _backgrounds(self):
        return [self.follower] + [one for kind, one in self.producers.items() if kind != "exec"]

    def __enter__(self):
        for one in self._backgrounds():
            one.__enter__()
        return self

    def __exit__(self, kind, trouble, trace):
        for one in self._backgrounds():
            one.__exit__(kind, trouble, trace)

    def _arrived(self, counts, status):
        """All of what cannot be lost was received, and the last connection's last record."""
        for kind in (kind for kind in self.producers if kind in EXACT):
            if ledger.named(status, kind)["received"] != sum(counts[kind].values()):
                return False
        if SOCKET in counts:
            name, count = list(counts[SOCKET].items())[-1]
            if f"{name} {count - 1} ".encode() not in self.follower.tail():
                return False
        return ledger.held(status) == 0

    def end(self):
        """Ends the load, audits, and stops the daemon. Returns its status."""
        counts = {kind: one.end() for kind, one in self.producers.items()}
        status = {}

        def settled():
            status.update(self.yarder.status())
            ledger.assert_balanced(status)
            return self._arrived(counts, status)

        wait_until(settled, SETTLE_SECONDS, lambda: f"{counts} arrived: {status}")
        together = {name: count for kind in counts for name, count in counts[kind].items()}
        self.follower.wait_for_lines(ledger.named(status, "all")["delivered"], SETTLE_SECONDS)
        self.follower.assert_untouched()
        one = Audit(together).lines(self.follower.lines())
        missing = kills.missing_at_ends(one, SOCKET)
        one.report().assert_clean(missing=missing)
        assert one.report_.missing == missing, one.report_
        for name in EXACT:
            if name in counts:
                assert not any(ledger.named(status, name)["refused"].values()), status
        print(f"{sum(together.values())} records, {self.killer.deaths()} deaths, "
              f"{len(counts.get(SOCKET, ()))} connections took {missing} along")
        return self.yarder.stop()


def program_pid(yarder):
    """Of the program under exec: the supervisor's child that is no worker."""
    workers = yarder.worker_pids()
    (pid,) = [pid for pid in processes.children(yarder.pid) if pid not in workers]
    return pid


@pytest.mark.sanitize
def test_kills_under_load(yarder, folder):
    with Scene(yarder, folder) as scene:
        scene.killer.wait_progress()
        program = program_pid(scene.yarder)
        scene.killer.run(100)
        assert program_pid(scene.yarder) == program
        status = scene.end()
        assert status["workers_crashed"] == 100


@pytest.mark.parametrize("kind, rate", [("ring", FAST), ("stdin", 40_000), ("exec", 40_000)])
def test_kills_with_one_input(yarder, folder, kind, rate):
    with Scene(yarder, folder, [kind], rate, head=SMALL_RING) as scene:
        scene.killer.run(30)
        scene.end()


@pytest.mark.long
@pytest.mark.seconds(600)
@pytest.mark.parametrize("output", ["", ",fsync=batch", ",file-io=uring", ",queue=memory:1M"])
def test_torture_kills(yarder, folder, output):
    with Scene(yarder, folder, rate=40_000, output=output) as scene:
        scene.killer.run(500)
        scene.end()


# Each is hit twice; where two stand, the second is in the recovery after the first.
CRASHES = [
    "before-commit:1,before-commit:20", "after-commit:1,after-commit:20",
    "after-publish:1,after-publish:20", "reaped:30,reaped:2", "collected:30,collected:1",
    "submitted:30,submitted:2", "before-write:1,before-write:7", "partial-write:1,partial-write:7",
    "after-write:1,after-write:7", "taken-over:1,taken-over:1", "spliced:1,spliced:20",
    "pipe-read:1,pipe-read:20", "partial-write:5,compared:1", "after-write:5,compared:1",
    "partial-write:3,partial-write:1", "partial-write:3,before-commit:1",
    "partial-write:3,after-commit:2", "pipe-read:5,taken-over:1",
]


@pytest.mark.sanitize
@pytest.mark.parametrize("crash", CRASHES)
def test_crash_points(yarder, folder, crash):
    with Scene(yarder, folder, ring_rate=FAST, head=SMALL_RING, crash=crash) as scene:
        wait_until(lambda: scene.killer.deaths() == 2, 10,
                   lambda: f"two deaths:\n{scene.yarder.stderr()}")
        scene.killer.wait_progress(500)
        status = scene.end()
        assert status["workers_crashed"] == 2


# The old worker dies while it hands over: its connections may end, nothing else may be missing.
@pytest.mark.parametrize("crash", ["handover:1", "handover-streams:1", "handover-told:1"])
def test_crash_at_handover(yarder, folder, crash):
    with Scene(yarder, folder, crash=crash) as scene:
        scene.killer.wait_progress(500)
        scene.yarder.cli("reload")
        scene.killer.wait_progress(500)
        status = scene.end()
        assert status["reloads"] == 1
        if crash != "handover-told:1":  # then the lease has passed: nobody's loss, nothing is said
            assert "was killed by signal 9" in scene.yarder.stderr()


def test_worker_killed_on_a_hung_disk(yarder, folder):
    """
    A lane hangs in a call on a frozen file system: its worker cannot be reaped. The next one serves
    the other output meanwhile, and the hung one's file is whole once the disk is back.
    """
    with mounts.Freezable(folder / "disk") as disk:
        one = yarder("input = ring\noutput = good file:{folder}/good\n"
                     "output = hung file:{folder}/disk/hung,queue=memory:64M\n")
        producer = load.RingProducer(one, "ring", 10_000)
        with Follower(folder / "good") as good, producer:
            killer = kills.Killer(one, good)
            killer.wait_progress(1000)
            disk.freeze()
            killer.wait_progress(1000)  # by then the lane has hung for 100 ms
            (dead,) = one.worker_pids()
            os.kill(dead, signal.SIGKILL)
            one.wait_for_stderr("is stuck in a call on a file", 10)
            killer.wait_progress(5000)
            assert processes.started_at(dead) is None and Path(f"/proc/{dead}").exists()
            status = one.status()
            assert status["fenced_outputs"] == 1 << 1 and ledger.named(status, "hung")["held"] > 0
            killer.kill()  # one more: the file is still not touched
            killer.wait_progress(1000)
            disk.thaw()
            one.wait_for_stderr("its files are written again", 10)
            counts = producer.end()
            status = ledger.wait_settled(one, counts["ring"], SETTLE_SECONDS)
            assert ledger.lost(status) == 0 and status["fenced_outputs"] == 0
            good.wait_for_lines(counts["ring"], SETTLE_SECONDS)
            good.assert_untouched()
        audit([folder / "good"], counts).assert_clean()
        audit([disk.path / "hung"], counts).assert_clean()
        one.stop()


def test_kills_while_blocked(yarder, folder):
    """A full disk stops the output, and that its inputs: what waits in a pipe's halves survives."""
    with mounts.Small(folder / "small", "16m") as small:
        with Scene(yarder, folder, ("stdin", "exec", SOCKET), rate=400_000, file="small/all",
                   output=",queue=memory:1M,on-full=block") as scene:
            scene.killer.wait_progress()
            balloon = small.fill(leave=300_000)
            scene.yarder.wait_for_stderr("No space left on device", 10)
            wait_until(lambda: scene.writer.is_stuck(), 10, "standard input is not read any more")
            for _ in range(10):
                scene.killer.pause()
                scene.killer.kill()
            balloon.unlink()
            scene.killer.wait_progress(10_000)
            scene.end()


def test_killed_at_each_start(yarder, folder):
    """As for want of memory: the pauses grow, and nothing that was sent is lost."""
    one = yarder("input = ring\noutput = all file:{folder}/all\n")
    one.cli("send", "--sequence", "a", "--count", "100", "--block")
    killed = set()
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        for pid in set(one.worker_pids()) - killed:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        time.sleep(0.0005)
    assert 3 <= len(killed) <= 20  # without growing pauses there are many more
    one.cli("send", "--sequence", "b", "--count", "100", "--block")
    ledger.wait_settled(one, 200, SETTLE_SECONDS)
    audit([folder / "all"], {"a": 100, "b": 100}).assert_clean()


def regions_held(pid):
    """Those that a process has open or mapped."""
    held = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            held.add(os.readlink(fd) + str(fd.stat().st_ino))
        except OSError:
            pass  # closed meanwhile
    return [name for name in held if "memfd:yarder-region" in name]


@pytest.mark.parametrize("point", ["after-commit", "after-publish"])
@pytest.mark.parametrize("at", [2, 3, 4, 5])
def test_killed_when_a_process_has_ended(yarder, folder, point, at):
    """All of its records wait in the ring when the worker comes to it: each is taken once, and the
    region is given back."""
    one = yarder("input = ring\noutput = all file:{folder}/all\n",
                 environment={"YARDER_CRASH_POINT": f"{point}:{at}"})
    (worker,) = one.worker_pids()
    os.kill(worker, signal.SIGSTOP)
    with producers.Producer(one, "a") as sender:
        sender.wait_numbered(500)
    os.kill(worker, signal.SIGCONT)
    wait_until(lambda: not regions_held(one.pid), SETTLE_SECONDS, "the region given back")
    numbered = sender.numbered()["a0"]
    status = ledger.wait_settled(one, numbered, SETTLE_SECONDS)
    assert status["workers_crashed"] == 1
    report = audit([folder / "all"], {"a0": numbered + 1})
    report.assert_clean(missing=1)  # the last may have been appended but not yet counted
