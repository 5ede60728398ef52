# SPDX-License-Identifier: Apache-2.0
"""Others lay hands on our file: logrotate, a rename, an unlink, a process that appends to it."""
import os
import re
import shutil
import subprocess
import time

import pytest

from harness import audit, follow, ledger, load
from harness.wait import wait_until

SETTLE_SECONDS = 20
RATE = 20_000
CONFIG = "input = ring\noutput = all file:{folder}/all%s\n"


@pytest.fixture
def logrotate(folder):
    """Runs Debian's logrotate now, with these lines for the file."""
    program = shutil.which("logrotate", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("logrotate is not installed")
    config, state = folder / "logrotate.conf", folder / "logrotate.state"

    def rotate(*lines):
        config.write_text("\n".join([f"{folder}/all {{", "su root root" if os.getuid() == 0 else "",
                                     "rotate 100", *lines, "}", ""]))
        config.chmod(0o644)
        subprocess.run([program, "--force", "--state", str(state), str(config)], check=True,
                       timeout=20)

    return rotate


def rotated(folder):
    """all.12 ... all.1, all: oldest first."""
    old = sorted(folder.glob("all.[0-9]*"), key=lambda path: -int(path.suffix[1:]))
    return [*old, folder / "all"]


def grows(path, least=20_000):
    wait_until(lambda: path.exists() and path.stat().st_size > least, 10, f"{path} grows")


@pytest.mark.parametrize("how", ["", "nocreate", "usr1", "reopen"])
def test_logrotate_by_rename(yarder, folder, logrotate, how):
    """Also when nobody tells the daemon: each batch looks whether the path still names its file."""
    one = yarder(CONFIG % "")
    told = {"usr1": f"kill -USR1 {one.pid}",
            "reopen": " ".join(map(str, one.cli_command("reopen"))), }.get(how)
    with load.RingProducer(one, "a", RATE) as producer:
        for _ in range(6):
            grows(folder / "all")
            logrotate("nocreate" if how == "nocreate" else "create 0640",
                      *(["postrotate", told, "endscript"] if told else []))
        grows(folder / "all")
        counts = producer.end()
    status = ledger.wait_settled(one, counts["a"], SETTLE_SECONDS)
    files = rotated(folder)
    assert len(files) == 7 and ledger.named(status, "all")["moved"] == 6
    audit.audit(files, counts).assert_clean()
    assert all(path.read_bytes().endswith(b"\n") for path in files)


def test_reopen_makes_an_idle_file_anew(yarder, folder, logrotate):
    """Nobody waits for the next record to see the new file."""
    one = yarder(CONFIG % "")
    one.cli("send", "--sequence", "a", "--count", "10", "--quiet")
    ledger.wait_settled(one, 10, SETTLE_SECONDS)
    (folder / "all").rename(folder / "all.1")
    one.cli("reopen")
    wait_until((folder / "all").exists, 5, "the new file")
    one.cli("send", "--sequence", "b", "--count", "10", "--quiet")
    ledger.wait_settled(one, 20, SETTLE_SECONDS)
    audit.audit([folder / "all.1"], {"a": 10}).assert_clean()
    audit.audit([folder / "all"], {"b": 10}).assert_clean()


def test_logrotate_by_copytruncate(yarder, folder, logrotate):
    """What stands between the copy and the cut is the cutter's loss; nothing else is lost."""
    one = yarder(CONFIG % "")
    with load.RingProducer(one, "a", RATE) as producer:
        for _ in range(6):
            grows(folder / "all")
            logrotate("copytruncate")
        grows(folder / "all")
        counts = producer.end()
    status = ledger.wait_settled(one, counts["a"], SETTLE_SECONDS)
    output = ledger.named(status, "all")
    assert 1 <= output["cut"] <= 6 and ledger.lost(status) == 0
    files = rotated(folder)
    assert not any(b"\0" in path.read_bytes() for path in files)
    found = audit.Audit(counts)
    for path in files:
        found.file(path)
    report = found.report()
    print(f"between copy and cut: {report.missing} of {counts['a']}, {report}")
    # Each cut can leave half a record on either side, in the copy and in the file.
    report.assert_clean(missing=report.missing, torn=12, twice=output["uncertain"])
    assert found.holes()["a"] <= 6


def test_unlinked_file_is_made_again(yarder, folder):
    one = yarder(CONFIG % "")
    with load.RingProducer(one, "a", RATE) as producer, follow.Follower(folder / "all") as follower:
        for _ in range(5):
            grows(folder / "all")
            follower.look_now()
            os.unlink(folder / "all")
        grows(folder / "all")
        counts = producer.end()
        ledger.wait_settled(one, counts["a"], SETTLE_SECONDS)
        follower.wait_for_lines(counts["a"], SETTLE_SECONDS)
    follower.assert_untouched()
    audit.Audit(counts).lines(follower.lines()).report().assert_clean()


class Appender(load._Background):
    """Another process's hand: whole lines with O_APPEND, again and again."""

    def __init__(self, path, pause):
        super().__init__()
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        self.pause = pause
        self.written = 0

    def step(self):
        os.write(self.fd, audit.make("foreign", self.written) + b"\n")
        self.written += 1
        time.sleep(self.pause)

    @property
    def counts(self):
        os.close(self.fd)
        return {"foreign": self.written}


def untangled(path):
    """How often a torn piece of ours stands before a stranger's line; the lines without those."""
    lines = []
    for line in path.read_bytes().splitlines(keepends=True):
        lines += re.split(rb"(?<=.)(?=foreign \d)", line)
    pieces = [line for line in lines if not line.endswith(b"\n")]
    return len(pieces), [line for line in lines if line.endswith(b"\n")]


# Where successive workers die: at the third write and so on, or in the recovery after that.
POINTS = ["before-write:3", "partial-write:3", "compared:1", "after-write:3", "submitted:9"] * 12


@pytest.mark.parametrize("kills", ["never", "at random", "at places"])
def test_foreign_lines_in_our_file(yarder, folder, kills):
    """Ours are there whole and once, the stranger's too; a kill may leave a torn piece of ours."""
    placed = {"YARDER_CRASH_POINT": ",".join(POINTS)}
    (folder / "all").touch()
    with Appender(folder / "all", 0.00002) as stranger:
        one = yarder(CONFIG % "", environment=placed if kills == "at places" else None)
        with load.RingProducer(one, "a", 10 * RATE) as producer:
            for _ in range(40 if kills == "at random" else 0):
                grows(folder / "all", (folder / "all").stat().st_size)
                one.kill_worker()
            wait_until(lambda: stranger.written >= 5000, 20, "the stranger's lines")
            if kills == "at places":
                wait_until(lambda: one.status()["workers_crashed"] == len(POINTS), 20,
                           "the deaths")
            counts = {**producer.end(), **stranger.end()}
        status = ledger.wait_settled(one, counts["a"], SETTLE_SECONDS)
    output = ledger.named(status, "all")
    torn, lines = untangled(folder / "all")
    report = audit.Audit(counts).lines(lines).report()
    crashed = status["workers_crashed"]
    print(f"kills {kills}: {crashed}, {torn} pieces: {counts}, {output}, {report}")
    report.assert_clean()
    assert torn <= status["workers_crashed"]
    assert output["foreign"] > 10 and ledger.lost(status) == 0 and output["uncertain"] == 0


def test_second_daemon_is_told_by_whom(yarder, folder):
    """It waits with its records, says who writes, and goes on when the other one has left."""
    first = yarder(CONFIG % "")
    first.cli("send", "--sequence", "a", "--count", "10", "--quiet")
    ledger.wait_settled(first, 10, SETTLE_SECONDS)
    second = yarder(f"input = ring\noutput = all file:{folder}/all\n", name="second")
    second.cli("send", "--sequence", "b", "--count", "10", "--quiet")
    second.wait_for_stderr("is written by another process (pid ", 10)
    told = int(second.stderr().split("(pid ")[1].split(")")[0])
    assert told in (first.pid, *first.worker_pids())
    assert ledger.named(second.status(), "all")["held"] == 10
    first.stop()
    ledger.wait_settled(second, 10, SETTLE_SECONDS)
    audit.audit([folder / "all"], {"a": 10, "b": 10}).assert_clean()
