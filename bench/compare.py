#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""yarder beside other log shippers: the same records, the same checker, taking turns.

    bench/compare.py [WORK...] [--runs 5] [--subjects NAME,...] [--markdown] [--json FILE]

What each figure means, and what is fair about it: docs/performance.md; configurations: bench/peers.
A subject that cannot be had here is left out, with a word about it. Status 1: yarder lost, doubled
or tore a record where nothing may be lost.
"""
import argparse
import os
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import comparison
import report
from generators import Gated, Send
from landing import audit, cpu_ns, lines_unlike, pss_bytes, wait_landed, warm
from subjects import Alone, OurDaemon, Rsyslog, SyslogNg, Uwsgi, has_template
from harness.wait import free_port

LOOK_SECONDS = 0.1  # between two looks at the memory


@dataclass(frozen=True)
class Work:
    """One way of a record. send: arguments of `yarder send`; none: a program that writes."""
    says: str
    count: int
    send: tuple = ()
    files: tuple = ("all.log",)
    lines: tuple = ("",)  # what all lines of each file are like
    may_lose: bool = False


WORKS = {
    "tcp-lines": Work("tcp, one connection, lines as they are -> file", 3_000_000,
                      ("--tcp", "127.0.0.1:{port}")),
    "tcp-syslog-route": Work(
        "tcp, one connection, RFC 3164 parsed -> two files by regex", 2_000_000,
        ("--tcp", "127.0.0.1:{port}", "--level", "info", "--tag", "app"),
        ("sevens.log", "rest.log"), ("^a [0-9]*7 ", "^a [0-9]*[^7] ")),
    "udp-paced": Work("udp at 200 000 records/s -> file", 600_000,
                      ("--udp", "127.0.0.1:{port}", "--rate", "200000"), may_lose=True),
    "udp-full": Work("udp as fast as the sender can -> file", 1_000_000,
                     ("--udp", "127.0.0.1:{port}"), may_lose=True),
    "unix-datagrams": Work("unix datagrams -> file", 500_000, ("--socket", "{folder}/in")),
    "stdout": Work("a program's stdout, a write(2) for each record -> file", 1_000_000),
    "ring": Work("a program's own call for each record -> file", 3_000_000,
                 ("--block", "--run-dir", "{folder}/run")),
}
SUBJECTS = [OurDaemon("uring"), OurDaemon("epoll"), Rsyslog(), SyslogNg(), Uwsgi(),
            Alone("write"), Alone("fwrite")]


@dataclass
class Run:
    """One run: rates and costs are of what was delivered; subject's CPU, and with the sender's."""
    rate: float
    cpu_seconds_per_million: float
    cpu_seconds_per_million_with_sender: float
    peak_pss_bytes: int
    audit: dict

    def is_whole(self):
        return not any(self.audit[what] for what in ("missing", "twice", "torn"))


class MemoryWatch:
    """The largest sum of a subject's memory that a look has found."""

    def __init__(self, subject):
        self.subject, self.peak_bytes, self.next_look = subject, 0, 0.0

    def look(self):
        now = time.monotonic()
        if now >= self.next_look:
            self.next_look = now + LOOK_SECONDS
            self.peak_bytes = max(self.peak_bytes, pss_bytes(self.subject.pids()))


def takes(subject, work):
    return work == "ring" if isinstance(subject, Alone) else has_template(work, subject.config_name)


def make_generator(work, subject, folder, words, options, count):
    if WORKS[work].send and not isinstance(subject, Alone):
        return Send([word.format(**words) for word in WORKS[work].send], count, options.size)
    how = subject.how if isinstance(subject, Alone) else "stdout"
    generator = Gated(how, folder, count, options.size)
    words["program"] = generator.line()
    return generator


def measure(subject, generator, files, count, size):
    """Between the start of the sender and the last growth of a file; the rest of a Run's fields."""
    watch = MemoryWatch(subject)
    watch.look()
    before_ns = cpu_ns(subject.pids())
    start = generator.begin()
    landed = wait_landed(files, generator.ended, count * (size + 1), watch.look)
    return landed - start, (cpu_ns(subject.pids()) - before_ns) / 1e9, watch.peak_bytes


def assert_same_work(subject, work, files, found, size):
    """The text and a newline and nothing else, and each record in the file it belongs to."""
    total = sum(file.stat().st_size for file in files)
    assert found["torn"] or total == found["records"] * (size + 1), \
        f"{subject.name} writes {total} bytes for {found['records']} records"
    for pattern, file in zip(work.lines, files):
        strange = lines_unlike(pattern, file) if pattern else 0
        assert strange == 0, f"{subject.name}: {strange} records do not belong into {file.name}"


