# SPDX-License-Identifier: Apache-2.0
"""The plugin for uWSGI: ways to run, descriptors that change, what is written, who else looks at
lines, requests, and what it refuses. Over its and others' ends: test_uwsgi_lifetime.py.
"""
import collections
import os
import re
import shutil
import signal
import subprocess

import pytest

from harness import ledger, peers, uwsgi
from harness.wait import wait_until

SECONDS = 20


@pytest.fixture
def daemon(yarder, folder):
    return yarder(uwsgi.config(folder), name="daemon")


THREADS = """
from threading import Thread

def call_threads(count):
    def say(number):
        for line in range(200):
            os.write(1 + line % 2, f"thread {number} {line}\\n".encode())
    threads = [Thread(target=say, args=[number]) for number in range(int(count))]
    for one in threads: one.start()
    for one in threads: one.join()
"""


@pytest.mark.parametrize("options", [
    ["lazy-apps = true"], ["enable-threads = true", "threads = 4"], ["single-interpreter = true"],
    ["log-master-stream = true"], ["threaded-logger = true"],
    ["plugin = ugreen", "async = 4", "ugreen = true"], ["cheaper = 1", "processes = 3"]])
def test_ways_to_run(folder, daemon, options):
    with uwsgi.start(folder, daemon, *options, application=THREADS) as server:
        server.ask("/threads/3")
        wanted = [f"thread {number} {line}" for number in range(3) for line in range(200)]
        uwsgi.wait_for_texts(folder, "thread ", wanted)
        streams = collections.Counter(one.get("stream") for one in uwsgi.records(folder)
                                      if one["message"].startswith("thread "))
        assert streams == {"stdout": 300, "stderr": 300}
        if not {"threads = 4", "async = 4", "cheaper = 1"} & set(options):  # one may take two
            uwsgi.fill(server, folder, "more")


def test_in_the_background(folder, daemon):
    """daemonize2: the log's pipe is made after the plugin was asked for the first time."""
    server = uwsgi.start(folder, daemon, f"daemonize2 = {folder}/terminal")
    subprocess.run(server.command, cwd=server.folder, check=True, timeout=SECONDS,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: peers.answers(server.port), SECONDS, "the server")
    pid = server.ask("/pid")["master"]
    try:
        uwsgi.fill(server, folder, "behind", 2000)
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), SECONDS, "its end")


MULE = """
import os, time
for number in range(100):
    os.write(2, f"mule {number}\\n".encode())
time.sleep(60)
"""


def test_a_mule(folder, daemon):
    """It is no worker, and forked from the master all the same."""
    (folder / "mule.py").write_text(MULE)
    with uwsgi.start(folder, daemon, f"mule = {folder}/mule.py") as server:
        uwsgi.wait_for_texts(folder, "mule ", [f"mule {number}" for number in range(100)])
        mule = {one["pid"] for one in uwsgi.records(folder) if one["message"].startswith("mule ")}
        assert len(mule) == 1 and server.process.pid not in mule


ODD = r"""
import subprocess

def call_pieces():
    for piece in (b"be", b"gun", b" here\n", b"two\nlines\n", b"\n", b"a\0b\n", b"\xff\n",
                  b"x" * 20000 + b"\n", b"y" * 40000 + b"\n", b"la", b"st\nnot "):
        os.write(1, piece)
    os.write(1, b"ended\n")

def call_turned():
    os.write(1, b"turned away 1\n")
    kept = os.dup(1)
    file = os.open("elsewhere", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.write(1, b"turned away 2\n")
    os.dup2(kept, 1)
    os.write(1, b"turned away 3\n")
    os.close(1)
    os.dup2(file, 1)
    os.write(1, b"turned away 4\n")
    os.dup2(kept, 1)

def call_children():
    pid = os.fork()
    if pid == 0:
        os.write(1, b"child by fork %d\n" % os.getpid())
        os._exit(0)
    os.waitpid(pid, 0)
    subprocess.run(["echo", "child by exec"])
    return {"pid": pid}
"""


