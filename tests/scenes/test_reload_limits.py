# SPDX-License-Identifier: Apache-2.0
"""Reloads that are refused, and one whose new worker dies at the worst moment."""
import os
import signal
import threading
import time

import pytest

from harness import ledger, load, processes, senders
from harness.audit import Audit, audit
from harness.daemon import Yarder, program
from harness.wait import wait_until

PLAIN = "input = in unix:{folder}/in,socket=stream\noutput = good file:{folder}/good\n"


class Placed(Yarder):
    """Its configuration says where it lives, not its command line."""

    def command(self):
        return [str(program()), "run", str(self.config)]


@pytest.mark.skipif(not program().exists(), reason=f"{program()} is not built")
def test_reload_refuses_what_only_a_start_can_set(folder):
    """Who the daemon is and where it lives: half of it would be taken, and half not."""
    place = "run-dir = {folder}/run\nstate-dir = {folder}/state\n"
    moved = place.replace("/run", "/walk").replace("/state", "/nation")
    with Placed(folder, place + PLAIN) as daemon:
        before = daemon.status()
        for config, keys in ((place + "user = nobody\n", "user"), (place + "gid = 1\n", "group"),
                             (moved, "run-dir, state-dir")):
            daemon.write_config(config + PLAIN)
            refused = daemon.cli("reload", check=False)
            assert refused.returncode == 1, refused
            assert f"{keys}: changed, which needs a restart" in refused.stderr
        daemon.write_config(place + PLAIN + "output = null\n")
        daemon.cli("reload")
        after = daemon.status()
        assert after["reloads_failed"] == 3 and after["workers_started"] == 2
        assert len(after["outputs"]) == len(before["outputs"]) + 1


def records_in_pipe(path, count):
    """Opens a FIFO, which lets its writer go on, and reads until `count` lines have come."""
    content = b""
    with open(path, "rb", buffering=0) as pipe:
        while content.count(b"\n") < count:
            chunk = pipe.read(1 << 16)
            assert chunk, "the writer has left"
            content += chunk
    return content


def test_reloads_are_refused_while_too_many_workers_are_leaving(yarder, folder):
    """Each of them still has records that nobody takes; none is thrown away for the next one."""
    most = 8
    for number in range(most + 1):
        os.mkfifo(folder / f"fifo{number}")

    def config(number):
        return (f"drain-timeout = 1h\n{PLAIN}"
                f"output = hung{number} file:{{folder}}/fifo{number},on-full=drop-newest\n")

    daemon = yarder(config(0))
    with senders.unix_stream(folder / "in") as sender:
        for number in range(most + 1):
            sender.send_audited("a", 10, first=10 * number)
            ledger.wait_for(
                daemon, lambda status: ledger.named(status, f"hung{number}")["held"] == 10)
            if number < most:
                daemon.write_config(config(number + 1))
                daemon.cli("reload")
    assert len(daemon.worker_pids()) == most + 1
    daemon.write_config("drain-timeout = 1h\n" + PLAIN)
    refused = daemon.cli("reload", check=False)
    assert refused.returncode == 1 and "workers of the last reloads" in refused.stderr, refused
    content = b"".join(records_in_pipe(folder / f"fifo{number}", 10) for number in range(most))
    wait_until(lambda: len(daemon.worker_pids()) == 1, 10, "all have left")
    daemon.cli("reload")
    content += records_in_pipe(folder / f"fifo{most}", 10)
    Audit({"a": 10 * (most + 1)}).lines(content.splitlines(keepends=True)).report().assert_clean()
    wait_until(lambda: len(daemon.worker_pids()) == 1, 10, "the last one as well")
    ledger.wait_settled(daemon, 10 * (most + 1), 20)


def is_blocked(pulse):
    """Whether the sender is held back: then the old worker's quiet takes its whole time."""
    sent = []

    def blocked():
        sent.append(len(pulse.sent_ns))
        return len(sent) > 50 and sent[-50] == sent[-1]

    return blocked


def reload_with_a_kill(daemon, pause):
    """SIGKILL to the new worker, so long after it began."""
    workers, done = daemon.worker_pids(), daemon.status()["reloads"]
    daemon.signal(signal.SIGHUP)
    [new] = wait_until(lambda: [pid for pid in daemon.worker_pids() if pid not in workers], 10,
                       "a new worker")
    time.sleep(pause)
    processes.end({new: processes.started_at(new)})
    wait_until(lambda: daemon.status()["reloads"] > done, 20, daemon.stderr)


def test_new_worker_killed_while_the_old_one_becomes_quiet(yarder, folder):
    """The old one has stopped reading and cannot go back: another new one takes its connections."""
    os.mkfifo(folder / "fifo")
    daemon = yarder(PLAIN + "output = hung file:{folder}/fifo,on-full=block,queue=memory:1M\n")
    with load.Pulse("a", senders.unix_stream(folder / "in"), interval=0, size=5000) as pulse:
        for attempt in range(1, 6):  # later each time, lest it is killed before it was ready
            wait_until(is_blocked(pulse), 20, "the sender is held back")
            reload_with_a_kill(daemon, 0.2 * attempt)
            if "another one takes its place" in daemon.stderr():
                break
        assert daemon.status()["reload_error"] == "", daemon.stderr()
        first = len(pulse.sent_ns)
        with open(folder / "fifo", "rb", buffering=0) as pipe:
            reader = threading.Thread(target=pipe.readall)
            reader.start()
            wait_until(lambda: len(pulse.sent_ns) > first + 500, 20, "the same connection goes on")
            counts = pulse.end()
            ledger.wait_settled(daemon, counts["a"], 20)
            daemon.stop()
            reader.join()
    audit([folder / "good"], counts).assert_clean()
