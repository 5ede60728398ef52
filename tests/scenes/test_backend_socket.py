# SPDX-License-Identifier: Apache-2.0
"""socket: each road to the byte, groups, TLS and its refusals, peers that hang, break and die."""
import os
import re
import signal
import socket
import ssl
import struct
import threading
import time

import pytest

from harness import audit, certificates, ledger, peers, receivers, senders, stores
from harness.stores import Try, try_backend
from harness.wait import free_port, wait_until

COUNT = 20000
SIZE = 100
RECORDS = 100000
IP_RECVTTL = 12  # Python does not have it


def text(number, size=SIZE):
    head = b"%d " % number
    return head + b"x" * (size - len(head))


def texts(count, first=0, size=SIZE):
    return [text(number, size) for number in range(first, count)]


def received(receiver, size, seconds=20):
    """All that came on the one connection, once it is `size` bytes."""
    wait_until(lambda: receiver.streams and len(receiver.streams[-1]) >= size, seconds,
               lambda: f"{size} bytes: {[len(one) for one in receiver.streams]}")
    return bytes(receiver.streams[-1])


FRAMINGS = {
    "auto": lambda one: one + b"\n",
    "lf": lambda one: one + b"\n",
    "nul": lambda one: one + b"\0",
    "octet": lambda one: b"%d %s" % (len(one), one),
    "none": lambda one: one,
}


@pytest.mark.parametrize("framing", FRAMINGS)
def test_streams(folder, framing):
    wanted = b"".join(FRAMINGS[framing](b">" + one) for one in texts(COUNT))
    with receivers.tcp() as inet, receivers.unix_stream(folder / "in") as unix:
        for receiver, target in [(inet, f"tcp://localhost:{inet.port}"),
                                 (unix, f"unix-stream:{folder}/in")]:
            count, refused, _ = try_backend(
                "socket", target, COUNT, SIZE, f"framing={framing}", "prefix=>")
            assert (count, refused) == (COUNT, 0)
            assert received(receiver, len(wanted)) == wanted


def test_newlines_of_streams():
    wanted = {"lf": text(0) + b"\n", "nul": text(0) + b"\n\0", "none": text(0) + b"\n",
              "octet": b"%d %s\n" % (SIZE + 1, text(0))}
    for framing, bytes_ in wanted.items():
        with receivers.tcp() as receiver:
            ended = try_backend("socket", f"tcp://127.0.0.1:{receiver.port}", 1, SIZE,
                                "newline=keep", f"framing={framing}")
            assert ended[:2] == (1, 0), ended
            assert received(receiver, len(bytes_)) == bytes_


def test_datagrams(folder):
    count = 200  # what a receiver's buffer holds, should its thread be late
    with receivers.udp() as inet, receivers.unix_datagram(folder / "in") as unix:
        for receiver, target in [(inet, f"127.0.0.1:{inet.port}"),
                                 (inet, f"udp://localhost:{inet.port}"),
                                 (unix, f"{folder}/in"), (unix, f"unix:{folder}/in")]:
            assert try_backend("socket", target, count, SIZE)[0] == count
            receiver.wait_for_lines(count, 20)
            assert receiver.datagrams == texts(count)
            receiver.datagrams.clear()


def test_datagrams_too_long(folder):
    """Refused with the reason; the longest goes."""
    with receivers.udp() as inet, receivers.unix_datagram(folder / "in") as unix:
        target = f"127.0.0.1:{inet.port}"
        assert try_backend("socket", target, 1, 65507)[:2] == (1, 0)
        count, refused, said = try_backend("socket", target, 3, 65508)
        assert (count, refused) == (0, 3)
        assert "refused: 65508 bytes are too long for a datagram, which has 65507 at most" in said
        inet.wait_for_lines(1, 20)
        assert inet.datagrams == [text(0, 65507)]
        said = try_backend("socket", f"{folder}/in", 1, 1 << 20)[2]
        limit = int(re.search(r"which has (\d+) at most", said)[1])
        assert try_backend("socket", f"{folder}/in", 1, limit)[:2] == (1, 0)
        assert try_backend("socket", f"{folder}/in", 1, limit + 1)[:2] == (0, 1)
        unix.wait_for_lines(1, 20)
        assert len(unix.datagrams) == 1


