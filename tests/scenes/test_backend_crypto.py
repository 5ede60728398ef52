# SPDX-License-Identifier: Apache-2.0
"""crypto: read by our own receiver, by OpenSSL's command, by Python; over deaths and restarts."""
import collections
import subprocess

import pytest

pytest.importorskip("cryptography")

from harness import ledger, senders  # noqa: E402
from harness.audit import Audit, make  # noqa: E402
from harness.datagrams import Collector, ServeUdp  # noqa: E402
from harness.sealed import unseal  # noqa: E402
from harness.wait import free_port, wait_until  # noqa: E402

KEY = bytes(range(32))
INPUT = "input = unix:{folder}/in,socket=stream\n"
SETTLE_SECONDS = 20


def put(folder, count, first=0, size=100):
    with senders.unix_stream(folder / "in") as sender:
        sender.send_audited("unix", count, size, first)


def wait_printed(served, count, lost):
    """Until that many were printed, or the kernel had no room for the rest."""
    seen = []

    def at_rest():
        seen.append(served.bytes().count(b"\n"))
        return seen[-1] >= count - lost or (len(seen) > 100 and len(set(seen[-100:])) == 1)

    wait_until(at_rest, SETTLE_SECONDS, lambda: f"{count} lines, not {seen[-1]}")


def test_a_receiver_that_dies(yarder, folder):
    """100 000 sealed records; what was sent while nobody listened is lost, nothing else is."""
    options = ["-d", f"key={KEY.hex()},key-id=7"]
    (folder / "key").write_text(KEY.hex() + "\n")
    (folder / "key").chmod(0o600)
    port = free_port()
    config = INPUT + f"output = crypto:127.0.0.1:{port},key=file:{{folder}}/key,key-id=7\n"
    with ServeUdp(folder, *options, address=f"127.0.0.1:{port}", name="first") as first:
        one = yarder(config)
        put(folder, 50_000)
        ledger.wait_settled(one, 50_000, SETTLE_SECONDS)
        wait_printed(first, 50_000, 0)
    put(folder, 1000, first=50_000)
    ledger.wait_settled(one, 51_000, SETTLE_SECONDS)
    with ServeUdp(folder, *options, address=f"127.0.0.1:{port}", name="second") as second:
        put(folder, 50_000, first=51_000)
        status = ledger.wait_settled(one, 101_000, SETTLE_SECONDS)
        wait_printed(second, 50_000, 0)
    assert status["outputs"][0]["delivered"] == 101_000
    report = Audit({"unix": 101_000}).lines(
        [line + b"\n" for line in first.lines() + second.lines()]).report()
    full = first.counts["lost in the kernel"] + second.counts["lost in the kernel"]
    print(f"{report.missing} lost: 1000 sent to nobody, {full} found no room in the receiver")
    report.assert_clean(missing=1000 + full)
    assert second.counts["forged"] + second.counts["replayed"] + second.counts["unknown"] == 0


def test_no_nonce_comes_twice(yarder, folder):
    """Over worker's deaths, reloads and restarts, by the header and by another implementation."""
    with Collector() as collector:
        config = (INPUT + f"output = crypto:127.0.0.1:{collector.port},key={KEY.hex()},"
                  "algo=chacha20-poly1305\n")
        sent = 0
        for start in range(2):
            one = yarder(config, name=f"start{start}")
            for what in (lambda: None, one.kill_worker, lambda: one.cli("reload")):
                what()
                put(folder / f"start{start}", 500, first=sent)
                sent += 500
                collector.wait_for(sent)
            one.stop()
    opened = [unseal(KEY, packet) for packet in collector.packets]
    nonces = {(salt, counter) for salt, counter, _ in opened}
    assert len(nonces) == sent == len(opened)
    by_salt = collections.Counter(salt for salt, _, _ in opened)
    assert len(by_salt) == 6, by_salt
    Audit({"unix": sent}).lines([text + b"\n" for _, _, text in opened]).report().assert_clean()


