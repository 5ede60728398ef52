# SPDX-License-Identifier: Apache-2.0
"""The same option lines and messages through uWSGI and through yarder: the same bytes in the same
places, but where a row of docs/uwsgi.md names the case. A difference without a row fails, and so
does a row without a difference.
"""
import re
import socket
import subprocess
import sys
import urllib.request
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
import zmq

from harness import ledger, peers, senders, stores
from harness.daemon import ROOT, Yarder
from harness.wait import free_port, wait_until

SECONDS = 10
LAST = b"MARK, the last of all\n"
PLUGINS = ("logfile,logsocket,rsyslog,redislog,logzmq,graylog2,logpipe,msgpack")
# What uWSGI says itself is none of these tests' business; and both tell when all was routed.
COMMON = ("log-drain = (?s)^(?!.*MARK)\nlogger = zzlast file:{f}/last\n"
          "log-route = zzlast ^MARK, the last of all\n")
HELLO = [b"MARK hello\n", b"MARK ERROR one\n", b"MARK a b\n"]
# name: lines, messages, requests
CASES = {
    "file": ("logger = file:{f}/a", HELLO),
    "file-logfile": ("logger = file:logfile={f}/a", HELLO),
    "two-unnamed": ("logger = file:{f}/a\nlogger = file:{f}/b", HELLO),
    "nothing-unnamed": ("logger = n file:{f}/a\nlogto = {f}/b", HELLO),
    "nothing-at-all": ("log-master = true", HELLO),
    "route-takes-it-away": ("logger = n file:{f}/a\nlogger = file:{f}/b\nlog-route = n ERROR",
                            HELLO),
    "two-routes": ("logger = n file:{f}/a\nlogger = m file:{f}/b\nlog-route = n ERROR\n"
                   "log-route = m one\nlogger = file:{f}/c", HELLO),
    "two-routes-to-one": ("logger = n file:{f}/a\nlog-route = n ERROR\nlog-route = n one\n"
                          "logger = file:{f}/c", HELLO),
    "one-name-twice": ("logger = n file:{f}/a\nlogger = n file:{f}/b\nlog-route = n ERROR\n"
                       "logger = file:{f}/c", HELLO),
    "route-to-nobody": ("logger = file:{f}/a\nlog-route = nobody ERROR", HELLO),
    "drain": ("logger = file:{f}/a\nlog-drain = ERROR", HELLO),
    "filter": ("logger = file:{f}/a\nlog-filter = ERROR\nlog-filter = a b|of all", HELLO),
    "drain-and-filter": ("logger = file:{f}/a\nlog-filter = MARK\nlog-drain = a b", HELLO),
    "drain-before-route": ("logger = n file:{f}/a\nlog-route = n ERROR\nlog-drain = one\n"
                           "logger = file:{f}/b", HELLO),
    "filter-before-route": ("logger = n file:{f}/a\nlog-route = n ERROR\nlog-filter = a b\n"
                            "log-filter = of all\nlogger = file:{f}/b", HELLO),
    "end-of-line": ("logger = n file:{f}/a\nlog-route = n one$\nlogger = file:{f}/b", HELLO),
    "newline-in-pattern": (r"logger = n file:{f}/a" "\n" r"log-route = n one\s$" "\n"
                           "logger = file:{f}/b", HELLO),
    "bytes": ("logger = n file:{f}/a\nlog-route = n \\xe9\nlogger = file:{f}/b",
              [b"MARK caf\xe9\n", b"MARK \x01\x1b[0m \x80\xff\n", b"MARK \t\"\\\n"]),
    "carriage-return": ("logger = file:{f}/a", [b"MARK one\r\n"]),
    "accepted": ("log-master = true\nthreaded-logger = true\nlog-master-bufsize = 65536\n"
                 "log-reopen = true\nlog-date = %%Y\nlogger = file:{f}/a", HELLO),
    "logto": ("logto = {f}/a", HELLO),
    "logto2": ("logto = {f}/a\nlogto2 = {f}/b", HELLO),
    "logto-udp": ("logto = 127.0.0.1:{udp}", HELLO),
    "stdio": ("logto = {f}/a\nlogger = stdio:\nlogger = file:{f}/b", HELLO),
    "truncate": ("logto = {f}/old\nlog-truncate = true", HELLO),
    "append": ("logger = file:{f}/old", HELLO),
    "no-newline": ("logger = file:{f}/a", [b"MARK one", b"MARK two\n"]),
    "newline-inside": ("logger = file:{f}/a", [b"MARK one\nMARK two\n"]),
    "long": ("logger = file:{f}/a", [b"MARK " + b"x" * 9000 + b"\n"]),
    "prefix": ("logger = file:{f}/a\nlog-encoder = prefix [A]", HELLO),
    "suffix-nl": ("logger = file:{f}/a\nlog-encoder = suffix  S\nlog-encoder = nl", HELLO),
    "encoder-of-one": ("logger = n file:{f}/a\nlogger = file:{f}/b\nlog-route = n ERROR\n"
                       "log-encoder = prefix:n N\nlog-encoder = prefix all", HELLO),
    "encoder-of-last-resort": ("logto = {f}/a\nlog-encoder = prefix all", HELLO),
    "format": ("logger = file:{f}/a\nlog-encoder = format <${{msg}}|${{msgnl}}|$x|${{nope}}>",
               HELLO),
    "json": ('logger = file:{f}/a\nlog-encoder = json {{"m":"${{msg}}"}}\nlog-encoder = nl',
             [b"MARK \"q\" \\ \t\n"]),
    "json-control": ('logger = file:{f}/a\nlog-encoder = json {{"m":"${{msg}}"}}\n'
                     'log-encoder = nl', [b"MARK \x01 \xff\n"]),
    "gzip": ("logger = file:{f}/a\nlog-encoder = gzip", HELLO),
    "compress": ("logger = file:{f}/a\nlog-encoder = compress", HELLO),
    "msgpack": ("logger = file:{f}/a\nlog-encoder = msgpack map:2|str:message|msg|str:i|int:17",
                HELLO),
    "socket-udp": ("logger = socket:127.0.0.1:{udp},PFX ", HELLO),
    "socket-unix": ("logger = socket:{f}/peer", HELLO),
    "log-socket": ("log-socket = {f}/peer", HELLO),
    "rsyslog-tag": ("logger = rsyslog:127.0.0.1:{udp},my tag,134", HELLO),
    "rsyslog": ("logger = rsyslog:127.0.0.1:{udp}", HELLO),
    "rsyslog-long": ("logger = rsyslog:127.0.0.1:{udp}", [b"MARK " + b"x" * 2000 + b"\n"]),
    "redislog": ("logger = redislog:127.0.0.1:{redis},rpush {key},pre ", HELLO),
    "zeromq": ("log-zeromq = tcp://127.0.0.1:{zmq}", HELLO),
    "graylog2": ("logger = graylog2:127.0.0.1:{udp},box", [b"MARK \"q\"\n"]),
    "pipe": ("logger = pipe:cat >>{f}/a", HELLO),
    "alarm": ("alarm = a cmd:cat >>{f}/alarmed\nlog-alarm = a ERROR\nlogger = file:{f}/a", HELLO),
    "alarm-before-drain": ("alarm = a cmd:cat >>{f}/alarmed\nlog-alarm = a ERROR\n"
                           "log-drain = ERROR\nlogger = file:{f}/a", HELLO),
    "not-log-alarm": ("alarm = a cmd:cat >>{f}/alarmed\nnot-log-alarm = a one\n"
                      "log-alarm = a MARK \\w+\nlogger = file:{f}/a", HELLO[1:2]),
    "placeholders": ("for = a b\nlogger = %(_) file:%d%(_)-%%\nlog-route = %(_) %(what)\nendfor =\n"
                     "what = ERROR\nif-exists = /nonexistent\nlog-drain = .\nendif =\n"
                     "logger = file:$(HOME_OF_TESTS)%(what)", HELLO),
    "requests": ("logger = file:{f}/a\nreq-logger = file:{f}/b", HELLO, ["/MARK"]),
    "requests-unparted": ("logger = file:{f}/a\nlogger = n file:{f}/b\nlog-route = n GET", HELLO,
                          ["/MARK"]),
    "requests-are-not-drained": ("logger = file:{f}/a\nreq-logger = file:{f}/b\nlog-drain = GET\n"
                                 "log-filter = ERROR|of all", HELLO, ["/MARK"]),
    "request-route": ("logger = n file:{f}/a\nlogger = file:{f}/c\nreq-logger = file:{f}/b\n"
                      "log-req-route = n one", HELLO, ["/MARK-one", "/MARK-two"]),
    "request-route-to-req-logger": ("req-logger = n file:{f}/a\nreq-logger = file:{f}/b\n"
                                    "logger = file:{f}/c\nlog-req-route = n one", HELLO,
                                    ["/MARK-one", "/MARK-two"]),
    "request-encoder": ("logger = file:{f}/a\nreq-logger = file:{f}/b\nlog-encoder = prefix L\n"
                        "log-req-encoder = prefix R", HELLO, ["/MARK"]),
    "request-encoder-unparted": ("logger = file:{f}/a\nlog-req-encoder = prefix R", HELLO,
                                 ["/MARK"]),
}


