# SPDX-License-Identifier: Apache-2.0
"""Queues on disk: what they keep, whoever dies, and what they say of it."""
import fcntl
import signal
import time

import pytest

from harness import kills, ledger, load, mounts, receivers, senders
from harness.audit import Audit
from harness.daemon import Yarder
from harness.wait import wait_until

SETTLE_SECONDS = 20
UNIX = "input = unix:{folder}/in,socket=stream\n"
RING = "input = ring\n"
TO_SINK = "output = q socket:unix-stream:{folder}/sink,retry=10ms..50ms,queue=disk:64M"


def put(folder, count, first=0, source="unix"):
    with senders.unix_stream(folder / "in") as sender:
        sender.send_audited(source, count, first=first)


def segments(yarder, name="q"):
    return sorted((yarder.state_dir / "spool" / name).glob("*.seg"))


def output_of(status):
    return ledger.named(status, "q")


def wait_spooled(yarder, count):
    """Until `count` records are on the disk, and none waits before it."""
    return output_of(ledger.wait_for(
        yarder, lambda status: output_of(status)["spooled"] == output_of(status)["held"] == count))


def wait_found(yarder, count):
    """Until a daemon has found `count` records of one before it, and none is held any more."""
    return output_of(ledger.wait_for(
        yarder, lambda status: output_of(status)["found"] == count and ledger.held(status) == 0))


def check_arrived(yarder, sink, counts, torn=0, twice=0):
    """Everything, at least once; with `twice` 0 exactly once."""
    status = ledger.wait_settled(yarder, 0, SETTLE_SECONDS)
    sink.wait_for_lines(sum(counts.values()), SETTLE_SECONDS)
    report = Audit(counts).lines(sink.lines()).report()
    report.assert_clean(twice=twice, torn=torn)
    print(f"{report.twice} of {sum(counts.values())} came twice")
    return output_of(status)


def test_goes_through_the_disk(yarder, folder):
    with receivers.unix_stream(folder / "sink") as sink:
        one = yarder(RING + TO_SINK + "\n")
        with load.RingProducer(one, "ring", 50_000) as producer:
            sink.wait_for_lines(20_000, SETTLE_SECONDS)
            counts = producer.end()
        ledger.wait_settled(one, counts["ring"], SETTLE_SECONDS)
        output = check_arrived(one, sink, counts)
        assert output["delivered"] == counts["ring"] and output["found"] == 0
        assert len(segments(one)) == 1


@pytest.mark.sanitize
def test_kills_lose_nothing(yarder, folder):
    """50 workers die, with the peer there; what they had sent last comes again."""
    with receivers.unix_stream(folder / "sink") as sink:
        one = yarder(RING + TO_SINK + "\n")
        with load.RingProducer(one, "ring", 20_000) as producer:
            killer = kills.Killer(one, sink)
            killer.run(50)
            counts = producer.end()
        status = ledger.wait_settled(one, counts["ring"], SETTLE_SECONDS)
        assert status["workers_crashed"] == 50 and ledger.lost(status) == 0
        output = check_arrived(one, sink, counts, torn=killer.kills, twice=50 * 5000)
        assert output["found"] == 0 and output["delivered"] == counts["ring"]


# Where two stand, the second is in the worker after the first.
@pytest.mark.parametrize("crash", [
    "before-store:3,before-store:1", "after-store:3,after-store:1", "after-store:2,before-commit:1",
    "after-submit:3,after-submit:1", "answered:3,answered:1", "answered:2,after-store:1"])
def test_crash_points(yarder, folder, crash):
    with receivers.unix_stream(folder / "sink") as sink:
        one = yarder(RING + TO_SINK + "\n", environment={"YARDER_CRASH_POINT": crash})
        with load.RingProducer(one, "ring", 20_000) as producer:
            killer = kills.Killer(one, sink)
            wait_until(lambda: killer.deaths() == 2, 10,
                       lambda: f"two deaths:\n{one.stderr()}")
            killer.wait_progress(500)
            counts = producer.end()
        status = ledger.wait_settled(one, counts["ring"], SETTLE_SECONDS)
        assert ledger.lost(status) == 0
        output = check_arrived(one, sink, counts, torn=2, twice=2 * 5000)
        assert output["found"] == 0 and output["delivered"] == counts["ring"]


