#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What one call costs the program that logs, and when its record is in the file; nanoseconds.

    bench/latency.py [WAY...] [--rate 200000] [--seconds 10] [--runs 1] [--json FILE] [--markdown]

Ways: memcpy (the floor), ring (libyarder; ring-now with flush=0), write(2) and fwrite under a mutex
to a file, unix (a datagram to yarder's input), spdlog and spdlog-async (its own thread writes),
lttng (a tracepoint), the last three where they are installed. What `call`, `due`, `burst` and
`landed` mean: bench/latency.c; docs/performance.md.
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
from dataclasses import dataclass
from pathlib import Path

import report
from landing import bench_program  # it knows the way to the harness
import lttng_session
from harness.daemon import Yarder

NOT_BUILT = 77
CONFIG = "input = ring\ninput = unix:{{folder}}/in\noutput = file:{{folder}}/all.log{options}\n"
POINTS = ("p50", "p90", "p99", "p99.9", "p99.99", "max")
KINDS = ("paced", "burst", "landed")
SINCE = ("call", "due", "burst", "landed")  # what the tables are of, in this order


@dataclass(frozen=True)
class Way:
    """how: bench/latency.c's word; target and landing in the run's folder, no landing: no file of
    lines; options: of the daemon's output, None: there is no daemon."""
    how: str
    target: str = "own.log"
    landing: str = "own.log"
    options: str = None


WAYS = {
    "memcpy": Way("memcpy", landing=None),
    "ring": Way("ring", "run", "all.log", ""),
    "ring-now": Way("ring", "run", "all.log", ",flush=0s"),
    "write": Way("write"),
    "fwrite": Way("fwrite"),
    "unix": Way("unix", "in", "all.log", ""),
    "spdlog": Way("spdlog"),
    "spdlog-async": Way("spdlog-async"),
    "lttng": Way("lttng", landing=None),
}


def call_program(way, kind, folder, options, session):
    """The figures of a run; None: the way is not built in."""
    command = [bench_program("latency"), way.how, folder / way.target, options.rate,
               options.seconds, options.size, kind]
    command += [folder / way.landing] if kind == "landed" else []
    result = subprocess.run([*(session.prefix if session else []), *map(str, command)],
                            env=session.environment if session else None,
                            capture_output=True, text=True, check=False)
    if result.returncode == NOT_BUILT:
        return None
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    if session:
        assert session.trace_bytes() > 0, "nothing was traced"
        figures["failed"] += session.discarded()
    return figures


def run_once(way, kind, options):
    """Each run has a daemon of its own, or none; its files go afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="yarder-", dir=options.folder))
    try:
        with contextlib.ExitStack() as stack:
            session = None
            if way.options is not None:
                stack.enter_context(Yarder(folder, CONFIG.format(options=way.options),
                                           arguments=["--io", options.io]))
            if way.how == "lttng":
                session = stack.enter_context(lttng_session.Session())
            return call_program(way, kind, folder, options, session)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def rows_of(results, since):
    """[way, a number for each point, failed or missing]: medians, and the worst."""
    rows = []
    for name, runs in results.items():
        found = [run for run in runs if since in run]
        if found:
            digits = 1 if since == "burst" else 0
            middles = (statistics.median(run[since][point] for run in found) for point in POINTS)
            rows.append([name, *(f"{middle:.{digits}f}" for middle in middles),
                         str(max(run.get("missing", 0) + run["failed"] for run in found))])
    return rows


def table(results, since, markdown):
    rows = [[since, *POINTS, "failed"], *rows_of(results, since)]
    return report.in_markdown(rows) if markdown else report.in_columns(rows)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", nargs="*", metavar="WAY", help="all of them if none is named")
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=list(KINDS),
                        help=f"commas between; all: {','.join(KINDS)}")
    parser.add_argument("--rate", type=int, default=200_000, help="calls a second")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--runs", type=int, default=1, help="medians of so many, in turns")
    parser.add_argument("--size", type=int, default=200, help="bytes of a record")
    parser.add_argument("--io", default="auto", help="the daemon's loop")
    parser.add_argument("--folder", default="/dev/shm", help="where the files fall")
    parser.add_argument("--json", type=Path, help="medians, and all figures of all runs")
    parser.add_argument("--markdown", action="store_true", help="the tables as Markdown")
    options = parser.parse_args()
    options.ways = options.ways or list(WAYS)
    for given, there, what in ((options.ways, WAYS, "way"), (options.kinds, KINDS, "kind")):
        unknown = set(given) - set(there)
        if unknown:
            parser.error(f"no such {what}: {', '.join(sorted(unknown))}; there are "
                         f"{', '.join(there)}")
    return options


def run_all(options):
    """{way: runs}; a way that cannot be had is left out with a word."""
    results = {name: [] for name in options.ways}
    for _ in range(options.runs):
        for name in list(results):
            way = WAYS[name]
            lack = lttng_session.lacks(bench_program("latency")) if way.how == "lttng" else None
            for kind in options.kinds if not lack else ():
                if kind == "landed" and way.landing is None:
                    continue
                run = run_once(way, kind, options)
                if run is None:
                    lack = "it was built without"
                    break
                results[name].append(run)
            if lack:
                print(f"left out: {name}: {lack}", file=sys.stderr)
                del results[name]
    return results


def medians(results):
    found = {}
    for since in SINCE:
        for name, *points, failed in rows_of(results, since):
            found.setdefault(name, {})[since] = {
                **{point: float(value) for point, value in zip(POINTS, points)},
                "failed": int(failed)}
    return found


def main():
    options = parse_arguments()
    results = run_all(options)
    print(f"{report.machine()}; {options.rate} calls of {options.size} bytes a second for "
          f"{options.seconds:g} s; ns, medians of {options.runs} runs")
    there = [since for since in SINCE if rows_of(results, since)]
    for since in there:
        print(f"\n{table(results, since, options.markdown)}")
    if options.json:
        report.write_json(
            options.json, {f"latency-{since}": table(results, since, True) for since in there},
            rate=options.rate, size=options.size, medians=medians(results), ways=results)


if __name__ == "__main__":
    os.environ.pop("YARDER_IO", None)  # --io says which loop
    sys.exit(main())
