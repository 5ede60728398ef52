# SPDX-License-Identifier: Apache-2.0
"""Reloads under load: no record lost or written twice, no connection broken or refused.

Load comes by ring, unix stream, tcp and exec at once. The output `all` stays; `moving` gets another
file at each reload; `extra` comes and goes, and so does an input; queue sizes change.
"""
import os
import random
import re
import signal
import time

import pytest

from harness import audit as audit_module
from harness import ledger, load, processes, senders
from harness.audit import Audit, audit
from harness.mounts import Freezable
from harness.wait import free_port, wait_until

pytestmark = pytest.mark.sanitize
RELOADS = 20
KILLS = 15
PAUSE_MS_MAX = 500  # a noisy machine; some 10 ms are usual
SETTLE_SECONDS = 20


class Scene:
    """A daemon whose configuration is written anew for each generation."""

    def __init__(self, start, folder, streams=True, rate=4000):
        self.folder = folder
        self.port = free_port()
        self.talker = load.Talker(folder, "talker", 1000)
        self.generation = 0
        self.yarder = start(self.text())
        self.producers = [load.RingProducer(self.yarder, "ring", rate), self.talker]
        if streams:
            self.pulse = load.Pulse("pulse", senders.unix_stream(folder / "pulse"))
            self.producers += [
                self.pulse, load.Pulse("tcp", senders.tcp(self.port)),
                load.tcp_connector("tcps", self.port),
                load.unix_connector("unixes", folder / "in")]

    def text(self):
        odd = self.generation % 2
        size = (4, 16, 8)[self.generation % 3]
        lines = [
            "input = ring", f"input = tcp tcp:127.0.0.1:{self.port}",
            "input = in unix:{folder}/in,socket=stream",
            "input = pulse unix:{folder}/pulse,socket=stream,parse=raw",
            f"output = all file:{{folder}}/all,queue=memory:{size}M,format=${{micros}} ${{msg}}",
            f"output = moving file:{{folder}}/moving.{self.generation:03}"]
        if odd:
            lines.insert(0, "input = more unix:{folder}/more,socket=stream")
            lines.insert(3, f"output = extra file:{{folder}}/extra.{self.generation:03}")
        # The whole rest of an exec line is its command.
        return "\n".join([*lines, f"input = talker exec:{self.talker.command}", ""])

    def write_next(self):
        self.generation += 1
        self.yarder.write_config(self.text())

    def reload(self, **options):
        self.write_next()
        return self.yarder.cli("reload", **options)

    def __enter__(self):
        for producer in self.producers:
            if producer is not self.talker:
                producer.__enter__()
        return self

    def __exit__(self, kind, trouble, trace):
        for producer in self.producers:
            if producer is not self.talker:
                producer.__exit__(kind, trouble, trace)

    def end(self):
        """Ends the load and audits each output. Returns the audits' counts."""
        counts = load.end_all(*self.producers)
        ledger.wait_settled(self.yarder, sum(counts.values()), SETTLE_SECONDS)
        # A connection for each record: their order is nobody's promise.
        options = {"unordered": ("tcps", "unixes")}
        audit([self.folder / "all"], counts, prefix=rb"\d+ ", **options).assert_clean()
        audit(sorted(self.folder.glob("moving.*")), counts, **options).assert_clean()
        for path in self.folder.glob("extra.*"):
            stretch = Audit(counts, **options).file(path)
            gaps = {source: gap for source, gap in stretch.gaps().items()
                    if source not in options["unordered"]}
            assert not any(gaps.values()), (path, gaps)
            stretch.report_.assert_clean()
        return counts

    def delays_ms(self):
        """How long after it was sent each record of the pulse was taken."""
        pulse = re.compile(rb"(\d+) pulse (\d+) ")
        delays = []
        with open(self.folder / "all", "rb") as lines:
            for match in filter(None, map(pulse.match, lines)):
                taken_us, number = int(match[1]), int(match[2])
                delays.append(taken_us / 1e3 - self.pulse.sent_ns[number] / 1e6)
        return delays


def test_reloads_under_load(yarder, folder):
    with Scene(yarder, folder) as scene:
        for round_ in range(RELOADS):
            first = len(scene.pulse.sent_ns)
            scene.reload()
            wait_until(lambda: len(scene.pulse.sent_ns) > first + 100, 10, "the load goes on")
            if round_ == RELOADS // 2:
                refuse_broken(scene)
        scene.end()
        delays = scene.delays_ms()
        worst = sorted(delays)[-20:]
        print(f"longest pauses in {RELOADS} reloads, ms: {[round(one, 1) for one in worst[::-1]]}")
        assert worst[-1] < PAUSE_MS_MAX
        status = scene.yarder.status()
        assert status["reloads"] == RELOADS + 1 and status["reloads_failed"] == 1
        assert status["workers_crashed"] == 0


