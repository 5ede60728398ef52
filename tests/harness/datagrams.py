# SPDX-License-Identifier: Apache-2.0
"""`yarder serve-udp` for a scene, and a receiver of datagrams that is deep."""
import re
import signal
import socket
import subprocess
import threading

from harness.daemon import BUG, program
from harness.wait import wait_until

SO_RCVBUFFORCE = 33
BUFFER_BYTES = 64 << 20
SECONDS = 20


class ServeUdp:
    """Runs until the block's end: INT, and status 0. `counts` is then what it said last."""

    def __init__(self, folder, *options, address="127.0.0.1:0", name="served"):
        self.command = [str(program()), "serve-udp", *options, address]
        self.output, self.errors = folder / name, folder / f"{name}.err"
        self.counts = {}

    def __enter__(self):
        with open(self.output, "ab") as output, open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=errors)
        said = wait_until(lambda: re.search(r"listening on \S+:(\d+)\n", self.said()), SECONDS,
                          lambda: f"serve-udp to listen: {self.said()}")
        self.port = int(said[1])
        return self

    def said(self):
        assert self.process.poll() in (None, 0), self.errors.read_text()
        return self.errors.read_text()

    def bytes(self):
        return self.output.read_bytes()

    def lines(self):
        """What was printed, without where from."""
        return [re.sub(rb"^\[udp:\S+:\d+\] ", b"", line) for line in self.bytes().split(b"\n")[:-1]]

    def wait_for_lines(self, count):
        wait_until(lambda: self.bytes().count(b"\n") >= count, SECONDS,
                   lambda: f"{count} lines, not {len(self.lines())}: {self.said()}")

    def end(self):
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
            assert self.process.wait(SECONDS) == 0, self.said()
        assert not BUG.search(self.said()), self.said()
        self.counts = {name: int(number) for name, number in re.findall(
            r"(\w+(?: in the kernel)?) (\d+)(?=,|$)",
            "\n".join(line for line in self.said().split("\n") if "received" in line
                      or "not printed: unknown" in line), re.M)}
        return self.counts

    def __exit__(self, kind, trouble, trace):
        if kind is None:
            self.end()
        elif self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Collector:
    """A socket whose buffer holds what a scene sends at once, read by a thread."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        except PermissionError:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.1)
        self.port = self.socket.getsockname()[1]
        self.packets = []
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._ended:
            try:
                self.packets.append(self.socket.recv(65536))
            except TimeoutError:
                pass

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, trouble, trace):
        self._ended = True
        self._thread.join()
        self.socket.close()

    def wait_for(self, count):
        wait_until(lambda: len(self.packets) >= count, SECONDS,
                   lambda: f"{count} datagrams, not {len(self.packets)}")


def send(port, *packets):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for packet in packets:
            sender.sendto(packet, ("127.0.0.1", port))
