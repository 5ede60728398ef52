# SPDX-License-Identifier: Apache-2.0
"""Where records go: uWSGI's lines against its algorithm written down once more, and our own."""
import random
import re
import time

import pytest

from harness import ledger, senders
from harness.wait import wait_until

SETTLE_SECONDS = 20
WORDS = ["error", "warning", "listen queue", "GET /x", "POST /y", "spam", "ok", "404", "done"]
PATTERNS = ["error", "^warning", "queue$", "GET|POST", "[0-9]+", "spam.*ok", "x", "ok.", "nobody"]


class Uwsgi:
    """uWSGI's walk over its loggers, for one message and one of the two paths."""

    def __init__(self, order):
        self.order = order
        self.lines = []
        self.loggers = []  # (name or None, file, is a req-logger)
        self.routes, self.req_routes, self.drains, self.filters = [], [], [], []
        names = ["one", "two", "three"]
        for _ in range(order.randint(1, 6)):
            self.add_logger(order.choice([None, None, *names]), order.random() < 0.3)
        for _ in range(order.randint(0, 5)):
            route = order.choice([*names, "unknown"]), order.choice(PATTERNS)
            request = order.random() < 0.3
            (self.req_routes if request else self.routes).append(route)
            self.lines.append(f"log-{'req-' if request else ''}route = {route[0]} {route[1]}")
        for _ in range(order.choice([0, 0, 1, 2])):
            self.drains.append(order.choice(PATTERNS))
            self.lines.append(f"log-drain = {self.drains[-1]}")
        for _ in range(order.choice([0, 0, 0, 1])):
            self.filters.append("e|o")
            self.lines.append("log-filter = e|o")
        order.shuffle(self.lines)
        self.reread()
        self.has_pipe = bool(self.req_routes) or any(request for _, _, request in self.loggers)

    def add_logger(self, name, request):
        file = f"log{len(self.lines)}"
        self.lines.append(f"{'req-' if request else ''}logger = {name + ' ' if name else ''}"
                          f"file:{{folder}}/{file}")

    def reread(self):
        """The order of the lines is the order of the walk."""
        self.routes, self.req_routes = [], []
        for line in self.lines:
            key, value = line.split(" = ", 1)
            if key in ("logger", "req-logger"):
                name, _, target = value.rpartition(" ")
                self.loggers.append((name or None, target.rsplit("/", 1)[1], key == "req-logger"))
            elif key in ("log-route", "log-req-route"):
                (self.routes if key == "log-route" else self.req_routes).append(
                    tuple(value.split(" ", 1)))

    def first(self, name, request):
        """Ours, where uWSGI's own leaves a named req-logger dead: req-loggers, then loggers."""
        lists = [True, False] if request else [False]
        for wanted in lists:
            for one, file, is_request in self.loggers:
                if one == name and is_request == wanted:
                    return file
        return None

    def walk(self, message, request):
        """The files that get the message, each as often as it stands there."""
        request = request and self.has_pipe
        if not request:
            if any(re.search(drain, message) for drain in self.drains):
                return []
            if self.filters and not any(re.search(one, message) for one in self.filters):
                return []
        hits = []
        for name, pattern in self.req_routes if request else self.routes:
            file = self.first(name, request)
            if file is not None and re.search(pattern, message):
                hits.append(file)
        if hits:
            return hits
        unnamed = [file for name, file, is_request in self.loggers
                   if name is None and is_request == request]
        return unnamed or ["stdout"]


@pytest.mark.parametrize("seed", range(12))
def test_uwsgi_lines(yarder, folder, seed):
    """A few hundred random messages on both paths: each logger gets what uWSGI would give it."""
    order = random.Random(seed)
    model = Uwsgi(order)
    one = yarder("\n".join(["input = unix:{folder}/in", "input = unix:{folder}/req,kind=request",
                            *model.lines, ""]))
    expected, count = {}, 300
    with senders.unix_datagram(folder / "in") as log, \
            senders.unix_datagram(folder / "req") as req:
        for number in range(count):
            request = order.random() < 0.3
            text = " ".join(order.choices(WORDS, k=order.randint(1, 4)))
            message = f"{'r' if request else 'l'}{number} {text}" if number % 2 else text
            for file in model.walk(message, request):
                expected.setdefault((file, request), []).append(message)
            (req if request else log).send(message.encode() + b"\n")
    ledger.wait_settled(one, count, SETTLE_SECONDS)
    got = {file: (folder / file).read_text().splitlines() if (folder / file).exists() else []
           for file in ["stdout", *(file for _, file, _ in model.loggers)]}
    for file, lines in got.items():
        logs, requests = expected.get((file, False), []), expected.get((file, True), [])
        assert is_interleaved(lines, logs, requests), (
            f"seed {seed}: {file}: {model.lines}\n{lines}\n{logs}\n{requests}")


def is_interleaved(lines, first, second):
    """Whether lines hold both, each in its order; the two sockets are read in any order."""
    at = {0}  # how many of first are behind us, for each way to read it
    for number, line in enumerate(lines):
        at = ({i + 1 for i in at if i < len(first) and first[i] == line}
              | {i for i in at if number - i < len(second) and second[number - i] == line})
    return len(first) in at and len(lines) == len(first) + len(second)


def send_syslog(folder, *lines):
    with senders.unix_datagram(folder / "in") as sender:
        for line in lines:
            sender.send(line)