def test_what_is_written(folder, daemon):
    """As by the pipe, a write that ends its line is a message; one that does not is not lost."""
    with uwsgi.start(folder, daemon, application=ODD, workers=1) as server:
        server.ask("/pieces")
        wait_until(lambda: uwsgi.texts(folder, "not ended"), SECONDS, "the last")
        found = [one["message"] for one in uwsgi.records(folder) if one.get("stream") == "stdout"]
        assert found[:4] == ["begun here", "two\nlines", "", "a\0b"], found[:5]
        assert found[4] in ("\ufffd", "\udcff", "\\xff", "ÿ"), found[4]
        assert found[5:] == ["x" * 20000, "y" * 40000, "last", "not ended"]


def test_descriptors_that_change(folder, daemon):
    with uwsgi.start(folder, daemon, application=ODD, workers=1) as server:
        server.ask("/turned")
        uwsgi.wait_for_texts(folder, "turned away", ["turned away 1", "turned away 3"])
        file = folder / "uwsgi/elsewhere"
        assert file.read_text() == "turned away 2\nturned away 4\n"


def test_children_of_a_worker(folder, daemon):
    """One that was forked goes by a region of its own, one that runs a program by the pipe."""
    with uwsgi.start(folder, daemon, application=ODD, workers=1) as server:
        pid = server.ask("/children")["pid"]
        uwsgi.wait_for_texts(folder, "child by", [f"child by fork {pid}", "child by exec"])
        found = {one["message"]: one for one in uwsgi.records(folder)}
        assert found[f"child by fork {pid}"]["pid"] == pid
        assert found["child by exec"]["pid"] == server.process.pid
        assert "stream" not in found["child by exec"]


def test_a_pipe_that_is_a_stream(folder, daemon):
    """It knows no messages, and what is read of it ends anywhere: lines are put together again."""
    options = ["log-master-stream = true", "yarder-by-pipe = true", "log-master-bufsize = 100"]
    with uwsgi.start(folder, daemon, *options, application=ODD) as server:
        taken, _ = uwsgi.lines_of("piece", server.say("piece", 200, 0.001, 30), 200, 30)
        uwsgi.wait_for_texts(folder, "piece ", taken)


def test_long_messages_by_the_pipe(folder, daemon):
    options = ["yarder-by-pipe = true", "log-master-bufsize = 100000"]
    with uwsgi.start(folder, daemon, *options, application=ODD, workers=1) as server:
        server.ask("/pieces")
        wait_until(lambda: uwsgi.texts(folder, "ended"), SECONDS, "the last")
        found = [one["message"] for one in uwsgi.records(folder)]
        assert "y" * 40000 in found and "two\nlines" in found and "la" in found


@pytest.mark.parametrize("line,watcher", [
    ("log-route = errors bad", "log-route"), ("log-drain = bad", "log-drain"),
    ("log-filter = .", "log-filter"), ("log-encoder = prefix !", "log-encoder"),
    ("alarm = a signal:5\nlog-alarm = a bad", "log-alarm"),
    ("logger = file:{folder}/theirs", "logger"), ("yarder-by-pipe = true", "yarder-by-pipe")])
def test_whoever_looks_at_lines(folder, daemon, line, watcher):
    """They go by the master, who says why, and does with them what it always did."""
    more = [line.replace("{folder}", str(folder))]
    if watcher == "log-route":
        more.append("logger = errors yarder:bad.ones,level=error")
    with uwsgi.start(folder, daemon, *more, application=ODD, workers=1,
                     plugins=["logfile"]) as server:
        server.say("one", 1)
        server.say("bad", 1)
        said = "go by the master's pipe, which loses lines under load: " + watcher
        begin = "!" if watcher == "log-encoder" else ""
        wait_until(lambda: uwsgi.texts(folder, f"{begin}one "), SECONDS, "the line")
        master = {one["message"].removeprefix("!"): one for one in uwsgi.records(folder)}
        assert f"yarder: logs {said}" in master and f"yarder: requests {said}" in master
        assert all(one["pid"] == server.process.pid for one in master.values())
        if watcher == "log-route":
            wait_until(lambda: uwsgi.texts(folder, "bad 1 0"), SECONDS, "the routed line")
            bad = next(one for one in uwsgi.records(folder) if one["message"].startswith("bad 1 0"))
            assert (bad["logger"], bad["level"]) == ("bad.ones", "error")
        if watcher == "logger":
            theirs = folder / "theirs"
            wait_until(lambda: "bad 1 0" in theirs.read_text(), SECONDS, "the other logger's")


