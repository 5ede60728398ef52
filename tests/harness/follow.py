# SPDX-License-Identifier: Apache-2.0
"""A reader that lives with the file: like tail -F, it sees each byte once, whatever is renamed.

It also watches what no reader should see: a file that shrinks, or bytes that change after they
were read. Both end up in `complaints`.
"""
import glob
import os
import threading

from harness.audit import split_lines
from harness.wait import wait_until

READ_BYTES = 1 << 20
LOOK_BACK_BYTES = 64  # how much of what was read last is read again to see whether it still stands
POLL_SECONDS = 0.005


class _Followed:
    """One file, known by its inode; it stays open, so that its inode is not used again."""

    def __init__(self, path):
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.content = bytearray()
        self.line_count = 0
        self.position = 0
        self.since_cut = 0  # where in content the file's present byte 0 stands

    def identity(self):
        stat = os.fstat(self.fd)
        return stat.st_dev, stat.st_ino

    def drain(self, complaints):
        size = os.fstat(self.fd).st_size
        if size < self.position:
            complaints.append(f"{self.path} shrank from {self.position} to {size} bytes")
            self._restart()
        elif size > self.position and not self._still_stands():
            complaints.append(f"{self.path} changed before byte {self.position}")
            self._restart()
        while chunk := os.pread(self.fd, READ_BYTES, self.position):
            self.content += chunk
            self.line_count += chunk.count(b"\n")
            self.position += len(chunk)

    def _restart(self):
        self.position = 0
        self.since_cut = len(self.content)

    def _still_stands(self):
        back = min(LOOK_BACK_BYTES, self.position)
        end = self.since_cut + self.position
        return os.pread(self.fd, back, self.position - back) == self.content[end - back:end]


def _changed_at(path):
    try:
        return os.stat(path).st_mtime_ns
    except FileNotFoundError:
        return 0


class Follower:
    """Follows `path` and all that matches `path + "*"`, so a file renamed beside it is not lost.

        with Follower(path) as follower:
            ...
            follower.wait_for_lines(1000, seconds=10)
        Audit(...).lines(follower.lines())

    A file that was created and deleted between two looks is not seen, and files met in one look are
    put in order of their last change; look_now() helps a test that rotates faster than that.
    """

    def __init__(self, path):
        self.path = str(path)
        self.complaints = []
        self._followed = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"follow {path}", daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, trouble, trace):
        self._stopping.set()
        self._thread.join()
        self.look_now()
        for followed in self._followed.values():
            os.close(followed.fd)

    def _run(self):
        while not self._stopping.wait(POLL_SECONDS):
            self.look_now()

    def look_now(self):
        with self._lock:
            for path in sorted(glob.glob(glob.escape(self.path) + "*"), key=_changed_at):
                self._meet(path)
            for followed in self._followed.values():
                followed.drain(self.complaints)

    def _meet(self, path):
        try:
            stat = os.stat(path)
            if (stat.st_dev, stat.st_ino) not in self._followed:
                followed = _Followed(path)
                self._followed[followed.identity()] = followed
        except FileNotFoundError:
            pass  # renamed between the listing and here: met under its new name at the next look

    def files(self):
        """What each file held, in the order in which they were met."""
        with self._lock:
            return [bytes(followed.content) for followed in self._followed.values()]

    def lines(self):
        """All lines with their newlines, file by file; a last half line comes without one."""
        return [line for content in self.files() for line in split_lines(content)]

    def line_count(self):
        with self._lock:
            return sum(followed.line_count for followed in self._followed.values())

    def tail(self, size=1 << 16):
        """The last bytes of the file that was met last."""
        with self._lock:
            last = list(self._followed.values())[-1:]
            return bytes(last[0].content[-size:]) if last else b""

    def wait_for_lines(self, count, seconds):
        wait_until(lambda: self.line_count() >= count, seconds,
                   lambda: f"{count} lines in {self.path}, {self.line_count()} came")

    def assert_untouched(self):
        assert not self.complaints, self.complaints
