# SPDX-License-Identifier: Apache-2.0
"""Real programs log into the daemon: each of their lines is there once, with its parts read."""
import collections
import json
import logging
import logging.handlers
import re
import signal
import socket
import subprocess

import pytest

from harness import ledger, peers
from harness.daemon import ROOT, program
from harness.wait import free_port, wait_until

REQUESTS = 2000
APPS = ROOT / "tests" / "apps"
SETTLE_SECONDS = 20
REQUEST_LINE = re.compile(rb"^\[pid: \d+\|.* GET (/\w+/\d+) => generated \d+ bytes in \d+ msecs")


def uwsgi(port, *options):
    return [peers.need("uwsgi"), "--plugins", "python3,http,logsocket", "--http",
            f"127.0.0.1:{port}", "--pythonpath", str(APPS), "--module", "web", "--need-app",
            "--master", "--processes", "2", "--threads", "2", "--die-on-term",
            "--log-master-bufsize", "65536", *options]


def lines_of(*paths):
    return [line for path in paths for line in path.read_bytes().splitlines()]


def wait_quiet(daemon):
    """Until what the peers wrote has come through, whatever they wrote: no count grows any more."""
    seen = []

    def quiet():
        status = daemon.status()
        seen.append((sum(one["received"] for one in status["inputs"]), ledger.held(status)))
        return len(seen) > 20 and len(set(seen[-20:])) == 1 and seen[-1][1] == 0

    wait_until(quiet, SETTLE_SECONDS, lambda: f"quiet: {seen[-3:]}")
    ledger.assert_balanced(daemon.status())
    assert ledger.lost(daemon.status()) == 0


def get_in_step(daemon, name, port, paths, step):
    """GETs them, never more at a time than what lies between the peer and the daemon can hold.

    uWSGI drops what its own pipe has no room for, and nginx what a unix socket's queue, ten
    datagrams by default, has no room for: neither is the daemon's to mend. The input `name` gets
    one record for each request.
    """
    def received():
        return ledger.named(daemon.status(), name)["received"]

    came = received()
    for at in range(0, len(paths), step):
        some = paths[at:at + step]
        peers.get(port, some)
        came += len(some)
        wait_until(lambda: received() >= came, SETTLE_SECONDS,
                   lambda: f"{came} records: {daemon.status()['inputs']}")


def assert_each_once(found, wanted):
    counted = collections.Counter(found)
    wrong = {one: counted[one] for one in {*counted, *wanted} if counted[one] != (one in wanted)}
    assert not wrong, f"{len(wrong)} not once: {dict(list(wrong.items())[:5])}"


def requests_in(lines):
    return [match[1].decode() for match in map(REQUEST_LINE.match, lines) if match]


def items(count=REQUESTS, what="item"):
    return [f"/{what}/{number}" for number in range(count)]


@pytest.mark.parametrize("road", ["udp", "unix"])
def test_uwsgi_by_socket(yarder, folder, road):
    """uWSGI's `--logger socket:`: a datagram for each request line, its newline not doubled."""
    port, log_port = free_port(), free_port(socket.SOCK_DGRAM)
    target = f"127.0.0.1:{log_port}" if road == "udp" else f"{folder}/log"
    daemon = yarder(f"input = log {road}:{target}\noutput = all file:{{folder}}/all\n")
    with peers.Server(uwsgi(port, "--logger", f"socket:{target}"), folder, port):
        wait_quiet(daemon)
        get_in_step(daemon, "log", port, items(), step=100)
        wait_quiet(daemon)
        lines = lines_of(folder / "all")
        assert_each_once(requests_in(lines), items())
        assert b"" not in lines


UWSGI_LINES = """\
input      = logs unix:{folder}/logs
input      = requests unix:{folder}/requests,kind=request
logger     = errors file:{folder}/errors
logger     = file:{folder}/rest
req-logger = file:{folder}/access
log-route  = errors ^(ERROR|Traceback)
log-drain  = ^healthy
log-filter = number \\d+
"""