def group_receiver(group, interface):
    """A socket that has joined a group on an interface."""
    six = ":" in group
    listener = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("" if six else group, 0))
    index = socket.if_nametoindex(interface)
    if six:
        joined = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", index)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, joined)
    else:
        joined = socket.inet_aton(group) + struct.pack("@4xi", index)
        listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
        listener.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
    listener.settimeout(10)
    return listener


def test_group():
    group = "239.255.17.17"
    with group_receiver(group, "lo") as one:
        target = f"{group}:{one.getsockname()[1]}"
        for options, ttl in [(["ttl=7"], 7), (["ttl=0"], 0), ([], 1)]:
            assert try_backend("socket", target, 1, 9, "interface=lo", *options)[0] == 1
            said, notes, _, _ = one.recvmsg(100, 100)
            assert (said, struct.unpack("@i", notes[0][2])[0]) == (text(0, 9), ttl)
        assert "No such device" in Try("socket", target, 1, 9, "interface=none0").says()


def test_group_of_ipv6():
    """On an interface that has groups (loopback has none of IPv6); never beyond this machine."""
    lines = [line.split() for line in open("/proc/net/if_inet6", encoding="ascii")]
    names = [line[-1] for line in lines if line[-1] != "lo" and line[0].startswith("fe80")]
    if not names:
        pytest.skip("no interface with groups of IPv6")
    group = "ff02::1717"
    with group_receiver(group, names[0]) as one:
        target = f"udp://[{group}]:{one.getsockname()[1]}"
        here = [f"interface={names[0]}", "ttl=0"]
        assert try_backend("socket", target, 3, SIZE, *here, "loop=no")[0] == 3
        assert try_backend("socket", target, 5, 8, *here)[0] == 5
        # Of what came first nothing is heard: it was not to be looped back.
        assert [one.recv(1 << 16) for _ in range(5)] == [text(i, 8) for i in range(5)]


def test_uwsgi_bytes(folder):
    """What uWSGI's own logger sends, and what its own server takes."""
    port = free_port()
    with receivers.udp() as theirs, receivers.udp() as ours:
        app = folder / "said.py"
        app.write_text("import os\nos.write(1, b'said once\\n')\nos.write(1, b'and again')\n")
        server = [peers.need("uwsgi"), "--plugins", "python3,logsocket", "--master",
                  "--http-socket", f"127.0.0.1:{port}", "--pythonpath", str(folder),
                  "--import", "said", "--logger", f"socket:127.0.0.1:{theirs.port},PRE ",
                  "--die-on-term"]
        with peers.Server(server, folder, port, signal.SIGKILL, (-signal.SIGKILL,)):
            theirs.wait_for_lines(1, 20)
            wait_until(lambda: b"PRE and again" in theirs.datagrams, 20, "what the app said")
            assert b"PRE said once\n" in theirs.datagrams
        try_backend("socket", f"uwsgi:socket:127.0.0.1:{ours.port},PRE ", 1, 9)
        ours.wait_for_lines(1, 20)
        assert ours.datagrams == [b"PRE " + text(0, 9) + b"\n"]
    with receivers.unix_datagram(folder / "in") as receiver:
        try_backend("socket", f"uwsgi:socket:{folder}/in", 1, 9)
        receiver.wait_for_lines(1, 20)
        assert receiver.datagrams == [text(0, 9) + b"\n"]


