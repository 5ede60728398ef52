# SPDX-License-Identifier: Apache-2.0
"""File systems that are full, slow, or hang, on demand: mounted for one scene, by root alone."""
import os
import subprocess
import time

import pytest

from harness.daemon import ROOT
from harness.wait import wait_until

COMMAND_SECONDS = 20
LAST_CALL_SECONDS = 5


def _try(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS,
                          check=False)


class _Mount:
    """Mounted at `path` inside the with block; skips the scene where that is not allowed."""

    def __init__(self, path, *arguments):
        self.path = path
        self.arguments = arguments

    def __enter__(self):
        if os.geteuid() != 0:
            pytest.skip("needs root, to mount a file system")
        self.path.mkdir()
        mounted = _try("mount", *self.arguments, str(self.path))
        if mounted.returncode != 0:
            pytest.skip(f"cannot mount a file system here: {mounted.stderr.strip()}")
        return self

    def __exit__(self, kind, trouble, trace):
        deadline = time.monotonic() + LAST_CALL_SECONDS
        gone = _try("umount", str(self.path))
        while gone.returncode != 0 and time.monotonic() < deadline:
            time.sleep(0.05)  # an ended process's last call may have the file for a moment more
            gone = _try("umount", str(self.path))
        if gone.returncode != 0:
            _try("umount", "--lazy", str(self.path))
            assert kind is not None, f"somebody still uses {self.path}: {gone.stderr}"


class Small(_Mount):
    """A file system in memory that is full after so many bytes."""

    def __init__(self, path, size):
        super().__init__(path, "-t", "tmpfs", "-o", f"size={size}", "tmpfs")

    def fill(self, leave=0):
        """Takes all room but `leave` bytes; returns the file that takes it."""
        balloon = self.path / "balloon"
        facts = os.statvfs(self.path)
        with open(balloon, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, facts.f_bavail * facts.f_frsize - leave)
        return balloon


class Freezable(_Mount):
    """An ext4 file system in a file, which hangs between freeze() and thaw()."""

    def __init__(self, path, size=64 << 20):
        self.image = path.with_suffix(".image")
        super().__init__(path, "-o", "loop", str(self.image))
        self.size = size
        self.frozen = False

    def __enter__(self):
        with open(self.image, "wb") as image:
            image.truncate(self.size)
        made = _try("mkfs.ext4", "-q", "-F", str(self.image))
        if made.returncode != 0:
            pytest.skip(f"cannot make a file system: {made.stderr.strip()}")
        super().__enter__()
        if not self._change("--freeze"):
            super().__exit__(None, None, None)
            pytest.skip("cannot freeze a file system here")
        assert self._change("--unfreeze")
        return self

    def __exit__(self, kind, trouble, trace):
        if self.frozen:
            self.thaw()
        super().__exit__(kind, trouble, trace)

    def _change(self, how):
        return _try("fsfreeze", how, str(self.path)).returncode == 0

    def freeze(self):
        assert self._change("--freeze")
        self.frozen = True

    def thaw(self):
        assert self._change("--unfreeze")
        self.frozen = False


class Slow(_Mount):
    """A file system that takes so many bytes a second, until hurry(): tests/apps/slow_files.py."""

    def __init__(self, path, bytes_a_second):
        super().__init__(path)
        self.bytes_a_second = bytes_a_second

    def __enter__(self):
        if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
            pytest.skip("needs root and /dev/fuse, to mount a file system")
        self.path.mkdir()
        self.server = subprocess.Popen(
            ["/usr/bin/python3", ROOT / "tests" / "apps" / "slow_files.py", self.path,
             str(self.bytes_a_second)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: self.server.poll() is not None or os.path.ismount(self.path),
                   COMMAND_SECONDS, "a slow file system")
        if self.server.poll() is not None:
            with self.server.stderr as stderr:
                pytest.skip(f"cannot mount a slow file system here: {stderr.read().strip()}")
        return self

    def hurry(self):
        self.server.stdin.close()

    def __exit__(self, kind, trouble, trace):
        self.hurry()
        super().__exit__(kind, trouble, trace)
        try:
            self.server.wait(COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()
        self.server.stderr.close()
