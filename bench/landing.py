# SPDX-License-Identifier: Apache-2.0
"""What every figure from a producer to the landing needs: files that grow, CPU, memory, the audit.

Shared by the programs that measure. `subject` is a set of processes, whatever program they run.
"""
import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from harness.daemon import program  # noqa: E402  (the path comes first)

SOURCE = "a"
POLL_SECONDS = 0.002
STILL_SECONDS = 0.3  # files that have not grown for so long are whole
HUNG_SECONDS = 60  # without a byte, while the sender still wants to send
UNFINISHED_SECONDS = 1.5  # files that lack bytes get so long: some programs flush once a second


def bench_program(name):
    return program().parent / "bench" / name


def cpu_ns(pids):
    """Time on a CPU so far, of all threads of processes that still run."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):  # a thread that ends while it is being asked
                total += int((task / "schedstat").read_text().split()[0])
    return total


def pss_bytes(pids):
    """Memory of processes, what they share with others counted by its share."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def wait_landed(files, sender_ended, bytes_least=0, look=lambda: None):
    """When the files last grew: they have stopped, and the sender has ended.

    While they hold less than `bytes_least` they are given longer. `look` is called in between.
    """
    grown, size = time.monotonic(), -1
    while True:
        now = time.monotonic()
        total = sum(file.stat().st_size for file in files if file.exists())
        patience = STILL_SECONDS if total >= bytes_least else UNFINISHED_SECONDS
        if total != size:
            grown, size = now, total
        elif now - grown > patience and sender_ended():
            return grown
        assert now - grown < HUNG_SECONDS, f"nothing has come for {HUNG_SECONDS} s: {files}"
        look()
        time.sleep(POLL_SECONDS)


def warm(folder, size):
    """Pages that a virtual machine has not touched for long cost several times a write: the run is
    given those of a file that was there a moment ago."""
    path = folder / "warm"
    with open(path, "wb", buffering=0) as file:
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
    path.unlink()


def _grep_count(how, pattern, file):
    result = subprocess.run(["grep", how, "-e", pattern, file], capture_output=True, text=True,
                            env={"LC_ALL": "C", "PATH": os.environ["PATH"]}, check=False)
    return int(result.stdout)


def lines_like(pattern, file):
    """How many lines of a file an extended regular expression matches."""
    return _grep_count("-cE", pattern, file)


def lines_unlike(pattern, file):
    return _grep_count("-vcE", pattern, file)


def audit(count, files, senders=1):
    """What the checker finds of `count` records of each sender, as a dictionary."""
    result = subprocess.run(
        [bench_program("audit"), SOURCE, str(senders), str(count), *map(str, files)],
        check=True, capture_output=True, text=True)
    return json.loads(result.stdout)
