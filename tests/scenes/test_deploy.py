# SPDX-License-Identifier: Apache-2.0
"""docs/deploy.md is true: its blocks are run here as they stand there, only folders are moved. The
programs run as another user than the daemon where the tests run as root."""
import grp
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import ledger, peers
from harness.daemon import ROOT, program
from harness.wait import free_port, wait_until

SECONDS = 20
NOBODY = 65534
PAGE = (ROOT / "docs/deploy.md").read_text()
BLOCKS = dict(re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.M | re.S))
CONSOLE = "\n".join(re.findall(r"^```console\n(.*?)^```", PAGE, re.M | re.S))


@pytest.fixture(name="place")
def deployed(yarder, folder):
    """The daemon of the page, and a function that moves a text's folders to where it is."""
    port = free_port()

    def here(text):
        group = grp.getgrgid(os.getegid()).gr_name
        for a, b in (("/run/yarder", f"{folder}/run"), ("/var/log/yarder", str(folder)),
                     (":5140", f":{port}"), ("= yarder\n", f"= {group}\n")):
            text = text.replace(a, b)
        return text

    (folder / "run").mkdir()
    folder.chmod(0o755)
    (folder / "run").chmod(0o755)
    here.daemon = yarder(here(BLOCKS["ini"]))
    return here


def others(command):
    """As nobody, where it may be asked for and nobody can reach the program."""
    reachable = all(part.stat().st_mode & 1 for part in Path(program()).resolve().parents)
    if os.geteuid() == 0 and reachable and shutil.which("setpriv"):
        return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command]
    return command


def run_as_other(command):
    environment = {"PATH": f"{program().parent.resolve()}:{os.environ['PATH']}"}
    result = subprocess.run(others(command), cwd="/", env=environment, capture_output=True,
                            text=True, timeout=SECONDS, check=False)
    assert result.returncode == 0, result
    return result


def wait_lines(path, *wanted):
    wait_until(lambda: path.exists() and set(wanted) <= set(path.read_text().splitlines()), SECONDS,
               lambda: f"{wanted} in {path.read_text()[-2000:] if path.exists() else None}")


def test_the_packaged_configuration_is_of_this_kind():
    """What `make install` brings has the same modes, so that the page holds for it."""
    packaged = (ROOT / "packaging/yarder.conf").read_text().replace(" ", "")
    for line in ("input=ring,mode=0666", "input=unix:/run/yarder/log.sock,mode=0666"):
        assert line in packaged and line in BLOCKS["ini"].replace(" ", "")


def test_programs_of_other_users(place, folder):
    shown = run_as_other(["bash", "-ec", place(BLOCKS["sh"])])
    assert (shown.stdout, shown.stderr) == ("out\n", "err\n")
    wait_lines(folder / "all.log", "done", "out", "err")


def test_python(place, folder):
    run_as_other(["/usr/bin/python3", "-c", place(BLOCKS["python"])])
    wait_lines(folder / "all.log", "a card was refused")


NGINX = """\
daemon off; master_process off; pid {folder}/nginx.pid;
events {{ worker_connections 64; }}
http {{
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  {block}
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "ok"; }} }}
}}
"""


def test_nginx(place, folder):
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port, block=place(BLOCKS["nginx"])))
    command = [peers.need("nginx"), "-p", str(folder), "-c", str(config), "-e", "stderr"]
    with peers.Server(command, folder, port):
        peers.get(port, ["/item/7"])
        wait_until(lambda: "/item/7" in (folder / "all.log").read_text(), SECONDS, "its line")
        web = (folder / "web.log").read_text()
    assert re.search(r"^\d{4}-\d\d-\d\d [\d:]{8} info 127\.0\.0\.1 .*GET /item/7", web, re.M), web


def test_uwsgi(place, folder):
    port = free_port()
    (folder / "app.ini").write_text(
        place(BLOCKS["uwsgi"]) + f"plugins = python3,http\nhttp = 127.0.0.1:{port}\nmodule = web\n"
        f"pythonpath = {ROOT}/tests/apps\nmaster = true\nneed-app = true\ndie-on-term = true\n")
    with peers.Server([peers.need("uwsgi"), "--ini", str(folder / "app.ini")], folder, port):
        peers.get(port, ["/item/7", "/print/8"])
        wait_until(lambda: ledger.named(place.daemon.status(), "app")["received"] > 2, SECONDS,
                   "lines")
        wait_until(lambda: "/print/8 => generated" in (folder / "all.log").read_text(), SECONDS,
                   "the request")
    assert "printed number 8" in (folder / "all.log").read_text().splitlines()


def test_container(place, folder):
    """What stands behind the image's name, in pid, mount and ipc namespaces of its own."""
    line = next(line for line in CONSOLE.splitlines() if "docker run" in line)
    named, command = re.search(r"-e (\S+) IMAGE (.*)$", place(line)).groups()
    inside = ["unshare", "--pid", "--mount", "--ipc", "--fork", "env", named, "sh", "-c", command]
    if subprocess.run(["unshare", "--pid", "--mount", "--ipc", "--fork", "true"], check=False,
                      capture_output=True).returncode != 0:
        pytest.skip("no namespaces here")
    environment = {"PATH": f"{program().parent.resolve()}:{os.environ['PATH']}"}
    subprocess.run(inside, env=environment, check=True, timeout=SECONDS)
    wait_lines(folder / "all.log", "from inside")


def test_a_restart_is_bridged_by_rings(place, folder):
    """A program that lives on hands its rings to the next daemon: not one record is missing."""
    count = 6000
    sender = subprocess.Popen(
        place.daemon.cli_command("send", "--sequence", "a", "--count", str(count), "--rate", "3000",
                                 "--size", "100", "--quiet"), stderr=subprocess.PIPE, text=True)
    wait_until(lambda: ledger.named(place.daemon.status(), "ring")["received"] > 300, SECONDS,
               "records")
    place.daemon.stop()
    place.daemon.start()
    assert sender.wait(SECONDS) == 0, sender.stderr.read()
    sender.stderr.close()
    log = folder / "all.log"
    wait_until(lambda: log.read_bytes().count(b"\n") >= count, SECONDS, "the last record")
    numbers = [int(line.split()[1]) for line in log.read_text().splitlines()]
    assert numbers == list(range(count))
