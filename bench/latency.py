#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What one call costs the program that logs, at a fixed rate, in nanoseconds.

    bench/latency.py [WAY...] [--rate 200000] [--seconds 10] [--runs 1] [--json FILE] [--markdown]

Ways: memcpy (the floor), ring (libyarder), write(2) and fwrite under a mutex to a file, unix (a
datagram to yarder's input), spdlog and spdlog-async (its own thread writes) where it is installed.
What `call` and `due` mean: bench/latency.c; docs/performance.md.
"""
import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from comparison import machine
from landing import bench_program
from harness.daemon import Yarder

WAYS = ("memcpy", "ring", "write", "fwrite", "unix", "spdlog", "spdlog-async")
NOT_BUILT = 77
CONFIG = "input = ring\ninput = unix:{folder}/in\noutput = file:{folder}/all.log\n"
POINTS = ("p50", "p90", "p99", "p99.9", "p99.99", "max")


def run_once(way, options):
    """Each way has a daemon of its own, or none; its files go afterwards. None: not built here."""
    folder = Path(tempfile.mkdtemp(prefix="yarder-", dir=options.folder))
    target = {"ring": folder / "run", "unix": folder / "in"}.get(way, folder / "own.log")
    daemon = Yarder(folder, CONFIG, arguments=["--io", options.io])
    try:
        with daemon if way in ("ring", "unix") else contextlib.nullcontext():
            result = subprocess.run(
                [bench_program("latency"), way, target, str(options.rate), str(options.seconds),
                 str(options.size)], capture_output=True, text=True, check=False)
        if result.returncode == NOT_BUILT:
            return None
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def table(results, markdown):
    head = ["way", "since", *POINTS, "failed"]
    rows = [[way, since, *(str(round(statistics.median(run[since][point] for run in runs)))
                           for point in POINTS), str(max(run["failed"] for run in runs))]
            for since in ("call", "due") for way, runs in results.items()]
    if markdown:
        lines = [head, ["---"] * len(head), *rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)
    widths = [max(len(line[at]) for line in [head, *rows]) for at in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) if at < 2 else cell.rjust(width)
                               for at, (cell, width) in enumerate(zip(line, widths)))
                     for line in [head, *rows])


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", nargs="*", metavar="WAY", help="all of them if none is named")
    parser.add_argument("--rate", type=int, default=200_000, help="calls a second")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--runs", type=int, default=1, help="medians of so many, in turns")
    parser.add_argument("--size", type=int, default=200, help="bytes of a record")
    parser.add_argument("--io", default="auto", help="the daemon's loop")
    parser.add_argument("--folder", default="/dev/shm", help="where the files fall")
    parser.add_argument("--json", type=Path, help="all figures of all runs")
    parser.add_argument("--markdown", action="store_true", help="the table as Markdown")
    options = parser.parse_args()
    options.ways = options.ways or list(WAYS)
    unknown = set(options.ways) - set(WAYS)
    if unknown:
        parser.error(f"no such way: {', '.join(sorted(unknown))}; there are {', '.join(WAYS)}")
    return options


def main():
    options = parse_arguments()
    results = {way: [] for way in options.ways}
    for _ in range(options.runs):
        for way, runs in results.items():
            run = run_once(way, options)
            if run is None:
                print(f"left out: {way}: it was built without", file=sys.stderr)
            else:
                runs.append(run)
    results = {way: runs for way, runs in results.items() if runs}
    print(f"{machine()}; {options.rate} calls of {options.size} bytes a second for "
          f"{options.seconds:g} s; ns, medians of {options.runs} runs\n")
    print(table(results, options.markdown))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "ways": results}, indent=1)
                                + "\n")


if __name__ == "__main__":
    os.environ.pop("YARDER_IO", None)  # --io says which loop
    sys.exit(main())
