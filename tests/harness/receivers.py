# SPDX-License-Identifier: Apache-2.0
"""Destinations on loopback that keep what came, and that can be slow, deaf or rude."""
import os
import selectors
import socket
import struct
import threading

from harness.audit import split_lines
from harness.wait import wait_until

READ_BYTES = 1 << 18


class Receiver:
    """A destination that reads in a thread of its own.

    pause() stops reading (the peer's buffers fill), resume() goes on, reset() breaks all
    connections with RST, and stop() takes the listening socket away too.
    """

    def __init__(self, family, kind, address):
        self.kind = kind
        self.listening = socket.socket(family, kind)
        if family == socket.AF_INET:
            self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listening.bind(address)
        if kind == socket.SOCK_STREAM:
            self.listening.listen(16)
        self.listening.setblocking(False)
        self.datagrams = []
        self.streams = []  # a bytearray for each connection, in the order of their coming
        self._connections = {}
        self._lock = threading.Lock()
        self._going = threading.Event()
        self._going.set()
        self._wake, self._woken = os.pipe()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def port(self):
        return self.listening.getsockname()[1]

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, trouble, trace):
        self.stop()

    def _run(self):
        selector = selectors.DefaultSelector()
        selector.register(self.listening, selectors.EVENT_READ)
        selector.register(self._wake, selectors.EVENT_READ)
        while not self._stopping:
            self._going.wait()
            for key, _ in selector.select():
                if not self._going.is_set():
                    break
                with self._lock:
                    self._serve(selector, key.fileobj)
        selector.close()

    def _serve(self, selector, ready):
        if ready == self._wake:
            os.read(self._wake, 1)
        elif ready is self.listening and self.kind == socket.SOCK_DGRAM:
            self.datagrams.append(ready.recv(READ_BYTES))
        elif ready is self.listening:
            self._accept(selector)
        elif ready in self._connections:
            self._read(selector, ready)

    def _accept(self, selector):
        try:
            connection, _ = self.listening.accept()
        except BlockingIOError:  # whoever connected has gone again
            return
        self.streams.append(bytearray())
        self._connections[connection] = self.streams[-1]
        selector.register(connection, selectors.EVENT_READ)

    def _read(self, selector, connection):
        try:
            chunk = connection.recv(READ_BYTES)
        except OSError:
            chunk = b""
        if chunk:
            self._connections[connection] += chunk
        else:
            selector.unregister(connection)
            del self._connections[connection]
            connection.close()

    def _nudge(self):
        os.write(self._woken, b"!")

    def pause(self):
        self._going.clear()
        self._nudge()

    def resume(self):
        self._going.set()

    def reset(self):
        """The reader then sees the connections as ended and lets go of them."""
        with self._lock:
            for connection in self._connections:
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                connection.shutdown(socket.SHUT_RD)

    def stop(self):
        self._stopping = True
        self._going.set()
        self._nudge()
        self._thread.join()
        for one in [self.listening, *self._connections]:
            one.close()
        os.close(self._wake)
        os.close(self._woken)

    def lines(self):
        """Datagrams with a newline each, or the lines of all connections."""
        with self._lock:
            if self.kind == socket.SOCK_DGRAM:
                return [datagram + b"\n" for datagram in self.datagrams]
            return [line for one in self.streams for line in split_lines(bytes(one))]

    def line_count(self):
        with self._lock:
            return len(self.datagrams) + sum(one.count(b"\n") for one in self.streams)

    def wait_for_lines(self, count, seconds):
        wait_until(lambda: self.line_count() >= count, seconds,
                   lambda: f"{count} lines, {self.line_count()} came")


def tcp(port=0):
    return Receiver(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port))


def udp(port=0):
    return Receiver(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", port))


def unix_stream(path):
    return Receiver(socket.AF_UNIX, socket.SOCK_STREAM, str(path))


def unix_datagram(path):
    return Receiver(socket.AF_UNIX, socket.SOCK_DGRAM, str(path))
