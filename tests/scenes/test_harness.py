# SPDX-License-Identifier: Apache-2.0
"""The instruments themselves: each planted fault is reported, and order is reported as order."""
import os
import socket
import subprocess
import sys

import pytest

from harness import audit, ledger, processes, receivers, senders
from harness.follow import Follower
from harness.wait import free_port, wait_until


def records(source, count, size=60):
    return [audit.make(source, number, size) + b"\n" for number in range(count)]


def report(lines, expected, **options):
    return audit.Audit(expected, **options).lines(lines).report()


def kinds(one):
    return {name: getattr(one, name)
            for name in ("missing", "twice", "torn", "out_of_order", "strangers")
            if getattr(one, name)}


@pytest.mark.parametrize("size", [0, 30, 100, 65000])
def test_record_has_its_size(size):
    made = audit.make("s", 7, size)
    assert len(made) == max(size, len("s 7 12345678 "))
    report([made + b"\n"], {}).assert_clean(strangers=1)


def test_whole_and_interleaved():
    a, b = records("a", 50), records("b", 50)
    mixed = [line for pair in zip(a, b) for line in pair]
    one = report(mixed, {"a": 50, "b": 50})
    one.assert_clean()
    assert one.records == 100


def test_missing():
    lines = records("a", 10)
    del lines[9], lines[3]
    one = report(lines, {"a": 10, "b": 1})
    assert kinds(one) == {"missing": 3}
    assert "missing: '2 of a, first 3'" in one.examples
    with pytest.raises(AssertionError, match="missing"):
        one.assert_clean(missing=2)
    one.assert_clean(missing=3)


def test_twice_and_late():
    lines = records("a", 10)
    assert kinds(report(lines + [lines[9]], {"a": 10})) == {"twice": 1}
    lines[3], lines[4] = lines[4], lines[3]
    assert kinds(report(lines, {"a": 10})) == {"out_of_order": 1}


@pytest.mark.parametrize("damage", [
    lambda line: line[:-1],                     # no newline, at the end of the file
    lambda line: line[:20] + b"\n",             # cut
    lambda line: line[:20] + line,              # half a record, then the whole in one line
    lambda line: line.replace(b"h", b"i"),      # changed
    lambda line: b"noise " + line,
    lambda line: b"\n",
])
def test_torn(damage):
    lines = records("a", 10)
    lines[9] = damage(lines[9])
    assert kinds(report(lines, {"a": 10})) == {"torn": 1, "missing": 1}


def test_stranger():
    lines = records("b", 1) + records("a", 2)
    assert kinds(report(lines, {"a": 1})) == {"strangers": 2}


def test_prefix_and_notes():
    lines = [b"<14>host app: " + line for line in records("a", 3)]
    lines.insert(1, b"(12 records lost)\n")
    options = {"prefix": rb"<\d+>host app: ", "let_pass": rb"\(\d+ records lost\)"}
    one = report(lines, {"a": 3}, **options)
    one.assert_clean()
    assert one.notes == [b"(12 records lost)"]
    assert kinds(report(records("a", 3), {"a": 3}, **options)) == {"torn": 3, "missing": 3}


def test_audit_of_rotated_files(folder):
    lines = records("a", 10)
    (folder / "log.1").write_bytes(b"".join(lines[:6]))
    (folder / "log").write_bytes(b"".join(lines[6:]))
    audit.audit([folder / "log.1", folder / "log"], {"a": 10}).assert_clean()
    assert kinds(audit.audit([folder / "log", folder / "log.1"], {"a": 10})) == {"out_of_order": 6}


def test_follower_through_renames(folder):
    path, lines = folder / "log", records("a", 900)
    with Follower(path) as follower:
        for at in range(3):
            with open(path, "ab", buffering=0) as log:
                for line in lines[at * 300:at * 300 + 200]:
                    log.write(line)
                os.rename(path, f"{path}.{at}")
                follower.look_now()
                for line in lines[at * 300 + 200:at * 300 + 300]:
                    log.write(line)  # a writer that has not noticed yet
        follower.wait_for_lines(900, seconds=10)
    follower.assert_untouched()
    report(follower.lines(), {"a": 900}).assert_clean()


