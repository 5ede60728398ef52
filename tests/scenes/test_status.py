# SPDX-License-Identifier: Apache-2.0
"""What the control socket answers, and to whom: the truth, at once, whoever else is asking."""
import json
import os
import resource
import signal
import socket
import threading
import time

import pytest

from harness import ledger, senders
from harness.audit import audit
from harness.wait import free_port, wait_until

SECONDS = 15
PROMPT_SECONDS = 1.5  # far below the two seconds that a silent asker may take
STATUS = b'{"do":"status"}\n'
PLAIN = "input = in unix:{folder}/in,socket=stream\noutput = all file:{folder}/all\n"


class Asker:
    """A connection to the control socket that behaves as it likes."""

    def __init__(self, one):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(SECONDS)
        self.socket.connect(str(one.run_dir / "control.sock"))
        self.lines = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, kind, trouble, trace):
        self.lines.close()
        self.socket.close()

    def say(self, words):
        self.socket.sendall(words)

    def answer(self):
        """The next line, or None when the daemon has hung up."""
        try:
            line = self.lines.readline()
        except ConnectionResetError:
            return None
        return json.loads(line) if line else None


def assert_prompt(one):
    began = time.monotonic()
    one.cli("status")
    took = time.monotonic() - began
    assert took < PROMPT_SECONDS, f"an answer took {took:.1f} s"


def drip(askers, stop):
    """A byte of a request from each every 50 ms, without an end to it."""
    while not stop.wait(0.05):
        for one in list(askers):
            try:
                one.say(b" ")
            except OSError:
                askers.remove(one)


@pytest.mark.sanitize
def test_nobody_keeps_others_from_an_answer(yarder):
    """Silent, dripping, garbage, half requests, some that read nothing: more than have a place."""
    one = yarder(PLAIN)
    stop = threading.Event()
    askers = [Asker(one) for _ in range(50)]
    for asker in askers[10:20]:
        asker.say(b'{"do":"sta')
    for asker in askers[20:30]:
        asker.say(os.urandom(100).replace(b"\n", b" ") + b"\n")
    for asker in askers[30:40]:
        try:
            asker.say(STATUS * 200)  # and reads nothing
        except OSError:
            pass
    dripping = askers[40:]
    thread = threading.Thread(target=drip, args=(dripping, stop))
    thread.start()
    try:
        for _ in range(10):
            assert_prompt(one)
    finally:
        stop.set()
        thread.join()
        for asker in askers:
            asker.__exit__(None, None, None)
    assert_prompt(one)


def test_times_are_exact(yarder):
    """Nanoseconds since 1970 need 61 bits; a JSON number made by way of a double has 53."""
    before = time.time_ns()
    with Asker(yarder(PLAIN)) as asker:
        asker.say(STATUS)
        line = asker.lines.readline()
    started = json.loads(line)["started_ns"]
    assert before <= started <= time.time_ns() and b"%d" % started in line


def test_who_asks_once_a_second_disturbs_nobody(yarder):
    one = yarder(PLAIN)
    with Asker(one) as asker:
        for _ in range(3):
            asker.say(STATUS)
            assert asker.answer()["pid"] == one.worker_pids()[0]
            assert_prompt(one)
            time.sleep(0.9)  # the pace is what is tested: a connection that is used stays
        asker.say(STATUS)
        assert asker.answer() is not None


def test_requests_in_one_write_are_all_answered(yarder):
    """In turn, also when the last one is followed by the end, or has none."""
    one = yarder(PLAIN)
    with Asker(one) as asker:
        asker.say(STATUS * 3 + b'nonsense\n{"do":"reopen"}\n' + STATUS[:5])
        answers = [asker.answer() for _ in range(5)]
        assert ["inputs" in answer for answer in answers] == [True] * 3 + [False] * 2
        assert "not understood" in answers[3]["error"] and answers[4] == {}
        asker.say(STATUS[5:] + STATUS)
        asker.socket.shutdown(socket.SHUT_WR)
        assert "inputs" in asker.answer() and "inputs" in asker.answer()
        assert asker.answer() is None
    with Asker(one) as asker:
        asker.say(b"x" * 5000)
        assert asker.answer() is None


