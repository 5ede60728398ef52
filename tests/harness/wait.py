# SPDX-License-Identifier: Apache-2.0
"""Waiting for things that happen, and ports to meet on."""
import socket
import time

POLL_SECONDS = 0.01
_given_ports = set()


def wait_until(predicate, seconds, what):
    """Returns the first true answer of predicate; fails once `seconds` have passed without one.

    `what` says what was waited for, as a text or as a function that looks when it is too late.
    """
    deadline = time.monotonic() + seconds
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(POLL_SECONDS)


def free_port(kind=socket.SOCK_STREAM):
    """A port on loopback that nobody has now; the same one is not given twice in a test run."""
    while True:
        with socket.socket(socket.AF_INET, kind) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if (kind, port) not in _given_ports:
            _given_ports.add((kind, port))
            return port
