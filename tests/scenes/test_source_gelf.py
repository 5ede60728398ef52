# SPDX-License-Identifier: Apache-2.0
"""gelf as an input: graypy, our own output, chunks in any order, and what is no GELF."""
import gzip
import json
import logging
import os
import signal
import socket
import struct
import time
import zlib

import pytest

from harness import ledger, processes
from harness.logged import lines, texts, wait_lines
from harness.wait import free_port, wait_until

SECONDS = 20
OUTPUT = "output = file:{folder}/log,format=json\n"


@pytest.fixture
def udp(yarder):
    """A daemon that listens, and how to send to it."""
    port = free_port(socket.SOCK_DGRAM)
    daemon = yarder(f"input = g gelf:127.0.0.1:{port}\n" + OUTPUT)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", port))
        yield daemon, sender.send, port


def message(text, **others):
    return json.dumps({"version": "1.1", "host": "box", "short_message": text, **others}).encode()


def chunks(payload, size, name=None):
    name = name or os.urandom(8)
    parts = [payload[at:at + size] for at in range(0, len(payload), size)]
    return [b"\x1e\x0f" + name + struct.pack("BB", number, len(parts)) + part
            for number, part in enumerate(parts)]


@pytest.mark.sanitize
def test_members(udp):
    daemon, send, _ = udp
    send(message("short", full_message="short\nand more", timestamp=1600000000.123456789, level=3,
                 _logger="web", _tag="app", _pid=7, _user="x", _n=5, _f=1.5, _t=True, _none=None,
                 facility="django", _deep={"a": [1, "}"]}))
    (got,) = wait_lines(daemon, 1)
    assert (got["message"], got["host"], got["level"]) == ("short\nand more", "box", "error")
    assert got["time"].startswith("2020-09-13T12:26:40.123456")
    assert (got["logger"], got["tag"], got["pid"], got["peer"]) == ("web", "app", 7, "127.0.0.1")
    assert json.loads(got["fields"].pop("deep")) == {"a": [1, "}"]}
    assert got["fields"] == {"user": "x", "n": 5, "f": 1.5, "t": True, "facility": "django"}


@pytest.mark.sanitize
def test_forms(udp):
    """Plain, zlib, gzip; chunks in any order, twice, compressed; texts of two."""
    daemon, send, _ = udp
    send(message("plain"))
    send(zlib.compress(message("zlib")))
    send(gzip.compress(message("gzip")))
    for part in reversed(chunks(message("c" * 5000), 100)):
        send(part)
        send(part)
    for part in chunks(zlib.compress(message(os.urandom(4000).hex())), 1000):
        send(part)
    send(message("title", full_message="quite another"))
    got = wait_lines(daemon, 6)
    assert texts(daemon)[:4] == ["plain", "zlib", "gzip", "c" * 5000]
    assert len(got[4]["message"]) == 8000 and got[5]["message"] == "title\nquite another"
    one = ledger.named(daemon.status(), "g")
    # The last part, sent twice, came when its message was whole: it is the first of another one.
    assert (one["kind"], one["accepted"], one["unparsed"]) == ("gelf", 6, 0)


@pytest.mark.sanitize
def test_what_is_no_gelf(udp):
    """Kept whole and flagged where it is a text; counted where it is noise."""
    daemon, send, _ = udp
    raw = b'{ "version": "1.0", "short_message": "a \\"b\\"\ttab\nline\xff", "level": 5, }trailing'
    send(raw)
    for bad in (b"hello", b"{}", b'{"short_message"', b'["x"]', b'{"host": "no message"}'):
        send(bad)
    got = wait_lines(daemon, 6)
    assert got[0]["message"] == 'a "b"\ttab\nline\ufffd' and got[0]["level"] == "notice"
    assert [line["message"] for line in got[1:]] == [
        "hello", "{}", '{"short_message"', '["x"]', '{"host": "no message"}']
    for noise in (zlib.compress(message("cut"))[:-6], b"\x1f\x8bnothing", b"\x1e\x0f123",
                  b"\x1e\x0f" + b"i" * 8 + b"\x05\x05x", b"\x1e\x0f" + b"i" * 8 + b"\x00\xffx",
                  zlib.compress(b"0" * (9 << 20))):
        send(noise)
    send(b"")
    send(message("last"))
    wait_until(lambda: texts(daemon)[-1] == "last", SECONDS, "the last one")
    one = ledger.wait_for(
        daemon, lambda status: ledger.named(status, "g")["refused"]["corrupt"] >= 6)["inputs"][0]
    assert one["refused"]["corrupt"] == 6 and one["unparsed"] in (5, 6)
    assert one["received"] == one["accepted"] + 6