def test_a_silent_asker_is_shown_out(yarder):
    one = yarder(PLAIN)
    with Asker(one) as asker:
        asker.say(b"{")
        assert asker.answer() is None


def test_a_disk_that_takes_nothing_is_no_health(yarder):
    """Records are held, nothing is lost yet: said at once, with the error, and by the status."""
    one = yarder("drain-timeout = 1s\ninput = in unix:{folder}/in,socket=stream\n"
                 "output = all file:/dev/full\n")
    assert one.cli("status").stdout.startswith("healthy, nothing lost")
    with senders.unix_stream(one.folder / "in") as sender:
        sender.send(b"one record")
        status = ledger.wait_for(one, lambda says: says["state"] == "held up", SECONDS)
        assert status["healthy"] is False and status["losses"] == 0
        assert "write: No space left on device" in status["line"]
        output = ledger.named(status, "all")
        assert output["stalled_ms"] >= 1000 and output["held"] == 1
        error = output["last_error"]
        assert (error["call"], error["errno"], error["path"]) == ("write", "ENOSPC", "/dev/full")
        assert abs(time.time() - error["at_ns"] / 1e9) < SECONDS
        told = one.cli("status", check=False)
        assert told.returncode == 4 and told.stdout.startswith("HELD UP: output all")
        assert "last error" in told.stdout and "ENOSPC" in told.stdout
    one.end(signal.SIGTERM, code=1)  # what it still held is lost


def test_a_failure_that_nobody_counts_is_told(yarder, folder):
    """Datagrams to nobody are delivered, as far as anybody knows; that it fails is known."""
    one = yarder("input = in unix:{folder}/in,socket=stream\n"
                 f"output = q socket:udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}\n")

    def fails():
        with senders.unix_stream(folder / "in") as sender:
            sender.send_audited("unix", 10)
        return ledger.named(one.status(), "q")["errors"] > 0

    wait_until(fails, SECONDS, "a refusal")
    said = one.cli("status", check=False)
    assert said.returncode == 4 and said.stdout.startswith("FAILING: output q failed"), said
    report = one.status()
    assert report["state"] == "failing" and not report["healthy"] and ledger.lost(report) == 0


def test_a_loss_is_told_for_a_minute(yarder, folder):
    """By one question, whoever asks and when; what is older than the worker is no alarm."""
    one = yarder("drain-timeout = 1s\ninput = ring\n"
                 "output = all file:/dev/full,queue=memory:1M,on-full=drop-newest\n"
                 "output = good file:{folder}/good\n")
    one.cli("send", "--count", "10000", "--size", "200", "--rate", "40000")
    status = ledger.wait_for(one, lambda says: says["losses"] > 0, SECONDS)
    lost = ledger.named(status, "all")["dropped"]["full"]
    assert status["state"] == "losing" and ledger.named(status, "all")["recent"]["dropped"]["full"]
    for _ in range(3):
        told = one.cli("status", check=False)
        assert told.returncode == 4
        assert told.stdout.startswith(f"LOSING: output all dropped {lost} (queue full) in the last")
    one.kill_worker()
    assert one.status()["losses"] == lost and one.status()["state"] != "losing"
    one.end(signal.SIGTERM, code=1)  # what it still held is lost


def test_losses_are_told_while_everything_waits(yarder, folder):
    """One output that takes nothing: its ring is not read, and still it is known what it lost."""
    one = yarder("drain-timeout = 1s\ninput = ring\n"
                 "output = all file:/dev/full,queue=memory:1M\n")
    sent = one.cli("send", "--count", "60000", "--size", "200", check=False)
    failed = int(sent.stderr.split(" lost ")[1].split()[0])
    assert sent.returncode != 0 and failed > 0
    status = ledger.wait_for(one, lambda says: says["losses"] >= failed, SECONDS)
    (ring,) = status["inputs"]
    assert ring["lost"]["ring"] == failed and status["state"] == "losing"
    assert one.cli("status", check=False).stdout.startswith("LOSING: input ring lost")
    one.end(signal.SIGTERM, code=1)  # what it still held is lost


