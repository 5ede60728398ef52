# SPDX-License-Identifier: Apache-2.0
"""No leaf of a record's path may become dearer unseen: instructions, which no noise changes."""
import os
import shutil
import subprocess

import pytest

from harness.daemon import ROOT, program

NOT_COMPARABLE = 77


@pytest.mark.seconds(180)
@pytest.mark.skipif(not (program().parent / "bench" / "work").exists(), reason="it is not built")
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="there is no valgrind")
@pytest.mark.skipif(os.environ.get("YARDER_IO") == "epoll", reason="no loop takes part: once")
def test_no_leaf_takes_more_than_the_baseline_says():
    result = subprocess.run([ROOT / "bench" / "instructions.py"], capture_output=True, text=True)
    if result.returncode == NOT_COMPARABLE:
        pytest.skip(result.stdout)
    assert result.returncode == 0, result.stdout + result.stderr
