# SPDX-License-Identifier: Apache-2.0
"""Each of uWSGI's loggers, what it sends, and the input of ours that takes it.

Several workers log numbered lines, slowly and then as fast as they can. What uWSGI's master is too
slow for, the application is told (EAGAIN), and counts: all other lines stand in our file once.
"""
import collections
import contextlib
import json
import os
import socket
import subprocess

import pytest

from harness import ledger, peers, stores, uwsgi
from harness.daemon import program
from harness.wait import free_port, wait_until

WORKERS = 4
SLOW, BURST = 40, 2000
PACE_SECONDS = 0.005
SECONDS = 20

# In a mount namespace of its own, a /dev whose log is the scene's.
OWN_DEV = """mount -t tmpfs none "$0" &&
cp -a /dev/null /dev/zero /dev/random /dev/urandom "$0" && ln -s "$1" "$0/log" &&
mount --bind "$0" /dev && shift && exec "$@"
"""


class Row:
    """A logger: uWSGI's line, our input, and what is known of its records beside their text.

    redis: the port of a server between the two.
    """

    def __init__(self, plugin, logger, receives=None, record=None, prefix="", lines=(), wrapper=(),
                 redis=None):
        self.plugin, self.logger, self.receives = plugin, logger, receives
        self.record, self.prefix = record or {}, prefix
        self.lines, self.wrapper, self.redis = list(lines), list(wrapper), redis


def rows(folder):
    """By name. Datagrams of rsyslog go by UDP: on a unix socket it drops what does not fit."""
    udp, tcp, log = free_port(socket.SOCK_DGRAM), free_port(), folder / "log"
    yarder = f"{program()} run {folder}/daemon/yarder.conf --run-dir {folder}/daemon/run " \
             f"--state-dir {folder}/daemon/state"
    cipher = "algo=aes-128-cbc,secret=ciaociao"
    ours = {"logger": "web.app", "level": "notice", "tag": "shop"}
    direct = {**ours, "stream": "stderr"}
    run_dir, tag = f"yarder-run-dir = {folder}/daemon/run", "yarder-tag = shop"
    return {
        "socket": Row("logsocket", f"socket:{folder}/in", f"unix:{folder}/in"),
        "socket-udp": Row("logsocket", f"socket:127.0.0.1:{udp},web:", f"udp:127.0.0.1:{udp}",
                          prefix="web:"),
        "rsyslog": Row("rsyslog", f"rsyslog:127.0.0.1:{udp},web12,134",
                       f"udp:127.0.0.1:{udp},parse=syslog",
                       {"tag": "web12", "facility": "local0", "level": "info"}),
        "rsyslog-host": Row("rsyslog", f"rsyslog:127.0.0.1:{udp},far web,133",
                            f"udp:127.0.0.1:{udp},parse=syslog",
                            {"tag": "web", "host": "far", "level": "notice"}),
        "syslog": Row("syslog", "syslog:shop,local6", f"unix:{log},parse=syslog",
                      {"tag": "shop", "facility": "local6", "level": "info"},
                      wrapper=["unshare", "-m", "sh", "-c", OWN_DEV, f"{folder}/dev", str(log)]),
        "zeromq": Row("logzmq", f"zeromq:tcp://127.0.0.1:{tcp}", f"zeromq:tcp://127.0.0.1:{tcp}"),
        "redis-list": Row("redislog", f"redislog:127.0.0.1:{tcp},rpush lines,web:",
                          f"redis:127.0.0.1:{tcp},list=lines", {"tag": "lines"}, prefix="web:",
                          redis=tcp),
        "redis-channel": Row("redislog", f"redislog:127.0.0.1:{tcp},publish lines",
                             f"redis:127.0.0.1:{tcp},channel=lines", redis=tcp),
        "crypto": Row("logcrypto", f"crypto:addr=127.0.0.1:{udp},{cipher},prefix=web",
                      f"crypto:127.0.0.1:{udp},{cipher}", prefix="web "),
        "gelf": Row("graylog2", f"graylog2:127.0.0.1:{udp},far", f"gelf:127.0.0.1:{udp}",
                    {"host": "far", "level": "notice"}),
        "file": Row("logfile", f"file:{folder}/theirs"),
        "pipe": Row("logpipe", f"pipe:exec {yarder}", "stdin"),
        "plugin": Row(uwsgi.PLUGIN, "yarder:web.app,level=notice", "ring", direct,
                      lines=[run_dir, tag]),
        "plugin-by-pipe": Row(uwsgi.PLUGIN, "yarder:web.app,level=notice", "ring", ours,
                              lines=[run_dir, tag, "yarder-by-pipe = true"]),
    }