def test_patterns_that_cannot_be_decided_are_named(yarder, folder):
    one = yarder("input = in unix:{folder}/in,socket=stream\ndrop = ^(a+)+$\n"
                 "output = all file:{folder}/all\n")
    with senders.unix_stream(folder / "in") as sender:
        sender.send(b"a" * 5000 + b"!")
        status = ledger.wait_for(one, lambda says: says["router"]["undecided"] > 0, SECONDS)
    pattern, = status["router"]["patterns"]
    assert pattern["pattern"] == "^(a+)+$" and pattern["undecided"] > 0
    assert "pattern ^(a+)+$" in one.cli("status").stdout


def test_a_reload_waits_for_its_own(yarder, folder):
    """Asked while another one is under way: done when the sources were read after the question."""
    one = yarder(PLAIN)
    with Asker(one) as asker:
        asker.say(b'{"do":"reload"}\n' * 5)
        numbers = [asker.answer() for _ in range(5)]
        numbers = [answer["reload"] for answer in numbers if answer is not None]
    assert numbers and numbers[0] == 1 and numbers == sorted(numbers)
    for round_ in range(5):
        one.signal(signal.SIGHUP)
        one.write_config(PLAIN + f"output = more{round_} file:{{folder}}/more\n")
        assert one.cli("reload").stdout.startswith("reloaded")
        names = [output["name"] for output in one.status()["outputs"]]
        assert f"more{round_}" in names, f"round {round_}: its own reload had not ended"
    ledger.wait_for(one, lambda says: says["reloads"] >= numbers[-1], SECONDS)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_no_descriptor_left(yarder, folder):
    """Who comes then is refused and counted, the worker does not spin, status answers, and those
    who are connected are served on."""
    port = free_port()
    one = yarder(f"input = tcp tcp:127.0.0.1:{port},parse=raw\noutput = all file:{{folder}}/all\n")
    worker, = one.worker_pids()
    count = 40
    have = len(os.listdir(f"/proc/{worker}/fd"))
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (have + count // 2, have + count // 2))
    connections = [senders.tcp(port) for _ in range(count)]
    try:
        status = ledger.wait_for(
            one, lambda says: says["inputs"][0]["connections_refused"] > 0 and count ==
            says["inputs"][0]["connections_refused"] + says["inputs"][0]["connections"], SECONDS)
        refused = ledger.named(status, "tcp")["connections_refused"]
        assert status["state"] == "losing" and "refused" in status["line"]
        one.wait_for_stderr("connections are refused", SECONDS)
        before, began = cpu_seconds(worker), time.monotonic()
        open_ones = [one_ for one_ in connections if not hung_up(one_)]
        assert len(open_ones) == count - refused
        for number, connection in enumerate(open_ones):
            connection.send_audited(f"c{number}", 10)
        ledger.wait_settled(one, 10 * len(open_ones), SECONDS)
        wait_until(lambda: time.monotonic() - began > 1, SECONDS, "a second")
        assert one.stderr().count("connections are refused") == 1
        assert cpu_seconds(worker) - before < 0.5, "the worker spins"
    finally:
        for connection in connections:
            connection.socket.close()
    audit([folder / "all"], {f"c{number}": 10 for number in range(len(open_ones))}).assert_clean()


def hung_up(connection):
    connection.socket.setblocking(False)
    try:
        return connection.socket.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    finally:
        connection.socket.settimeout(SECONDS)


@pytest.mark.parametrize("kind", ["tcp", "stream"])
def test_idle_connections_are_closed(yarder, folder, kind):
    """Those that say nothing, with what they had begun; not the one that talks."""
    port = free_port()
    one = yarder(f"input = tcp tcp:127.0.0.1:{port},parse=raw,idle-timeout=2s\n"
                 "input = stream unix:{folder}/in,socket=stream,parse=raw,idle-timeout=2s\n"
                 "output = all file:{folder}/all\n")

    def connect():
        return senders.tcp(port) if kind == "tcp" else senders.unix_stream(folder / "in")

    with connect() as silent, connect() as half, connect() as talks:
        half.socket.sendall(b"half a line")
        began = time.monotonic()
        sent = 0
        while not (hung_up(silent) and hung_up(half)):
            assert time.monotonic() - began < SECONDS, "still open"
            sent += talks.send_audited("t", 1, first=sent)
            time.sleep(0.1)  # its pace
        assert time.monotonic() - began >= 1.9
        assert not hung_up(talks)
        sent += talks.send_audited("t", 1, first=sent)
        status = ledger.wait_settled(one, sent + 1, SECONDS)
    assert ledger.named(status, kind)["partial"] == 1
    audit([folder / "all"], {"t": sent}, let_pass=b"half a line").assert_clean()


def test_connections_max_is_said_and_told(yarder, folder):
    one = yarder("input = in unix:{folder}/in,socket=stream,connections-max=3\n"
                 "output = all file:{folder}/all\n")
    connections = [senders.unix_stream(folder / "in") for _ in range(6)]
    status = ledger.wait_for(
        one, lambda says: ledger.named(says, "in")["connections_refused"] == 3, SECONDS)
    assert "input in refused 3 connections" in status["line"] and status["losses"] == 0
    assert one.cli("status", check=False).returncode == 4
    one.wait_for_stderr("connections-max is reached", SECONDS)
    for connection in connections:
        connection.socket.close()


@pytest.mark.seconds(120)
def test_more_connections_than_loops_have_places_by_default(yarder, folder):
    """connections-max= is what an input may really have."""
    count = 17_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + 200:
        pytest.skip(f"needs {count + 200} open files, may have {hard}")
    port = free_port()
    one = yarder(f"input = in tcp:127.0.0.1:{port},parse=raw,connections-max=20000\n"
                 "output = all file:{folder}/all\n")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    connections = []
    try:
        for _ in range(count):
            connections.append(senders.tcp(port))
        status = ledger.wait_for(
            one, lambda says: ledger.named(says, "in")["connections"] == count, 60)
        assert ledger.named(status, "in")["connections_refused"] == 0
        connections[-1].send(b"here")
        ledger.wait_settled(one, 1, SECONDS)
    finally:
        for connection in connections:
            connection.socket.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_port_that_is_in_use(yarder, folder):
    """One line with the cure; the other inputs are served, status says what is not, and a reload
    takes the port once it is free."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        one = yarder(f"input = tcp tcp:127.0.0.1:{port}\n" + PLAIN)
        said = one.stderr()
        assert f"input tcp: cannot listen on tcp 127.0.0.1:{port}: address in use" in said
        assert "the other inputs are served" in said
        with senders.unix_stream(folder / "in") as sender:
            sender.send_audited("a", 100)
            ledger.wait_settled(one, 100, SECONDS)
        status = one.cli("status", check=False)
        assert status.returncode == 4
        assert "HELD UP: input tcp does not listen" in status.stdout
    one.cli("reload")
    with senders.tcp(port) as sender:
        sender.send_audited("b", 100)
        ledger.wait_settled(one, 200, SECONDS)
    assert one.cli("status").stdout.startswith("healthy")
    audit([folder / "all"], {"a": 100, "b": 100}).assert_clean()


def test_nothing_can_come_in(yarder, folder):
    """No input is left: then it does not start."""
    with socket.create_server(("127.0.0.1", 0)) as other, \
            pytest.raises(AssertionError, match="ended with 1:\n(.*\n)*.*address in use"):
        yarder(f"input = tcp:127.0.0.1:{other.getsockname()[1]}\noutput = file:{{folder}}/all\n")
