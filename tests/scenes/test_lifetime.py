# SPDX-License-Identifier: Apache-2.0
"""How the daemon begins and ends: what it says to its manager, who it is, what it leaves behind."""
import contextlib
import os
import pwd
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from harness import ledger, processes, senders
from harness.audit import Audit, audit, make
from harness.daemon import ROOT, Yarder, program
from harness.wait import free_port, wait_until

NOBODY = "nobody"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
PLAIN = "input = in unix:{folder}/in,socket=stream\noutput = all file:{folder}/all\n"


def content(path):
    """Of a file that may not be there yet."""
    return path.read_bytes() if path.exists() else b""


def run_on(stdin, folder, *arguments, seconds=20):
    environment = {**os.environ, "XDG_CONFIG_HOME": str(folder)}
    return subprocess.run(
        [str(program()), "run", "--run-dir", str(folder / "run"), "--state-dir",
         str(folder / "state"), *arguments],
        input=stdin, capture_output=True, timeout=seconds, check=False, env=environment)


@pytest.mark.parametrize("given, comes", [
    (b"", b""), (b"a\nb", b"a\nb\n"), (b"a\nb\n", b"a\nb\n"),
    (b"x" * 70000 + b"\ny", b"x" * 65536 + b"\ny\n")],
    ids=["nothing", "half a line", "lines", "a long line"])
def test_stdin_to_stdout(folder, given, comes):
    """In a pipe, without any configuration: every line, then the end, with status 0."""
    result = run_on(given, folder)
    assert (result.returncode, result.stdout) == (0, comes), result


def test_much_of_stdin(folder):
    """More than any queue of it holds, into two outputs, one of them slow by its reader."""
    lines = b"".join(make("a", number) + b"\n" for number in range(200_000))
    result = run_on(lines, folder, "--input", "stdin", "--output", "stdio:stdout",
                    "--output", f"file:{folder}/all")
    assert result.returncode == 0, result.stderr
    assert result.stdout == lines
    audit([folder / "all"], {"a": 200_000}).assert_clean()


