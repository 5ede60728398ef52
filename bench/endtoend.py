#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""From a producer to the landing: records per second, CPU, and what was lost.

    bench/endtoend.py [WORK...] [--runs 5] [--io uring,epoll] [--json FILE]

Each run starts a daemon of its own, sends numbered records by `yarder send`, waits until the files
grow no more, and checks each line. Works and loops take turns, so that what disturbs the machine
disturbs all of them; the table shows medians, and the best and worst rate.

    rate   records sent / time from the start of the sender to the last growth of a file
    CPU    of the supervisor, the worker and its lanes, in seconds per million records
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from landing import SOURCE, audit, cpu_ns, wait_landed, warm
from harness import processes  # landing knows the way to it
from harness.daemon import Yarder, program
from harness.wait import free_port


@dataclass(frozen=True)
class Work:
    """One way of a record; {folder} and {port} are filled in."""
    says: str
    config: str
    send: tuple
    count: int


ALL = "output = file:{folder}/all.log\n"
BY_REGEX = (r"output = sevens file:{folder}/sevens.log,match=^a \d*7 ,format=%(format)s" "\n"
            r"output = rest file:{folder}/rest.log,rest=yes,format=%(format)s" "\n")
TEMPLATE = "${time:%F %T} ${level} ${msg}"

WORKS = {
    "ring-file": Work(
        "ring -> file, the text as it is", "input = ring\n" + ALL, ("--block",), 5_000_000),
    "ring-regex": Work(
        "ring -> two files by regex, template with time",
        "input = ring\n" + BY_REGEX % {"format": TEMPLATE}, ("--block",), 2_000_000),
    "tcp-file": Work(
        "tcp, lines -> file", "input = tcp:127.0.0.1:{port}\n" + ALL,
        ("--tcp", "127.0.0.1:{port}"), 5_000_000),
    "tcp-syslog-regex": Work(
        "tcp, syslog parsed -> two files by regex",
        "input = tcp:127.0.0.1:{port},parse=syslog\n" + BY_REGEX % {"format": "text"},
        ("--tcp", "127.0.0.1:{port}", "--level", "info", "--tag", "app"), 2_000_000),
    "unix-file": Work(
        "unix datagrams -> file", "input = unix:{folder}/in\n" + ALL,
        ("--socket", "{folder}/in"), 1_000_000),
    "udp-file": Work(
        "udp at 200 k/s -> file", "input = udp:127.0.0.1:{port}\n" + ALL,
        ("--udp", "127.0.0.1:{port}", "--rate", "200000"), 400_000),
    "udp-trains": Work(
        "the same, from a sender that hands over many at once (UDP_SEGMENT)",
        "input = udp:127.0.0.1:{port}\n" + ALL,
        ("--udp", "127.0.0.1:{port}", "--rate", "200000", "--gso"), 400_000),
}


@dataclass
class Run:
    rate: float
    cpu_seconds_per_million: float
    audit: dict

    @property
    def wrong(self):
        return {what: self.audit[what] for what in ("missing", "twice", "torn", "backward")
                if self.audit[what]}


def run_once(work, io, options):
    folder = Path(tempfile.mkdtemp(prefix="yarder-bench-", dir=options.folder))
    words = {"{folder}": str(folder), "{port}": str(free_port())}

    def fill(text):
        for word, value in words.items():
            text = text.replace(word, value)
        return text

    count = options.count or work.count
    command = [str(program()), "send", "--sequence", SOURCE, "--count", str(count),
               "--size", str(options.size), *map(fill, work.send)]
    try:
        warm(folder, count * options.size * 3 // 2)
        with Yarder(folder, fill(work.config), arguments=["--io", io]) as yarder:
            if "--block" in work.send:
                command += ["--run-dir", str(yarder.run_dir)]
            daemon = [yarder.pid, *processes.descendants(yarder.pid)]
            before_ns = cpu_ns(daemon)
            start = time.monotonic()
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as sender:
                files = [Path(file) for file in landing(yarder)]
                landed = wait_landed(files, lambda: sender.poll() is not None)
                assert sender.returncode == 0, sender.stderr.read()
            spent_ns = cpu_ns(daemon) - before_ns
        return Run(count / (landed - start), spent_ns / 1000 / count, audit(count, files))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def landing(yarder):
    """The files of a configuration's outputs, in its order."""
    lines = yarder.config.read_text().splitlines()
    return [line.split("file:")[1].split(",")[0] for line in lines if line.startswith("output")]


def report(results):
    print(f"{'work':18} {'loop':6} {'rate M/s':>9} {'worst-best':>12} {'CPU s/M':>8} "
          " lost or wrong")
    for (name, io), runs in results.items():
        rates = sorted(run.rate / 1e6 for run in runs)
        cpu = statistics.median(run.cpu_seconds_per_million for run in runs)
        wrong = "; ".join(str(run.wrong) for run in runs if run.wrong) or "nothing"
        print(f"{name:18} {io:6} {statistics.median(rates):9.2f} "
              f"{f'{rates[0]:.2f}-{rates[-1]:.2f}':>12} {cpu:8.3f}  {wrong}")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="works:\n" + "\n".join(f"  {name:18} {work.says}" for name, work in WORKS.items()))
    parser.add_argument("works", nargs="*", metavar="WORK", help="all of them if none is named")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--io", default="uring,epoll", help="loops, with commas between")
    parser.add_argument("--count", type=int, help="records of each run, instead of the work's own")
    parser.add_argument("--size", type=int, default=200, help="bytes of a record")
    parser.add_argument("--folder", default="/dev/shm", help="where the files fall")
    parser.add_argument("--json", type=Path, help="all figures of all runs")
    options = parser.parse_args()
    options.works = options.works or list(WORKS)
    unknown = set(options.works) - set(WORKS)
    if unknown:
        parser.error(f"no such work: {', '.join(sorted(unknown))}; there are {', '.join(WORKS)}")
    return options


def main():
    options = parse_arguments()
    results = {(name, io): [] for name in options.works for io in options.io.split(",")}
    for turn in range(options.runs + 1):
        for name, io in results:
            run = run_once(WORKS[name], io, options)
            if turn > 0:  # the first warms the caches
                results[name, io].append(run)
            print(f"{turn}/{options.runs} {name} {io}: {run.rate / 1e6:.2f} M/s",
                  file=sys.stderr)
    report(results)
    if options.json:
        options.json.write_text(json.dumps(
            [{"work": name, "loop": io, "rate": run.rate, "audit": run.audit,
              "cpu_seconds_per_million": run.cpu_seconds_per_million}
             for (name, io), runs in results.items() for run in runs], indent=1))
    return 1 if any(run.wrong for runs in results.values() for run in runs) else 0


if __name__ == "__main__":
    os.environ.pop("YARDER_IO", None)
    sys.exit(main())
