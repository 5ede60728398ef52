# SPDX-License-Identifier: Apache-2.0
"""Debian's uWSGI with an application that logs numbered lines, and says which uWSGI did not take.

A write to its log's pipe fails with EAGAIN when its master is behind: the application counts that,
as nothing else does.
"""
import collections
import http.client
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import peers
from harness.daemon import program
from harness.wait import free_port, wait_until

PLUGINS = "/usr/lib/uwsgi/plugins"
PLUGIN = program().parent / "clients/uwsgi/yarder_plugin.so"
END_SECONDS = 30
SECONDS = 20

# say: waits until all workers are at it, then writes its lines: `pace` seconds between two.
APPLICATION = '''
import json, os, time

def take_part(name, workers):
    os.makedirs(name, exist_ok=True)
    open(f"{name}/{os.getpid()}", "w").close()
    deadline = time.monotonic() + 20
    while len(os.listdir(name)) < workers and time.monotonic() < deadline:
        time.sleep(0.002)

def say(name, workers, count, pace, padding):
    take_part(name, int(workers))
    import uwsgi
    wid, refused = uwsgi.worker_id(), []
    began = time.monotonic()
    for number in range(int(count)):
        line = f"{name} {wid} {number} {'.' * int(padding)}\\n".encode()
        try:
            os.write(2, line)
        except BlockingIOError:
            refused.append(number)
        if float(pace):
            time.sleep(float(pace))
    return {"wid": wid, "refused": refused, "seconds": time.monotonic() - began}

def application(environ, start_response):
    verb, *words = environ["PATH_INFO"][1:].split("/")
    status, body = "200 OK", globals()["call_" + verb](*words)
    if isinstance(body, str):
        status, body = body, {}
    body = json.dumps(body).encode()
    start_response(status, [("Content-Length", str(len(body)))])
    return [body]

call_say = say
def call_pid():
    return {"pid": os.getpid(), "master": os.getppid()}
def call_status(code):
    return code + " As You Wish"
'''


def need(*names):
    """Skips the scene where one of uWSGI's own plugins is not there."""
    peers.need("uwsgi")
    for name in names:
        if not os.path.exists(f"{PLUGINS}/{name}_plugin.so"):
            pytest.skip(f"uWSGI's plugin {name} is not installed")


def plugin():
    """The path of ours; skips the scene where it was not built."""
    need("python3")
    if not PLUGIN.exists():
        pytest.skip("the plugin for uWSGI was not built: no uwsgi-dev")
    return PLUGIN


class Uwsgi(peers.Server):
    """A uWSGI on lines of its ini; what it says without a logger is in said(). Killed at the
    end: its own takes it a second and more.
    """

    def __init__(self, folder, lines, plugins=(), workers=4, application="",
                 wrapper=()):
        self.workers = workers
        folder.mkdir(exist_ok=True)
        need("python3", *[one for one in plugins if not os.path.isabs(one)])
        port = free_port()
        (folder / "app.py").write_text(APPLICATION + application)
        ini = folder / "app.ini"
        ini.write_text("\n".join([
            "[uwsgi]", f"plugins = {','.join(map(str, ['python3', *plugins]))}", "master = true",
            f"http-socket = 127.0.0.1:{port}", f"processes = {workers}", f"chdir = {folder}",
            "module = app", "die-on-term = true", "listen = 64", *lines, ""]))
        super().__init__([*wrapper, peers.need("uwsgi"), "--ini", str(ini)], folder, port,
                         signal.SIGKILL, (-signal.SIGKILL,))

    def ask(self, path, status=200, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=END_SECONDS)
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert answer.status == status, (path, answer.status, self.said())
        return json.loads(body)

    def say(self, name, count, pace=0.0, padding=0):
        """All workers log `count` lines at a time; what each says of it, by its id."""
        path = f"/say/{name}/{self.workers}/{count}/{pace}/{padding}"
        with ThreadPoolExecutor(self.workers) as pool:
            answers = list(pool.map(lambda _: self.ask(path), range(self.workers)))
        said = {one["wid"]: one for one in answers}
        assert len(said) == self.workers, "two requests met one worker"
        return said


def lines_of(name, said, count, padding=0):
    """The lines that uWSGI took, and how many it refused."""
    refused = {(wid, number) for wid, one in said.items() for number in one["refused"]}
    taken = [f"{name} {wid} {number} {'.' * padding}" for wid in said for number in range(count)
             if (wid, number) not in refused]
    return taken, len(refused)


def config(folder):
    """Of a daemon behind our plugin; what follows looks at folder/ours."""
    return f"input = ring\noutput = file:{folder}/ours,format=json\n"


def settings(daemon, *more):
    """uWSGI's lines for our plugin."""
    return [f"yarder-run-dir = {daemon.run_dir}", "logger = yarder:", *more]


def records(folder):
    path = folder / "ours"
    content = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in content[:content.rfind("\n") + 1].splitlines()]


def texts(folder, begin=""):
    return [one["message"].rstrip() for one in records(folder) if one["message"].startswith(begin)]


def wait_for_texts(folder, begin, wanted, elsewhere=lambda: []):
    wanted = collections.Counter(line.rstrip() for line in wanted)
    found = []

    def all_there():
        found[:] = texts(folder, begin) + elsewhere()
        return len(found) >= sum(wanted.values())

    wait_until(all_there, SECONDS, lambda: f"{len(found)} of {sum(wanted.values())}")
    assert collections.Counter(found) == wanted


def fill(server, folder, name, count=500):
    """All of the lines said now come, by the ring."""
    taken, refused = lines_of(name, server.say(name, count), count)
    assert refused == 0
    wait_for_texts(folder, f"{name} ", taken)


def start(folder, daemon, *more, application="", workers=2, plugins=(), wrapper=()):
    return Uwsgi(folder / "uwsgi", settings(daemon, *more), [plugin(), *plugins], workers,
                 application, wrapper)
