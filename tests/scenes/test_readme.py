# SPDX-License-Identifier: Apache-2.0
"""The README is true: its blocks are run here, in order, as they stand there. Only folders are
moved, and what a block cannot do inside a test (run the tests) is asked of make instead."""
import os
import re
import signal
import subprocess

import pytest

from harness import ledger, peers
from harness.daemon import ROOT, program
from harness.wait import free_port, wait_until

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.M | re.S)


def blocks(language):
    return [text for found, text in BLOCKS if found == language]


def sandbox(tmp_path):
    """Environment with the built yarder first on the PATH and every folder inside tmp_path."""
    return {**os.environ, "PATH": f"{program().parent}:{os.environ['PATH']}",
            "YARDER_RUN_DIR": str(tmp_path / "run"), "STATE_DIRECTORY": str(tmp_path / "state"),
            "XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)}


def shell(text, tmp_path, environment, seconds=50):
    text = text.replace("/tmp/yard", str(tmp_path / "yard"))
    return subprocess.run(["bash", "-mec", text], cwd=ROOT, env=environment, text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, timeout=seconds)


def test_make_targets_exist():
    for target in re.findall(r"^make (\w+)", "\n".join(blocks("sh")), re.M):
        result = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, timeout=60)
        assert result.returncode == 0, target


def test_make_run_takes_and_gives(tmp_path):
    environment = sandbox(tmp_path)
    said = tmp_path / "said"
    with open(said, "w") as output:
        make = subprocess.Popen(["make", "run"], cwd=ROOT, env=environment, stdout=output,
                                stderr=output, start_new_session=True)
    try:
        wait_until(lambda: "try      yarder send" in said.read_text(), 300, "make run's banner")
        send = subprocess.run(["yarder", "send", "hello"], env=environment, timeout=20)
        assert send.returncode == 0
        log = tmp_path / "state" / "yarder.log"
        wait_until(lambda: log.exists() and "hello" in log.read_text(), 20, "hello in the file")
    finally:
        os.killpg(make.pid, signal.SIGTERM)
        make.wait(60)