def test_stdout_that_closes(folder):
    """`yarder run | head -1`: no hang, and no end with 0 that would tell of a success."""
    (folder / "given").write_bytes(b"".join(b"%d\n" % number for number in range(300_000)))
    reader, writer = os.pipe()
    with open(folder / "given", "rb") as given:
        process = subprocess.Popen(
            [str(program()), "run", "--run-dir", str(folder / "run"), "--state-dir",
             str(folder / "state"), "--input", "stdin", "--output", "stdio:stdout"],
            stdin=given, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert os.read(reader, 2) == b"0\n"
    os.close(reader)
    try:
        _, said = process.communicate(timeout=8)  # less than the usual drain-timeout
    finally:
        process.kill()
    assert process.returncode == 1 and b"nobody reads it" in said, (process.returncode, said)


def hung_daemon(start, folder, count, drain):
    """A daemon whose only output is a FIFO that nobody reads, with so many records waiting."""
    os.mkfifo(folder / "fifo")
    daemon = start(f"drain-timeout = {drain}\ninput = in unix:{{folder}}/in,socket=stream\n"
                   "output = fifo file:{folder}/fifo,queue=memory:16M\n")
    with senders.unix_stream(folder / "in") as sender:
        sender.send_audited("a", count)
        ledger.wait_for(daemon, lambda status: ledger.named(status, "fifo")["held"] == count)
    return daemon


def test_term_drains(yarder, folder):
    """What waits is still delivered when the way is free again in time."""
    count = 50_000
    daemon = hung_daemon(yarder, folder, count, "20s")
    daemon.signal(signal.SIGTERM)
    daemon.wait_for_stderr("", 1)
    with open(folder / "fifo", "rb") as pipe:
        content = pipe.read()
    assert daemon.process.wait(20) == 0, daemon.stderr()
    Audit({"a": count}).lines(content.splitlines(keepends=True)).report().assert_clean()


@pytest.mark.parametrize("terms", [1, 2])
def test_term_gives_up_in_time(yarder, folder, terms):
    """After drain-timeout, or at a second TERM; the number of what was lost is told."""
    daemon = hung_daemon(yarder, folder, 50_000, "1s" if terms == 1 else "1h")
    began = time.monotonic()
    daemon.signal(signal.SIGTERM)
    if terms == 2:
        wait_until(lambda: stopping(daemon), 10, "the first TERM is taken")
        daemon.signal(signal.SIGTERM)
    assert daemon.process.wait(10) == 1
    took = time.monotonic() - began
    print(f"left after {took:.2f} s")
    assert took < 4 and (terms == 2 or took >= 1)
    assert "output fifo: 50000 records" in daemon.stderr(), daemon.stderr()


def said_to_manager(daemon, seconds=10):
    """The next message to the service manager, as its lines."""
    ready, _, _ = select.select([daemon.notify], [], [], seconds)
    assert ready, f"nothing said to the service manager:\n{daemon.stderr()}"
    return daemon.notify.recv(4096).decode().split("\n")


def stopping(daemon):
    return "STOPPING=1" in said_to_manager(daemon)


def test_service_manager(yarder, folder):
    """READY (the harness waits for it), RELOADING with its time and READY, STOPPING."""
    daemon = yarder(PLAIN)
    before = time.monotonic_ns() // 1000
    daemon.signal(signal.SIGHUP)
    reloading = said_to_manager(daemon)
    assert reloading[0] == "RELOADING=1", reloading
    at = re.fullmatch(r"MONOTONIC_USEC=(\d+)", reloading[1])
    assert at and before <= int(at[1]) <= time.monotonic_ns() // 1000
    assert said_to_manager(daemon) == ["READY=1"]
    daemon.config.write_text("nonsense\n")
    daemon.signal(signal.SIGHUP)
    assert said_to_manager(daemon)[0] == "RELOADING=1"
    assert said_to_manager(daemon) == ["READY=1"], "a failed reload ends too"
    daemon.signal(signal.SIGTERM)
    assert said_to_manager(daemon) == ["STOPPING=1"]
    assert daemon.process.wait(20) == 0
    assert not select.select([daemon.notify], [], [], 0)[0], "no word after STOPPING"


def test_hup_reopens_and_reloads(yarder, folder):
    daemon = yarder(PLAIN)
    with senders.unix_stream(folder / "in") as sender:
        sender.send(b"first")
        wait_until(lambda: content(folder / "all") == b"first\n", 10, "first")
        (folder / "all").rename(folder / "all.1")
        daemon.write_config(PLAIN + "output = other file:{folder}/other\n")
        daemon.signal(signal.SIGHUP)
        wait_until((folder / "other").exists, 10, daemon.stderr)
        wait_until((folder / "all").exists, 10, "reopened by its path, without a record")
        sender.send(b"second")
        wait_until(lambda: content(folder / "other") == b"second\n", 10, "second")
    wait_until(lambda: content(folder / "all") == b"second\n", 10, "second")
    assert (folder / "all.1").read_bytes() == b"first\n"


@pytest.mark.parametrize("policy, status, runs", [
    ("always", 0, 3), ("always", 3, 3), ("on-failure", 0, 1), ("on-failure", 3, 3),
    ("never", 0, 1), ("never", 3, 1)])
def test_restart_policy(yarder, folder, policy, status, runs):
    """Each run's lines are there, with the last one that has no newline."""
    command = f"echo begin; printf end; echo trouble >&2; exit {status}"
    daemon = yarder("input = ring\noutput = all file:{folder}/all\n"
                    f"[input job]\ntype = exec\nto = {command}\nrestart = {policy}\n"
                    "restart-delay = 50ms\n")
    lines = lambda: content(folder / "all").split(b"\n")
    wait_until(lambda: lines().count(b"end") >= runs, 15, lambda: f"{runs} runs: {lines()}")
    if runs == 1:
        assert processes.children(daemon.pid) == daemon.worker_pids(), "it ran once and no more"
        time.sleep(0.3)
        assert lines().count(b"end") == 1
    wait_until(lambda: lines().count(b"begin") == lines().count(b"end")
               == lines().count(b"trouble"), 10, lambda: f"each run whole: {lines()}")


def test_failing_command_is_not_hammered(yarder, folder):
    """One that fails at once is started with growing pauses, not a thousand times a second."""
    yarder("output = all file:{folder}/all\n[input job]\ntype = exec\nto = echo run; exit 1\n"
           "restart-delay = 0s\n")
    time.sleep(2)
    assert (folder / "all").read_bytes().count(b"run\n") < 10


@pytest.fixture
def open_folder(folder):
    """The scene's folder, that others may look into, with `logs` that belongs to nobody."""
    folder.chmod(0o755)
    (folder / "logs").mkdir()
    shutil.chown(folder / "logs", NOBODY, "nogroup")
    return folder


def run_as_nobody():
    return ["setpriv", "--reuid", NOBODY, "--regid", "nogroup", "--clear-groups"]


def reachable(path):
    """Whether nobody may run our program: a checkout below a private home may not be."""
    return subprocess.run([*run_as_nobody(), "test", "-x", str(path)], check=False).returncode == 0


def low_port():
    for port in range(1000, 600, -1):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    pytest.skip("no low port is free")


@as_root
def test_privileges_are_dropped(yarder, open_folder):
    """The worker is nobody; port, files and ring clients of both users work."""
    port = low_port()
    daemon = yarder(f"user = {NOBODY}\ninput = udp udp:127.0.0.1:{port}\n"
                    "input = ring,mode=0666\noutput = all file:{folder}/logs/all\n"
                    "output = deep file:{folder}/logs/a/b/${tag}\n")
    uid = pwd.getpwnam(NOBODY).pw_uid
    [worker] = daemon.worker_pids()
    identity = dict(line.split(":\t") for line in open(f"/proc/{worker}/status")
                    if line.startswith(("Uid", "Gid", "Groups", "CapEff")))
    assert set(identity["Uid"].split()) == {str(uid)}, identity
    assert int(identity["CapEff"], 16) == 0 and "0" not in identity["Groups"].split(), identity
    with senders.udp(port) as sender:
        sender.send_audited("udp", 500)
    send = ["send", "--count", "1000", "--block", "--tag", "t", "--sequence"]
    assert daemon.cli(*send, "root").returncode == 0
    counts = {"udp": 500, "root": 1000}
    if reachable(program()):
        subprocess.run([*run_as_nobody(), *daemon.cli_command(*send, "nobody")], check=True,
                       timeout=20, capture_output=True)
        counts["nobody"] = 1000
    ledger.wait_settled(daemon, sum(counts.values()), 20)
    audit([open_folder / "logs" / "all"], counts).assert_clean()
    for path in ("all", "a", "a/b", "a/b/t"):
        assert (open_folder / "logs" / path).stat().st_uid == uid, path
    daemon.kill_worker()
    daemon.cli("reload")
    daemon.cli(*send, "again")
    ledger.wait_settled(daemon, sum(counts.values()) + 1000, 20)
    audit([open_folder / "logs" / "all"], {**counts, "again": 1000}).assert_clean()


@as_root
def test_a_user_that_cannot_write_is_told(folder):
    """The folder belongs to root: that is said with the path, and records wait meanwhile."""
    folder.chmod(0o755)
    with Yarder(folder, f"user = {NOBODY}\n" + PLAIN) as daemon:
        daemon.wait_for_stderr(f"{folder}/all: open: Permission denied", 10)
        with senders.unix_stream(folder / "in") as sender:
            sender.send_audited("a", 100)
            ledger.wait_for(daemon, lambda status: ledger.named(status, "all")["held"] == 100)
        folder.chmod(0o777)
        ledger.wait_settled(daemon, 100, 20)


@as_root
def test_an_unknown_user_is_told(folder):
    result = run_on(b"", folder, "--user", "nosuchuser", "--input", "ring", "--output",
                    f"file:{folder}/all")
    assert result.returncode != 0 and b"no user 'nosuchuser'" in result.stderr, result


@contextlib.contextmanager
def stopped_at_the_end(daemon):
    try:
        yield
        daemon.stop()
    finally:
        daemon.kill()


@as_root
def test_without_any_privilege(yarder, open_folder):
    """Started by an ordinary user: everything but low ports."""
    if not reachable(program()):
        pytest.skip("an ordinary user may not look into the build folder")
    home = open_folder / "home"
    home.mkdir()
    port = free_port()
    daemon = Yarder(home, f"input = ring\ninput = tcp tcp:127.0.0.1:{port}\n"
                    "input = job exec:id -un; sleep 60\noutput = all file:{folder}/all\n",
                    wrapper=run_as_nobody())
    for path in (home, daemon.config):
        shutil.chown(path, NOBODY, "nogroup")
    for directory in (daemon.run_dir, daemon.state_dir):
        directory.mkdir()
        shutil.chown(directory, NOBODY, "nogroup")
    mask = os.umask(0)  # for the manager's socket, which the harness makes
    try:
        daemon.start()
    finally:
        os.umask(mask)
    with stopped_at_the_end(daemon):
        with senders.tcp(port) as sender:
            sender.send_audited("tcp", 500)
        subprocess.run([*run_as_nobody(), *daemon.cli_command(
            "send", "--count", "1000", "--block", "--sequence", "ring")], check=True, timeout=20,
            capture_output=True)
        ledger.wait_settled(daemon, 1501, 20)
        counts = {"tcp": 500, "ring": 1000}
        assert [b"nobody"] == audit([home / "all"], counts, let_pass=rb"nobody").notes
        daemon.cli("reload")
        daemon.kill_worker()


DEAF = "trap '' TERM; echo up; while :; do sleep 0.05; done"
LATE = "(trap 'sleep 0.3; echo last; exit' TERM; echo up; while :; do sleep 0.05; done) & wait"


def exec_daemon(start, folder, command, drain, **options):
    daemon = start(f"drain-timeout = {drain}\noutput = all file:{{folder}}/all\n"
                   f"[input job]\ntype = exec\nto = {command}\n", **options)
    wait_until(lambda: content(folder / "all").startswith(b"up\n"), 10, daemon.stderr)
    return daemon


def test_no_command_outlives_the_daemon(yarder, folder):
    """Neither one that will not hear of it, nor what it has started."""
    daemon = exec_daemon(yarder, folder, DEAF, "500ms")
    daemon.end(signal.SIGTERM)  # which looks for what is left


def test_commands_have_a_moment_when_the_daemon_leaves_at_once(folder):
    """`yarder run | head`: they are asked to end, not merely killed, and none is left behind."""
    (folder / "sh").write_text(f"trap 'sleep 0.2; touch {folder}/cleaned; exit' TERM\n"
                               "while :; do echo x; sleep 0.01; done\n")
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [str(program()), "run", "--run-dir", str(folder / "run"), "--state-dir",
         str(folder / "state"), "--input", f"exec:exec sh {folder}/sh", "--output", "stdio:stdout"],
        stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.DEVNULL)
    os.close(writer)
    assert os.read(reader, 2) == b"x\n"
    below = processes.descendants(process.pid)
    os.close(reader)
    process.wait(20)
    assert (folder / "cleaned").exists() and not processes.alive(below)


