# SPDX-License-Identifier: Apache-2.0
"""Outputs with a backend: what the daemon promises whatever their destination does."""
import contextlib
import json
import os
import signal
import socket
import subprocess
import time

import pytest

from harness import kills, ledger, load, receivers, senders
from harness.audit import Audit, audit
from harness.daemon import program
from harness.wait import wait_until

SETTLE_SECONDS = 20
UNIX = "input = unix:{folder}/in,socket=stream\n"


def check_arrived(yarder, receiver, counts, torn=0):
    """All came; what came twice is what the daemon says may have."""
    status = ledger.wait_settled(yarder, sum(counts.values()), SETTLE_SECONDS)
    output = status["outputs"][0]
    receiver.wait_for_lines(output["delivered"], SETTLE_SECONDS)
    report = Audit(counts).lines(receiver.lines()).report()
    report.assert_clean(twice=output["uncertain"], torn=torn)
    print(f"{output['delivered']} records, {report.twice} twice ({output['uncertain']} uncertain)")
    return status


def put(folder, count, first=0, source="unix"):
    with senders.unix_stream(folder / "in") as sender:
        sender.send_audited(source, count, first=first)


def dead_port():
    """Of nobody, and not one that a connection of ours may get."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.mark.parametrize("command", [
    "printf 'a\\nb\\n' | {yarder} run", "{yarder} exec"])
def test_a_run_ends_though_its_destination_is_dead(folder, command):
    """With its input: after a time, with words and a status."""
    line = command.replace("{yarder}", str(program())) + (
        f" --run-dir {folder}/run --state-dir {folder}/state --drain-timeout 1s"
        f" --output 'dead socket:tcp://127.0.0.1:{dead_port()}'")
    line += " -- echo a" if "exec" in command else ""
    result = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=30)
    assert "were not delivered in time and are lost" in result.stderr, result
    assert result.returncode == 1 or "exec" in command, result


def test_a_stop_that_waits_burns_nothing(yarder, folder):
    one = yarder(UNIX + f"drain-timeout = 2s\noutput = dead socket:tcp://127.0.0.1:{dead_port()}\n")
    put(folder, 1)
    ledger.wait_for(one, lambda status: ledger.held(status) == 1)
    [worker] = one.worker_pids()
    one.signal(signal.SIGTERM)
    spent = 0.0
    while os.path.exists(f"/proc/{worker}/schedstat"):
        with contextlib.suppress(OSError, IndexError):
            spent = max(spent, int(open(f"/proc/{worker}/schedstat").read().split()[0]) / 1e9)
        time.sleep(0.01)
    assert one.process.wait(20) == 1
    assert spent < 0.5, f"{spent} s of a processor"


@pytest.mark.sanitize
def test_kills_lose_nothing(yarder, folder):
    """50 workers die; what they had sent last comes again, and nothing is missing."""
    with receivers.unix_stream(folder / "sink") as sink:
        one = yarder("input = ring\noutput = socket:unix-stream:{folder}/sink,queue=memory:16M,"
                     "retry=10ms..50ms\n")
        with load.RingProducer(one, "ring", 20_000) as producer:
            killer = kills.Killer(one, sink)
            killer.run(50)
            counts = producer.end()
        status = check_arrived(one, sink, counts, torn=killer.kills)
        assert status["workers_crashed"] == 50 and ledger.lost(status) == 0


# Where two stand, the second is in the worker after the first.
@pytest.mark.parametrize("crash", [
    "before-submit:3,before-submit:1", "after-submit:3,after-submit:1",
    "after-submit:2,before-commit:1", "submitted:9,taken-over:1"])
def test_crash_points(yarder, folder, crash):
    with receivers.unix_stream(folder / "sink") as sink:
        one = yarder("input = ring\noutput = socket:unix-stream:{folder}/sink,retry=10ms..50ms\n",
                     environment={"YARDER_CRASH_POINT": crash})
        with load.RingProducer(one, "ring", 20_000) as producer:
            killer = kills.Killer(one, sink)
            wait_until(lambda: killer.deaths() == 2, 10,
                       lambda: f"two deaths:\n{one.stderr()}")
            killer.wait_progress(500)
            counts = producer.end()
        check_arrived(one, sink, counts, torn=2)


def test_a_hanging_destination_costs_others_nothing(yarder, folder):
    one = yarder("input = ring\ndrain-timeout = 500ms\noutput = good file:{folder}/good\n"
                 "output = hung blackhole:,hang=yes,queue=memory:1M\n")
    with load.RingProducer(one, "ring", 100_000) as producer:
        status = ledger.wait_for(
            one, lambda status: ledger.named(status, "hung")["dropped"]["full"] > 100_000)
        assert ledger.named(status, "hung")["held"] > 0
        counts = producer.end()
    status = ledger.wait_settled(one, counts["ring"], SETTLE_SECONDS, but=["hung"])
    assert ledger.named(status, "ring")["lost"]["ring"] == 0
    assert ledger.named(status, "good")["delivered"] == counts["ring"]
    audit([folder / "good"], counts).assert_clean()
    one.end(signal.SIGTERM, code=1)  # what hangs is waited for as long as that, and told
    assert "output hung: " in one.stderr() and "were not delivered in time" in one.stderr()


def test_a_reload_does_not_wait_for_a_try(yarder, folder):
    """A try that would hang for minutes ends, and its records move; each stays one record."""
    one = yarder(UNIX + "output = q blackhole:,hang=yes,timeout=10m\n")
    put(folder, 1000)
    ledger.wait_for(one, lambda status: status["outputs"][0].get("in_call_ms", 0) > 500)
    began = time.monotonic()
    one.cli("reload")
    took = time.monotonic() - began
    status = one.status()
    assert took < 2 and status["reloads"] == 1
    assert status["outputs"][0]["held"] == 1000 and status["outputs"][0]["uncertain"] == 0
    one.write_config(UNIX + "output = q blackhole:\n")
    one.cli("reload")
    status = ledger.wait_settled(one, 1000, SETTLE_SECONDS)
    assert status["outputs"][0]["delivered"] == 1000
    assert status["fenced_outputs"] == 0


def test_a_backend_that_does_not_come_back(yarder, folder):
    """A library's call: its worker leaves it behind, and the next one goes on after that."""
    one = yarder(UNIX + "output = q blackhole:,hang=yes,deaf=yes,timeout=10m\n"
                 "output = good file:{folder}/good\n")
    put(folder, 1000)
    ledger.wait_for(one, lambda status: status["outputs"][0].get("in_call_ms", 0) > 500)
    one.write_config(UNIX + "output = q blackhole:\noutput = good file:{folder}/good\n")
    one.cli("reload")
    put(folder, 500, first=1000)
    status = ledger.wait_settled(one, 1500, SETTLE_SECONDS)
    output = ledger.named(status, "q")
    assert output["delivered"] == 1500 and 0 < output["uncertain"] <= 1000
    assert status["fenced_outputs"] == 0
    audit([folder / "good"], {"unix": 1500}).assert_clean()