class Places:
    """Where a case's messages may go, and what came there."""

    def __init__(self, folder, store):
        self.folder = folder
        folder.mkdir(parents=True)
        (folder / "old").write_bytes(b"of old\n")
        self.sockets = {"udp": socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
                        "peer": socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)}
        self.sockets["udp"].bind(("127.0.0.1", 0))
        self.sockets["peer"].bind(str(folder / "peer"))
        self.pull = zmq.Context.instance().socket(zmq.PULL)
        self.zmq_port = self.pull.bind_to_random_port("tcp://127.0.0.1")
        self.store = store
        self.key = folder.parent.name + folder.name
        self.messages = []

    def lines(self, text):
        return (COMMON + text + "\n").format(
            f=self.folder, udp=self.sockets["udp"].getsockname()[1], zmq=self.zmq_port,
            redis=self.store.port, key=self.key)

    def gather(self):
        """All that came, by place; what differs from run to run is taken out."""
        for name, one in self.sockets.items():
            one.setblocking(False)
            try:
                while True:
                    self.messages.append((name, one.recv(65536)))
            except BlockingIOError:
                pass
        while self.pull.poll(0):
            self.messages.append(("zmq", self.pull.recv()))
        came = {"list": redis.Redis(port=self.store.port).lrange(self.key, 0, -1)}
        for name, one in self.messages:
            came.setdefault(name, []).append(plain(one))
        for path in self.folder.iterdir():
            if path.is_file() and path.name not in NOT_PLACES:
                came[path.name] = path.read_bytes()
        came["stdout"] = [line for line in (self.folder / "stdout").read_bytes().splitlines()
                          if b"MARK" in line and b"last of all" not in line]
        return {name: what for name, what in came.items() if what}

    def close(self):
        for one in self.sockets.values():
            one.close()
        self.pull.close(linger=0)


