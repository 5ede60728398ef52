# SPDX-License-Identifier: Apache-2.0
"""serve-udp: what uWSGI's own udp server would lose is printed, and what is sealed is opened."""
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import time

import pytest

pytest.importorskip("cryptography")

from harness import peers  # noqa: E402
from harness.daemon import ROOT, program  # noqa: E402
from harness.datagrams import ServeUdp, send  # noqa: E402
from harness.sealed import seal  # noqa: E402
from harness.wait import free_port, wait_until  # noqa: E402

KEY = bytes(range(32))

pytestmark = pytest.mark.skipif(not program().exists(), reason=f"{program()} is not built")


def refuse(*arguments):
    result = subprocess.run([str(program()), "serve-udp", *arguments], capture_output=True,
                            text=True, timeout=20, check=False)
    return result.returncode, result.stderr


def test_every_datagram_is_a_line(folder):
    """Also those of uWSGI's that begin with an I, and behind a NUL, and over 4096 bytes."""
    long = b"L" * 65507
    texts = [b"INFO is kept", b"no newline", b"one\n", b"two\nlines\n", b"", b"a\0b\x1b[1m",
             b"0 is no SNMP", long, b"last"]
    with ServeUdp(folder) as served:
        send(served.port, *texts)
        wait_until(lambda: b"last\n" in served.bytes(), 20, "the last one")
        [head] = set(re.findall(rb"\[udp:127\.0\.0\.1:\d+\] ", served.bytes()))
        assert served.bytes() == b"".join(head + text.removesuffix(b"\n") + b"\n" for text in texts)
    assert served.counts == {"received": 9, "printed": 9, "lost in the kernel": 0}


def test_raw_is_what_came(folder):
    with ServeUdp(folder, "--raw") as served:
        send(served.port, b"no newline", b"\x1b\0", b"end\n")
        wait_until(lambda: served.bytes() == b"no newline\x1b\0end\n", 20, "three datagrams")


@pytest.mark.parametrize("address, family, to", [
    ("[::1]:0", socket.AF_INET6, "::1"),
    (":0", socket.AF_INET6, "::1"),
    (":0", socket.AF_INET, "127.0.0.1"),
])
def test_addresses(folder, address, family, to):
    with ServeUdp(folder, address=address) as served:
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"hello", (to, served.port))
            port = sender.getsockname()[1]
        served.wait_for_lines(1)
        shown = f"[{to}]" if ":" in to else to
        assert served.bytes() == f"[udp:{shown}:{port}] hello\n".encode()


@pytest.mark.parametrize("group, family", [("239.255.71.71", socket.AF_INET),
                                           ("ff01::7171", socket.AF_INET6)])
def test_groups_are_joined_by_several(folder, group, family):
    port = free_port(socket.SOCK_DGRAM)
    address = f"[{group}]:{port}" if ":" in group else f"{group}:{port}"
    with ServeUdp(folder, "--interface", "lo", address=address) as one, \
            ServeUdp(folder, "-i", "lo", address=address, name="other") as other, \
            socket.socket(family, socket.SOCK_DGRAM) as sender:
        index = socket.if_nametoindex("lo")
        if family == socket.AF_INET:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,
                              struct.pack("4s4si", bytes(4), bytes(4), index))
        else:
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        try:
            sender.sendto(b"to all", (group, port))
        except OSError:
            pytest.skip(f"no route to {group}")
        for served in (one, other):
            served.wait_for_lines(1)
            assert served.lines() == [b"to all"]


