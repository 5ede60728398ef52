# SPDX-License-Identifier: Apache-2.0
"""http: a server that is away, hangs, lies, is busy, sends elsewhere, and refuses one record."""
import json
import logging.handlers
import re
import ssl
import subprocess
import urllib.parse

import pytest

from harness import ledger, load, senders, stores
from harness.audit import Audit
from harness.daemon import program
from harness.stores import Try, try_backend
from harness.web import OK, WebServer
from harness.wait import wait_until

SETTLE_SECONDS = 20
COUNT = 20_000


def url_of(server, path="/in"):
    return f"http://127.0.0.1:{server.port}{path}"


def numbers(server):
    return [int(text) for asked in server.taken
            for text in re.findall(rb"^(\d+) ", asked.body, re.M)]


@pytest.mark.seconds(90)
@pytest.mark.parametrize("queue", ["memory:16M", "disk:256M"])
def test_a_server_goes_and_comes(yarder, folder, queue):
    """All arrive; a request that comes again says by its key that it does."""
    with WebServer() as server:
        one = yarder(f"input = ring\noutput = web http:{url_of(server)},retry=10ms..100ms,"
                     f"queue={queue}\n")
        with load.RingProducer(one, "ring", 50_000) as producer:
            for more in (10_000, 40_000):
                wait_until(lambda: len(server.taken) * 1000 > more or
                           sum(asked.body.count(b"\n") for asked in list(server.taken)) > more,
                           20, "records")
                server.stop()
                errors = one.status()["outputs"][0]["errors"]
                ledger.wait_for(one, lambda s: s["outputs"][0]["errors"] > errors + 2)
                assert "http://127.0.0.1" in one.status()["outputs"][0]["last_error"]["text"]
                server.start()
            wait_until(lambda: one.status()["inputs"][0]["received"] >= 100_000, 20, "records")
            counts = producer.end()
        status = ledger.wait_settled(one, counts["ring"], SETTLE_SECONDS)
        assert status["outputs"][0]["delivered"] == counts["ring"]
        keys, lines, again = set(), [], 0
        for asked in server.taken:
            again += asked.key in keys
            if asked.key not in keys:
                lines += [line["message"].encode() + b"\n" for line in asked.lines()]
            keys.add(asked.key)
        Audit(counts).lines(lines).report().assert_clean()
        print(f"{counts['ring']} records in {len(server.taken)} requests on {server.connections} "
              f"connections, {again} requests twice")
        assert again <= 2 and server.connections < 20


def test_kinds_of_bodies(folder):
    with WebServer() as server:
        assert try_backend("http", url_of(server, "/in?key=s3cret"), COUNT, 100)[0] == COUNT
        assert numbers(server) == list(range(COUNT)) and server.taken[0].path == "/in?key=s3cret"
        assert server.taken[0].headers["Content-Type"] == "application/x-ndjson"
        assert server.taken[0].headers["User-Agent"].startswith("yarder/")
        server.taken.clear()
        assert try_backend("http", url_of(server), 1000, 100, "gzip=yes", "method=PUT",
                           "request-size=1K")[0] == 1000
        assert numbers(server) == list(range(1000)) and server.taken[0].method == "PUT"
        assert len(server.taken) >= 100
        server.taken.clear()
        assert try_backend("http", url_of(server), 3, 100, "body=text", "user=me", "password=pw",
                           "header=X-Site: north", "secret-header=Authorization2: t0ken",
                           "header=Content-Type: text/x-log")[0] == 3
        assert [asked.key.split("-")[1] for asked in server.taken] == ['0"', '1"', '2"']
        headers = server.taken[0].headers
        assert headers["Authorization"] == "Basic bWU6cHc=" and headers["X-Site"] == "north"
        assert headers["Authorization2"] == "t0ken"
        assert headers.get_all("Content-Type") == ["text/x-log"]
        assert try_backend("http", url_of(server), 3, 100, "body=json")[1] == 3  # no objects


