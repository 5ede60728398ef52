# SPDX-License-Identifier: Apache-2.0
"""redis: a cluster of three nodes, whose slots move while records come."""
import contextlib

from harness import stores
from harness.stores import Try, try_backend
from harness.wait import free_port, wait_until

COUNT = 20000


@contextlib.contextmanager
def cluster(folder):
    """Three nodes, each with a third of the slots, and a client of each."""
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(stores.redis(
            folder / name, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf",
            "--cluster-port", str(free_port()))) for name in "abc"]
        yield nodes, unite(nodes)


def unite(nodes):
    clients = [stores.redis_client(node.port) for node in nodes]
    for at, client in enumerate(clients):
        first, last = at * 5461, 16383 if at == 2 else at * 5461 + 5460
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        bus = nodes[at].command[nodes[at].command.index("--cluster-port") + 1]
        clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[at].port, bus)
    wait_until(lambda: all(one.execute_command("CLUSTER INFO")["cluster_state"] == "ok"
                           for one in clients), 20, "the cluster to be whole")
    wait_until(lambda: all(len(one.execute_command("CLUSTER", "SLOTS")) == 3 for one in clients),
               20, "the cluster to agree")
    return clients


def test_cluster(folder):
    with cluster(folder) as (nodes, clients):
        target = f"127.0.0.1:{nodes[0].port}"
        assert try_backend("redis", target, COUNT, 100, "command=rpush logs:${id}")[0] == COUNT
        sizes = [client.dbsize() for client in clients]
        assert sum(sizes) == COUNT and min(sizes) > COUNT // 5, sizes
        # {tags} decide: all of them on one node.
        assert try_backend("redis", target, COUNT, 100, "command=set {t}:${id}")[0] == COUNT
        now = [client.dbsize() for client in clients]
        assert sorted(now[at] - sizes[at] for at in range(3)) == [0, 0, COUNT]
        said = Try("redis", target, 3, 8, "command=set x", "cluster=no").says()
        assert "cluster=auto" in said


def test_cluster_moves_a_slot(folder):
    """ASK while it moves, MOVED when it has; the stream stays whole."""
    with cluster(folder) as (nodes, clients):
        names = [client.execute_command("CLUSTER", "MYID").decode() for client in clients]
        slot = clients[0].execute_command("CLUSTER", "KEYSLOT", "logs")
        at = min(slot // 5461, 2)
        to = (at + 1) % 3
        one = Try("redis", f"127.0.0.1:{nodes[0].port}", 10 * COUNT, 100,
                  "command=xadd logs ${id} msg")
        wait_until(lambda: clients[at].xlen("logs") > COUNT, 20, "it to be at work")
        clients[to].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", names[at])
        clients[at].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", names[to])
        clients[at].execute_command("MIGRATE", "127.0.0.1", nodes[to].port, "logs", 0, 20000)
        assert clients[at].dbsize() == 0

        def grows():
            clients[to].execute_command("ASKING")
            return clients[to].execute_command("XLEN", "logs")

        size = grows()
        wait_until(lambda: grows() > size, 20, "the stream to grow in its new place")
        for client in [clients[to], clients[at]]:
            client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[to])
        assert one.end()[:2] == (10 * COUNT, 0)
        came = [int(fields[b"msg"].split()[0]) for _, fields in clients[to].xrange("logs")]
        assert came == list(range(10 * COUNT))
