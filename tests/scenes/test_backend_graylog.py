# SPDX-License-Identifier: Apache-2.0
"""graylog: messages read by Graylog's own reader, by chunks, compressed or not; TCP and TLS."""
import base64
import json
import os
import socket
import ssl
import subprocess
import threading
import zlib

import pytest

from harness import ledger, peers, receivers, senders
from harness.audit import Audit, make
from harness.daemon import ROOT
from harness.datagrams import Collector
from harness.wait import free_port, wait_until

INPUT = "input = unix:{folder}/in,socket=stream\n"
SETTLE_SECONDS = 20
GO = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": ""}


@pytest.fixture(scope="module")
def reader_program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gelf")
    if not os.path.isdir("/usr/share/gocode/src/github.com/Graylog2/go-gelf"):
        pytest.skip("golang-github-graylog2-go-gelf-dev is not installed")
    subprocess.run([peers.need("go"), "build", "-o", folder / "gelf_reader",
                    ROOT / "tests" / "apps" / "gelf_reader.go"], check=True, timeout=60,
                   env={**os.environ, **GO, "GOCACHE": str(folder / "cache")})
    return folder / "gelf_reader"


class Reader:
    """Graylog's reader at work: messages() is what it understood so far."""

    def __init__(self, program, folder):
        self.output, self.errors = folder / "read", folder / "read.err"
        self.port = free_port(socket.SOCK_DGRAM)
        self.command = [program, f"127.0.0.1:{self.port}"]

    def __enter__(self):
        with open(self.output, "wb") as output, open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(self.command, stdout=output, stderr=errors)
        wait_until(self.output.read_bytes, 20, "the reader to listen")
        return self

    def __exit__(self, kind, trouble, trace):
        self.process.kill()
        self.process.wait()
        assert kind is not None or self.errors.read_bytes() == b"", self.errors.read_text()

    def messages(self):
        return [json.loads(line) for line in self.output.read_bytes().split(b"\n")[1:-1]]

    def wait_for(self, count):
        wait_until(lambda: len(self.messages()) >= count, SETTLE_SECONDS,
                   lambda: f"{count} messages, not {len(self.messages())}: "
                   f"{self.errors.read_text()}")
        return self.messages()


def put(folder, *records):
    with senders.unix_stream(folder / "in") as sender:
        for record in records:
            sender.send(record)


@pytest.mark.parametrize("compress", ["none", "zlib", "gzip"])
def test_graylogs_reader_reads_it(yarder, folder, reader_program, compress):
    """Whole messages and chunked ones, as long as a socket's default buffer holds."""
    texts = [make("one", number, size) for number, size in enumerate(
        (50, 1000, 1500, 5000, 50_000, 100_000))]
    with Reader(reader_program, folder) as reader:
        one = yarder("record-max = 256K\n" + INPUT + f"output = graylog:127.0.0.1:{reader.port},"
                     f"compress={compress},static=env=prod,source=web7\n")
        for number, text in enumerate(texts):  # it reads one message at a time
            put(folder, text)
            found = reader.wait_for(number + 1)
        ledger.wait_settled(one, len(texts), SETTLE_SECONDS)
    for message, text in zip(found, texts, strict=True):
        whole = message["full"] or message["short"]
        assert whole.encode() == text and message["short"].encode() == text[:1024]
        assert (message["host"], message["version"], message["level"]) == ("web7", "1.1", 6)
        assert message["extra"]["_env"] == "prod"


def test_what_a_record_knows(yarder, folder, reader_program):
    with Reader(reader_program, folder) as reader:
        yarder("input = unix:{folder}/in,socket=stream,parse=syslog\n"
               f"output = graylog:127.0.0.1:{reader.port},newlines=keep\n")
        put(folder, b'<27>1 2026-11-21T01:00:00.123456Z web app 42 ID7 [x a="1" id="2"] '
            b'caf\xc3\xa9 \xff\x01"')
        [message] = reader.wait_for(1)
    assert message["host"] == "web" and message["level"] == 3
    assert message["time"] == 1795222800.123456
    assert message["short"] == 'caf\u00e9 \ufffd\u0001"'
    extra = message["extra"]
    assert (extra["_tag"], extra["_pid"], extra["_facility"]) == ("app", 42, "daemon")
    assert "_id" not in extra and "2" in extra.values() and "1" in extra.values()


