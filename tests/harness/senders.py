# SPDX-License-Identifier: Apache-2.0
"""Producers over sockets, and the records that an audit can follow."""
import socket
import threading

from harness import audit

SEND_SECONDS = 30  # a daemon that does not read is a failure, no hang


class Sender:
    """Sends records over one socket: a datagram each, or with a newline on a stream."""

    def __init__(self, family, kind, address, end=None):
        self.socket = socket.socket(family, kind)
        self.socket.settimeout(SEND_SECONDS)
        self.socket.connect(address)
        self.end = end if end is not None else (b"" if kind == socket.SOCK_DGRAM else b"\n")

    def __enter__(self):
        return self

    def __exit__(self, kind, trouble, trace):
        self.socket.close()

    def send(self, record):
        self.socket.sendall(record + self.end)

    def send_counted(self, record):
        """With its length before it, as RFC 6587 counts octets."""
        self.socket.sendall(b"%d %s" % (len(record), record))

    def send_audited(self, source, count, size=100, first=0, prefix=b""):
        """Records that an Audit knows; returns how many."""
        for number in range(first, first + count):
            self.send(prefix + audit.make(source, number, size))
        return count


def unix_datagram(path):
    return Sender(socket.AF_UNIX, socket.SOCK_DGRAM, str(path))


def unix_stream(path, end=None):
    return Sender(socket.AF_UNIX, socket.SOCK_STREAM, str(path), end)


def tcp(port, end=None):
    return Sender(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port), end)


def udp(port):
    return Sender(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", port))


def at_once(*calls):
    """Runs the calls side by side, each in a thread; the first trouble is raised here."""
    troubles = []

    def run(call):
        try:
            call()
        except BaseException as trouble:
            troubles.append(trouble)

    threads = [threading.Thread(target=run, args=(call,), daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if troubles:
        raise troubles[0]
