# SPDX-License-Identifier: Apache-2.0
"""Datagrams by trains: `send --gso` makes them, UDP_GRO brings them, and each stays a record."""
import shutil
import socket
import subprocess
import sys

import pytest

from harness import ledger
from harness.audit import audit
from harness.daemon import program
from harness.wait import free_port

SECONDS = 20
UDP_GRO = 104


class Receiver:
    """A socket that says what came by one call: the bytes, and the size of a train's datagrams."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(SECONDS)
        try:
            self.socket.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        except OSError:
            pytest.skip("this kernel has no UDP_GRO")

    def send(self, *arguments, text):
        port = self.socket.getsockname()[1]
        return subprocess.run([program(), "send", "--udp", f"127.0.0.1:{port}", *arguments],
                              input=text, capture_output=True, text=True, timeout=SECONDS,
                              check=True).stderr

    def take(self, count):
        """So many datagrams, a list for each call."""
        calls = []
        while sum(map(len, calls)) < count:
            data, control, _, _ = self.socket.recvmsg(1 << 16, 64)
            size = int.from_bytes(control[0][2][:4], sys.byteorder) if control else len(data)
            calls.append([data[at:at + size].decode() for at in range(0, len(data), size or 1)])
        return calls


def test_datagrams_of_one_size_travel_together():
    """A shorter one ends a train, a longer one begins the next."""
    texts = 100 * ["same"] + ["end", "longer", "longer", "x", "y"]
    receiver = Receiver()
    said = receiver.send("--gso", text="\n".join(texts))
    calls = receiver.take(len(texts))
    assert [text for call in calls for text in call] == texts
    assert list(map(len, calls)) == [64, 37, 3, 1]
    assert f"sent {len(texts)} lost 0 " in said


def test_without_the_option_each_goes_alone():
    receiver = Receiver()
    receiver.send(text=10 * "same\n")
    assert list(map(len, receiver.take(10))) == 10 * [1]


@pytest.mark.parametrize("pace", [(), ("--rate", "50000")])
def test_each_datagram_of_a_train_is_a_record(yarder, folder, pace):
    port = free_port(socket.SOCK_DGRAM)
    daemon = yarder(f"input = udp:127.0.0.1:{port}\noutput = file:{{folder}}/log\n")
    said = daemon.cli("send", "--udp", f"127.0.0.1:{port}", "--gso", "--sequence", "a", "--count",
                      "5000", "--size", "200", *pace).stderr
    assert "sent 5000 lost 0" in said
    if pace:
        assert float(said.split("seconds ")[1].split()[0]) > 0.09
    ledger.wait_settled(daemon, 5000, SECONDS)
    audit([folder / "log"], {"a": 5000}).assert_clean()


# In a network of its own, whose loopback holds no more than an ethernet frame.
ALONE = """
import socket, subprocess, sys
subprocess.run(["ip", "link", "set", "lo", "up", "mtu", "1500"], check=True)
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(("127.0.0.1", 0))
receiver.settimeout(20)
to = "127.0.0.1:%d" % receiver.getsockname()[1]
said = subprocess.run([sys.argv[1], "send", "--udp", to, "--gso", "--tag", "t", "--count", "20",
                       "--size", "2000"], check=True, capture_output=True, text=True).stderr
assert "sent 20 lost 0 " in said, said
for _ in range(20):
    assert len(receiver.recv(1 << 16)) > 2000
"""


def test_what_is_refused_as_a_train_goes_one_by_one():
    if not shutil.which("ip") or subprocess.run(["unshare", "-rn", "true"], check=False).returncode:
        pytest.skip("no network of our own to be had")
    subprocess.run(["unshare", "-rn", "/usr/bin/python3", "-c", ALONE, program()], check=True,
                   timeout=2 * SECONDS)
