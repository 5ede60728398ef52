# SPDX-License-Identifier: Apache-2.0
"""`yarder exec --preload`: programs that know nothing of yarder, their lines through the ring."""
import collections
import json
import os
import signal
import subprocess

import pytest

from harness import peers
from harness.daemon import program
from harness.preloaded import CONFIG, LIBRARY, Log, PYTHON, SECONDS, assert_same, numbered, settled
from harness.wait import free_port, wait_until

TALKER = program().parent / "tests/talker"

pytestmark = pytest.mark.skipif(not LIBRARY.exists(), reason=f"{LIBRARY} is not built")


def talk(daemon, folder, way, rounds=100, **options):
    return Log(daemon, folder, [TALKER, way, rounds, folder / "file"], **options)


def test_printf(yarder, folder):
    log = talk(yarder(CONFIG), folder, "printf")
    wanted = numbered("printed", 100)
    assert log.texts("stdout") == wanted + ["descriptors 1 2"]
    assert log.texts("stderr") == [f"error {number}" for number in range(0, 100, 2)]
    assert len(log.by_ring()) >= 150
    assert (log.result.stdout, log.result.stderr) == ("", "")


def test_what_the_pipe_carries_is_shown(yarder, folder):
    log = talk(yarder(CONFIG), folder, "wide", shown=True)
    assert log.result.stdout.splitlines() == numbered("wide", 100)


def test_killed_within_a_line(yarder, folder):
    log = talk(yarder(CONFIG), folder, "killed", status=128 + signal.SIGKILL)
    assert log.texts() == numbered("line", 100) + ["unfinished"]
    assert "unfinished" in log.by_ring()


def test_pieces_are_joined(yarder, folder):
    log = talk(yarder(CONFIG), folder, "pieces")
    assert log.texts() == ["piece by piece", "two parts"] * 100


def test_a_long_line_goes_on_as_another_record(yarder, folder):
    *pieces, behind = talk(yarder(CONFIG), folder, "long").texts()
    assert behind == "behind"
    assert [len(piece) for piece in pieces] == [65536] * 3 + [200000 - 3 * 65536]
    assert set("".join(pieces)) == {"x"}


def test_large_writev_and_small_stack(yarder, folder):
    log = talk(yarder(CONFIG), folder, "parts")
    assert_same(log.texts(), ["x" * 59999] * 20 + ["xxxxxxxxxx end"])
    assert (folder / "file").read_text() == "to the file\n"


def test_fork_within_a_line(yarder, folder):
    log = talk(yarder(CONFIG), folder, "fork")
    assert_same(log.texts(), ["one two", "child first", *numbered("child", 100),
                                  *numbered("parent", 100)])
    pids = {one["pid"] for one in log.records if one["message"].split()[0] in ("child", "parent")}
    assert len(pids) == 3, "the child's first write goes by the pipe"


def test_a_child_of_vfork_changes_nothing(yarder, folder):
    log = talk(yarder(CONFIG), folder, "vfork")
    assert log.texts() == ["before", "after"] * 100
    assert (folder / "file").read_text() == "to the file\n" * 100
    assert len(log.by_ring()) == 201


def test_what_is_meant_for_a_file_goes_there(yarder, folder):
    log = talk(yarder(CONFIG), folder, "moved")
    assert log.texts() == ["to the log", "printed to the log"] * 100 + ["to the log"]
    assert (folder / "file").read_text() == ("to the file\nprinted to the file\n" * 100 +
                                             "to the file\n")
    assert len(log.by_ring()) == 202


def test_a_file_under_the_number_of_the_log(yarder, folder):
    log = talk(yarder(CONFIG), folder, "unseen")
    assert log.texts() == ["to the log"] * 100
    assert (folder / "file").read_text() == "to the file\n" * 100
    assert len(log.by_ring()) == 101


def test_streams_opened_anew_and_closed(yarder, folder):
    (folder / "file").touch()
    log = talk(yarder(CONFIG), folder, "reopened")
    assert log.texts() == ["before", "printed before"]
    assert (folder / "file").read_text() == "printed to the file\n" + "to the file\n" * 2


