# SPDX-License-Identifier: Apache-2.0
"""A tracing session of LTTng-UST with a session daemon of its own, for bench/latency.py.

For root every LTTng program uses the one place in /run, so as root all of it runs as `nobody`.
Everything, the traces too, falls into a folder on tmpfs that goes in the end; of LTTng's own in
/dev/shm a word for each user stays, as always.
"""
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import landing  # noqa: F401  (it knows the way to the harness)
from harness import processes
from harness.wait import wait_until

READY_SECONDS = 20
COMMAND_SECONDS = 20
NOBODY = 65534
SESSION = "bench"
# A consumer's buffers as large as a ring; more than that waiting is discarded and counted.
CHANNEL = ["--subbuf-size=512K", "--num-subbuf=4"]


AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


def lacks(program):
    """Why `program` cannot be traced here, or None."""
    for needed in ("lttng", "lttng-sessiond", *(["setpriv"] if os.getuid() == 0 else [])):
        if shutil.which(needed) is None:
            return f"{needed} is not installed"
    if os.getuid() == 0 and subprocess.run([*AS_NOBODY, "test", "-x", program],
                                           check=False).returncode != 0:
        return f"root traces as nobody, who cannot run {program}"
    return None


class Session:
    """Inside, yarder_latency:record is recorded; prefix and environment are for the program that
    logs, which must be started there."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="yarder-", dir="/dev/shm"))
        self.environment = {**os.environ, "LTTNG_HOME": str(self.folder),
                            "LTTNG_UST_REGISTER_TIMEOUT": "10000"}
        self.prefix = AS_NOBODY if os.getuid() == 0 else []

    def _lttng(self, *arguments):
        result = subprocess.run(
            [*self.prefix, "lttng", "--no-sessiond", *arguments], env=self.environment,
            capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
        assert result.returncode == 0, f"lttng {arguments}: {result.stdout}{result.stderr}"
        return result.stdout

    def __enter__(self):
        if self.prefix:
            os.chown(self.folder, NOBODY, NOBODY)
        with open(self.folder / "said", "wb") as said:
            self.daemon = subprocess.Popen(
                [*self.prefix, "lttng-sessiond", "--no-kernel"], env=self.environment,
                stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True)
        try:
            wait_until(self._is_ready, READY_SECONDS, "a session daemon")
            self._lttng("create", SESSION, f"--output={self.folder}/trace")
            self._lttng("enable-channel", "--userspace", f"--session={SESSION}", *CHANNEL, "own")
            self._lttng("enable-event", "--userspace", f"--session={SESSION}", "--channel=own",
                        "yarder_latency:record")
            self._lttng("start", SESSION)
        except BaseException:
            self._end()
            raise
        return self

    def _is_ready(self):
        assert self.daemon.poll() is None, (self.folder / "said").read_text()
        return (self.folder / ".lttng" / "client-lttng-sessiond").exists()

    def discarded(self):
        """How many events found no room; the session stops."""
        self._lttng("stop", SESSION)
        found = re.search(r"Discarded events: (\d+)", self._lttng("list", SESSION))
        return int(found[1]) if found else 0

    def trace_bytes(self):
        return sum(file.stat().st_size for file in (self.folder / "trace").rglob("own_*"))

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                self._lttng("destroy", SESSION)
        finally:
            self._end()

    def _end(self):
        below = processes.descendants(self.daemon.pid)
        self.daemon.terminate()
        try:
            self.daemon.wait(COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            self.daemon.wait()
        processes.end(below)
        shutil.rmtree(self.folder, ignore_errors=True)