def texts(path):
    return path.read_text().splitlines() if path.exists() else []


def test_selectors_rest_drop_keep_and_routes(yarder, folder):
    one = yarder("""
input = unix:{folder}/in,parse=syslog
drop = ^noise
keep = .
keep = ^$
output = all file:{folder}/all
output = bad file:{folder}/bad,level=error
output = middle file:{folder}/middle,level=notice..warning
output = web file:{folder}/web,tag=nginx,tag=apache*
output = mail file:{folder}/mail,facility=mail+auth
output = hosts file:{folder}/hosts,host=db*,match=slow,not-match=very
output = queue file:{folder}/queue,level=warning
output = rest file:{folder}/rest,rest=yes
route = queue "listen queue .* full"
""")
    made = [
        # priority (facility * 8 + severity), host, tag, text, who takes it beside all
        (3 * 8 + 3, "a", "app", "an error", ["bad"]),
        (3 * 8 + 4, "a", "app", "a warning", ["middle"]),
        (3 * 8 + 5, "a", "app", "a notice", ["middle"]),
        (3 * 8 + 6, "a", "app", "just info", ["rest"]),
        (3 * 8 + 6, "a", "nginx", "GET", ["web"]),
        (3 * 8 + 6, "a", "apache-ssl", "GET", ["web"]),
        (3 * 8 + 6, "a", "nginx-not", "GET", ["rest"]),
        (2 * 8 + 6, "a", "postfix", "sent", ["mail"]),
        (4 * 8 + 2, "a", "sshd", "broken in", ["mail", "bad"]),
        (3 * 8 + 6, "db1", "pg", "slow query", ["hosts"]),
        (3 * 8 + 6, "db1", "pg", "very slow query", ["rest"]),
        (3 * 8 + 6, "web1", "pg", "slow query", ["rest"]),
        (3 * 8 + 4, "a", "uwsgi", "listen queue of socket 3 full", ["queue", "middle"]),
        (3 * 8 + 6, "a", "uwsgi", "listen queue of socket 3 full", []),  # hit, but its level
        (3 * 8 + 3, "a", "app", "noise as an error", None),
    ]
    send_syslog(folder, *(f"<{priority}>Nov 21 04:05:06 {host} {tag}: {number} {text}".encode()
                          if takers is not None else
                          f"<{priority}>Nov 21 04:05:06 {host} {tag}: {text} {number}".encode()
                          for number, (priority, host, tag, text, takers) in enumerate(made)))
    status = ledger.wait_settled(one, len(made), SETTLE_SECONDS)
    assert status["router"]["filtered"] == {"drop": 1, "keep": 0}
    for name in ("all", "bad", "middle", "web", "mail", "hosts", "queue", "rest"):
        expected = [f"{number} {text}" for number, (*_, text, takers) in enumerate(made)
                    if takers is not None and (name == "all" or name in takers)]
        assert texts(folder / name) == expected, name


def test_unmatched_is_counted(yarder, folder):
    one = yarder("input = unix:{folder}/in\nkeep = ^a\noutput = b file:{folder}/b,match=b\n")
    send_syslog(folder, b"ab", b"a", b"b")
    status = ledger.wait_settled(one, 3, SETTLE_SECONDS)
    router = status["router"]
    assert (router["routed"], router["unmatched"], router["filtered"]["keep"]) == (1, 1, 1)
    assert texts(folder / "b") == ["ab"]


def test_fields_loggers_streams_and_inputs(yarder, folder):
    one = yarder("""
input = programs ring
input = shell exec:echo to stdout; echo to stderr >&2; exec sleep 1000
output = web file:{folder}/web,logger=web
output = user file:{folder}/user,field.user=al.*
output = errors file:{folder}/errors,stream=stderr
output = shell file:{folder}/shell,input=shell
output = requests file:{folder}/requests,kind=request
""")
    for arguments in (["--logger", "web", "1"], ["--logger", "web.db", "2"],
                      ["--logger", "webs", "3"], ["--field", "user=alice", "4"],
                      ["--field", "user=sally", "5"], ["--field", "user=al", "6"]):
        one.cli("send", "--quiet", *arguments)
    ledger.wait_settled(one, 8, SETTLE_SECONDS)
    assert texts(folder / "web") == ["1", "2"] and texts(folder / "user") == ["4", "6"]
    assert texts(folder / "errors") == ["to stderr"] and texts(folder / "requests") == []
    assert sorted(texts(folder / "shell")) == ["to stderr", "to stdout"]


def test_hostile_line_does_not_hang_the_writer(yarder, folder):
    """A pattern that backtracks without end meets its line: bounded, counted, others go on."""
    one = yarder("input = unix:{folder}/in\noutput = all file:{folder}/all\n"
                 "output = slow file:{folder}/slow,match=^(a+)+$\n")
    began = time.monotonic()
    send_syslog(folder, *[b"a" * 5000 + b"!"] * 20, b"aaa")
    wait_until(lambda: len(texts(folder / "all")) == 21, 10, "all lines")
    took = time.monotonic() - began
    status = ledger.wait_settled(one, 21, SETTLE_SECONDS)
    print(f"20 hostile lines: {took:.2f} s, undecided {status['router']['undecided']}")
    assert took < 5 and status["router"]["undecided"] == 20
    assert texts(folder / "slow") == ["aaa"]
