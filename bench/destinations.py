#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What comes out of a daemon at a destination, beside the plainest loop that sends as much.

    bench/destinations.py [KIND...] [--runs 5] [--disk] [--json FILE]

Each run starts the destination (bench/sink.c, or redis-server), a daemon with one output to it and
a producer that appends to the ring and waits where it is full; then, on the same destination, the
same records are sent by a loop of their own without any shipper (bench/bare.c). The clock stops
when the destination has the last record (UDP: when nothing has come for a while; what is missing is
counted). Kinds take turns; the table shows medians, and the worst and best. --disk runs each kind
again with its queue on disk.

    M/s     million records / seconds from the start of the sender to the last arrival
    x bare  this figure / that of the bare loop, turn by turn
    CPU     of supervisor, worker and its threads, in seconds per million records
"""
import argparse
import contextlib
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import report
from generators import Send
from landing import bench_program, cpu_ns
from subjects import family
from works import add_options, turns
from harness.daemon import Yarder  # landing knows the way to it
from harness.wait import free_port, wait_until

UP_SECONDS = 20
END_SECONDS = 60
STILL_SECONDS = 1.0
POLL_SECONDS = 0.002
KEY = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"


@dataclass(frozen=True)
class Kind:
    """output: its line, with {port}; sink: of bench/sink.c, or redis; aim: M/s."""
    says: str
    output: str
    sink: str
    bare: str
    count: int
    aim: float


KINDS = {
    "syslog": Kind("syslog by TCP, octet-counted", "syslog:tcp://127.0.0.1:{port}", "tcp", "tcp",
                   3_000_000, 1.5),
    "redis": Kind("redis, RPUSH pipelined", "redis:127.0.0.1:{port},command=rpush logs", "redis",
                  "redis", 600_000, 0.3),
    "zeromq": Kind("ZeroMQ, PUSH", "zeromq:tcp://127.0.0.1:{port}", "pull", "push", 2_000_000, 0.8),
    "graylog": Kind("GELF by UDP", "graylog:udp://127.0.0.1:{port}", "udp", "udp", 500_000, 0.2),
    "crypto": Kind("AES-256-GCM by UDP",
                   f"crypto:127.0.0.1:{{port}},algo=aes-256-gcm,key={KEY}", "udp", "udp",
                   500_000, 0.2),
}
HEAD = ["kind", "queue", "M/s", "worst-best", "bare M/s", "x bare", "worst-best", "CPU s/M", "aim",
        "lost"]


@dataclass
class Run:
    rate: float
    bare_rate: float
    cpu_seconds_per_million: float
    lost: int


class Sink:
    """bench/sink.c; records() is what has come so far."""

    def __init__(self, way, port, folder):
        self.way, self.port, self.tally = way, port, folder / "tally"

    def __enter__(self):
        self.process = subprocess.Popen(
            [bench_program("sink"), self.way, str(self.port), self.tally])
        wait_until(lambda: self.tally.exists() and self.tally.stat().st_size == 16, UP_SECONDS,
                   "the sink")
        return self

    def __exit__(self, kind, trouble, trace):
        self.process.kill()
        self.process.wait()

    def records(self):
        return struct.unpack("QQ", self.tally.read_bytes())[0]


class Redis:
    """A redis-server without persistence; what counts are its list's elements."""

    def __init__(self, port, folder):
        self.port, self.folder = port, folder

    def __enter__(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
             "--appendonly", "no", "--dir", str(self.folder)], stdout=subprocess.DEVNULL)
        wait_until(self._is_up, UP_SECONDS, "redis-server")
        return self

    def __exit__(self, kind, trouble, trace):
        self.process.terminate()
        self.process.wait()

    def _ask(self, *words):
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(b"*%d\r\n" % len(words) + b"".join(
                b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
            return connection.recv(4096)

    def _is_up(self):
        with contextlib.suppress(OSError):
            return self._ask(b"PING") == b"+PONG\r\n"
        return False

    def records(self):
        return sum(int(self._ask(b"LLEN", name)[1:]) for name in (b"logs", b"bare"))


def wait_all(sink, before, count, lossy):
    """When the last one came, and how many never did."""
    last, since = before, time.monotonic()
    while True:
        now, records = time.monotonic(), sink.records()
        if records != last:
            last, since = records, now
        if records - before >= count:
            return now, 0
        still = now - since
        if lossy and last > before and still > STILL_SECONDS:
            return since, count - (last - before)
        assert still < END_SECONDS, f"{records - before} of {count} records came"
        time.sleep(POLL_SECONDS)


def run_bare(kind, sink, port, count, size):
    before, start = sink.records(), time.monotonic()
    subprocess.run([bench_program("bare"), kind.bare, str(port), str(count), str(size)],
                   check=True, stdout=subprocess.DEVNULL)
    end, lost = wait_all(sink, before, count, kind.sink == "udp")
    return (count - lost) / (end - start)


def run_once(kind, options, queue):
    folder = Path(tempfile.mkdtemp(prefix="yarder-bench-", dir=options.folder))
    count, port = options.count or kind.count, free_port()
    config = f"input = ring\n[output out]\ntype = {kind.output.split(':')[0]}\n"
    target, *settings = kind.output.split(":", 1)[1].split(",")
    config += "".join(f"{line}\n" for line in [
        f"to = {target}", *settings, f"queue = {queue}:256M"]).replace("{port}", str(port))
    generator = Send(["--block", "--run-dir", str(folder / "run")], count, options.size)
    try:
        end = Redis(port, folder) if kind.sink == "redis" else Sink(kind.sink, port, folder)
        with end as sink, Yarder(folder, config) as yarder:
            bare = run_bare(kind, sink, port, count, options.size)
            pids, before = family(yarder.pid), sink.records()
            spent = cpu_ns(pids)
            start = generator.begin()
            landed, lost = wait_all(sink, before, count, kind.sink == "udp")
            spent = (cpu_ns(pids) - spent) / 1e9
            wait_until(generator.ended, UP_SECONDS, "the sender's end")
        return Run((count - lost) / (landed - start), bare, spent / (count / 1e6), lost)
    finally:
        generator.close()
        shutil.rmtree(folder, ignore_errors=True)


def table(results, markdown):
    rows = [HEAD]
    for (name, queue), runs in results.items():
        rates = [run.rate / 1e6 for run in runs]
        ratios = [run.rate / run.bare_rate for run in runs]
        rows.append([name, queue, f"{statistics.median(rates):.2f}", report.spread(rates),
                     f"{statistics.median(run.bare_rate / 1e6 for run in runs):.2f}",
                     f"{statistics.median(ratios):.2f}", report.spread(ratios),
                     report.median(runs, "cpu_seconds_per_million", 2),
                     f"{KINDS[name].aim:.1f}", str(sum(run.lost for run in runs))])
    return report.in_markdown(rows) if markdown else report.in_columns(rows, left=2)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--disk", action="store_true", help="with the queue on disk as well")
    add_options(parser)
    options = parser.parse_args()
    unknown = set(options.kinds) - set(KINDS)
    if unknown:
        parser.error(f"no such kind: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    queues = ["memory", "disk"] if options.disk else ["memory"]
    results = turns(options, {
        (name, queue): lambda kind=KINDS[name], queue=queue: run_once(kind, options, queue)
        for name in options.kinds or KINDS for queue in queues},
        lambda run: f"{run.rate / 1e6:.2f} M/s, bare {run.bare_rate / 1e6:.2f}")
    print(f"{report.machine()}; medians of {options.runs} runs\n")
    print(table(results, options.markdown))
    if options.json:
        report.write_json(options.json, {"destinations": table(results, True)}, runs=[
            {"kind": name, "queue": queue, **asdict(run)}
            for (name, queue), runs in results.items() for run in runs])
    return 0


if __name__ == "__main__":
    os.environ.pop("YARDER_IO", None)
    sys.exit(main())
