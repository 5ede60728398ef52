# SPDX-License-Identifier: Apache-2.0
"""What stands in a file: formats, line ends that nobody forges, and the policies of an output."""
import json
import os
import random
import re
import select
import signal
import socket
import threading
import time

import pytest

from harness import ledger, load, processes, senders
from harness.audit import Audit, audit
from harness.wait import free_port, wait_until

SETTLE_SECONDS = 20
MINE = socket.gethostname()
FORGED = b"<14>Nov 21 04:05:06 evil su: root logged in"


def lines_of(path):
    content = path.read_bytes()
    assert content == b"" or content.endswith(b"\n"), content[-100:]
    return content.split(b"\n")[:-1]


def hostile_texts(count=300, seed=3):
    """Random bytes, control characters, broken UTF-8, forged lines; none is empty."""
    order = random.Random(seed)
    pieces = [b"\n", b"\r\n", FORGED, b"\0", b"\x1b[31m", b'"', b"\\", b"{", b"\xff\xfe",
              b"\xed\xa0\x80",
              "\u65e5\u2028\U0001f4a9".encode(), b"\t", b"plain", b" ", b"%s%n", b"${msg}", b"\x7f"]
    for number in range(count):
        yield (b"%d:" % number + b"".join(order.choices(pieces, k=order.randint(0, 12)))
               + order.randbytes(order.randint(0, 20)) + b".")


