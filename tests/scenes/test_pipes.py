# SPDX-License-Identifier: Apache-2.0
"""A program that writes each line by a call of its own is read many lines at once."""
from pathlib import Path

from harness import ledger

SECONDS = 20
COUNT = 300_000
CONFIG = """\
output = file:{folder}/log
[input program]
type = exec
restart = never
to = {folder}/lines
"""
LINES = f"""/usr/bin/python3 -c 'import os
for _ in range({COUNT}): os.write(1, b"%99d\\n" % 7)'; exec sleep 1000"""


def reads(pid):
    """Calls of read(2) and its kind; each intake of a pipe has one."""
    return int(Path(f"/proc/{pid}/io").read_text().split("syscr: ")[1].split()[0])


def test_a_line_each_call_is_not_a_read_each_line(yarder, folder):
    program = folder / "lines"
    program.write_text("#!/bin/sh\n" + LINES)
    program.chmod(0o755)
    daemon = yarder(CONFIG)
    (worker,) = daemon.worker_pids()
    ledger.wait_settled(daemon, COUNT, SECONDS)
    assert reads(worker) < COUNT / 50
    assert (folder / "log").stat().st_size == 100 * COUNT
