# SPDX-License-Identifier: Apache-2.0
"""Who is compared: started in a folder with the configuration of a work, looked at, ended.

A subject is a context: inside it takes records; pids() are its processes without the producers it
may have started; when it is left, its files are whole.
"""
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from landing import ROOT, bench_program
from harness import processes
from harness.daemon import Yarder, program
from harness.wait import wait_until

PEERS = ROOT / "bench" / "peers"
UNPACKED = ROOT / "build" / "peers" / "rsyslog"
READY_SECONDS = 20
END_SECONDS = 20
ADMIN_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


def template(work, name, words):
    """The configuration of a work, behind what all works of that program share."""
    files = [PEERS / "common" / name, PEERS / work / name]
    text = "".join(file.read_text() for file in files if file.exists())
    for word, value in words.items():
        text = text.replace("{" + word + "}", str(value))
    return text


def has_template(work, name):
    return (PEERS / work / name).exists()


def is_producer(pid):
    try:
        return os.path.samefile(f"/proc/{pid}/exe", bench_program("produce"))
    except OSError:
        return True  # it has ended: nothing to look at


def family(pid):
    return [one for one in [pid, *processes.descendants(pid)] if not is_producer(one)]


class OurDaemon:
    """yarder, on one of its loops."""
    config_name = "yarder.conf"
    is_killed = False

    def __init__(self, loop):
        self.name = f"yarder {loop}"
        self.loop = loop

    def lacks(self):
        said = subprocess.run([program(), "version"], capture_output=True, text=True, check=True)
        usable = "io_uring  usable" in said.stdout
        return None if self.loop != "uring" or usable else "io_uring is not usable here"

    def start(self, work, folder, words):
        self.daemon = Yarder(folder, template(work, self.config_name, words),
                             arguments=["--io", self.loop])
        self.daemon.start()

    def pids(self):
        return family(self.daemon.pid)

    def stop(self):
        self.daemon.end(signal.SIGTERM)

    def kill(self):
        self.daemon.kill()


class Peer:
    """Another program, in a session of its own, ended by its own process."""
    stop_signal = signal.SIGTERM
    is_killed = False
    environment = {}

    def start(self, work, folder, words):
        config = folder / self.config_name
        config.write_text(template(work, self.config_name, words))
        with open(folder / "said", "wb") as said:
            self.process = subprocess.Popen(
                self.command(folder, config), cwd=folder, stdin=subprocess.DEVNULL, stdout=said,
                stderr=said, start_new_session=True, env={**os.environ, **self.environment})
        try:
            wait_until(lambda: self.is_ready(folder, words), READY_SECONDS,
                       lambda: f"{self.name}: {(folder / 'said').read_text()[-2000:]}")
        except BaseException:
            self.kill()
            raise

    def is_ready(self, folder, words):
        """Its socket is there, a path or a bound port; a program of its own has a gate instead."""
        said = (folder / "said").read_text(errors="replace")
        assert self.process.poll() is None, f"{self.name} ended: {said[-2000:]}"
        return "program" in words or (folder / "in").exists() or is_bound(words["port"])

    def pids(self):
        return family(self.process.pid)

    def stop(self):
        """Also ends what it started; what lay in its buffers is in its files."""
        below = processes.descendants(self.process.pid)
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(END_SECONDS)
        finally:
            processes.end(below)

    def kill(self):
        below = processes.descendants(self.process.pid)
        self.process.kill()
        self.process.wait()
        processes.end(below)


def is_bound(port):
    """Whether somebody has the port, for datagrams or connections, without disturbing them."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return True
    return False


class Rsyslog(Peer):
    name = "rsyslog"
    config_name = "rsyslog.conf"

    def __init__(self):
        self.unpacked = (UNPACKED / "usr/sbin/rsyslogd").exists()
        root = UNPACKED if self.unpacked else Path("/")
        self.program = root / "usr/sbin/rsyslogd"
        self.modules = next(root.glob("usr/lib/*/rsyslog"), None)
        if self.unpacked:
            self.environment = {"LD_LIBRARY_PATH": str(self.modules.parent)}

    def lacks(self):
        found = self.program.exists() and self.modules
        return None if found else "there is no rsyslog (bench/peers.sh fetches it)"

    def command(self, folder, config):
        return [self.program, "-n", "-f", config, "-i", folder / "pid", "-M", self.modules]


class SyslogNg(Peer):
    name = "syslog-ng"
    config_name = "syslog-ng.conf"

    def lacks(self):
        found = shutil.which("syslog-ng", path=ADMIN_PATH)
        return None if found else "syslog-ng is not installed"

    def command(self, folder, config):
        return [shutil.which("syslog-ng", path=ADMIN_PATH), "-F", "--no-caps", "-f", config, "-R",
                folder / "persist", "-p", folder / "pid", "-c", folder / "ctl"]


class Uwsgi(Peer):
    """Killed at the end, before its program: it holds nothing back, and its words about the end of
    either would stand in the file."""
    name = "uwsgi"
    config_name = "uwsgi.ini"
    stop_signal = signal.SIGKILL
    is_killed = True

    def lacks(self):
        return None if shutil.which("uwsgi") else "uwsgi is not installed"

    def command(self, folder, config):
        return ["uwsgi", "--ini", config]

    def is_ready(self, folder, words):
        """Its own first lines are in the file, the last about its program; they make room."""
        assert self.process.poll() is None, (folder / "said").read_text(errors="replace")[-2000:]
        log = folder / "all.log"
        if not log.exists() or b"[uwsgi-daemons] spawning" not in log.read_bytes():
            return False
        os.truncate(log, 0)
        return True


class Alone:
    """No daemon: the producer writes the file by itself, with a call for each record."""
    config_name = None
    is_killed = False

    def __init__(self, how):
        self.name = {"write": "write(2)", "fwrite": "fwrite+mutex"}[how]
        self.how = how

    def lacks(self):
        return None

    def start(self, work, folder, words):
        pass

    def pids(self):
        return []

    def stop(self):
        pass

    def kill(self):
        pass