def test_a_terminal_obeys_nobody(folder):
    ours, theirs = pty.openpty()
    process = subprocess.Popen([str(program()), "serve-udp", "127.0.0.1:0"], stdout=theirs,
                               stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    os.close(theirs)
    try:
        port = int(re.search(r":(\d+)$", process.stderr.readline())[1])
        send(port, b"\x1b]0;title\x07 \t\x7f \xc2\x9b31m caf\xc3\xa9\n")
        assert select.select([ours], [], [], 20)[0]
        shown = os.read(ours, 4096).decode()
        assert re.sub(r"^\[udp:127\.0\.0\.1:\d+\] ", "", shown) == (
            "\\x1b]0;title\\x07 \t\\x7f \\xc2\\x9b31m caf\u00e9\r\n"), shown
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert "received 1, printed 1" in process.stderr.read()
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_sealed_packets(folder):
    """Made by another implementation: good ones once each, in any order; the rest is named."""
    salt, other = os.urandom(16), os.urandom(16)
    good = [seal(KEY, b"text %d" % number, number, salt, key_id=9) for number in range(200)]
    forged = [packet[:-1] + bytes([packet[-1] ^ 1]) for packet in good[:3]]
    elsewhere = [packet[:28] + struct.pack(">Q", 1000) + packet[36:] for packet in good[:2]]
    stale = [seal(KEY, b"stale", 500, salt, key_id=9, at_ns=time.time_ns() - 61 * 10**9)]
    chacha = [seal(KEY, b"chacha", 0, other, key_id=9, algorithm=2)]
    second_key = [seal(bytes(32), b"of the other key", key_id=4)]
    with ServeUdp(folder, "-d", f"key={KEY.hex()},key-id=9,max-age=1m",
                  "-d", f"key-id=4,key={bytes(32).hex()}") as served:
        send(served.port, *forged, *elsewhere, *reversed(good), *good[:50], *stale, *chacha,
             *second_key, b"plain text", seal(KEY, b"no such id"))
        wait_until(lambda: served.bytes().count(b"\n") == 202, 20, lambda: served.said())
        assert sorted(served.lines()) == sorted(
            [b"text %d" % number for number in range(200)] + [b"chacha", b"of the other key"])
    assert served.counts == {"received": 260, "printed": 202, "lost in the kernel": 0,
                             "unknown": 2, "forged": 5, "replayed": 50, "expired": 1}
    assert "is not printed: forged" in served.said()


def test_a_restarted_receiver_goes_by_age_alone(folder):
    packet = seal(KEY, b"once more")
    for age, printed in (("5m", 1), ("1ms", 0)):
        with ServeUdp(folder, "-d", f"key={KEY.hex()},max-age={age}", name=age) as served:
            time.sleep(0.002)  # older than the second's max-age
            send(served.port, packet)
            wait_until(lambda: served.bytes() or "too old" in served.said(), 20, "an answer")
        assert served.counts["printed"] == printed


@pytest.mark.parametrize("algorithm", ["aes-256-cbc", "aes-128-ctr", "chacha20"])
def test_uwsgi_logcrypto_is_read(folder, algorithm):
    """A real uWSGI, by its own plugin, from the middle of what it says: each request line once.

    With the two latter its packets hang together, and the receiver has to find its place.
    """
    port, log_port = free_port(), free_port(socket.SOCK_DGRAM)
    options = f"algo={algorithm},secret=a\\,secret,iv=0011"
    command = [peers.need("uwsgi"), "--plugins", "python3,http,logcrypto", "--http",
               f"127.0.0.1:{port}", "--pythonpath", str(ROOT / "tests" / "apps"), "--module",
               "web", "--need-app", "--master", "--die-on-term", "--logger",
               f"crypto:addr=127.0.0.1:{log_port},{options},prefix=web"]
    line = re.compile(rb"\[udp:127.0.0.1:\d+\] \d{16} web \[pid: .* GET /item/(\d+) => ")
    with peers.Server(command, folder, port):
        peers.get(port, [f"/lost/{number}" for number in range(20)])
        with ServeUdp(folder, "--decrypt", options, address=f"127.0.0.1:{log_port}") as served:
            for number in range(200):  # a stranger's datagrams do not make it lose its place
                peers.get(port, [f"/item/{number}"], threads=1)
                send(log_port, b"0" * 40)
            wait_until(lambda: served.bytes().count(b" GET /item/") == 200, 20, served.said)
            assert sorted(map(int, line.findall(served.bytes()))) == list(range(200))
    assert served.counts["unknown"] == 200


@pytest.mark.parametrize("arguments, says", [
    ([], "expected one ADDRESS:PORT, but got 0"),
    (["localhost"], "expected ADDRESS:PORT"),
    (["127.0.0.1:70000"], "expected ADDRESS:PORT"),
    (["-i", "nowhere", "239.0.0.1:1"], "--interface: there is no 'nowhere'"),
    (["-d", "key=short", ":0"], "--decrypt: key=: expected 32 bytes, as 64 hex digits"),
    (["-d", "secret=tiger,rest", ":0"], "expected key=, key-id=, max-age=, algo=, secret=, iv="),
    (["-d", "secret=tiger", ":0"], "expected algo=NAME with secret="),
    (["-d", "secret=tiger,algo=rot13", ":0"], "algo=rot13: expected a cipher of OpenSSL"),
    (["-d", f"secret=tiger,key={KEY.hex()}", ":0"], "expected key= or secret=, one of them"),
    (["-d", f"key={KEY.hex()},key-id=x", ":0"], "--decrypt: key-id: expected"),
    (["-d", "key=file:/nonexistent/tiger", ":0"], "expected a readable file"),
])
def test_what_is_wrong_is_told_without_secrets(arguments, says):
    status, errors = refuse(*arguments)
    assert status == 2 and says in errors, errors
    assert "tiger" not in errors.replace("/nonexistent/tiger", "") and KEY.hex() not in errors


def test_a_port_in_use(folder):
    with ServeUdp(folder) as served:
        status, errors = refuse(f"127.0.0.1:{served.port}")
        assert status == 1 and "Address already in use" in errors
