# SPDX-License-Identifier: Apache-2.0
"""Nobody waits for others: when there is no room, every input gets its part of what comes free; and
what the daemon has to say holds nobody up."""
import collections
import fcntl
import os
import re
import subprocess
import time

import pytest

from harness import audit, ledger, senders
from harness.daemon import program
from harness.wait import wait_until

SECONDS = 20
PRODUCERS = 12


def producer(yarder, source):
    return subprocess.Popen(
        [str(program()), "send", "--run-dir", str(yarder.run_dir), "--sequence", source,
         "--count", "0", "--size", "200", "--block", "--quiet"], stderr=subprocess.DEVNULL)


def lines_of(log):
    """{producer: lines}, of all of them."""
    counts = collections.Counter({f"p{number}": 0 for number in range(PRODUCERS)})
    counts.update(re.findall(r"^(p\d+) ", log.read_text() if log.exists() else "", re.M))
    return counts


def test_a_full_queue_is_shared(yarder, folder):
    """More comes than the disk takes, through rings and a socket beside them."""
    one = yarder("input = unix:{folder}/in\ninput = ring\n"
                 "output = file:{folder}/all.log,fsync=batch,queue=memory:4M\n")
    producers = [producer(one, f"p{number}") for number in range(PRODUCERS)]
    try:
        with senders.unix_datagram(folder / "in") as marks:
            for number in range(200):  # each send waits for room in the socket's queue
                marks.send(audit.make("marks", number))
        wait_until(lambda: min(lines_of(folder / "all.log").values(), default=0) > 20_000,
                   SECONDS, lambda: f"a share for each: {lines_of(folder / 'all.log')}")
    finally:
        for process in producers:
            process.terminate()
        for process in producers:
            process.wait(SECONDS)
    settled = ledger.wait_settled(one, 0, SECONDS)
    assert ledger.named(settled, "unix:" + str(folder / "in"))["received"] == 200
    counts = lines_of(folder / "all.log")
    # Each is a process that the kernel schedules as it likes.
    assert max(counts.values()) < 5 * min(counts.values()), counts


def fill(pipe):
    flags = fcntl.fcntl(pipe, fcntl.F_GETFL)
    fcntl.fcntl(pipe, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    for size in (4096, 1):
        try:
            while True:
                os.write(pipe, b"x" * size)
        except BlockingIOError:
            pass
    fcntl.fcntl(pipe, fcntl.F_SETFL, flags)


@pytest.mark.parametrize("lines", [1, 200])
def test_nobody_reads_what_the_daemon_says(folder, lines):
    """Standard error is a full pipe; an output has much to complain of; the other goes on."""
    reader, writer = os.pipe()
    (folder / "bad").mkdir()
    paths = ["--run-dir", str(folder / "run"), "--state-dir", str(folder / "state")]
    daemon = subprocess.Popen(
        [str(program()), "run", *paths, "--io", os.environ.get("YARDER_IO", "auto"),
         "--input", f"unix:{folder}/in", "--output", f"good file:{folder}/good.log",
         "--output", f"bad file:{folder}/bad/${{tag}},on-full=drop-newest,max-open=400"],
        stderr=writer)
    try:
        subprocess.run([str(program()), "status", *paths[:2], "--ready", "--wait", "10s"],
                       check=True, timeout=SECONDS)
        fill(writer)
        (folder / "bad").rename(folder / "moved")
        (folder / "bad").write_text("a file where a folder is wanted")
        with senders.unix_datagram(folder / "in") as sender:
            for number in range(lines):
                sender.send(b"<13>Nov 21 01:02:03 t%d: hello" % number)
                time.sleep(0.002)
            good = folder / "good.log"
            wait_until(lambda: good.exists() and len(good.read_text().splitlines()) == lines,
                       SECONDS, "all lines in the good file")
        daemon.terminate()
        os.read(reader, 1 << 20)
        assert daemon.wait(SECONDS) is not None
    finally:
        daemon.kill()
        daemon.wait()
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("way", ["run", "exec"])
def test_a_reader_that_leaves(folder, way):
    """`... | head -1` beside a file: the file gets everything, and the end is a good one."""
    paths = ["--run-dir", str(folder / "run"), "--state-dir", str(folder / "state"), "--io",
             os.environ.get("YARDER_IO", "auto"), "--output", f"file:{folder}/all.log"]
    command = {"run": [str(program()), "run", "--output", "stdio:stdout", *paths],
               "exec": [str(program()), "exec", *paths, "--", "seq", "200000"]}[way]
    with subprocess.Popen(["seq", "200000"], stdout=subprocess.PIPE) as numbers, \
            subprocess.Popen(command, stdin=numbers.stdout, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE) as daemon:
        numbers.stdout.close()
        assert daemon.stdout.readline() == b"1\n"
        daemon.stdout.close()
        said = daemon.stderr.read()
        assert daemon.wait(SECONDS) == 0, said
    assert b"nobody reads it any more" in said and b"not delivered" not in said
    assert (folder / "all.log").read_text().split() == [str(n) for n in range(1, 200_001)]
