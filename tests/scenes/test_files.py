# SPDX-License-Identifier: Apache-2.0
"""File systems that are full or hang."""
import os
import select
import signal
import threading
import time

import pytest

from harness import ledger, mounts, processes, senders
from harness.audit import Audit, audit
from harness.wait import free_port, wait_until

SETTLE_SECONDS = 20
RECORD_BYTES = 200


def send(yarder, source, count, **options):
    """Records through the ring, by the command that makes them: it waits for room, or loses."""
    arguments = ["--sequence", source, "--count", str(count), "--size", str(RECORD_BYTES),
                 "--quiet"]
    for name, value in options.items():
        arguments += [f"--{name}"] + ([] if value is True else [str(value)])
    return yarder.cli("send", *arguments, check=False)


def output(yarder, name):
    return ledger.named(yarder.status(), name)


def said(yarder, text):
    return yarder.stderr().count(text)


def read_slowly(path, bytes_per_second, ended):
    """Takes what a FIFO gives at this pace; once `ended`, all of it until the writer closes."""
    with open(path, "rb", buffering=0) as fifo:
        os.set_blocking(fifo.fileno(), False)
        began, taken = time.monotonic(), 0
        while not ended.wait(0.01):
            due = int((time.monotonic() - began) * bytes_per_second) - taken
            taken += len(fifo.read(max(due, 1)) or b"")
        while select.select([fifo], [], [], 1)[0] and fifo.read(1 << 16):
            pass


@pytest.fixture
def small(folder):
    with mounts.Small(folder / "small", "16m") as mounted:
        yield mounted


@pytest.fixture
def freezable(folder):
    with mounts.Freezable(folder / "disk") as mounted:
        yield mounted


def tries(yarder):
    """The output's state after a few failures, between which it must take its time."""
    began, before = time.monotonic(), output(yarder, "all")["errors"]
    wait_until(lambda: output(yarder, "all")["errors"] >= before + 2, 20, "a few tries")
    after = output(yarder, "all")
    assert after["errors"] - before < 5 + (time.monotonic() - began) * 20, "it spins"
    return after


@pytest.mark.parametrize("kills", [0, 3])
def test_full_disk_blocks_and_goes_on(small, yarder, kills):
    """on-full=block: nothing lost or torn, and delivery goes on by itself once there is room."""
    one = yarder("input = ring\noutput = all file:{folder}/small/all,on-full=block,"
                 "queue=memory:1M\n")
    balloon = small.fill(leave=300_000)
    count = 40_000  # 8 MB: more than the queue, the ring and the disk take
    producer = threading.Thread(target=send, args=(one, "a", count), kwargs={"block": True})
    producer.start()
    one.wait_for_stderr("No space left on device", 10)
    for _ in range(kills):
        one.kill_worker()
    full = tries(one)
    assert producer.is_alive(), "the producer does not wait"
    assert 0 < full["delivered"] < count and full["held"] > 0
    # One a minute from each worker; one that is killed may take its word with it.
    assert 1 <= said(one, "No space left") <= 1 + kills
    balloon.unlink()
    producer.join(20)
    assert not producer.is_alive()
    status = ledger.wait_settled(one, count, SETTLE_SECONDS)
    assert ledger.lost(status) == 0
    audit([small.path / "all"], {"a": count}).assert_clean()


