# SPDX-License-Identifier: Apache-2.0
"""pipe and fd: commands that die, hang, close their input, or were never there."""
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness import ledger, load, processes, senders
from harness.audit import Audit, audit
from harness.daemon import program
from harness.stores import Try, try_backend
from harness.wait import wait_until

SETTLE_SECONDS = 20
UNIX = "input = unix:{folder}/in,socket=stream\n"
PIPE_BYTES = 64 << 10


def put(folder, count, source="unix"):
    with senders.unix_stream(folder / "in") as sender:
        sender.send_audited(source, count)


def commands_of(yarder, name):
    """The processes below the worker that run `name`, but no shell."""
    below = [pid for worker in yarder.worker_pids() for pid in processes.descendants(worker)]
    return [pid for pid in below if comm(pid) == name]


def comm(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""


def test_a_command_is_killed(yarder, folder):
    """What it had read and not yet written is lost, no more; what it had not read is not."""
    one = yarder("input = ring\noutput = pipe:exec cat >>{folder}/out\n")
    out = folder / "out"
    with load.RingProducer(one, "ring", 50_000) as producer:
        for size in (1 << 20, 4 << 20, 7 << 20):
            wait_until(lambda: out.exists() and out.stat().st_size > size, 20, "the command")
            [cat] = commands_of(one, "cat")
            os.kill(cat, signal.SIGKILL)
            one.wait_for_stderr("the command was killed by signal 9 (Killed)", 20)
        counts = producer.end()
    ledger.wait_settled(one, counts["ring"], SETTLE_SECONDS)
    assert counts["ring"] > 50_000
    one.stop()
    report = audit([out], counts)
    print(f"of {counts['ring']} records {report.missing} lost, {report.twice} twice, "
          f"{report.torn} torn, by three kills")
    report.assert_clean(missing=3 * 2 * PIPE_BYTES // 100, twice=3, torn=3)


@pytest.mark.sanitize
def test_commands_that_end_lose_nothing(yarder, folder):
    """Each takes 5000 records; between their lives nothing is missing, and nothing twice."""
    one = yarder(UNIX + "output = pipe:head -c 505000 >>{folder}/out\n")
    put(folder, 30_000)
    ledger.wait_settled(one, 30_000, SETTLE_SECONDS)
    one.stop()
    audit([folder / "out"], {"unix": 30_000}).assert_clean()
    assert "the command ended with status 0; it is started again" in one.stderr()


def test_a_command_that_is_not_there_yet(yarder, folder):
    one = yarder(UNIX + "output = pipe:{folder}/command, with commas=kept >>{folder}/out\n")
    put(folder, 1000)
    one.wait_for_stderr("the command ended with status 127", 20)
    status = ledger.wait_for(one, lambda status: status["outputs"][0]["errors"] > 2)
    assert status["outputs"][0]["delivered"] == 0 and ledger.held(status) == 1000
    assert "delivers again" not in one.stderr()
    command = folder / "command,"
    command.write_text("#!/bin/sh\necho \"$@\"\nexec cat\n")
    command.chmod(0o755)
    put(folder, 1000, "later")
    wait_until(lambda: (folder / "out").read_bytes().count(b"\n") == 2001, 20, "the records")
    one.stop()
    first, *lines = (folder / "out").read_bytes().split(b"\n")[:-1]
    assert first == b"with commas=kept"
    Audit({"unix": 1000, "later": 1000}).lines(line + b"\n" for line in lines).report() \
        .assert_clean()


def test_a_command_that_never_comes(yarder, folder):
    """What nobody has read by the end is told as any that was not delivered."""
    one = yarder(UNIX + "drain-timeout = 300ms\noutput = pipe:{folder}/nothing\n")
    put(folder, 100)
    one.wait_for_stderr("the command ended with status 127", 20)
    one.end(signal.SIGTERM, seconds=15, code=1)
    assert "100 records were not delivered in time" in one.stderr()


def test_a_command_that_reads_late(yarder, folder):
    one = yarder(UNIX + "output = pipe:sleep 3; exec cat >>{folder}/out\n")
    put(folder, 1000)
    ledger.wait_settled(one, 1000, SETTLE_SECONDS)
    one.stop()
    audit([folder / "out"], {"unix": 1000}).assert_clean()


def test_a_hung_command_costs_others_nothing(yarder, folder):
    """It ends with the daemon, and all of its group, though it heeds no signal but KILL."""
    one = yarder(UNIX + "drain-timeout = 300ms\noutput = good file:{folder}/good\n"
                 "[output hung]\ntype = pipe\nto = trap '' TERM; sleep 987 | sleep 988\n"
                 "stop = 100ms\nqueue = memory:1M\n[yarder]\n")
    put(folder, 50_000)
    status = ledger.wait_settled(one, 50_000, SETTLE_SECONDS, but=["hung"])
    assert ledger.named(status, "good")["delivered"] == 50_000
    wait_until(lambda: len(commands_of(one, "sleep")) == 2, 20, "the commands")
    one.end(signal.SIGTERM, seconds=15, code=1)  # and asserts that nothing is left
    audit([folder / "good"], {"unix": 50_000}).assert_clean()


def test_a_worker_is_killed(yarder, folder):
    """The command reads what lies in its pipe, then comes to its end; another one goes on."""
    one = yarder(UNIX + "output = pipe:exec cat >>{folder}/out\n")
    put(folder, 20_000, "first")
    ledger.wait_settled(one, 20_000, SETTLE_SECONDS)
    [cat] = commands_of(one, "cat")
    one.kill_worker()
    put(folder, 20_000, "second")
    ledger.wait_settled(one, 40_000, SETTLE_SECONDS)
    wait_until(lambda: comm(cat) == "", 20, "the end of the first command")
    one.stop()
    audit([folder / "out"], {"first": 20_000, "second": 20_000}).assert_clean()


def test_a_command_has_none_of_our_rights(yarder, folder):
    """Ambient capabilities and the raised limit of descriptors are the daemon's own."""
    one = yarder(UNIX + "output = pipe:exec cat >>{folder}/out\n")
    put(folder, 10)
    ledger.wait_settled(one, 10, SETTLE_SECONDS)
    [cat] = commands_of(one, "cat")
    limits, = re.findall(r"Max open files +(\d+)", Path(f"/proc/{cat}/limits").read_text())
    assert int(limits) <= 1024
    ambient, = re.findall(r"CapAmb:\s*(\w+)", Path(f"/proc/{cat}/status").read_text())
    assert int(ambient, 16) == 0
    one.stop()


def test_a_line_of_uwsgi(yarder, folder):
    """Bytes as they came; what the command prints is on standard error, and no record."""
    one = yarder(UNIX + "[uwsgi]\nlogger = pipe:tee {folder}/out\n[yarder]\n")
    put(folder, 10)
    ledger.wait_settled(one, 10, SETTLE_SECONDS)
    one.stop()
    assert (folder / "out").read_bytes().count(b"unix ") == 10
    assert one.stderr().count("unix ") == 10
    assert "unix " not in (folder / "stdout").read_text()


def test_pipe_alone(folder):
    one = Try("pipe", "exec <&-; sleep 989", 10_000, 100)
    assert "the command closed its input" in one.process.stderr.readline() + one.says()
    assert "expected a command" in check("pipe: ")
    began = time.monotonic()
    assert try_backend("pipe", "trap '' TERM; sleep 990", 10, 10, "stop=200ms")[0] == 10
    assert 0.6 < time.monotonic() - began < 10  # for its TERM, and not for the end of the sleep


def check(output):
    result = subprocess.run([program(), "check", "--input", "stdin", "--output", output],
                            capture_output=True, text=True, timeout=20, check=False)
    assert result.returncode == 2, result
    return result.stderr


def test_fd_is_what_the_daemon_was_given(yarder, folder):
    """Through the death of a worker, and 3 as well as any other; nothing of the daemon's own."""
    given = ["sh", "-c", f'exec "$@" 3>>{folder}/three 7>>{folder}/seven', "sh"]
    one = yarder(UNIX + "drain-timeout = 300ms\noutput = three fd:3\noutput = seven fd:7\n"
                 "output = none fd:5\n[uwsgi]\nlogger = fd:7\n[yarder]\n", wrapper=given)
    put(folder, 5000, "first")
    ledger.wait_settled(one, 5000, SETTLE_SECONDS, but=["none"])
    one.kill_worker()
    put(folder, 5000, "second")
    status = ledger.wait_settled(one, 10_000, SETTLE_SECONDS, but=["none"])
    said = ledger.named(status, "none")["last_error"]["text"]
    assert "descriptor 5 is" in said and "started with it" in said
    for name, times in (("three", 1), ("seven", 2)):
        report = audit([folder / name], {"first": 5000, "second": 5000})
        assert report.missing == 0 and report.twice == (times - 1) * 10_000, report
    one.end(signal.SIGTERM, code=1)  # with what nobody takes


def test_fd_alone(folder):
    """fd takes what it was started with, and nothing that leads back."""
    with open(folder / "out", "wb") as out:
        os.set_inheritable(out.fileno(), True)
        one = fd_try(out.fileno(), 5000, [out.fileno()])
        assert one[0] == 0, one
    lines = (folder / "out").read_bytes().split(b"\n")
    assert [int(line.split()[0]) for line in lines[:-1]] == list(range(5000))
    read_end, write_end = os.pipe()
    code, said = fd_try(write_end, 1, [read_end, write_end])
    assert code == 1 and re.search(r"leads back into an input of this yarder", said), said
    os.close(read_end)
    code, said = fd_try(write_end, 1, [])
    assert code == 1 and "is not open: yarder has to be started with it" in said
    os.close(write_end)
    for number, why in ((0, "nothing to write to"), (2, "stdio:stderr writes there"),
                        ("x", "expected the number")):
        assert why in check(f"fd:{number}")


def fd_try(number, records, pass_fds):
    build = program().parent
    result = subprocess.run(
        [build / "tests" / "backend-try", build / "backends" / "fd.so", str(number), str(records),
         "50"], pass_fds=pass_fds, capture_output=True, text=True, timeout=40, check=False)
    return result.returncode, result.stderr
