# SPDX-License-Identifier: Apache-2.0
"""A file system whose files take so many bytes a second, as a slow disk or a share far away does.

    slow_files.py MOUNTPOINT BYTES_A_SECOND

Each write takes as long as its bytes need, inside the caller's write(2); files hold their size and
content. Once standard input ends they are fast. Mounted by FUSE, in the foreground; ends when
unmounted.
"""
import errno
import os
import stat
import sys
import threading
import time

from fusepy import FUSE, FuseOSError, Operations


class SlowFiles(Operations):
    """One folder of files in memory."""

    def __init__(self, bytes_a_second):
        self.bytes_a_second = bytes_a_second
        self.files = {}
        self.paying = threading.Lock()  # writes of all files take turns, as on one disk

    def getattr(self, path, fh=None):
        facts = {"st_uid": os.getuid(), "st_gid": os.getgid(), "st_nlink": 1}
        if path == "/":
            return {**facts, "st_mode": stat.S_IFDIR | 0o755}
        if path not in self.files:
            raise FuseOSError(errno.ENOENT)
        return {**facts, "st_mode": stat.S_IFREG | 0o644, "st_size": len(self.files[path])}

    def readdir(self, path, fh):
        return [".", "..", *(name[1:] for name in self.files)]

    def create(self, path, mode, fi=None):
        self.files.setdefault(path, bytearray())
        return 0

    def truncate(self, path, length, fh=None):
        self.files[path][length:] = bytes(max(0, length - len(self.files[path])))

    def read(self, path, size, offset, fh):
        return bytes(self.files[path][offset:offset + size])

    def write(self, path, data, offset, fh):
        with self.paying:
            time.sleep(len(data) / self.bytes_a_second)
        self.files[path][offset:offset + len(data)] = data
        return len(data)

    def hurry_at_end_of_input(self):
        sys.stdin.buffer.read()
        self.bytes_a_second = float("inf")


def main():
    files = SlowFiles(float(sys.argv[2]))
    threading.Thread(target=files.hurry_at_end_of_input, daemon=True).start()
    FUSE(files, sys.argv[1], foreground=True, direct_io=True)


if __name__ == "__main__":
    main()