def test_an_output_may_be_renamed(yarder, folder):
    """By name first; one with another name takes up what waited for its address, and one alone."""
    def config(*outputs):
        return UNIX + "".join(f"output = {name} socket:unix-stream:{{folder}}/{path},"
                              f"retry=10ms..50ms,{rest}\n" for name, path, rest in outputs)

    one = yarder(config(("a", "one", "match=x"), ("b", "two", "match=y")))
    for text, count in ((b"x", 10), (b"y", 20)):
        with senders.unix_stream(folder / "in") as sender:
            for _ in range(count):
                sender.send(text)
    ledger.wait_for(one, lambda status: [each["held"] for each in status["outputs"]] == [10, 20])
    # a goes to where b was, b is called c; a's own place goes to the name d, which is new.
    one.write_config(config(("d", "one", "match=z"), ("c", "two", "match=y"),
                            ("a", "two", "match=x")))
    with receivers.unix_stream(folder / "two") as two:
        one.cli("reload")
        status = ledger.wait_for(one, lambda status: ledger.held(status) == 0)
        assert [each["delivered"] for each in status["outputs"]] == [0, 20, 10]
        two.wait_for_lines(30, SETTLE_SECONDS)
        assert sorted(two.lines()) == [b"x\n"] * 10 + [b"y\n"] * 20


def test_what_waits_follows_its_output_to_another_address(yarder, folder):
    one = yarder(UNIX + "output = q socket:unix-stream:{folder}/nobody,retry=10ms..50ms\n")
    put(folder, 5000)
    status = ledger.wait_for(one, lambda status: status["outputs"][0]["errors"] > 2)
    assert "nobody" in status["outputs"][0]["last_error"]["text"]
    with receivers.unix_stream(folder / "sink") as sink:
        one.write_config(UNIX + "output = q socket:unix-stream:{folder}/sink\n")
        one.cli("reload")
        put(folder, 100, first=5000)
        status = check_arrived(one, sink, {"unix": 5100})
        assert status["outputs"][0]["uncertain"] == 0


