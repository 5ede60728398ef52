# SPDX-License-Identifier: Apache-2.0
"""`yarder run` as a filter: lines of standard input to standard output, until they end."""
import os
import subprocess

import pytest

from harness.daemon import program
from harness.wait import wait_until

SECONDS = 20
RING = "input = ring\noutput = all file:{folder}/all.log\n"


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("options", [[], ["--output", "stdio:"]], ids=["bare", "output"])
def test_filters_run_beside_a_daemon(yarder, folder, options):
    """They want no run directory that anybody else has, and leave none behind."""
    one = yarder(RING)
    (folder / "tmp").mkdir()
    environment = {"TMPDIR": str(folder / "tmp"), "XDG_RUNTIME_DIR": ""}
    with subprocess.Popen(
            [str(program()), "run", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, **environment, "YARDER_RUN_DIR": str(one.run_dir)}) as first:
        first.stdin.write(b"one\n")
        first.stdin.flush()
        assert first.stdout.readline() == b"one\n"
        second = subprocess.run(
            [str(program()), "run", *options], input=b"two\nthree\n", capture_output=True,
            env={**os.environ, **environment, "YARDER_RUN_DIR": str(one.run_dir)}, check=False,
            timeout=SECONDS)
        assert (second.returncode, second.stdout) == (0, b"two\nthree\n"), second
        assert len(leftovers(folder / "tmp")) == 1, "the first one's"
        first.stdin.close()
        first.stdin = None
        assert first.wait(SECONDS) == 0
    assert leftovers(folder / "tmp") == []
    one.cli("send", "x")
    log = folder / "all.log"
    wait_until(lambda: log.exists() and log.read_text() == "x\n", SECONDS, "the daemon's record")
