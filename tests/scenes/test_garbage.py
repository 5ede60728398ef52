# SPDX-License-Identifier: Apache-2.0
"""Nonsense on every socket, and more connections than may be: kept, flagged, counted, survived."""
import os
import random
import resource
import socket
import struct
import time

import pytest

from harness import ledger, senders
from harness.audit import Audit, audit, make
from harness.wait import free_port, wait_until

SETTLE_SECONDS = 20
RECORD_BYTES_MAX = 64 << 10


class Doors:
    """A daemon with an input of each kind, and an output that escapes what came in."""

    def __init__(self, yarder, folder, options="", parse="raw"):
        self.folder = folder
        self.tcp, self.udp = free_port(), free_port(socket.SOCK_DGRAM)
        self.one = yarder(f"""
input = tcp tcp:127.0.0.1:{self.tcp},parse={parse}{options}
input = udp udp:127.0.0.1:{self.udp},parse={parse}
input = stream unix:{{folder}}/stream,socket=stream,parse={parse}{options}
input = dgram unix:{{folder}}/dgram,parse={parse}
output = all file:{{folder}}/all,newlines=escape
""")

    def connect(self, kind):
        return {"tcp": lambda: senders.tcp(self.tcp, b""),
                "udp": lambda: senders.udp(self.udp),
                "stream": lambda: senders.unix_stream(self.folder / "stream", b""),
                "dgram": lambda: senders.unix_datagram(self.folder / "dgram")}[kind]()

    def input(self, name):
        return ledger.named(self.one.status(), name)

    def lines(self):
        path = self.folder / "all"
        return path.read_bytes().split(b"\n")[:-1] if path.exists() else []

    def wait_lines(self, count):
        wait_until(lambda: len(self.lines()) >= count, SETTLE_SECONDS,
                   lambda: f"{count} lines, {len(self.lines())} came")
        ledger.wait_settled(self.one, count, SETTLE_SECONDS)
        assert len(self.lines()) == count


STREAMS, DATAGRAMS = ["tcp", "stream"], ["udp", "dgram"]


@pytest.mark.sanitize
@pytest.mark.parametrize("parse", ["raw", "syslog"])
def test_random_bytes(yarder, folder, parse):
    """And good records behind them, over the same and over other connections."""
    doors = Doors(yarder, folder, parse=parse)
    order = random.Random(9)
    counts = {}
    for kind in [*STREAMS, *DATAGRAMS]:
        for round_ in range(20):
            with doors.connect(kind) as sender:
                for _ in range(10):
                    garbage = order.randbytes(order.choice([1, 10, 1000, 8000]))
                    try:
                        sender.socket.sendall(garbage)
                    except (BrokenPipeError, ConnectionResetError):
                        break  # it is told that this is no stream of records
        source = f"after-{kind}"
        with doors.connect(kind) as sender:
            sender.end = b"\n" if kind in STREAMS else b""
            sender.send_audited(source, 200)
        counts[source] = 200
    seen = Audit(counts, let_pass=rb"(?s).*")

    def all_there():
        lines = [line for line in doors.lines() if line.startswith(b"after-")]
        return len(lines) == sum(counts.values())

    wait_until(all_there, SETTLE_SECONDS, "the good records")
    for line in doors.lines():
        seen.line(line)
    report = seen.report()
    report.assert_clean()
    status = doors.one.status()
    assert status["workers_crashed"] == 0
    assert all(one["received"] > 200 for one in status["inputs"])
    if parse == "syslog":
        assert all(one["unparsed"] > 0 for one in status["inputs"])


@pytest.mark.parametrize("kind", STREAMS)
def test_ten_megabytes_without_a_newline(yarder, folder, kind):
    """One record, cut at record-max and counted as cut; the next line is whole."""
    doors = Doors(yarder, folder)
    with doors.connect(kind) as sender:
        for _ in range(160):
            sender.send(b"x" * (64 << 10))
        sender.send(b"\nnext\n")
        doors.wait_lines(2)
    long, after = doors.lines()
    assert long == b"x" * RECORD_BYTES_MAX and after == b"next"
    assert doors.input(kind)["truncated"] == 1


