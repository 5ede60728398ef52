# SPDX-License-Identifier: Apache-2.0
"""The end-to-end figures are made here in small: every work runs, and its checker is no yes-man."""
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


def test_every_work_loses_nothing(folder):
    io = os.environ.get("YARDER_IO", "epoll")
    figures = folder / "figures.json"
    subprocess.run([ROOT / "bench" / "endtoend.py", "--runs", "1", "--count", "20000", "--io", io,
                    "--folder", folder, "--json", figures], check=True, timeout=50)
    runs = json.loads(figures.read_text())
    assert len(runs) == 7
    for run in runs:
        assert run["audit"] == {"records": 20000, "missing": 0, "twice": 0, "torn": 0,
                                "backward": 0}, run


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