def test_uwsgi_lines_sort_its_own_logs(yarder, folder):
    """logger, req-logger, log-route, log-drain and log-filter, as uWSGI itself would apply them."""
    port = free_port()
    daemon = yarder(UWSGI_LINES)
    each = REQUESTS // 5
    paths = [path for what in ("item", "error", "print", "health", "raise")
             for path in items(each, what)]
    server = uwsgi(port, "--logger", f"socket:{folder}/logs", "--req-logger",
                   f"socket:{folder}/requests")
    with peers.Server(server, folder, port):
        wait_quiet(daemon)
        get_in_step(daemon, "requests", port, paths, step=100)
        wait_quiet(daemon)
        status = daemon.status()
    assert_each_once(requests_in(lines_of(folder / "access")), paths)
    errors = lines_of(folder / "errors")
    assert_each_once([line for line in errors if line.startswith(b"ERROR number")],
                     [b"ERROR number %d" % number for number in range(each)])
    assert_each_once([line for line in errors if line.startswith(b"ERROR failed")],
                     [b"ERROR failed number %d" % number for number in range(each)])
    assert errors.count(b"Traceback (most recent call last):") == each, "it stays in one record"
    assert_each_once([line for line in errors if line.startswith(b"ValueError")],
                     [b"ValueError: number %d" % number for number in range(each)])
    rest = lines_of(folder / "rest")
    assert_each_once(rest, [b"printed number %d" % number for number in range(each)])
    assert status["router"]["filtered"]["drop"] == each
    assert not requests_in(errors + rest)


def test_uwsgi_wrapped_into_a_daemon(yarder, folder):
    """`yarder exec -- uwsgi`: its two streams through the ring of a daemon that runs."""
    port = free_port()
    daemon = yarder("input = ring\noutput = out file:{folder}/out,stream=stdout,tag=web\n"
                    "output = err file:{folder}/err,stream=stderr,tag=web\n")
    wrapped = [*daemon.cli_command("exec", "--tag", "web", "--"), *uwsgi(port)]
    with peers.Server(wrapped, folder, port) as server:
        peers.get(port, [*items(), *items(100, "print"), *items(100, "error")])
        wait_quiet(daemon)
        server.end()
    wait_quiet(daemon)
    err, out = lines_of(folder / "err"), lines_of(folder / "out")
    assert_each_once(requests_in(err + out),
                     [*items(), *items(100, "print"), *items(100, "error")])
    both = err + out
    for text in (b"printed number %d", b"ERROR number %d"):
        assert all((text % number) in both for number in range(100)), text
    shown = server.said().encode()
    assert shown.count(b"\n") == len(both), "what it writes is shown all the same"


def test_uwsgi_wrapped_with_outputs_of_its_own(folder):
    """`yarder exec -c FILE -- uwsgi`: no daemon but this one, which ends with its command."""
    port = free_port()
    (folder / "own.conf").write_text(
        f"logger = errors file:{folder}/errors\nlogger = file:{folder}/all\n"
        "log-route = errors ^ERROR\n")
    wrapped = [str(program()), "exec", "-c", str(folder / "own.conf"), "--run-dir",
               str(folder / "run"), "--state-dir", str(folder / "state"), "--", *uwsgi(port)]
    with peers.Server(wrapped, folder, port) as server:
        peers.get(port, [*items(), *items(100, "error")])
        server.end()
    lines = lines_of(folder / "all")
    assert_each_once(requests_in(lines), [*items(), *items(100, "error")])
    assert_each_once(lines_of(folder / "errors"),
                     [b"ERROR number %d" % number for number in range(100)])


JSON_CONFIG = "output = all file:{folder}/all,format=json\n"


def records(folder, count):
    """`count` records of the JSON output, once they are there."""
    path = folder / "all"
    wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") >= count, SETTLE_SECONDS,
               lambda: f"{count} records: {path.read_text()[-2000:] if path.exists() else None}")
    return [json.loads(line) for line in lines_of(path)]


LOGGER_ROADS = {
    "unix": ("unix:{folder}/log", ["-u", "{folder}/log"]),
    "unix-stream": ("unix:{folder}/log,socket=stream", ["-u", "{folder}/log"]),
    "udp": ("udp:127.0.0.1:{udp}", ["--udp", "-n", "127.0.0.1", "-P", "{udp}"]),
    "tcp": ("tcp:127.0.0.1:{tcp}", ["--tcp", "-n", "127.0.0.1", "-P", "{tcp}"]),
    "tcp-counted": ("tcp:127.0.0.1:{tcp}",
                    ["--tcp", "--octet-count", "-n", "127.0.0.1", "-P", "{tcp}"]),
}
LOGGER_FORMS = {
    "plain": [], "rfc3164": ["--rfc3164"], "rfc5424": ["--rfc5424"],
    "rfc5424-bare": ["--rfc5424=notq,notime,nohost"],
    "structured": ["--rfc5424", "--msgid", "ID47", "--sd-id", "zoo@123", "--sd-param",
                   'tiger="hungry \\"cat\\""'],
}