def refuse_broken(scene):
    """A configuration with an error changes nothing, and is told with its place."""
    before = scene.yarder.status()
    good = scene.yarder.config.read_text()
    scene.yarder.config.write_text(good + "\noutput = wrong file:/nowhere,flush=soon\n")
    result = scene.yarder.cli("reload", check=False)
    scene.yarder.config.write_text(good)
    line = good.count("\n") + 2
    place = f"{scene.yarder.config}:{line}: "
    assert result.returncode == 1 and place in result.stderr, result
    after = scene.yarder.status()
    assert after["pid"] == before["pid"] and place in after["reload_error"], after
    assert [one["name"] for one in after["outputs"]] == [one["name"] for one in before["outputs"]]
    assert place in scene.yarder.stderr()


def ask_reload(scene):
    """By HUP, which does not wait. Returns the workers as they were, and the reloads done."""
    before = scene.yarder.worker_pids(), scene.yarder.status()["reloads"]
    scene.write_next()
    scene.yarder.signal(signal.SIGHUP)
    return before


def wait_reloaded(scene, done):
    """Whatever became of the reload, the daemon answers and can be reloaded again."""
    wait_until(lambda: scene.yarder.status()["reloads"] > done, 20, scene.yarder.stderr)


def kill(pid):
    started = processes.started_at(pid)
    if started is not None:
        processes.end({pid: started})
    return started is not None


def newcomer(scene, before):
    return next((pid for pid in scene.yarder.worker_pids() if pid not in before), None)


def reload_with_kills(yarder, folder, kills, whom):
    """Until so many of the old or the new workers were killed in the middle of a reload."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with Scene(yarder, folder, streams=False) as scene:
        rounds = killed = 0
        while killed < kills:
            rounds += 1
            assert rounds < 10 * kills, "most had gone before: the scene shows nothing"
            workers, done = ask_reload(scene)
            victim = max(workers) if chance.choice(whom) == "old" else wait_until(
                lambda: newcomer(scene, workers), 10, "a new worker")
            time.sleep(chance.uniform(0, 0.012))  # through preparing, handing over, first passes
            killed += kill(victim)
            wait_reloaded(scene, done)
        scene.end()
        failed = scene.yarder.stderr().count("reload failed")
        print(f"{rounds} reloads, {killed} with a kill in it, {failed} failed")


@pytest.mark.parametrize("whom", ["old", "new"])
def test_worker_killed_in_a_reload(yarder, folder, whom):
    """At any moment of it: what the rings and pipes gave is not lost, nor written twice."""
    reload_with_kills(yarder, folder, KILLS, [whom])


@pytest.mark.long
@pytest.mark.seconds(900)
def test_torture_of_reloads(yarder, folder):
    reload_with_kills(yarder, folder, 300, ["old", "new"])


def test_killed_soon_after_a_reload(yarder, folder):
    """The new worker's successor goes on with the files that came over from the old one."""
    with Scene(yarder, folder, streams=False) as scene:
        for pause in (0, 0.01, 0.1, 0.3):
            scene.reload()
            time.sleep(pause)
            kill(max(scene.yarder.worker_pids()))
            wait_until(lambda: scene.yarder.status()["inputs"], 20, scene.yarder.stderr)
        scene.end()
        assert "another process" not in scene.yarder.stderr()


def records_in_pipe(path, count):
    """Opens a FIFO, which lets its writer go on, and reads until `count` lines have come."""
    with open(path, "rb", buffering=0) as pipe:
        content = b""
        while content.count(b"\n") < count:
            chunk = pipe.read(1 << 16)
            assert chunk, "the writer has left"
            content += chunk
    return content


HANGING = """\
input = in unix:{folder}/in,socket=stream
output = good file:{folder}/good
"""
ICED = "output = iced file:{folder}/disk/iced,on-full=drop-newest\n"
HUNG = "output = hung file:{folder}/fifo,on-full=drop-newest,queue=memory:4M\n"