def test_chunks_that_never_come(udp):
    """Each message of which a part is missing counts, once, after its time."""
    daemon, send, _ = udp
    for number in range(20):
        for part in chunks(message(f"lost {number}" + "x" * 300), 100)[1:]:
            send(part)
    send(message("whole"))
    wait_lines(daemon, 1)
    status = ledger.wait_for(
        daemon, lambda status: ledger.named(status, "g")["refused"]["corrupt"] == 20)
    ledger.assert_balanced(status)
    assert texts(daemon) == ["whole"]


def rss_bytes(pid):
    pages = int(open(f"/proc/{pid}/statm", encoding="ascii").read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_a_flood_of_small_chunks(udp):
    """A part costs what it has, not a page: a thousand messages of which all but one is there."""
    daemon, send, _ = udp
    (source,) = daemon.source_pids()
    for name in range(1000):
        for part in chunks(b"x" * 128, 1, struct.pack(">Q", name))[1:]:
            send(part)
        if name % 8 == 0:
            time.sleep(0.002)  # so that the kernel drops few
    send(message("whole"))
    wait_lines(daemon, 1)
    assert rss_bytes(source) < 100 << 20


def test_unfinished_messages_have_a_limit(yarder, folder):
    """All connections together: the longest is cut, and the others come out whole."""
    port = free_port()
    daemon = yarder(f"input = g gelf:tcp://127.0.0.1:{port}\n" + OUTPUT)
    (source,) = daemon.source_pids()
    small = socket.create_connection(("127.0.0.1", port))
    small.sendall(message("small")[:-1])
    senders = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]
    for sender in senders:
        sender.sendall(b"x" * (7 << 20))
    wait_lines(daemon, 20)
    assert rss_bytes(source) < 200 << 20
    senders[0].sendall(b"\0" + message("behind it") + b"\0")
    small.sendall(b"}\0")
    wait_until(lambda: {"behind it", "small"} <= set(texts(daemon)), SECONDS, "what is whole")
    one = ledger.named(daemon.status(), "g")
    assert one["truncated"] >= 20
    for sender in (small, *senders):
        sender.close()


def test_our_own(yarder, folder):
    """What the output graylog sends comes out as it went in, by UDP and by TCP."""
    ports = free_port(socket.SOCK_DGRAM), free_port()
    daemon = yarder(
        "input = in unix:{folder}/in,parse=syslog\n"
        f"input = u graylog:127.0.0.1:{ports[0]}\ninput = t gelf:tcp://127.0.0.1:{ports[1]}\n"
        f"output = gu graylog:udp://127.0.0.1:{ports[0]},input=in,compress=gzip,chunk-size=300\n"
        f"output = gt graylog:tcp://127.0.0.1:{ports[1]},input=in\n"
        "output = log file:{folder}/log,format=json,input=u,input=t\n")
    text = "first line\\nsecond äöü \\\"quoted\\\" \\\\ " + os.urandom(600).hex()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(str(folder / "in"))
        sender.send(f"<11>1 2020-02-03T04:05:06.789Z box app 77 - - {text}".encode())
    got = wait_lines(daemon, 2)
    for line in got:
        assert (line["message"], line["host"], line["tag"]) == (text, "box", "app")
        assert (line["pid"], line["level"]) == (77, "error")
        assert line["time"].startswith("2020-02-03T04:05:06.789")


def test_connections(yarder, folder):
    """Many at a time, messages cut anywhere, one without its end, one that is too long."""
    port = free_port()
    daemon = yarder(f"input = g gelf:tcp://127.0.0.1:{port}\n" + OUTPUT)
    senders = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    for number in range(50):
        for name, sender in enumerate(senders):
            half = message(f"{name} {number}") + b"\0"
            sender.sendall(half[:17])
            sender.sendall(half[17:])
    wait_lines(daemon, 1000)
    for name in range(20):
        own = [text for text in texts(daemon) if text.split()[0] == str(name)]
        assert own == [f"{name} {number}" for number in range(50)]
    senders[0].sendall(message("no end"))
    senders[0].close()
    wait_until(lambda: "no end" in texts(daemon), SECONDS, "a last one without its NUL")
    senders[1].sendall(b"x" * (9 << 20) + b"\0" + message("behind it") + b"\0")
    wait_until(lambda: "behind it" in texts(daemon), SECONDS, "what stands behind a long one")
    one = ledger.named(daemon.status(), "g")
    assert (one["accepted"], one["truncated"], one["unparsed"]) == (1003, 1, 1)
    senders[2].sendall(message("hides", host="h" * (2 << 20)) + b"\0")
    wait_until(lambda: "hides" in texts(daemon), SECONDS, "one with too long a host")
    assert lines(daemon)[-1]["peer"] == "127.0.0.1"
    for sender in senders[1:]:
        sender.close()


