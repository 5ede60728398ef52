# SPDX-License-Identifier: Apache-2.0
"""Files that the daemon itself puts aside: by size and when asked."""
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import threading

import pytest

from harness import audit, ledger, load
from harness.rotated import (CONFIG, SETTLE_SECONDS, STAMPED, Producers, audit_all, files_of,
                             number_of, numbered, rotations, wait_rotations)
from harness.wait import wait_until

RATE = 20_000

@pytest.mark.sanitize
def test_by_size(yarder, folder):
    """Four writers; the order is kept from the oldest file to the newest, none is too long."""
    limit = 300_000
    one = yarder(CONFIG % f"rotate-size={limit}")
    with Producers(one, 4, RATE) as producers:
        wait_rotations(one, 15)
        counts = producers.end()
    status = ledger.wait_settled(one, sum(counts.values()), SETTLE_SECONDS)
    files = numbered(folder)
    assert [number_of(path) for path in files[:-1]] == list(range(len(files) - 1, 0, -1))
    assert all(limit - 200 < path.stat().st_size <= limit for path in files[:-1]), files
    assert files[-1].stat().st_size <= limit
    audit.audit(files, counts).assert_clean()
    output = ledger.named(status, "all")
    assert output["rotations"] == len(files) - 1 and output["rotated_ns"] > 0
    assert output["moved"] == output["foreign"] == output["rotation_failures"] == 0


def test_a_record_longer_than_the_limit_has_a_file_of_its_own(yarder, folder):
    one = yarder("input = stream unix:{folder}/in,socket=stream\n" + (CONFIG % "rotate-size=1000"))
    texts = ["a" * 400, "b" * 5000, "c" * 999, "d", "e" * 998]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.connect(str(folder / "in"))
        for text in texts:
            stream.sendall(text.encode() + b"\n")
    ledger.wait_settled(one, len(texts), SETTLE_SECONDS)
    got = [path.read_text() for path in numbered(folder)]
    assert got == [f"{text}\n" for text in texts]


def test_on_command(yarder, folder):
    one = yarder("input = ring\noutput = all file:{folder}/all\n"
                 "output = other file:{folder}/other\n")
    one.cli("rotate")  # nothing stands there
    for number in range(3):
        one.cli("send", "--sequence", f"s{number}", "--count", "10", "--quiet")
        ledger.wait_settled(one, 10 * (number + 1), SETTLE_SECONDS)
        assert "asked; 1 output puts its files aside" in one.cli("rotate", "all").stdout
        wait_rotations(one, number + 1, 5)
        assert (folder / "all").stat().st_size == 0
    assert sorted(path.name for path in files_of(folder)) == ["all", "all.1", "all.2", "all.3"]
    for number, path in enumerate(numbered(folder)[:-1]):
        audit.audit([path], {f"s{number}": 10}).assert_clean()
    assert ledger.named(one.status(), "other")["rotations"] == 0
    refused = one.cli("rotate", "nobody", check=False)
    assert refused.returncode == 1 and "no output of that name has files" in refused.stderr


def test_by_signal(yarder, folder):
    one = yarder("input = ring\noutput = all file:{folder}/all\n")
    one.cli("send", "--sequence", "s", "--count", "10", "--quiet")
    ledger.wait_settled(one, 10, SETTLE_SECONDS)
    one.signal(signal.SIGRTMIN)
    wait_rotations(one, 1, 5)
    audit.audit([folder / "all.1"], {"s": 10}).assert_clean()
    assert (folder / "all").stat().st_size == 0


@pytest.mark.parametrize("touch", ["rotate-touch", "uwsgi"])
def test_touch(yarder, folder, touch):
    """What is there at the start asks for nothing; a touch does, and so does appearing."""
    first, second = folder / "first", folder / "second"
    first.touch()
    lines = {"rotate-touch": CONFIG % f"rotate-touch={first},rotate-touch={second}",
             "uwsgi": "input = ring\n[uwsgi]\nlogto = {folder}/all\n"
                      f"touch-logrotate = {first}\ntouch-logrotate = {second}\n"}
    one = yarder(lines[touch])

    def count():
        return one.status()["outputs"][0]["rotations"]

    one.cli("send", "one")
    ledger.wait_settled(one, 1, SETTLE_SECONDS)
    one.kill_worker()  # the next one knows what was seen
    assert count() == 0
    wait_until(lambda: (os.utime(first), count() == 1)[1], 10, "the first rotation")
    one.cli("send", "two")
    ledger.wait_settled(one, 2, SETTLE_SECONDS)
    second.touch()
    wait_until(lambda: count() == 2, 10, "the second rotation")
    assert len(files_of(folder)) == 3
    names = sorted(path.name for path in files_of(folder))
    if touch == "uwsgi":
        assert re.fullmatch(r"all\.\d{10}(\.1)?", names[1]), names
    else:
        assert names == ["all", "all.1", "all.2"]


def test_touch_reopens(yarder, folder):
    (folder / "touch").touch()
    one = yarder(CONFIG % "reopen-touch={folder}/touch")
    one.cli("send", "one")
    ledger.wait_settled(one, 1, SETTLE_SECONDS)
    (folder / "all").rename(folder / "moved")
    wait_until(lambda: (os.utime(folder / "touch"), (folder / "all").exists())[1], 10, "the file")
    assert ledger.named(one.status(), "all")["rotations"] == 0