NOT_PLACES = ("stdout", "stderr", "app.ini", "app.py", "emit.py", "yarder.conf", "last")


def plain(message):
    """Without the time of syslog and of GELF, which is unpacked."""
    if message[:1] == b"\x78":
        message = re.sub(rb'"timestamp": ?[0-9.]+', b'"timestamp": 0', zlib.decompress(message))
    return re.sub(rb"^(<\d+>)\w{3} [ \d]\d \d\d:\d\d:\d\d ", rb"\1TIME ", message)


def uwsgi_makes(places, text, messages, requests):
    folder = places.folder
    port = free_port()
    (folder / "emit.py").write_text(
        "import os, pathlib, signal\n"
        f"for text in {messages!r}:\n    os.write(1, text)\n"
        f"for _ in iter(lambda: pathlib.Path({str(folder / 'asked')!r}).exists(), True):\n"
        "    signal.sigtimedwait([], 0.01)\n"
        f"os.write(1, {LAST!r})\nsignal.pause()\n")
    python = ""
    if requests:
        (folder / "app.py").write_text("def application(environ, start_response):\n"
                                       "    start_response('200 OK', [])\n    return [b'']\n")
        python = f"plugin = python3\nwsgi-file = {folder}/app.py\n"
    (folder / "app.ini").write_text(
        f"[uwsgi]\nplugins = {PLUGINS}\n{python}master = true\nhttp-socket = 127.0.0.1:{port}\n"
        f"die-on-term = true\nlog-format = %%(method) %%(uri)\n"
        f"attach-daemon = {sys.executable} {folder}/emit.py\n" + places.lines(text))
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as trouble:
        process = subprocess.Popen([peers.need("uwsgi"), "--ini", str(folder / "app.ini")],
                                   stdout=out, stderr=trouble, stdin=subprocess.DEVNULL,
                                   env={"PATH": "/usr/bin:/bin",
                                        "HOME_OF_TESTS": f"{folder}/"})
        try:
            if requests:
                wait_until(lambda: peers.answers(port), SECONDS, "uWSGI's port")
            for path in requests:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}").close()
            (folder / "asked").touch()
            wait_until(lambda: (folder / "last").exists() and
                       (folder / "last").stat().st_size > 0, SECONDS,
                       lambda: (folder / "stderr").read_text(errors="replace"))
            if requests or "alarm" in text or "pipe" in text:
                settled(places)
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    (folder / "asked").unlink()