def test_too_long_is_refused_and_kept(yarder, folder):
    """What compression brings under 128 chunks goes all the same; noise does not."""
    noise = base64.b64encode(os.urandom(300_000))
    plain = os.urandom(120_000).hex().encode()
    with Collector() as sink:
        one = yarder("record-max = 512K\n" + INPUT + f"output = graylog:127.0.0.1:{sink.port},"
                     "dead-letter={folder}/dead\n")
        put(folder, noise, plain, b"last")
        status = ledger.wait_settled(one, 3, SETTLE_SECONDS)
        wait_until(lambda: b'"last"' in sink.packets[-1], SETTLE_SECONDS, "the last one")
    assert (status["outputs"][0]["delivered"], status["outputs"][0]["dead"]) == (2, 1)
    assert noise[:1000] in (folder / "dead").read_bytes()
    compressed, last = sink.packets[:-1], sink.packets[-1]
    assert len(compressed) > 64
    assert {packet[:10] for packet in compressed} == {compressed[0][:10]}
    assert [tuple(packet[10:12]) for packet in compressed] == [
        (number, len(compressed)) for number in range(len(compressed))]
    whole = zlib.decompress(b"".join(packet[12:] for packet in compressed))
    assert json.loads(whole)["full_message"].encode() == plain
    assert json.loads(last)["short_message"] == "last"


def test_uwsgis_line(yarder, folder):
    """Its members and its compression; but JSON, whatever the text is, and as long as it gets."""
    text = b'hello "world" \\ tab\there ' + b"y" * 10_000
    with Collector() as sink:
        yarder("record-max = 512K\n" + INPUT
               + f"logger = graylog2:127.0.0.1:{sink.port},dsfargeg\n")
        put(folder, b"hi", text)
        sink.wait_for(2)
    first, second = [json.loads(zlib.decompress(packet)) for packet in sink.packets]
    assert list(first) == ["version", "host", "short_message", "full_message", "timestamp", "level",
                           "facility"]
    assert (first["version"], first["host"], first["level"]) == ("1.0", "dsfargeg", 5)
    assert first["short_message"] == first["full_message"] == "hi"
    assert first["facility"].startswith("yarder-")
    assert second["full_message"].encode() == text
    assert second["short_message"].encode() == text[:128]


def texts_of(streams):
    """What stands in whole messages of each connection; what a break has cut is left out."""
    return [json.loads(message)["short_message"].encode() + b"\n" for stream in streams
            for message in bytes(stream).split(b"\0")[:-1]]


