# SPDX-License-Identifier: Apache-2.0
"""The end-to-end figures are made here in small: every work runs, and its checker is no yes-man."""
import importlib
import json
import os
import subprocess

import pytest

from harness import audit
from harness.daemon import ROOT, program

pytestmark = pytest.mark.skipif(not (program().parent / "bench" / "audit").exists(),
                                reason="the checker is not built")


def check(*arguments):
    result = subprocess.run([program().parent / "bench" / "audit", *map(str, arguments)],
                            check=True, capture_output=True, text=True, timeout=20)
    return json.loads(result.stdout)


@pytest.mark.seconds(90)
def test_every_work_loses_nothing(folder):
    io = os.environ.get("YARDER_IO", "epoll")
    figures = folder / "figures.json"
    result = subprocess.run(
        [ROOT / "bench" / "endtoend.py", "--all", "--runs", "1", "--warm", "0", "--count", "20000",
         "--io", io, "--folder", folder, "--json", figures], check=True, timeout=80,
        capture_output=True, text=True)
    runs = json.loads(figures.read_text())["runs"]
    inputs = ("ring", "tcp", "tcp-syslog", "udp", "udp-trains", "unix", "unix-stream", "stdin",
              "exec")
    assert {run["work"] for run in runs} == {
        f"{name}-{where}" for name in inputs for where in ("file", "regex")} | {
        "ring-six", "tcp-syslog-100", "tcp-syslog-1000", "tcp-syslog-100-some",
        "tcp-syslog-1000-some"}
    for run in runs:
        assert run["audit"] == {"records": 20000, "missing": 0, "twice": 0, "torn": 0,
                                "backward": 0, "misplaced": 0}, run
        assert run["cpu_seconds_per_million_with_sender"] > run["cpu_seconds_per_million"] > 0
    with_base = [line for line in result.stdout.splitlines() if "  tcp-syslog-regex  " in line]
    assert len(with_base) == 4, result.stdout
    assert not list(folder.glob("yarder-*")), "what runs made is gone"


def test_a_record_in_the_wrong_file_is_seen(folder, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "bench")
    works = importlib.import_module("works")
    work = works.Work("", "", 0, files=(works.File("low", "01234"), works.File("high", "56789"),
                                        works.File("sevens", "7", apart=True)))
    lines = [audit.make("a", number) + b"\n" for number in range(20)]
    (folder / "low").write_bytes(b"".join(line for at, line in enumerate(lines) if at % 10 < 5))
    (folder / "high").write_bytes(b"".join(line for at, line in enumerate(lines) if at % 10 > 4))
    (folder / "sevens").write_bytes(lines[7] + lines[17])
    assert not any(count for what, count in works.check(work, folder, 20).items()
                   if what != "records")
    (folder / "sevens").write_bytes(lines[7] + lines[16])
    assert works.check(work, folder, 20)["misplaced"] == 2, "one too few, one too many"
    (folder / "high").write_bytes((folder / "high").read_bytes().replace(lines[8], b""))
    (folder / "low").write_bytes((folder / "low").read_bytes() + lines[8])
    assert works.check(work, folder, 20)["misplaced"] == 3


def test_the_checker_sees_what_is_wrong(folder):
    lines = [b"host " + audit.make("a-1", number) for number in range(20)]
    lines[3] = lines[2]
    lines[6], lines[7] = lines[7], lines[6]
    lines[9] = lines[9][:-1] + b"."
    lines.append(audit.make("a-2", 0))
    landing = folder / "landing"
    landing.write_bytes(b"\n".join(lines) + b"\n" + audit.make("a-0", 0))
    assert check("a", 2, 20, landing) == {"records": 20, "missing": 21, "twice": 1, "torn": 3,
                                          "backward": 1}
