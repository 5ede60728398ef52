# SPDX-License-Identifier: Apache-2.0
"""Who sends in a comparison: `yarder send`, or a program behind a gate (bench/produce.c)."""
import os
import subprocess
import time

from landing import SOURCE, bench_program
from harness.daemon import program
from harness.wait import wait_until

GATE_SECONDS = 20
END_SECONDS = 20


class Send:
    """`yarder send --sequence`, started when the clock is."""

    def __init__(self, arguments, count, size):
        self.command = [program(), "send", "--quiet", "--sequence", SOURCE, "--count", str(count),
                        "--size", str(size), *arguments]
        self.process = None
        self.cpu_seconds = None

    def begin(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True)
        return time.monotonic()

    def ended(self):
        """Reaps it, for what it used."""
        if self.cpu_seconds is None:
            pid, status, used = os.wait4(self.process.pid, os.WNOHANG)
            if pid == 0:
                return False
            self.process.returncode = os.waitstatus_to_exitcode(status)
            self.cpu_seconds = used.ru_utime + used.ru_stime
            with self.process.stderr as stderr:
                said = stderr.read()
            assert self.process.returncode == 0, f"the sender: {said}"
        return True

    def close(self):
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            self.process.wait()


class Gated:
    """A producer that waits for its gate; whoever compares starts it, or the subject does."""

    def __init__(self, how, folder, count, size, target=None):
        self.gate, self.report = folder / "gate", folder / "report"
        os.mkfifo(self.gate)
        self.words = [bench_program("produce"), how, SOURCE, count, size, self.gate, self.report,
                      target or folder / "all.log"]
        self.process = None
        self.held = -1

    def line(self):
        """Its command, as the subject's configuration takes it."""
        return " ".join(map(str, self.words))

    def launch(self, stdout=None):
        self.process = subprocess.Popen(list(map(str, self.words)), stdout=stdout)

    def begin(self):
        """Opens the gate once the producer stands before it."""
        wait_until(self._open, GATE_SECONDS, "a producer before its gate")
        return time.monotonic()

    def _open(self):
        try:
            self.held = os.open(self.gate, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False  # nobody reads yet
        return True

    def ended(self):
        assert self.process is None or self.process.poll() is None, "the producer failed"
        return self.report.exists() and self.report.read_text().endswith("\n")

    @property
    def cpu_seconds(self):
        return int(self.report.read_text()) / 1e9

    def close(self):
        """Lets it end: it reads the end of its gate."""
        if self.held >= 0:
            os.close(self.held)
            self.held = -1
        if self.process is not None:
            try:
                self.process.wait(END_SECONDS if self.report.exists() else 0)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
