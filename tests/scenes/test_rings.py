# SPDX-License-Identifier: Apache-2.0
"""Rings whose worker has no join or no memory left for them."""
import contextlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

from harness import ledger, senders
from harness.daemon import program
from harness.wait import wait_until

USER = Path(__file__).resolve().parent.parent / "apps" / "ring_user.py"
SETTLE_SECONDS = 30
JOINS = 16
LONG = 100_000
CUT = 1 << 20  # more than the user's rings hold
MEGABYTE = 1 << 20


class RingUser:
    """tests/apps/ring_user.py: does what it is told, and answers."""

    def __init__(self, yarder):
        library = program().parent / "engine" / "client" / "libyarder.so"
        self.process = subprocess.Popen(
            [sys.executable, str(USER), str(library)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True,
            env={**os.environ, "YARDER_RUN_DIR": str(yarder.run_dir)})

    def __enter__(self):
        return self

    def __exit__(self, kind, trouble, trace):
        self.process.kill()
        self.process.communicate()

    def ask(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())


def only_worker(yarder):
    (pid,) = yarder.worker_pids()
    return pid


def test_unfinished_records_hold_nobody_up(yarder, folder):
    """One process leaves more records unfinished than there are joins: others are whole as ever."""
    one = yarder("record-max = 1M\ninput = ring\noutput = all file:{folder}/all\n")
    worker = only_worker(one)
    with RingUser(one) as holder, RingUser(one) as other:
        assert holder.ask("log", "first", 10) == 0
        for number in range(JOINS + 8):
            os.kill(worker, signal.SIGSTOP)
            try:
                assert holder.ask("cut", f"cut{number}", CUT) == 2
            finally:
                os.kill(worker, signal.SIGCONT)
            assert holder.ask("flush") == 0
        for number in range(10):
            assert other.ask("log", f"whole{number}", LONG) == 0
            assert other.ask("flush") == 0
        assert other.ask("lost") == 0
    wait_until(lambda: one.status()["ring_clients"] == 0, SETTLE_SECONDS, "all regions given back")
    ledger.wait_settled(one, 1, SETTLE_SECONDS)
    lines = (folder / "all").read_bytes().split(b"\n")
    for number in range(10):
        assert (f"whole{number} ".encode().ljust(LONG, b"x")) in lines, f"{number} is in pieces"
    cut = [line for line in lines if line.startswith(b"cut")]
    assert len(cut) == len(set(line.split()[0] for line in cut)) == JOINS + 8  # each once


def test_a_ring_that_cannot_be_read(yarder, folder):
    """The worker has no memory to map it: its process takes the socket until it has."""
    one = yarder("input = ring\ninput = unix:{folder}/run/log.sock,parse=syslog\n"
                 "output = all file:{folder}/all,format=${msg}\n")
    worker = only_worker(one)
    with RingUser(one) as first:
        assert first.ask("log", "first", 20) == 0
        assert first.ask("flush") == 0
    wait_until(lambda: one.status()["ring_clients"] == 0, SETTLE_SECONDS, "regions given back")
    ledger.wait_settled(one, 1, SETTLE_SECONDS)
    old = resource.prlimit(worker, resource.RLIMIT_AS)
    resource.prlimit(worker, resource.RLIMIT_AS, (MEGABYTE, old[1]))  # no more than it has
    numbers = []

    def logs_until(attached):
        def done():
            assert user.ask("log", f"n{len(numbers)}", 20) == 0
            numbers.append(len(numbers))
            return user.ask("attached") == attached

        wait_until(done, SETTLE_SECONDS, f"attached is {attached}")

    with RingUser(one) as user:
        logs_until(1)
        logs_until(2)
        resource.prlimit(worker, resource.RLIMIT_AS, old)
        logs_until(1)
        assert user.ask("flush") == 0
        assert user.ask("lost") == 0
    wait_until(lambda: one.status()["ring_clients"] == 0, SETTLE_SECONDS, "regions given back")
    ledger.wait_settled(one, 1 + len(numbers), SETTLE_SECONDS)
    seen = [line.split()[0] for line in (folder / "all").read_text().splitlines()]
    assert sorted(seen) == sorted(["first", *(f"n{number}" for number in numbers)])
    assert only_worker(one) == worker


def test_a_ring_that_there_is_no_descriptor_for(yarder, folder):
    """Connections hold all the worker may have: a process that comes then is not left unheard."""
    one = yarder("input = ring\ninput = unix:{folder}/run/log.sock,parse=syslog\n"
                 "input = unix:{folder}/in,socket=stream\noutput = all file:{folder}/all\n",
                 wrapper=["prlimit", "--nofile=64:64"])
    wait_until((folder / "all").exists, SETTLE_SECONDS, "the file")
    connections = [senders.unix_stream(folder / "in") for _ in range(60)]
    for connection in connections:
        with contextlib.suppress(OSError):  # those that were refused
            connection.send(b"here")
    with RingUser(one) as user:
        assert user.ask("log", "early", 10) == 0
        for connection in connections:
            connection.socket.close()
        # It goes by the socket until its ring can be handed back, which a later record finds out.
        wait_until(lambda: user.ask("log", "later", 10) in (0, 2) and
                   "early" in (folder / "all").read_text(), SETTLE_SECONDS, "the record")
        assert user.ask("flush") == 0