def test_threads(yarder, folder):
    log = talk(yarder(CONFIG), folder, "threads", rounds=5000)
    texts = log.texts()
    assert_same(texts, [line for name in "abcd" for line in
                        numbered(name, 5000) + numbered(f"printed {name}", 5000)])
    for name in "abcd":
        own = [int(text.split()[1]) for text in texts if text.startswith(name + " ")]
        assert own == sorted(own)


def test_a_cancelled_thread(yarder, folder):
    log = talk(yarder(CONFIG), folder, "cancelled")
    lines = [text for text in log.by_ring() if text.startswith("line ")]
    assert lines == numbered("line", 100) and "of the thread" in log.by_ring()


def test_wide_characters_go_by_the_pipe(yarder, folder):
    log = talk(yarder(CONFIG), folder, "wide")
    assert log.texts("stdout") == numbered("wide", 100)
    assert log.texts("stderr") == ["and wide"] * 100


def test_dprintf(yarder, folder):
    log = talk(yarder(CONFIG), folder, "dprintf")
    line = f"progress: 100 {1:2000d} done"
    assert_same(log.texts(), [line, "of the child"])
    assert line in log.by_ring()


def test_syslog(yarder, folder):
    log = talk(yarder(CONFIG), folder, "syslog")
    said = [one for one in log.records if one.get("logger") == "talking"]
    assert [(one["message"], one["level"], one["fields"]["facility"]) for one in said] == [
        ("warning 1", "warning", "daemon"), ("mail: No such file or directory", "error", "mail")]
    assert all(one["fields"]["pid"] == one["pid"] for one in said)
    shown = log.texts("stderr")
    assert [text.split("]: ")[1] for text in shown] == [one["message"] for one in said]
    assert all(text.startswith("talking[") for text in shown)


def test_a_static_program_keeps_its_pipe(yarder, folder):
    log = Log(yarder(CONFIG), folder, [f"{TALKER}-static", "printf", 10, "-"])
    assert log.texts("stdout") == numbered("printed", 10) + ["descriptors 1 2"]
    assert not log.by_ring()


@pytest.mark.parametrize("unbuffered", [True, False])
def test_python(yarder, folder, unbuffered):
    code = ("import os, subprocess, sys\n"
            "print('pid', os.getpid(), flush=True)\n"
            "for number in range(1000): print('line', number)\n"
            "sys.stdout.flush()\n"
            "subprocess.run(['/bin/echo', 'of a child'], close_fds=False)\n"
            "subprocess.run(['/bin/sh', '-c', 'echo a; echo b'], stdout=subprocess.DEVNULL)\n"
            "print('after')\n")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1" if unbuffered else ""}
    log = Log(yarder(CONFIG), folder, [PYTHON, "-c", code], env=environment)
    assert_same(log.texts(), [*numbered("line", 1000), "of a child", "after"])
    assert "after" in log.by_ring()


SCRIPT = """\
echo pid $$
echo first
echo to a file > "$1"
echo appended >> "$1"
echo through | cat
/bin/echo of a child
{ echo grouped; echo again; } > "$1.two"
printf 'un'; printf 'finished\\n'
echo to stderr >&2
exec 3>&1 1>> "$1"
echo while it is away
exec 1>&3
echo last
"""


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_shell(yarder, folder, shell):
    log = Log(yarder(CONFIG), folder, [peers.need(shell), "-c", SCRIPT, shell, folder / "file"])
    assert_same(log.texts("stdout"),
                ["first", "through", "of a child", "unfinished", "last"])
    assert log.texts("stderr") == ["to stderr"]
    assert (folder / "file").read_text() == "to a file\nappended\nwhile it is away\n"
    assert (folder / "file.two").read_text() == "grouped\nagain\n"
    assert "last" in log.by_ring()


def test_many_short_programs(yarder, folder):
    log = Log(yarder(CONFIG), folder,
              ["/bin/sh", "-c", "for i in $(seq 300); do /bin/echo line $i; done"])
    assert log.texts() == [f"line {number}" for number in range(1, 301)]