def test_outlives_the_daemon(yarder, folder):
    """Nobody listens: TERM loses nothing, a killed daemon nothing that was stored."""
    config = UNIX + TO_SINK + "\n"
    one = yarder(config)
    put(folder, 20_000)
    wait_spooled(one, 20_000)
    status = ledger.wait_for(one, lambda status: output_of(status)["errors"] > 3
                             and output_of(status)["stalled_ms"] > 1000)
    assert "sink" in output_of(status)["last_error"]["text"]
    assert "20000 of it lie on disk" in one.cli("status", check=False).stdout
    one.end(signal.SIGTERM)
    assert "lost" not in one.stderr()
    one.start()
    output = wait_spooled(one, 20_000)
    assert output["found"] == 20_000 and output["copies"] == 0
    put(folder, 5000, first=20_000)
    wait_spooled(one, 25_000)
    one.kill()
    one.start()
    wait_spooled(one, 25_000)
    with receivers.unix_stream(folder / "sink") as sink:
        output = check_arrived(one, sink, {"unix": 25_000})
        assert output["delivered"] == output["found"] == 25_000
        assert output["last_progress_ns"] > 0


def test_a_restart_in_the_middle(yarder, folder):
    """The peer takes some; what it answered for is not given again after a clean end."""
    config = UNIX + "output = q blackhole:,stop-after=300000,retry=10ms..50ms,queue=disk:16M\n"
    one = yarder(config)
    put(folder, 10_000)
    status = ledger.wait_for(one, lambda status: output_of(status)["delivered"] >= 3000
                             and output_of(status)["errors"] > 0)
    delivered = output_of(status)["delivered"]
    one.end(signal.SIGTERM)
    one.write_config(UNIX + "output = q blackhole:,queue=disk:16M\n")
    one.start()
    assert wait_found(one, 10_000 - delivered)["delivered"] == 10_000 - delivered


def test_a_reload_hands_it_over(yarder, folder):
    config = UNIX + TO_SINK + "\n"
    one = yarder(config)
    put(folder, 5000)
    wait_spooled(one, 5000)
    for number in range(3):
        one.cli("reload")
        put(folder, 1000, first=5000 + 1000 * number)
        wait_spooled(one, 6000 + 1000 * number)
    with receivers.unix_stream(folder / "sink") as sink:
        output = check_arrived(one, sink, {"unix": 8000})
        assert output["delivered"] == output["copies"] == 8000 and output["found"] == 0
    one.write_config(UNIX + "output = q blackhole:\n")
    one.cli("reload")
    put(folder, 10)
    ledger.wait_settled(one, 8010, SETTLE_SECONDS)


def test_a_hanging_peer_does_not_hold_a_reload_up(yarder, folder):
    one = yarder(UNIX + "output = q blackhole:,hang=yes,timeout=10m,queue=disk:16M\n")
    put(folder, 1000)
    ledger.wait_for(one, lambda status: output_of(status).get("in_call_ms", 0) > 300)
    began = time.monotonic()
    one.write_config(UNIX + "output = q blackhole:,queue=disk:16M\n")
    one.cli("reload")
    assert time.monotonic() - began < 3
    output = output_of(ledger.wait_settled(one, 1000, SETTLE_SECONDS))
    assert output["delivered"] == 1000


def test_a_queue_that_goes_to_memory_leaves_its_records_on_disk(yarder, folder):
    """Somebody says where, and they come back with the queue."""
    one = yarder(UNIX + TO_SINK + "\n")
    put(folder, 500)
    wait_spooled(one, 500)
    one.write_config(UNIX + TO_SINK.replace("disk:64M", "memory:16M") + "\n")
    one.cli("reload")
    one.wait_for_stderr(f"500 records stay on disk, in {one.state_dir}/spool/q", SETTLE_SECONDS)
    status = one.status()
    ledger.assert_balanced(status)
    assert output_of(status)["dropped"]["left"] == 500 and output_of(status)["held"] == 0
    one.write_config(UNIX + TO_SINK + "\n")
    one.cli("reload")
    with receivers.unix_stream(folder / "sink") as sink:
        wait_found(one, 500)
        check_arrived(one, sink, {"unix": 500})