def test_full_disk_drops_and_counts(small, yarder, folder):
    """on-full=drop-newest: what found no room is counted, another output misses nothing."""
    one = yarder("input = ring\noutput = all file:{folder}/small/all,on-full=drop-newest,"
                 "queue=memory:1M\noutput = other file:{folder}/other\n")
    balloon = small.fill(leave=300_000)
    first, second = 40_000, 1_000
    began = time.monotonic()
    send(one, "a", first, block=True)
    wait_until(lambda: output(one, "other")["delivered"] == first, 10, "the other output")
    took = time.monotonic() - began
    tries(one)
    balloon.unlink()
    wait_until(lambda: output(one, "all")["held"] == 0, 10, "delivery goes on")
    send(one, "b", second, block=True)
    status = ledger.wait_settled(one, first + second, SETTLE_SECONDS)
    dropped = ledger.named(status, "all")["dropped"]["full"]
    print(f"other output: {first / took:.0f}/s, dropped {dropped}")
    assert 0 < dropped < first and took < 5
    audit([folder / "other"], {"a": first, "b": second}).assert_clean()
    report = audit([small.path / "all"], {"a": first, "b": second})
    report.assert_clean(missing=dropped)
    assert report.missing == dropped
    assert said(one, "No space left") == 1 and said(one, "queue full") == 1


HANGING = ("input = ring\noutput = disk file:{folder}/disk/disk%s\n"
           "output = other file:{folder}/other\n")


def stuck(yarder):
    """Whether status says, in JSON and to a person, which output is stuck and in what."""
    disk = output(yarder, "disk")
    told = yarder.cli("status", check=False).stdout
    return disk.get("in_call_ms", 0) > 1000 and "disk" in told and disk["in_call"] in told


def wait_delivered(yarder, name, count, seconds=10):
    """Waits until an output has delivered so many; returns how long that took, in seconds."""
    began = time.monotonic()
    wait_until(lambda: output(yarder, name)["delivered"] >= count, seconds,
               lambda: f"{count} delivered by {name}: {output(yarder, name)}")
    return time.monotonic() - began


def test_hanging_disk_holds_its_own_output_only(freezable, yarder, folder):
    """The queue takes what the hanging file does not; after the thaw everything arrives."""
    one = yarder(HANGING % "")
    send(one, "a", 100, block=True)
    wait_delivered(one, "disk", 100)
    freezable.freeze()
    count = 40_000
    began = time.monotonic()
    send(one, "b", count, block=True)
    wait_delivered(one, "other", 100 + count)
    took = time.monotonic() - began
    wait_until(lambda: stuck(one), 10, "status names the stuck output")
    print(f"other output: {count / took:.0f}/s")
    assert took < 2 and output(one, "disk")["delivered"] == 100
    freezable.thaw()
    status = ledger.wait_settled(one, 100 + count, SETTLE_SECONDS)
    assert ledger.lost(status) == 0
    for path in (freezable.path / "disk", folder / "other"):
        audit([path], {"a": 100, "b": count}).assert_clean()


@pytest.mark.parametrize("on_full, least, most", [
    ("", 1.8, 3.5),  # auto
    (",on-full=block:1s", 0.8, 2.5),
    (",on-full=drop-newest", 0, 0.5),
])
def test_hanging_disk_with_a_full_queue(freezable, yarder, folder, on_full, least, most):
    """Producers that wait are held up once, two seconds by default; by drop-newest never."""
    one = yarder(HANGING % (",queue=memory:1M" + on_full))
    send(one, "a", 100, block=True)
    wait_delivered(one, "disk", 100)
    freezable.freeze()
    count, rate = 60_000, 20_000
    producer = threading.Thread(target=send, args=(one, "b", count),
                                kwargs={"block": True, "rate": rate})
    producer.start()
    longest, before, moved = 0, 0, time.monotonic()
    while producer.is_alive():
        size = (folder / "other").stat().st_size
        if size != before:
            before, moved = size, time.monotonic()
        longest = max(longest, time.monotonic() - moved)
        time.sleep(0.005)
    wait_delivered(one, "other", 100 + count)
    print(f"on-full{on_full or '=auto'}: the other output stood still for {longest:.2f} s")
    freezable.thaw()
    status = ledger.wait_settled(one, 100 + count, SETTLE_SECONDS)
    dropped = ledger.named(status, "disk")["dropped"]["full"]
    assert least <= longest < most and 0 < dropped < count
    audit([folder / "other"], {"a": 100, "b": count}).assert_clean()
    report = audit([freezable.path / "disk"], {"a": 100, "b": count})
    report.assert_clean(missing=dropped)
    assert report.missing == dropped