def run_once(name, subject, options):
    """The subject's files are looked through when it has ended: nothing lies in its buffers."""
    work, folder = WORKS[name], Path(tempfile.mkdtemp(prefix="yarder-", dir=options.folder))
    count = options.count or work.count
    words = {"folder": folder, "port": free_port()}
    files = [folder / file for file in work.files]
    generator = make_generator(name, subject, folder, words, options, count)
    try:
        warm(folder, count * options.size * 3 // 2)
        subject.start(name, folder, words)
        try:
            if isinstance(subject, Alone):
                generator.launch()
            seconds, cpu, peak = measure(subject, generator, files, count, options.size)
            if not subject.is_killed:
                generator.close()
            subject.stop()
        except BaseException:
            subject.kill()
            raise
        found = audit(count, files)
        assert_same_work(subject, work, files, found, options.size)
        millions = max(count - found["missing"], 1) / 1e6
        return Run(millions * 1e6 / seconds, cpu / millions,
                   (cpu + generator.cpu_seconds) / millions, peak, found)
    finally:
        generator.close()
        shutil.rmtree(folder, ignore_errors=True)


def turns(options):
    """{(work, subject's name): runs}; the first turns warm the memory and are not kept."""
    pairs = [(name, subject) for name in options.works for subject in options.subjects
             if takes(subject, name)]
    results = {(name, subject.name): [] for name, subject in pairs}
    for turn in range(1 - options.warm, options.runs + 1):
        for name, subject in pairs:
            run = run_once(name, subject, options)
            if turn > 0:
                results[name, subject.name].append(run)
            print(f"{turn}/{options.runs} {name} {subject.name}: {run.rate / 1e6:.2f} M/s",
                  file=sys.stderr)
    return results


def choose_subjects(parser, wanted):
    """Those that are wanted and can be had here."""
    names = [subject.name for subject in SUBJECTS]
    unknown = set(wanted or ()) - set(names)
    if unknown:
        parser.error(f"no such subject: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    chosen = []
    for subject in SUBJECTS:
        if wanted and subject.name not in wanted:
            continue
        lack = subject.lacks()
        if lack:
            print(f"left out: {subject.name}: {lack}", file=sys.stderr)
        else:
            chosen.append(subject)
    return chosen


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="works:\n" + "\n".join(f"  {name:18} {work.says}" for name, work in WORKS.items())
        + "\nsubjects: " + ", ".join(subject.name for subject in SUBJECTS))
    parser.add_argument("works", nargs="*", metavar="WORK", help="all of them if none is named")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--warm", type=int, default=1, help="turns before them, not kept")
    parser.add_argument("--subjects", type=lambda text: text.split(","), help="commas between")
    parser.add_argument("--count", type=int, help="records of each run, instead of the work's own")
    parser.add_argument("--size", type=int, default=200, help="bytes of a record")
    parser.add_argument("--folder", default="/dev/shm", help="where the files fall")
    parser.add_argument("--json", type=Path, help="all figures of all runs")
    parser.add_argument("--markdown", action="store_true", help="the tables as Markdown")
    parser.add_argument("--svg", type=Path, metavar="DIR", help="pictures, by gnuplot")
    options = parser.parse_args()
    options.works = options.works or list(WORKS)
    unknown = set(options.works) - set(WORKS)
    if unknown:
        parser.error(f"no such work: {', '.join(sorted(unknown))}; there are {', '.join(WORKS)}")
    if options.runs < 1:
        parser.error("--runs: at least one is kept")
    options.subjects = choose_subjects(parser, options.subjects)
    return options


def main():
    options = parse_arguments()
    results = turns(options)
    says = {name: WORKS[name].says for name in options.works}
    print(comparison.tables(results, says, options.markdown))
    if options.json:
        report.write_json(options.json, {"compare": comparison.tables(results, says, True)}, runs=[
            {"work": work, "subject": subject, **asdict(run)}
            for (work, subject), runs in results.items() for run in runs])
    if options.svg:
        comparison.draw(options.svg, results)
    ours = [run for (name, subject), runs in results.items() for run in runs
            if subject.startswith("yarder") and not WORKS[name].may_lose]
    return 0 if all(run.is_whole() for run in ours) else 1


if __name__ == "__main__":
    os.environ.pop("YARDER_IO", None)  # the subjects' names say which loop
    sys.exit(main())