def test_reload_while_an_output_waits(yarder, folder):
    """For its reader. It holds up neither the reload nor the others; all of it comes in the end."""
    os.mkfifo(folder / "fifo")
    daemon = yarder(HANGING + HUNG)
    with load.Pulse("a", senders.unix_stream(folder / "in")) as pulse:
        wait_until(lambda: len(pulse.sent_ns) > 200, 10, "load")
        began = time.monotonic()
        daemon.write_config(HANGING + HUNG + "output = third file:{folder}/third\n")
        daemon.cli("reload")
        print(f"reload beside a waiting output: {(time.monotonic() - began) * 1e3:.0f} ms")
        assert time.monotonic() - began < 2
        wait_until(lambda: len(pulse.sent_ns) > 600, 10, "load")
        counts = pulse.end()
    status = ledger.wait_for(
        daemon, lambda status: ledger.named(status, "good")["delivered"] == counts["a"])
    audit([folder / "good"], counts).assert_clean()
    assert ledger.named(status, "hung")["held"] == counts["a"]
    content = records_in_pipe(folder / "fifo", counts["a"])
    Audit(counts).lines(content.splitlines(keepends=True)).report().assert_clean()
    ledger.wait_settled(daemon, counts["a"], 20)


def is_stuck(status):
    return ledger.named(status, "iced").get("in_call_ms", 0) > 300


def test_reload_on_a_frozen_disk(yarder, folder):
    """A write that hangs belongs to the old worker: the new one keeps off until then."""
    with Freezable(folder / "disk") as disk:
        daemon = yarder(HANGING + ICED)
        with load.Pulse("a", senders.unix_stream(folder / "in")) as pulse:
            wait_until(lambda: len(pulse.sent_ns) > 200, 10, "load")
            disk.freeze()
            ledger.wait_for(daemon, is_stuck)
            for round_ in range(2):
                daemon.write_config(HANGING + ICED + f"output = n{round_} null:\n")
                daemon.cli("reload")
                assert daemon.status()["fenced_outputs"] == 2, "the second output"
                first = len(pulse.sent_ns)
                wait_until(lambda: len(pulse.sent_ns) > first + 200, 10, "load")
            counts = pulse.end()
        status = ledger.wait_for(
            daemon, lambda status: ledger.named(status, "good")["delivered"] == counts["a"])
        assert ledger.named(status, "iced")["held"] > 0
        disk.thaw()
        ledger.wait_settled(daemon, counts["a"], 20)
        for name in ("good", "disk/iced"):
            audit([folder / name], counts).assert_clean()
        assert daemon.status()["fenced_outputs"] == 0
        daemon.stop()


def test_reload_frees_inputs_that_an_output_blocks(yarder, folder):
    """The way out for an operator: the output that hangs leaves, and the others lack nothing."""
    os.mkfifo(folder / "fifo")
    hung = "output = hung file:{folder}/fifo,on-full=block,queue=memory:1M\n"
    daemon = yarder("drain-timeout = 1s\n" + HANGING + hung)
    with load.Pulse("a", senders.unix_stream(folder / "in"), interval=0, size=5000) as pulse:
        stopped = []

        def blocked():
            stopped.append(len(pulse.sent_ns))
            return len(stopped) > 50 and stopped[-50] == stopped[-1]

        wait_until(blocked, 20, "the sender is held back")
        daemon.write_config(HANGING)
        daemon.cli("reload")
        wait_until(lambda: len(pulse.sent_ns) > stopped[-1] + 1000, 20, "the sender goes on")
        counts = pulse.end()
    ledger.wait_settled(daemon, counts["a"], 20)
    audit([folder / "good"], counts).assert_clean()


def test_an_output_leaves_with_records_waiting(yarder, folder):
    """The old worker delivers them; the new one serves the others meanwhile."""
    os.mkfifo(folder / "fifo")
    daemon = yarder(HANGING + HUNG)
    with senders.unix_stream(folder / "in") as sender:
        sender.send_audited("a", 1000)
        ledger.wait_for(daemon, lambda status: ledger.named(status, "good")["delivered"] == 1000)
        daemon.write_config(HANGING)
        daemon.cli("reload")
        sender.send_audited("a", 1000, first=1000)
    content = records_in_pipe(folder / "fifo", 1000)
    Audit({"a": 1000}).lines(content.splitlines(keepends=True)).report().assert_clean()
    ledger.wait_settled(daemon, 2000, 20)
    audit([folder / "good"], {"a": 2000}).assert_clean()
    wait_until(lambda: len(daemon.worker_pids()) == 1, 10, "the old worker leaves")


