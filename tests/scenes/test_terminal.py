# SPDX-License-Identifier: Apache-2.0
"""`yarder exec` under an interactive shell: to terminal and shell it is the command itself."""
import os
import pty
import re
import select
import signal
import sys
import time

import pytest

from harness.daemon import program

SECONDS = 20
pytestmark = pytest.mark.skipif(not program().exists(), reason=f"{program()} is not built")


class Shell:
    """An interactive bash on a terminal of its own."""

    def __init__(self):
        self.said = b""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.environ.update(YARDER_RUN_DIR="/nonexistent", PS1="$ ", TERM="dumb")
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])

    def __enter__(self):
        return self

    def __exit__(self, kind, trouble, trace):
        os.kill(self.pid, signal.SIGKILL)  # and HUP to all of the session
        os.waitpid(self.pid, 0)
        os.close(self.terminal)

    def type(self, text):
        os.write(self.terminal, text.encode())

    def expect(self, pattern):
        """What matched; what came before it is forgotten."""
        deadline = time.monotonic() + SECONDS
        while not (found := re.search(pattern.encode(), self.said)):
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self.terminal], [], [], max(left, 0))
            assert ready, f"no {pattern!r} in {self.said!r}"
            self.said += os.read(self.terminal, 4096)
        self.said = self.said[found.end():]
        return found

    def is_alive(self):
        self.type("echo alive-$((6 * 7))\n")
        self.expect("alive-42")


COUNTING = ("import itertools, time\n"
            "for n in itertools.count(): print(f'<{n}>', flush=True); time.sleep(0.02)\n")


def shell_line(own, folder, command):
    output = f"--output file:{folder}/own.log" if own else ""
    return f"{program()} exec {output} -- {command}"


@pytest.mark.parametrize("own", [False, True])
def test_exec_in_the_background_of_a_shell(own, folder):
    """The terminal stays the shell's; a command that would read from it is stopped, as any is."""
    with Shell() as shell:
        command = "sh -c 'echo sta''rted; sleep 0.3; echo do''ne'"
        shell.type(shell_line(own, folder, command) + " &\n")
        shell.expect("started")
        shell.is_alive()
        shell.expect("done")
        shell.is_alive()
        shell.type("wait; " + shell_line(own, folder, "sh -c 'read -r x; echo got-$x'") + " &\n")
        shell.expect(r"\[\d\] \d+")
        shell.is_alive()
        shell.type("until jobs | grep -q Stopped; do sleep 0.01; done; fg\n")
        shell.expect("read -r x")
        shell.type("word\n")
        shell.expect("got-word")
        shell.is_alive()


@pytest.mark.parametrize("own", [False, True])
def test_exec_is_suspended_with_its_command(own, folder):
    (folder / "count.py").write_text(COUNTING)
    with Shell() as shell:
        shell.type(shell_line(own, folder, f"{sys.executable} {folder}/count.py") + "\n")
        shell.expect("<10>")
        for _ in range(3):
            shell.type("\x1a")
            shell.expect("Stopped")
            shell.is_alive()
            shell.said = b""
            shell.type("sleep 0.2; echo sle''pt\n")
            assert b"<" not in shell.expect(r"(?s)(.*)\nslept")[1]
            shell.type("fg\n")
            first = int(shell.expect(r"<(\d+)>")[1])
            shell.expect(f"<{first + 10}>")
        shell.type("\x03")
        shell.expect("KeyboardInterrupt")
        shell.is_alive()
