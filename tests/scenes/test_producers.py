# SPDX-License-Identifier: Apache-2.0
"""Programs that log through libyarder: killed, stopped, forked, interrupted, watched, too fast.

A record whose append returned is delivered, once; what is lost is counted alike by the program and
by the daemon, and its gap shows at its place.
"""
import os
import random
import re
import shutil
import signal
import time

import pytest

from harness import kills, ledger, processes, producers, senders
from harness.audit import Audit, audit, make
from harness.follow import Follower
from harness.wait import free_port, wait_until

SETTLE_SECONDS = 30
ONE_FILE = "input = ring\noutput = all file:{folder}/all\n"
MEGABYTE = 1 << 20
PACED_RECORDS = 1_000_000
PACED_CALLS_MAX = 30  # of a million records; a busy daemon sleeps more often, and is woken
PACED_TRIES = 3
GAP = re.compile(rb"yarder: (\d+) records of pid (\d+) are missing here: .*\n")


def seeded():
    seed = int(os.environ.get("YARDER_SEED", time.time_ns() % 1_000_000))
    print(f"YARDER_SEED={seed}")
    return random.Random(seed)


def assert_delivered(one, numbered):
    """Of a killed program's source: all that it numbered, and at most one record more, unbroken."""
    for name, count in numbered.items():
        seen = one._seen[name.encode()]
        came = seen.count(1)
        assert came in (count, count + 1) and seen[:came].count(1) == came, (name, count, came)


def only_worker(yarder):
    (pid,) = yarder.worker_pids()
    return pid


class Stopped:
    """The worker stopped, so that rings fill."""

    def __init__(self, yarder):
        self.pid = only_worker(yarder)

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)

    def __exit__(self, kind, trouble, trace):
        os.kill(self.pid, signal.SIGCONT)


def test_producer_killed(yarder, folder):
    """SIGKILL at random moments: what was appended arrives, at most one record more a thread."""
    one = yarder(ONE_FILE)
    numbers = seeded()
    numbered = {}
    for round_ in range(200):
        with producers.Producer(one, f"p{round_}t", threads=2, size=60) as producer:
            producer.wait_numbered(1)
            time.sleep(numbers.uniform(0, 0.002))
            producer.kill()
            numbered.update(producer.numbered(loggers=2))
    ledger.wait_settled(one, sum(numbered.values()), SETTLE_SECONDS)
    wait_until(lambda: one.status()["ring_clients"] == 0, SETTLE_SECONDS, "all regions given back")
    status = ledger.wait_settled(one, sum(numbered.values()), SETTLE_SECONDS)
    all_ = Audit({name: count + 1 for name, count in numbered.items()}).file(folder / "all")
    assert_delivered(all_, numbered)
    report = all_.report()
    report.assert_clean(missing=len(numbered))
    assert report.records == ledger.named(status, "ring")["received"]
    print(f"{report.records} records, {len(numbered)} threads, "
          f"{report.records - sum(numbered.values())} records of which the append never returned")


@pytest.mark.sanitize
def test_producer_stopped(yarder, folder):
    """SIGSTOP at random moments: others are not held up, and it loses nothing."""
    one = yarder(ONE_FILE)
    numbers = seeded()
    with Follower(folder / "all") as follower, \
            producers.Producer(one, "stopped", threads=3, size=60, rate=100_000) as stopped, \
            producers.Producer(one, "other", rate=20_000) as other:
        stopped.wait_numbered(1000)
        other.wait_numbered(1)
        longest = 0
        for _ in range(50):
            time.sleep(numbers.uniform(0, 0.01))
            stopped.signal(signal.SIGSTOP)
            began = time.monotonic()
            number = other.numbered()["other0"]
            record = b"other0 %d " % number
            wait_until(lambda: record in follower.tail(1 << 20), 5, f"record {number} arrives")
            longest = max(longest, time.monotonic() - began)
            stopped.signal(signal.SIGCONT)
        counts = {**stopped.end(), **other.end()}
        ledger.wait_settled(one, sum(counts.values()), SETTLE_SECONDS)
    print(f"{sum(counts.values())} records; the other's took {longest * 1e3:.0f} ms at most")
    audit([folder / "all"], counts).assert_clean()


@pytest.mark.parametrize("mode, threads, count", [
    ("fork", 1, 100_000), ("log", 4, 100_000), ("signal", 1, 20_000)])
def test_fork_threads_signals(yarder, folder, mode, threads, count):
    """Parents and children that fork while attached; handlers that interrupt an append."""
    one = yarder(ONE_FILE)
    with producers.Producer(one, mode, mode, threads, count, size=60) as producer:
        counts = producer.wait()
    status = ledger.wait_settled(one, sum(counts.values()), SETTLE_SECONDS)
    assert producer.lost() == ledger.lost(status) == 0
    print(counts)
    assert len(counts) == {"fork": 3, "log": 4, "signal": 2}[mode]
    audit([folder / "all"], counts).assert_clean()


