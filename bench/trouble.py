#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What destinations in trouble do to a good file beside them, and to the program that logs.

    bench/trouble.py [CASE...] [--rate 200000] [--seconds 10] [--runs 5] [--json FILE]

One program logs by the ring at a fixed rate (bench/latency.c), and each record goes to all outputs:
a good file; a file on a frozen file system, which takes nothing; one on a file system that takes
1 000 records a second; or two more good ones, and TCP peers of which one accepts and never reads,
one refuses, one reads 1 000 records a second. Cases take turns; ratios are to `alone` in the same
turn, those of `peers` to `well`. The file systems need root and FUSE. Status 1: a record is not in
the good file.

    lost     records that the program made and that do not stand in the good file
    still    how long in all the good file did not grow, and the longest of such pauses
    call     what one call costs the program, in ns: medians of p50 and p99.9
    CPU      of the daemon, seconds for a million records made
    missed   which of the aims do not hold: nothing lost, p50 within 10 %, p99.9 within twice, CPU
             within 15 % of the good file alone
"""
import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

import report
from landing import bench_program, cpu_ns, lines_like, wait_landed, warm
from subjects import family
from works import fill, turns
from harness import ledger, mounts
from harness.daemon import Yarder

SLOW_RECORDS = 1000  # a second
STILL_SECONDS = 0.1  # shorter pauses of a file are none
POLL_SECONDS = 0.005
SETTLE_SECONDS = 20
PAUSES_TOLD = 4
SLOW_STEP_SECONDS = 0.02
P50_MOST, P999_MOST, CPU_MOST = 1.10, 2.0, 1.15

GOOD = "output = good file:{folder}/good.log"
HANGING = "output = hanging file:{folder}/frozen/hanging.log"
SLOW = "output = slow file:{folder}/slow/slow.log"
MORE_GOOD = tuple(f"output = {name} file:{{folder}}/{name}.log" for name in ("second", "third"))
PEERS = tuple(f"output = {name} socket:tcp://127.0.0.1:{{{name}}}"
              for name in ("hanging", "refusing", "slow"))
NEWEST = ",on-full=drop-newest"


@dataclass(frozen=True)
class Case:
    says: str
    outputs: tuple
    base: str = "alone"

    def has(self, output):
        return any(line.startswith(output) for line in self.outputs)


CASES = {
    "alone": Case("the good file alone", (GOOD,)),
    "well": Case("three good files: what two more copies cost", (GOOD, *MORE_GOOD)),
    "default": Case("a hanging and a slow one, on-full as it is by default (auto)",
                    (GOOD, HANGING, SLOW)),
    "drop-newest": Case("a hanging and a slow one, each with on-full=drop-newest",
                        (GOOD, HANGING + NEWEST, SLOW + NEWEST)),
    "hanging": Case("a hanging one only, on-full by default", (GOOD, HANGING)),
    "slow": Case("a slow one only, on-full by default", (GOOD, SLOW)),
    "peers": Case("three good files beside a TCP peer that never reads, one that refuses, and one "
                  "that reads 1 000 records a second, all as it is by default",
                  (GOOD, *MORE_GOOD, *PEERS), base="well"),
}
USUAL = ("alone", "well", "default", "drop-newest", "peers")


@dataclass
class Run:
    call: dict
    failed: int
    lost: int
    dropped: dict  # by output
    ring_lost: int
    pauses: list  # [second it began, seconds]
    cpu_seconds_per_million: float

    @property
    def p50(self):
        return self.call["p50"]

    @property
    def p999(self):
        return self.call["p99.9"]

    @property
    def still(self):
        return sum(seconds for _, seconds in self.pauses)

    @property
    def longest(self):
        return max((seconds for _, seconds in self.pauses), default=0)


class Peers:
    """Listeners on loopback: one is never read, one is closed, one is read slowly."""

    def __init__(self, bytes_per_second):
        self.rate, self.ended = bytes_per_second, threading.Event()

    def __enter__(self):
        self.listeners = {name: socket.create_server(("127.0.0.1", 0))
                          for name in ("hanging", "refusing", "slow")}
        self.ports = {name: one.getsockname()[1] for name, one in self.listeners.items()}
        self.listeners["refusing"].close()
        self.reader = threading.Thread(target=self._read_slowly)
        self.reader.start()
        return self

    def __exit__(self, kind, trouble, trace):
        self.ended.set()
        for name in ("hanging", "slow"):
            self.listeners[name].close()
        self.reader.join()

    def _read_slowly(self):
        self.listeners["slow"].settimeout(SETTLE_SECONDS)
        with contextlib.suppress(OSError), self.listeners["slow"].accept()[0] as peer:
            while not self.ended.wait(SLOW_STEP_SECONDS):
                peer.recv(int(self.rate * SLOW_STEP_SECONDS))


class PauseWatch:
    """When a file did not grow."""

    def __init__(self, file):
        self.file, self.pauses = file, []
        self.start = self.grown = time.monotonic()
        self.size = file.stat().st_size

    def look(self):
        now, size = time.monotonic(), self.file.stat().st_size
        if size != self.size:
            self.end(now)
            self.grown, self.size = now, size

    def end(self, now):
        if now - self.grown > STILL_SECONDS:
            self.pauses.append([round(self.grown - self.start, 3), round(now - self.grown, 3)])


def log(yarder, folder, options):
    """The program that logs, to its end: what it says of itself, and when the good file stood."""
    command = [bench_program("latency"), "ring", yarder.run_dir, str(options.rate),
               str(options.seconds), str(options.size), "paced"]
    watch = PauseWatch(folder / "good.log")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        while process.poll() is None:
            watch.look()
            time.sleep(POLL_SECONDS)
        watch.look()
        said, complaint = process.communicate()
    assert said, complaint  # with figures, but too late for its flush: what is held up may be
    return json.loads(said), watch.pauses


def measure(yarder, folder, frozen, release, options):
    """Each output has its file open, and takes a record, before the trouble begins; the records
    are counted when it has ended and nothing is held up any more."""
    yarder.cli("send", "--block", "first")
    ledger.wait_for(yarder, lambda status: all(
        one["delivered"] == 1 for one in status["outputs"] if one["kind"] == "file"))
    if frozen is not None:
        frozen.freeze()
    pids = family(yarder.pid)
    before_ns = cpu_ns(pids)
    said, pauses = log(yarder, folder, options)
    count = int(options.rate * options.seconds)
    cpu = (cpu_ns(pids) - before_ns) / 1000 / count
    release()
    wait_landed([folder / "good.log"], lambda: True)
    status = ledger.wait_for(yarder, lambda status: not any(
        one["held"] for one in status["outputs"] if one["kind"] == "file"), SETTLE_SECONDS)
    there = lines_like(f"^x{{{options.size}}}$", folder / "good.log")
    return Run(said["call"], said["failed"], count - there,
               {one["name"]: sum(one["dropped"].values()) for one in status["outputs"]},
               sum(sum(one["lost"].values()) for one in status["inputs"]), pauses, cpu)


def run_once(case, options):
    folder = Path(tempfile.mkdtemp(prefix="yarder-bench-", dir=options.folder))
    frozen = slow = None

    def release():
        if frozen is not None:
            frozen.thaw()
        if slow is not None:
            slow.hurry()

    try:
        warm(folder, int(options.rate * options.seconds) * options.size * 3 // 2)
        with contextlib.ExitStack() as stack:
            if case.has(HANGING):
                frozen = stack.enter_context(mounts.Freezable(folder / "frozen"))
            if case.has(SLOW):
                slow = stack.enter_context(mounts.Slow(
                    folder / "slow", SLOW_RECORDS * (options.size + 1)))
            lines = [f"{line},queue=memory:{options.queue}\n" for line in case.outputs]
            if case.has(PEERS[0]):
                peers = stack.enter_context(Peers(SLOW_RECORDS * (options.size + 1)))
                lines = [fill(line, peers.ports) for line in lines]
            yarder = Yarder(folder, "input = ring\ndrain-timeout = 1s\n" + "".join(lines),
                            arguments=["--io", options.io]).start()
            stack.callback(yarder.kill)
            run = measure(yarder, folder, frozen, release, options)
            yarder.end(signal.SIGTERM, code=1 if case.has(PEERS[0]) else 0)
            return run
    finally:
        shutil.rmtree(folder, ignore_errors=True)


HEAD = ["case", "lost", "still s", "longest s", "call p50", "x base", "worst-best", "call p99.9",
        "x base", "worst-best", "CPU s/M", "x base", "worst-best", "missed"]
BASES = {"trouble": "alone", "trouble-peers": "well"}  # of the tables in the document


def missed(name, runs, base):
    if base is None or name in ("alone", "well"):
        return "-"
    found = ["lost"] if any(run.lost for run in runs) else []
    for figure, what, most in (("p50", "p50", P50_MOST), ("p999", "p99.9", P999_MOST),
                               ("cpu_seconds_per_million", "CPU", CPU_MOST)):
        found += [what] if report.ratio(runs, base, figure) > most else []
    return ", ".join(found) or "nothing"


def row(name, runs, base):
    return [name, str(max(run.lost for run in runs)), report.median(runs, "still"),
            f"{max(run.longest for run in runs):.2f}",
            report.median(runs, "p50", 0), *report.ratios(runs, base, "p50"),
            report.median(runs, "p999", 0), *report.ratios(runs, base, "p999"),
            report.median(runs, "cpu_seconds_per_million", 3),
            *report.ratios(runs, base, "cpu_seconds_per_million"), missed(name, runs, base)]


def story(name, runs, made):
    """What happened in the run that lost most."""
    run = max(runs, key=lambda run: run.lost)
    dropped = "".join(f", {count} dropped by {output}" for output, count in run.dropped.items()
                      if count)
    still = ", ".join(f"for {seconds:.2f} s from {began:.2f} s on"
                      for began, seconds in run.pauses[:PAUSES_TOLD])
    more = len(run.pauses) - PAUSES_TOLD
    still += f", and {more} times more" if more > 0 else ""
    return (f"* {name}: {CASES[name].says}. In the run that lost most the good file stood still "
            f"{still or 'at no time'}; {run.lost} of {made} records are not in it "
            f"({run.failed} calls failed, {run.ring_lost} lost for a full ring){dropped}.")


def tables(results, made, markdown):
    rows = [HEAD, *(row(name, runs, results.get(CASES[name].base))
                    for name, runs in results.items())]
    stories = "\n".join(story(name, runs, made) for name, runs in results.items())
    in_form = report.in_markdown if markdown else report.in_columns
    return f"{in_form(rows)}\n\n{stories}"


def documents(results, made):
    """For each base that ran beside cases of its own: their table, by its name."""
    return {name: tables({base: results[base], **beside}, made, True)
            for name, base in BASES.items() if base in results
            if (beside := {case: runs for case, runs in results.items()
                           if CASES[case].base == base != case})}


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="cases (* usual):\n" + "\n".join(
            f" {'*' if name in USUAL else ' '}{name:12} {case.says}"
            for name, case in CASES.items()))
    parser.add_argument("cases", nargs="*", metavar="CASE", help="the usual ones if none is named")
    parser.add_argument("--rate", type=int, default=200_000, help="calls a second")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--warm", type=int, default=1, help="turns before them, not kept")
    parser.add_argument("--queue", default="16M", help="of each output")
    parser.add_argument("--size", type=int, default=200, help="bytes of a record")
    parser.add_argument("--io", default="auto", help="the daemon's loop")
    parser.add_argument("--folder", default="/dev/shm", help="where the files fall")
    parser.add_argument("--json", type=Path, help="all figures of all runs, and the table")
    parser.add_argument("--markdown", action="store_true", help="the table as Markdown")
    options = parser.parse_args()
    options.cases = options.cases or list(USUAL)
    unknown = set(options.cases) - set(CASES)
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    if options.runs < 1:
        parser.error("--runs: at least one is kept")
    return options


def main():
    options = parse_arguments()
    try:
        results = turns(
            options, {name: lambda case=CASES[name]: run_once(case, options)
                      for name in options.cases},
            lambda run: f"{run.lost} lost, p50 {run.p50} ns, still {run.still:.2f} s")
    except pytest.skip.Exception as lacking:  # of the file systems that scenes use, too
        print(f"trouble: {lacking}", file=sys.stderr)
        return 77
    print(f"{report.machine()}; {options.rate} calls of {options.size} bytes a second for "
          f"{options.seconds:g} s, medians of {options.runs} runs; loop {options.io}\n")
    made = int(options.rate * options.seconds)
    print(tables(results, made, options.markdown))
    if options.json:
        report.write_json(options.json, documents(results, made), runs=[
            {"case": name, **asdict(run)} for name, runs in results.items() for run in runs])
    return 1 if any(run.lost for runs in results.values() for run in runs) else 0


if __name__ == "__main__":
    os.environ.pop("YARDER_IO", None)  # --io says which loop
    sys.exit(main())
