# SPDX-License-Identifier: Apache-2.0
"""Curves, trouble and the tables of the document are made here in small."""
import json
import os
import shutil
import subprocess
import time

import pytest

from harness import mounts
from harness.daemon import ROOT, program

BENCH = program().parent / "bench"
NOT_HERE = 77
DOCUMENT = ROOT / "docs" / "performance.md"

built = pytest.mark.skipif(
    not all((BENCH / name).exists() for name in ("audit", "produce", "latency", "neighbour")),
    reason="the programs that measure are not built")


def measure(folder, name, *arguments, seconds=100):
    """What a program has written as JSON, and its result."""
    figures = folder / f"{name}.json"
    result = subprocess.run(
        [ROOT / "bench" / f"{name}.py", "--runs", "1", "--warm", "0", "--folder", folder, "--json",
         figures, *map(str, arguments)],
        capture_output=True, text=True, timeout=seconds, check=False)
    return json.loads(figures.read_text()) if figures.exists() else None, result


@built
@pytest.mark.seconds(110)
@pytest.mark.skipif(os.environ.get("YARDER_IO") == "epoll", reason="it takes a while: once")
def test_every_point_of_every_curve(folder):
    found, result = measure(folder, "curves", "--io", os.environ.get("YARDER_IO", "auto"),
                            "--count", "200", "--seconds", "0.05", "--svg", folder / "svg")
    assert result.returncode == 0, result.stdout + result.stderr
    points = {}
    for run in found["runs"]:
        points.setdefault(run["part"], []).append(run["x"])
        assert not any(count for what, count in run["audit"].items() if what != "records"), run
        assert run["audit"]["records"] > 0 and run["rate"] > 0, run
        assert run["cpu_seconds_per_million_with_sender"] > run["cpu_seconds_per_million"] > 0, run
    assert {part: (min(at), max(at)) for part, at in points.items()} == {
        "sizes": (50, 65536), "producers": (1, 64), "connections": (0, 2000),
        "patterns": (1, 1000), "outputs": (1, 16)}
    neighbours = {tuple(run["key"][1:]): run for run in found["neighbours"]}
    assert neighbours or "left out: neighbour" in result.stderr
    for key, run in neighbours.items():
        assert run["seconds"] > 0 and run["missing"] == 0, run
        assert (run["producer_cpu"] > 0) == (key[-1] not in ("alone", 0)), run
    if shutil.which("gnuplot") is not None:
        for part in points:
            assert (folder / "svg" / f"curves-{part}-cpu.svg").read_text().startswith("<?xml")
    assert not list(folder.glob("yarder-*")), "what runs made is gone"


@built
@pytest.mark.seconds(90)
def test_trouble(folder):
    """Small queues are full soon. What is not in the good file, its program was told of."""
    found, result = measure(folder, "trouble", "alone", "well", "default", "drop-newest", "--io",
                            os.environ.get("YARDER_IO", "auto"), "--rate", "50000", "--seconds",
                            "1", "--queue", "1M", seconds=80)
    if result.returncode == NOT_HERE:
        pytest.skip(result.stderr.strip())
    runs = {run["case"]: run for run in found["runs"]}
    assert set(runs) == {"alone", "well", "default", "drop-newest"}, result.stderr
    for name, run in runs.items():
        assert run["lost"] == run["failed"] == run["ring_lost"], run
        assert run["dropped"]["good"] == 0 and run["cpu_seconds_per_million"] > 0, run
        bad = {output for output, count in run["dropped"].items() if count}
        assert bad == ({"hanging", "slow"} if name in ("default", "drop-newest") else set()), run
    lost = any(run["lost"] for run in runs.values())
    assert result.returncode == (1 if lost else 0), result.stderr
    assert "| drop-newest | " in found["tables"]["trouble"]
    assert not list(folder.glob("yarder-*")), "what runs made is gone"


def test_the_slow_file_system_is_slow(folder):
    """And holds what was written; that hurries once it is told to."""
    with mounts.Slow(folder / "slow", 20_000) as slow:
        with open(slow.path / "file", "ab", buffering=0) as file:
            began = time.monotonic()
            file.write(b"a" * 10_000)
            assert time.monotonic() - began >= 0.5
            slow.hurry()
            began = time.monotonic()
            file.write(b"b" * 1_000_000)
            assert time.monotonic() - began < 40, "it would have taken 50 s"
        assert (slow.path / "file").read_bytes() == b"a" * 10_000 + b"b" * 1_000_000


def put_tables(document, *files):
    return subprocess.run([ROOT / "bench" / "tables.py", "--document", document, *files],
                          capture_output=True, text=True, timeout=20, check=False)


def write_found(path, **tables):
    path.write_text(json.dumps({"tables": tables, "command": "bench/x.py --runs 5",
                                "machine": "a machine", "date": "2026-11-21"}))
    return path


def test_tables_go_between_their_marks(folder):
    document = folder / "page.md"
    document.write_text("a\n<!-- one -->\nold\n\nold\n<!-- end one -->\nb\n<!-- two -->\n"
                        "<!-- end two -->\nc\n")
    result = put_tables(document, write_found(folder / "x.json", one=r"| \1 |"))
    made = "`bench/x.py --runs 5`; a machine; 2026-11-21."
    assert result.returncode == 0, result.stderr
    assert document.read_text() == (
        f"a\n<!-- one -->\n| \\1 |\n\n{made}\n<!-- end one -->\nb\n<!-- two -->\n"
        "<!-- end two -->\nc\n")
    before = document.read_text()
    result = put_tables(document, write_found(folder / "y.json", two="| 2 |", three="| 3 |"))
    assert result.returncode == 1 and "place for three" in result.stderr
    assert document.read_text() == before, "all or nothing"


def test_the_document_has_a_place_for_each_table(folder):
    names = ["endtoend", "compare", "latency-call", "latency-due", "latency-burst",
             "latency-landed", "trouble", "rest", *(
        f"curves-{part}" for part in ("sizes", "producers", "connections", "patterns", "outputs",
                                      "neighbour"))]
    copy = folder / "performance.md"
    shutil.copy(DOCUMENT, copy)
    found = write_found(folder / "all.json", **{name: f"| {name} |" for name in names})
    result = put_tables(copy, found)
    assert result.returncode == 0, result.stderr
    assert all(f"| {name} |\n\n`bench/x.py" in copy.read_text() for name in names)