def test_the_last_words_of_a_pipeline(yarder, folder):
    """The shell dies of TERM at once; its programs say theirs, and they are logged."""
    exec_daemon(yarder, folder, LATE, "20s").end(signal.SIGTERM)
    assert content(folder / "all").endswith(b"\nlast\n")


def test_a_command_that_left_the_configuration_is_gone(yarder, folder):
    daemon = exec_daemon(yarder, folder, f"({DEAF}) & wait", "10s")
    below = processes.descendants(daemon.pid)
    workers = daemon.worker_pids()
    daemon.write_config("input = ring\noutput = all file:{folder}/all\n")
    daemon.cli("reload")
    wait_until(lambda: not processes.alive({pid: start for pid, start in below.items()
                                            if pid not in workers}), 15, "all of them have gone")


@as_root
def test_a_command_has_the_limits_that_the_daemon_was_given(yarder, folder):
    """Which raises its own; what it needs to bind a low port is not handed on either."""
    command = "echo up; ulimit -Sn; ulimit -Hn; grep CapAmb /proc/self/status; sleep 60"
    daemon = exec_daemon(yarder, folder, command, "1s", wrapper=[
        "prlimit", "--nofile=1000:5000", "setpriv", "--inh-caps", "+net_bind_service",
        "--ambient-caps", "+net_bind_service"])
    own = open(f"/proc/{daemon.pid}/status").read()
    assert "CapAmb:\t0000000000000400" in own, own
    assert resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE) == (5000, 5000)
    wait_until(lambda: content(folder / "all").count(b"\n") >= 4, 10, daemon.stderr)
    assert content(folder / "all") == b"up\n1000\n5000\nCapAmb:\t0000000000000000\n"


