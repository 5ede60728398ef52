# SPDX-License-Identifier: Apache-2.0
"""zeromq: pyzmq's PULL and SUB, by CURVE, late, full, and killed in the middle."""
import json
import socket
import struct
import sys

import pytest

from harness import ledger, senders, stores
from harness.audit import Audit
from harness.stores import Try, try_backend
from harness.wait import free_port, wait_until

zmq = pytest.importorskip("zmq")
COUNT = 20000
HWM = 1000


class Peer(stores.Store):
    """zmq_peer.py; what it has taken is in its file, over all its lives."""

    def __init__(self, folder, *words, address=None, keys=()):
        self.address = address or f"tcp://127.0.0.1:{free_port()}"
        self.file = folder / "messages"
        script = stores.ROOT / "tests" / "harness" / "zmq_peer.py"
        super().__init__(folder, [sys.executable, str(script), *words, self.address,
                                  str(self.file), *keys], None)

    def _is_up(self):
        return self.process.poll() is None and self.file.exists()

    def kill(self):
        """What it was writing is half a line: nothing that it has taken."""
        super().kill()
        whole = self.file.read_bytes().rpartition(b"\n")[:2]
        self.file.write_bytes(b"".join(whole))

    def messages(self):
        whole = self.file.read_text().rpartition("\n")[0]  # another may be on its way
        return [json.loads(line) for line in whole.splitlines()]

    def count(self):
        return self.file.read_bytes().count(b"\n")

    def wait(self, count, seconds=20):
        wait_until(lambda: self.count() >= count, seconds,
                   lambda: f"{count} messages, {self.count()} came")
        return self.messages()

    def numbers(self):
        return [int(frames[-1].split()[0]) for frames in self.messages()]


@pytest.mark.parametrize("scheme", ["tcp", "ipc"])
def test_a_message_for_each_record(folder, scheme):
    address = f"ipc://{folder}/socket" if scheme == "ipc" else None
    with Peer(folder, "pull", "bind", address=address) as peer:
        assert try_backend("zeromq", peer.address, COUNT, 100)[0] == COUNT
        messages = peer.wait(COUNT)
        assert peer.numbers() == list(range(COUNT))
        assert {len(frames) for frames in messages} == {1}
        assert {len(frames[0]) for frames in messages} == {100}
        assert try_backend("zeromq", f"uwsgi:zmq:{peer.address}", 1, 8)[0] == 1
        assert peer.wait(COUNT + 1)[-1] == ["0 xxxxxx\n"]


def test_we_bind(folder):
    """The other way round, and to subscribers with a topic in front."""
    address = f"tcp://127.0.0.1:{free_port()}"
    with Peer(folder, "pull", "connect", address=address) as peer:
        assert try_backend("zeromq", address, COUNT, 8, "bind=yes")[0] == COUNT
        peer.wait(COUNT)
        assert peer.numbers() == list(range(COUNT))
    with Peer(folder / "sub", "sub", "bind") as peer:
        # Who subscribes late has missed what was published before.
        assert try_backend("zeromq", peer.address, 50 * COUNT, 8, "socket=pub", "topic=logs")[0]
        wait_until(lambda: peer.count() > 0, 20, "some of it")
        assert peer.messages()[0][0] == "logs"


def test_curve(folder):
    server_public, server_secret = zmq.curve_keypair()
    public, secret = zmq.curve_keypair()
    (folder / "key").write_bytes(secret + b"\n")
    keys = [server_secret.decode(), server_public.decode()]
    with Peer(folder, "pull", "bind", keys=keys) as peer:
        server_key = "server-key=" + server_public.decode()
        assert try_backend("zeromq", peer.address, COUNT, 100, server_key)[0] == COUNT
        assert try_backend("zeromq", peer.address, COUNT, 100, server_key, "public-key="
                           + public.decode(), f"secret-key=file:{folder}/key")[0] == COUNT
        peer.wait(2 * COUNT)
        # A stranger's key, or none: nobody takes it, all but what libzmq holds stays.
        for options in ([], ["server-key=" + public.decode()]):
            said = Try("zeromq", peer.address, COUNT, 100, "linger=0", *options,
                       try_ms=300).says()
            assert "no peer takes what there is" in said
        assert peer.count() == 2 * COUNT
    address = f"tcp://127.0.0.1:{free_port()}"
    keys = [secret.decode(), public.decode(), server_public.decode()]
    with Peer(folder / "other", "pull", "connect", address=address, keys=keys) as peer:
        assert try_backend("zeromq", address, COUNT, 100, "bind=yes",
                           "secret-key=" + server_secret.decode())[0] == COUNT
        peer.wait(COUNT)


