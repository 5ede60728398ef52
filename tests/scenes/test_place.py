# SPDX-License-Identifier: Apache-2.0
"""Where the daemon lives: folders that others may have made first, its lock, who may ask it."""
import contextlib
import os
import pwd
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from harness.daemon import program

SECONDS = 20
NOBODY = pwd.getpwnam("nobody")
USER, SQUATTER = 64123, 64124  # nobody's on any usual machine
PLAIN = "input = in unix:{folder}/in,socket=stream\noutput = all file:{folder}/all\n"
pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
              pytest.mark.skipif(not program().exists(), reason=f"{program()} is not built")]


def run_as(uid, *arguments):
    """A call of an ordinary user without XDG_RUNTIME_DIR and a home."""
    return subprocess.run(
        ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", str(program()),
         *arguments],
        env={"PATH": os.environ["PATH"]}, cwd="/", stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=SECONDS, check=False)


@pytest.fixture
def default_place():
    """What the user's daemon would take under /tmp; the scene makes it."""
    if run_as(USER, "version").returncode != 0:
        pytest.skip("an ordinary user may not look into the build folder")
    place = Path(f"/tmp/yarder-{USER}")
    assert not os.path.lexists(place)
    yield place
    with contextlib.suppress(OSError):
        place.unlink()
    shutil.rmtree(place, ignore_errors=True)


def refused(*arguments):
    result = run_as(USER, "run", "--input", "ring", "--output", "null", *arguments)
    assert result.returncode == 1, result
    return result.stderr


def test_a_folder_that_somebody_else_made(default_place, folder):
    """Nothing is written in there: a planted link would lead to a file of ours."""
    folder.chmod(0o755)
    victim = folder / "victim"
    victim.write_text("precious\n")
    default_place.mkdir()
    (default_place / "pid").symlink_to(victim)
    for path in (victim, folder):
        os.chown(path, USER, USER)
    os.chown(default_place, SQUATTER, SQUATTER)
    default_place.chmod(0o777)
    said = refused()
    assert f"{default_place} belongs to another user (uid {SQUATTER})" in said, said
    assert "--run-dir" in said
    assert victim.read_text() == "precious\n"


def test_a_link_that_somebody_else_made(default_place, folder):
    """Also to a folder of our own. One that root made is taken."""
    folder.chmod(0o755)
    os.chown(folder, USER, USER)
    default_place.symlink_to(folder)
    os.chown(default_place, SQUATTER, SQUATTER, follow_symlinks=False)
    assert f"{default_place} belongs to another user" in refused()
    assert not list(folder.iterdir())
    os.chown(default_place, 0, 0, follow_symlinks=False)
    result = run_as(USER, "run", "--input", "job exec:true", "--input", "job.restart=never",
                    "--output", "null", "--state-dir", str(folder / "state"))
    assert result.returncode == 0, result


@pytest.mark.parametrize("plant", ["symlink_to", "hardlink_to"])
def test_a_pid_file_that_is_none(folder, plant):
    """Where the operator's folder is open to all, what lies in there is still not followed."""
    run_dir = folder / "run"
    run_dir.mkdir()
    (folder / "victim").write_text("precious\n")
    getattr(run_dir / "pid", plant)(folder / "victim")
    result = subprocess.run(
        [str(program()), "run", "--run-dir", str(run_dir), "--state-dir", str(folder / "state"),
         "--input", "ring", "--output", "null"],
        capture_output=True, text=True, timeout=SECONDS, check=False)
    assert result.returncode == 1 and f"{run_dir}/pid" in result.stderr, result
    assert (folder / "victim").read_text() == "precious\n"


def test_clients_do_not_talk_to_a_squatter(default_place):
    """Neither the command line nor the library says a word to the sockets of somebody else."""
    default_place.mkdir()
    heard = []
    for name, kind in (("control.sock", socket.SOCK_STREAM), ("log.sock", socket.SOCK_DGRAM),
                       ("ring.sock", socket.SOCK_SEQPACKET)):
        heard.append(socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK))
        heard[-1].bind(str(default_place / name))
        os.chmod(default_place / name, 0o777)
        if kind != socket.SOCK_DGRAM:
            os.seteuid(SQUATTER)  # who listens is who a peer is told of
            heard[-1].listen()
            os.seteuid(0)
    os.chown(default_place, SQUATTER, SQUATTER)
    asked = run_as(USER, "status")
    assert asked.returncode == 1 and "somebody else answers there" in asked.stderr, asked
    sent = run_as(USER, "send", "secret")
    assert sent.returncode != 0, sent
    with pytest.raises(BlockingIOError):
        heard[1].recv(100)
    with pytest.raises(BlockingIOError):
        heard[2].accept()
    connection, _ = heard[0].accept()
    assert connection.recv(100) == b"", "connected to, and not asked"


def test_clients_find_the_default_place(default_place):
    """The folder that the daemon makes there itself is believed, by all of them."""
    process = subprocess.Popen(
        ["setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups", str(program()),
         "run", "--input", "ring", "--input", f"unix:{default_place}/log.sock", "--output",
         "stdio:stdout"],
        env={"PATH": os.environ["PATH"]}, cwd="/", stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert run_as(USER, "status", "--wait", "10s", "--ready").returncode == 0
        assert run_as(USER, "send", "--block", "by the ring").returncode == 0
        assert process.stdout.readline() == b"by the ring\n"
    finally:
        process.terminate()
        process.communicate(timeout=SECONDS)
    assert process.returncode == 0


def test_a_second_start_leaves_the_first_alone(yarder):
    daemon = yarder(PLAIN)
    for _ in range(2):
        second = subprocess.run(daemon.command(), capture_output=True, text=True, timeout=SECONDS,
                                check=False)
        assert second.returncode == 1
        assert f"a daemon already runs in {daemon.run_dir} (pid {daemon.pid})" in second.stderr
        assert (daemon.run_dir / "pid").read_text() == f"{daemon.pid}\n"
        assert daemon.cli("status").returncode == 0
    daemon.stop()
    assert not (daemon.run_dir / "pid").exists()


def test_who_may_ask(yarder, folder):
    """With user=: that user and its group, and root; whoever else is told so."""
    folder.chmod(0o755)
    daemon = yarder("user = nobody\ninput = ring\noutput = null\n")
    facts = (daemon.run_dir / "control.sock").stat()
    assert (facts.st_uid, facts.st_gid) == (NOBODY.pw_uid, NOBODY.pw_gid)
    assert facts.st_mode & 0o7777 == 0o660
    ask = ["status", "--run-dir", str(daemon.run_dir)]
    if run_as(USER, "version").returncode != 0:
        pytest.skip("an ordinary user may not look into the build folder")
    assert run_as(NOBODY.pw_uid, *ask).returncode == 0
    stranger = run_as(USER, *ask)
    assert stranger.returncode == 1
    assert "ask as root or user nobody or as a member of group nogroup" in stranger.stderr
    daemon.cli("reload")
    assert (daemon.run_dir / "control.sock").stat().st_mode & 0o7777 == 0o660


def test_a_user_that_it_may_not_become(folder):
    if run_as(USER, "version").returncode != 0:
        pytest.skip("an ordinary user may not look into the build folder")
    os.chown(folder, USER, USER)
    said = refused("--run-dir", str(folder / "run"), "--user", "nobody")
    assert f"this process (uid {USER}) may not become uid {NOBODY.pw_uid}" in said, said
    assert "start it as root, or leave user and group out" in said
