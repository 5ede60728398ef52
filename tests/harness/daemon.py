# SPDX-License-Identifier: Apache-2.0
"""A yarder under test: its own folder, configuration, run and state directories."""
import json
import os
import re
import select
import signal
import socket
import subprocess
import time
from pathlib import Path

from harness import ledger, processes
from harness.wait import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
READY_SECONDS = 20
STOP_SECONDS = 30
COMMAND_SECONDS = 20
# What a sanitizer or an assert of our own says.
BUG = re.compile(r"(Address|Leak|Thread|Memory|UndefinedBehavior)Sanitizer|runtime error:"
                 r"|yarder: bug:")


def program():
    return ROOT / os.environ.get("YARDER_BUILD", "build") / "yarder"


class Yarder:
    """`yarder run` on a configuration text, in which {folder} stands for the scene's folder.

        with Yarder(folder, "input = unix:{folder}/in\\noutput = file:{folder}/out\\n") as yarder:
            ...
    Leaving the block stops it with TERM and asserts a clean end: status 0, a balanced ledger just
    before, nothing left running, no sanitizer report, no failed assert. After an exception it is
    killed instead, with all it started and nothing else.

    stdin, stdout: what the daemon reads and writes, descriptors; they stay the caller's.
    """

    def __init__(self, folder, config, arguments=(), environment=None, wrapper=(),
                 stdin=subprocess.DEVNULL, stdout=None):
        self.folder = Path(folder)
        self.folder.mkdir(exist_ok=True)
        self.run_dir = self.folder / "run"
        self.state_dir = self.folder / "state"
        self.config = self.folder / "yarder.conf"
        self.arguments = list(arguments)
        self.environment = dict(environment or {})
        self.wrapper = list(wrapper)
        self.stdin = stdin
        self.stdout = stdout
        self.planted = "$^"  # what the scene itself makes the daemon say of a bug
        self.process = None
        self.write_config(config)

    def write_config(self, config):
        self.config.write_text(config.replace("{folder}", str(self.folder)))

    def command(self):
        io = os.environ.get("YARDER_IO")
        return [*self.wrapper, str(program()), "run", str(self.config),
                "--run-dir", str(self.run_dir), "--state-dir", str(self.state_dir),
                *(["--io", io] if io else []), *self.arguments]

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, trouble, trace):
        if kind is None:
            self.stop()
        else:
            self.kill()

    def start(self):
        """Returns once the daemon has said READY=1; fails with its words when it ends instead."""
        for directory in (self.run_dir, self.state_dir):
            directory.mkdir(exist_ok=True)
        self.launch()
        try:
            self._wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def launch(self):
        """Starts the process and waits for nothing."""
        notify_path = self.folder / "notify"
        notify_path.unlink(missing_ok=True)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.notify.bind(str(notify_path))
        with open(self.folder / "stderr", "ab") as stderr, \
                open(self.folder / "stdout", "ab") as stdout:
            self.process = subprocess.Popen(
                self.command(), cwd=self.folder, stdin=self.stdin,
                stdout=stdout if self.stdout is None else self.stdout,
                stderr=stderr, start_new_session=True,
                env={**os.environ, **self.environment, "NOTIFY_SOCKET": str(notify_path)})

    def _wait_ready(self):
        ended = os.pidfd_open(self.process.pid)
        try:
            deadline = time.monotonic() + READY_SECONDS
            while True:
                left = deadline - time.monotonic()
                ready, _, _ = select.select([self.notify, ended], [], [], max(left, 0))
                if self.notify in ready:
                    if "READY=1" in self.notify.recv(4096).decode().split("\n"):
                        return
                elif ended in ready:
                    raise AssertionError(f"ended with {self.process.wait()}:\n{self.stderr()}")
                else:
                    raise AssertionError(f"not ready in {READY_SECONDS} s:\n{self.stderr()}")
        finally:
            os.close(ended)

    @property
    def pid(self):
        return self.process.pid

    def worker_pids(self):
        """The supervisor's children that run yarder itself: not those of exec: and pipe:."""
        return [pid for pid in processes.children(self.pid) if _runs_yarder(pid, False)]

    def source_pids(self):
        """Its processes that take what inputs with a module give."""
        return [pid for pid in processes.children(self.pid) if _runs_yarder(pid, True)]

    def kill_worker(self):
        """SIGKILL to the worker; returns once another one answers."""
        crashed = self.status()["workers_crashed"]
        for pid in self.worker_pids():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self.status()["workers_crashed"] > crashed, READY_SECONDS,
                   "another worker")

    def stderr(self):
        return (self.folder / "stderr").read_text(errors="replace")

    def wait_for_stderr(self, text, seconds):
        wait_until(lambda: text in self.stderr(), seconds,
                   lambda: f"{text!r} on standard error, which says:\n{self.stderr()}")

    def cli_command(self, *arguments):
        return [str(program()), arguments[0], "--run-dir", str(self.run_dir), *arguments[1:]]

    def cli(self, *arguments, check=True, **options):
        """A subcommand against this daemon; its CompletedProcess, with text."""
        result = subprocess.run(
            self.cli_command(*arguments), capture_output=True, text=True,
            timeout=COMMAND_SECONDS, check=False, **options)
        if check:
            assert result.returncode == 0, (arguments, result)
        return result

    def status(self):
        """`yarder status --json`; 4, running but losing, is an answer too."""
        result = self.cli("status", "--json", check=False)
        assert result.returncode in (0, 4), result
        return json.loads(result.stdout)

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, seconds=STOP_SECONDS):
        """TERM, and the assertions of a clean end. Returns the last status."""
        status = self.status()
        ledger.assert_balanced(status)
        self.end(signal.SIGTERM, seconds)
        return status

    def end(self, number, seconds=STOP_SECONDS, code=0):
        """Sends a signal and asserts how the daemon ends."""
        below = processes.descendants(self.pid)
        self.signal(number)
        try:
            ended_with = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"no end {seconds} s after signal {number}:\n{self.stderr()}")
        self.notify.close()
        said = self.stderr()
        left = processes.alive(below)
        processes.end(left)
        assert ended_with == code, f"ended with {ended_with}:\n{said}"
        assert not BUG.search(re.sub(self.planted, "", said)), said
        assert not left, f"left running: {sorted(left)}"

    def kill(self):
        """SIGKILL to the daemon and to all that it started."""
        if self.process is None or self.process.returncode is not None:
            return
        below = processes.descendants(self.pid)
        self.process.kill()
        self.process.wait()
        processes.end(below)
        self.notify.close()


def _runs_yarder(pid, source):
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        ours = os.path.samefile(f"/proc/{pid}/exe", program())
        return ours and (words[1:2] == [b"source"]) == source
    except OSError:
        return False  # it has ended
