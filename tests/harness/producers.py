# SPDX-License-Identifier: Apache-2.0
"""tests/apps/producer.c, a program that logs through libyarder, and what it has logged."""
import mmap
import os
import re
import signal
import struct
import subprocess
import time

from harness.daemon import program

LOGGERS_MAX = 64
TALLY = struct.Struct("QQ")
SAID = re.compile(r"pid (\d+) appended (\d+) lost (\d+) .*flushed (-?\d+)")
END_SECONDS = 40


class Producer:
    """One run of the program. What it has numbered can be asked at any time, also after a kill."""

    def __init__(self, yarder, source, mode="log", threads=1, count=0, rate=0, size=100,
                 block_ms=30_000, wrapper=()):
        self.source = source
        self.tally_file = yarder.folder / f"{source}.tally"
        self.tally_file.write_bytes(bytes(TALLY.size * LOGGERS_MAX))
        with open(self.tally_file, "r+b") as file:
            self.tally = mmap.mmap(file.fileno(), 0)
        words = [program().parent / "tests" / "producer", mode, source, threads, count, rate, size,
                 block_ms, self.tally_file]
        self.process = subprocess.Popen(
            [*wrapper, *map(str, words)],
            env={**os.environ, "YARDER_RUN_DIR": str(yarder.run_dir)}, stderr=subprocess.PIPE,
            text=True)
        self.said = ""

    def __enter__(self):
        return self

    def __exit__(self, kind, trouble, trace):
        self.kill()

    def numbered(self, loggers=0):
        """{source: records} of the first loggers, and of more if they have appended any."""
        tallies = enumerate(TALLY.iter_unpack(self.tally))
        return {f"{self.source}{index}": count for index, (count, _) in tallies
                if count or index < loggers}

    def refused(self):
        return sum(refused for _, refused in TALLY.iter_unpack(self.tally))

    def wait_numbered(self, count, seconds=END_SECONDS):
        deadline = time.monotonic() + seconds
        while sum(self.numbered().values()) < count:
            assert time.monotonic() < deadline, f"{self.source} has made only {self.numbered()}"
            time.sleep(0.0002)  # some make a record in less than a microsecond

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """SIGKILL; a stopped one too."""
        if self.process.returncode is None:
            self.process.kill()
            self.process.communicate()

    def end(self):
        """Asks an endless one to end, waits, and returns what it has numbered."""
        self.signal(signal.SIGINT)
        return self.wait()

    def wait(self):
        """{source: records}; self.said is what it counted itself, a line of each process."""
        try:
            _, self.said = self.process.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired as late:
            raise AssertionError(f"{self.source} does not end: {self.numbered()}") from late
        assert self.process.returncode == 0, (self.process.returncode, self.said)
        return self.numbered()

    def lost(self):
        """As its library counts."""
        return sum(int(match[3]) for match in SAID.finditer(self.said))
