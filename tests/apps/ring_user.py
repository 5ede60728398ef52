# SPDX-License-Identifier: Apache-2.0
"""A program that logs through libyarder as it is told, a line each: ring_user.py LIBRARY

It answers each line with a number.

cut TEXT BYTES    a thread of its own logs one record, and lives on: 2 when there was no room for it
log TEXT BYTES    logs one record, padded to BYTES: 0 appended, 2 dropped
flush             yarder_flush(20000)
attached          1: a region, 2: the daemon's socket, 0: nothing
lost              records lost so far
"""
import ctypes
import sys
import threading

RING_BYTES = 1 << 20
ERROR = 40


class Options(ctypes.Structure):
    _fields_ = [("options_bytes", ctypes.c_uint32), ("block_ms", ctypes.c_uint32),
                ("ring_bytes", ctypes.c_uint64), ("run_dir", ctypes.c_char_p),
                ("program", ctypes.c_char_p)]


class Counts(ctypes.Structure):
    _fields_ = [("counters_bytes", ctypes.c_uint32), ("attached", ctypes.c_uint32)] + [
        (name, ctypes.c_uint64) for name in (
            "appended", "sent", "lost", "lost_bytes", "lost_full", "lost_detached", "lost_socket",
            "lost_other")]


class User:
    def __init__(self, library):
        self.library = ctypes.CDLL(library)
        self.library.yarder_log_bytes.argtypes = [
            ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t]
        options = Options(options_bytes=ctypes.sizeof(Options), ring_bytes=RING_BYTES,
                          program=b"ring_user")
        assert self.library.yarder_configure(ctypes.byref(options)) == 0

    def log(self, text, size):
        data = (text + " ").encode().ljust(int(size), b"x")
        return self.library.yarder_log_bytes(0, ERROR, data, len(data))

    def cut(self, text, size):
        results = []
        done = threading.Event()

        def once():
            results.append(self.log(text, size))
            done.set()
            threading.Event().wait()  # its thread id stays its own

        threading.Thread(target=once, daemon=True).start()
        done.wait()
        return results[0]

    def flush(self):
        return self.library.yarder_flush(20_000)

    def count(self, name):
        counts = Counts(counters_bytes=ctypes.sizeof(Counts))
        assert self.library.yarder_counters(ctypes.byref(counts)) == 0
        return getattr(counts, name)

    def attached(self):
        return self.count("attached")

    def lost(self):
        return self.count("lost")


def main():
    user = User(sys.argv[1])
    for line in sys.stdin:
        word, *arguments = line.split()
        print(getattr(user, word)(*arguments), flush=True)


if __name__ == "__main__":
    main()