def test_shared_memory_cannot_be_cut(yarder):
    """A worker out of its mind may scribble; it cannot take pages from under the supervisor."""
    daemon = yarder(PLAIN)
    cut = []
    for number in os.listdir(f"/proc/{daemon.pid}/fd"):
        path = f"/proc/{daemon.pid}/fd/{number}"
        name = os.readlink(path)
        if name.startswith(("/memfd:yarder-hold", "/memfd:yarder-board")):
            with open(path, "r+b", buffering=0) as memory, pytest.raises(PermissionError):
                memory.truncate(0)
            cut.append(name.split()[0])
    assert sorted(set(cut)) == ["/memfd:yarder-board", "/memfd:yarder-hold"]
    daemon.cli("reload")


def fed(daemon, seconds):
    """Whether the manager's watchdog is fed within that time."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if select.select([daemon.notify], [], [], left)[0]:
            if daemon.notify.recv(4096) == b"WATCHDOG=1":
                return True
    return False


def test_the_watchdog_is_fed_while_the_worker_works(yarder):
    """An idle one, too; not while it hangs, though its supervisor turns."""
    daemon = yarder(PLAIN, environment={"WATCHDOG_USEC": "400000"})
    for _ in range(5):
        assert fed(daemon, 2)
    daemon.cli("reload")
    for _ in range(3):
        assert fed(daemon, 2)
    [worker] = daemon.worker_pids()
    os.kill(worker, signal.SIGSTOP)
    try:
        while fed(daemon, 0.05):  # what was said before
            pass
        assert not fed(daemon, 1)
    finally:
        os.kill(worker, signal.SIGCONT)
    assert fed(daemon, 2)
    daemon.kill_worker()
    while fed(daemon, 0.05):
        pass
    assert fed(daemon, 2), "its successor"


def test_uring_is_forbidden(yarder, folder, monkeypatch):
    """As in containers: one line says so, and all works by epoll."""
    monkeypatch.delenv("YARDER_IO", raising=False)
    daemon = yarder(PLAIN, wrapper=[sys.executable, str(ROOT / "tests/apps/without_uring.py")])
    assert daemon.status()["io"] == "epoll"
    told = [line for line in daemon.stderr().splitlines() if "io_uring" in line]
    assert len(told) == 1 and "forbidden by seccomp" in told[0], daemon.stderr()
    with senders.unix_stream(folder / "in") as sender:
        sender.send_audited("a", 2000)
    ledger.wait_settled(daemon, 2000, 20)
    audit([folder / "all"], {"a": 2000}).assert_clean()


def test_little_locked_memory(yarder, folder):
    """With RLIMIT_MEMLOCK at its smallest (an old default is 64K) it starts and takes all."""
    before = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    daemon = yarder("input = ring\n" + PLAIN, wrapper=["prlimit", "--memlock=4096:4096"])
    assert resource.getrlimit(resource.RLIMIT_MEMLOCK) == before
    with senders.unix_stream(folder / "in") as sender:
        sender.send_audited("a", 2000)
    daemon.cli("send", "--count", "2000", "--block", "--sequence", "ring")
    ledger.wait_settled(daemon, 4000, 20)
    audit([folder / "all"], {"a": 2000, "ring": 2000}).assert_clean()


def test_started_again_right_after_a_kill(yarder, folder):
    """The dead daemon's worker is still on its way out, with the sockets open."""
    daemon = yarder(PLAIN)
    for number in range(8):
        with senders.unix_stream(folder / "in") as sender:
            sender.send_audited("a", 1, first=number)
            ledger.wait_settled(daemon, 1, 20)
        daemon.process.kill()
        daemon.process.wait()
        daemon.notify.close()
        daemon.start()
    audit([folder / "all"], {"a": 8}).assert_clean()


