# SPDX-License-Identifier: Apache-2.0
"""Deaths of workers, and producers that live through them and know what they have sent."""
import os
import random
import signal
import threading
import time

from harness import audit, load, senders
from harness.wait import wait_until

RESTARTED = "a new one goes on from its last commit"
RESTART_SECONDS = 20
BURST_SECONDS = 0.004


class Killer:
    """Kills workers; the pauses between are random, by a seed that it prints."""

    def __init__(self, yarder, follower):
        self.yarder, self.follower = yarder, follower
        seed = int(os.environ.get("YARDER_SEED", time.time_ns() % 1_000_000))
        print(f"YARDER_SEED={seed}")
        self.random = random.Random(seed)
        self.kills = 0

    def deaths(self):
        return self.yarder.stderr().count(RESTARTED)

    def kill(self):
        """SIGKILL to the worker that is there; returns once the supervisor has seen it die."""
        deaths = self.deaths()
        pids = wait_until(self.yarder.worker_pids, RESTART_SECONDS, "a worker")
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        wait_until(lambda: self.deaths() > deaths, RESTART_SECONDS,
                   lambda: f"the worker's death, told:\n{self.yarder.stderr()}")
        self.kills += 1

    def wait_progress(self, lines=1):
        before = self.follower.line_count()
        wait_until(lambda: self.follower.line_count() >= before + lines, RESTART_SECONDS,
                   lambda: f"records go on:\n{self.yarder.stderr()}")

    def pause(self):
        time.sleep(self.random.uniform(0, 0.03))

    def run(self, kills):
        """Most workers get to work; each fourth is killed on its way there."""
        for number in range(kills):
            if number % 4 != 3:
                self.wait_progress()
            self.pause()
            self.kill()
        self.wait_progress()


class PipeWriter(load._Background):
    """Records into a pipe, in bursts: the daemon's standard input."""

    def __init__(self, source, rate):
        super().__init__()
        self.source = source
        self.burst = max(1, int(rate * BURST_SECONDS))
        self.read_fd, self.write_fd = os.pipe()
        self.sent = 0
        self.writing_since = None

    def __exit__(self, kind, trouble, trace):
        super().__exit__(kind, trouble, trace)
        for fd in (self.read_fd, self.write_fd):
            os.close(fd)
        self.read_fd = self.write_fd = -1

    def step(self):
        lines = b"".join(audit.make(self.source, self.sent + i) + b"\n" for i in range(self.burst))
        self.sent += self.burst
        self.writing_since = time.monotonic()
        while lines:
            lines = lines[os.write(self.write_fd, lines):]
        self.writing_since = None
        time.sleep(BURST_SECONDS)

    def is_stuck(self):
        """Nobody has read for half a second."""
        since = self.writing_since
        return since is not None and time.monotonic() - since > 0.5

    @property
    def counts(self):
        return {self.source: self.sent}

    def end(self):
        """The pipe stays open: its end would be the end of the daemon's input."""
        self._ending.set()
        self._thread.join(load.END_SECONDS)
        assert self.trouble is None and not self._thread.is_alive(), self.trouble
        return self.counts


class Reconnector(load._Background):
    """Records over a connection, and over another one when that broke: a source for each."""

    def __init__(self, source, connect, rate, size):
        super().__init__()
        self.source, self.connect, self.size = source, connect, size
        self.burst = max(1, int(rate * BURST_SECONDS))
        self.sender = None
        self.counts = {}

    def step(self):
        name = f"{self.source}{len(self.counts)}"
        try:
            if self.sender is None:
                self.sender = self.connect()
                self.counts[name] = 0
            name = f"{self.source}{len(self.counts) - 1}"
            for _ in range(self.burst):
                number = self.counts[name]
                self.counts[name] += 1
                self.sender.send(audit.make(name, number, self.size))
        except (BrokenPipeError, ConnectionResetError):
            self.sender.socket.close()
            self.sender = None
        time.sleep(BURST_SECONDS)

    def __exit__(self, kind, trouble, trace):
        super().__exit__(kind, trouble, trace)
        if self.sender is not None:
            self.sender.socket.close()

    def end(self):
        """The connection that lives stays open; one that died unnoticed is replaced before."""
        self._ending.set()
        self._thread.join(load.END_SECONDS)
        self.step()
        self.step()
        assert self.trouble is None and not self._thread.is_alive(), self.trouble
        return self.counts


def unix_reconnector(source, path, rate, size=100):
    return Reconnector(source, lambda: senders.unix_stream(path), rate, size)


def missing_at_ends(one, prefix):
    """
    Of connections (sources `prefix`N of an Audit) only the last records may be missing, and none of
    the last connection. Returns how many are.
    """
    connections = {name.decode(): seen for name, seen in one._seen.items()
                   if name.decode().startswith(prefix)}
    missing = 0
    for number in range(len(connections)):
        seen = connections[f"{prefix}{number}"]
        came = len(seen.rstrip(b"\0"))
        assert 0 not in seen[:came], f"{prefix}{number}: a hole before record {came}"
        assert came == len(seen) or number < len(connections) - 1, f"{prefix}{number} lives"
        missing += len(seen) - came
    return missing
