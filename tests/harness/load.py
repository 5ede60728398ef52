# SPDX-License-Identifier: Apache-2.0
"""Producers that go on beside a scene until it ends them, and then know what they have sent.

Each has `counts`, {source: records}, once it was ended, for an Audit.
"""
import re
import signal
import subprocess
import sys
import threading
import time

from harness import audit, senders
from harness.daemon import ROOT, program
from harness.wait import wait_until

END_SECONDS = 20
TALKER = ROOT / "tests" / "apps" / "talker.py"


class _Background:
    """A thread that calls step() again and again; what goes wrong in it is raised at the end."""

    def __init__(self):
        self.trouble = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, trouble, trace):
        self._ending.set()
        self._thread.join(END_SECONDS)

    def _run(self):
        try:
            while not self._ending.is_set():
                self.step()
        except OSError as trouble:
            self.trouble = trouble

    def end(self):
        self.__exit__(None, None, None)
        if self.trouble is not None:
            raise AssertionError(f"{self}: {self.trouble!r}") from self.trouble
        return self.counts


class Pulse(_Background):
    """A record at a time over one connection, in even steps; sent_ns says when each one went."""

    def __init__(self, source, sender, interval=0.001, size=100):
        super().__init__()
        self.source, self.sender, self.interval, self.size = source, sender, interval, size
        self.sent_ns = []

    def step(self):
        record = audit.make(self.source, len(self.sent_ns), self.size)
        self.sent_ns.append(time.time_ns())
        self.sender.send(record)
        time.sleep(self.interval)

    @property
    def counts(self):
        return {self.source: len(self.sent_ns)}

    def __str__(self):
        return f"pulse {self.source}"


class Connector(_Background):
    """A new connection each few milliseconds, with one record; none may be refused or reset."""

    def __init__(self, source, connect, interval=0.003):
        super().__init__()
        self.source, self.connect, self.interval = source, connect, interval
        self.sent = 0

    def step(self):
        with self.connect() as sender:
            sender.send(audit.make(self.source, self.sent))
            self.sent += 1
        time.sleep(self.interval)

    @property
    def counts(self):
        return {self.source: self.sent}

    def __str__(self):
        return f"connector {self.source}"


class RingProducer:
    """`yarder send` through the ring, waiting for room, until it is ended."""

    SAID = re.compile(r"sent (\d+) lost (\d+)")

    def __init__(self, yarder, source, rate, size=100, wrapper=()):
        self.source = source
        self.process = subprocess.Popen(
            [*wrapper, str(program()), "send", "--run-dir", str(yarder.run_dir),
             "--sequence", source, "--count", "0", "--rate", str(rate), "--size", str(size),
             "--block"],
            stderr=subprocess.PIPE, text=True)
        self.counts = {}

    def __enter__(self):
        return self

    def __exit__(self, kind, trouble, trace):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def end(self):
        self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=END_SECONDS)
        sent = self.SAID.search(said)
        assert sent and sent[2] == "0", said
        self.counts = {self.source: int(sent[1])}
        return self.counts


class Talker:
    """The exec: side of it: `command` for the configuration; see tests/apps/talker.py."""

    def __init__(self, folder, source, rate):
        self.file = folder / f"{source}.end"
        self.command = f"exec {sys.executable} {TALKER} {source} {rate} {self.file}"
        self.counts = {}

    def end(self):
        self.file.touch()
        counts = self.file.with_name(self.file.name + ".counts")
        wait_until(counts.exists, END_SECONDS, "the talker's last words")
        self.counts = {name: int(count) for name, count in
                       (line.split() for line in counts.read_text().splitlines())}
        return self.counts


def end_all(*producers):
    """What all of them have sent, together."""
    counts = {}
    for producer in producers:
        counts.update(producer.end())
    return counts


def tcp_connector(source, port):
    return Connector(source, lambda: senders.tcp(port))


def unix_connector(source, path):
    return Connector(source, lambda: senders.unix_stream(path))