def test_five_minutes(tmp_path):
    (text,) = [block for block in blocks("sh") if "hello, landing" in block]
    result = shell(text, tmp_path, sandbox(tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "hello, landing" in result.stdout
    assert "healthy" in result.stdout


def test_as_a_filter(tmp_path):
    (text,) = [block for block in blocks("sh") if "yarder exec" in block]
    (tmp_path / "yard").mkdir()
    result = shell(text, tmp_path, sandbox(tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "one\ntwo\n" in result.stdout
    lines = (tmp_path / "yard" / "make.log").read_text().splitlines()
    assert sorted(lines) == ["built", "warning"]
    assert (tmp_path / "yard" / "quick.log").read_text() == "one\ntwo\n"


def test_commands_on_configurations(tmp_path):
    (text,) = [block for block in blocks("sh") if "yarder inputs" in block]
    result = shell(text, tmp_path, sandbox(tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "rcvbuf" in result.stdout and "idle-close" in result.stdout


def need_kinds(text):
    """Skips where a kind of destination that a block names was not built."""
    for kind in ("redis", "http"):
        if kind in text and not (program().parent / "backends" / f"{kind}.so").exists():
            pytest.skip(f"built without {kind}")


def test_commands_on_destinations(tmp_path):
    (text,) = [block for block in blocks("sh") if "yarder doctor" in block]
    need_kinds(text)
    result = shell(text, tmp_path, sandbox(tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "cluster=" in result.stdout and "state directory" in result.stdout


@pytest.mark.parametrize("number", range(len(blocks("ini"))))
def test_configurations_check(number, tmp_path):
    need_kinds(blocks("ini")[number])
    path = tmp_path / "readme.conf"
    path.write_text(blocks("ini")[number])
    result = subprocess.run(["yarder", "check", "-c", str(path)], env=sandbox(tmp_path), text=True,
                            capture_output=True, timeout=20)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.seconds(240)  # a whole build
def test_ten_lines_of_c(tmp_path):
    environment = sandbox(tmp_path)
    (tmp_path / "hello.c").write_text(blocks("c")[0])
    (install,) = [block for block in blocks("sh") if "PKG_CONFIG_PATH" in block]
    (compile_line,) = [block for block in blocks("sh") if "-o hello" in block]
    made = shell(f"{install}\necho \"$LD_LIBRARY_PATH\" > {tmp_path}/library\n"
                 f"cd {tmp_path}\n{compile_line}", tmp_path, environment, seconds=200)
    assert made.returncode == 0, made.stdout + made.stderr
    library = {**environment, "LD_LIBRARY_PATH": (tmp_path / "library").read_text().strip()}
    alone = subprocess.run([tmp_path / "hello"], env=library, timeout=20)
    assert alone.returncode == 1  # harmless without a daemon; the flush says that there is none

    daemon = subprocess.Popen(["yarder", "run", "-q"], env=environment, cwd=tmp_path,
                              stdin=subprocess.DEVNULL)
    try:
        ready = ["yarder", "status", "--ready"]
        wait_until(lambda: subprocess.run(ready, env=environment, capture_output=True).returncode
                   == 0, 20, "a daemon")
        assert subprocess.run([tmp_path / "hello"], env=library, timeout=20).returncode == 0
    finally:
        daemon.terminate()
        assert daemon.wait(30) == 0
    lines = (tmp_path / "state" / "yarder.log").read_text()
    assert "started" in lines and "slow query: 1204 ms" in lines


def test_headers_please_an_old_compiler():
    source = "#include <stddef.h>\n#include <stdint.h>\n#include \"api/yarder.h\"\n"
    for language in (["c++", "-std=c++98"], ["c", "-std=c99"]):
        result = subprocess.run(
            ["gcc", "-x", *language, "-Wno-long-long", "-pedantic-errors", "-Wall", "-Wextra",
             "-fsyntax-only", "-I", str(ROOT / "engine"), "-"], input=source, text=True,
            capture_output=True, check=False, timeout=60)
        assert (result.returncode, result.stderr) == (0, "")


def test_uwsgi_block_is_the_example():
    (block,) = [block for block in blocks("ini") if "req-logger" in block]
    example = (ROOT / "docs/examples/uwsgi.conf").read_text()
    assert example.endswith(block) and example[:-len(block)].startswith(";")


def test_uwsgi(yarder, folder):
    """Both sides as they stand in the README; only folders, and uWSGI's application, are added."""
    def here(text):
        return text.replace("/run/yarder", str(folder)).replace("/var/log/yarder", str(folder))

    (block,) = [block for block in blocks("ini") if "req-logger" in block]
    (ini,) = blocks("uwsgi")
    port = free_port()
    (folder / "app.ini").write_text(
        here(ini) + f"plugins = python3,http\nhttp = 127.0.0.1:{port}\nmodule = web\n"
        f"pythonpath = {ROOT}/tests/apps\nmaster = true\nneed-app = true\ndie-on-term = true\n")
    daemon = yarder(here(block))
    with peers.Server([peers.need("uwsgi"), "--ini", str(folder / "app.ini")], folder, port):
        peers.get(port, [f"/{what}/7" for what in ("item", "error", "print", "health", "raise")])
        wait_until(lambda: ledger.named(daemon.status(), "requests")["received"] == 5, 20,
                   "requests")
    wait_until(lambda: ledger.held(daemon.status()) == 0, 20, "all written")
    errors, rest, requests = ((folder / name).read_text() for name in
                              ("errors.log", "uwsgi.log", "requests.log"))
    assert requests.count(" => generated ") == 5 and "/item/7" in requests
    assert "ERROR number 7" in errors and "ValueError: number 7" in errors
    assert "printed number 7" in rest and "generated" not in rest + errors
    assert "healthy number 7" not in rest + errors + requests
