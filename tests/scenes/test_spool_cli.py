# SPDX-License-Identifier: Apache-2.0
"""`yarder spool`, and what `yarder check` says of queues that nobody takes up."""
import json
import os
import signal
import subprocess

from harness import ledger, receivers, senders
from harness.audit import Audit
from harness.daemon import program

SETTLE_SECONDS = 20
UNIX = "input = unix:{folder}/in,socket=stream\n"
NOBODY = "output = q socket:unix-stream:{folder}/nobody,retry=10ms..50ms,queue=disk:16M\n"


def spool(yarder, *arguments):
    return subprocess.run([str(program()), "spool", *arguments, "--state-dir", yarder.state_dir],
                          capture_output=True, text=True, timeout=SETTLE_SECONDS, check=False,
                          env={**os.environ, "HOME": "/nonexistent"})


def listed(yarder, name="q"):
    rows = json.loads(spool(yarder, "ls", "--json").stdout)
    return next(row for row in rows if row["name"] == name)


def put(folder, count, first=0, source="unix"):
    with senders.unix_stream(folder / "in") as sender:
        sender.send_audited(source, count, first=first)


def wait_spooled(yarder, count):
    ledger.wait_for(yarder, lambda status: ledger.named(status, "q")["spooled"] == count)


def damage(yarder, at=0.5, count=500):
    segment = sorted((yarder.state_dir / "spool" / "q").glob("*.seg"))[0]
    with open(segment, "r+b") as file:
        file.seek(4096 + int((segment.stat().st_size - 4096) * at))
        file.write(b"\xff" * count)


def test_finds_the_state_directory_of_a_daemon_that_runs(yarder, folder):
    one = yarder(UNIX + NOBODY)
    put(folder, 100)
    wait_spooled(one, 100)
    for command in ("spool", "doctor"):
        said = subprocess.run([str(program()), command, "--run-dir", one.run_dir],
                              capture_output=True, text=True, timeout=SETTLE_SECONDS, check=False)
        assert f"{one.state_dir}" in said.stdout or "q " in said.stdout, said
    rows = json.loads(subprocess.run(
        [str(program()), "spool", "ls", "--json", "--run-dir", one.run_dir], capture_output=True,
        timeout=SETTLE_SECONDS, check=True).stdout)
    assert [(row["name"], row["records"]) for row in rows] == [("q", 100)]


def test_looks_while_the_daemon_works(yarder, folder):
    one = yarder(UNIX + NOBODY)
    assert spool(one, "ls", "r").returncode == 1
    put(folder, 5000)
    wait_spooled(one, 5000)
    row = listed(one)
    assert row["records"] == 5000 and row["process"] in one.worker_pids() and row["first_ns"] > 0
    text = spool(one).stdout
    assert f"process {row['process']}" in text and "5000" in text.splitlines()[1].split()
    checked = spool(one, "check")
    assert (checked.returncode, checked.stdout) == (0, "q: sound, 5000 records wait\n")
    texts = [line.encode() for line in spool(one, "replay", "q").stdout.splitlines(keepends=True)]
    Audit({"unix": 5000}).lines(texts).report().assert_clean()
    assert listed(one)["records"] == 5000  # printing takes nothing
    refused = spool(one, "repair", "q")
    assert refused.returncode == 1 and "a daemon has it open" in refused.stderr
    refused = spool(one, "replay", one.folder / "x", "--to", "q")
    assert refused.returncode == 1 and "in use by process" in refused.stderr