@pytest.mark.parametrize("road", LOGGER_ROADS)
def test_logger_of_util_linux(yarder, folder, road):
    """Every form that logger(1) has, by every road, several lines each."""
    places = {"folder": folder, "udp": free_port(socket.SOCK_DGRAM), "tcp": free_port()}
    target, arguments = LOGGER_ROADS[road]
    yarder(f"input = log {target.format(**places)},parse=syslog\n" + JSON_CONFIG)
    total = 0
    for form, options in LOGGER_FORMS.items():
        text = "".join(f"{form} line {number} with <odd> words: 1\n" for number in range(20))
        subprocess.run(
            [peers.need("logger"), "-t", "prog", "--id=4711", "-p", "local3.warning", *options,
             *(argument.format(**places) for argument in arguments)],
            input=text, text=True, check=True, timeout=20)
        total += 20
    found = records(folder, total)
    assert len(found) == total
    for record in found:
        assert (record["level"], record["facility"]) == ("warning", "local3"), record
        assert record["tag"] == "prog", record
        assert record["pid"] == 4711, record
    texts = [record["message"] for record in found]
    assert_each_once(texts, [f"{form} line {number} with <odd> words: 1"
                             for form in LOGGER_FORMS for number in range(20)])
    structured = next(record for record in found if record["message"].startswith("structured"))
    assert 'hungry "cat"' in json.dumps(structured["fields"]).replace('\\"', '"'), structured


@pytest.mark.parametrize("kind, options", [
    ("tcp", ["--inet", "--stream"]), ("tcp", ["--inet", "--stream", "--syslog-proto"]),
    ("udp", ["--inet", "--dgram"]), ("unix", ["--unix", "--dgram"]),
    ("unix-stream", ["--unix", "--stream"])],
    ids=["tcp", "tcp counted", "udp", "unix", "unix stream"])
