# SPDX-License-Identifier: Apache-2.0
"""One run of yarder: a configuration, a load, the files that have to come of it, and the check.

Shared by endtoend.py and curves.py; what each run finds is a Run.
"""
import contextlib
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from generators import Gated, Send
from landing import audit, cpu_ns, lines_like, lines_unlike, wait_landed, warm
from subjects import family
from harness.daemon import Yarder  # landing knows the way to it
from harness.wait import free_port, wait_until

DIGITS = "0123456789"
CONNECT_SECONDS = 30


@dataclass(frozen=True)
class File:
    """What has to stand in an output's file: the records whose number ends in one of `digits`.

    begin:  how its lines begin, an extended regular expression
    apart:  a further copy. The files that are not apart hold each record once, together
    """
    name: str
    digits: str = DIGITS
    begin: str = "^"
    apart: bool = False

    def is_looked_through(self):
        return self != File(self.name)

    def share(self, count):
        """How many of `count` records."""
        return sum((count - int(digit) + 9) // 10 for digit in self.digits)


@dataclass(frozen=True)
class Work:
    """One way of a record. In texts {folder}, {port} and {program} are filled in.

    send:     arguments of `yarder send`
    produce:  or the way and target of bench/produce.c, where a program is the sender; by `stdout`
              it writes into the daemon's standard input, or is started by its input (exec)
    base:     the work whose figures this one's are held against
    aim:      so many times the time and the CPU that a record takes there, at most
    """
    says: str
    config: str
    count: int  # of each sender
    send: tuple = ()
    produce: tuple = ()
    files: tuple = (File("all.log"),)
    senders: int = 1
    connections: int = 0  # that are made before the clock starts
    size: int = 0  # 0: what is said for all works
    base: str = ""
    aim: float = 0


@dataclass
class Run:
    rate: float
    cpu_seconds_per_million: float
    cpu_seconds_per_million_with_sender: float
    bytes: int
    audit: dict

    @property
    def bytes_rate(self):
        return self.rate * self.bytes

    @property
    def cpu_seconds_per_gigabyte(self):
        return self.cpu_seconds_per_million * 1000 / self.bytes

    @property
    def wrong(self):
        return {what: count for what, count in self.audit.items() if what != "records" and count}


ALL = "output = file:{folder}/all.log\n"
SEVENS = r"^a \d*7 [0-9a-f]"
BY_REGEX_FILES = (File("sevens.log", "7"), File("rest.log", "012345689"))

# Of what people route by; each has a literal, and no record here has it.
_REALISTIC = (
    r"worker %d (died|respawned)", r"listen queue of socket .*:%d full",
    r"upstream timed out \(%d: .*\) while (connecting|reading)", r"\[client [0-9.]+:%d\] .* denied",
    r"^\S+ \S+ \S+ \[[^]]+\] \"(GET|POST) /api/v%d/", r"user=\w+ session=%d .* failed login",
    r"Exception in thread \"pool-%d-thread-\d+\"", r"kernel: .* segfault at %d ",
    r"slow query: \d+ ms .* shard=%d\b", r"connection (reset|refused) by peer 10\.0\.%d\.\d+")


def patterns(count, matching=0):
    """`count` of them: one takes a tenth of the records, the others take none; or of each ten of
    these `matching` take a thousandth each, of the same tenth."""
    others = [rf"a \d*{number:02}7 [0-9a-f]{{8}} " if number % 10 < matching
              else _REALISTIC[number % 10] % number for number in range(count - 1)]
    return [SEVENS, *others]


def by_regex(some=(SEVENS,), template="text"):
    """Two files: one gets what some pattern matches, the other one the rest."""
    routes = "".join(f"route = sevens {pattern}\n" for pattern in some)
    return (f"output = sevens file:{{folder}}/sevens.log,format={template}\n"
            f"output = rest file:{{folder}}/rest.log,rest=yes,format={template}\n{routes}")


def fill(text, words):
    for word, value in words.items():
        text = text.replace("{" + word + "}", str(value))
    return text


def make_generator(work, folder, words, count, size):
    """The sender; what it has to be called by goes into the words."""
    if work.send:
        return Send([fill(word, words) for word in work.send], count, size)
    how, *target = work.produce
    generator = Gated(how, folder, count, size, *(fill(word, words) for word in target))
    words["program"] = generator.line()
    return generator


def check(work, folder, count):
    """What the checker says, and how many lines stand in a file that is not theirs."""
    together = [folder / file.name for file in work.files if not file.apart]
    found = {**audit(count, together, work.senders), "misplaced": 0}
    for file in work.files:
        if not file.is_looked_through():
            continue
        path = folder / file.name
        line = f"{file.begin}a [0-9]*[{file.digits}] [0-9a-f]{{8}} " if file.digits else "a"
        found["misplaced"] += lines_unlike(line, path)
        if file.apart:
            found["misplaced"] += abs(file.share(count) - lines_like(line, path))
    return found


@contextlib.contextmanager
def started(work, folder, config, generator, io):
    """The daemon; a sender that is no child of it stands before its gate."""
    ends = os.pipe() if "input = stdin" in config else ()
    try:
        with Yarder(folder, config, arguments=["--io", io],
                    **({"stdin": ends[0]} if ends else {})) as yarder:
            if work.produce and "{program}" not in work.config:
                generator.launch(ends[1] if ends else None)
            yield yarder
    finally:
        for end in ends:
            os.close(end)


def run_once(work, options, io):
    """options: folder, size and count as all these programs have them."""
    folder = Path(tempfile.mkdtemp(prefix="yarder-bench-", dir=options.folder))
    count, size = options.count or work.count, work.size or options.size
    words = {"folder": folder, "port": free_port()}
    generator = make_generator(work, folder, words, count, size)
    files = [folder / file.name for file in work.files]
    total = count * work.senders
    try:
        copies = sum(file.share(total) for file in work.files)
        warm(folder, copies * size * 3 // 2)
        with started(work, folder, fill(work.config, words), generator, io) as yarder:
            if work.connections:
                wait_until(lambda: yarder.status()["inputs"][0]["connections"] == work.connections,
                           CONNECT_SECONDS, f"{work.connections} connections")
            pids = family(yarder.pid)
            before_ns = cpu_ns(pids)
            start = generator.begin()
            landed = wait_landed(files, generator.ended)
            spent = (cpu_ns(pids) - before_ns) / 1e9
        millions = total / 1e6
        return Run(total / (landed - start), spent / millions,
                   (spent + generator.cpu_seconds) / millions, size, check(work, folder, count))
    finally:
        generator.close()
        shutil.rmtree(folder, ignore_errors=True)


def add_options(parser):
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--warm", type=int, default=1, help="turns before them, not kept")
    parser.add_argument("--count", type=int, help="records of each run, instead of the work's own")
    parser.add_argument("--size", type=int, default=200, help="bytes of a record")
    parser.add_argument("--folder", default="/dev/shm", help="where the files fall")
    parser.add_argument("--json", type=Path, help="all figures of all runs, and the tables")
    parser.add_argument("--markdown", action="store_true", help="tables as Markdown")


def turns(options, runners, say):
    """{key: runs} of {key: function that runs it once}, taking turns; the first warm the memory.

    say(run) is what its line on standard error shows.
    """
    results = {key: [] for key in runners}
    for turn in range(1 - options.warm, options.runs + 1):
        for key, runner in runners.items():
            began = time.monotonic()
            run = runner()
            if turn > 0:
                results[key].append(run)
            name = " ".join(map(str, key)) if isinstance(key, tuple) else key
            print(f"{turn}/{options.runs} {name}: {say(run)} ({time.monotonic() - began:.1f} s)",
                  file=sys.stderr)
    return results
