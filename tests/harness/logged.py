# SPDX-License-Identifier: Apache-2.0
"""What a daemon's one output has written, with format=json, into FOLDER/log."""
import json

from harness.wait import wait_until

SECONDS = 20


def lines(daemon):
    path = daemon.folder / "log"
    whole = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in whole]


def texts(daemon):
    return [line.get("message", "") for line in lines(daemon)]


def wait_lines(daemon, count):
    wait_until(lambda: len(lines(daemon)) >= count, SECONDS,
               lambda: f"{count} lines, not {len(lines(daemon))}: {daemon.stderr()}")
    return lines(daemon)
