# SPDX-License-Identifier: Apache-2.0
"""Lines that are one record: by language, by source, within bounds, over a worker's death."""
import json
import os
import signal
import socket
import threading
import time

import pytest

from harness import ledger
from harness.wait import wait_until

SECONDS = 20
PYTHON = """\
Traceback (most recent call last):
  File "/srv/a.py", line 2, in f
    {}['x']
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/srv/a.py", line 4, in <module>
    g()
ValueError: again"""
JAVA = """\
java.lang.IllegalStateException: no connection
\tat com.example.Pool.take(Pool.java:42)
Caused by: java.net.ConnectException: refused
\t... 12 more"""
GO = """\
panic: boom [recovered]
\tpanic: again

goroutine 1 [running]:
main.main()
\t/srv/main.go:20 +0x65

goroutine 18 [chan receive]:
net/http.HandlerFunc.ServeHTTP(...)
\t/usr/lib/go/src/net/http/server.go:2136
created by main.main in goroutine 1
\t/srv/main.go:18 +0x4e"""
JSON = "output = all file:{folder}/all,format=json\n"
LONG = "multiline-time=1h"


def messages(folder):
    path = folder / "all"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line)["message"] for line in lines]


def wait_for(folder, wanted):
    wait_until(lambda: len(messages(folder)) >= len(wanted), SECONDS,
               lambda: f"{len(wanted)} records: {messages(folder)}")
    assert messages(folder) == wanted


def printed(text):
    """As an unbuffered program writes it: a line a call."""
    return [line + "\n" for line in text.split("\n")]


def settled(daemon, received):
    """Every line that came in was received, and is a record or joined to one."""
    def look():
        status = daemon.status()
        ledger.assert_balanced(status)
        return status["inputs"][0]["received"] == received and ledger.held(status) == 0
    wait_until(look, SECONDS, lambda: f"{received} lines: {daemon.status()}")
    return daemon.status()


@pytest.mark.parametrize("rule, trace, lines", [
    ("python", PYTHON, 9), ("java", JAVA, 4), ("go", GO, 10)],
    ids=["python", "java", "go"])
def test_a_language_over_a_pipe(yarder, folder, rule, trace, lines):
    read_end, write_end = os.pipe()
    daemon = yarder(JSON + f"input = stdin,multiline={rule}\n", stdin=read_end)
    os.close(read_end)
    with open(write_end, "w", buffering=1) as pipe:
        for line in printed("before") + printed(trace) + printed("after"):
            pipe.write(line)
        pipe.flush()
        wait_for(folder, ["before", trace, "after"])
        status = settled(daemon, lines + 2)
        assert status["router"]["joined"] == lines - 1
        for line in printed(trace):  # and with nothing behind it: when its time is over
            pipe.write(line)
        pipe.flush()
        wait_for(folder, ["before", trace, "after", trace])
        daemon.stop()


def test_a_first_line_says_where_a_record_begins(yarder, folder):
    config = JSON + "[input in]\ntype = unix\nto = {folder}/in\nsocket = stream\n"
    daemon = yarder(config + "multiline = ^\\d{{4}}-\\d\\d\nmultiline-time = 200ms\n".format())
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
        one.connect(str(folder / "in"))
        other.connect(str(folder / "in"))
        one.sendall(b"2026-11 first\nmore\n2026-11 second\n  and\n")
        wait_for(folder, ["2026-11 first\nmore", "2026-11 second\n  and"])
        one.sendall(b"2026-11 one\n")
        other.sendall(b"2026-11 other\n")
        one.sendall(b"one's\n")
        other.sendall(b"other's\n")
        wait_until(lambda: len(messages(folder)) == 4, SECONDS, lambda: str(messages(folder)))
        assert set(messages(folder)[2:]) == {"2026-11 one\none's", "2026-11 other\nother's"}
    settled(daemon, 8)


