# SPDX-License-Identifier: Apache-2.0
"""A program that logs on both of its streams, for exec: talker.py SOURCE RECORDS_A_SECOND END

Writes the records SOURCE-out to stdout and SOURCE-err to stderr until the file END is there; then
their numbers stand in END.counts, and it sleeps until somebody ends it.
"""
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness.audit import make

BURST_SECONDS = 0.005


def write_all(fd, data):
    while data:
        data = data[os.write(fd, data):]


def main():
    source, rate, end = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    burst = max(1, int(rate * BURST_SECONDS))
    counts = {1: 0, 2: 0}
    names = {1: f"{source}-out", 2: f"{source}-err"}
    while not end.exists():
        for fd, name in names.items():
            lines = [make(name, counts[fd] + i) + b"\n" for i in range(burst)]
            counts[fd] += burst
            write_all(fd, b"".join(lines))
        time.sleep(BURST_SECONDS)
    written = Path(f"{end}.counts.new")
    written.write_text("".join(f"{names[fd]} {counts[fd]}\n" for fd in names))
    written.rename(f"{end}.counts")
    while True:
        signal.pause()


main()