PROMPTS = """\
import subprocess, sys
talker = sys.argv[1]
waiting = [subprocess.Popen([talker, "prompt", "1", "-"], stdin=subprocess.PIPE)
           for _ in range(30)]
subprocess.run([talker, "pieces", "1000", "-"], check=True)
for one in waiting:
    one.stdin.close()
    one.wait()
"""


def test_more_unfinished_lines_than_joins(yarder, folder):
    """The ones that wait for longest come out as they are; a busy program's lines stay whole."""
    log = Log(yarder(CONFIG), folder, [PYTHON, "-c", PROMPTS, TALKER])
    assert_same(log.texts(), ["prompt> ", "ready"] * 30 + ["piece by piece", "two parts"] * 1000)


def test_with_outputs_of_its_own(folder):
    result = subprocess.run(
        [str(program()), "exec", "--preload", "--tag", "mine", "--level", "error", "--output",
         f"file:{folder}/all,format=json", "--", str(TALKER), "killed", "1000", "-"],
        capture_output=True, text=True, timeout=SECONDS, check=False)
    assert result.returncode == 128 + signal.SIGKILL, result
    records = [json.loads(line) for line in (folder / "all").read_text().splitlines()]
    texts = [one["message"] for one in records]
    assert texts[0].startswith("pid ") and result.stdout == ""
    assert texts[1:] == numbered("line", 1000) + ["unfinished"]
    assert {(one["tag"], one["level"]) for one in records[1:]} == {("mine", "error")}