def test_wrong_options():
    for target, options, why in [
            ("127.0.0.1:5", [], "expected tcp://"), ("tcp://host", [], "expected tcp://"),
            ("tcp://h:5", ["server-key=short"], "40 characters"),
            ("tcp://h:5", ["topic=x"], "socket=pub"),
            ("tcp://*:5", [], "expected bind=yes beside it, or the peer's tcp://HOST:PORT"),
            ("tcp://h:5", ["secret-key=" + "0" * 40], "goes with")]:
        assert why in Try("zeromq", target, 1, 8, *options).says()


def test_no_peer_yet(folder):
    """With nobody there libzmq takes hwm= messages, and the rest waits for who comes."""
    peer = Peer(folder, "pull", "bind")
    one = Try("zeromq", peer.address, COUNT, 100, try_ms=300)
    assert "no peer takes what there is" in one.process.stderr.readline()
    with peer:
        assert one.end()[:2] == (COUNT, 0)
        peer.wait(COUNT)
        assert peer.numbers() == list(range(COUNT))


def test_killed_in_the_middle(folder):
    """What lay in the kernels' buffers and in the peer is lost, no more, and nothing twice."""
    total = 20 * COUNT
    with Peer(folder, "pull", "bind") as peer:
        one = Try("zeromq", peer.address, total, 100, f"hwm={HWM}")
        wait_until(lambda: peer.count() > COUNT, 20, "it to be at work")
        peer.kill()
        peer.start()
        assert one.end()[:2] == (total, 0)
        wait_until(lambda: total - 1 in peer.numbers()[-1:], 20, "the last one")
        came = peer.numbers()
        assert len(set(came)) == len(came) and came == sorted(came)
        lost = total - len(came)
        print(f"lost {lost} of {total}, {lost * 100} bytes")
        # The peer's own queue, and two buffers of sockets.
        assert lost < HWM + (8 << 20) / 100


@pytest.mark.parametrize("length", [1 << 20, 1 << 13])
@pytest.mark.parametrize("kind,peer_kind", [("push", b"PULL"), ("pub", b"SUB")])
def test_a_peer_that_talks(yarder, folder, kind, peer_kind, length):
    """What nobody asked a peer for is not kept: too long a message ends its connection, and many
    short ones stay in its own kernel."""
    most = 128 << 20
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = yarder("input = unix:{folder}/in,socket=stream\n"
                     f"output = store zeromq:tcp://127.0.0.1:{server.getsockname()[1]},"
                     f"socket={kind}\n")
        with senders.unix_stream(folder / "in") as sender:
            sender.send(b"to open it")
        ledger.wait_settled(one, 1, 20)
        before = resident_bytes(one)
        peer, _ = server.accept()
        with peer:
            ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(peer_kind)) + peer_kind
            peer.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0")
                         + bytes(32) + b"\x04" + bytes([len(ready)]) + ready)
            peer.settimeout(2)
            said = 0
            try:
                while said < most:
                    peer.sendall(b"\x02" + struct.pack(">Q", length) + bytes(length))
                    said += length
            except (TimeoutError, ConnectionError):
                pass
        assert said < most
        assert resident_bytes(one) - before < 64 << 20


def resident_bytes(one):
    pages = [int(open(f"/proc/{pid}/statm", encoding="ascii").read().split()[1])
             for pid in one.worker_pids()]
    return sum(pages) * 4096


@pytest.mark.parametrize("queue", ["memory:64M", "disk:64M"])
def test_daemon(yarder, folder, queue):
    """A killed peer costs what is stated; the daemon's count of what it gave away is exact."""
    with Peer(folder / "peer", "pull", "bind") as peer:
        one = yarder(f"input = ring\noutput = store zeromq:{peer.address},queue={queue},"
                     "retry=10ms..100ms\n")

        def restart():
            peer.kill()
            peer.start()

        counts, status = stores.deliver_past(one, restart)
        last = f"ring {counts['ring'] - 1} "
        wait_until(lambda: last in peer.messages()[-1][0], 20, "the last one")
        report = Audit(counts).lines(
            [frames[0].encode() + b"\n" for frames in peer.messages()]).report()
        print(f"lost {report.missing} of {counts['ring']}")
        report.assert_clean(missing=HWM + (8 << 20) // 100)
        assert status["outputs"][0]["delivered"] == counts["ring"]
