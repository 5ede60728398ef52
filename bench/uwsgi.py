#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a line and a request cost a worker of uWSGI, by its own pipe and file and by the plugin.

    bench/uwsgi.py [--batches 400] [--runs 5] [--burst 20000]

Lines are os.write(2) of 100 bytes, requests uWSGI's log_request for one and the same request, in
batches of 50 with pauses in which uWSGI's master reads them; counted is the time of a batch, the
median of all, less that of a call that logs nothing. Then four workers log as fast as they can:
what the pipe refuses is lost. The two ways take turns.
"""
import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import landing  # noqa: F401, it says where the harness is
from harness import uwsgi
from harness.daemon import Yarder
from harness.wait import wait_until

PER_BATCH = 50
APPLICATION = """
import ctypes, statistics
core = ctypes.CDLL(None)
core.simple_current_wsgi_req.restype = ctypes.c_void_p
core.log_request.argtypes = [ctypes.c_void_p]

def batch_ns(call, argument, more, count):
    began = time.perf_counter_ns()
    for _ in range(count):
        call(argument, *more)
    return (time.perf_counter_ns() - began) / count

def call_cost(batches, count):
    request, line = core.simple_current_wsgi_req(), b"x" * 99 + b"\\n"
    nothing = os.open("/dev/null", os.O_WRONLY)
    # A request with everything set, so also that it is not to be logged: what calling costs.
    quiet = ctypes.create_string_buffer(1 << 16)
    ctypes.memset(quiet, 1, len(quiet))
    measured = {"line": [], "no line": [], "request": [], "no request": []}
    for _ in range(int(batches)):
        measured["line"].append(batch_ns(os.write, 2, [line], int(count)))
        time.sleep(0.002)
        measured["no line"].append(batch_ns(len, line, [], int(count)))
        measured["request"].append(batch_ns(core.log_request, request, [], int(count)))
        time.sleep(0.002)
        measured["no request"].append(
            batch_ns(core.log_request, ctypes.addressof(quiet), [], int(count)))
    median = {what: statistics.median(times) for what, times in measured.items()}
    return {what: median[what] - median["no " + what] for what in ("line", "request")}
"""


def ways(folder, daemon):
    return {
        "pipe and file": (["logfile"], [f"logger = file:{folder}/theirs",
                                        f"req-logger = file:{folder}/theirs.requests"]),
        "plugin": ([uwsgi.plugin()], [f"yarder-run-dir = {daemon.run_dir}", "logger = yarder:",
                                      "req-logger = yarder:"]),
    }


def cost(folder, plugins, lines, options):
    with uwsgi.Uwsgi(folder / "uwsgi", lines, plugins, 1, APPLICATION) as server:
        return server.ask(f"/cost/{options.batches}/{PER_BATCH}")


def burst(folder, plugins, lines, options):
    """Lines refused, of how many, and the seconds that it took."""
    with uwsgi.Uwsgi(folder, lines, plugins) as server:
        said = server.say("burst", options.burst, padding=80)
        refused = sum(len(one["refused"]) for one in said.values())
        return refused, max(one["seconds"] for one in said.values())


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=400)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--burst", type=int, default=20_000, help="lines of each of four workers")
    options = parser.parse_args()
    costs, bursts = {}, {}
    with tempfile.TemporaryDirectory(prefix="yarder-", dir="/dev/shm") as name:
        folder = Path(name)
        config = f"input = ring\noutput = file:{folder}/ours\n"
        with Yarder(folder / "daemon", config) as daemon:
            for number in range(options.runs):
                for way, (plugins, lines) in ways(folder, daemon).items():
                    costs.setdefault(way, []).append(cost(folder, plugins, lines, options))
                    bursts.setdefault(way, []).append(
                        burst(folder / f"b{number}{way[:2]}", plugins, lines, options))
            wait_until(lambda: daemon.status()["ring_clients"] == 0, 20, "all is read")
    for way in costs:
        line, request = (statistics.median(one[what] for one in costs[way])
                         for what in ("line", "request"))
        refused, seconds = (statistics.median(one[i] for one in bursts[way]) for i in (0, 1))
        print(f"{way:14} {line:6.0f} ns a line  {request:6.0f} ns a request   burst: "
              f"{refused:.0f} of {4 * options.burst} lines refused, {seconds:.2f} s")
    for what in ("line", "request"):
        ratio = statistics.median(theirs[what] / ours[what] for theirs, ours in zip(
            costs["pipe and file"], costs["plugin"]))
        print(f"a {what} by the pipe costs {ratio:.1f} times as much")
    return 0


if __name__ == "__main__":
    sys.exit(main())
