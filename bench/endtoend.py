#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""From a producer to the landing: records per second, CPU, and what was lost.

    bench/endtoend.py [WORK...] [--all] [--runs 5] [--io uring,epoll] [--json FILE]

Each run starts a daemon of its own, sends numbered records, waits until the files grow no more, and
checks each line: whether it is whole, there once, and in the file it belongs to. Works and loops
take turns, so that what disturbs the machine disturbs all of them. A first turn is not kept; the
table shows medians, and the worst and best.

    M/s    million records sent / seconds from the start of the sender to the last growth of a file
    CPU    of the supervisor, the worker and its lanes, in seconds per million records; with that
           of the sender
    x base this work's figure / that of the work it says, turn by turn: median, worst and best
"""
import argparse
import os
import statistics
import sys
from dataclasses import asdict

import report
from works import ALL, BY_REGEX_FILES, File, Work, add_options, by_regex, patterns, run_once, turns

TEMPLATE = "${time:%F %T} ${level} ${msg}"
TCP = ("--tcp", "127.0.0.1:{port}")
SYSLOG = {"send": (*TCP, "--level", "info", "--tag", "app")}
SYSLOG_INPUT = "input = tcp:127.0.0.1:{port},parse=syslog\n"
RING = {"send": ("--block", "--run-dir", "{folder}/run")}
UNIX = {"send": ("--socket", "{folder}/in")}
PROGRAM = {"produce": ("stdout",)}

# name: what it is, its line, who sends, records to one file, records to two
INPUTS = {
    "ring": ("ring", "input = ring\n", RING, 5_000_000, 2_000_000),
    "tcp": ("tcp, lines", "input = tcp:127.0.0.1:{port}\n", {"send": TCP}, 5_000_000, 2_000_000),
    "tcp-syslog": ("tcp, syslog parsed", SYSLOG_INPUT, SYSLOG, 2_000_000, 2_000_000),
    "udp": ("udp at 200 k/s", "input = udp:127.0.0.1:{port}\n",
            {"send": ("--udp", "127.0.0.1:{port}", "--rate", "200000")}, 400_000, 400_000),
    "udp-trains": ("udp at 200 k/s, many handed over at once (UDP_SEGMENT)",
                   "input = udp:127.0.0.1:{port}\n",
                   {"send": ("--udp", "127.0.0.1:{port}", "--rate", "200000", "--gso")},
                   400_000, 400_000),
    "unix": ("unix datagrams", "input = unix:{folder}/in\n", UNIX, 1_000_000, 1_000_000),
    "unix-stream": ("unix, a connection", "input = unix:{folder}/in,socket=stream\n", UNIX,
                    2_000_000, 2_000_000),
    "stdin": ("standard input, a write(2) for each line", "input = stdin\n", PROGRAM,
              1_000_000, 1_000_000),
    "exec": ("a program started, a write(2) for each line",
             "[input program]\ntype = exec\nto = exec {program}\nrestart = never\n[yarder]\n",
             PROGRAM, 1_000_000, 1_000_000),
}
FORMATS = {"ring": TEMPLATE}  # a time among the text; elsewhere the text alone
TEMPLATE_BEGIN = "^[-0-9]{10} [0-9:]{8} [a-z]+ "

SIX = r"""output = all file:{folder}/all.log
output = sevens file:{folder}/sevens.json,match=^a \d*7 [0-9a-f],format=json
output = low file:{folder}/low.log,match=^a \d*[0-4] [0-9a-f],format=${time:%F %T} ${level} ${msg}
output = odd file:{folder}/odd.log,level=info,not-match=^a \d*[02468] [0-9a-f],format=text
output = tag file:{folder}/tag.log,tag=app*,match=^a \d*[12] [0-9a-f],format=text
output = errors file:{folder}/errors.log,level=error,format=text
"""
SIX_FILES = (
    File("all.log"), File("sevens.json", "7", r'^\{.*"', apart=True),
    File("low.log", "01234", TEMPLATE_BEGIN, apart=True), File("odd.log", "13579", apart=True),
    File("tag.log", "12", apart=True), File("errors.log", "", apart=True))


def make_works():
    works = {}
    for name, (says, line, sender, one, two) in INPUTS.items():
        begin = TEMPLATE_BEGIN if name in FORMATS else "^"
        works[f"{name}-file"] = Work(f"{says} -> file", line + ALL, one, **sender)
        works[f"{name}-regex"] = Work(
            f"{says} -> two files by regex" + (", template with time" if name in FORMATS else ""),
            line + by_regex(template=FORMATS.get(name, "text")), two, **sender,
            files=tuple(File(file.name, file.digits, begin) for file in BY_REGEX_FILES))
    works["ring-six"] = Work(
        "ring -> six files: all, json, template with time, by level, by tag, errors",
        "input = ring\n" + SIX, 1_000_000, (*RING["send"], "--tag", "app"), files=SIX_FILES)
    for count, aim in ((100, 1.15), (1000, 1.40)):
        for matching in (0, 1):
            works[f"tcp-syslog-{count}{'-some' if matching else ''}"] = Work(
                f"tcp-syslog-regex with {count} patterns, " +
                ("a tenth of the others take something" if matching else "one takes something"),
                SYSLOG_INPUT + by_regex(patterns(count, matching)), 2_000_000, **SYSLOG,
                files=BY_REGEX_FILES, base="tcp-syslog-regex", aim=aim)
    return works


WORKS = make_works()
USUAL = ("ring-file", "ring-regex", "ring-six", "tcp-file", "tcp-syslog-regex", "tcp-syslog-100",
         "tcp-syslog-1000", "unix-file", "udp-file")
HEAD = ["work", "loop", "M/s", "worst-best", "CPU s/M", "with sender", "base", "M/s x base",
        "worst-best", "CPU x base", "worst-best", "lost or wrong"]


def row(name, io, results):
    runs, base = results[name, io], results.get((WORKS[name].base, io))
    rates = [run.rate / 1e6 for run in runs]
    wrong = "; ".join(str(run.wrong) for run in runs if run.wrong) or "nothing"
    return [name, io, f"{statistics.median(rates):.2f}", report.spread(rates),
            report.median(runs, "cpu_seconds_per_million", 3),
            report.median(runs, "cpu_seconds_per_million_with_sender", 3),
            WORKS[name].base if base else "-", *report.ratios(runs, base, "rate"),
            *report.ratios(runs, base, "cpu_seconds_per_million"), wrong]


def judge(name, io, results):
    """Whether a work that is held against another keeps its aim, in a line."""
    base = results.get((WORKS[name].base, io))
    if base is None:
        return []
    rate, cpu = (report.ratio(results[name, io], base, figure)
                 for figure in ("rate", "cpu_seconds_per_million"))
    aim = WORKS[name].aim
    word = "kept" if max(1 / rate, cpu) <= aim else "missed"
    return [f"* {name} {io}: a record takes {1 / rate:.2f} times the time and {cpu:.2f} times the "
            f"CPU that it takes in {WORKS[name].base}; the aim is at most {aim:.2f}: {word}."]


def table(results, markdown):
    rows = [HEAD, *(row(name, io, results) for name, io in results)]
    text = report.in_markdown(rows) if markdown else report.in_columns(rows, left=2)
    said = [line for name, io in results for line in judge(name, io, results)]
    return "\n\n".join([text, *(["\n".join(said)] if said else [])])


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="works (* usual):\n" + "\n".join(
            f" {'*' if name in USUAL else ' '}{name:20} {work.says}"
            for name, work in WORKS.items()))
    parser.add_argument("works", nargs="*", metavar="WORK", help="the usual ones if none is named")
    parser.add_argument("--all", action="store_true", help="all of them, which takes a while")
    parser.add_argument("--io", default="uring,epoll", help="loops, with commas between")
    add_options(parser)
    options = parser.parse_args()
    options.works = list(WORKS) if options.all else options.works or list(USUAL)
    unknown = set(options.works) - set(WORKS)
    if unknown:
        parser.error(f"no such work: {', '.join(sorted(unknown))}; there are {', '.join(WORKS)}")
    if options.runs < 1:
        parser.error("--runs: at least one is kept")
    return options


def main():
    options = parse_arguments()
    results = turns(
        options, {(name, io): lambda work=WORKS[name], io=io: run_once(work, options, io)
                  for name in options.works for io in options.io.split(",")},
        lambda run: f"{run.rate / 1e6:.2f} M/s")
    print(f"{report.machine()}; medians of {options.runs} runs\n")
    print(table(results, options.markdown))
    if options.json:
        report.write_json(options.json, {"endtoend": table(results, True)}, runs=[
            {"work": name, "loop": io, **asdict(run)}
            for (name, io), runs in results.items() for run in runs])
    return 1 if any(run.wrong for runs in results.values() for run in runs) else 0


if __name__ == "__main__":
    os.environ.pop("YARDER_IO", None)  # --io says which loop
    sys.exit(main())
