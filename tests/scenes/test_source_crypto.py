# SPDX-License-Identifier: Apache-2.0
"""crypto as an input: uWSGI's packets made by openssl, sealed ones by somebody else's ciphers, our
own output, and what is none of these."""
import json
import os
import signal
import socket
import subprocess
import time

import pytest

pytest.importorskip("cryptography")

from harness import ledger, peers  # noqa: E402
from harness.logged import wait_lines  # noqa: E402
from harness.sealed import seal  # noqa: E402
from harness.wait import free_port  # noqa: E402

SECONDS = 20
KEY = bytes(range(32))
# As uWSGI 2.0.21 sent them: aes-128-cbc, secret ciaociao, no iv.
VECTOR = bytes.fromhex("a5457ca123ba21471908fbf9703bac9cafdf59b934efdccf7e86eb5cf4092303")


@pytest.fixture
def listen(yarder):
    """listen(options): a daemon, and a socket that is connected to its input."""
    senders = []

    def start(options):
        port = free_port(socket.SOCK_DGRAM)
        daemon = yarder(f"input = c crypto:127.0.0.1:{port},{options}\n"
                        "output = file:{folder}/log,format=json,input=c\n")
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.connect(("127.0.0.1", port))
        senders.append(sender)
        return daemon, sender

    yield start
    for sender in senders:
        sender.close()


def wait_refused(daemon, count):
    ledger.wait_for(
        daemon, lambda status: ledger.named(status, "c")["refused"]["corrupt"] == count)


@pytest.mark.sanitize
def test_a_packet_of_uwsgis(listen):
    """Its text without the time, which is the record's; the newline is its habit."""
    daemon, sender = listen("algo=aes-128-cbc,secret=ciaociao")
    sender.send(VECTOR)
    (got,) = wait_lines(daemon, 1)
    assert got["message"] == "hello world" and got["peer"] == "127.0.0.1"
    assert got["time"].startswith("2026-11-21T01:00:17.495104")
    for noise in (b"", b"short", VECTOR[:-1], os.urandom(64), bytes(16)):
        sender.send(noise)
    wait_refused(daemon, 5)
    assert "of another key, or not encrypted" in daemon.stderr()
    assert "ciaociao" not in daemon.stderr() + json.dumps(daemon.status())


@pytest.mark.parametrize("algorithm, key_bytes, iv_bytes, providers", [
    ("aes-256-cbc", 32, 16, []), ("aes-128-ecb", 16, 0, []), ("des-ede3-cbc", 24, 8, []),
    ("aes-192-cfb", 24, 16, []), ("aes-128-ofb", 16, 16, []),
    ("bf-cbc", 16, 8, ["-provider", "legacy", "-provider", "default"])])
def test_ciphers(listen, algorithm, key_bytes, iv_bytes, providers):
    """By any of OpenSSL's, those of the past too, as openssl itself makes them."""
    daemon, sender = listen(f"algo={algorithm},secret=sekret,iv=12")
    key = b"sekret".ljust(key_bytes, b"\0").hex()
    iv = ["-iv", b"12".ljust(iv_bytes, b"0").hex()] if iv_bytes else []
    for number in range(3):
        packet = subprocess.run(
            [peers.need("openssl"), "enc", f"-{algorithm}", "-K", key, *iv, *providers],
            input=f"1600000000000000 node7 line {number}\n".encode(), check=True,
            capture_output=True).stdout
        sender.send(packet)
    got = wait_lines(daemon, 3)
    assert [line["message"] for line in got] == [f"node7 line {number}" for number in range(3)]
    assert got[0]["time"].startswith("2020-09-13T12:26:40")


def test_noise_from_many_peers(listen):
    """Each datagram counts; standard error has a few lines, whoever they claim to come from."""
    daemon, sender = listen("algo=aes-128-cbc,secret=ciaociao")
    for number in range(200):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind((f"127.0.1.{number + 1}", 0))
            other.sendto(b"noise", sender.getpeername())
    wait_refused(daemon, 200)
    assert 1 <= daemon.stderr().count("a datagram of") <= 8


@pytest.mark.sanitize
def test_sealed(listen, folder):
    """Once each, whatever is sent again; changed, old and others' packets are told apart."""
    (folder / "key").write_text(KEY.hex() + "\n")
    (folder / "key").chmod(0o600)
    daemon, sender = listen(f"key=file:{folder}/key,max-age=1m")
    salt = os.urandom(16)
    packets = [seal(KEY, b"line %d" % number, number, salt) for number in range(300)]
    for packet in packets:
        sender.send(packet)
    wait_lines(daemon, 300)
    for packet in (packets[7], packets[299]):
        sender.send(packet)
    damaged = bytearray(packets[0])
    damaged[-1] ^= 1
    sender.send(bytes(damaged))
    sender.send(seal(bytes(32), b"stranger"))
    sender.send(seal(KEY, b"old", at_ns=time.time_ns() - 3600 * 10**9))
    sender.send(b"hello")
    wait_refused(daemon, 6)
    sender.send(seal(KEY, b"1234567890123456 is a text", 300, salt, algorithm=2))
    got = wait_lines(daemon, 301)
    assert [line["message"] for line in got[:300]] == [f"line {number}" for number in range(300)]
    assert got[300]["message"] == "1234567890123456 is a text"
    assert "was here before" in daemon.stderr() and "too old" in daemon.stderr()
    assert KEY.hex() not in daemon.stderr() + json.dumps(daemon.status())


@pytest.mark.parametrize("keys", [f"key={KEY.hex()}", "algo=aes-128-cbc,secret=sekret",
                                  "algo=aes-256-ctr,secret=sekret"])
def test_our_own(yarder, folder, keys):
    """What the output sends comes in whole and in order, over deaths of source and worker."""
    port = free_port(socket.SOCK_DGRAM)
    daemon = yarder(f"input = c crypto:127.0.0.1:{port},{keys}\ninput = in unix:{{folder}}/in\n"
                    f"output = out crypto:127.0.0.1:{port},{keys},input=in\n"
                    "output = file:{folder}/log,format=json,input=c\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(str(folder / "in"))

        def give(numbers):
            for number in numbers:
                sender.send(b"line %d" % number)

        give(range(200))
        wait_lines(daemon, 200)
        (source,) = daemon.source_pids()
        os.kill(source, signal.SIGKILL)
        give(range(200, 300))
        wait_lines(daemon, 300)
        daemon.kill_worker()
        give(range(300, 400))
        got = wait_lines(daemon, 400)
    assert [line["message"] for line in got] == [f"line {number}" for number in range(400)]
    ledger.assert_balanced(daemon.status())


@pytest.mark.parametrize("options, why", [
    ("tag=x", "expected key= or secret=, one of them"),
    ("algo=none-such,secret=x", "none-such"),
    ("key=abc", "expected 32 bytes"),
])
def test_what_is_refused(folder, options, why):
    from harness.daemon import Yarder
    one = Yarder(folder, f"input = crypto:127.0.0.1:1,{options}\noutput = null:\n")
    result = one.cli("check", str(one.config), check=False)
    assert result.returncode == 2 and why in result.stdout + result.stderr