def test_an_output_stays_while_another_leaves(yarder, folder):
    """What waits for the one that stays is the new worker's alone, also while the old one lives."""
    os.mkfifo(folder / "fifo")
    stays = HANGING + ICED
    with Freezable(folder / "disk") as disk:
        daemon = yarder(stays + HUNG)
        with senders.unix_stream(folder / "in") as sender:
            sender.send_audited("a", 100)
            ledger.wait_settled(daemon, 100, 20, but=["hung"])
            disk.freeze()
            sender.send_audited("a", 1000, first=100)
            ledger.wait_for(daemon, is_stuck)
            sender.send_audited("a", 1000, first=1100)
            ledger.wait_for(
                daemon, lambda status: ledger.named(status, "good")["delivered"] == 2100)
            daemon.write_config(stays)
            daemon.cli("reload")
            sender.send_audited("a", 900, first=2100)
        disk.thaw()
        content = records_in_pipe(folder / "fifo", 2100)
        Audit({"a": 2100}).lines(content.splitlines(keepends=True)).report().assert_clean()
        ledger.wait_settled(daemon, 3000, 20)
        audit([folder / "disk" / "iced"], {"a": 3000}).assert_clean()
        daemon.stop()


def test_an_output_leaves_and_never_takes_its_records(yarder, folder):
    """After drain-timeout they are given up, and their number is told."""
    os.mkfifo(folder / "fifo")
    daemon = yarder("drain-timeout = 500ms\n" + HANGING + HUNG)
    with senders.unix_stream(folder / "in") as sender:
        sender.send_audited("a", 1000)
        ledger.wait_for(daemon, lambda status: ledger.named(status, "good")["delivered"] == 1000)
    daemon.write_config(HANGING)
    daemon.cli("reload")
    daemon.wait_for_stderr("1000 records of outputs that left the configuration", 10)
    wait_until(lambda: len(daemon.worker_pids()) == 1, 10, "the old worker leaves")
    audit([folder / "good"], {"a": 1000}).assert_clean()


def test_term_right_after_an_output_left(yarder, folder):
    """The end waits for what the old worker still delivers, too."""
    os.mkfifo(folder / "fifo")
    daemon = yarder(HANGING + HUNG)
    with senders.unix_stream(folder / "in") as sender:
        sender.send_audited("a", 1000)
        ledger.wait_for(daemon, lambda status: ledger.named(status, "good")["delivered"] == 1000)
    daemon.write_config(HANGING)
    daemon.cli("reload")
    daemon.signal(signal.SIGTERM)
    content = records_in_pipe(folder / "fifo", 1000)
    Audit({"a": 1000}).lines(content.splitlines(keepends=True)).report().assert_clean()
    assert daemon.process.wait(10) == 0, daemon.stderr()


NAMES = ("a", "b", "c")


@pytest.mark.parametrize("reloads, step", [(2, 1), (7, 1), (6, 2)])
def test_names_change_and_files_stay(yarder, folder, reloads, step):
    """Each file and each address goes on under another name, at once and again: nothing is lost,
    and what a connection was in the middle of is finished."""
    def text(turn):
        name = [NAMES[(i + turn * step) % 3] for i in range(3)]
        return (f"input = {name[0]}in ring\ninput = {name[1]}in unix:{{folder}}/in,socket=stream\n"
                f"output = {name[0]} file:{{folder}}/0.log\n"
                f"output = {name[1]} file:{{folder}}/1.log\n")

    daemon = yarder(text(0))
    with load.RingProducer(daemon, "ring", 5000) as ring, \
            senders.unix_stream(folder / "in", b"") as sender:
        for turn in range(1, reloads + 1):
            record = audit_module.make("stream", turn - 1)
            sender.send(record[:50])
            daemon.write_config(text(turn))
            daemon.cli("reload")
            sender.send(record[50:] + b"\n")
        counts = {**ring.end(), "stream": reloads}
    status = ledger.wait_settled(daemon, sum(counts.values()), SETTLE_SECONDS)
    assert ledger.lost(status) == 0
    for number in range(2):
        audit([folder / f"{number}.log"], counts).assert_clean()


def test_fewer_files_than_have_records(yarder, folder):
    """max-open is lowered while more files wait: what cannot be kept is counted, and told."""
    config = "input = unix:{folder}/in,parse=syslog\noutput = t file:{folder}/to/${tag},flush=1h,"
    daemon = yarder(config + "max-open=10\n")
    with senders.unix_datagram(folder / "in") as sender:
        for number in range(55):
            sender.send(b"<13>Nov 21 01:02:03 t%d: x" % (number % 5))
            if number == 4:  # what was there when a file was opened is written at once
                ledger.wait_settled(daemon, 5, SETTLE_SECONDS)
    ledger.wait_for(daemon, lambda status: ledger.named(status, "t")["held"] == 50)
    daemon.write_config(config + "max-open=2\n")
    daemon.cli("reload")
    daemon.wait_for_stderr("output t: 30 records waited for more files", 10)
    assert ledger.named(daemon.status(), "t")["dropped"]["left"] == 30
