#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Each leaf on a record's path, alone: what a record costs there, in one table.

    bench/leaves.py [ROOM...] [--filter REGEX] [--runs 3] [--seconds 0.1] [--json FILE] [--markdown]

Runs the programs of bench/*_bench.cc (ROOM: the beginning of a program's name, as `ring`). Figures
are medians of the runs, which take turns.

    a record   of the lane: a write; of commit: one, whose bytes are the state's
    x memcpy   time of a record / that of copying as many bytes, where the same program measures
               that too (`copy`): in memory as large as the leaf's, one record behind the other
"""
import argparse
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

from comparison import machine
from landing import bench_program

HEAD = ["leaf", "ns a record", "M records/s", "GB/s", "x memcpy"]
COPY = "copy/"


def programs(rooms):
    found = sorted(file for file in bench_program("x").parent.glob("bench-*") if file.is_file())
    return [file for file in found
            if not rooms or any(file.name[len("bench-"):].startswith(room) for room in rooms)]


def run(program, options):
    """{name: (ns a record, bytes a record)} of one run; what cannot be had here says so itself."""
    result = subprocess.run(
        [program, "--benchmark_format=json", f"--benchmark_min_time={options.seconds}",
         f"--benchmark_filter={options.filter}"], capture_output=True, text=True, check=False)
    if result.returncode != 0 or not result.stdout.lstrip().startswith("{"):
        assert "Failed to match any benchmarks" in result.stderr, result.stderr
        return {}
    figures = {}
    for one in json.loads(result.stdout)["benchmarks"]:
        name = re.sub(r"/(manual_time|real_time)$", "", one["name"])
        name += f" ({one['label']})" if one.get("label") else ""
        if one.get("error_occurred"):
            print(f"left out: {program.name} {name}: {one['error_message']}", file=sys.stderr)
        else:
            rate = one["items_per_second"]
            figures[name] = (1e9 / rate, round(one.get("bytes_per_second", 0) / rate))
    return figures


def copied_in(figures, of_bytes):
    """How long the program's own copy of so many bytes took."""
    return next((ns for name, (ns, size) in figures.items()
                 if (name + "/").startswith(COPY) and size == of_bytes), None)


def leaves(options):
    """One dictionary for each leaf, medians of the runs; ratios are taken run by run."""
    results = {}
    for _ in range(options.runs):
        for program in programs(options.rooms):
            figures = run(program, options)
            for name, (ns, size) in figures.items():
                leaf = results.setdefault((program.name[len("bench-"):], name),
                                          {"ns": [], "bytes": size, "ratio": []})
                leaf["ns"].append(ns)
                copied = copied_in(figures, size)
                leaf["ratio"] += [ns / copied] if copied else []
    return [{"program": program, "leaf": name, "bytes": leaf["bytes"],
             "ns": statistics.median(leaf["ns"]),
             "x_memcpy": statistics.median(leaf["ratio"]) if leaf["ratio"] else None}
            for (program, name), leaf in results.items()]


def table(found, markdown):
    rows = [[f"{one['program']} {one['leaf']}", f"{one['ns']:.1f}", f"{1e3 / one['ns']:.2f}",
             f"{one['bytes'] / one['ns']:.2f}" if one["bytes"] else "-",
             f"{one['x_memcpy']:.1f}" if one["x_memcpy"] else "-"] for one in found]
    if markdown:
        return "\n".join("| " + " | ".join(line) + " |"
                         for line in [HEAD, ["---"] * len(HEAD), *rows])
    widths = [max(len(line[at]) for line in [HEAD, *rows]) for at in range(len(HEAD))]
    return "\n".join("  ".join(cell.ljust(width) if at == 0 else cell.rjust(width)
                               for at, (cell, width) in enumerate(zip(line, widths)))
                     for line in [HEAD, *rows])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help="all of them if none is named")
    parser.add_argument("--filter", default=".", help="leaves whose name holds this expression")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.1, help="of a leaf in a run, at least")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", action="store_true", help="the table as Markdown")
    options = parser.parse_args()
    if not programs(options.rooms):
        parser.error("no such program is built (google-benchmark is what they need)")
    found = leaves(options)
    print(f"{machine()}; medians of {options.runs} runs\n")
    print(table(found, options.markdown))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "leaves": found}, indent=1)
                                + "\n")


if __name__ == "__main__":
    sys.exit(main())
