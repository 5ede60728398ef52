#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the daemon costs while nothing is logged: wake-ups, CPU, memory.

    bench/rest.py [--seconds 60] [--producers 20] [--io uring,epoll] [--json FILE]

A daemon with ring, unix, udp and tcp inputs gets one record from each producer, which then stays
attached and says nothing. After a pause for things to settle, all threads of supervisor and worker
are watched for some seconds.

    wake-ups  voluntary context switches of all threads, a second
    CPU       of all threads, percent of a processor
    Pss       of both processes, KiB: before the first producer, and with all of them
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import report
from landing import pss_bytes
from harness import processes  # landing knows the way to it
from harness.daemon import Yarder, program
from harness.wait import free_port, wait_until

CONFIG = """\
input = ring
input = unix:{folder}/in
input = udp:127.0.0.1:%(port)d
input = tcp:127.0.0.1:%(port)d
output = file:{folder}/all.log
"""
SETTLE_SECONDS = 5  # the writer's sleeps grow to a second


def field(text, name):
    return int(text.split(f"\n{name}:")[1].split()[0])


def threads(pids):
    """(pid, tid) -> name, voluntary switches, ns of CPU."""
    found = {}
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            name = (task / "comm").read_text().strip()
            switches = field((task / "status").read_text(), "voluntary_ctxt_switches")
            spent_ns = int((task / "schedstat").read_text().split()[0])
            found[pid, task.name] = name, switches, spent_ns
    return found


def attach(yarder):
    """A producer that has logged one record and waits for more on its standard input."""
    producer = subprocess.Popen([str(program()), "send", "--run-dir", str(yarder.run_dir)],
                                stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    producer.stdin.write(b"attached\n")
    producer.stdin.flush()
    return producer


def measure(io, seconds, producers_count, folder):
    producers = []
    with Yarder(folder, CONFIG % {"port": free_port()}, arguments=["--io", io]) as yarder:
        pids = [yarder.pid, *processes.descendants(yarder.pid)]
        alone_kib = pss_bytes(pids) >> 10
        try:
            producers += [attach(yarder) for _ in range(producers_count)]
            log = folder / "all.log"
            wait_until(lambda: log.exists() and
                       log.read_text().count("attached\n") == producers_count, 20, "all records")
            time.sleep(SETTLE_SECONDS)
            before = threads(pids)
            time.sleep(seconds)
            after = threads(pids)
            with_kib = pss_bytes(pids) >> 10
        finally:
            for producer in producers:
                producer.communicate()
    each = {f"{pid}/{after[pid, task][0]}":
            {"wakeups_per_second": (after[pid, task][1] - before[pid, task][1]) / seconds,
             "cpu_percent": (after[pid, task][2] - before[pid, task][2]) / seconds / 1e7}
            for pid, task in after if (pid, task) in before}
    return {"loop": io, "producers": producers_count, "seconds": seconds, "threads": each,
            "wakeups_per_second": sum(one["wakeups_per_second"] for one in each.values()),
            "cpu_percent": sum(one["cpu_percent"] for one in each.values()),
            "pss_kib_alone": alone_kib, "pss_kib_with_producers": with_kib}


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--producers", type=int, default=20)
    parser.add_argument("--io", default="uring,epoll", help="loops, with commas between")
    parser.add_argument("--json", type=Path, help="all figures, of each thread")
    return parser.parse_args()


def table(results, markdown):
    rows = [["loop", "wake-ups/s", "CPU %", "Pss KiB alone", f"with {results[0]['producers']}"]]
    rows += [[one["loop"], f"{one['wakeups_per_second']:.1f}", f"{one['cpu_percent']:.3f}",
              str(one["pss_kib_alone"]), str(one["pss_kib_with_producers"])] for one in results]
    return report.in_markdown(rows) if markdown else report.in_columns(rows)


def main():
    options = parse_arguments()
    results = []
    for io in options.io.split(","):
        folder = Path(tempfile.mkdtemp(prefix="yarder-rest-", dir="/dev/shm"))
        try:
            one = measure(io, options.seconds, options.producers, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        results.append(one)
    print(f"{report.machine()}; {options.seconds:g} s\n\n{table(results, False)}")
    if options.json:
        report.write_json(options.json, {"rest": table(results, True)}, runs=results)


if __name__ == "__main__":
    os.environ.pop("YARDER_IO", None)
    sys.exit(main())