@pytest.mark.parametrize("policy", ["drop-oldest", "drop-newest"])
def test_full(yarder, folder, policy):
    """The limit holds, and the policy says which records it costs."""
    one = yarder(UNIX + "output = q socket:unix-stream:{folder}/sink,retry=10ms..50ms,"
                 f"queue=disk:2M,on-full={policy}\n")
    put(folder, 60_000)
    reason = policy.split("-")[1] if policy == "drop-oldest" else "full"
    status = ledger.wait_for(one, lambda status: status["inputs"][0]["received"] == 60_000
                             and output_of(status)["dropped"][reason] > 10_000)
    on_disk = sum(path.stat().st_size for path in segments(one))
    assert on_disk <= 2 << 20
    with receivers.unix_stream(folder / "sink") as sink:
        status = ledger.wait_settled(one, 60_000, SETTLE_SECONDS)
        output = output_of(status)
        sink.wait_for_lines(output["delivered"], SETTLE_SECONDS)
        assert output["delivered"] + output["dropped"][reason] == 60_000
        numbers = [int(line.split()[1]) for line in sink.lines()]
        assert len(numbers) == output["delivered"] and numbers == sorted(set(numbers))
        assert (numbers[-1] == 59_999) == (policy == "drop-oldest")


def test_a_disk_full_of_what_was_delivered(folder):
    """Nobody but the queue itself can make room, whether it goes on or begins."""
    with mounts.Small(folder / "small", "3M") as small:
        one = Yarder(folder / "one", f"input = unix:{folder}/in,socket=stream\n"
                     + TO_SINK.replace("{folder}", str(folder)) + "\n")
        one.state_dir = small.path / "state"
        with one:
            put(folder, 30_000)
            ledger.wait_for(one, lambda status: status["inputs"][0]["received"] == 30_000
                            and "No space left" in output_of(status)["last_error"]["text"])
            with receivers.unix_stream(folder / "sink") as sink:
                check_arrived(one, sink, {"unix": 30_000})
                put(folder, 1000, first=30_000)
                check_arrived(one, sink, {"unix": 31_000})
        (small.path / "state" / "spool" / "q" / "lock").unlink()  # nor is there room for a new one
        small.fill()
        (folder / "sink").unlink()
        with one, receivers.unix_stream(folder / "sink") as sink:
            put(folder, 100)
            check_arrived(one, sink, {"unix": 100})