def test_requests_alone(folder, daemon):
    """With log-format, whose line is the record's text; what is no request stays uWSGI's."""
    options = ["req-logger = yarder:requests", "logger = file:{folder}/theirs",
               'log-format = %(method) %(uri) "%(uagent)" %(status) %(var.HTTP_X_A) %(trace)']
    options = [one.replace("{folder}", str(folder)) for one in options]
    application = """
def call_trace(value):
    import uwsgi
    uwsgi.set_logvar("trace", value)
    uwsgi.set_logvar("status", "forged")
    for number in range(40):
        uwsgi.set_logvar(f"many{number}", "m" * 100)
"""
    settings = [f"yarder-run-dir = {daemon.run_dir}"]
    with uwsgi.Uwsgi(folder / "uwsgi", [*settings, *options], [uwsgi.plugin(), "logfile"], 2,
                     application) as server:
        server.ask("/trace/t-1", headers={"User-Agent": "agent", "X-A": "x"})
        wait_until(lambda: uwsgi.records(folder), SECONDS, "the request")
        one = uwsgi.records(folder)[0]
        assert one["message"] == 'GET /trace/t-1 "agent" 200 x t-1'
        assert one["kind"] == "request" and one["logger"] == "requests"
        fields = one["fields"]
        assert fields["trace"] == "t-1" and fields["status"] == 200 and fields["cut"] is True
        assert fields["many0"] == "m" * 100 and "many39" not in fields
        server.say("log", 3)
        wait_until(lambda: (folder / "theirs").read_text().count("log ") >= 6, SECONDS, "the logs")
        wait_until(lambda: len(uwsgi.records(folder)) == 3, SECONDS, "three requests")
        assert ledger.lost(daemon.status()) == 0


@pytest.mark.parametrize("argument", ["a,level=loud", "a,b", "x" * 64])
def test_arguments_that_are_none(folder, argument):
    server = uwsgi.Uwsgi(folder / "uwsgi", [f"logger = yarder:{argument}"], [uwsgi.plugin()])
    ended = subprocess.run(server.command, capture_output=True, text=True, timeout=SECONDS,
                           cwd=server.folder, check=False)
    assert ended.returncode == 1
    assert re.search(rf"^yarder: {argument}: expected \[NAME\]\[,level=LEVEL\], NAME of at most 63",
                     ended.stdout + ended.stderr, re.MULTILINE), ended


def test_without_a_colon(folder, daemon):
    """uWSGI leaves the argument of such a logger to chance."""
    settings = [f"yarder-run-dir = {daemon.run_dir}", "logger = yarder"]
    with uwsgi.Uwsgi(folder / "uwsgi", settings, [uwsgi.plugin()], 2) as server:
        uwsgi.fill(server, folder, "plain")
        assert all("logger" not in one for one in uwsgi.records(folder))


def test_where_it_is_installed(folder):
    """Where Debian's uWSGI looks, below the prefix; found there by its name."""
    build = uwsgi.plugin().parent.parent.parent
    there = folder / "there"
    subprocess.run([peers.need("meson"), "install", "-C", build, "--no-rebuild"], check=True,
                   capture_output=True, timeout=SECONDS, env={**os.environ, "DESTDIR": str(there)})
    [plugin] = there.rglob("lib/uwsgi/plugins/yarder_plugin.so")
    listed = subprocess.run(
        [peers.need("uwsgi"), "--plugins-dir", plugin.parent, "--plugins", "yarder",
         "--loggers-list", "--no-server"], capture_output=True, text=True, timeout=SECONDS,
        check=False)
    assert "\nyarder\n" in listed.stdout + listed.stderr, listed


def test_another_uwsgi(folder):
    """Its structures may be others: the plugin is not used there."""
    there = folder / "there"
    there.mkdir()
    built = re.search(r"0x[0-9a-f]+", (uwsgi.plugin().parent / "built.h").read_text())[0]
    copy = there / "yarder_plugin.so"
    shutil.copy(uwsgi.plugin(), copy)
    content = copy.read_bytes()
    number = int(built, 16).to_bytes(8, "little")
    assert content.count(number) == 1
    copy.write_bytes(content.replace(number, bytes(8)))
    server = uwsgi.Uwsgi(folder / "uwsgi", ["logger = yarder:"], [copy])
    ended = subprocess.run(server.command, capture_output=True, text=True, timeout=SECONDS,
                           cwd=server.folder, check=False)
    assert ended.returncode == 1
    assert "yarder: this plugin was built for " in ended.stdout + ended.stderr
