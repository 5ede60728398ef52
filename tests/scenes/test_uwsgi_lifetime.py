# SPDX-License-Identifier: Apache-2.0
"""The plugin for uWSGI over the ends of daemons, workers and images.

Where a line may go two ways, to the ring or to uWSGI's own last resort (the terminal), it stands in
exactly one of the two places.
"""
import collections
import os
import signal

import pytest

from harness import uwsgi
from harness.daemon import Yarder
from harness.wait import wait_until

SECONDS = 20
RELOADS = 9  # a process has 8 regions at most


@pytest.fixture
def daemon(yarder, folder):
    return yarder(uwsgi.config(folder), name="daemon")


def test_without_a_daemon(folder):
    """Its own way, until there is one; and again when it has gone."""
    daemon = Yarder(folder / "daemon", uwsgi.config(folder))
    with uwsgi.start(folder, daemon) as server:
        def on_terminal(begin):
            return [line.rstrip() for line in server.said().splitlines() if line.startswith(begin)]

        taken, _ = uwsgi.lines_of("before", server.say("before", 50, 0.002), 50)
        uwsgi.wait_for_texts(folder, "before ", taken, lambda: on_terminal("before "))
        assert uwsgi.texts(folder) == []
        assert f"yarder: no daemon answers at {daemon.run_dir} (" in server.said()
        with daemon:
            rounds = []

            def comes_by_the_ring():
                rounds.append(f"meanwhile{len(rounds)}")
                said, _ = uwsgi.lines_of(rounds[-1], server.say(rounds[-1], 20, 0.002), 20)
                uwsgi.wait_for_texts(folder, f"{rounds[-1]} ", said,
                               lambda: on_terminal(f"{rounds[-1]} "))
                return len(uwsgi.texts(folder, f"{rounds[-1]} ")) == len(said)

            wait_until(comes_by_the_ring, SECONDS, "the ring is taken up")
            uwsgi.fill(server, folder, "during")
        taken, _ = uwsgi.lines_of("after", server.say("after", 50, 0.002), 50)
        uwsgi.wait_for_texts(folder, "after ", taken, lambda: on_terminal("after "))
        assert len(on_terminal("after ")) == len(taken)


def test_daemons_are_killed(folder):
    """The worker at any time, and the supervisor, after which producers bring their regions."""
    daemon = Yarder(folder / "daemon", uwsgi.config(folder))
    with uwsgi.start(folder, daemon.start()) as server:
        uwsgi.fill(server, folder, "first")
        for victim in ("worker", "supervisor"):
            said = server.say(f"{victim}-there", 200)
            if victim == "worker":
                daemon.kill_worker()
            else:
                daemon.kill()
                between = server.say("between", 200)
                daemon.start()
                # Who has nothing to say learns of no daemon.
                server.say("again", 200, 0.01)
            taken, refused = uwsgi.lines_of(f"{victim}-there", said, 200)
            assert refused == 0
            if victim == "worker":
                uwsgi.wait_for_texts(folder, f"{victim}-there ", taken)
            else:
                found = collections.Counter(uwsgi.texts(folder, f"{victim}-there "))
                assert found <= collections.Counter(line.rstrip() for line in taken)
        taken, _ = uwsgi.lines_of("between", between, 200)
        uwsgi.wait_for_texts(folder, "between ", taken, lambda: [
            line.rstrip() for line in server.said().splitlines() if line.startswith("between ")])
        uwsgi.fill(server, folder, "last")
    daemon.stop()


def test_a_daemon_that_stands_still(folder, daemon):
    """Its rings fill: a worker waits once, for a second, and goes by the pipe, as without us."""
    count = 60000
    with uwsgi.start(folder, daemon, workers=1) as server:
        uwsgi.fill(server, folder, "moving")
        stopped = daemon.worker_pids()
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        said = server.say("still", count, padding=80)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        assert said[1]["seconds"] < 10
        taken, refused = uwsgi.lines_of("still", said, count, 80)
        print(f"{len(taken)} taken, {refused} refused, {said[1]['seconds']:.1f} s")
        uwsgi.wait_for_texts(folder, "still ", taken, lambda: [
            line.rstrip() for line in server.said().splitlines() if line.startswith("still ")])
        uwsgi.fill(server, folder, "moving-again")


def answer(server, path):
    """None: it is between two workers."""
    try:
        return server.ask(path)
    except OSError:
        return None


def test_reloads_by_exec(folder, daemon):
    """More often than a process may have regions: those of an image that is gone are let go."""
    with uwsgi.start(folder, daemon, workers=1) as server:
        for number in range(RELOADS):
            uwsgi.fill(server, folder, f"round{number}", 50)
            before = server.ask("/pid")
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: answer(server, "/pid") not in (None, before), SECONDS,
                       "another worker")
        status = daemon.status()
        assert status["ring_refused"] == 0 and status["ring_clients"] <= 3, status
        # It closes our descriptors before it reads the last lines of its pipe.
        said = server.said().count("binary reloading")
        assert len(uwsgi.texts(folder, "binary reloading")) + said == RELOADS


STUCK = """
def call_hang(name):
    for number in range(100):
        os.write(2, f"{name} {number}\\n".encode())
    time.sleep(60)
"""


def test_harakiri(folder, daemon):
    """A SIGKILL right behind its lines: they are there, and so is the next worker."""
    with uwsgi.start(folder, daemon, "harakiri = 1", application=STUCK, workers=1) as server:
        with pytest.raises(OSError):
            server.ask("/hang/stuck")
        uwsgi.wait_for_texts(folder, "stuck ", [f"stuck {number}" for number in range(100)])
        wait_until(lambda: uwsgi.texts(folder, "Respawned uWSGI worker 1"), SECONDS,
                   "another worker")
        uwsgi.fill(server, folder, "alive")
