# SPDX-License-Identifier: Apache-2.0
"""A record that kills the worker each time it is touched is set aside; everything else arrives."""
import errno
import os
import subprocess
import threading

import pytest

from harness import ledger, senders
from harness.audit import audit, make
from harness.daemon import program
from harness.wait import wait_until

PLANT = {"YARDER_CRASH_RECORD": "POISON"}
SETTLE_SECONDS = 20


@pytest.fixture
def planted(yarder):
    """A daemon that dies of such a record."""
    def start(config):
        one = yarder(config, environment=PLANT)
        one.planted = "yarder: bug: record->text.*crash_text.*"
        return one

    return start


def lines_with(killers, count=3000):
    """Audited records, with a killer before each of these numbers."""
    lines = []
    for number in range(count):
        lines += [b"POISON before %d" % number] * killers.count(number)
        lines.append(make("a", number))
    return lines


def quarantined(folder):
    return sorted(path.read_bytes() for path in (folder / "state" / "quarantine").glob("*"))


def by_ring(folder, lines):
    return "input = in ring\n", lambda yarder: yarder.cli(
        "send", "--block", "--stdin-lines", "--quiet", input="\n".join(
            line.decode() for line in lines) + "\n")


def by_exec(folder, lines):
    (folder / "lines").write_bytes(b"\n".join(lines) + b"\n")
    # Without another input the daemon would leave with the command.
    return ("input = unix:{folder}/idle\n[input in]\ntype = exec\nto = cat {folder}/lines\n"
            "restart = never\n[yarder]\n", lambda yarder: None)


@pytest.mark.parametrize("way", [by_ring, by_exec])
@pytest.mark.parametrize("killers", [[1000], [0, 1, 1, 2999]], ids=["one", "four"])
def test_killers_are_set_aside(planted, folder, way, killers):
    lines = lines_with(killers)
    config, send = way(folder, lines)
    one = planted(config + "output = all file:{folder}/all\n")
    send(one)
    status = ledger.wait_settled(one, len(lines), SETTLE_SECONDS)
    assert ledger.named(status, "in")["refused"]["quarantine"] == len(killers)
    assert 3 <= status["workers_crashed"] <= 5 * len(killers)
    assert quarantined(folder) == sorted(b"POISON before %d" % at for at in killers)
    audit([folder / "all"], {"a": 3000}).assert_clean()
    assert "set aside in the folder quarantine" in one.stderr()


def test_a_long_killer_goes_whole(planted, folder):
    """It came in parts, of which the last one kills."""
    killer = b"x" * 40_000 + b"POISON" + b"y" * 10_000
    lines = [make("a", 0), killer, make("a", 1)]
    config, send = by_ring(folder, lines)
    one = planted(config + "output = all file:{folder}/all\n")
    send(one)
    ledger.wait_settled(one, 3, SETTLE_SECONDS)
    assert quarantined(folder) == [killer]
    audit([folder / "all"], {"a": 2}).assert_clean()


@pytest.mark.parametrize("killers", [[1000], [0, 1, 1999]], ids=["one", "three"])
def test_killers_of_the_renderer_are_set_aside(yarder, folder, killers):
    """They die in making a deferred text: what is kept of such a record is its payload."""
    apps = program().parent / "tests"
    one = yarder("input = in ring\noutput = all file:{folder}/all,format=${msg}\n",
                 environment={"LD_PRELOAD": str(apps / "killer.so")})
    count = 2000
    subprocess.run([apps / "errors", str(count), *map(str, killers)], check=True, timeout=60,
                   env={**os.environ, "YARDER_RUN_DIR": str(one.run_dir)})
    status = ledger.wait_settled(one, count, SETTLE_SECONDS)
    assert ledger.named(status, "in")["refused"]["quarantine"] == len(killers)
    assert 3 <= status["workers_crashed"] <= 5 * len(killers)
    kept = quarantined(folder)
    assert sorted(int.from_bytes(payload[12:20], "little") for payload in kept) == killers
    assert {int.from_bytes(payload[20:28], "little") for payload in kept} == {errno.EUCLEAN}
    assert (folder / "all").read_text().splitlines() == [
        f"{number}: {os.strerror(errno.ENOENT)}" for number in range(count)
        if number not in killers]


def test_two_processes_one_killer(planted, folder):
    """The other process's records, and those of a socket, are neither lost nor suspected."""
    lines = lines_with([500])
    config, send = by_ring(folder, lines)
    one = planted(config + "output = all file:{folder}/all\n")
    count = 20_000
    other = threading.Thread(target=one.cli, args=(
        "send", "--block", "--sequence", "b", "--count", str(count), "--rate", "20000", "--quiet"))
    other.start()
    wait_until(lambda: ledger.named(one.status(), "in")["received"] > 100, 10, "the other process")
    send(one)
    other.join()
    status = ledger.wait_settled(one, len(lines) + count, SETTLE_SECONDS)
    assert ledger.named(status, "in")["refused"]["quarantine"] == 1
    assert quarantined(folder) == [b"POISON before 500"]
    audit([folder / "all"], {"a": 3000, "b": count}).assert_clean()


def test_a_killer_by_socket_goes_with_its_worker(planted, folder):
    """Its bytes are the kernel's no more: one death, and the next worker does not meet it again."""
    one = planted("input = in unix:{folder}/in\noutput = all file:{folder}/all\n")
    with senders.unix_datagram(folder / "in") as sender:
        sender.send_audited("a", 100)
        ledger.wait_settled(one, 100, SETTLE_SECONDS)
        sender.send(b"POISON")
        wait_until(lambda: one.status()["workers_crashed"] == 1, 10, "the death")
        sender.send_audited("a", 100, first=100)
    status = ledger.wait_settled(one, 200, SETTLE_SECONDS)
    assert status["workers_crashed"] == 1 and not quarantined(folder)
    audit([folder / "all"], {"a": 200}).assert_clean()
