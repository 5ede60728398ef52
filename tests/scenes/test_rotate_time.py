# SPDX-License-Identifier: Apache-2.0
"""Files that the daemon itself puts aside: by the times of their records."""
import os
import socket
import subprocess
import time

import pytest

from harness import ledger, load
from harness.rotated import (CONFIG, SETTLE_SECONDS, STAMP, STAMPED, Producers, audit_all,
                             check_periods, files_of, lines_of, wait_rotations)
from harness.wait import wait_until

RATE = 20_000
PERIOD = "%Y-%m-%d_%H-%M-%S"

@pytest.mark.sanitize
def test_by_time(yarder, folder):
    """Records of four writers, each in the file of its own second."""
    one = yarder(CONFIG % STAMPED)
    with Producers(one, 4, RATE) as producers:
        wait_rotations(one, 4)
        counts = producers.end()
    ledger.wait_settled(one, sum(counts.values()), SETTLE_SECONDS)
    files = files_of(folder)
    assert len(files) >= 5
    check_periods(files)
    audit_all(files, counts, prefix=STAMP)


def syslog_line(at, text):
    return b"<14>1 %s here tag - - - %s\n" % (
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)).encode(), text.encode())


def test_late_records_find_their_file(yarder, folder):
    """By their own times: while the grace lasts, and no longer; a clock ahead moves nothing."""
    one = yarder("input = stream unix:{folder}/in,socket=stream,parse=syslog\n"
                 "output = all file:{folder}/all,format=${msg},rotate-when=H,rotate-utc=yes,"
                 "rotate-grace=2h\n")
    hour = int(time.time()) // 3600 * 3600
    names = [time.strftime("all.%Y-%m-%d_%H", time.gmtime(hour - 3600 * i)) for i in (1, 2)]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.connect(str(folder / "in"))

        def put(at, text, count):
            stream.sendall(syslog_line(at, text))
            ledger.wait_settled(one, count, SETTLE_SECONDS)

        put(hour - 3600 + 5, "first", 1)
        assert (folder / "all").read_text() == "first\n"
        put(hour + 1, "now", 2)
        put(hour - 1, "late", 3)
        put(hour - 3600, "later", 4)
        put(hour - 3601, "latest", 5)
        put(hour - 86400, "too late", 6)
        put(hour + 7 * 86400, "ahead", 7)
    assert (folder / names[0]).read_text() == "first\nlate\nlater\n"
    assert not (folder / names[1]).exists()
    assert (folder / "all").read_text() == "now\nlatest\ntoo late\nahead\n"


def test_by_time_and_size(yarder, folder):
    limit = 400_000
    one = yarder(CONFIG % f"rotate-size={limit},{STAMPED}")
    with Producers(one, 2, RATE) as producers:
        wait_rotations(one, 20)
        counts = producers.end()
    ledger.wait_settled(one, sum(counts.values()), SETTLE_SECONDS)
    files = files_of(folder)
    assert all(path.stat().st_size <= limit for path in files)
    for path in files:  # PERIOD, PERIOD.1, PERIOD.2 ...
        seconds = {line.split(b" ", 1)[0].decode() for line in lines_of(path)}
        assert len(seconds) == 1
        assert path.name == "all" or path.name.split(".")[1] in seconds
    audit_all(files, counts, prefix=STAMP)


def test_what_stands_there_from_before(yarder, folder):
    """A file whose last record is of an earlier period is put aside before the first of ours."""
    before = time.time() - 3 * 86400
    (folder / "all").write_text("old\n")
    os.utime(folder / "all", (before, before))
    one = yarder(CONFIG % "rotate-when=midnight,rotate-utc=yes")
    one.cli("send", "new")
    ledger.wait_settled(one, 1, SETTLE_SECONDS)
    name = time.strftime("all.%Y-%m-%d", time.gmtime(before))
    assert (folder / name).read_text() == "old\n" and (folder / "all").read_text() == "new\n"


def test_a_taken_name_is_not_overwritten(yarder, folder):
    now = int(time.time())
    taken = [time.strftime(f"all.{PERIOD}", time.localtime(now + i)) for i in range(30)]
    for name in taken:
        (folder / name).write_text("mine\n")
    one = yarder(CONFIG % "rotate-when=S")
    with load.RingProducer(one, "a", RATE) as producer:
        wait_rotations(one, 2)
        counts = producer.end()
    ledger.wait_settled(one, counts["a"], SETTLE_SECONDS)
    assert all((folder / name).read_text() == "mine\n" for name in taken)
    ours = [path for path in files_of(folder) if path.name not in taken]
    assert all(path.name == "all" or path.name.endswith(".1") for path in ours) and len(ours) >= 3
    audit_all(ours, counts)


@pytest.mark.parametrize("options", ["rotate-size=100K", STAMPED])
def test_failure_is_told_and_logging_goes_on(yarder, folder, options):
    """The folder takes no name: an immutable one, or one that is not ours."""
    logs = folder / "logs"
    logs.mkdir()
    config = (CONFIG % options).replace("{folder}/all", "{folder}/logs/all")
    (logs / "all").touch()
    locked = subprocess.run(["chattr", "+a", str(logs)], capture_output=True, check=False)
    if locked.returncode != 0:
        pytest.skip("no file system with an append-only attribute")
    try:
        one = yarder(config)
        with load.RingProducer(one, "a", RATE) as producer:
            wait_until(lambda: ledger.named(one.status(), "all")["rotation_failures"] >= 2, 20,
                       lambda: f"failures: {one.status()}")
            status = ledger.named(one.status(), "all")
            assert status["rotations"] == 0 and "cannot be rotated" in one.stderr()
            subprocess.run(["chattr", "-a", str(logs)], check=True)
            wait_rotations(one, 2)
            counts = producer.end()
    finally:
        subprocess.run(["chattr", "-a", str(logs)], check=True)
    ledger.wait_settled(one, counts["a"], SETTLE_SECONDS)
    assert one.stderr().count("cannot be rotated") == 1  # once a minute
    audit_all(files_of(logs), counts, prefix=STAMP if options == STAMPED else b"")