def read_texts(path, row, name):
    """Of the lines with this name: what they say, once their fields are found right."""
    texts = []
    for line in path.read_text().splitlines() if path.exists() else ():
        if row.receives is None:
            text, record = line, {}
        else:
            record = json.loads(line)
            text = record["message"]
        text = text.removesuffix("\n")
        if text.startswith(row.prefix + name):
            assert {key: record.get(key) for key in row.record} == row.record, record
            texts.append(text.removeprefix(row.prefix))
    return texts


class Meeting:
    """A uWSGI and a daemon: lines said, and what of them came."""

    def __init__(self, server, path, row, daemon):
        self.server, self.path, self.row, self.daemon = server, path, row, daemon

    def lost_on_the_way(self):
        """By the kernel, at our socket; a datagram that is not lost tells of those before."""
        return ledger.lost(self.daemon.status()) if self.daemon else 0

    def say(self, name, count, pace):
        said = self.server.say(name, count, pace)
        taken, refused = uwsgi.lines_of(name, said, count)
        self.server.say(f"behind-{name}", 5, PACE_SECONDS)
        texts = []

        def all_there():
            texts[:] = read_texts(self.path, self.row, f"{name} ")
            return len(texts) + self.lost_on_the_way() >= len(taken)

        wait_until(all_there, SECONDS, lambda: f"{len(texts)} of {len(taken)}, "
                   f"{self.lost_on_the_way()} lost by the kernel: {self.server.said()[-2000:]}")
        found = [text.rstrip() for text in texts]
        sent = collections.Counter(line.rstrip() for line in taken)
        twice_or_strange = collections.Counter(found) - sent
        assert not twice_or_strange, list(twice_or_strange)[:5]
        missing = sent - collections.Counter(found)
        assert sum(missing.values()) <= self.lost_on_the_way(), list(missing)[:5]
        print(f"{name}: {len(taken)} taken, {refused} refused by uWSGI's pipe, "
              f"{sum(missing.values())} lost by the kernel")
        return refused


def need_input(kind):
    """Skips the scene where this build has no such input."""
    listed = subprocess.run([program(), "inputs"], capture_output=True, text=True, check=True)
    if not any(line.startswith(kind) for line in listed.stdout.splitlines()):
        pytest.skip(f"this build has no input {kind}")


def listen_to(port):
    """Returns once the channel has its listener."""
    client = stores.redis_client(port)
    wait_until(lambda: client.pubsub_numsub("lines")[0][1] == 1, SECONDS, "a subscription")


@pytest.mark.parametrize("name", sorted(rows(uwsgi.PLUGIN.parent)))
def test_every_line_once(yarder, folder, name):
    row = rows(folder)[name]
    if name.startswith("plugin"):
        uwsgi.plugin()
    if row.wrapper:
        if os.geteuid() != 0:
            pytest.skip("a /dev of its own takes root")
        (folder / "dev").mkdir()
    path = folder / ("theirs" if row.receives is None else "ours")
    config = f"input = {row.receives}\noutput = file:{path},format=json\n"
    daemon = None
    with contextlib.ExitStack() as there:
        if row.redis is not None:
            (folder / "redis").mkdir()
            there.enter_context(stores.redis(folder / "redis", port=row.redis))
        if row.receives == "stdin":
            (folder / "daemon").mkdir()
            (folder / "daemon/yarder.conf").write_text(config)
        elif row.receives is not None:
            need_input(row.receives.partition(":")[0])
            daemon = yarder(config, name="daemon")
        if name == "redis-channel":
            listen_to(row.redis)
        server = there.enter_context(uwsgi.Uwsgi(
            folder / "uwsgi", [*row.lines, f"logger = {row.logger}"], [row.plugin], WORKERS,
            wrapper=row.wrapper))
        meeting = Meeting(server, path, row, daemon)
        meeting.say("slow", SLOW, PACE_SECONDS)
        refused = meeting.say("burst", BURST, 0)
        assert refused == 0 or name != "plugin"


