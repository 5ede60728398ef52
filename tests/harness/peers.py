# SPDX-License-Identifier: Apache-2.0
"""Real programs beside the daemon, started for one scene and ended by their own process."""
import http.client
import os
import shutil
import signal
import socket
import subprocess

import pytest

from harness import processes, senders
from harness.wait import wait_until

START_SECONDS = 20
END_SECONDS = 20


def need(program):
    """The path of a program that Debian has; skips the scene where it is not installed."""
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Server:
    """Runs in its own session; at the end `stop_signal`, and what it started is gone too."""

    def __init__(self, command, folder, port, stop_signal=signal.SIGTERM, status=(0,)):
        self.command, self.folder, self.port = command, folder, port
        self.stop_signal, self.status = stop_signal, status

    def __enter__(self):
        with open(self.folder / "server.out", "wb") as output:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, start_new_session=True)
        try:
            wait_until(self._is_up, START_SECONDS, lambda: f"a server: {self.said()}")
        except BaseException:
            self._kill()
            raise
        return self

    def _is_up(self):
        assert self.process.poll() is None, f"ended: {self.said()}"
        return answers(self.port)

    def said(self):
        return (self.folder / "server.out").read_text(errors="replace")

    def end(self):
        below = processes.descendants(self.process.pid)
        self.process.send_signal(self.stop_signal)
        status = self.process.wait(END_SECONDS)
        processes.end(below)
        assert status in self.status, (status, self.said())

    def _kill(self):
        below = processes.descendants(self.process.pid)
        self.process.kill()
        self.process.wait()
        processes.end(below)

    def __exit__(self, kind, trouble, trace):
        if self.process.poll() is None and kind is None:
            self.end()
        elif self.process.poll() is None:
            self._kill()


def get(port, paths, threads=4):
    """GETs each path once, from several threads; every answer is a 200."""

    def ask(some):
        for path in some:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            connection.close()
            assert answer.status == 200, (path, answer.status)

    paths = list(paths)
    senders.at_once(*(lambda some=paths[i::threads]: ask(some) for i in range(threads)))