def test_without_a_daemon_all_is_shown(folder):
    result = subprocess.run(
        [str(program()), "exec", "--preload", "--run-dir", str(folder / "none"), "--", str(TALKER),
         "printf", "100", "-"], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert result.stdout.splitlines()[1:] == numbered("printed", 100) + ["descriptors 1 2"]
    assert result.returncode == 0 and "input = ring" in result.stderr


def test_the_daemon_goes_and_comes_back(yarder, folder):
    daemon = yarder(CONFIG)
    with subprocess.Popen(daemon.cli_command("exec", "--preload", "-q", "--", str(TALKER),
                                             "steady", "30000", "-"),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as wrapped:
        path = folder / "all"
        wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") > 1000, SECONDS,
                   "the first lines")
        daemon.stop()
        wrapped.stdout.readline()
        for _ in range(1000):
            wrapped.stdout.readline()
        daemon.start()
        wrapped.stdout.read()
        assert wrapped.wait(SECONDS) == 0
    records = settled(daemon, path)
    assert_same([one["message"] for one in records][1:], numbered("line", 30000))
    [last] = [one for one in records if one["message"] == "line 29999"]
    assert last["pid"] == records[0]["pid"], "the ring is used again"


def test_a_daemon_that_ends_leaves_no_line_in_the_ring(yarder, folder):
    """Every line is in the file or shown, though nobody reads the ring any more."""
    code = "for i in $(seq 200); do echo line $i; sleep 0.01; done"
    daemon = yarder(CONFIG)
    path = folder / "all"
    with subprocess.Popen(daemon.cli_command("exec", "--preload", "-q", "--", peers.need("bash"),
                                             "-c", code), stdout=subprocess.PIPE) as wrapped:
        wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") > 50, SECONDS, "lines")
        daemon.stop()
        shown = wrapped.stdout.read().decode().splitlines()
        assert wrapped.wait(SECONDS) == 0
    filed = [json.loads(line)["message"] for line in path.read_text().splitlines()]
    assert sorted({*filed, *shown}) == sorted(f"line {number}" for number in range(1, 201))
    assert "line 200" in shown and "line 1" not in shown


def test_a_daemon_that_ends_delivers_what_has_no_end(yarder, folder):
    daemon = yarder(CONFIG)
    path = folder / "all"
    with subprocess.Popen(daemon.cli_command("exec", "--preload", "-q", "--no-tee", "--",
                                             str(TALKER), "prompt", "1", "-"),
                          stdin=subprocess.PIPE) as wrapped:
        wait_until(lambda: path.exists() and b"ready" in path.read_bytes(), SECONDS, "ready")
        daemon.stop()
        texts = [json.loads(line)["message"] for line in path.read_text().splitlines()]
        assert texts[1:] == ["ready", "prompt> "]
        wrapped.stdin.close()
        assert wrapped.wait(SECONDS) == 0


def test_a_killed_worker_costs_nothing(yarder, folder):
    daemon = yarder(CONFIG)
    with subprocess.Popen(daemon.cli_command("exec", "--preload", "--no-tee", "--", str(TALKER),
                                             "steady", "10000", "-")) as wrapped:
        path = folder / "all"
        for count in (500, 2000, 4000):
            wait_until(lambda count=count: path.exists() and
                       path.read_bytes().count(b"\n") > count, SECONDS, "lines")
            daemon.kill_worker()
        assert wrapped.wait(SECONDS) == 0
    texts = [one["message"] for one in settled(daemon, path)]
    assert texts[1:] == numbered("line", 10000)


NGINX = """\
daemon off; master_process on; worker_processes 2; pid {folder}/nginx.pid;
error_log /dev/stderr;
events {{ }}
http {{
  access_log /dev/stdout;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "ok"; }} }}
}}
"""


def test_nginx(yarder, folder):
    port = free_port()
    daemon = yarder(CONFIG)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
    command = daemon.cli_command("exec", "--preload", "--no-tee", "--", peers.need("nginx"), "-p",
                                 str(folder), "-c", str(folder / "nginx.conf"))
    paths = [f"/item/{number}" for number in range(2000)]
    with peers.Server(command, folder, port) as server:
        peers.get(port, paths)
        server.end()
    records = settled(daemon, folder / "all")
    assert_same([one["message"].split('"')[1].split()[1] for one in records
                 if "/item/" in one["message"]], paths)
    workers = collections.Counter(one["pid"] for one in records if "/item/" in one["message"])
    assert max(workers.values()) > 100, workers


def test_uwsgi(yarder, folder):
    port = free_port()
    daemon = yarder(CONFIG)
    apps = program().parents[1] / "tests/apps"
    command = daemon.cli_command(
        "exec", "--preload", "--no-tee", "--", peers.need("uwsgi"), "--plugins", "python3,http",
        "--http", f"127.0.0.1:{port}", "--pythonpath", str(apps), "--module", "web", "--need-app",
        "--master", "--processes", "2", "--threads", "2", "--die-on-term")
    paths = [f"/{what}/{number}" for what in ("item", "print") for number in range(500)]
    with peers.Server(command, folder, port) as server:
        peers.get(port, paths)
        server.end()
    texts = [one["message"] for one in settled(daemon, folder / "all")]
    assert_same([text.split(" GET ")[1].split()[0] for text in texts if " GET /" in text], paths)
    assert_same([text for text in texts if "printed number" in text],
                [f"printed number {number}" for number in range(500)])


def test_the_environment_is_kept(yarder, folder):
    if b"__asan_init" in program().read_bytes():
        pytest.skip("nothing can be preloaded before a sanitizer's runtime")
    log = Log(yarder(CONFIG), folder, [PYTHON, "-c", "import os; print(os.environ['LD_PRELOAD']);"
                                       "print(os.environ['KEPT'])"],
              env={**os.environ, "KEPT": "as it was", "LD_PRELOAD": "libc.so.6"})
    assert log.texts() == [f"{LIBRARY}:libc.so.6", "as it was"]


def test_a_missing_library_is_told(folder):
    alone = folder / "yarder"
    alone.write_bytes(program().read_bytes())
    alone.chmod(0o755)
    result = subprocess.run([str(alone), "exec", "--preload", "--", "true"], capture_output=True,
                            text=True, timeout=SECONDS, check=False)
    if result.returncode == 0:
        pytest.skip("one is installed here")
    assert result.returncode == 1 and "libyarder-preload.so is not there" in result.stderr
