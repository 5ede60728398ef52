# SPDX-License-Identifier: Apache-2.0
"""What yarder costs a program that does something else: a part of curves.py.

A neighbour of fixed work (bench/neighbour.c) is timed on a processor of its own, and beside a
daemon and a producer that logs at a given pace through the ring. Each of them is pinned:

    nobody    the neighbour has its processor to itself; what it still loses is caches, memory
              bandwidth, and what the kernel and the host do
    daemon    the daemon has the neighbour's processor too, the producer another one
    producer  the producer has it, the daemon another one: what the logging program itself burns

so no row mixes what the daemon costs with what its producer does.
"""
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import report
from landing import SOURCE, audit, bench_program, cpu_ns
from subjects import family
from harness.daemon import Yarder
from harness.load import RingProducer
from harness.wait import wait_until

SHARED_WITH = ("nobody", "daemon", "producer")
RATES = (0, 10_000, 100_000, 500_000)  # records a second
CALIBRATION_STEPS = 20_000_000
GOING_SECONDS = 10
HEAD = ["shares its processor with", "records/s", "time x alone", "worst-best", "daemon CPU ms/s",
        "producer CPU ms/s", "lost"]


@dataclass
class Beside:
    """seconds: of the neighbour; the others' CPU by the clock of the same time."""
    seconds: float
    daemon_cpu: float
    producer_cpu: float
    missing: int


def processors():
    """Three of them, no two of one core where there are so many cores; on two, the third is the
    second. None: there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    apart = {}
    for one in allowed:
        path = Path(f"/sys/devices/system/cpu/cpu{one}/topology/thread_siblings_list")
        apart.setdefault(path.read_text() if path.exists() else one, one)
    chosen = list(apart.values()) + [one for one in allowed if one not in apart.values()]
    return (chosen + chosen[1:2])[:3] if len(chosen) > 1 else None


def pinned(processor):
    return ["taskset", "-c", str(processor)]


def time_neighbour(steps, processor):
    result = subprocess.run([*pinned(processor), bench_program("neighbour"), str(steps)],
                            capture_output=True, text=True, check=True)
    return int(result.stdout) / 1e9


def steps_for(seconds, processor):
    return max(1, int(CALIBRATION_STEPS * seconds / time_neighbour(CALIBRATION_STEPS, processor)))


def run_beside(shared_with, rate, steps, options):
    first, second, third = processors()
    daemon_at = first if shared_with == "daemon" else second
    producer_at = first if shared_with == "producer" else third
    folder = Path(tempfile.mkdtemp(prefix="yarder-bench-", dir=options.folder))
    landed = folder / "all.log"
    try:
        with Yarder(folder, "input = ring\noutput = file:{folder}/all.log\n",
                    arguments=["--io", options.io], wrapper=pinned(daemon_at)) as yarder:
            if rate == 0:
                return measure(yarder, None, steps, first)
            with RingProducer(yarder, SOURCE, rate, options.size, pinned(producer_at)) as producer:
                wait_until(lambda: landed.exists() and landed.stat().st_size > 0, GOING_SECONDS,
                           "records in the file")
                run = measure(yarder, producer, steps, first)
                sent = producer.end()[SOURCE]
        run.missing = audit(sent, [landed])["missing"]
        return run
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(yarder, producer, steps, processor):
    daemon, sender = family(yarder.pid), [producer.process.pid] if producer else []
    before, start = (cpu_ns(daemon), cpu_ns(sender)), time.monotonic()
    seconds = time_neighbour(steps, processor)
    passed_ns = (time.monotonic() - start) * 1e9
    return Beside(seconds, (cpu_ns(daemon) - before[0]) / passed_ns,
                  (cpu_ns(sender) - before[1]) / passed_ns, 0)


def make_runners(options):
    """{key: what runs it once}; `alone` is what the others of its turn are held against."""
    chosen = processors()
    if chosen is None:
        return {}
    steps = steps_for(options.seconds, chosen[0])
    runners = {("neighbour", "alone"): lambda: Beside(time_neighbour(steps, chosen[0]), 0, 0, 0)}
    for shared_with in SHARED_WITH:
        for rate in RATES:
            if rate > 0 or shared_with != "producer":
                runners["neighbour", shared_with, rate] = (
                    lambda shared_with=shared_with, rate=rate:
                    run_beside(shared_with, rate, steps, options))
    return runners


def rows(results):
    alone = results["neighbour", "alone"]
    table = [HEAD]
    for key, runs in results.items():
        if len(key) == 3:
            table.append([key[1], str(key[2]), *report.ratios(runs, alone, "seconds"),
                          *(f"{statistics.median(getattr(run, what) for run in runs) * 1000:.1f}"
                            for what in ("daemon_cpu", "producer_cpu")),
                          str(max(run.missing for run in runs))])
    return table


def points(results):
    """[(series, records/s, median slowness in percent, least, most)], for a picture."""
    alone = results["neighbour", "alone"]
    found = []
    for key, runs in results.items():
        if len(key) == 3:
            slower = [100 * (run.seconds / one.seconds - 1) for run, one in zip(runs, alone)]
            found.append((key[1], key[2], statistics.median(slower), min(slower), max(slower)))
    return found