LONG = ("record-max = 1M\ninput = ring\ninput = net tcp:127.0.0.1:{port}\n"
        "input = local unix:{{folder}}/in,socket=stream\noutput = all file:{{folder}}/all\n")


@pytest.mark.sanitize
@pytest.mark.parametrize("deaths", [0, 3])
def test_records_of_a_megabyte(yarder, folder, deaths):
    """By ring (in parts), tcp and unix stream; the ring also while workers die."""
    port = free_port()
    one = yarder(LONG.format(port=port))
    count = 40
    counts = {}
    with producers.Producer(one, "ring", threads=2, count=count, size=MEGABYTE) as producer:
        for number in range(deaths):
            producer.wait_numbered(10 * (number + 1))
            os.kill(only_worker(one), signal.SIGKILL)
            one.wait_for_stderr("a new one goes on", 10)
            wait_until(lambda: len(one.worker_pids()) == 1, 10, "another worker")
        counts.update(producer.wait())
    for name, sender in (("tcp", senders.tcp(port)), ("unix", senders.unix_stream(folder / "in"))):
        with sender:
            counts[name] = sender.send_audited(name, count, MEGABYTE)
    status = ledger.wait_settled(one, sum(counts.values()), SETTLE_SECONDS)
    assert not any(each["truncated"] or each["partial"] for each in status["inputs"])
    audit([folder / "all"], counts).assert_clean()


def test_megabytes_over_dying_connections(yarder, folder):
    one = yarder(LONG.format(port=free_port()))
    with Follower(folder / "all") as follower, \
            kills.unix_reconnector("unix", folder / "in", 100, MEGABYTE) as reconnector:
        killer = kills.Killer(one, follower)
        killer.run(5)
        counts = reconnector.end()
        name, count = list(counts.items())[-1]
        last = b"%s %d " % (name.encode(), count - 1)
        wait_until(lambda: last in follower.tail(2 * MEGABYTE), SETTLE_SECONDS, "the last record")
        ledger.wait_settled(one, 1, SETTLE_SECONDS)
    all_ = Audit(counts).lines(follower.lines())
    missing = kills.missing_at_ends(all_, "unix")
    all_.report().assert_clean(missing=missing)
    print(f"{sum(counts.values())} records, {missing} went with connections: {counts}")


@pytest.mark.parametrize("limit", [64 << 10, MEGABYTE])
def test_longer_records_are_cut(yarder, folder, limit):
    port = free_port()
    one = yarder(f"record-max = {limit}\ninput = ring\ninput = net tcp:127.0.0.1:{port}\n"
                 "input = local unix:{folder}/in,socket=stream\n"
                 "output = all file:{folder}/all\noutput = flags file:{folder}/flags,format=json\n")
    sent = [make(name, 0, limit + 1000) for name in ("tcp", "unix")]
    for record, sender in zip(sent, (senders.tcp(port), senders.unix_stream(folder / "in"))):
        with sender:
            sender.send(record)
            sender.send(b"short")
    came = 4
    if limit < MEGABYTE:  # the library takes no more
        with producers.Producer(one, "ring", count=1, size=limit + 1000) as producer:
            producer.wait()
        came += 1
    status = ledger.wait_settled(one, came, SETTLE_SECONDS)
    lines = (folder / "all").read_bytes().split(b"\n")
    cut = [line for line in lines if len(line) > 100]
    assert [len(line) for line in cut] == [limit] * (came - 2)
    assert lines.count(b"short") == 2 and all(record[:limit] in cut for record in sent)
    flagged = (folder / "flags").read_bytes().count(b'"truncated":true')
    assert flagged == came - 2 == sum(each["truncated"] for each in status["inputs"])


