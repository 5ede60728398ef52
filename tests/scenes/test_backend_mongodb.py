# SPDX-License-Identifier: Apache-2.0
"""mongodb: libmongoc against a server of its protocol that denies, hangs, dies and comes back."""
import socket
import sys
import time

import pytest

from harness import kills, mongo_peer, stores
from harness.audit import Audit
from harness.stores import Try, try_backend
from harness.wait import free_port, wait_until

bson = pytest.importorskip("bson")
COUNT = 20000


class Peer(stores.Store):
    """mongo_peer.py; its file has the documents of all its lives."""

    def __init__(self, folder):
        port = free_port()
        self.file = folder / "documents"
        script = stores.ROOT / "tests" / "harness" / "mongo_peer.py"
        super().__init__(folder, [sys.executable, str(script), str(port), str(self.file)], port)
        self.address = f"127.0.0.1:{port}"

    def documents(self):
        return [bson.decode(one) for one in mongo_peer.split(self.file.read_bytes())]

    def numbers(self):
        return [int(one["msg"].split()[0]) for one in self.documents()]

    def wait_bytes(self, count):
        wait_until(lambda: self.file.stat().st_size >= count, 20, "it to be at work")


def test_documents(folder):
    with Peer(folder) as peer:
        assert try_backend("mongodb", peer.address, COUNT, 100, "node=web1")[0] == COUNT
        assert sorted(peer.numbers()) == list(range(COUNT))
        documents = peer.documents()
        assert list(documents[0]) == ["_id", "node", "ts", "msg"]
        assert documents[0]["node"] == "web1" and len(documents[7]["msg"]) == 100
        assert abs(documents[0]["ts"].timestamp() - time.time()) < 60
        assert len({one["_id"] for one in documents}) == COUNT


@pytest.mark.parametrize("line, node", [("mongodblog:{0}", "vm"),
                                        ("mongodblog:{0},foo.bar,node1", "node1")])
def test_uwsgi_lines(folder, line, node):
    with Peer(folder) as peer:
        assert try_backend("mongodb", "uwsgi:" + line.format(peer.address), 1, 8)[0] == 1
        [document] = peer.documents()
        assert (document["node"], document["msg"]) == (node, "0 xxxxxx\n")


def test_answers_for_single_documents(folder):
    with Peer(folder) as peer:
        for collection, delivered, why in [("invalid", 150, "failed validation (121)"),
                                           ("unique", 0, "node_1"),
                                           ("conflict", 300, "WriteConflict (112)"),
                                           ("slow", 300, "replication")]:
            peer.file.write_bytes(b"")
            peer.kill()
            peer.start()
            came, refused, said = try_backend("mongodb", f"{peer.address},db.{collection}", 300, 20)
            assert (came, refused) == (delivered, 300 - delivered), said
            assert why in said
            assert len(set(peer.numbers())) == len(peer.numbers()) == delivered
        assert "denied" not in said
        said = Try("mongodb", f"{peer.address},db.denied", 3, 20).says()
        assert "not authorized" in said and "refused" not in said


def test_killed_in_the_middle(folder):
    """Whether the answer or the documents got lost with it: all are there, none twice."""
    with Peer(folder) as peer:
        one = Try("mongodb", peer.address, 5 * COUNT, 100)
        for part in (1, 2, 3):
            peer.wait_bytes(part * COUNT * 160)
            peer.kill()
            peer.start()
        assert one.end()[:2] == (5 * COUNT, 0)
        assert sorted(peer.numbers()) == list(range(5 * COUNT))


def test_hung(folder):
    """A server that takes and does not answer; what it took is there once."""
    with Peer(folder) as peer:
        one = Try("mongodb", peer.address, 5 * COUNT, 100, try_ms=1200)
        peer.wait_bytes(COUNT * 160)
        peer.stop()
        began = time.monotonic()
        assert "insert" in one.process.stderr.readline()
        assert time.monotonic() - began < 1.2
        peer.go_on()
        assert one.end()[:2] == (5 * COUNT, 0)
        assert sorted(peer.numbers()) == list(range(5 * COUNT))


def test_nobody_speaks(folder):
    """A port that accepts and says nothing, one that is closed, one that says something else."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        began = time.monotonic()
        said = Try("mongodb", f"127.0.0.1:{deaf.getsockname()[1]}", 3, 8, try_ms=1200).says()
        assert "insert: " in said and time.monotonic() - began < 1.2
    said = Try("mongodb", f"127.0.0.1:{free_port()}", 3, 8).says()
    assert "onnection refused" in said
    with stores.redis(folder) as other:
        assert "insert: " in Try("mongodb", f"127.0.0.1:{other.port}", 3, 8, try_ms=1200).says()


def test_wrong_options(folder):
    (folder / "uri").write_text("mongodb://u:sekret@127.0.0.1:1/?tls=flase\n")
    for target, options, why in [
            ("", [], "expected a target or uri="), ("h:1,logs", [], "HOST:PORT,DB.COLLECTION"),
            ("h:1", ["uri=mongodb://h"], "one of them"), ("mongodb://h/?w=0", [], "w=0"),
            ("mongodb://h/?nosuchoption=1", [], "nosuchoption"), ("h:x", [], "ost"),
            ("h:1,a.b", ["db=c"], "DB.COLLECTION in the target and in db="),
            ("", ["uri=mongodb://u:sekret:x@h"], "as %XX"),
            ("", [f"uri=file:{folder}/uri"], "tls")]:
        said = Try("mongodb", target, 1, 8, *options).says()
        assert why in said and "sekret" not in said, said


def check_all(peer, counts):
    """Each document once; an insert is unordered, as the ids are what tells."""
    texts = [one["msg"].encode() + b"\n" for one in peer.documents()]
    Audit(counts, unordered=["ring"]).lines(texts).report().assert_clean()


@pytest.mark.parametrize("queue", ["memory:64M", "disk:64M"])
def test_daemon(yarder, folder, queue):
    with Peer(folder / "peer") as peer:
        one = yarder(f"input = ring\noutput = store mongodb:{peer.address},queue={queue},"
                     "retry=10ms..100ms\n")

        def restart():
            for _ in range(2):
                peer.kill()
                peer.start()

        counts, _ = stores.deliver_past(one, restart)
        check_all(peer, counts)


def test_daemon_dies(yarder, folder):
    """Ten workers die; what they had sent is told from new by its _id."""
    with Peer(folder / "peer") as peer:
        one = yarder(f"input = ring\noutput = store mongodb:{peer.address},queue=memory:64M,"
                     "retry=10ms..100ms\n")

        class Progress:
            @staticmethod
            def line_count():
                return peer.file.stat().st_size

        counts, status = stores.deliver_past(one, lambda: kills.Killer(one, Progress()).run(10))
        assert status["workers_crashed"] == 10
        check_all(peer, counts)
