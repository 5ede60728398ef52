#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What write(2) of a line costs a wrapped program: by the pipe of `yarder exec`, and preloaded.

    bench/preload.py [--lines 500000] [--size 200] [--runs 5]

The two take turns, so that a busy machine troubles both alike; what counts is their ratio.
"""
import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from landing import bench_program
from harness.daemon import Yarder

CONFIG = "input = ring\noutput = null\n"


def run(daemon, folder, options, *how):
    """ns for each line."""
    result = folder / "ns"
    subprocess.run(daemon.cli_command("exec", "--no-tee", *how, "--", bench_program("writer"),
                                      str(options.lines), str(options.size), str(result)),
                   check=True)
    return float(result.read_text())


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=500_000)
    parser.add_argument("--size", type=int, default=200, help="bytes of a line")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    pairs = []
    with tempfile.TemporaryDirectory(prefix="yarder-", dir="/dev/shm") as name:
        folder = Path(name)
        with Yarder(folder, CONFIG) as daemon:
            for _ in range(options.runs):
                pairs.append((run(daemon, folder, options),
                              run(daemon, folder, options, "--preload")))
    pipe, ring = (statistics.median(one) for one in zip(*pairs))
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"pipe {pipe:.0f} ns a line, preloaded {ring:.0f} ns a line, ratio {ratio:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