@pytest.mark.parametrize("way", ["ring", "udp"])
def test_nobody_loses_by_anothers_output(freezable, yarder, folder, way):
    """One file hangs, one is read slowly: who cannot wait loses nothing in the third."""
    port = free_port()
    os.mkfifo(folder / "fifo")
    one = yarder(f"input = ring\ninput = udp:127.0.0.1:{port},rcvbuf=2M\n"
                 "output = disk file:{folder}/disk/disk,queue=memory:1M\n"
                 "output = slow file:{folder}/fifo,queue=memory:1M\n"
                 "output = other file:{folder}/other\n")
    freezable.freeze()
    count, rate, ended = 80_000, 20_000, threading.Event()
    reader = threading.Thread(target=read_slowly, args=(folder / "fifo", 200_000, ended))
    reader.start()
    try:
        send(one, "b", count, rate=rate, **({"udp": f"127.0.0.1:{port}"} if way == "udp" else {}))
        wait_delivered(one, "other", count)
        audit([folder / "other"], {"b": count}).assert_clean()
        for name in ("disk", "slow"):
            assert output(one, name)["dropped"]["full"] > 0
        assert output(one, "slow")["delivered"] > 0
    finally:
        freezable.thaw()
        ended.set()
        reader.join()
    ledger.wait_settled(one, count, SETTLE_SECONDS)


def test_start_while_a_disk_hangs(freezable, yarder, folder):
    """The file cannot even be opened: the daemon is ready and the other output works."""
    freezable.freeze()
    one = yarder(HANGING % "")
    send(one, "a", 5000, block=True)
    wait_delivered(one, "other", 5000)
    wait_until(lambda: stuck(one), 10, "status names the stuck output")
    assert output(one, "disk")["held"] == 5000
    freezable.thaw()
    ledger.wait_settled(one, 5000, SETTLE_SECONDS)
    for path in (freezable.path / "disk", folder / "other"):
        audit([path], {"a": 5000}).assert_clean()


def test_worker_killed_while_a_disk_hangs(freezable, yarder, folder):
    """It cannot be reaped: its file is fenced, another worker serves the rest."""
    one = yarder(HANGING % "")
    send(one, "a", 100, block=True)
    wait_delivered(one, "disk", 100)
    freezable.freeze()
    send(one, "b", 5000, block=True)
    wait_delivered(one, "other", 5100)
    wait_until(lambda: output(one, "disk").get("in_call"), 10, "the call that hangs")
    one.kill_worker()
    assert one.status()["fenced_outputs"] == 1
    send(one, "c", 5000, block=True)
    wait_delivered(one, "other", 10100)
    assert output(one, "disk")["delivered"] == 100
    freezable.thaw()
    status = ledger.wait_settled(one, 10100, SETTLE_SECONDS)
    assert ledger.lost(status) == 0 and status["fenced_outputs"] == 0
    for path in (freezable.path / "disk", folder / "other"):
        audit([path], {"a": 100, "b": 5000, "c": 5000}).assert_clean()


def test_stop_while_a_disk_hangs(freezable, yarder, folder):
    """TERM ends the daemon after drain-timeout, with status 1 for what it could not deliver."""
    one = yarder("drain-timeout = 1s\n" + HANGING % "")
    send(one, "a", 100, block=True)
    wait_delivered(one, "disk", 100)
    freezable.freeze()
    send(one, "b", 100, block=True)
    wait_delivered(one, "other", 200)
    workers = processes.descendants(one.pid)
    began = time.monotonic()
    one.signal(signal.SIGTERM)
    assert one.process.wait(15) == 1
    print(f"left after {time.monotonic() - began:.1f} s: {one.stderr()}")
    freezable.thaw()
    wait_until(lambda: not processes.alive(workers), 10, "the last call has ended")
