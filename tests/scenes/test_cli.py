# SPDX-License-Identifier: Apache-2.0
"""The command line from outside: help, checks, explanations, exec, send, status, reload."""
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import ledger
from harness.audit import audit
from harness.daemon import program
from harness.wait import free_port, wait_until

SECONDS = 20
COMMANDS = ["run", "check", "explain", "exec", "send", "serve-udp", "status", "tap", "doctor",
            "spool", "reload", "reopen", "rotate", "translate", "inputs", "outputs", "keys",
            "version", "help"]
RING = "input = ring\noutput = all file:{folder}/all.log\n"

pytestmark = pytest.mark.skipif(not program().exists(), reason=f"{program()} is not built")


def cli(*arguments, cwd=None, run_dir=None, stdin=subprocess.DEVNULL, **options):
    """One call, away from any daemon of this machine; output as bytes."""
    environment = {**os.environ, "YARDER_RUN_DIR": str(run_dir or "/nonexistent"),
                   "HOME": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent"}
    return subprocess.run([str(program()), *arguments], cwd=cwd, stdin=stdin, env=environment,
                          capture_output=True, timeout=SECONDS, check=False, **options)


def exec_python(code, *options, **how):
    return cli("exec", *options, "--", sys.executable, "-c", code, **how)


# --- help -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_screen_and_ends_with_two_examples(command):
    result = cli(command, "--help")
    text = result.stdout.decode()
    assert (result.returncode, result.stderr) == (0, b"")
    assert text.startswith(f"usage: yarder {command}")
    assert len(text.splitlines()) <= 40
    assert max(map(len, text.splitlines())) <= 110
    examples = text.split("\nexamples:\n")[1].splitlines()
    assert len(examples) >= 2 and all("yarder" in line for line in examples)
    assert cli("help", command).stdout == result.stdout


def test_overview_names_every_command():
    text = cli("help").stdout.decode()
    listed = text.split("commands:\n")[1].split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in listed] == COMMANDS
    assert cli().returncode == 2 and cli().stderr.decode() == text
    assert cli("--help").stdout.decode() == text


@pytest.mark.parametrize("arguments, said", [
    (["stauts"], "did you mean status?"),
    (["frobnicate"], "unknown command 'frobnicate'"),
    (["send", "--blok"], "did you mean --block?"),
    (["run", "--outptu", "null"], "did you mean --output?"),
    (["outputs", "fil"], "did you mean file?"),
    (["outputs", "foolog.so"], "the path of a module has a slash: ./foolog.so"),
    (["send", "--level", "loud", "x"], "expected a level"),
    (["send", "--udp", "nowhere", "x"], "expected HOST:PORT"),
    (["send", "--gso", "x"], "--gso goes with --udp"),
    (["status", "x"], "takes no arguments"),
    (["exec"], "expected a command"),
])
def test_mistakes_are_usage_and_say_what_would_be_right(arguments, said):
    result = cli(*arguments)
    assert result.returncode == 2, result
    assert said in result.stderr.decode()
    assert result.stdout == b""


def test_version_says_what_works_here():
    text = cli("--version").stdout.decode()
    assert text.startswith("yarder ") and "io_uring" in text and "PCRE2" in text
    assert cli("version").stdout.decode() == text


