# SPDX-License-Identifier: Apache-2.0
"""uWSGI's configuration here: its documentation's, pasted command lines, YAML, translate."""
import json
import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from harness import ledger, peers, receivers, senders, stores
from harness.daemon import Yarder, program
from harness.wait import free_port, wait_until

SECONDS = 20
# As it stands there.
DOCUMENTED = r"""logger = mylogger1 syslog
logger = theredisone redislog:127.0.0.1:6269
logger = theredistwo redislog:127.0.0.1:6270
logger = file:/tmp/foobar
logger = internalservererror file:/tmp/errors
log-route = internalservererror (HTTP/1.\d 500)
log-route = mylogger1 uWSGI listen queue of socket .* full
"""
FULL = b'*** uWSGI listen queue of socket "127.0.0.1:3031" (fd: 3) full !!! (101/100) ***\n'
APP = """def application(environ, start_response):
    print("seen", environ["PATH_INFO"])
    bad = environ["PATH_INFO"] == "/bad"
    start_response("500 Internal Server Error" if bad else "200 OK", [])
    return [b"x"]
"""
# A /dev of its own, and what is written to /tmp lies elsewhere: the paths are the documentation's.
OWN_PLACES = """mount -t tmpfs none "$0" &&
cp -a /dev/null /dev/zero /dev/random /dev/urandom "$0" && ln -s "$1" "$0/log" &&
mount --bind "$0" /dev &&
mount -t overlay none -o "lowerdir=/tmp,upperdir=$2/tmp,workdir=$2/work" /tmp &&
shift 2 && exec "$@"
"""


