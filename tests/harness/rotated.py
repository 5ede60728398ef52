# SPDX-License-Identifier: Apache-2.0
"""Files that a daemon has put aside: which there are, what stands in them."""
import gzip
import subprocess

from harness import audit, ledger, load
from harness.wait import wait_until

SETTLE_SECONDS = 20
CONFIG = "input = ring\noutput = all file:{folder}/all,%s\n"
# Each record with the second it was made in, and a file for each second.
STAMPED = "rotate-when=S,format=${time:%F_%H-%M-%S} ${msg}"
STAMP = rb"[-_0-9]+ "


def files_of(folder, name="all"):
    """All files of the output, in no order; nothing temporary is among them."""
    found = [path for path in folder.glob(f"{name}*") if path.is_file()]
    assert not [path for path in found if path.name.endswith("-tmp")], found
    return found


def lines_of(path):
    opener = gzip.open if path.suffix == ".gz" else open
    if path.suffix == ".zst":
        return subprocess.run(["zstd", "-dc", str(path)], capture_output=True,
                              check=True).stdout.splitlines(keepends=True)
    with opener(path, "rb") as lines:
        return lines.readlines()


def audit_all(paths, counts, prefix=b""):
    """Everything once; between files there is an order, which sources that overlap do not show."""
    one = audit.Audit(counts, prefix=prefix, unordered=list(counts))
    for path in paths:
        one.lines(lines_of(path))
    one.report().assert_clean()


def rotations(yarder):
    return ledger.named(yarder.status(), "all")["rotations"]


def wait_rotations(yarder, count, seconds=SETTLE_SECONDS):
    wait_until(lambda: rotations(yarder) >= count, seconds,
               lambda: f"{count} rotations: {yarder.status()}\n{yarder.stderr()}")


def number_of(path):
    return int(path.name.split(".")[1])


def numbered(folder):
    """all.12 ... all.1, all: oldest first."""
    old = [path for path in files_of(folder) if path.name != "all"]
    return sorted(old, key=lambda path: -number_of(path)) + [folder / "all"]


class Producers:
    """Several processes' worth of load."""

    def __init__(self, one, count, rate):
        self.all = [load.RingProducer(one, f"p{i}", rate) for i in range(count)]

    def __enter__(self):
        for producer in self.all:
            producer.__enter__()
        return self

    def __exit__(self, *how):
        for producer in self.all:
            producer.__exit__(*how)

    def end(self):
        counts = {}
        for producer in self.all:
            counts.update(producer.end())
        return counts


def check_periods(paths, base="all", counters=False):
    """Each record begins with the second it was made in, and stands in that second's file."""
    for path in paths:
        seconds = {line.split(b" ", 1)[0].decode() for line in lines_of(path)}
        assert len(seconds) <= 1, (path, seconds)
        name = path.name.removesuffix(".gz").removesuffix(".zst")
        if name != base and seconds:
            suffix = name.removeprefix(f"{base}.")
            assert (suffix.split(".")[0] if counters else suffix) in seconds, (path, seconds)
