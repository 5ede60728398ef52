# SPDX-License-Identifier: Apache-2.0
"""Commands under `yarder exec --preload`, and what of them came."""
import collections
import json
import subprocess

from harness import ledger, peers
from harness.daemon import program
from harness.wait import wait_until

SECONDS = 20
LIBRARY = program().parent / "engine/preload/libyarder-preload.so"
CONFIG = "input = ring\noutput = all file:{folder}/all,format=json\n"
PYTHON = "/usr/bin/python3"


class Log:
    """What a command wrote, once all of it has come."""

    def __init__(self, daemon, folder, command, status=0, shown=False, **options):
        self.daemon = daemon
        self.path = folder / "all"
        result = run(daemon, command, shown=shown, **options)
        assert result.returncode == status, result
        self.result = result
        self.records = settled(daemon, self.path)

    def texts(self, stream=None):
        """Without "pid 1", by which a program begins: beside the pipe's lines it is anywhere."""
        return [one["message"] for one in self.records
                if stream in (None, one.get("stream")) and not one["message"].startswith("pid ")]

    def by_ring(self):
        """Those of a region of the program's own."""
        pids = {one["message"].split()[1] for one in self.records
                if one["message"].startswith("pid ")}
        return [one["message"] for one in self.records if str(one["pid"]) in pids]


def run(daemon, command, shown=False, **options):
    tee = [] if shown else ["--no-tee"]
    return subprocess.run(daemon.cli_command("exec", "--preload", *tee, "--", *map(str, command)),
                          capture_output=True, text=True, timeout=SECONDS, check=False, **options)


def settled(daemon, path):
    """Nothing comes any more: no process but the wrapper's was left, and all is in the file."""
    def quiet():
        status = daemon.status()
        return status["ring_clients"] == 0 and ledger.held(status) == 0

    wait_until(quiet, SECONDS, lambda: f"quiet: {daemon.status()}")
    ledger.assert_balanced(daemon.status())
    assert ledger.lost(daemon.status()) == 0
    return [json.loads(line) for line in path.read_text().splitlines()]


def numbered(name, count):
    return [f"{name} {number}" for number in range(count)]


def compiled(folder, name, text, *options):
    source = folder / f"{name}.cc"
    source.write_text(text)
    path = folder / name
    subprocess.run([peers.need("g++"), "-o", str(path), str(source), *options], check=True)
    return path


def assert_same(found, wanted):
    assert collections.Counter(found) == collections.Counter(wanted)
