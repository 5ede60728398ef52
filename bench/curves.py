#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How the cost grows with the work: sizes, senders, patterns, outputs; and what a neighbour pays.

    bench/curves.py [PART...] [--runs 5] [--io uring] [--json FILE] [--svg DIR]

Each part changes one thing and leaves the rest as it is; all points take turns. Medians, worst and
best; `x first` is the CPU for a record by that of the part's first row, turn by turn.
"""
import argparse
import os
import shutil
import statistics
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import beside
import report
from works import ALL, BY_REGEX_FILES, File, Work, add_options, by_regex, patterns, run_once, turns

SIZES = (50, 100, 200, 500, 1000, 4096, 16384, 65536)
PRODUCERS = (1, 2, 4, 8, 16, 32, 64)
CONNECTIONS = (1, 10, 100, 500, 1000, 2000)
IDLE = (0, 100, 1000, 1999)
PATTERNS = (1, 10, 100, 1000)
OUTPUTS = (1, 2, 4, 8, 16)

RING = "input = ring\n"
BLOCK = ("--block", "--run-dir", "{folder}/run")
TCP = "input = tcp:127.0.0.1:{port}\n"
RUN_BYTES = 256 << 20
RECORDS_MOST = 2_000_000  # of small ones
RECORDS = 1_000_000

HEAD = ["", "way", "M/s", "worst-best", "MB/s", "CPU s/M", "x first", "worst-best", "with sender",
        "CPU s/GB", "lost or wrong"]
BY_RECORDS = (("cpu_seconds_per_million", "a million records"), ("rate", "records"))
BY_BYTES = (("cpu_seconds_per_gigabyte", "1e9 bytes of records"), ("bytes_rate", "bytes"))
GNUPLOT_SECONDS = 30


def of_sizes():
    for size in SIZES:
        count = min(RECORDS_MOST, RUN_BYTES // size)
        yield "ring", size, Work("", RING + ALL, count, BLOCK, size=size)
        yield "tcp", size, Work("", TCP + ALL, count, ("--tcp", "127.0.0.1:{port}"), size=size)


def of_producers():
    for count in PRODUCERS:
        yield "ring", count, Work("", RING + ALL, RECORDS_MOST // count,
                                  (*BLOCK, "--processes", str(count)), senders=count)


def of_connections():
    for busy in CONNECTIONS:
        yield "busy", busy, Work("", TCP + ALL, RECORDS // busy, senders=busy, connections=busy,
                                 produce=("tcp", f"{{port}}:{busy}:0"))
    for idle in IDLE:
        yield "1 busy, so many idle", idle, Work("", TCP + ALL, RECORDS, connections=1 + idle,
                                                 produce=("tcp", f"{{port}}:1:{idle}"))


def of_patterns():
    for count in PATTERNS:
        yield "ring", count, Work("", RING + by_regex(patterns(count)), RECORDS, BLOCK,
                                  files=BY_REGEX_FILES)


def of_outputs():
    for count in OUTPUTS:
        files = [File(f"{number}.log", apart=number > 0) for number in range(count)]
        config = "".join(f"output = file:{{folder}}/{file.name}\n" for file in files)
        yield "ring", count, Work("", RING + config, 4 * RECORDS // count, BLOCK,
                                  files=tuple(files))


PARTS = {
    "sizes": ("bytes", "one producer by ring, or one connection -> file; 50 B to 64 KiB", of_sizes),
    "producers": ("processes", "by ring -> file", of_producers),
    "connections": ("connections", "tcp, lines, pieces of 16 -> file", of_connections),
    "patterns": ("patterns", "ring -> two files by regex, one pattern takes a tenth", of_patterns),
    "outputs": ("files", "ring -> so many files, each gets every record", of_outputs),
    "neighbour": ("records/s", "a busy program beside yarder, pinned: bench/beside.py", None),
}


def table(part, results):
    rows = [[PARTS[part][0], *HEAD[1:]]]
    firsts = {}
    for (name, way, x), runs in results.items():
        if name == part:
            base = firsts.setdefault(way, runs)
            rates = [run.rate / 1e6 for run in runs]
            wrong = "; ".join(str(run.wrong) for run in runs if run.wrong) or "nothing"
            rows.append([str(x), way, f"{statistics.median(rates):.3f}", report.spread(rates, 3),
                         f"{statistics.median(run.bytes_rate for run in runs) / 1e6:.0f}",
                         report.median(runs, "cpu_seconds_per_million", 3),
                         *report.ratios(runs, base, "cpu_seconds_per_million"),
                         report.median(runs, "cpu_seconds_per_million_with_sender", 3),
                         report.median(runs, "cpu_seconds_per_gigabyte", 3), wrong])
    return rows


def points(part, results, figure):
    """[(series, x, median, least, most)], for a picture."""
    return [(way, x, statistics.median(values), min(values), max(values))
            for (name, way, x), runs in results.items() if name == part
            for values in [[getattr(run, figure) for run in runs]]]


SCRIPT = """\
set terminal svg size 700,420 font 'sans,12'
set output '{output}'
set title '{title}'
set logscale x
set grid
set yrange [*<0:*]
set xlabel '{x}'
set key outside bottom center horizontal
plot {plots}
"""


def draw(path, found, title, x):
    """A line for each series, from worst to best at each point; on its scale 0 stands at 1."""
    data = path.with_suffix(".data")
    series = list(dict.fromkeys(one[0] for one in found))
    blocks = ["\n".join(f"{max(at, 1)} {middle:.5f} {least:.5f} {most:.5f}"
                        for name, at, middle, least, most in found if name == wanted)
              for wanted in series]
    data.write_text("\n\n\n".join(blocks) + "\n")
    plots = ", ".join(f"'{data}' index {at} using 1:2:3:4 with yerrorlines title '{name}'"
                      for at, name in enumerate(series))
    script = SCRIPT.format(output=path.with_suffix(".svg"), title=title, x=x, plots=plots)
    subprocess.run(["gnuplot"], input=script, text=True, check=True, timeout=GNUPLOT_SECONDS)


def draw_all(folder, results, neighbours):
    if shutil.which("gnuplot") is None:
        print("no pictures: gnuplot is not installed", file=sys.stderr)
        return
    folder.mkdir(parents=True, exist_ok=True)
    for part in dict.fromkeys(part for part, _, _ in results):
        (cost, cost_of), (rate, rate_of) = BY_BYTES if part == "sizes" else BY_RECORDS
        draw(folder / f"curves-{part}-cpu", points(part, results, cost),
             f"CPU seconds for {cost_of}: less is better", PARTS[part][0])
        draw(folder / f"curves-{part}-rate", points(part, results, rate),
             f"{rate_of} a second: more is better", PARTS[part][0])
    if neighbours:
        draw(folder / "curves-neighbour", beside.points(neighbours),
             "how much slower a busy neighbour is, in percent", "records/s")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="parts:\n" + "\n".join(f"  {name:12} {says}"
                                      for name, (_, says, _) in PARTS.items()))
    parser.add_argument("parts", nargs="*", metavar="PART", help="all of them if none is named")
    parser.add_argument("--io", default="uring", help="the daemon's loop")
    parser.add_argument("--seconds", type=float, default=0.5, help="that the neighbour works")
    parser.add_argument("--svg", type=Path, metavar="DIR", help="pictures, by gnuplot")
    add_options(parser)
    options = parser.parse_args()
    options.parts = options.parts or list(PARTS)
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if options.runs < 1:
        parser.error("--runs: at least one is kept")
    return options


def run_neighbours(options):
    runners = beside.make_runners(options) if "neighbour" in options.parts else {}
    if "neighbour" in options.parts and not runners:
        print("left out: neighbour: there is one processor only", file=sys.stderr)
    return turns(options, runners, lambda run: f"{run.seconds:.3f} s")


def main():
    options = parse_arguments()
    runners = {(part, way, x): lambda work=work: run_once(work, options, options.io)
               for part in options.parts if PARTS[part][2] is not None
               for way, x, work in PARTS[part][2]()}
    results = turns(options, runners, lambda run: f"{run.rate / 1e6:.2f} M/s, "
                    f"{run.cpu_seconds_per_million:.3f} CPU s/M")
    neighbours = run_neighbours(options)
    tables = {part: table(part, results) for part in dict.fromkeys(part for part, _, _ in results)}
    if neighbours:
        tables["neighbour"] = beside.rows(neighbours)
    print(f"{report.machine()}; medians of {options.runs} runs; loop {options.io}")
    for part, rows in tables.items():
        in_form = report.in_markdown if options.markdown else report.in_columns
        print(f"\n{part}: {PARTS[part][1]}\n\n{in_form(rows)}")
    if options.json:
        report.write_json(
            options.json,
            {f"curves-{part}": report.in_markdown(rows) for part, rows in tables.items()},
            runs=[{"part": part, "way": way, "x": x, **asdict(run)}
                  for (part, way, x), runs in results.items() for run in runs],
            neighbours=[{"key": list(key), **asdict(run)}
                        for key, runs in neighbours.items() for run in runs])
    if options.svg:
        draw_all(options.svg, results, neighbours)
    lost = any(run.missing for runs in neighbours.values() for run in runs)
    return 1 if lost or any(run.wrong for runs in results.values() for run in runs) else 0


if __name__ == "__main__":
    os.environ.pop("YARDER_IO", None)  # --io says which loop
    sys.exit(main())