def test_requests_have_fields(yarder, folder):
    """Typed, with a line that is uWSGI's to the byte; a client's words forge nothing."""
    path = folder / "ours"
    daemon = yarder(f"input = ring\noutput = file:{path},format=json,kind=request\n"
                    f"output = server-errors file:{folder}/500,kind=request,field.status=500\n"
                    f"output = logs file:{folder}/logs,kind=log\n", name="daemon")
    lines = [f"yarder-run-dir = {daemon.run_dir}", "logger = yarder:app",
             "req-logger = yarder:web.requests"]
    forged = 'x" 200\\n[pid: 1|app: 0|req: 1/1] 6.6.6.6 () {1 vars} GET /forged => "'
    with uwsgi.Uwsgi(folder / "uwsgi", lines, [uwsgi.plugin()], 2) as server:
        server.ask("/status/200?a=1", headers={"User-Agent": forged, "Referer": "http://here/"})
        server.ask("/status/500", 500)
        server.ask("/status/404", 404, {"User-Agent": "u" * 1500})
        wait_until(lambda: path.exists() and path.read_text().count("\n") == 3, SECONDS, "three")
        records = sorted(map(json.loads, path.read_text().splitlines()),
                         key=lambda one: one["fields"]["status"])
        first, third, second = records
        assert first["logger"] == "web.requests" and first["kind"] == "request"
        fields = first["fields"]
        wanted = {"method": "GET", "uri": "/status/200?a=1", "proto": "HTTP/1.1", "status": 200,
                  "addr": "127.0.0.1", "host": f"127.0.0.1:{server.port}", "uagent": forged,
                  "referer": "http://here/", "rsize": 2, "headers": 1, "core": 0, "switches": 1}
        assert {key: fields[key] for key in wanted} == wanted
        assert fields["size"] == fields["rsize"] + fields["hsize"]
        assert fields["wid"] in (1, 2) and fields["micros"] // 1000 == fields["msecs"]
        assert "cut" not in fields and "user" not in fields
        assert (f"GET /status/200?a=1 => generated 2 bytes in {fields['msecs']} msecs "
                f"(HTTP/1.1 200) 1 headers in {fields['hsize']} bytes") in first["message"]
        assert second["fields"]["status"] == 500
        assert third["fields"]["cut"] is True and len(third["fields"]["uagent"]) == 768
        wait_until(lambda: "/status/500" in (folder / "500").read_text(), SECONDS, "the 500")
        assert (folder / "500").read_text().count("\n") == 1
    assert "GET /" not in (folder / "logs").read_text()


def test_a_burst_beside_uwsgis_own(yarder, folder):
    """20 000 lines from each of four workers: none is lost; uWSGI's pipe and file lose some."""
    count, padding = 20000, 60
    daemon = yarder(f"input = ring\noutput = file:{folder}/ours\n", name="daemon")
    ways = {
        "ours": ([uwsgi.plugin()], [f"yarder-run-dir = {daemon.run_dir}", "logger = yarder:"]),
        "theirs": (["logfile"], [f"logger = file:{folder}/theirs"]),
    }
    refused = {}
    for name, (plugins, lines) in ways.items():
        with uwsgi.Uwsgi(folder / name[0], lines, plugins, WORKERS) as server:
            said = server.say(name, count, padding=padding)
            taken, refused[name] = uwsgi.lines_of(name, said, count, padding)
            path = folder / name
            wait_until(lambda: path.read_text().count(f"{name} ") >= len(taken), SECONDS, "all")
            found = [line for line in path.read_text().splitlines() if line.startswith(name)]
            assert collections.Counter(found) == collections.Counter(taken)
            print(f"{name}: {len(taken)} lines, {refused[name]} refused, "
                  f"{max(one['seconds'] for one in said.values()):.2f} s")
    assert refused["ours"] == 0
    assert ledger.lost(daemon.status()) == 0
    peers.need("uwsgi")