def test_manual_is_clean():
    pages = [Path(__file__).parents[2] / "docs/man" / name for name in ("yarder.1", "libyarder.3")]
    try:
        result = subprocess.run(["mandoc", "-Tlint", "-Wwarning", *map(str, pages)],
                                capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mandoc here")
    assert result.stdout == ""
    said = pages[0].read_text()
    assert all(f".Cm {command}" in said or f" {command}" in said for command in COMMANDS)


# --- check, explain -------------------------------------------------------------------------------

GOOD = """input = ring
input = net udp:127.0.0.1:15999,parse=syslog
output = all file:{folder}/all.log
output = errors file:{folder}/errors.log,level=error
route = errors disk .* full
"""


def write(folder, text):
    path = folder / "yarder.conf"
    path.write_text(text.replace("{folder}", str(folder)))
    return path


def test_check_of_a_good_file_is_one_line(folder):
    result = cli("check", str(write(folder, GOOD)))
    assert result.returncode == 0, result
    assert result.stdout.decode().startswith("ok: 2 inputs, 2 outputs, 1 route")
    again = cli("-t", "-c", str(folder / "yarder.conf"))
    assert (again.returncode, again.stdout) == (0, result.stdout)


def test_check_tells_all_errors_with_their_places(folder):
    path = write(folder, "inpt = ring\noutput = file:/x,level=loud\n\nroute = nobody x\nlisten=1\n")
    result = cli("check", str(path))
    said = result.stderr.decode()
    assert result.returncode == 2 and result.stdout == b""
    for line, what in ((1, "did you mean input?"), (2, "level"), (4, "nobody"), (5, "listen")):
        assert any(f"{path}:{line}: " in one and what in one for one in said.splitlines()), said


def test_check_json_holds_the_errors_too(folder):
    good = json.loads(cli("check", "--json", str(write(folder, GOOD))).stdout)
    assert good["ok"] is True and good["errors"] == []
    result = cli("check", "--json", str(write(folder, "inptu = ring\n")))
    bad = json.loads(result.stdout)
    assert result.returncode == 2 and bad["ok"] is False and len(bad["errors"]) == 1


def test_check_explains(folder):
    text = cli("check", "--explain", str(write(folder, GOOD))).stdout.decode()
    assert "output all takes every record" in text
    assert "record-max = 64K" in text


def test_check_of_no_file_says_so(folder):
    result = cli("check", str(folder / "missing.conf"))
    assert result.returncode == 2 and "missing.conf" in result.stderr.decode()


def test_explain_says_where_a_line_goes(folder):
    path = str(write(folder, GOOD))
    plain = cli("explain", "all is well", "-c", path).stdout.decode()
    assert "output all takes it" in plain and "output errors does not take it" in plain
    routed = cli("explain", "the disk is full", "--level", "error", "-c", path).stdout.decode()
    assert "output errors takes it" in routed
    parsed = cli("explain", "<11>Jan  2 03:04:05 box app[7]: the disk is full", "--input", "net",
                 "-c", path).stdout.decode()
    assert "level error" in parsed and "tag app" in parsed and "output errors takes it" in parsed
    assert cli("explain", "x", "--input", "ent", "-c", path).returncode == 2


# --- exec without a daemon ----------------------------------------------------------------------

BYTES = "import os, sys; os.write(1, bytes(range(256)) * 2000 + b'no end'); os.write(2, b'err')"


def test_exec_shows_the_bytes_unchanged():
    result = exec_python(BYTES)
    assert result.returncode == 0
    assert result.stdout == bytes(range(256)) * 2000 + b"no end"
    assert b"err" in result.stderr and b"did not reach a daemon" in result.stderr


def test_exec_quiet_silences_yarder_alone():
    result = exec_python(BYTES, "-q")
    shown = bytes(range(256)) * 2000 + b"no end"
    assert (result.returncode, result.stdout, result.stderr) == (0, shown, b"err")
    result = exec_python(BYTES, "-q", "--no-tee")
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


@pytest.mark.parametrize("code, status", [
    ("raise SystemExit(0)", 0),
    ("raise SystemExit(77)", 77),
    ("import os; os.kill(os.getpid(), 9)", 128 + 9),
    ("import os; os.kill(os.getpid(), 6)", 128 + 6),
])
def test_exec_has_the_status_of_its_command(code, status):
    assert exec_python(code).returncode == status


def test_exec_of_what_cannot_be_run(folder):
    assert cli("exec", "--", str(folder / "missing")).returncode == 127
    (folder / "plain").write_text("x")
    assert cli("exec", "--", str(folder / "plain")).returncode == 126


def test_exec_passes_standard_input_on():
    with subprocess.Popen(["echo", "typed"], stdout=subprocess.PIPE) as echo:
        result = exec_python("print(input())", stdin=echo.stdout)
    assert result.stdout == b"typed\n"


def test_exec_command_keeps_its_own_options():
    result = cli("exec", "--", "echo", "--help", "--", "-q")
    assert result.stdout == b"--help -- -q\n"


SIGNALS = "TERM INT HUP USR1 USR2 QUIT WINCH"


@pytest.mark.parametrize("name", SIGNALS.split())
def test_exec_passes_signals_on(name):
    code = (f"import signal; s = signal.SIG{name}; signal.pthread_sigmask(signal.SIG_BLOCK, [s]);"
            "print('ready', flush=True); signal.sigwait([s]); print('got it'); raise SystemExit(9)")
    with subprocess.Popen([str(program()), "exec", "-t", "x", "--", sys.executable, "-c", code],
                          env={**os.environ, "YARDER_RUN_DIR": "/nonexistent"},
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as one:
        assert one.stdout.readline() == b"ready\n"
        one.send_signal(getattr(signal, f"SIG{name}"))
        assert one.stdout.read() == b"got it\n"
        assert one.wait(SECONDS) == 9


def test_exec_ends_when_nobody_reads_what_it_shows():
    """As without it: the command gets SIGPIPE, or the error in its place."""
    reader, writer = os.pipe()
    with subprocess.Popen([str(program()), "exec", "--", "yes"], stdout=writer,
                          env={**os.environ, "YARDER_RUN_DIR": "/nonexistent"},
                          stderr=subprocess.DEVNULL) as one:
        os.close(writer)
        assert os.read(reader, 2) == b"y\n"
        os.close(reader)
        assert one.wait(SECONDS) in (1, 128 + signal.SIGPIPE)


def test_exec_does_not_wait_for_what_the_command_left_behind():
    left = ("import subprocess as s;"
            "print(s.Popen(['sleep', '300'], start_new_session=True).pid)")
    began = time.monotonic()
    result = exec_python(left)
    os.kill(int(result.stdout), signal.SIGKILL)
    assert result.returncode == 0 and time.monotonic() - began < SECONDS / 2


def test_exec_does_not_follow_what_the_command_left_writing():
    left = "import subprocess as s; print(s.Popen(['yes'], start_new_session=True).pid, flush=True)"
    result = exec_python(left + "; import time; time.sleep(0.2)")
    assert result.returncode == 0 and result.stdout.count(b"y\n") > 1000


@pytest.mark.parametrize("own", [False, True])
def test_exec_and_the_terminal(own, folder):
    """A signal of the terminal reaches the command once, not once more through us; what is typed
    is the command's to read."""
    code = ("import signal, sys, time; n = [0]\n"
            "def count(*_): n[0] += 1\n"
            "signal.signal(signal.SIGINT, count)\n"
            "print('ready', flush=True)\n"
            "print('read', input(), flush=True)\n"
            "while n[0] == 0: time.sleep(0.01)\n"
            "time.sleep(0.3); print('times', n[0], flush=True)")
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["YARDER_RUN_DIR"] = "/nonexistent"
        output = ["--output", f"file:{folder}/own.log"] if own else []
        os.execv(str(program()),
                 ["yarder", "exec", "-t", "x", *output, "--", sys.executable, "-c", code])
    said = b""
    typing = [(b"ready", b"a word\n"), (b"read a word", b"\x03")]
    try:
        while chunk := os.read(terminal, 4096):
            said += chunk
            if typing and typing[0][0] in said:
                os.write(terminal, typing.pop(0)[1])
    except OSError:
        pass  # the terminal's last user is gone
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert b"times 1" in said, said
    os.close(terminal)


# --- exec with outputs of its own ---------------------------------------------------------------

def test_exec_with_its_own_output(folder):
    out = folder / "own.log"
    result = cli("exec", "--output", f"file:{out}", "--", "sh", "-c",
                 "echo \"one $1\"; echo two >&2; exit 5", "sh", "it's ${env:HOME} a=b, c")
    assert result.returncode == 5, result
    assert result.stdout == b"one it's ${env:HOME} a=b, c\n"
    assert result.stderr == b"two\n"
    assert sorted(out.read_text().splitlines()) == ["one it's ${env:HOME} a=b, c", "two"]


def test_exec_with_its_own_output_reads_standard_input(folder):
    out = folder / "own.log"
    with subprocess.Popen(["seq", "20000"], stdout=subprocess.PIPE) as numbers:
        result = cli("exec", "--quiet", "--output", f"file:{out}", "--", "cat",
                     stdin=numbers.stdout)
    assert result.returncode == 0, result
    assert out.read_text().split() == [str(number) for number in range(1, 20001)]


def test_exec_with_its_own_output_can_be_silent(folder):
    out = folder / "own.log"
    result = cli("exec", "--no-tee", "--output", f"file:{out},format=${{tag}}: ${{msg}}", "--",
                 "echo", "x")
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    assert out.read_text() == "echo: x\n"


def test_exec_with_a_wrong_output_starts_nothing(folder):
    result = cli("exec", "--output", "fil:/x", "--", "touch", str(folder / "ran"))
    assert result.returncode == 2 and b"did you mean file?" in result.stderr
    assert not (folder / "ran").exists()


# --- with a daemon ------------------------------------------------------------------------------

def test_no_daemon_is_status_3(folder):
    for command in (["status"], ["status", "--ready"], ["status", "--json"], ["reload"], ["reopen"],
                    ["rotate"], ["send", "x"]):
        result = cli(*command, "--run-dir", str(folder))
        assert result.returncode == 3, (command, result)


def lines(path, count):
    wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") >= count, SECONDS,
               lambda: f"{count} lines in {path}")
    return path.read_text().splitlines()


@pytest.mark.sanitize
def test_send_reaches_the_file(yarder, folder):
    one = yarder("input = ring\noutput = all file:{folder}/all.log,"
                 "format=${level} ${logger} ${msg} ${field.a}\n")
    one.cli("send", "--level", "warning", "--logger", "x.y", "-f", "a=b c", "hello", "there")
    assert lines(folder / "all.log", 1) == ["warning x.y hello there b c"]
    one.cli("send", input="first\nsecond\nno end")
    said = lines(folder / "all.log", 4)[1:]
    assert [line.split()[2] for line in said] == ["first", "second", "no"]


@pytest.mark.sanitize
def test_send_sequence_is_what_the_audit_expects(yarder, folder):
    one = yarder(RING)
    result = one.cli("send", "--sequence", "a", "--count", "20000", "--size", "120", "--block",
                     "--threads", "2", "--processes", "2")
    assert "sent 80000 lost 0" in result.stderr
    ledger.wait_settled(one, 80000, SECONDS)
    report = audit([folder / "all.log"], {f"a-{i}": 20000 for i in range(4)})
    report.assert_clean()
    assert report.records == 80000


@pytest.mark.parametrize("way, config", [
    ("--socket", "unix:{folder}/in.sock"),
    ("--socket", "unix:{folder}/in.sock,socket=stream"),
    ("--tcp", "tcp:127.0.0.1:{port}"),
    ("--udp", "udp:127.0.0.1:{port}"),
])
def test_send_by_sockets(yarder, folder, way, config):
    port = str(free_port())
    config = config.replace("{port}", port)
    one = yarder(f"input = {config}\noutput = all file:{{folder}}/all.log\n")
    to = f"{folder}/in.sock" if way == "--socket" else f"127.0.0.1:{port}"
    one.cli("send", way, to, "--sequence", "s", "--count", "500", "--rate", "5000")
    ledger.wait_settled(one, 500, SECONDS)
    audit([folder / "all.log"], {"s": 500}).assert_clean()


def test_send_keeps_its_pace(yarder):
    one = yarder("input = ring\noutput = null\n")
    result = one.cli("send", "--count", "500", "--rate", "1000", "--size", "50")
    words = result.stderr.split()
    assert 0.45 < float(words[words.index("seconds") + 1]) < 2


def test_send_says_that_the_daemon_went_away(yarder):
    """Without a daemon nothing will come for what lies in the ring of a process that ends."""
    one = yarder("input = ring:,size=64K\noutput = null\n")
    with subprocess.Popen(one.cli_command("send", "--block", "--sequence", "a", "--count", "0"),
                          stderr=subprocess.PIPE, text=True) as sender:
        wait_until(lambda: one.status()["inputs"][0]["received"] > 1000, SECONDS, "records")
        one.stop()
        sender.send_signal(signal.SIGTERM)
        _, said = sender.communicate(timeout=SECONDS)
    assert sender.returncode == 1
    assert "the daemon went away" in said, said


def test_send_says_what_was_lost(yarder):
    """A ring that nobody drains fills up: the loss is counted, and the status is 1."""
    one = yarder("input = ring:,size=64K\noutput = null\n")
    for pid in one.worker_pids():
        os.kill(pid, signal.SIGSTOP)
    try:
        result = one.cli("send", "--count", "100000", "--size", "100", check=False)
    finally:
        for pid in one.worker_pids():
            os.kill(pid, signal.SIGCONT)
    assert result.returncode == 1, result
    words = result.stderr.split()
    assert int(words[words.index("lost") + 1]) > 0
    wait_until(lambda: one.status()["losses"] > 0, SECONDS, "the loss in the ledger")
    said = one.cli("status", check=False)
    assert said.returncode in (0, 4)
    assert "lost" in said.stdout.splitlines()[0]


def test_status_says_healthy_and_holds_the_ledger(yarder):
    one = yarder(RING)
    one.cli("send", "--count", "10", "--size", "10")
    status = ledger.wait_settled(one, 10, SECONDS)
    assert status["healthy"] is True and status["state"] == "healthy"
    assert status["line"].startswith("healthy, nothing lost since start")
    text = one.cli("status").stdout
    assert text.startswith("healthy, nothing lost since start")
    assert "ring" in text and "all" in text
    assert one.cli("status", "--ready").stdout == ""


def test_reload_takes_or_refuses(yarder, folder):
    one = yarder(RING)
    one.write_config(RING + "output = more file:{folder}/more.log\n")
    assert one.cli("reload").stdout.startswith("reloaded")
    one.cli("send", "x")
    assert lines(folder / "more.log", 1) == ["x"]
    one.write_config(RING + "outptu = more file:{folder}/more.log\n")
    refused = one.cli("reload", check=False)
    assert refused.returncode == 1
    assert "did you mean output?" in refused.stderr
    one.cli("send", "y")
    assert lines(folder / "more.log", 2) == ["x", "y"]
    one.cli("reopen")


def test_reload_keeps_the_options_of_the_command_line(yarder, folder):
    one = yarder("input = ring\n", arguments=["--output", f"file:{folder}/cli.log"])
    one.cli("reload")
    one.cli("send", "x")
    assert lines(folder / "cli.log", 1) == ["x"]


@pytest.mark.sanitize
def test_exec_into_the_daemon(yarder, folder):
    one = yarder("input = ring\noutput = out file:{folder}/out.log,stream=stdout\n"
                 "output = err file:{folder}/err.log,stream=stderr\n")
    result = exec_python("import os, sys; print('line\\n' * 3000, end='', flush=True);"
                         "print('e', file=sys.stderr);"
                         "os.write(1, b'x' * 100000 + b'\\nno end'); sys.exit(4)",
                         run_dir=one.run_dir)
    assert result.returncode == 4, result
    assert result.stderr == b"e\n"
    assert result.stdout.count(b"\n") == 3001
    ledger.wait_settled(one, 3003, SECONDS)
    assert lines(folder / "err.log", 1) == ["e"]
    said = lines(folder / "out.log", 3002)
    assert said.count("line") == 3000
    assert len([one for one in said if set(one) == {"x"}]) == 1  # cut at record-max
    assert "no end" in said


def test_exec_goes_on_when_the_daemon_is_gone(yarder, folder):
    one = yarder(RING)
    with subprocess.Popen([str(program()), "exec", "--run-dir", str(one.run_dir), "--",
                           sys.executable, "-c", "while True: print(input(), flush=True)"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as wrapped:
        wrapped.stdin.write(b"before\n")
        wrapped.stdin.flush()
        assert wrapped.stdout.readline() == b"before\n"
        assert lines(folder / "all.log", 1) == ["before"]
        one.stop()
        wrapped.stdin.write(b"after\n")
        wrapped.stdin.flush()
        assert wrapped.stdout.readline() == b"after\n"
        wrapped.stdin.close()
        wrapped.stdin = None
        assert wrapped.wait(SECONDS) == 1  # python's own, for the end of its input