def test_every_format_of_every_hostile_text(yarder, folder):
    """A line is a record in each file, JSON is JSON, and no text makes a line of its own."""
    port = free_port(socket.SOCK_DGRAM)
    formats = {"text": "text", "syslog": "syslog", "rfc5424": "rfc5424", "json": "json",
               "template": "${time:%F %T} ${host} ${tag}[${pid}] ${level}: ${msg} ${field.x}",
               "python": "python:%(asctime)s %(levelname)-8s %(message)s"}
    one = yarder(f"input = udp:127.0.0.1:{port},parse=raw\n" + "".join(
        f'output = {name} file:{{folder}}/{name},format="{text}"\n'
        for name, text in formats.items()))
    made = list(hostile_texts())
    with senders.udp(port) as sender:
        for text in made:
            sender.send(text)
    ledger.wait_settled(one, len(made), SETTLE_SECONDS)
    for name in formats:
        lines = lines_of(folder / name)
        assert len(lines) == len(made), f"{name}: {len(lines)} lines of {len(made)} records"
        assert not any(line.startswith(FORGED[:10]) for line in lines if name != "syslog")
        if name != "json":
            assert not any(byte < 32 and byte != 9 for line in lines for byte in line), name
    for line, text in zip(lines_of(folder / "json"), made):
        record = json.loads(line)
        assert record["message"].split(":")[0] == text.split(b":")[0].decode()
        if b"\xff" not in text and is_text(text):
            assert record["message"] == text.decode()
        assert record["host"] == MINE and re.fullmatch(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", record["time"])
    for line in lines_of(folder / "syslog"):
        assert re.match(rb"<\d{1,3}>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ ", line), line
    for line in lines_of(folder / "rfc5424"):
        assert re.match(rb"<\d{1,3}>1 \S+ \S+ \S+ \S+ \S+ (-|\[.*\]) ", line), line


def is_text(text):
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize("kind", ["udp", "tcp"])
@pytest.mark.parametrize("newlines, kept", [("auto", False), ("escape", False), ("indent", False),
                                            ("keep", True)])
def test_sender_over_the_network_forges_no_line(yarder, folder, kind, newlines, kept):
    """Unless the configuration says keep, a line begins with what the format puts there."""
    port = free_port(socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    one = yarder(f"input = {kind}:127.0.0.1:{port},parse=syslog\n"
                 "output = all file:{folder}/all,newlines=%s,"
                 'format="[${peer}] ${tag}: ${msg}"\n' % newlines)
    text = b"<14>Nov 21 04:05:06 host tag: one\n[127.0.0.1] su: two\r\n[127.0.0.1] su: three"
    with getattr(senders, kind)(port) as sender:
        if kind == "udp":
            sender.send(text)
        else:
            sender.send_counted(text)
        ledger.wait_settled(one, 1, SETTLE_SECONDS)
    forged = [line for line in lines_of(folder / "all") if line.startswith(b"[127.0.0.1] su:")]
    assert len(forged) == (2 if kept else 0)
    lines = lines_of(folder / "all")
    assert len(lines) == (1 if newlines in ("auto", "escape") else 3)
    assert all(line.startswith(b"\t") for line in lines[1:]) or kept


def test_local_line_ends_are_kept(yarder, folder):
    """A traceback of a local program stays readable; the same text from the network does not."""
    one = yarder("input = ring\ninput = unix:{folder}/in\noutput = all file:{folder}/all\n")
    with senders.unix_datagram(folder / "in") as sender:
        sender.send(b"one\n two\n three\n")
    ledger.wait_settled(one, 1, SETTLE_SECONDS)
    one.cli("send", "--quiet", "four\n five")
    ledger.wait_settled(one, 2, SETTLE_SECONDS)
    assert lines_of(folder / "all") == [b"one", b" two", b" three", b"four", b" five"]


@pytest.mark.parametrize("policy", ["batch", "interval:20ms"])
@pytest.mark.parametrize("file_io", ["write", "uring"])
def test_fsync(yarder, folder, policy, file_io):
    one = yarder("input = ring\noutput = all file:{folder}/all,fsync=%s,file-io=%s\n"
                 % (policy, file_io))
    one.cli("send", "--sequence", "a", "--count", "5000", "--block", "--quiet")
    one.kill_worker()
    one.cli("send", "--sequence", "b", "--count", "5000", "--block", "--quiet")
    status = ledger.wait_settled(one, 10_000, SETTLE_SECONDS)
    assert ledger.named(status, "all")["errors"] == 0
    audit([folder / "all"], {"a": 5000, "b": 5000}).assert_clean()


@pytest.mark.parametrize("size", ["1M", "4M"])
def test_drop_oldest_keeps_the_newest(yarder, folder, size):
    """Into a FIFO that nobody reads for a while: what is lost lies in the middle, counted."""
    os.mkfifo(folder / "fifo")
    reader = os.open(folder / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    one = yarder("input = ring\n"
                 f"output = all file:{{folder}}/fifo,on-full=drop-oldest,queue=memory:{size}\n")
    count, bytes_each = 60_000, 200
    one.cli("send", "--sequence", "a", "--count", str(count), "--size", str(bytes_each), "--block",
            "--quiet")
    wait_until(lambda: ledger.named(one.status(), "all")["copies"] == count, 10, "all came in")
    before = ledger.named(one.status(), "all")
    assert before["dropped"]["oldest"] > 0 and before["dropped"]["full"] == 0
    got = drain(reader, lambda: ledger.held(one.status()) == 0)
    lines = got.split(b"\n")[:-1]
    numbers = [int(line.split()[1]) for line in lines]
    dropped = ledger.named(one.status(), "all")["dropped"]["oldest"]
    assert numbers == sorted(set(numbers)) and len(numbers) == count - dropped
    size_bytes = int(size[:-1]) << 20
    newest = [number for number in range(count) if number > count - size_bytes * 0.6 / bytes_each]
    assert numbers[-len(newest):] == newest, "the newest are not all there"
    os.close(reader)


def drain(reader, is_over):
    """What comes out of a pipe until it is over."""
    got = bytearray()
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        over = is_over()
        while select.select([reader], [], [], 0.05)[0]:
            chunk = os.read(reader, 1 << 20)
            if chunk == b"":
                return bytes(got)
            got += chunk
        if over:
            return bytes(got)
    raise AssertionError("never over")


class Stdio:
    """A daemon that writes to a pipe of ours as its standard output."""

    def __init__(self, yarder, config):
        self.reader, writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.one = yarder(config, stdout=writer)
        os.close(writer)


def test_slow_reader_of_standard_output(yarder):
    """Its pipe is full: the producers wait, and all arrives once it reads again."""
    scene = Stdio(yarder, "input = ring\noutput = stdio:,queue=memory:1M\n")
    count = 30_000
    producer = threading.Thread(target=scene.one.cli, args=(
        "send", "--sequence", "a", "--count", str(count), "--size", "200", "--block", "--quiet"))
    producer.start()
    output = scene.one.status()["outputs"][0]["name"]
    wait_until(lambda: ledger.named(scene.one.status(), output).get("in_call") in ("write", "poll"),
               10, "the lane waits")
    got = drain(scene.reader, lambda: not producer.is_alive()
                and ledger.named(scene.one.status(), output)["delivered"] == count)
    Audit({"a": count}).lines(got.splitlines(keepends=True)).report().assert_clean()
    os.close(scene.reader)


def test_standard_output_without_a_reader(yarder, folder):
    """Said once and counted; a file beside it gets everything."""
    scene = Stdio(yarder, "drain-timeout = 1s\ninput = ring\n"
                  "output = out stdio:,on-full=drop-newest\n"
                  "output = all file:{folder}/all\n")
    os.close(scene.reader)
    scene.one.cli("send", "--sequence", "a", "--count", "1000", "--block", "--quiet")
    scene.one.wait_for_stderr("output out: nobody reads it any more", 10)
    status = ledger.wait_settled(scene.one, 1000, 10)
    assert ledger.named(status, "all")["delivered"] == 1000
    assert ledger.named(status, "out")["dropped"]["left"] == 1000
    assert ledger.named(status, "out")["errors"] == 1
    audit([folder / "all"], {"a": 1000}).assert_clean()


def test_closed_standard_output_is_refused(yarder, folder):
    """Records are not counted as delivered into nothing; other outputs do not mind."""
    closed = ("sh", "-c", 'exec "$@" >&-', "sh")
    with pytest.raises(AssertionError, match="ended with 2:\n.*standard output is closed"):
        yarder("input = ring\noutput = stdio:\n", name="refused", wrapper=closed)
    one = yarder("input = ring\noutput = all file:{folder}/all\n", wrapper=closed)
    one.cli("send", "--sequence", "a", "--count", "10", "--quiet")
    ledger.wait_settled(one, 10, SETTLE_SECONDS)
    audit([folder / "all"], {"a": 10}).assert_clean()


def test_null_takes_everything(yarder):
    one = yarder("input = ring\noutput = null:\n")
    one.cli("send", "--sequence", "a", "--count", "100000", "--block", "--quiet")
    status = ledger.wait_settled(one, 100_000, SETTLE_SECONDS)
    assert status["outputs"][0]["delivered"] == 100_000


def test_signals_under_load(yarder, folder):
    """USR1 and HUP again and again, with renames between: nothing lost, twice, torn."""
    one = yarder("input = ring\noutput = all file:{folder}/all\n")
    with load.RingProducer(one, "a", 20_000) as producer:
        for number in range(10):
            wait_until(lambda: (folder / "all").exists()
                       and (folder / "all").stat().st_size > 10_000, 10, "the file grows")
            reloads = one.status()["reloads"]
            (folder / "all").rename(folder / f"all.{number:02}")
            one.signal(signal.SIGUSR1 if number % 2 else signal.SIGHUP)
            if number % 2 == 0:
                wait_until(lambda: one.status()["reloads"] > reloads, 10, "the reload")
        counts = producer.end()
    ledger.wait_settled(one, counts["a"], SETTLE_SECONDS)
    audit([*sorted(folder.glob("all.*")), folder / "all"], counts).assert_clean()