def test_the_end_waits_for_what_can_be_delivered(yarder, folder):
    with receivers.unix_stream(folder / "sink") as sink:
        one = yarder(UNIX + "output = socket:unix-stream:{folder}/sink\n")
        sink.pause()
        put(folder, 30_000)
        ledger.wait_for(one, lambda status: status["inputs"][0]["received"] == 30_000
                        and status["outputs"][0].get("in_call_ms", 0) > 100)
        below = one.worker_pids()
        os.kill(one.pid, signal.SIGTERM)
        sink.resume()
        sink.wait_for_lines(30_000, SETTLE_SECONDS)
        wait_until(lambda: one.process.poll() == 0, SETTLE_SECONDS, "a clean end")
        Audit({"unix": 30_000}).lines(sink.lines()).report().assert_clean()
        assert below and not one.worker_pids()


def test_the_end_does_not_wait_for_the_next_try(yarder, folder):
    """A peer that is back is given what waits, however long the pause was to be."""
    one = yarder(UNIX + "output = socket:unix-stream:{folder}/sink,retry=1d..1d\n")
    put(folder, 1000)
    ledger.wait_for(one, lambda status: status["outputs"][0]["errors"] > 0)
    with receivers.unix_stream(folder / "sink") as sink:
        one.end(signal.SIGTERM)
        sink.wait_for_lines(1000, SETTLE_SECONDS)
        Audit({"unix": 1000}).lines(sink.lines()).report().assert_clean()


def letters(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_refused_records_become_dead_letters(yarder, folder):
    one = yarder(UNIX + "output = q blackhole:,refuse-every=10,fail-every=3,retry=1ms..10ms,"
                 "dead-letter={folder}/dead\n")
    put(folder, 1000)
    status = ledger.wait_settled(one, 1000, SETTLE_SECONDS)
    output = status["outputs"][0]
    assert output["dead"] == 100 and output["delivered"] == 900, output
    dead = letters(folder / "dead")
    assert len(dead) == 100 and len({letter["id"] for letter in dead}) == 100
    assert {letter["reason"] for letter in dead} == {"blackhole: one of 10 is refused"}
    assert {letter["output"] for letter in dead} == {"q"}
    texts = [letter["record"]["text"].encode() + b"\n" for letter in dead]
    Audit({"unix": 1000}).lines(texts).report().assert_clean(missing=900)
    assert "records are dead (blackhole: one of 10 is refused) and kept in" in one.stderr()
    assert (folder / "dead").stat().st_mode & 0o777 & ~0o640 == 0


def test_dead_letters_wait_for_their_folder(yarder, folder):
    """What is refused is dead when its letter stands, and is called so no sooner."""
    one = yarder(UNIX + "output = q blackhole:,refuse-every=1,retry=10ms..50ms,"
                 "dead-letter={folder}/none/dead\n")
    put(folder, 10)
    status = ledger.wait_for(one, lambda status: status["outputs"][0]["errors"] > 2)
    assert status["outputs"][0]["dead"] == 0 and ledger.held(status) == 10
    assert f"dead-letter {folder}/none/dead: open: No such file" in \
        status["outputs"][0]["last_error"]["text"]
    assert "records are dead" not in one.stderr()
    assert f"dead-letter: no folder {folder}/none: what is refused waits for it" in one.stderr()
    (folder / "none").mkdir()
    ledger.wait_settled(one, 10, SETTLE_SECONDS)
    assert len(letters(folder / "none" / "dead")) == 10
    one.wait_for_stderr(f"and kept in {folder}/none/dead", SETTLE_SECONDS)


def test_who_is_tried_for_too_long_is_given_up(yarder, folder):
    one = yarder(UNIX + "output = q blackhole:,hang=yes,timeout=100ms,retry=1ms..10ms,"
                 "give-up=500ms,dead-letter={folder}/dead\n")
    put(folder, 500)
    status = ledger.wait_settled(one, 500, SETTLE_SECONDS)
    assert status["outputs"][0]["dead"] == 500
    dead = letters(folder / "dead")
    assert len(dead) == 500
    assert all(letter["reason"].endswith("blackhole: no answer") for letter in dead)


def test_a_full_destination_holds_its_records(yarder, folder):
    one = yarder(UNIX + "output = q blackhole:,stop-after=50000,retry=10ms..20ms\n")
    put(folder, 1000)
    status = ledger.wait_for(one, lambda status: status["outputs"][0]["errors"] > 3)
    output = status["outputs"][0]
    assert output["delivered"] == 500 and output["held"] == 500 and output["dead"] == 0, output
    assert output["last_error"]["errno"] == "ENOSPC"
    assert output["last_error"]["text"] == "blackhole: it is full"
    assert "blackhole: it is full; records wait, trying again" in one.stderr()
    one.write_config(UNIX + "output = q blackhole:\n")
    one.cli("reload")
    status = ledger.wait_settled(one, 1000, SETTLE_SECONDS)
    assert status["outputs"][0]["delivered"] == 1000
