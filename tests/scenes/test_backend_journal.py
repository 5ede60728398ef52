# SPDX-License-Identifier: Apache-2.0
"""journal: a journald of our own, read back by journalctl; it is killed, stopped, and slow."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from harness import ledger, load, senders
from harness.audit import Audit
from harness.stores import Try, try_backend
from harness.wait import wait_until

SETTLE_SECONDS = 20
PROGRAM = "/lib/systemd/systemd-journald"


class Journald:
    """A journald in a namespace of its own: below /run alone, without limits of rate."""

    def __init__(self):
        if os.getuid() != 0 or not os.path.exists(PROGRAM) or shutil.which("journalctl") is None:
            pytest.skip("systemd-journald, journalctl and root are needed")
        self.name = f"yarder{os.getpid()}"
        self.folder = Path(f"/run/systemd/journal.{self.name}")
        self.socket = self.folder / "socket"
        self.settings = Path(f"/run/systemd/journald@{self.name}.conf.d")
        self.process = None

    def __enter__(self):
        self.settings.mkdir(parents=True)
        (self.settings / "scene.conf").write_text(
            "[Journal]\nStorage=volatile\nRateLimitBurst=0\nRuntimeMaxUse=1G\nRuntimeKeepFree=1M\n"
            "RuntimeMaxFileSize=512M\nLineMax=1M\n")
        return self.start()

    def __exit__(self, kind, trouble, trace):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for path in [self.settings, self.folder, *Path("/run/log/journal").glob(f"*.{self.name}")]:
            shutil.rmtree(path, ignore_errors=True)

    def start(self):
        self.process = subprocess.Popen([PROGRAM, self.name], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.answers, 20, "a journald")
        return self

    def answers(self):
        assert self.process.poll() is None
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def kill(self):
        self.process.kill()
        self.process.wait()

    def read(self, *matches, form="json"):
        return subprocess.run(
            ["journalctl", f"--namespace={self.name}", "-o", form, "--all", *matches],
            capture_output=True, timeout=50, check=True).stdout

    def entries(self, *matches):
        return [json.loads(line) for line in self.read(*matches).splitlines()]

    def count(self, *matches):
        return self.read(*matches, form="cat").count(b"\n")


def most_in_flight():
    """Datagrams that a killed journald takes with it: its queue, and the one it was at."""
    return int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text()) + 2


@pytest.mark.seconds(90)
@pytest.mark.parametrize("queue", ["memory:16M", "disk:256M"])
def test_a_journald_dies_and_comes_back(yarder, folder, queue):
    """What lay in its socket is lost with it, no more; all else is there, once."""
    with Journald() as journald:
        one = yarder(f"input = ring\noutput = j journal:{journald.socket},ident=scene,"
                     f"retry=10ms..100ms,queue={queue}\n")
        with load.RingProducer(one, "ring", 30_000) as producer:
            for delivered in (10_000, 40_000):
                ledger.wait_for(one, lambda s: s["outputs"][0]["delivered"] > delivered)
                journald.kill()
                errors = one.status()["outputs"][0]["errors"]
                ledger.wait_for(one, lambda s: s["outputs"][0]["errors"] > errors + 2)
                said = one.status()["outputs"][0]["last_error"]["text"]
                assert "Connection refused (is systemd-journald running?)" in said
                journald.start()
            ledger.wait_for(one, lambda s: s["inputs"][0]["received"] >= 100_000)
            counts = producer.end()
        ledger.wait_settled(one, counts["ring"], SETTLE_SECONDS)
        wait_until(lambda: journald.count("SYSLOG_IDENTIFIER=scene") >=
                   counts["ring"] - 2 * most_in_flight(), 30, "the entries")
        lines = journald.read("SYSLOG_IDENTIFIER=scene", form="cat").splitlines(keepends=True)
        report = Audit(counts).lines(lines).report()
        print(f"of {counts['ring']} records {report.missing} lost by two kills")
        report.assert_clean(missing=2 * most_in_flight())


@pytest.mark.sanitize
def test_all_that_is_known(yarder, folder):
    with Journald() as journald:
        one = yarder("input = unix:{folder}/in,parse=syslog\n"
                     f"output = journal:{journald.socket},add-field=SITE=north\n")
        with senders.unix_datagram(folder / "in") as sender:
            sender.send(b'<131>1 2023-11-14T22:13:20.123456Z web1 nginx 77 ID7 '
                        b'[o@1 user="J\xc3\xb6rg" priority="0"] two\nlines \x01 and a half')
        ledger.wait_settled(one, 1, SETTLE_SECONDS)
        [entry] = wait_until(lambda: journald.entries("SITE=north"), 20, "an entry")
        wanted = {"PRIORITY": "3", "SYSLOG_FACILITY": "16", "SYSLOG_IDENTIFIER": "nginx",
                  "SYSLOG_PID": "77", "SYSLOG_TIMESTAMP": "2023-11-14T22:13:20.123456Z",
                  "HOST": "web1", "_TRANSPORT": "journal"}
        assert {name: entry.get(name) for name in wanted} == wanted
        assert re.fullmatch(r"\d+-\d+", entry["YARDER_ID"])
        assert "Jörg" in entry.values() and "0" in entry.values(), entry
        message = entry["MESSAGE"]
        message = message if isinstance(message, str) else bytes(message).decode()
        assert message.startswith("two") and message.endswith("and a half")


def test_any_bytes_of_any_length(folder):
    """Beyond what a datagram holds, they go as a sealed file."""
    with Journald() as journald:
        for size, count in ((1 << 20, 8), (300_000, 50), (100, 5000)):
            ident = f"size{size}"
            assert try_backend("journal", str(journald.socket), count, size,
                               f"ident={ident}")[0] == count
            wait_until(lambda: journald.count(f"SYSLOG_IDENTIFIER={ident}") == count, 20, ident)
            lines = journald.read(f"SYSLOG_IDENTIFIER={ident}", form="cat").split(b"\n")[:-1]
            assert [int(line.split()[0]) for line in lines] == list(range(count))
            assert {len(line) for line in lines} == {size}


def test_a_line_of_uwsgi(yarder, folder):
    """An entry for each line, empty ones left out; its three fields, and no others of ours."""
    with Journald() as journald:
        place = Path("/run/systemd/journal/socket")  # a line of uWSGI's names no other
        if place.exists():
            pytest.skip(f"{place} is a journal's already")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(journald.socket)
        try:
            one = yarder("input = unix:{folder}/in\n[uwsgi]\nlogger = systemd\n[yarder]\n")
            with senders.unix_datagram(folder / "in") as sender:
                sender.send(b"one\n\n two\nand three")
            ledger.wait_settled(one, 1, SETTLE_SECONDS)
            wait_until(lambda: journald.count("SYSLOG_IDENTIFIER=uwsgi") == 3, 20, "entries")
            entries = journald.entries("SYSLOG_IDENTIFIER=uwsgi")
            assert [entry["MESSAGE"] for entry in entries] == ["one", " two", "and three"]
            assert {entry["PRIORITY"] for entry in entries} == {"6"}
            assert not any("YARDER_ID" in entry for entry in entries)
        finally:
            place.unlink()


def test_stopped(folder):
    """Its queue fills; the deadline holds, and all goes on when it does."""
    with Journald() as journald:
        journald.process.send_signal(signal.SIGSTOP)
        one = Try("journal", str(journald.socket), 1000, 100, try_ms=300)
        for _ in range(2):  # another try, after its deadline
            assert "the journal takes nothing" in one.process.stderr.readline()
        journald.process.send_signal(signal.SIGCONT)
        delivered, refused, _ = one.end()
        assert (delivered, refused) == (1000, 0)
        wait_until(lambda: journald.count("_COMM=backend-try") == 1000, 20, "the entries")