def test_damage_costs_what_it_hits(yarder, folder):
    one = yarder(UNIX + TO_SINK + "\n")
    put(folder, 10_000)
    wait_spooled(one, 10_000)
    one.end(signal.SIGTERM)
    segment = segments(one)[0]
    with open(segment, "r+b") as file:
        file.seek(4096 + (segment.stat().st_size - 4096) // 2)
        file.write(b"\xff" * 1000)
    one.start()
    with receivers.unix_stream(folder / "sink") as sink:
        output = wait_found(one, 10_000)
        damaged = output["dropped"]["damaged"]
        assert 0 < damaged < 20 and output["delivered"] == 10_000 - damaged
        sink.wait_for_lines(10_000 - damaged, SETTLE_SECONDS)
        Audit({"unix": 10_000}).lines(sink.lines()).report().assert_clean(missing=damaged)
    assert "are no record, kept in damaged/" in one.stderr()
    assert list((one.state_dir / "spool" / "q" / "damaged").iterdir())


def test_says_when_it_delivers_again(yarder, folder):
    one = yarder(UNIX + TO_SINK + "\n")
    put(folder, 100)
    one.wait_for_stderr("records wait on disk, trying again", SETTLE_SECONDS)
    with receivers.unix_stream(folder / "sink") as sink:
        sink.wait_for_lines(100, SETTLE_SECONDS)
        one.wait_for_stderr("output q: delivers again", SETTLE_SECONDS)


def test_a_full_queue_takes_the_rest_at_the_end(yarder, folder):
    """More than SIZE waits, the rest of it in memory; the daemon after this one has all of it."""
    one = yarder(UNIX + TO_SINK.replace("64M", "1M") + ",on-full=block\n")
    put(folder, 12_000)
    full = ledger.wait_for(one, lambda status: ledger.held(status) == 12_000
                           and output_of(status)["spooled"] > 1000)
    assert output_of(full)["spooled"] < 9000
    one.wait_for_stderr("its queue on disk is full; records wait in memory", SETTLE_SECONDS)
    one.end(signal.SIGTERM)
    assert "were not delivered" not in one.stderr()
    with receivers.unix_stream(folder / "sink") as sink:
        one.start()
        wait_found(one, 12_000)
        sink.wait_for_lines(12_000, SETTLE_SECONDS)
        Audit({"unix": 12_000}).lines(sink.lines()).report().assert_clean()


def test_all_that_is_damaged_is_told(yarder, folder):
    """Not what was found last alone: several lines belong together."""
    one = yarder(UNIX + TO_SINK + "\n")
    put(folder, 1000)
    wait_spooled(one, 1000)
    one.kill()
    segment = segments(one)[0]
    with open(segment, "r+b") as file:
        file.write(b"\xff" * 64)
        file.truncate(segment.stat().st_size - 24)
    (segment.parent / "0000000000000001.seg").symlink_to("nothing")
    (segment.parent / "ack").unlink()
    one.start()
    for what in ("the head of segment", "moved to damaged/", "its ack file is missing",
                 "are no whole record and were cut off"):
        one.wait_for_stderr(what, SETTLE_SECONDS)
    wait_spooled(one, 999)


def test_direct(yarder, folder):
    with receivers.unix_stream(folder / "sink") as sink:
        one = yarder(RING + TO_SINK + ",direct=yes,fsync=batch\n")
        with load.RingProducer(one, "ring", 20_000) as producer:
            killer = kills.Killer(one, sink)
            killer.run(5)
            counts = producer.end()
        status = ledger.wait_settled(one, counts["ring"], SETTLE_SECONDS)
        assert ledger.lost(status) == 0
        check_arrived(one, sink, counts, torn=5, twice=5 * 5000)


def test_encodes(yarder, folder):
    """Texts are made when they are sent, by the chain that is configured then."""
    one = yarder(UNIX + TO_SINK + ",encode=prefix before-\n")
    with senders.unix_stream(folder / "in") as sender:
        sender.send(b"hello")
    wait_spooled(one, 1)
    one.write_config(UNIX + TO_SINK + ",encode=prefix after-\n")
    one.cli("reload")
    with receivers.unix_stream(folder / "sink") as sink:
        sink.wait_for_lines(1, SETTLE_SECONDS)
        assert sink.lines() == [b"after-hello\n"]


def test_a_queue_goes_with_its_output_s_name(yarder, folder):
    one = yarder(UNIX + TO_SINK + "\n")
    put(folder, 500)
    wait_spooled(one, 500)
    one.write_config(UNIX + TO_SINK.replace("q ", "p ", 1) + "\n")
    one.cli("reload")
    assert [path.name for path in (one.state_dir / "spool").iterdir()] == ["p"]
    with receivers.unix_stream(folder / "sink") as sink:
        status = check_renamed(one, sink)
    assert status["dropped"] == dict.fromkeys(status["dropped"], 0)


def check_renamed(one, sink):
    status = ledger.named(ledger.wait_settled(one, 0, SETTLE_SECONDS), "p")
    sink.wait_for_lines(500, SETTLE_SECONDS)
    Audit({"unix": 500}).lines(sink.lines()).report().assert_clean()
    return status


def test_what_a_reload_leaves_on_disk_is_told(yarder, folder):
    """Its output left: the records stay, and somebody says where."""
    one = yarder(UNIX + TO_SINK + "\n")
    put(folder, 500)
    wait_spooled(one, 500)
    one.write_config(UNIX + "output = other null:\n")
    one.cli("reload")
    one.wait_for_stderr(f"500 records stay on disk, in {one.state_dir}/spool/q", SETTLE_SECONDS)
    ledger.assert_balanced(one.status())


def test_another_process_has_it(yarder, folder):
    """Said by whom; records wait in memory, and go on when it is free."""
    one = yarder(UNIX + "output = file:{folder}/out\n")
    lock = one.state_dir / "spool" / "q" / "lock"
    lock.parent.mkdir(parents=True)
    with open(lock, "w", encoding="ascii") as file:
        file.write("4711\n")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        one.write_config(UNIX + TO_SINK + "\n")
        one.cli("reload")
        put(folder, 100)
        status = ledger.wait_for(one, lambda status: output_of(status)["errors"] > 1
                                 and output_of(status)["held"] == 100)
        assert "in use by process 4711" in output_of(status)["last_error"]["text"]
        assert output_of(status)["spooled"] == 0
    wait_spooled(one, 100)
