# SPDX-License-Identifier: Apache-2.0
"""Connections come, say little, and go: the last of it is there and nothing stays behind."""
import os
import random

import pytest

from harness import audit, ledger, senders
from harness.wait import free_port, wait_until

CONNECTIONS = 2500
SECONDS = 30


def open_fds(yarder):
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in yarder.worker_pids())


def send_in_pieces(stream, record, luck):
    """Byte by byte for a while, or in two: as fast as it goes, so that the end comes early."""
    if luck.random() < 0.5:
        for byte in record[:400]:
            stream.send(bytes([byte]))
        stream.sendall(record[400:])
    else:
        cut = luck.randrange(len(record))
        stream.sendall(record[:cut])
        stream.sendall(record[cut:])


@pytest.mark.parametrize("kind", ["unix", "tcp"])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_many_short_connections(yarder, folder, kind, end):
    """A few records each, the last without a line end or with it, and a close right behind it."""
    luck = random.Random(4)
    port = free_port()
    one = yarder({"unix": "input = unix:{folder}/in,socket=stream\n",
                  "tcp": f"input = tcp:127.0.0.1:{port}\n"}[kind]
                 + "output = file:{folder}/all.log\n")
    wait_until((folder / "all.log").exists, SECONDS, "the file")
    before = open_fds(one)
    connections, count = [], 0
    for _ in range(CONNECTIONS):
        records = [audit.make("a", count + i, luck.randrange(3000)) + b"\n"
                   for i in range(luck.randrange(1, 6))]
        records[-1] = records[-1][:-1] + end
        count += len(records)
        connections.append(records)
    for records in connections:
        with (senders.unix_stream(folder / "in", b"") if kind == "unix"
              else senders.tcp(port, b"")) as sender:
            sender.socket.setblocking(True)
            for record in records:
                send_in_pieces(sender.socket, record, luck)
    ledger.wait_settled(one, count, SECONDS)
    audit.audit([folder / "all.log"], {"a": count}, unordered=["a"]).assert_clean()
    wait_until(lambda: open_fds(one) == before, SECONDS,
               lambda: f"{before} descriptors, not {open_fds(one)}")