def test_uwsgi_sizes(yarder, folder):
    """log-maxsize, log-backupname, logfile-chmod; and file:logfile=... of a logger."""
    one = yarder("input = ring\n[uwsgi]\nlogto = {folder}/all\nlog-maxsize = 50000\n"
                 "log-backupname = {folder}/backup\nlogfile-chmod = 604\n"
                 "logger = own file:logfile={folder}/own,maxsize=40000\n"
                 "log-route = own ^a \n")
    one.cli("send", "--sequence", "a", "--count", "2000", "--size", "100", "--quiet", "--block")
    one.cli("send", "--sequence", "b", "--count", "2000", "--size", "100", "--quiet", "--block")
    ledger.wait_settled(one, 4000, SETTLE_SECONDS)
    backups = files_of(folder, "backup")
    assert {"backup", "backup.1"} <= {path.name for path in backups}  # nothing is overwritten
    fallback = [*backups, folder / "all"]
    assert all(path.stat().st_size <= 50000 and stat.S_IMODE(path.stat().st_mode) == 0o604
               for path in fallback)
    own = files_of(folder, "own")
    assert all(re.fullmatch(r"own(\.\d{10}(\.\d+)?)?", path.name) for path in own) and len(own) > 4
    audit_all([*fallback, *own], {"a": 2000, "b": 2000})


def test_mode_and_owner_stay(yarder, folder):
    (folder / "all").write_text("")
    (folder / "all").chmod(0o606)
    if os.getuid() == 0:
        os.chown(folder / "all", 12, 34)
    before = (folder / "all").stat()
    one = yarder(CONFIG % "mode=0600")
    one.cli("send", "one")
    ledger.wait_settled(one, 1, SETTLE_SECONDS)
    one.cli("rotate")
    wait_rotations(one, 1, 5)
    for name in ("all", "all.1"):
        after = (folder / name).stat()
        assert (after.st_mode, after.st_uid, after.st_gid) == (
            before.st_mode, before.st_uid, before.st_gid)
    assert (folder / "all").stat().st_ino != before.st_ino


def test_a_link_is_followed(yarder, folder):
    (folder / "elsewhere").mkdir()
    (folder / "all").symlink_to(folder / "elsewhere" / "real")
    one = yarder(CONFIG % "rotate-size=100K,compress=gzip")
    with load.RingProducer(one, "a", RATE) as producer:
        wait_rotations(one, 3)
        counts = producer.end()
    ledger.wait_settled(one, counts["a"], SETTLE_SECONDS)
    assert (folder / "all").is_symlink()
    wait_until(lambda: all(path.suffix == ".gz" or path.name == "real"
                           for path in (folder / "elsewhere").iterdir()), SETTLE_SECONDS, "gzip")
    audit_all((folder / "elsewhere").iterdir(), counts)


def test_paths_with_variables(yarder, folder):
    """Each file by itself."""
    one = yarder("input = ring\n"
                 "output = all file:{folder}/logs/${tag}.log,rotate-size=60K,keep=50\n")
    threads = [threading.Thread(target=one.cli, args=(
        "send", "--tag", f"t{i}", "--sequence", f"t{i}", "--count", "3000", "--size", "100",
        "--quiet", "--block")) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.wait_settled(one, 12000, SETTLE_SECONDS)
    for i in range(4):
        files = files_of(folder / "logs", f"t{i}")
        assert len(files) >= 5 and all(path.stat().st_size <= 60 << 10 for path in files)
        audit_all(files, {f"t{i}": 3000})


def test_reload_in_the_middle(yarder, folder):
    """With what is asked for changing on the way: size, then time, then neither."""
    one = yarder(CONFIG % "rotate-size=200K")
    with Producers(one, 2, RATE) as producers:
        for options in (STAMPED, "rotate-size=300K,rotate-names=dates", STAMPED,
                        "rotate-touch={folder}/x", "rotate-size=200K"):
            wait_until(lambda: rotations(one) > 0, SETTLE_SECONDS, "a rotation")
            for _ in range(2):
                one.write_config(CONFIG % options)
                one.cli("reload")
        counts = producers.end()
    ledger.wait_settled(one, sum(counts.values()), SETTLE_SECONDS)
    audit_all(files_of(folder), counts, prefix=rb"(?:[-_0-9]+ )?")


def test_logrotate_beside_it(yarder, folder):
    program = shutil.which("logrotate", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("logrotate is not installed")
    config, state = folder / "logrotate.conf", folder / "logrotate.state"
    config.write_text(f"{folder}/all {{\n{'su root root' if os.getuid() == 0 else ''}\n"
                      f"rotate 100\ncreate 0640\nolddir {folder}/old\n}}\n")
    config.chmod(0o644)
    (folder / "old").mkdir()
    one = yarder(CONFIG % "rotate-size=150K")
    with load.RingProducer(one, "a", RATE) as producer:
        for turn in range(8):
            wait_rotations(one, 2 * turn + 1)
            subprocess.run([program, "--force", "--state", str(state), str(config)], check=True,
                           timeout=20)
        counts = producer.end()
    ledger.wait_settled(one, counts["a"], SETTLE_SECONDS)
    assert ledger.named(one.status(), "all")["moved"] >= 5
    audit_all([*files_of(folder), *(folder / "old").iterdir()], counts)
