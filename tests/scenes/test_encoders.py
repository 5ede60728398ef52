# SPDX-License-Identifier: Apache-2.0
"""Encoder chains: the same lines and messages make the same bytes as in uWSGI itself."""
import json
import random
import socket
import sys
import zlib

import pytest

from harness import ledger, peers, senders
from harness.wait import free_port, wait_until

SECONDS = 20
LAST = b"MARK the last one\n"
MSGPACK = (f"msgpack map:4|str:message|msg|str:{'k' * 40}|int:-40000|bin:b|msgbinnl|nil"
           "|float:17.3")
# A logger for each, in one configuration that uWSGI and yarder both read.
CHAINS = [
    ["prefix [A]"], ["prefix", "suffix  SUF"], ["nl"], ["suffix x", "nl"],
    ["format <${msg}|${msgnl}|$x|$$|100%%|${strftime:%%Y-%%m}|${nope}>"],
    ['json {"m":"${msg}","n":"${msgnl}","t":"${strftime:%%d/%%b/%%Y}"}', "nl"],
    ["gzip"], ["compress"], ["gzip", "prefix i am gzip"], ["format ${msg}", "compress", "gzip"],
    [MSGPACK], ["msgpack array:3|msg|array:16" + "|int:0" * 16 + "|map:0"], ["format"],
]
pytestmark = pytest.mark.sanitize


def messages():
    """Words enough that a wrong level or memory of deflate shows, and bytes of all kinds."""
    some = random.Random(1)
    words = ["".join(some.choices("abcdefghijklmnopqrstuvwxyz", k=some.randint(2, 9)))
             for _ in range(400)]
    long = " ".join(some.choices(words, k=6000)).encode()
    quoted = "MARK \"quoted\" \\ \t tab, \r return, caf\u00e9 \u20ac".encode()
    return [b"hello MARK world\n", quoted + b"\n", b"MARK" + b"x" * 27 + b"\n",
            b"MARK" + b"x" * 28 + b"\n", b"MARK " + long + b"\n", LAST]


def lines(folder):
    """The lines of uWSGI's; the logger without a chain is the last to be written."""
    text = ""
    for number, chain in enumerate([*CHAINS, []]):
        text += f"logger = c{number} file:{folder}/c{number}\nlog-route = c{number} MARK\n"
        for step in chain:
            name, space, rest = step.partition(" ")
            text += f"log-encoder = {name}:c{number}{space}{rest}\n"
    return text


def uwsgi_makes(folder, texts):
    folder.mkdir()
    emit = folder / "emit.py"
    emit.write_text("import os, signal, time\n"
                    f"for text in {texts!r}:\n"
                    "    os.write(1, text)\n"
                    "    time.sleep(0.02)\n"  # uWSGI has no more than its pipe's room
                    "signal.pause()\n")
    ini = folder / "app.ini"
    port = free_port()
    ini.write_text("[uwsgi]\nplugins = logfile,msgpack\nmaster = true\nsocket = "
                   f"127.0.0.1:{port}\nlog-master-bufsize = 65536\ndie-on-term = true\n"
                   f"attach-daemon = {sys.executable} {emit}\n" + lines(folder))
    plain = folder / f"c{len(CHAINS)}"
    with peers.Server([peers.need("uwsgi"), "--ini", str(ini)], folder, port):
        wait_until(lambda: plain.exists() and plain.read_bytes().endswith(LAST), SECONDS,
                   lambda: (folder / "server.out").read_text())
    return [(folder / f"c{number}").read_bytes() if (folder / f"c{number}").exists() else b""
            for number in range(len(CHAINS))]


def test_bytes_are_those_of_uwsgi(yarder, folder):
    texts = messages()
    theirs = uwsgi_makes(folder / "uwsgi", texts)
    ours = folder / "ours"
    ours.mkdir()
    daemon = yarder("input = unix:{folder}/in\nrecord-max = 128K\n[uwsgi]\n" + lines(ours))
    with senders.unix_datagram(folder / "in") as sender:
        for text in texts:
            sender.send(text[:-1])
    ledger.wait_settled(daemon, len(texts), SECONDS)
    for number, chain in enumerate(CHAINS):
        made = (ours / f"c{number}").read_bytes()
        assert made == theirs[number], (chain, made[:200], theirs[number][:200])
        assert made or chain == ["format"], chain


def test_json_is_valid_whatever_comes(yarder, folder):
    daemon = yarder('input = unix:{folder}/in\noutput = file:{folder}/out,'
                    'encode=json {"m":"${msg}","at":${micros}},encode=nl\n')
    texts = [bytes([value]) * 3 for value in range(1, 256)] + [b"\xf0\x9f\x98", b"\xed\xa0\x80"]
    with senders.unix_datagram(folder / "in") as sender:
        for text in texts:
            sender.send(text)
    ledger.wait_settled(daemon, len(texts), SECONDS)
    made = [json.loads(line) for line in (folder / "out").read_bytes().split(b"\n")[:-1]]
    assert len(made) == len(texts)
    for one, text in zip(made, texts):
        plain = text.decode(errors="replace")  # the daemon may see fewer parts of a bad character
        assert one["m"].rstrip("\r\n") == plain.rstrip("\r\n") or "\ufffd" in plain