@pytest.mark.parametrize("size, rate, count", [(200, 100_000, 30_000), (8000, 2000, 1000)])
def test_loggen(yarder, folder, kind, options, size, rate, count):
    """syslog-ng's load generator: all that it says it sent has come, at its full size."""
    port = free_port(socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    if kind.startswith("unix"):
        stream = ",socket=stream" if kind.endswith("stream") else ""
        target, address = f"unix:{folder}/log{stream}", [f"{folder}/log"]
    else:
        target, address = f"{kind}:127.0.0.1:{port}", ["127.0.0.1", str(port)]
    rate = min(rate, 20_000) if kind == "udp" else rate
    daemon = yarder(f"input = log {target},parse=syslog\n"
                    "output = all file:{folder}/all,format=${msg}\n")
    said = subprocess.run(
        [peers.need("loggen"), *options, "--size", str(size), "--rate", str(rate), "--number",
         str(count), "--interval", "30", *address],
        capture_output=True, text=True, check=True, timeout=30)
    sent = re.search(r"count=(\d+)", said.stderr + said.stdout)
    assert sent and int(sent[1]) >= count, said
    status = ledger.wait_settled(daemon, int(sent[1]), SETTLE_SECONDS)
    log = ledger.named(status, "log")
    assert log["received"] == int(sent[1]) and log["unparsed"] == 0, log
    lines = lines_of(folder / "all")
    assert len(lines) == int(sent[1])
    assert {len(line) for line in lines} <= set(range(size - 130, size + 1)), "whole ones"


NGINX = """\
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.error;
events {{ worker_connections 256; }}
http {{
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  log_format made '$request "$http_user_agent" $status';
  access_log syslog:server={server},facility=local7,tag=web,severity=notice made;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "ok"; }} }}
}}
"""


@pytest.mark.parametrize("road", ["udp", "unix"])
def test_nginx(yarder, folder, road):
    """Its access log by syslog. By a unix socket it states no host; the tag is read."""
    port, log_port = free_port(), free_port(socket.SOCK_DGRAM)
    target = f"127.0.0.1:{log_port}" if road == "udp" else f"{folder}/log"
    server = target if road == "udp" else f"unix:{target},nohostname"
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, server=server, port=port))
    daemon = yarder(f"host = here\ninput = log {road}:{target},parse=syslog\n" + JSON_CONFIG)
    command = [peers.need("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    count = REQUESTS if road == "udp" else 400
    with peers.Server(command, folder, port):
        get_in_step(daemon, "log", port, items(count), step=500 if road == "udp" else 8)
        wait_quiet(daemon)
    found = [record for record in records(folder, count) if "/item/" in record["message"]]
    assert_each_once([record["message"].split()[1] for record in found], items(count))
    for record in found:
        assert record["tag"] == "web" and record["level"] == "notice", record
        assert record["facility"] == "local7" and record["message"].startswith("GET /item/"), record
        assert record["host"] == ("here" if road == "unix" else socket.gethostname()), record


HAPROXY = """\
global
    log 127.0.0.1:{log_port} format {form} local0 info
defaults
    mode http
    log global
    log-format "%HM %HU %ST"
    timeout client 5s
    timeout server 5s
    timeout connect 5s
frontend front
    bind 127.0.0.1:{port}
    http-request return status 200 content-type text/plain string ok
"""


@pytest.mark.parametrize("form", ["rfc3164", "rfc5424"])
def test_haproxy(yarder, folder, form):
    """Its request lines by UDP; with RFC 5424 it states no host, a `-`."""
    port, log_port = free_port(), free_port(socket.SOCK_DGRAM)
    config = folder / "haproxy.cfg"
    config.write_text(HAPROXY.format(form=form, port=port, log_port=log_port))
    daemon = yarder(f"host = here\ninput = log udp:127.0.0.1:{log_port},parse=syslog\n"
                    + JSON_CONFIG)
    command = [peers.need("haproxy"), "-db", "-f", str(config)]
    with peers.Server(command, folder, port, signal.SIGUSR1):
        peers.get(port, items())
        wait_quiet(daemon)
    found = [record for record in records(folder, REQUESTS) if "/item/" in record["message"]]
    assert_each_once([record["message"].split()[1] for record in found], items())
    for record in found:
        assert (record["tag"], record["level"]) == ("haproxy", "info"), record
        assert record["facility"] == "local0" and record["pid"] > 0, record
        assert re.fullmatch(r"GET /item/\d+ 200", record["message"]), record
        assert record["host"] == {"rfc3164": "localhost", "rfc5424": "here"}[form], record
    assert ledger.named(daemon.status(), "log")["unparsed"] == 0


def python_handler(road, places):
    address = f"{places['folder']}/log" if road.startswith("unix") else (
        "127.0.0.1", places["udp" if road == "udp" else "tcp"])
    kind = socket.SOCK_STREAM if road in ("tcp", "unix-stream") else socket.SOCK_DGRAM
    return logging.handlers.SysLogHandler(
        address, logging.handlers.SysLogHandler.LOG_LOCAL2, socktype=kind)


@pytest.mark.parametrize("road", ["udp", "tcp", "unix", "unix-stream"])
def test_python_syslog_handler(yarder, folder, road):
    """Python ends its records with NUL and states no time; a traceback stays one record."""
    places = {"folder": folder, "udp": free_port(socket.SOCK_DGRAM), "tcp": free_port()}
    target = LOGGER_ROADS[road][0].format(**places)
    yarder(f"input = log {target},parse=syslog\n" + JSON_CONFIG)
    handler = python_handler(road, places)
    handler.ident = "pyapp[4711]: "
    logger = logging.Logger("scene")
    logger.addHandler(handler)
    for number in range(300):
        logger.warning("number %d", number)
    try:
        raise ValueError("planted")
    except ValueError:
        logger.exception("with its traceback")
    handler.close()
    found = records(folder, 301)
    assert_each_once([record["message"] for record in found[:300]],
                     [f"number {number}" for number in range(300)])
    for record in found:
        assert (record["tag"], record["pid"], record["facility"]) == ("pyapp", 4711, "local2")
    assert {record["level"] for record in found[:300]} == {"warning"}
    assert len(found) == 301 and found[300]["level"] == "error"
    assert found[300]["message"].startswith("with its traceback\nTraceback (most recent call last)")
    assert found[300]["message"].endswith("ValueError: planted")