def test_a_proxys_password_is_not_shown(folder):
    config = folder / "checked.conf"
    config.write_text("input = ring\n"
                      "output = http:http://127.0.0.1/,proxy=http://me:pw@127.0.0.1:1\n")
    for way in ("--explain", "--json"):
        said = subprocess.run([program(), "check", config, way], capture_output=True, text=True,
                              timeout=60, check=True)
        assert "proxy" in said.stdout and "me:pw" not in said.stdout + said.stderr


def test_a_file_that_is_not_there(folder):
    """Said at once by check, where it was looked for; it may still come before the first try."""
    config = folder / "checked.conf"
    config.write_text("input = ring\noutput = http:https://127.0.0.1/,ca=ca.pem\n")
    said = subprocess.run([program(), "check", config], capture_output=True, text=True,
                          timeout=60, check=True, cwd=folder).stderr
    assert f"{config}:2: warning: ca: {folder}/ca.pem cannot be read: No such file" in said
    (folder / "ca.pem").touch()
    said = subprocess.run([program(), "check", config], capture_output=True, text=True,
                          timeout=60, check=True, cwd=folder).stderr
    assert "warning" not in said


@pytest.mark.sanitize
def test_json_from_the_daemon(yarder, folder):
    with WebServer() as server:
        one = yarder("input = unix:{folder}/in,socket=stream\n"
                     f"output = http:{url_of(server)},body=json,flush=50ms\n")
        with senders.unix_stream(folder / "in") as sender:
            sender.send_audited("unix", 500)
        ledger.wait_settled(one, 500, SETTLE_SECONDS)
        records = [record for asked in server.taken for record in json.loads(asked.body)]
        lines = [record["message"].encode() + b"\n" for record in records]
        Audit({"unix": 500}).lines(lines).report().assert_clean()


def python_form(server, method):
    """What HTTPHandler itself sends, as pairs in their order."""
    logger = logging.Logger("app.views")
    handler = logging.handlers.HTTPHandler(f"127.0.0.1:{server.port}", "/form", method)
    logger.addHandler(handler)
    logger.warning("50%% of %s", "a=b & c")
    return form_of(server.taken.pop())


def form_of(asked):
    text = asked.body.decode() or urllib.parse.urlsplit(asked.path).query
    return urllib.parse.parse_qsl(text, keep_blank_values=True, strict_parsing=True)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_form_of_httphandler(folder, method):
    """The same names in the same order as Python's own; its receivers find what they look for."""
    with WebServer() as server:
        theirs = python_form(server, method)
        assert try_backend("http", url_of(server, "/form"), 1, 100, "body=form",
                           f"method={method}")[0] == 1
        assert server.taken[0].method == method
        ours = form_of(server.taken[0])
        assert [name for name, _ in ours] == [name for name, _ in theirs]
        assert dict(ours)["levelname"] == "INFO" and dict(ours)["msg"].startswith("0 xxx")
        for name in ("created", "msecs", "levelno", "lineno", "thread", "process"):
            assert float(dict(ours)[name]) >= 0 and "." in dict(ours)[name] or name not in (
                "created", "msecs")


def refuse_seven(asked):
    return (400, {}, b"no \x1b[1m sevens") if re.search(rb"^7 ", asked.body, re.M) else OK


def test_one_bad_record_takes_no_other_with_it(folder):
    with WebServer(refuse_seven) as server:
        delivered, refused, said = try_backend("http", url_of(server), 300, 20)
        assert (delivered, refused) == (299, 1)
        assert "the server answers 400: no ?[1m sevens" in said
        assert numbers(server) == [number for number in range(300) if number != 7]
        server.taken.clear()
        server.answer = lambda asked: (413, {}, b"") if len(asked.body) > 1000 else OK
        assert try_backend("http", url_of(server), 300, 20)[:2] == (300, 0)
        assert numbers(server) == list(range(300))
        server.answer = lambda asked: (415, {}, b"not such")
        delivered, refused, said = try_backend("http", url_of(server), 300, 20)
        assert (delivered, refused) == (0, 300) and "415: not such" in said