def test_messages_of_a_backend_have_the_same_chain(yarder, folder):
    """The thread of an offloaded output runs it; where it makes nothing, nothing is sent."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.bind(str(folder / "peer"))
        peer.settimeout(SECONDS)
        daemon = yarder("input = unix:{folder}/in\nlogger = zip socket:{folder}/peer\n"
                        "logger = nothing socket:{folder}/peer\nlog-route = zip .\n"
                        "log-route = nothing .\nlog-encoder = format:zip ${msg}\n"
                        "log-encoder = gzip:zip\nlog-encoder = format:nothing\n"
                        "output = own socket:unix-dgram:{folder}/peer,encode=prefix =\n")
        texts = [b"one", b"x" * 3000, b"last"]
        with senders.unix_datagram(folder / "in") as sender:
            for text in texts:
                sender.send(text)
        got = [peer.recv(65536) for _ in range(2 * len(texts))]
        ledger.wait_settled(daemon, len(texts), SECONDS)
        assert ledger.named(daemon.status(), "nothing")["delivered"] == len(texts)
    assert [zlib.decompress(one, 31) for one in got if one[:2] == b"\x1f\x8b"] == texts
    assert [one.rstrip(b"\n") for one in got if one[:1] == b"="] == [b"=" + one for one in texts]


def test_a_compressed_file_goes_on(yarder, folder):
    """Nobody closes a half line where there are no lines: members follow each other."""
    config = "input = unix:{folder}/in\noutput = file:{folder}/out,encode=gzip\n"
    for number in range(2):
        daemon = yarder(config)
        with senders.unix_datagram(folder / "in") as sender:
            for part in range(100):
                sender.send(b"%d-%d" % (number, part))
        ledger.wait_settled(daemon, 100, SECONDS)
        if number == 0:
            daemon.kill_worker()
        daemon.stop()
    data, texts = (folder / "out").read_bytes(), b""
    while data:
        member = zlib.decompressobj(31)
        texts += member.decompress(data)
        data = member.unused_data
    assert texts.split() == [b"%d-%d" % (n, part) for n in range(2) for part in range(100)]


def test_requests_have_a_chain_of_their_own(yarder, folder):
    daemon = yarder("input = unix:{folder}/log\ninput = unix:{folder}/req,kind=request\n"
                    "logger = file:{folder}/out\nreq-logger = file:{folder}/out\n"
                    "log-encoder = prefix L\nlog-req-encoder = prefix R\n")
    with senders.unix_datagram(folder / "log") as logs, \
            senders.unix_datagram(folder / "req") as requests:
        logs.send(b"one")
        requests.send(b"two")
    ledger.wait_settled(daemon, 2, SECONDS)
    assert sorted((folder / "out").read_bytes().splitlines()) == [b"Lone", b"Rtwo"]


def test_a_chain_of_a_long_record(yarder, folder):
    """Longer than a buffer of the queue, in pieces then; and what no chain may make is dropped."""
    daemon = yarder("input = unix:{folder}/in,socket=stream\nrecord-max = 1M\n"
                    "output = file:{folder}/twice,encode=format ${msg}${msgnl}\n"
                    "output = all file:{folder}/much"
                    + ",encode=format ${msg}${msg}" * 5 + ",encode=nl\n")
    text = b"0123456789abcde." * 65000
    with senders.unix_stream(folder / "in") as sender:
        sender.send(text)
        sender.send(b"ab")
    ledger.wait_settled(daemon, 2, SECONDS)
    assert (folder / "twice").read_bytes() == text * 2 + b"\nabab\n"
    assert (folder / "much").read_bytes() == b"ab" * 32 + b"\n"
    assert ledger.named(daemon.status(), "all")["dropped"]["full"] == 1


def test_a_record_too_long_for_a_backend_is_dead(yarder, folder):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.bind(str(folder / "peer"))
        peer.settimeout(SECONDS)
        daemon = yarder("input = unix:{folder}/in,socket=stream\nrecord-max = 1M\n"
                        "output = far socket:unix-dgram:{folder}/peer"
                        + ",encode=format ${msg}${msg}" * 5 + "\n")
        with senders.unix_stream(folder / "in") as sender:
            sender.send(b"x" * 1000000)
            sender.send(b"ab")
        assert peer.recv(65536) == b"ab" * 32
        status = ledger.wait_settled(daemon, 2, SECONDS)
    assert ledger.named(status, "far")["dead"] == 1
    daemon.wait_for_stderr("too long for the encoders", SECONDS)
