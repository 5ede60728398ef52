# SPDX-License-Identifier: Apache-2.0
"""redis behind the daemon: servers and workers die, and the daemon with what was not answered."""
import pytest

from harness import kills, ledger, senders, stores
from harness.audit import Audit
from harness.wait import wait_until

COUNT = 20000
XADD = "command=xadd logs ${id} msg"


def came(texts, counts):
    report = Audit(counts).lines(text + b"\n" for text in texts).report()
    print(f"{report.records} came, {report.twice} twice")
    return report


def restart(server):
    server.kill()
    server.start()


QUEUES = ["memory:64M", "disk:64M"]


@pytest.mark.parametrize("queue", QUEUES)
def test_daemon_streams(yarder, folder, queue):
    """A stream whose server dies twice: all records, none twice."""
    with stores.redis(folder / "redis") as server:
        one = yarder(f"input = ring\noutput = store redis:127.0.0.1:{server.port},{XADD},"
                     f"queue={queue},retry=10ms..100ms\n")
        counts, _ = stores.deliver_past(one, lambda: [restart(server), restart(server)])
        client = stores.redis_client(server.port)
        came([fields[b"msg"] for _, fields in client.xrange("logs")], counts).assert_clean()


@pytest.mark.parametrize("queue", QUEUES)
def test_daemon_lists(yarder, folder, queue):
    """A list has no ids: at least once, and what may be twice is what the daemon says."""
    with stores.redis(folder / "redis") as server:
        one = yarder(f"input = ring\noutput = store redis:127.0.0.1:{server.port},queue={queue},"
                     "retry=10ms..100ms\n")
        counts, status = stores.deliver_past(one, lambda: [restart(server), restart(server)])
        client = stores.redis_client(server.port)
        came(client.lrange("yarder", 0, -1), counts).assert_clean(
            twice=status["outputs"][0]["uncertain"])


def test_daemon_dies(yarder, folder):
    """Ten workers die with a stream at the other end: what they had sent is told from new."""
    with stores.redis(folder / "redis") as server:
        one = yarder(f"input = ring\noutput = store redis:127.0.0.1:{server.port},{XADD},"
                     "queue=memory:64M,retry=10ms..100ms\n")
        client = stores.redis_client(server.port)

        class Progress:
            @staticmethod
            def line_count():
                return client.xlen("logs")

        counts, status = stores.deliver_past(
            one, lambda: kills.Killer(one, Progress()).run(10))
        assert status["workers_crashed"] == 10
        came([fields[b"msg"] for _, fields in client.xrange("logs")], counts).assert_clean()


def test_daemon_is_killed(yarder, folder):
    """With all its processes, while the server has what it did not answer for: none twice."""
    config = "input = unix:{folder}/in,socket=stream\n"
    with stores.redis(folder / "redis") as server:
        client = stores.redis_client(server.port)
        config += (f"output = store redis:127.0.0.1:{server.port},{XADD},queue=disk:64M,"
                   "retry=10ms..100ms\n")
        one = yarder(config)
        with senders.unix_stream(folder / "in") as sender:
            sender.send_audited("unix", COUNT)
            wait_until(lambda: client.xlen("logs") == COUNT, 20, "the first part")
            server.stop()
            sender.send_audited("unix", COUNT, first=COUNT)
            ledger.wait_for(one, lambda status: status["outputs"][0]["spooled"] == COUNT
                            and status["outputs"][0].get("in_call_ms", 0) > 100)
        one.kill()
        server.go_on()
        one.start()
        ledger.wait_for(one, lambda status: status["outputs"][0]["found"] == COUNT
                        and ledger.held(status) == 0)
        came([fields[b"msg"] for _, fields in client.xrange("logs")],
             {"unix": 2 * COUNT}).assert_clean()
