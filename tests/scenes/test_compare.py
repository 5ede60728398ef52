# SPDX-License-Identifier: Apache-2.0
"""Comparison, cost of a call and leaves are made here in small, with the peers that are there."""
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
    works = {"tcp-lines", "tcp-syslog-route", "udp-paced", "udp-full", "unix-datagrams",
             "stdout", "ring"}
    left_out = {line.split(": ")[1] for line in result.stderr.splitlines()
                if line.startswith("left out: ")}
    assert {work for work, subject in runs if subject == "yarder epoll"} == works
    for (work, subject), run in runs.items():
        assert_sane(run)
        if not work.startswith("udp-"):
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


def assert_distribution(figures, what):
    points = list(figures.values())
    assert points == sorted(points) and points[0] >= 0, (what, points)


@pytest.mark.seconds(110)
def test_the_cost_of_a_call(folder):
    """Each way that is here, paced, in bursts, and until its record stands in the file."""
    figures = folder / "figures.json"
    result = subprocess.run(
        [ROOT / "bench" / "latency.py", "--seconds", "0.2", "--rate", "20000", "--io",
         os.environ.get("YARDER_IO", "auto"), "--folder", folder, "--json", figures],
        capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads(figures.read_text())
    left_out = {line.split(": ")[1] for line in result.stderr.splitlines()
                if line.startswith("left out: ")}
    assert left_out <= {"spdlog", "spdlog-async", "lttng"}, result.stderr
    assert set(found["ways"]) | left_out == {"memcpy", "ring", "ring-now", "write", "fwrite",
                                             "unix", "spdlog", "spdlog-async", "lttng"}
    for way, runs in found["ways"].items():
        kinds = [kind for run in runs for kind in run if isinstance(run[kind], dict)]
        has_lines = way not in ("memcpy", "lttng")
        assert kinds == ["call", "due", "burst"] + ["call", "due", "landed"] * has_lines, way
        for run in runs:
            assert run["calls"] == (4000 if "burst" in run else 3800), (way, run)
            assert run["failed"] == run.get("missing", 0) == 0, (way, run)
            for kind in set(run) & set(kinds):
                assert_distribution(run[kind], (way, kind))
        assert runs[0]["due"]["max"] >= runs[0]["call"]["p50"], "since due is at least the call"
        if has_lines:
            assert runs[2]["landed"]["max"] >= runs[2]["landed"]["p50"] > 0, way
        assert found["medians"][way]["call"]["p50"] > 0, way


def test_an_unknown_way_is_refused(folder):
    result = subprocess.run([ROOT / "bench" / "latency.py", "pigeon"], capture_output=True,
                            text=True, timeout=20, check=False)
    assert result.returncode == 2 and "there are memcpy" in result.stderr


@pytest.mark.skipif(not (BENCH / "bench-queue-hold").exists(), reason="no benchmark library")
@pytest.mark.skipif(os.environ.get("YARDER_IO") == "epoll", reason="no loop takes part: once")
def test_the_leaves(folder):
    """A table of three programs: calls of the library, appends, the hold; ratios to memcpy."""
    figures = folder / "leaves.json"
    result = subprocess.run(
        [ROOT / "bench" / "leaves.py", "client", "ring", "queue", "--runs", "1", "--seconds",
         "0.001", "--filter", "bytes:200|commit", "--json", figures, "--markdown"],
        capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0 and not result.stderr, result.stdout + result.stderr
    leaves = {(one["program"], one["leaf"]): one
              for one in json.loads(figures.read_text())["leaves"]}
    for one in (("client-call", "log_bytes/bytes:200"), ("ring-append", "append/rseq/bytes:200"),
                ("queue-hold", "hand_over/bytes:200/records:256")):
        assert leaves[one]["bytes"] == 200 and leaves[one]["ns"] > 0, one
        assert leaves[one]["x_memcpy"] > 0 and f"| {' '.join(one)} |" in result.stdout
    assert leaves["queue-hold", "commit/outputs:4"]["x_memcpy"] is None
