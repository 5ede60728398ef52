# SPDX-License-Identifier: Apache-2.0
"""Processes that a test started, and those that they started: found, and ended, by identity."""
import os
import select
import signal
from pathlib import Path

END_SECONDS = 10


def started_at(pid):
    """When a process began, in ticks since boot; with the pid it names one process for good."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    state, *rest = stat[stat.rindex(")") + 2:].split()
    return None if state in "ZX" else int(rest[18])


def children(pid):
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            found += Path(f"/proc/{pid}/task/{task}/children").read_text().split()
    except OSError:
        pass  # it ended while being asked
    return [int(child) for child in found]


def descendants(pid):
    """{pid: start} of everything below pid."""
    found, waiting = {}, children(pid)
    while waiting:
        child = waiting.pop()
        start = started_at(child)
        if start is not None and child not in found:
            found[child] = start
            waiting += children(child)
    return found


def alive(processes):
    """Those of {pid: start} that still run."""
    return {pid: start for pid, start in processes.items() if started_at(pid) == start}


def end(processes):
    """SIGKILL to those of {pid: start} that still run; returns once they are gone."""
    for pid, start in processes.items():
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if started_at(pid) == start:  # asked with the handle open: it is the one meant
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                select.select([handle], [], [], END_SECONDS)
        except ProcessLookupError:
            pass
        finally:
            os.close(handle)