def settled(places):
    """What takes another way than the last message (requests, commands) has come to its end."""
    seen = [None, 0]

    def still():
        now = {path.name: path.stat().st_size for path in places.folder.iterdir()}
        seen[1] = seen[1] + 1 if now == seen[0] else 0
        seen[0] = now
        return seen[1] >= 5
    wait_until(still, SECONDS, "its files are written")


def yarder_makes(places, text, messages, requests):
    folder = places.folder
    (folder / "stdout").touch()
    with (folder / "stdout").open("ab") as out:
        config = ("input = logs unix:{folder}/in\ninput = requests unix:{folder}/req,kind=request\n"
                  f"[uwsgi]\n{places.lines(text)}")
        with Yarder(folder, config, stdout=out.fileno(),
                    environment={"HOME_OF_TESTS": f"{folder}/"}) as daemon:
            with senders.unix_datagram(folder / "in") as logs, \
                    senders.unix_datagram(folder / "req") as asked:
                for path in requests:
                    asked.send(b"GET %s\n" % path.encode())
                for message in messages:
                    logs.send(message)
                logs.send(LAST)
            ledger.wait_settled(daemon, len(messages) + 1 + len(requests), SECONDS)
            if "alarm" in text or "pipe" in text:
                settled(places)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with stores.redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def theirs(tmp_path_factory, store):
    """What uWSGI makes of all cases, several at a time."""
    root = tmp_path_factory.mktemp("t")

    def one(number, name):
        places = Places(root / str(number), store)
        text, messages, *requests = CASES[name]
        uwsgi_makes(places, text, messages, requests[0] if requests else [])
        came = places.gather()
        places.close()
        return came
    with ThreadPoolExecutor(6) as pool:
        made = [pool.submit(one, number, name) for number, name in enumerate(CASES)]
        return dict(zip(CASES, made))


def told():
    """The cases that rows of the documentation name as different."""
    text = (ROOT / "docs" / "uwsgi.md").read_text()
    table = text.split("## What differs")[1].split("\n## ")[0]
    rows = [row for row in table.splitlines() if row.startswith("| `")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def test_the_rows_are_of_cases():
    rows = told()
    assert sorted(set(rows)) == sorted(rows), "a case in two rows"
    assert set(rows) <= set(CASES)
    assert len(CASES) >= 40


def test_every_option_has_a_row():
    keys = (ROOT / "engine" / "control" / "config_keys.c").read_text()
    names = re.findall(r'(?:LINE|FLAG)\(\s*"([^"]+)"', keys[keys.index('LINE("logger"'):])
    table = (ROOT / "docs" / "uwsgi.md").read_text().split("## Its options")[1].split("\n## ")[0]
    rows = [name for row in table.splitlines() if row.startswith("| `")
            for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert len(names) > 50 and not set(names) - set(rows)
    assert sorted(set(rows)) == sorted(rows), "an option in two rows"


@pytest.mark.parametrize("name", CASES)
def test_same(name, theirs, store, folder):
    text, messages, *requests = CASES[name]
    places = Places(folder / "o", store)
    yarder_makes(places, text, messages, requests[0] if requests else [])
    ours, uwsgis = places.gather(), theirs[name].result()
    places.close()
    assert ours or name in told()
    if requests:  # which came first, a request or what the application wrote, nobody says
        ours, uwsgis = ({place: sorted(what.splitlines()) if isinstance(what, bytes) else what
                         for place, what in came.items()} for came in (ours, uwsgis))
    if name in told():
        assert ours != uwsgis, "docs/uwsgi.md has a row for it, and nothing differs"
    else:
        assert ours == uwsgis