def test_a_tcp_peer_that_breaks_off(yarder, folder):
    """100 000 records, the peer gone in the middle: lost is only what two kernels held."""
    with receivers.tcp() as sink:
        one = yarder(INPUT + f"output = graylog:tcp://127.0.0.1:{sink.port},fields=no,"
                     "retry=10ms..100ms\n")
        sender = threading.Thread(target=put_audited, args=(folder, 100_000))
        sender.start()
        wait_until(lambda: sink.streams and len(sink.streams[0]) > 1 << 20, SETTLE_SECONDS,
                   "the first MiB")
        sink.pause()  # so that much of it lies in the kernels
        ledger.wait_for(one, lambda status: status["outputs"][0].get("in_call_ms", 0) > 50)
        sink.reset()
        sink.resume()
        wait_until(lambda: len(sink.streams) > 1, SETTLE_SECONDS, "another connection")
        sender.join()
        status = ledger.wait_settled(one, 100_000, SETTLE_SECONDS)
        wait_until(lambda: bytes(sink.streams[-1][-1000:]).find(b"unix 99999 ") > 0,
                   SETTLE_SECONDS, "the last record")
    report = Audit({"unix": 100_000}).lines(texts_of(sink.streams)).report()
    uncertain = status["outputs"][0]["uncertain"]
    print(f"{report.missing} lost, {report.twice} twice ({uncertain} uncertain)")
    # What two kernels hold at most by default, 6 MiB and 4; a message has more than 200 bytes.
    report.assert_clean(missing=(10 << 20) // 200, twice=uncertain, out_of_order=uncertain)


def test_a_tcp_peer_that_reads_nothing(yarder, folder):
    """It keeps its connection: what a new one took each time nobody would ever read."""
    with receivers.tcp() as sink:
        sink.pause()
        one = yarder(INPUT + f"output = graylog:tcp://127.0.0.1:{sink.port},fields=no,"
                     "timeout=200ms,retry=10ms..50ms,queue=memory:128M\n")
        put_audited(folder, 150_000)
        ledger.wait_for(one, lambda status: status["outputs"][0]["errors"] > 8)
        sink.resume()
        status = ledger.wait_settled(one, 150_000, SETTLE_SECONDS)
        wait_until(lambda: bytes(sink.streams[-1][-1000:]).find(b"unix 149999 ") > 0,
                   SETTLE_SECONDS, "the last record")
    assert len(sink.streams) == 1 and status["outputs"][0]["delivered"] == 150_000
    Audit({"unix": 150_000}).lines(texts_of(sink.streams)).report().assert_clean()


def put_audited(folder, count):
    with senders.unix_stream(folder / "in") as sender:
        sender.send_audited("unix", count)


def test_a_queue_on_disk_outlives_the_daemon(yarder, folder):
    """50 000 records while nobody listens; another daemon brings them when somebody does."""
    port = free_port()
    config = INPUT + f"output = far graylog:tcp://127.0.0.1:{port},fields=no,queue=disk:64M\n"
    one = yarder(config)
    put_audited(folder, 50_000)
    ledger.wait_for(one, lambda status: status["inputs"][0]["received"] == 50_000
                    and status["outputs"][0]["errors"] > 0)
    one.stop()
    with receivers.tcp(port) as sink:
        other = yarder(config)
        status = ledger.wait_for(
            other, lambda status: status["outputs"][0]["delivered"] == 50_000)
        wait_until(lambda: sum(stream.count(b"\0") for stream in sink.streams) >= 50_000,
                   SETTLE_SECONDS, "all records")
    assert status["outputs"][0]["held"] == 0
    Audit({"unix": 50_000}).lines(texts_of(sink.streams)).report().assert_clean()


def test_tls(yarder, folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder / "key.pem", "-out",
                    folder / "cert.pem", "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost"], check=True, capture_output=True, timeout=20)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        yarder(INPUT + f"output = graylog:tls://localhost:{port},ca={{folder}}/cert.pem\n")
        put(folder, b"by TLS", b"again")
        listening.settimeout(SETTLE_SECONDS)
        connection, _ = listening.accept()
        connection.settimeout(SETTLE_SECONDS)
        with context.wrap_socket(connection, server_side=True) as stream:
            came = b""
            while came.count(b"\0") < 2:
                came += stream.recv(65536)
    assert [json.loads(one)["short_message"] for one in came.split(b"\0")[:-1]] == [
        "by TLS", "again"]


@pytest.mark.parametrize("line, says", [
    ("output = graylog:/dev/log\n", "expected [udp://|tcp://|tls://]HOST[:PORT]\n"),
    ("output = graylog:http://h\n", "expected [udp://|tcp://|tls://]HOST[:PORT]\n"),
    ("output = graylog:tcp://h,compress=gzip\n", "compress=: expected none"),
    ("output = graylog:h,static=id=7\n", "static=id=7: expected NAME=VALUE"),
    ("output = graylog:h,chunk-size=100\n", "chunk-size: expected"),
    ("logger = graylog2:127.0.0.1:12201\n", "expected HOST:PORT,NAME"),
])
def test_what_is_wrong_is_told(yarder, folder, line, says):
    with pytest.raises(AssertionError, match="ended with 2") as trouble:
        yarder(INPUT + line)
    assert says in str(trouble.value)