@pytest.mark.parametrize("kind", STREAMS)
def test_octet_counts_that_lie(yarder, folder, kind):
    """Too long, too short, no number: nothing is dropped in silence, and the daemon goes on."""
    doors = Doors(yarder, folder, options=",framing=octets")
    good = b"<14>1 - - - - - - good"
    for lie in (b"99999999999999999999 x", b"100 short", b"3 longer than said", b"-5 x", b"abc",
                b"5", b"0 ", b"00005 hello", b"4294967296 x", b" 5 hello",
                b"18446744073709551616 "):
        with doors.connect(kind) as sender:
            sender.send_counted(good)
            try:
                sender.send(lie)
            except (BrokenPipeError, ConnectionResetError):
                pass
    wait_until(lambda: sum(line.endswith(b"good") for line in doors.lines()) == 11, SETTLE_SECONDS,
               lambda: f"what came before each lie: {doors.lines()}")
    with doors.connect(kind) as sender:
        sender.send_counted(good + b" at last")
        wait_until(lambda: any(line.endswith(b"at last") for line in doors.lines()), 10,
                   "the next connection")
    kept = b"\n".join(doors.lines())
    for piece in (b"short", b"abc", b"hello"):
        assert piece in kept, piece
    one = doors.input(kind)
    assert one["partial"] + one["unparsed"] + one["truncated"] > 0
    ledger.assert_balanced(doors.one.status())


def test_datagrams_of_every_size(yarder, folder):
    """Empty ones say nothing, NULs are kept, 64K arrive whole, larger ones are cut and flagged."""
    doors = Doors(yarder, folder)
    sizes = [0, 1, 2, 1000, 9000, 65_507]
    with doors.connect("udp") as sender:
        for size in sizes:
            sender.send(b"u" * size)
        sender.send(b"\0\0a\0b\0")
        doors.wait_lines(len(sizes))
    assert [len(line) for line in doors.lines()[:5]] == sizes[1:]
    assert doors.lines()[5] == rb"\x00\x00a\x00b"
    with doors.connect("dgram") as sender:
        for size in (0, 65_536, 65_537, 150_000):
            sender.send(b"d" * size)
        doors.wait_lines(len(sizes) + 3)
    assert [len(line) for line in doors.lines()[6:]] == [RECORD_BYTES_MAX] * 3
    assert doors.input("dgram")["truncated"] == 2
    assert doors.input("udp")["lost"]["kernel"] == 0


def test_two_thousand_connections(yarder, folder):
    """Each with its half lines under way at the same time; none mixes with another."""
    doors = Doors(yarder, folder, options=",framing=lf")
    count = 2000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + 200:
        pytest.skip(f"needs {count + 200} open files, may have {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    connections = []
    try:
        for _ in range(count):
            connections.append(doors.connect("tcp"))
        began = time.monotonic()
        for part in range(2):
            for number, connection in enumerate(connections):
                record = make(f"c{number}", 0) + b"\n" + make(f"c{number}", 1) + b"\n"
                half = len(record) * 2 // 3
                connection.send(record[:half] if part == 0 else record[half:])
        doors.wait_lines(2 * count)
        print(f"2000 connections: {2 * count / (time.monotonic() - began):.0f} records/s")
        assert doors.input("tcp")["connections"] == count
    finally:
        for connection in connections:
            connection.socket.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    audit([folder / "all"], {f"c{number}": 2 for number in range(count)}).assert_clean()
    worker = f"/proc/{doors.one.worker_pids()[0]}/fd"
    wait_until(lambda: len(os.listdir(worker)) < 60, 10, "the connections are closed")


@pytest.mark.parametrize("kind", STREAMS)
def test_connections_max(yarder, folder, kind):
    """One more is closed at once and counted; room that comes free is given away again."""
    doors = Doors(yarder, folder, options=",connections-max=3")
    kept = [doors.connect(kind) for _ in range(3)]
    wait_until(lambda: doors.input(kind)["connections"] == 3, 10, "three connections")
    with doors.connect(kind) as refused:
        assert refused.socket.recv(1) == b"", "not closed"
    assert doors.input(kind)["connections_refused"] == 1
    kept.pop().socket.close()

    def accepted():
        with doors.connect(kind) as again:
            again.socket.settimeout(0.2)
            try:
                return again.socket.recv(1) != b""
            except TimeoutError:
                again.send(b"again\n")
                return True

    wait_until(accepted, 10, "there is room again")
    for number, connection in enumerate(kept):
        connection.send(b"still %d\n" % number)
    doors.wait_lines(3)
    assert sorted(doors.lines()) == [b"again", b"still 0", b"still 1"]
    for connection in kept:
        connection.socket.close()


def test_half_a_line_at_the_end(yarder, folder):
    """A last line without a newline is a line; cut off by a reset it is kept and flagged."""
    doors = Doors(yarder, folder)
    for kind in STREAMS:
        with doors.connect(kind) as sender:
            sender.send(b"whole\nlast")
    doors.wait_lines(4)
    with doors.connect("tcp") as sender:
        sender.send(b"reset\nhalf")
        doors.wait_lines(5)
        sender.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    doors.wait_lines(6)
    assert sorted(doors.lines()) == [b"half", b"last", b"last", b"reset", b"whole", b"whole"]
    assert [doors.input(kind)["partial"] for kind in STREAMS] == [1, 0]