def test_trouble_that_passes(folder):
    """Statuses, garbage, an end without a word, half an answer: all is sent again."""
    answers = [(503, {}, b""), (429, {"Retry-After": "1"}, b""), (408, {}, b""),
               (302, {"Location": "http://127.0.0.1:1/else\tw"}, b""), (401, {}, b"no such token"),
               (403, {}, b""), (404, {}, b""), (405, {}, b""), (407, {}, b""),
               b"garbage\r\n\r\n", b"",
               b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", b"HTTP/1.1 2", (425, {}, b"")]
    words = ["answers 503", "answers 429, and to wait", "answers 408",
             "answers 302, to go to http://127.0.0.1:1/else", "answers 401: no such token",
             "answers 403", "answers 404", "answers 405", "answers 407", "HTTP/0.9", "Empty reply",
             "transfer closed", ":", "answers 425"]
    with WebServer(lambda asked: answers.pop(0) if answers else OK) as server:
        delivered, refused, said = try_backend("http", url_of(server, "/?key=s3cret"), 100, 20)
        assert (delivered, refused) == (100, 0) and numbers(server) == list(range(100))
        said = said.splitlines()
        assert len(said) == len(words), said
        assert all(word in line for word, line in zip(words, said)), said
        assert "s3cret" not in "".join(said)


def test_a_server_that_repeats_our_secrets(folder):
    """What it says goes to status and to dead letters."""
    with WebServer(lambda asked: (415, {}, b"no s3cret, no t0ken of you")) as server:
        words = ("user=me", "password=s3cret", "secret-header=X-Key: t0ken")
        assert "415: no ******, no ***** of you" in try_backend(
            "http", url_of(server), 1, 20, *words)[2]
        server.answer = lambda asked: (401, {}, b"not t0ken")
        assert "answers 401: not *****" in Try("http", url_of(server), 1, 20, *words).says()


def test_an_endless_answer_ends(folder):
    with WebServer(lambda asked: (200, {}, b"x" * (4 << 20))) as server:
        assert try_backend("http", url_of(server), 10, 20)[:2] == (10, 0)


def test_hung(folder):
    with WebServer(lambda asked: None) as server:
        said = Try("http", url_of(server), 10, 20, try_ms=300).says()
        assert "no answer in time" in said


def test_tls(folder):
    stores.certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    with WebServer(context=context) as server:
        ca = f"ca={folder}/cert.pem"
        url = f"https://127.0.0.1:{server.port}/in"
        assert try_backend("http", url, COUNT, 100, ca)[0] == COUNT
        assert numbers(server) == list(range(COUNT)) and server.taken[0].path == "/in"
        assert try_backend("http", url, 1, 100, ca, "servername=localhost")[0] == 1
        assert server.taken[-1].headers["Host"] == f"127.0.0.1:{server.port}"
        assert try_backend("http", url, 1, 100, ca, "servername=other", "verify=chain")[0] == 1
        assert try_backend("http", url, 1, 100, "verify=none")[0] == 1
        for options, word in (([], "certificate"), ([ca, "servername=other"], "other"),
                              ([f"ca={folder}/nothing"], "nothing"),
                              ([ca, f"cert={folder}/nothing"], "certificate")):
            said = Try("http", url, 1, 100, *options).says()
            assert word in said and "refused" not in said, said


@pytest.mark.parametrize("output, word", [
    ("http:ftp://x", "expected a URL"), ("http:http://me:pw@x/", "user= and password= as options"),
    ("http:http://x/,header=no colon", "header=NAME: VALUE"),
    ("http:http://x/,header=Authorization: Bearer pw", "expected secret-header=file:PATH"),
    ("http:http://x/,header=X-Site: a,header=x-api-KEY:pw", "expected secret-header=file:PATH"),
    ("http:http://x/,header=proxy-authorization: pw", "expected secret-header=file:PATH"),
    ("http:http://x/,header=COOKIE: pw", "expected secret-header=file:PATH"),
    ("http:http://x/#a", "expected a URL"),
    ("http:http://x/,password=pw", "user= beside"), ("http:http://x/,method=GET", "body=form"),
    ("http:", "expected a URL")])
def test_wrong_configurations(output, word):
    result = subprocess.run([program(), "check", "--input", "stdin", "--output", output],
                            capture_output=True, text=True, timeout=20, check=False)
    assert result.returncode == 2 and word in result.stderr, result
    assert "pw" not in result.stderr.replace("password", "").replace(output, ""), result
