# SPDX-License-Identifier: Apache-2.0
"""The comparison and the cost of a call are made here in small, with the peers that are there."""
import json
import os
import subprocess

import pytest

from harness.daemon import ROOT, program

BENCH = program().parent / "bench"
COUNT = 5000

pytestmark = pytest.mark.skipif(
    not all((BENCH / name).exists() for name in ("audit", "produce", "latency")),
    reason="the programs that measure are not built")


def compare(folder, *arguments):
    """Its runs, by work and subject, and what it printed."""
    figures = folder / "figures.json"
    result = subprocess.run(
        [ROOT / "bench" / "compare.py", "--count", str(COUNT), "--runs", "1", "--warm", "0",
         "--folder", folder, "--json", figures, *arguments],
        capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    runs = json.loads(figures.read_text())["runs"]
    return {(run["work"], run["subject"]): run for run in runs}, result


def assert_sane(run):
    audit = run["audit"]
    assert audit["records"] - audit["twice"] + audit["missing"] == COUNT, run
    assert audit["torn"] == audit["twice"] == 0, run
    assert 0 < run["rate"] < 1e9, run
    assert run["cpu_seconds_per_million_with_sender"] > run["cpu_seconds_per_million"] >= 0, run


@pytest.mark.seconds(110)
@pytest.mark.skipif(os.environ.get("YARDER_IO") == "epoll", reason="it takes both loops: once")
def test_every_work_beside_every_peer(folder):
    runs, result = compare(folder, "--markdown")
    works = {"tcp-lines", "tcp-syslog-route", "udp-paced", "unix-datagrams", "stdout", "ring"}
    left_out = {line.split(": ")[1] for line in result.stderr.splitlines()
                if line.startswith("left out: ")}
    assert {work for work, subject in runs if subject == "yarder epoll"} == works
    for (work, subject), run in runs.items():
        assert_sane(run)
        if work != "udp-paced":
            assert run["audit"]["missing"] == 0, run
        assert f"| {subject} | " in result.stdout
        assert (run["peak_pss_bytes"] > 0) == (subject not in ("write(2)", "fwrite+mutex")), run
    for peer, work in {"rsyslog": "tcp-lines", "syslog-ng": "tcp-lines", "uwsgi": "stdout"}.items():
        assert ((work, peer) in runs) != (peer in left_out)
    assert not list(folder.glob("yarder-*")), "what runs made is gone"


def test_an_unknown_work_is_refused(folder):
    result = subprocess.run([ROOT / "bench" / "compare.py", "smoke-signals"], capture_output=True,
                            text=True, timeout=20, check=False)
    assert result.returncode == 2 and "there are tcp-lines" in result.stderr


def test_the_cost_of_a_call(folder):
    figures = folder / "figures.json"
    subprocess.run([ROOT / "bench" / "latency.py", "--seconds", "0.2", "--rate", "20000", "--io",
                    os.environ.get("YARDER_IO", "auto"), "--folder", folder, "--json", figures],
                   check=True, timeout=50)
    ways = json.loads(figures.read_text())["ways"]
    assert {"memcpy", "ring", "write", "fwrite", "unix"} <= set(ways)
    for way, (run,) in ways.items():
        assert (run["calls"], run["failed"]) == (3800, 0), way
        for since in ("call", "due"):
            points = list(run[since].values())
            assert points == sorted(points) and points[0] >= 0, (way, since, points)
        assert run["due"]["max"] >= run["call"]["p50"], "since the due time is at least the call"