def test_uwsgi_server(folder):
    """uWSGI's own server of datagrams prints them; it adds no newline, and logto brings one."""
    port, udp = free_port(), free_port(socket.SOCK_DGRAM)
    server = peers.Server([peers.need("uwsgi"), "--master", "--http-socket", f"127.0.0.1:{port}",
                           "--udp", f"127.0.0.1:{udp}"], folder, port, signal.SIGKILL,
                          (-signal.SIGKILL,))
    with server:
        wait_until(lambda: "spawned uWSGI worker 1 " in server.said(), 20, server.said)
        assert try_backend("socket", f"uwsgi:socket:127.0.0.1:{udp}", 50, SIZE)[0] == 50
        wait_until(lambda: text(49).decode() in server.said(), 20, server.said)
        lines = [line for line in server.said().splitlines() if line.startswith("[udp:")]
        assert [line.split("] ", 1)[1].encode() for line in lines] == texts(50)


def test_tls(folder):
    certificates.usual(folder)
    certificates.authority(folder, "stranger")
    certificates.certificate(folder, "other", "ca", "DNS:other.example,DNS:*.more.example")
    certificates.certificate(folder, "expired", "ca", "DNS:localhost", days=-1)
    ca = f"ca={folder}/ca.pem"
    with certificates.TlsServer(folder, "server") as server:
        for host in ("localhost", "127.0.0.1"):
            count, _, said = try_backend("socket", f"tls://{host}:{server.port}", 100, SIZE, ca)
            assert (count, said) == (100, "")
        assert server.wait_for_lines(200) == texts(100) * 2
        for options, why in [
                ([], "certificate of localhost, 127.0.0.1: unable to get local issuer "
                     "certificate; ca= says whom to trust"),
                ([f"ca={folder}/stranger.pem"], "unable to get local issuer certificate"),
                ([ca, "servername=x.example"], "certificate is for localhost, 127.0.0.1, not "
                                               "x.example; servername= says which name")]:
            assert why in Try("socket", f"tls://localhost:{server.port}", 1, 9, *options).says()
    with certificates.TlsServer(folder, "other") as server:
        target = f"tls://localhost:{server.port}"
        said = Try("socket", target, 1, 9, ca).says()
        names = "other.example, *.more.example"
        assert f"certificate is for {names}, not localhost; servername= says" in said
        for option in ("servername=other.example", "servername=a.more.example", "verify=chain"):
            assert try_backend("socket", target, 1, 9, ca, option)[0] == 1
        assert try_backend("socket", target, 1, 9, "verify=none")[0] == 1
        assert len(server.wait_for_lines(4)) == 4
    with certificates.TlsServer(folder, "expired") as server:
        said = Try("socket", f"tls://localhost:{server.port}", 1, 9, ca).says()
        assert re.search(r"certificate of localhost: certificate has expired \(20\d\d-", said)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_tls_with_a_certificate_of_ours(folder, version):
    """Nothing is sent into a connection that the peer is about to refuse."""
    certificates.usual(folder)
    certificates.authority(folder, "stranger")
    certificates.certificate(folder, "client", "ca")
    certificates.certificate(folder, "unknown", "stranger")
    ca = f"ca={folder}/ca.pem"
    asks = [version, "-Verify", "1", "-CAfile", "ca.pem", "-verify_return_error"]
    with certificates.TlsServer(folder, "server", *asks) as server:
        target = f"tls://localhost:{server.port}"
        for options, why in [([], "peer refuses: "),
                             ([f"cert={folder}/unknown.pem", f"key={folder}/unknown.key"],
                              "peer refuses: unknown CA")]:
            one = Try("socket", target, 100, SIZE, ca, *options)
            assert why in one.says()
        mine = [f"cert={folder}/client.pem", f"key={folder}/client.key"]
        assert try_backend("socket", target, 100, SIZE, ca, *mine)[0] == 100
        assert server.wait_for_lines(100) == texts(100)


def test_wrong_files(folder):
    certificates.usual(folder)
    (folder / "empty.pem").write_text("nothing\n")
    for options, why in [
            ([f"ca={folder}/none.pem"], "none.pem: No such file or directory"),
            ([f"cert={folder}/empty.pem"], "empty.pem: nothing of the kind in it, expected PEM"),
            ([f"cert={folder}/server.pem"], "server.pem: no key in it that could be read"),
            ([f"cert={folder}/server.pem", f"key={folder}/ca.key"], "key values mismatch")]:
        assert why in Try("socket", "tls://localhost:1", 1, 9, *options).says()