def test_mends(yarder, folder):
    """What is damaged is kept, what is sound is delivered, and the counts say what is missing."""
    one = yarder(UNIX + NOBODY)
    put(folder, 5000)
    wait_spooled(one, 5000)
    one.end(signal.SIGTERM)
    damage(one)
    checked = spool(one, "check")
    assert checked.returncode == 1 and "q: damaged: " in checked.stdout
    assert spool(one, "repair", "q").stdout == "q: mended\n"
    assert spool(one, "repair", "q").stdout == "q: nothing to mend\n"
    checked = spool(one, "check")
    assert checked.returncode == 0 and "are known to be lost" in checked.stdout
    assert listed(one)["aside"] == 1
    with receivers.unix_stream(folder / "nobody") as sink:
        one.start()
        status = ledger.wait_for(one, lambda status: ledger.named(status, "q")["found"] == 5000
                                 and ledger.held(status) == 0)
        output = ledger.named(status, "q")
        lost = output["dropped"]["damaged"]
        assert 0 < lost < 20 and output["delivered"] == 5000 - lost
        header, row = spool(one).stdout.splitlines()
        end = header.index("KNOWN LOST") + len("KNOWN LOST")
        assert row[:end].endswith(f" {lost}"), row
        sink.wait_for_lines(5000 - lost, SETTLE_SECONDS)
        Audit({"unix": 5000}).lines(sink.lines()).report().assert_clean(missing=lost)


def test_gives_records_to_another_output(yarder, folder):
    """An output is renamed: check says what that leaves behind, replay brings it back."""
    one = yarder(UNIX + NOBODY)
    put(folder, 3000)
    wait_spooled(one, 3000)
    one.end(signal.SIGTERM)
    one.write_config(UNIX + "output = new socket:unix-stream:{folder}/sink,queue=disk:16M,"
                     "retry=10ms..50ms\n")
    checked = subprocess.run([str(program()), "check", one.config, "--state-dir", one.state_dir],
                             capture_output=True, text=True, timeout=SETTLE_SECONDS, check=False)
    assert checked.returncode == 0
    assert "warning: 3000 records lie in" in checked.stderr and "output q" in checked.stderr
    unknown = spool(one, "replay", "q", "--to", "new")
    assert unknown.returncode == 2 and "has no queue on disk" in unknown.stderr
    with receivers.unix_stream(folder / "sink") as sink:
        one.start()
        put(folder, 10, first=3000)
        ledger.wait_settled(one, 10, SETTLE_SECONDS)
        one.end(signal.SIGTERM)
        moved = spool(one, "replay", "q", "--to", "new")
        assert moved.returncode == 0 and "3000 records replayed" in moved.stderr
        assert listed(one)["records"] == 0 and listed(one, "new")["records"] == 3000
        one.start()
        sink.wait_for_lines(3010, SETTLE_SECONDS)
        # What was replayed comes behind what went its own way meanwhile.
        Audit({"unix": 3010}).lines(sink.lines()).report().assert_clean(out_of_order=3000)


def test_replays_dead_letters(yarder, folder):
    one = yarder(UNIX + "output = q blackhole:,refuse-every=10,retry=1ms..10ms,queue=disk:16M,"
                 "dead-letter={folder}/dead\n")
    put(folder, 1000)
    status = ledger.wait_settled(one, 1000, SETTLE_SECONDS)
    assert ledger.named(status, "q")["dead"] == 100
    one.end(signal.SIGTERM)
    with open(folder / "dead", "a", encoding="ascii") as file:
        file.write('{"torn\n')
    printed = spool(one, "replay", folder / "dead").stdout.encode().splitlines(keepends=True)
    Audit({"unix": 1000}).lines(printed).report().assert_clean(missing=900)
    replayed = spool(one, "replay", folder / "dead", "--to", "q")
    assert replayed.returncode == 0
    assert "100 records replayed, 1 lines that are no dead letter" in replayed.stderr
    for text in ("not one\nof them\n", '{"torn\nnone\n', '\n{"x":1}\n'):
        (folder / "other").write_text(text)
        for to in ((), ("--to", "q")):
            refused = spool(one, "replay", folder / "other", *to)
            assert refused.returncode == 1 and refused.stdout == "", refused
            assert refused.stderr == "0 records replayed, 2 lines that are no dead letter\n"
    with receivers.unix_stream(folder / "sink") as sink:
        one.write_config(UNIX + "output = q socket:unix-stream:{folder}/sink,queue=disk:16M\n")
        one.start()
        sink.wait_for_lines(100, SETTLE_SECONDS)
        Audit({"unix": 1000}).lines(sink.lines()).report().assert_clean(missing=900)
