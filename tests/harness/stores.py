# SPDX-License-Identifier: Apache-2.0
"""Servers that keep records, which a scene kills, stops and starts again; and backends alone."""
import os
import re
import signal
import subprocess

import pytest

from harness import ledger, load
from harness.daemon import ROOT
from harness.peers import answers, need
from harness.wait import free_port, wait_until

START_SECONDS = 20


class Store:
    """A server process of which a scene may have several lives, all with the same data."""

    def __init__(self, folder, command, port):
        self.folder, self.command, self.port = folder, command, port
        self.process = None
        folder.mkdir(exist_ok=True)

    def start(self):
        with open(self.folder / "server.out", "ab") as output:
            self.process = subprocess.Popen(self.command, cwd=self.folder, stdout=output,
                                            stderr=output, stdin=subprocess.DEVNULL)
        wait_until(self._is_up, START_SECONDS, lambda: f"a server: {self.said()}")
        return self

    def _is_up(self):
        assert self.process.poll() is None, f"ended: {self.said()}"
        return answers(self.port)

    def said(self):
        return (self.folder / "server.out").read_text(errors="replace")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, trouble, trace):
        if self.process is not None and self.process.poll() is None:
            self.kill()


def redis(folder, *arguments, port=None):
    """redis-server; what it has answered for survives its kill (the append-only file)."""
    port = port or free_port()
    command = [need("redis-server"), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "",
               "--appendonly", "yes", "--appendfsync", "no"]
    if "--port" not in arguments:
        command += ["--port", str(port)]
    return Store(folder, [*command, *arguments], port)


def redis_client(port, **options):
    return pytest.importorskip("redis").Redis(port=port, socket_timeout=20, **options)


def certificate(folder):
    """cert.pem, key.pem of an authority that signs itself, for 127.0.0.1 and localhost."""
    names = "subjectAltName=IP:127.0.0.1,DNS:localhost"
    subprocess.run([need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-addext", names, "-keyout", "key.pem", "-out", "cert.pem"],
                   cwd=folder, check=True, capture_output=True)


class Try:
    """backend-try: one backend without the daemon. try_ms: the deadline of a try."""

    def __init__(self, backend, target, records, size, *options, try_ms=10000, wrapper=()):
        build = ROOT / os.environ.get("YARDER_BUILD", "build")
        module = build / "backends" / f"{backend}.so"
        if not module.exists():
            pytest.skip(f"{module} is not built")
        self.process = subprocess.Popen(
            [*wrapper, build / "tests" / "backend-try", module, target, str(records), str(size),
             *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "YARDER_TRY_MS": str(try_ms)})

    def says(self):
        """The first that it has to say of trouble; then it is killed."""
        with self.process:
            said = self.process.stderr.readline()
            self.process.kill()
        return said

    def end(self, seconds=50):
        """(delivered, refused, what it said); all is answered for."""
        out, said = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0, (self.process.returncode, out, said)
        found = re.match(r"delivered (\d+), refused (\d+) of (\d+) in", out)
        assert found, (out, said)
        print(out, end="")
        return int(found[1]), int(found[2]), said


def try_backend(*words):
    return Try(*words).end()


RECORDS = 100_000
RATE = 100_000


def deliver_past(one, trouble):
    """Logs RECORDS and more through the ring of a daemon while trouble() happens, in the middle.

    Returns {source: count} and the settled status: each record was answered for.
    """
    with load.RingProducer(one, "ring", RATE) as producer:
        def delivered():
            return one.status()["outputs"][0]["delivered"]

        wait_until(lambda: delivered() > RECORDS // 10, START_SECONDS, "the first records")
        trouble()
        wait_until(lambda: delivered() > RECORDS, START_SECONDS, "the rest")
        counts = producer.end()
    status = ledger.wait_settled(one, counts["ring"], START_SECONDS)
    assert ledger.lost(status) == 0 and status["outputs"][0]["dead"] == 0, status
    assert status["outputs"][0]["delivered"] == counts["ring"]
    return counts, status
