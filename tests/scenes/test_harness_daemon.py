# SPDX-License-Identifier: Apache-2.0
"""The harness's Yarder against a program that misbehaves on demand: no unclean end passes."""
import sys

import pytest

from harness import processes
from harness.daemon import Yarder

# Its configuration holds the misdeeds as words.
PRETENDER = """#!{python}
import json, os, signal, socket, subprocess, sys

command, arguments = sys.argv[1], sys.argv[2:]
if command == "status":
    held = 1 if "unbalanced" in open("yarder.conf").read() else 0
    print(json.dumps(dict(inputs=[], outputs=[], router=dict(
        accepted=held, joined=0, filtered={{}}, unmatched=0, routed=0))))
    sys.exit(4)

misdeeds = open(arguments[0]).read().split()
assert arguments[1:5] == ["--run-dir", os.getcwd() + "/run", "--state-dir", os.getcwd() + "/state"]
if "ends" in misdeeds:
    sys.exit("configuration: no")
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
for name in ("sleeper", "orphan"):
    if name in misdeeds:
        subprocess.Popen(["sleep", "300"], start_new_session=name == "orphan")
if "sanitizer" in misdeeds:
    print("==1==ERROR: AddressSanitizer: heap-use-after-free", file=sys.stderr, flush=True)
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.connect(os.environ["NOTIFY_SOCKET"])
notify.send(b"STATUS=opening")
notify.send(b"STATUS=open\\nREADY=1")
signal.sigwait([signal.SIGTERM])
while "deaf" in misdeeds:
    signal.pause()
sys.exit(3 if "status" in misdeeds else 0)
"""


@pytest.fixture
def pretender(folder, monkeypatch):
    program = folder / "yarder"
    program.write_text(PRETENDER.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("YARDER_BUILD", str(folder))
    monkeypatch.chdir(folder)
    return lambda misdeeds: Yarder(folder, misdeeds)


def test_clean_end(pretender):
    with pretender("none") as yarder:
        assert yarder.status()["inputs"] == []
    assert yarder.process.returncode == 0


def test_end_before_ready_is_told(pretender):
    with pytest.raises(AssertionError, match="ended with 1:\nconfiguration: no"):
        pretender("ends").start()


@pytest.mark.parametrize("misdeed, told", [
    ("status", "ended with 3"),
    ("sanitizer", "AddressSanitizer"),
    ("unbalanced", "router: accepted = joined"),
    ("sleeper", "left running"),
    ("orphan", "left running"),
])
def test_unclean_end_is_told(pretender, misdeed, told):
    yarder = pretender(misdeed).start()
    try:
        with pytest.raises(AssertionError, match=told):
            yarder.stop()
    finally:
        yarder.kill()


def test_deaf_one_is_killed(pretender):
    yarder = pretender("deaf sleeper").start()
    below = processes.descendants(yarder.pid)
    with pytest.raises(AssertionError, match="no end 1 s after"):
        yarder.stop(seconds=1)
    assert below and not processes.alive(below)


def test_trouble_in_the_scene_kills(pretender):
    with pytest.raises(ZeroDivisionError):
        with pretender("orphan") as yarder:
            below = processes.descendants(yarder.pid)
            raise ZeroDivisionError
    assert below and not processes.alive(below)