def test_paced_without_system_calls(yarder, folder):
    """500 000 records a second for two seconds: none lost, next to no system call."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace, to count")
    one = yarder("ring-memory = 16M\n" + ONE_FILE)
    calls = []
    counts = {}
    while len(calls) < PACED_TRIES and min(calls, default=99) > PACED_CALLS_MAX:
        calls.append(log_paced(one, f"paced{len(calls)}-", counts))
    print(f"system calls: {calls}")
    assert min(calls) <= PACED_CALLS_MAX
    audit([folder / "all"], counts).assert_clean()


def log_paced(one, source, counts):
    """System calls between the first record and the last: when a machine stalls, doorbells too."""
    trace = one.folder / source
    with producers.Producer(one, source, "watched", count=PACED_RECORDS, rate=500_000, block_ms=0,
                            wrapper=["strace", "-f", "-o", str(trace)]) as producer:
        counts.update(producer.wait())
    status = ledger.wait_settled(one, sum(counts.values()), SETTLE_SECONDS)
    assert counts[f"{source}0"] == PACED_RECORDS
    assert producer.lost() == ledger.lost(status) == 0
    _, between, _ = re.split(r"\d+ +getppid\(\).*\n", trace.read_text())
    print(between)
    return between.count("\n")


def check_gaps(path, name, count):
    """Each missing record is told, never too early, as a rule right where it is missing: a thread
    that moves to another ring leaves the gap to the next record of the full one. Returns how many
    are missing."""
    expected = told = missing = at_place = 0
    with open(path, "rb") as lines:
        for line in lines:
            match = GAP.match(line)
            if match:
                told += int(match[1])
                continue
            source, number, _ = line.split(b" ", 2)
            jump = int(number) - expected
            assert source == name and jump >= 0, line[:60]
            at_place += jump if told == missing + jump else 0
            missing += jump
            assert told <= missing, (line[:60], told, missing)
            expected = int(number) + 1
    assert expected == count and told == missing
    assert at_place > 0
    return missing


@pytest.mark.sanitize
def test_gaps_of_a_full_ring(yarder, folder):
    one = yarder(ONE_FILE)
    with producers.Producer(one, "fast", rate=200_000, block_ms=0) as producer:
        for _ in range(3):
            producer.wait_numbered(1)
            with Stopped(one):
                refused = producer.refused()
                wait_until(lambda: producer.refused() > refused + 5000, 20, "the ring is full")
            number = producer.numbered()["fast0"]
            producer.wait_numbered(number + 20_000)
        counts = producer.end()
    status = ledger.wait_settled(one, 60_000, SETTLE_SECONDS)
    lost = ledger.named(status, "ring")["lost"]["ring"]
    assert producer.lost() == producer.refused() == lost > 15_000
    assert check_gaps(folder / "all", b"fast0", counts["fast0"]) == lost
    print(f"{counts['fast0']} records, {lost} lost")


def test_a_full_ring_blocks(yarder, folder):
    one = yarder(ONE_FILE)
    with producers.Producer(one, "patient", rate=200_000) as producer:
        for _ in range(3):
            producer.wait_numbered(1)
            with Stopped(one):
                before = -1
                while before != (now := producer.numbered().get("patient0")):
                    before = now
                    time.sleep(0.2)
                assert producer.refused() == 0
            producer.wait_numbered(now + 20_000)
        counts = producer.end()
    status = ledger.wait_settled(one, counts["patient0"], SETTLE_SECONDS)
    assert producer.lost() == ledger.lost(status) == 0
    audit([folder / "all"], counts).assert_clean()


def kill_supervisor(one):
    """With its worker, which dies of it; exec programs and producers live on."""
    below = processes.descendants(one.pid)
    one.process.kill()
    one.process.wait()
    wait_until(lambda: not processes.alive(below), 10, "the worker ends with it")


def test_supervisor_killed(yarder, folder):
    """Programs go on logging into their rings; the next daemon is handed these and delivers."""
    one = yarder(ONE_FILE)
    count = 60_000  # two rings of them are less than 4 MiB
    with producers.Producer(one, "a", count=count, rate=15_000, size=60, block_ms=0) as first, \
            producers.Producer(one, "b", count=count, rate=15_000, size=60, block_ms=0) as second:
        both = (first, second)
        for producer in both:
            producer.wait_numbered(15_000)
        os.kill(only_worker(one), signal.SIGSTOP)  # what it has taken it has written, or will not
        taken = one.folder / "all"
        before = [producer.numbered()[f"{producer.source}0"] for producer in both]
        for producer, number in zip(both, before):
            producer.wait_numbered(number + 3000)
        kill_supervisor(one)
        died = [producer.numbered()[f"{producer.source}0"] for producer in both]
        for producer, number in zip(both, died):
            producer.wait_numbered(number + 3000)
        one.notify.close()
        one.start()
        counts = {}
        for producer in both:
            counts.update(producer.wait())
        assert first.lost() == second.lost() == 0
    wait_until(lambda: one.status()["ring_clients"] == 0, SETTLE_SECONDS, "regions given back")
    ledger.wait_settled(one, 1, SETTLE_SECONDS)
    all_ = Audit(counts).file(taken)
    report = all_.report()
    report.assert_clean(missing=report.missing, torn=1)
    for name, number in zip(("a0", "b0"), before):
        assert 0 not in all_._seen[name.encode()][number:], f"{name}: lost what lay in its ring"
    print(f"{report.records} records; {report.missing} died in the worker's memory")