def test_troubles_in_words(folder):
    dead = free_port()
    for target, why in [
            (f"tcp://localhost:{dead}", f"connect to tcp://localhost:{dead} (127.0.0.1): Conn"),
            (f"{folder}/none", f"connect to {folder}/none: No such file or directory"),
            ("tcp://no-such-host.invalid:1", "resolve no-such-host.invalid: ")]:
        assert why in Try("socket", target, 1, 9, try_ms=3000).says()
    # A datagram is sent, whoever listens; the refusal of one is told, and stops nothing.
    count, _, said = try_backend("socket", f"127.0.0.1:{dead}", 1000, 9)
    assert count == 1000 and "nobody listens there" in said


def test_nobody_listens_to_datagrams(yarder, folder):
    """They count as sent, and the operator is told."""
    target = f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    daemon = yarder(f"input = unix:{{folder}}/in\noutput = there socket:{target}\n")
    sender = senders.unix_datagram(folder / "in")
    for number in range(20):
        sender.send(text(number))
        ledger.wait_settled(daemon, number + 1, 20)
    assert delivered(daemon.status()) == 20
    daemon.wait_for_stderr(f"udp://{target}: nobody listens there", 20)


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
def test_hung_peer(folder, scheme):
    """One that accepts and never reads: tries end at their deadline, and what it reads is whole."""
    certificates.usual(folder)
    with receivers.tcp() as receiver:
        receiver.pause()
        options = [f"ca={folder}/ca.pem"] if scheme == "tls" else []
        size, count = 1 << 16, 400
        began = time.monotonic()
        one = Try("socket", f"{scheme}://localhost:{receiver.port}", count, size, *options,
                  try_ms=300)
        said = one.process.stderr.readline()
        assert time.monotonic() - began < 5
        if scheme == "tls":
            assert "TLS: no answer; does it speak TLS there?" in said
            one.says()
            return
        assert "the peer takes nothing" in said
        receiver.resume()
        assert one.end()[:2] == (count, 0)
        # Where the stream stopped it went on: one connection, each record once.
        wanted = b"".join(text(number, size) + b"\n" for number in range(count))
        assert received(receiver, len(wanted)) == wanted
        assert len(receiver.streams) == 1


def test_connection_breaks_in_a_record():
    """The record in the middle comes as a whole on the next connection."""
    size, count = 1 << 16, 400
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = Try("socket", f"tcp://127.0.0.1:{listener.getsockname()[1]}", count, size, try_ms=300)
        first, _ = listener.accept()
        assert "takes nothing" in one.process.stderr.readline()
        came = first.recv(1 << 20)
        first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        first.close()
        second, _ = listener.accept()
        with second:
            rest = b"".join(iter(lambda: second.recv(1 << 20), b""))
    assert one.end()[:2] == (count, 0)
    assert rest.endswith(text(count - 1, size) + b"\n")
    whole = rest.split(b"\n")[:-1]
    assert whole == texts(count, count - len(whole), size)
    read = came.count(b"\n")
    lost = count - len(whole) - read
    print(f"lost with the connection: {lost} of {count} records of {size} bytes")


@pytest.mark.skipif(os.geteuid() != 0, reason="a resolver of its own takes root")
class SlowTls:
    """Takes a connection, and reads it, into `taken`, once it is let."""

    def __init__(self, folder):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.connections, self.taken, self.go_on = 0, b"", threading.Event()
        threading.Thread(target=self._serve, args=(context,), daemon=True).start()

    def _serve(self, context):
        while True:
            connection, _ = self.listening.accept()
            self.connections += 1
            with context.wrap_socket(connection, server_side=True) as secure:
                self.go_on.wait()
                while chunk := secure.recv(1 << 16):
                    self.taken += chunk