def test_graypy(udp):
    """Python's handlers: chunked, compressed, with extras and a traceback."""
    graypy = pytest.importorskip("graypy")
    daemon, _, port = udp
    logger = logging.Logger("app.web")
    logger.addHandler(graypy.GELFUDPHandler("127.0.0.1", port))
    logger.warning("hello %s", "world", extra={"user": "me"})
    try:
        raise ValueError("x" * 20_000)
    except ValueError:
        logger.exception("it failed")
    got = wait_lines(daemon, 2)
    assert (got[0]["message"], got[0]["level"]) == ("hello world", "warning")
    assert got[0]["fields"]["user"] == "me"
    assert got[1]["message"].startswith("it failed\nTraceback") and got[1]["level"] == "error"
    assert "x" * 20_000 in got[1]["message"]


@pytest.mark.sanitize
def test_kills(udp):
    """A socket outlives its source: what comes while there is none is read by the next one."""
    daemon, send, port = udp
    send(message("before"))
    wait_lines(daemon, 1)
    (source,) = daemon.source_pids()
    os.kill(source, signal.SIGSTOP)
    for number in range(200):
        send(message(str(number)))
    os.kill(source, signal.SIGKILL)
    for number in range(200, 400):
        send(message(str(number)))
    wait_lines(daemon, 401)
    daemon.kill_worker()
    send(message("after"))
    wait_lines(daemon, 402)
    assert texts(daemon) == ["before", *map(str, range(400)), "after"]
    ledger.assert_balanced(daemon.status())


def test_drops_are_counted(yarder, folder):
    """What the kernel drops while nobody reads is lost, and counted once, whoever dies."""
    port = free_port(socket.SOCK_DGRAM)
    daemon = yarder(f"input = g gelf:127.0.0.1:{port},rcvbuf=8K\n" + OUTPUT)
    (source,) = daemon.source_pids()
    os.kill(source, signal.SIGSTOP)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", port))
        sent = []

        def send(text):
            sender.send(message(text))
            sent.append(text)

        def comes(text):
            """Sent again until it gets through: with it comes how many did not."""
            send(text)
            return text in texts(daemon)

        def all_counted():
            lost = ledger.named(daemon.status(), "g")["lost"]["kernel"]
            return lost > 0 and lost + len(texts(daemon)) == len(sent)

        for number in range(1000):
            send(f"{number} " + "x" * 500)
        os.kill(source, signal.SIGCONT)
        wait_until(lambda: comes("last"), SECONDS, "the last one")
        wait_until(all_counted, SECONDS, "each came, or is counted")
        os.kill(daemon.source_pids()[0], signal.SIGKILL)
        daemon.kill_worker()
        wait_until(lambda: len(daemon.source_pids()) == 1, SECONDS, "another source")
        wait_until(lambda: comes("end"), SECONDS, "the end")
        wait_until(all_counted, SECONDS, "each came, or is counted")


def test_reload(yarder, folder):
    """A port that somebody had is taken at a reload; so is another one, and nothing is lost."""
    ports = [free_port(socket.SOCK_DGRAM) for _ in range(2)]
    config = "input = g gelf:127.0.0.1:{port}\ninput = unix:{folder}/in\n" + OUTPUT
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taker:
        taker.bind(("127.0.0.1", ports[0]))
        daemon = yarder(config.replace("{port}", str(ports[0])))
        daemon.wait_for_stderr("its socket could not be had", SECONDS)
    daemon.cli("reload")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number, port in enumerate(ports):
            if number > 0:
                daemon.write_config(config.replace("{port}", str(port)))
                daemon.cli("reload")
            for each in range(100):
                sender.sendto(message(f"{number} {each}"), ("127.0.0.1", port))
            wait_lines(daemon, 100 * (number + 1))
    assert texts(daemon) == [f"{number} {each}" for number in range(2) for each in range(100)]


def test_the_daemon_is_killed(yarder, folder):
    """Its sources go with it, and a new one finds the place free."""
    port = free_port(socket.SOCK_DGRAM)
    daemon = yarder(f"input = g gelf:127.0.0.1:{port}\n" + OUTPUT)
    started = {pid: processes.started_at(pid) for pid in daemon.source_pids()}
    assert len(started) == 1
    daemon.process.kill()
    daemon.process.wait()
    wait_until(lambda: not processes.alive(started), SECONDS, "the source's end")
    daemon.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(message("again"), ("127.0.0.1", port))
        wait_lines(daemon, 1)