def test_follower_sees_a_half_line_grow(folder):
    path, line = folder / "log", records("a", 1)[0]
    with Follower(path) as follower, open(path, "ab", buffering=0) as log:
        log.write(line[:10])
        wait_until(lambda: follower.lines() == [line[:10]], 10, "the half line")
        log.write(line[10:])
        follower.wait_for_lines(1, seconds=10)
    follower.assert_untouched()
    assert follower.lines() == [line]


@pytest.mark.parametrize("again", [0, 5, 40])
def test_follower_complains_of_a_cut(folder, again):
    """Shorter than before, or as long again with other bytes: both are seen."""
    path, lines = folder / "log", records("a", 60)
    with Follower(path) as follower:
        path.write_bytes(b"".join(lines[:20]))
        follower.wait_for_lines(20, seconds=10)
        with follower._lock:  # between two looks
            path.write_bytes(b"".join(lines[20:20 + again]))
    assert len(follower.complaints) == 1, follower.complaints
    assert ("shrank" in follower.complaints[0]) == (again < 20)
    assert len(follower.lines()) == 20 + again
    with pytest.raises(AssertionError):
        follower.assert_untouched()


BALANCED = {
    "inputs": [{"name": "in", "received": 10, "accepted": 7, "refused": {"long": 1, "rate": 2},
                "lost": {"kernel": 4, "ring": 0}}],
    "router": {"accepted": 7, "joined": 1, "filtered": {"drop": 1, "keep": 0}, "unmatched": 2,
               "routed": 3},
    "outputs": [{"name": "out", "copies": 5, "found": 1, "delivered": 2, "dropped": {"full": 1},
                 "dead": 1, "held": 2}],
}


def test_ledger():
    ledger.assert_balanced(BALANCED)
    assert (ledger.held(BALANCED), ledger.lost(BALANCED)) == (2, 5)
    assert ledger.named(BALANCED, "out")["copies"] == 5
    for part, counter in (("inputs", "received"), ("outputs", "held")):
        broken = {**BALANCED, part: [{**BALANCED[part][0], counter: 99}]}
        assert len(ledger.imbalances(broken)) == 1
    assert len(ledger.imbalances({**BALANCED, "router": {**BALANCED["router"], "routed": 4}})) == 1


@pytest.mark.parametrize("kind", ["tcp", "unix_stream", "unix_datagram", "udp"])
def test_senders_reach_receivers(folder, kind):
    inet = kind in ("tcp", "udp")
    with getattr(receivers, kind)(*(() if inet else (folder / "s",))) as receiver:
        address = receiver.port if inet else folder / "s"

        def send(source):
            with getattr(senders, kind)(address) as sender:
                sender.send_audited(source, 40)

        senders.at_once(lambda: send("a"), lambda: send("b"))
        receiver.wait_for_lines(80, seconds=10)
    report(receiver.lines(), {"a": 40, "b": 40}).assert_clean(
        out_of_order=0 if kind != "udp" else 80)


def test_receiver_pauses_and_resets():
    with receivers.tcp() as receiver, senders.tcp(receiver.port) as sender:
        sender.send(b"one")
        receiver.wait_for_lines(1, seconds=10)
        receiver.pause()
        sender.send(b"two")
        assert receiver.line_count() == 1
        receiver.resume()
        receiver.wait_for_lines(2, seconds=10)
        receiver.reset()
        with pytest.raises(ConnectionResetError):
            sender.socket.recv(1)


def test_at_once_raises():
    with pytest.raises(ZeroDivisionError):
        senders.at_once(lambda: 1 / 0, lambda: None)


def test_waiting():
    with pytest.raises(AssertionError, match="not within 0.05 s: the moon"):
        wait_until(lambda: False, 0.05, "the moon")
    assert wait_until(lambda: 7, 1, "seven") == 7
    ports = [free_port(kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM) for _ in range(20)]
    assert len(set(ports[:20])) == 20 and len(set(ports[20:])) == 20


def test_descendants_are_found_and_ended():
    script = "import subprocess; subprocess.run(['sleep', '300'])"
    with subprocess.Popen([sys.executable, "-c", script], start_new_session=True) as top:
        below = wait_until(lambda: processes.descendants(top.pid), 10, "the child")
        assert processes.alive(below) == below
        processes.end(below)
        assert top.wait(10) == 0
        assert not processes.alive(below)
