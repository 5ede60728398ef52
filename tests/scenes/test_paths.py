# SPDX-License-Identifier: Apache-2.0
"""Files whose paths are made of what records say: each record in its own, whatever it says."""
import grp
import os
import pwd
import random
import stat
import threading
import time

import pytest

from harness import ledger, senders
from harness.audit import audit, make
from harness.wait import wait_until

SETTLE_SECONDS = 20


def syslog(host, tag, text):
    return b"<14>Nov 21 04:05:06 %s %s: %s" % (host, tag, text)


def rfc5424(host, tag, text):
    return b"<14>1 2026-11-21T04:05:06.123456Z %s %s 77 - - %s" % (host, tag, text)


def below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_hostile_hosts_and_tags_stay_in_the_folder(yarder, folder):
    """No name leads out of the folder, none is empty, and no record is lost for its name."""
    one = yarder("input = unix:{folder}/in,parse=syslog\n"
                 "output = all file:{folder}/a/b/c/logs/${host}/${tag}.log\n")
    before = set(below(folder))
    hosts = [b"../../x", b"..", b".", b"/etc/passwd", b"a/b", b"h" * 10_000, b"-rf", b"$(id)",
             b"${tag}", b"%n%n", b"\xff\xfe", b"\xe6\x97\xa5", b"nul\0nul", b"con:1", b"-", b"a\tb"]
    made = [form(host, tag, b"text") for form in (syslog, rfc5424) for host in hosts
            for tag in (b"app", b"../../../y", b"t" * 200, b"\0", b"-")]
    made += [b"<14>", b"", b"<14>1 - - - - - -", b"<14>: no tag", b"\0\0\0", b"<999>x"]
    with senders.unix_datagram(folder / "in") as sender:
        for datagram in made:
            sender.send(datagram)
    told = len([datagram for datagram in made if datagram])  # an empty datagram says nothing
    status = ledger.wait_settled(one, told, SETTLE_SECONDS)
    assert ledger.lost(status) == 0
    new = [path for path in below(folder) if path not in before]
    assert all(path.startswith("a/b/c/logs/") and path.count("/") == 5 for path in new), new
    assert sum(1 for path in new for _ in open(folder / path, "rb")) == told
    for path in new:
        for part in path.split("/")[4:]:
            assert part not in (".", "..", ".log") and len(os.fsencode(part)) <= 68, path


@pytest.mark.parametrize("most_open", [1, 2, 5])
@pytest.mark.parametrize("on_full", ["block", "drop-newest"])
def test_more_hosts_than_open_files(yarder, folder, most_open, on_full):
    """Files are closed and opened in turn: slow with one, but each record finds its file."""
    hosts, each = 20, 50
    one = yarder("input = unix:{folder}/in,parse=syslog,socket=stream,framing=lf\n"
                 "output = all file:{folder}/logs/${host}/all,max-open=%d,on-full=%s\n"
                 % (most_open, on_full))
    order = random.Random(7)
    with senders.unix_stream(folder / "in") as sender:
        for number in range(each):
            for host in order.sample(range(hosts), hosts):
                sender.send(syslog(b"host%d" % host, b"app", make(f"s{host}", number)))
    status = ledger.wait_settled(one, hosts * each, SETTLE_SECONDS)
    assert ledger.lost(status) == 0
    for host in range(hosts):
        audit([folder / "logs" / f"host{host}" / "all"], {f"s{host}": each}).assert_clean()
    assert len(os.listdir(f"/proc/{one.worker_pids()[0]}/fd")) < 40 + 2 * most_open
    assert one.stderr().count("written by another") == 0, one.stderr()


def test_many_hosts_over_worker_kills(yarder, folder):
    """All records in the right file exactly once, with files closed, opened and workers killed."""
    hosts, bursts, burst = 30, 40, 200
    one = yarder("input = ring\n"
                 "output = all file:{folder}/logs/${field.host}/all,max-open=8,idle-close=50ms,"
                 "on-full=block\n")
    sent = [0] * hosts

    def send(part):
        order = random.Random(part)
        for _ in range(bursts):
            host = order.randrange(part * 10, part * 10 + 10)
            lines = [make(f"s{host}", sent[host] + number).decode() for number in range(burst)]
            one.cli("send", "--block", "--field", f"host=host{host}", "--quiet", "--stdin-lines",
                    input="\n".join(lines) + "\n")
            sent[host] += burst

    producers = [threading.Thread(target=send, args=(part,)) for part in range(3)]
    for producer in producers:
        producer.start()
    kills = 0
    while any(producer.is_alive() for producer in producers):
        one.kill_worker()
        kills += 1
    status = ledger.wait_settled(one, sum(sent), SETTLE_SECONDS)
    print(f"{kills} kills, {sum(sent)} records")
    assert kills > 3 and ledger.lost(status) == 0
    for host in range(hosts):
        if sent[host] > 0:
            path = folder / "logs" / f"host{host}" / "all"
            audit([path], {f"s{host}": sent[host]}).assert_clean()


