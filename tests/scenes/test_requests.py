# SPDX-License-Identifier: Apache-2.0
"""Requests are told from errors, by their lines, and their values select where they go."""
import json
import socket

from harness import ledger

SECONDS = 20
TIME = "[Sat Nov 21 00:59:12 2026]"
TAIL = "1 headers in 45 bytes (1 switches on core 0)"


def request(number, status, msecs, proto="HTTP/1.1", uri=None):
    uri = uri or f"/page/{number}?a=b"
    return (f"[pid: 7|app: 0|req: {number}/{number}] 10.0.0.1 () {{26 vars in 344 bytes}} {TIME} "
            f"GET {uri} => generated 15 bytes in {msecs} msecs ({proto} {status}) {TAIL}")


CONFIG = """\
input = app unix:{folder}/app.sock,requests=uwsgi
input = log unix:{folder}/log.sock,parse=syslog,requests=uwsgi
[input apache]
type = unix
to = {folder}/apache.sock
requests = format:%(addr) - %(user) [%(ltime)] "%(method) %(uri) %(proto)" %(status) "%(uagent)"
[yarder]
output = file:{folder}/all.json,format=json
output = file:{folder}/5xx,kind=request,field.status=5..
output = file:{folder}/requests,kind=request,format=${field.status} ${field.uri} ${field.uagent}
output = file:{folder}/slow,field.msecs=40..,field.status=200..299
output = file:{folder}/rest,kind=log
"""


def send(path, *lines):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        for line in lines:
            peer.sendto(line.encode("latin1"), str(path))


def lines(path):
    return path.read_text("latin1").splitlines()


def test_requests_and_errors_apart(yarder, folder):
    daemon = yarder(CONFIG)
    good = [request(i, 200, i) for i in range(50)]
    bad = [request(50 + i, 500 + i, i) for i in range(4)]
    errors = ["Traceback (most recent call last):", "spawned uWSGI worker 1 (pid: 7, cores: 1)",
              "about (HTTP/1.1 500) somewhere"]
    send(folder / "app.sock", *[line + "\n" for line in good + bad + errors])
    send(folder / "log.sock", f"<30>Nov 21 01:00:00 uwsgi[1]: {request(99, 503, 1)}",
         "<30>Nov 21 01:00:00 uwsgi[1]: no request")
    apache = '10.0.0.2 - joe [21/Nov/2026:00:59:12 +0000] "GET /{} HTTP/1.1" 502 "{}"'
    send(folder / "apache.sock", apache.format("x", "curl \x1b[31m\n10.0.0.9 - forged"),
         "no request either")
    ledger.wait_settled(daemon, len(good + bad + errors) + 4, SECONDS)
    assert len(lines(folder / "5xx")) == 6
    assert set(bad) < set(lines(folder / "5xx"))
    assert sorted(lines(folder / "rest")) == sorted(errors + ["no request", "no request either"])
    assert lines(folder / "slow") == good[40:]
    requests = lines(folder / "requests")
    assert len(requests) == len(good + bad) + 2, "nobody forges one"
    assert "502 /x curl \\x1b[31m\\n10.0.0.9 - forged" in requests
    assert "503 /page/99?a=b -" in requests
    records = [json.loads(line) for line in lines(folder / "all.json")]
    one = next(record for record in records if record.get("fields", {}).get("req") == 53)
    assert (one["kind"], one["pid"], one["message"]) == ("request", 7, bad[3])
    assert one["time"].startswith("2026-11-")
    assert one["fields"] == {
        "pid": 7, "app": 0, "req": 53, "reqs": 53, "addr": "10.0.0.1", "vars": 26, "pktsize": 344,
        "method": "GET", "uri": "/page/53?a=b", "rsize": 15, "msecs": 3, "proto": "HTTP/1.1",
        "status": 503, "headers": 1, "hsize": 45, "switches": 1, "core": 0}


def test_what_can_be_read_in_two_ways_is_told(yarder, folder):
    """A protocol of a client's own, as uWSGI takes any, looks like the end of another line."""
    daemon = yarder(CONFIG)
    forged = request(1, 200, 1, uri="/forged").split("] 10.0.0.1", 1)[1]
    forged = forged.split("HTTP/1.1")[0] + "HTTP/1.1"
    send(folder / "app.sock", request(7, 404, 5, proto="x" + forged))
    ledger.wait_settled(daemon, 1, SECONDS)
    (record,) = [json.loads(line) for line in lines(folder / "all.json")]
    assert record["fields"]["status"] == 404 and "uri" not in record["fields"], record
    assert daemon.status()["inputs"][0]["unparsed"] == 1


UWSGI = """\
input = app unix:{folder}/app.sock
[uwsgi]
logger = mylogger1 file:{folder}/mylogger1
logger = internalservererror file:{folder}/errors
logger = file:{folder}/foobar
req-logger = file:{folder}/requests
log-req-route = internalservererror (HTTP/1.\\d 500)
log-route = mylogger1 uWSGI listen queue of socket .* full
{more}
"""


def test_a_request_logger_gets_the_requests(yarder, folder):
    daemon = yarder(UWSGI.format(folder="{folder}", more=""))
    queue = '*** uWSGI listen queue of socket "x" (fd: 3) full !!! (101/100) ***'
    send(folder / "app.sock", request(1, 200, 1), request(2, 500, 1), queue, "hello (HTTP/1.1 500)")
    ledger.wait_settled(daemon, 4, SECONDS)
    assert lines(folder / "requests") == [request(1, 200, 1)]
    assert lines(folder / "errors") == [request(2, 500, 1)]
    assert lines(folder / "mylogger1") == [queue]
    assert lines(folder / "foobar") == ["hello (HTTP/1.1 500)"]


def test_a_log_format_says_what_a_request_is(yarder, folder):
    daemon = yarder(UWSGI.format(
        folder="{folder}", more='log-format = %(method) "%(uri)" %(status) %(msecs)ms %%'))
    send(folder / "app.sock", 'GET "/a" 200 17ms %', request(1, 200, 1))  # %% is a % there
    ledger.wait_settled(daemon, 2, SECONDS)
    assert lines(folder / "requests") == ['GET "/a" 200 17ms %']
    assert lines(folder / "foobar") == [request(1, 200, 1)]


def test_explain_says_what_a_line_is(yarder, folder):
    daemon = yarder(CONFIG)
    config = str(daemon.config)
    said = daemon.cli("explain", request(1, 500, 1), "-c", config, "--input", "app").stdout
    assert "from app: request" in said and "status=500" in said and "uri=/page/1?a=b" in said
    explained = daemon.cli("check", "--explain", "-c", config).stdout
    assert "requests=uwsgi" in explained
    assert "field status matching '5..'" in explained
    assert "field msecs from 40" in explained and "status from 200 to 299" in explained