ALGORITHMS = [  # of a key of zeros behind "secret", an iv of "0" behind "12"
    ("aes-128-cbc", 16, 16, []), ("aes-256-cbc", 32, 16, []), ("aes-128-ecb", 16, 0, []),
    ("aes-192-ofb", 24, 16, []), ("aes-128-cfb", 16, 16, []), ("des-ede3-cbc", 24, 8, []),
    ("aes-256-ctr", 32, 16, []), ("chacha20", 32, 16, []),
    ("bf-cbc", 16, 8, ["-provider", "legacy", "-provider", "default"])]


@pytest.mark.parametrize("algorithm, key_bytes, iv_bytes, providers", ALGORITHMS,
                         ids=[one[0] for one in ALGORITHMS])
def test_openssl_reads_uwsgis_packets(yarder, folder, algorithm, key_bytes, iv_bytes, providers):
    """By uWSGI's own line: each packet by itself, the second as well as the first."""
    with Collector() as collector:
        yarder(INPUT + f"logger = crypto:addr=127.0.0.1:{collector.port},algo={algorithm},"
               "secret=secret,iv=12,prefix=web\\,7\n")
        put(folder, 3)
        collector.wait_for(3)
    for number, packet in enumerate(collector.packets):
        key, iv = b"secret".ljust(key_bytes, b"\0"), b"12".ljust(iv_bytes, b"0")
        plain = subprocess.run(
            ["openssl", "enc", "-d", f"-{algorithm}", "-K", key.hex(),
             *(["-iv", iv.hex()] if iv_bytes else []), *providers],
            input=packet, capture_output=True, check=True, timeout=20).stdout
        micros, prefix, text = plain.split(b" ", 2)
        assert len(micros) == 16 and prefix == b"web,7"
        assert text == make("unix", number) + b"\n"


def test_secrets_are_shown_nowhere(yarder, folder):
    one = yarder(INPUT + "logger = crypto:addr=127.0.0.1:9,algo=aes-128-cbc,secret=tiger\n"
                 f"output = sealed crypto:127.0.0.1:9,key={KEY.hex()}\n")
    shown = one.stderr() + str(one.status()) + one.cli("check", str(one.config)).stdout
    assert "crypto" in shown and "tiger" not in shown and KEY.hex() not in shown


@pytest.mark.parametrize("line, says", [
    ("logger = crypto:addr=127.0.0.1:9,algo=aes-128-cbc,secret=a,tiger", "behind each comma"),
    ("logger = crypto:addr=127.0.0.1:9,secret=tiger", "expected addr=HOST:PORT,algo=NAME,secret="),
    ("logger = crypto:addr=127.0.0.1:9,algo=rot13,secret=tiger", "algo=rot13: expected a cipher"),
    ("output = crypto:127.0.0.1:9,key=tiger", "key=: expected 32 bytes"),
    ("output = crypto:127.0.0.1:9", "expected key= (sealed) or secret= (as uWSGI's)"),
    ("output = crypto:tcp://127.0.0.1:9,key=tiger", "expected [udp://]HOST:PORT or [unix:]PATH"),
])
def test_what_is_wrong_is_told_without_secrets(yarder, folder, line, says):
    with pytest.raises(AssertionError, match="ended with 2") as trouble:
        yarder(INPUT + line + "\n")
    assert says in str(trouble.value) and "tiger" not in str(trouble.value)


def test_what_no_datagram_holds_is_refused(yarder, folder):
    with Collector() as collector:
        one = yarder("record-max = 256K\n" + INPUT
                     + f"output = crypto:127.0.0.1:{collector.port},key={KEY.hex()}\n")
        put(folder, 1, size=65_447)
        put(folder, 2, first=1, size=65_448)
        put(folder, 1, first=3)
        status = ledger.wait_settled(one, 4, SETTLE_SECONDS)
        collector.wait_for(2)
    assert [unseal(KEY, packet)[2] for packet in collector.packets] == [
        make("unix", 0, 65_447), make("unix", 3)]
    assert (status["outputs"][0]["delivered"], status["outputs"][0]["dead"]) == (2, 2)