def test_idle_files_are_closed(yarder, folder):
    """And opened again, at their end, by the next record; the day is in the path."""
    one = yarder("input = ring\n"
                 "output = all file:{folder}/${tag}.${time:%Y%m%d},idle-close=100ms\n")
    day = time.strftime("%Y%m%d")
    path = folder / f"app.{day}"

    def is_open():
        worker = f"/proc/{one.worker_pids()[0]}/fd"
        return any(os.path.realpath(f"{worker}/{fd}") == str(path) for fd in os.listdir(worker))

    for number in range(3):
        one.cli("send", "--tag", "app", "--quiet", make("a", number).decode())
        wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") == number + 1, 5,
                   "the record")
        wait_until(lambda: not is_open(), 5, "the file is closed")
    supervisor = f"/proc/{one.pid}/fd"
    assert not any(os.path.realpath(f"{supervisor}/{fd}") == str(path)
                   for fd in os.listdir(supervisor))
    ledger.wait_settled(one, 3, SETTLE_SECONDS)
    audit([path], {"a": 3}).assert_clean()


def test_mode_owner_group_and_folders(yarder, folder):
    """Exact, whatever the umask; a file that was there before is left as it was."""
    owner = ",owner=daemon,group=adm" if os.geteuid() == 0 else ""
    (folder / "old").write_text("before\n")
    (folder / "old").chmod(0o600)
    (folder / "missing").mkdir()
    one = yarder("input = ring\n"
                 f"output = new file:{{folder}}/a/b/c/new,mode=0666{owner}\n"
                 f"output = old file:{{folder}}/old,mode=0666{owner}\n"
                 "output = not file:{folder}/missing/${tag},mkdir=no,on-full=drop-newest\n")
    (folder / "missing").rmdir()
    one.cli("send", "--sequence", "a", "--count", "10", "--quiet")
    wait_until(lambda: ledger.named(one.status(), "old")["delivered"] == 10, 10, "delivery")
    new, old = (folder / "a/b/c/new").stat(), (folder / "old").stat()
    assert stat.S_IMODE(new.st_mode) == 0o666 and stat.S_IMODE(old.st_mode) == 0o600
    assert stat.S_IMODE((folder / "a/b").stat().st_mode) == 0o755
    if owner:
        assert pwd.getpwuid(new.st_uid).pw_name == "daemon"
        assert grp.getgrgid(new.st_gid).gr_name == "adm" and old.st_uid == 0
    one.wait_for_stderr("missing/yarder: open: No such file or directory", 10)
    missing = ledger.named(one.status(), "not")
    assert missing["held"] == 10 and missing["errors"] < 20, "it spins"
    (folder / "missing").mkdir()
    ledger.wait_settled(one, 10, SETTLE_SECONDS)
    for name in ("a/b/c/new", "missing/yarder"):
        audit([folder / name], {"a": 10}).assert_clean()


def test_a_host_that_is_called_like_another_file(yarder, folder):
    """A peer names itself so that its file is that of another output: its own records pay for it,
    and nobody else's."""
    one = yarder("input = unix:{folder}/in,parse=syslog\ninput = local unix:{folder}/local\n"
                 "output = all file:{folder}/all.log,input=local\n"
                 "output = hosts file:{folder}/${host}.log,input=unix:{folder}/in\n")
    wait_until((folder / "all.log").exists, SETTLE_SECONDS, "the other file")
    with senders.unix_datagram(folder / "in") as peer, \
            senders.unix_datagram(folder / "local") as local:
        for _ in range(10):
            peer.send(syslog(b"all", b"app", b"mine now"))
        for number in range(10):
            peer.send(syslog(b"web", b"app", b"%d" % number))
            local.send(b"%d" % number)
        status = ledger.wait_settled(one, 30, SETTLE_SECONDS)
    assert ledger.named(status, "hosts")["dropped"]["path"] == 10
    for name in ("all.log", "web.log"):
        assert (folder / name).read_text().split() == [str(number) for number in range(10)]


def test_a_name_that_leads_nowhere(yarder, folder):
    """The file is unlinked and its name becomes a loop: records wait for a name that leads to a
    file again, instead of going where nobody finds them."""
    one = yarder("input = unix:{folder}/in\noutput = all file:{folder}/all.log\n")
    path = folder / "all.log"
    with senders.unix_datagram(folder / "in") as sender:
        sender.send(b"first")
        ledger.wait_settled(one, 1, SETTLE_SECONDS)
        path.unlink()
        path.symlink_to("all.log")
        sender.send(b"second")
        one.wait_for_stderr("Too many levels of symbolic links", SETTLE_SECONDS)
        path.unlink()
        ledger.wait_settled(one, 2, SETTLE_SECONDS)
    assert path.read_text() == "second\n"