@pytest.fixture
def elsewhere():
    """A scene's folder that is not below /tmp."""
    path = Path(tempfile.mkdtemp(prefix="yarder-", dir="/var/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def run_application(folder, lines, paths, have_come):
    """uWSGI with an application that is asked for these paths; what it has in its pipe at its end
    is lost, so it ends when all of them have come."""
    port = free_port()
    (folder / "app.py").write_text(APP)
    (folder / "app.ini").write_text(
        f"[uwsgi]\nplugins = python3,logsocket\nmaster = true\nhttp-socket = 127.0.0.1:{port}\n"
        f"wsgi-file = {folder}/app.py\ndie-on-term = true\n{lines}")
    with peers.Server([peers.need("uwsgi"), "--ini", str(folder / "app.ini")], folder, port):
        for path in paths:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}").close()
            except urllib.error.HTTPError as error:
                assert path == "/bad" and error.code == 500
        wait_until(have_come, SECONDS, "the requests' lines")


@pytest.mark.skipif(os.geteuid() != 0, reason="a /dev and a /tmp of its own take root")
@pytest.mark.parametrize("apart", [False, True])
def test_the_documented_configuration(elsewhere, apart):
    for name in ("dev", "tmp", "work", "one", "two"):
        (elsewhere / name).mkdir()
    own = ["unshare", "-m", "sh", "-c", OWN_PLACES, f"{elsewhere}/dev", f"{elsewhere}/log",
           str(elsewhere)]
    lines, theirs = DOCUMENTED, f"logger = socket:{elsewhere}/in\n"
    if apart:
        lines += ("req-logger = file:/tmp/requests\n"
                  r"log-req-route = internalservererror (HTTP/1.\d 500)" "\n")
        theirs += f"req-logger = socket:{elsewhere}/req\n"
    for port in (6269, 6270):
        if peers.answers(port):
            pytest.skip(f"somebody has port {port}")
    config = ("input = logs unix:{folder}/in\ninput = requests unix:{folder}/req,kind=request\n"
              f"[uwsgi]\nmaster = true\n{lines}")
    with stores.redis(elsewhere / "one", port=6269), stores.redis(elsewhere / "two", port=6270), \
            receivers.unix_datagram(elsewhere / "log") as syslog, \
            Yarder(elsewhere, config, wrapper=own) as daemon:
        def have_come():
            places = [elsewhere / "tmp" / name for name in ("requests", "foobar", "errors")]
            said = b"".join(place.read_bytes() for place in places if place.exists())
            return said.count(b"GET /good") == 2 and said.count(b"GET /bad") == 1

        run_application(elsewhere, theirs, ["/good", "/bad", "/good"], have_come)
        with senders.unix_datagram(elsewhere / "in") as sender:
            sender.send(FULL)
        syslog.wait_for_lines(1, SECONDS)
        wait_until(lambda: ledger.held(daemon.status()) == 0, SECONDS, daemon.status)
        status = daemon.status()
        assert ledger.named(status, "theredisone")["copies"] == 0  # no route names it
    errors = (elsewhere / "tmp" / "errors").read_bytes().splitlines()
    rest = (elsewhere / "tmp" / "foobar").read_bytes()
    assert len(errors) == 1 and b"GET /bad" in errors[0] and b"(HTTP/1.1 500)" in errors[0]
    assert [FULL.strip() in one for one in syslog.datagrams] == [True]
    assert FULL.strip() not in rest and b"/bad =>" not in rest and b"seen /bad" in rest
    requests = (elsewhere / "tmp" / "requests").read_bytes() if apart else rest
    assert requests.count(b"GET /good") == 2
    assert b"spawned uWSGI worker" in rest and (b"GET /good" in rest) != apart


LINES = ["logger = errors file:{to}/errors", "logger = file:{to}/rest", "log-route = errors ^ERROR",
         "log-drain = ^healthy", "log-encoder = prefix:errors E", "log-format = %%(uri)",
         "harakiri = 30"]
TEXTS = [b"ERROR one\n", b"healthy\n", b"two \xe9\n", b"not an ERROR\n"]
MADE = {"errors": b"EERROR one\n", "rest": b"two \xe9\nnot an ERROR\n"}


def give(daemon, folder, texts, to):
    with senders.unix_datagram(folder / "in") as sender:
        for text in texts:
            sender.send(text)
    ledger.wait_settled(daemon, len(texts), SECONDS)
    return {path.name: path.read_bytes() for path in to.iterdir()}


def as_yaml(lines):
    text = "uwsgi:\n"
    for key in dict.fromkeys(line.split(" = ")[0] for line in lines):
        values = [line.split(" = ", 1)[1] for line in lines if line.startswith(f"{key} = ")]
        text += f"  {key}:\n" + "".join(f"    - '{value}'\n" for value in values)
    return text


def as_json(lines):
    made = {}
    for line in lines:
        key, value = line.split(" = ", 1)
        made.setdefault(key, []).append(value)
    return json.dumps({"uwsgi": made}, indent=1)


@pytest.mark.parametrize("form", ["ini", "section", "yaml", "json", "line", "translated"])
def test_every_form_does_the_same(yarder, folder, form):
    to = folder / "to"
    to.mkdir()
    lines = [line.format(to=to) for line in LINES]
    config, arguments = "input = unix:{folder}/in\n", []
    if form == "ini":
        config += "[uwsgi]\n" + "\n".join(lines) + "\n"
    elif form == "section":
        (folder / "app.ini").write_text("[uwsgi]\nlogto = /nonexistent/x\n[web]\n"
                                        + "\n".join(lines) + "\n")
        arguments = [f"--ini={folder}/app.ini:web"]
    elif form in ("yaml", "json"):
        (folder / f"app.{form}").write_text((as_yaml if form == "yaml" else as_json)(lines))
        arguments = [f"--{form}", f"{folder}/app.{form}"]
    elif form == "line":
        for line in lines:
            key, value = line.split(" = ", 1)
            arguments += [f"--{key}", value.replace("%%", "%")]
        arguments += ["-s", ":3031", "-w", "app", "--master", "-Mp4", "-L", "--plugin", "python3"]
    else:
        (folder / "app.ini").write_text("[uwsgi]\n" + "\n".join(lines) + "\n")
        made = call("translate", str(folder / "app.ini"))
        assert made.returncode == 0
        config += made.stdout
    daemon = yarder(config, arguments=arguments)
    assert give(daemon, folder, TEXTS, to) == MADE
    if form == "line":
        assert daemon.stderr().count("left to uWSGI") == 1
        assert "socket, module, master, master, processes, plugin" in daemon.stderr()


def call(*words):
    return subprocess.run([str(program()), *words], capture_output=True, text=True, timeout=SECONDS,
                          check=False)


def test_a_mistake_is_none_of_uwsgis(folder):
    made = call("check", "--logger", "file:/x", "--outptu", "file:/y")
    assert made.returncode == 2 and "did you mean --output?" in made.stderr
    made = call("check", "-s", ":3031")
    assert made.returncode == 2 and "unknown option" in made.stderr


def test_split_migrates(yarder, folder):
    """Both files work together, nothing is written over, and the difference is a patch."""
    to, new = folder / "to", folder / "new"
    to.mkdir()
    new.mkdir()
    port = free_port()
    original = (f"[uwsgi]\nplugins = python3,logfile\nmaster = true\n"
                f"http-socket = 127.0.0.1:{port}\nwsgi-file = {folder}/app.py\n"
                f"die-on-term = true\nlogger = file:{to}/logs\n"
                f"req-logger = file:{to}/requests\nlog-format = %%(method) %%(uri)\n"
                f"log-drain = (?s)^(?!seen)\n")
    (folder / "app.py").write_text(APP)
    (folder / "app.ini").write_text(original)
    words = ["translate", "--split", "--to", str(new), str(folder / "app.ini")]
    environment = {**os.environ, "YARDER_RUN_DIR": str(folder / "run")}
    (folder / "run").mkdir()
    made = subprocess.run([str(program()), *words], capture_output=True, text=True, check=False,
                          env=environment, timeout=SECONDS)
    assert made.returncode == 0, made.stderr
    again = subprocess.run([str(program()), *words], capture_output=True, text=True, check=False,
                           env=environment, timeout=SECONDS)
    assert again.returncode == 1 and "File exists" in again.stderr
    assert (folder / "app.ini").read_text() == original
    patched = folder / "patched.ini"
    subprocess.run(["patch", "-s", "-o", str(patched), str(folder / "app.ini")],
                   input=made.stdout.split("--- /dev/null")[0], text=True, check=True)
    assert patched.read_text() == (new / "app.ini").read_text()
    assert "logger = file:" not in patched.read_text() and "log-format" in patched.read_text()
    daemon = yarder((new / "yarder.conf").read_text())
    with peers.Server([peers.need("uwsgi"), "--ini", str(new / "app.ini")], folder, port):
        for path in ("/one", "/two"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}").close()
        wait_until(lambda: (to / "requests").exists() and
                   (to / "requests").read_bytes().count(b"\n") == 2, SECONDS, daemon.stderr)
    assert (to / "requests").read_bytes() == b"GET /one\nGET /two\n"
    wait_until(lambda: (to / "logs").read_bytes() == b"seen /one\nseen /two\n", SECONDS,
               lambda: (to / "logs").read_bytes())


def test_what_is_asked_for_and_not_there(folder):
    """A section by its name, yarder's own keys in uWSGI's section, a plugin's lines."""
    ini = folder / "app.ini"
    ini.write_text("[uwsgi]\nlogger = yarder:web\ninput = unix:/x\nkeep = 3\n")
    said = call("check", f"{ini}:wbe")
    assert said.returncode == 2
    assert f"{ini}:wbe: there is no section [wbe] in it" in said.stderr
    said = call("check", str(ini)).stderr
    assert f"{ini}:3: warning: input is yarder's own, and does nothing in uWSGI's section" in said
    assert f"{ini}:4: warning: keep is yarder's own" in said
    said = call("translate", "--split", str(ini))
    assert said.returncode == 2 and f"{ini}:2: its logs come by the plugin already" in said.stderr
    assert list(folder.iterdir()) == [ini]


def test_alarms_that_uwsgi_raises_are_left_to_it(folder):
    """No log-alarm names them, so nothing here would; with one it has to be said."""
    ini = folder / "app.ini"
    ini.write_text("[uwsgi]\nlogger = file:/x\nalarm = boss mule:0\nalarm-backlog = boss\n")
    said = call("check", str(ini))
    assert said.returncode == 0 and f"{ini}:3: note: alarm: no log-alarm raises it" in said.stderr
    with open(ini, "a") as more:
        more.write("log-alarm = other,boss out of memory\n")
    said = call("check", str(ini))
    assert said.returncode == 2 and f"{ini}:3: alarm: there is no mule here" in said.stderr