@pytest.mark.parametrize("size", [300, 3000, 100000])
def test_a_tls_peer_that_reads_nothing(folder, size):
    """It keeps its connection, amid a record of TLS, too; no byte is lost or doubled."""
    stores.certificate(folder)
    count = (24 << 20) // size
    peer = SlowTls(folder)
    one = Try("socket", f"tls://127.0.0.1:{peer.port}", count, size, f"ca={folder}/cert.pem",
              try_ms=200)
    for _ in range(3):
        assert "the peer takes nothing" in one.process.stderr.readline()
    peer.go_on.set()
    assert one.end()[0] == count
    whole = b"".join(one + b"\n" for one in texts(count, size=size))
    wait_until(lambda: len(peer.taken) >= len(whole), 20, "the rest")
    assert peer.taken == whole and peer.connections == 1


def test_resolver_hangs(folder):
    """Tries end at their deadline, one lookup is left behind; its answer serves when it comes."""
    (folder / "resolv.conf").write_text("nameserver 127.0.0.77\noptions timeout:20 attempts:1\n")
    own = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"',
           f"{folder}/resolv.conf"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver, receivers.tcp() as receiver:
        resolver.bind(("127.0.0.77", 53))
        resolver.settimeout(20)
        one = Try("socket", f"tcp://logs.example:{receiver.port}", 5, 9, try_ms=200, wrapper=own)
        for _ in range(4):
            assert "resolve logs.example: no answer yet" in one.process.stderr.readline()
        threads = os.listdir(f"/proc/{one.process.pid}/task")
        assert len(threads) == 2, threads
        for _ in range(2):  # A and AAAA
            query, whom = resolver.recvfrom(1 << 16)
            asks_four = query[-4:-2] == b"\0\1"
            answer = b"\xc0\x0c" + struct.pack(">HHIH4B", 1, 1, 60, 4, 127, 0, 0, 1)
            head = query[:2] + struct.pack(">HHHHH", 0x8180, 1, int(asks_four), 0, 0)
            resolver.sendto(head + query[12:] + (answer if asks_four else b""), whom)
        assert one.end()[0] == 5
        receiver.wait_for_lines(5, 20)


LOSSY = """\
input  = unix:{folder}/in,socket=stream
output = there socket:tcp://127.0.0.1:PORT,queue=disk:64M,on-full=block
output = file:{folder}/all
"""


def send(sender, first, end):
    sender.send(b"\n".join(audit.make("a", number, SIZE) for number in range(first, end)))


def test_receiver_dies(yarder, folder):
    """What lay in the two kernels is lost, and measured; all else is there, in order, once."""
    port = free_port()
    daemon = yarder(LOSSY.replace("PORT", str(port)))
    sender = senders.unix_stream(folder / "in")
    read, stuck = RECORDS // 4, RECORDS // 4 + 1000
    with receivers.tcp(port) as receiver:
        send(sender, 0, read)
        receiver.wait_for_lines(read, 20)
        receiver.pause()
        send(sender, read, RECORDS * 3 // 4)
        ledger.wait_for(daemon, lambda status: delivered(status) > stuck)
    first = [line for line in receiver.lines() if line.endswith(b"\n")]
    daemon.wait_for_stderr("records wait", 20)
    send(sender, RECORDS * 3 // 4, RECORDS)
    with receivers.tcp(port) as receiver:
        ledger.wait_settled(daemon, RECORDS, 20)
        last = audit.make("a", RECORDS - 1, SIZE) + b"\n"
        wait_until(lambda: receiver.lines()[-1:] == [last], 20, "the last record")
        second = receiver.lines()
    found = audit.Audit({"a": RECORDS}).lines(first + second).report()
    found.assert_clean(missing=int(second[0].split()[1]) - len(first))
    print(f"lost with the receiver: {found.missing} of {RECORDS} records of {SIZE} bytes")
    assert audit.audit([folder / "all"], {"a": RECORDS}).missing == 0


def delivered(status):
    return ledger.named(status, "there")["delivered"]