def test_standard_input_is_a_socket(yarder, folder):
    """As inetd and systemd give it: nobody waits for what it does not say."""
    with socket.create_server(("127.0.0.1", 0)) as server, \
            socket.create_connection(server.getsockname()) as peer:
        ours, _ = server.accept()
        daemon = yarder("input = stdin\n" + PLAIN, stdin=ours)
        with senders.unix_stream(folder / "in") as sender:
            sender.send_audited("a", 100)
            ledger.wait_settled(daemon, 100, 20)
        peer.sendall(make("a", 100) + b"\n" + make("a", 101))
        ledger.wait_settled(daemon, 101, 20)
        peer.shutdown(socket.SHUT_WR)
        ledger.wait_settled(daemon, 102, 20)
        ours.close()
    audit([folder / "all"], {"a": 102}).assert_clean()


def test_a_limit_on_file_sizes(yarder, folder):
    """A ring is larger than RLIMIT_FSIZE allows: its process takes the socket, nobody dies."""
    daemon = yarder("ring-memory = 256M\ninput = ring\n"
                    "input = unix:{folder}/run/log.sock,parse=syslog\n"
                    "output = all file:{folder}/all,format=${msg}\n",
                    wrapper=["prlimit", "--fsize=100000000"])
    daemon.cli("send", "hello")
    wait_until(lambda: content(folder / "all") == b"hello\n", 20, daemon.stderr)