def test_a_connection_that_ends_ends_its_record(yarder, folder):
    yarder(JSON + "input = unix:{folder}/in,socket=stream,multiline=indent," + LONG + "\n")
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(str(folder / "in"))
        one.sendall(b"a\n b")
    wait_for(folder, ["a\n b"])


def test_syslog_tells_sources_apart(yarder, folder):
    """By host, tag and process, on one socket: as two workers of one program send them."""
    yarder(JSON + "input = unix:{folder}/in,parse=syslog,multiline=python," + LONG + "\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        for line in PYTHON.replace("\n\n", "\n").split("\n") + ["done"]:
            for pid in (7, 8):
                peer.sendto(f"<11>Nov 21 01:00:00 app[{pid}]: {line}".encode(),
                            str(folder / "in"))
    wait_for(folder, [PYTHON, "done", PYTHON, "done"])


def test_size_bounds_a_record_and_loses_nothing(yarder, folder):
    config = "input = stdin,multiline=indent,multiline-size=1K," + LONG + "\n"
    read_end, write_end = os.pipe()
    daemon = yarder(JSON + config, stdin=read_end)
    os.close(read_end)
    lines = ["first"] + [f" {i:040}" for i in range(100)]
    with open(write_end, "w") as pipe:
        pipe.write("\n".join(lines) + "\n")
    wait_until(lambda: "\n".join(messages(folder)) == "\n".join(lines), SECONDS, "all lines")
    assert 5 <= len(messages(folder)) <= 6
    assert all(len(message) <= 1024 for message in messages(folder))
    assert daemon.process.wait(SECONDS) == 0


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP])
def test_stop_and_reload_deliver_what_is_under_way(yarder, folder, end):
    daemon = yarder(JSON + "input = unix:{folder}/in,multiline=python," + LONG + "\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        for line in PYTHON.replace("\n\n", "\n").split("\n"):
            peer.sendto(line.encode(), str(folder / "in"))
    wait_until(lambda: daemon.status()["router"]["joined"] == 8, SECONDS, "its lines")
    assert messages(folder) == []
    if end == signal.SIGTERM:
        daemon.stop()
    else:
        daemon.signal(end)
    wait_for(folder, [PYTHON])


@pytest.mark.parametrize("stays", [True, False])
def test_a_reload_while_there_is_no_room(yarder, folder, stays):
    """What cannot be placed goes on with the rule, ring or none, and without it is counted."""
    os.mkfifo(folder / "fifo")
    config = ("input = unix:{folder}/in,parse=syslog%s\n"
              "output = file:{folder}/fifo,queue=memory:1M,on-full=block\n")
    rule = ",multiline=python," + LONG
    daemon = yarder(config % rule)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.connect(str(folder / "in"))
        for line in ("Traceback (most recent call last):", '  File "kept.py"'):
            peer.send(f"<11>Jan  1 00:00:00 box a: {line}".encode())
        peer.settimeout(1)
        with pytest.raises(TimeoutError):
            while True:
                peer.send(b"<11>Jan  1 00:00:00 box b: " + b"y" * 900)
    daemon.write_config(config % (rule if stays else ""))
    assert daemon.cli("reload").returncode == 0
    with open(folder / "fifo", "rb", buffering=0) as out:
        got = b""
        os.set_blocking(out.fileno(), False)

        def drained():
            nonlocal got
            got += out.read(1 << 20) or b""
            held = daemon.status()["outputs"][0]["held"]
            return held == 0 and (b"kept.py" in got) == stays

        daemon.signal(signal.SIGHUP)  # now there is room, and what waits is placed
        wait_until(drained, SECONDS, "all that waited")
    refused = daemon.status()["inputs"][0]["refused"]
    assert refused["limit"] == (0 if stays else 1)
    ledger.assert_balanced(daemon.status())


def test_a_worker_killed_in_the_middle_loses_no_line(yarder, folder):
    read_end, write_end = os.pipe()
    daemon = yarder(JSON + "input = stdin,multiline=python," + LONG + "\n", stdin=read_end)
    os.close(read_end)
    received = 0
    with open(write_end, "w", buffering=1) as pipe:
        for _ in range(5):
            for line in printed(PYTHON) + printed("done"):
                if line.strip():
                    pipe.write(line)
                    received += 1
                    joined = received - 1 - (received - 1) // 10 * 2 - (received % 10 == 0)
                    wait_until(lambda: daemon.status()["router"]["joined"] >= joined, SECONDS,
                               lambda: f"{joined} joined of {received}: {daemon.status()}")
                    if received % 3 == 0:
                        daemon.kill_worker()
        wait_for(folder, [PYTHON, "done"] * 5)
        status = settled(daemon, received)
        assert status["workers_crashed"] >= 15
        daemon.stop()


@pytest.mark.parametrize("point", ["before-commit", "after-commit", "after-publish", "collected"])
def test_a_worker_that_dies_at_each_step(yarder, folder, point):
    read_end, write_end = os.pipe()
    daemon = yarder(JSON + "input = stdin,multiline=^[A-Z],multiline-time=50ms\n", stdin=read_end,
                    environment={"YARDER_CRASH_POINT": f"{point}:7"})
    os.close(read_end)
    wanted = [f"Record {i}\n line\n  and another" for i in range(200)]
    with open(write_end, "w", buffering=1) as pipe:
        for record in wanted:
            pipe.write(record + "\n")
            time.sleep(0.002)  # so that a pass takes a few lines
        wait_for(folder, wanted)
        assert settled(daemon, 3 * len(wanted))["workers_crashed"] > 0
        daemon.stop()


def test_lines_of_a_ring(yarder, folder):
    daemon = yarder(JSON + "input = ring,multiline=java," + LONG + "\n")
    lines = (JAVA + "\nnext\n" + JAVA + "\n").encode()
    daemon.cli("send", "--block", "--stdin-lines", "--quiet", input=lines.decode())
    wait_for(folder, [JAVA, "next", JAVA])  # the last one as its process has ended


def test_a_record_that_kills_workers_is_set_aside(yarder, folder):
    """It kills when all of it is there: no line of it would."""
    read_end, write_end = os.pipe()
    daemon = yarder(JSON + "input = stdin,multiline=indent,multiline-time=100ms\n", stdin=read_end,
                    environment={"YARDER_CRASH_RECORD": "bad\n  line"})
    daemon.planted = "yarder: bug: record->text.*crash_text.*"
    os.close(read_end)
    with open(write_end, "w", buffering=1) as pipe:
        for text in ("one\n", "bad\n", "  line\n"):
            pipe.write(text)
        wait_until(lambda: daemon.status()["inputs"][0]["refused"]["quarantine"] == 1, SECONDS,
                   lambda: str(daemon.status()))
        pipe.write("two\n  more\n")
        wait_for(folder, ["one", "two\n  more"])
        (aside,) = (folder / "state" / "quarantine").glob("*")
        assert aside.read_text() == "bad\n  line"
        ledger.assert_balanced(daemon.status())
        daemon.stop()


def test_kills_at_any_time(yarder, folder):
    read_end, write_end = os.pipe()
    daemon = yarder(JSON + "input = stdin,multiline=^[A-Z]\n", stdin=read_end)
    os.close(read_end)
    wanted = [f"Record {i}\n line\n  and another" for i in range(20_000)]

    def write():
        with open(os.dup(write_end), "w") as pipe:
            for at in range(0, len(wanted), 50):
                pipe.write("\n".join(wanted[at:at + 50]) + "\n")
                pipe.flush()
                time.sleep(0.002)

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        daemon.kill_worker()
    writer.join()
    wait_for(folder, wanted)
    status = settled(daemon, 3 * len(wanted))
    assert status["workers_crashed"] > 3 and status["router"]["joined"] == 2 * len(wanted)
    daemon.stop()
    os.close(write_end)
