# SPDX-License-Identifier: Apache-2.0
"""Alarms: what they do, what they leave out, and that nothing they do holds up a record."""
import os
import signal
import subprocess
import time

import pytest

from harness import ledger, senders
from harness.wait import wait_until

SECONDS = 20
pytestmark = pytest.mark.sanitize
INPUT = "input = unix:{folder}/in\n"
# Appends what it is given, in one write: two at a time are not mixed.
APPEND = "cat >> {folder}/alarms"


def send(folder, *texts):
    with senders.unix_datagram(folder / "in") as sender:
        for text in texts:
            sender.send(text)


def alarm(daemon, name):
    return next(one for one in daemon.status()["alarms"] if one["name"] == name)


def wait_lines(path, count):
    wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") >= count, SECONDS,
               lambda: f"{count} lines: {path.read_bytes() if path.exists() else None}")
    return sorted(path.read_bytes().splitlines())


def test_command_gets_the_message(yarder, folder):
    """Each match once; the same again within alarm-freq not at all; not-log-alarm goes before."""
    daemon = yarder(INPUT + "output = file:{folder}/out\n"
                    f"alarm = one cmd:{APPEND}\n"
                    "alarm = two cmd:sed s/^/two:/ >> {folder}/two\n"
                    "not-log-alarm = one harmless\n"
                    "log-alarm = one,two ^boom\n"
                    "alarm-freq = 1h\n")
    send(folder, b"boom 1", b"boom 1", b"nothing", b"boom harmless", b"boom 2", b"boom 1")
    assert wait_lines(folder / "alarms", 3) == [b"boom 1", b"boom 1", b"boom 2"]
    assert wait_lines(folder / "two", 3) == [b"two:boom 1", b"two:boom 1", b"two:boom 2"]
    ledger.wait_settled(daemon, 6, SECONDS)
    assert (folder / "out").read_bytes().count(b"\n") == 6
    one = alarm(daemon, "one")
    assert (one["raised"], one["suppressed"], one["failed"]) == (3, 1, 0)
    assert "alarm one: raised 3, suppressed 1, failed 0\n" in daemon.cli("status").stdout


def test_drained_records_raise_alarms_and_requests_do_not(yarder, folder):
    daemon = yarder(INPUT + "input = unix:{folder}/req,kind=request\nlogger = file:{folder}/out\n"
                    "req-logger = file:{folder}/requests\nlog-drain = secret\nlog-filter = boom\n"
                    "alarm = a cmd:" + APPEND + "\nlog-alarm = a boom\nlog-alarm = a quiet\n")
    with senders.unix_datagram(folder / "req") as requests:
        requests.send(b"boom by a request")
    send(folder, b"secret boom", b"quiet", b"boom")
    assert wait_lines(folder / "alarms", 3) == [b"boom", b"quiet", b"secret boom"]
    ledger.wait_settled(daemon, 4, SECONDS)
    assert (folder / "out").read_bytes() == b"boom\n"
    assert (folder / "requests").read_bytes() == b"boom by a request\n"
    assert alarm(daemon, "a")["raised"] == 3


def test_an_alarm_that_logs_does_not_raise_itself(yarder, folder):
    daemon = yarder(INPUT + "logger = file:{folder}/out\nlogger = alarms file:{folder}/alarms\n"
                    "log-route = alarms ALARM\nalarm = a log:look\nalarm = b log:\n"
                    "log-alarm = a,b boom\nalarm-freq = 0\n")
    send(folder, b"boom", b"boom")
    ledger.wait_settled(daemon, 2, SECONDS)
    lines = (folder / "alarms").read_bytes().splitlines()
    assert [line.partition(b" - ")[2] for line in lines] == [
        b"ALARM: look boom", b"ALARM: boom"] * 2
    time.strptime(lines[0].decode().partition(" - ")[0], "%a %b %d %H:%M:%S %Y")
    assert (folder / "out").read_bytes() == b"boom\nboom\n"
    assert daemon.status()["router"]["routed"] == 6


def test_an_output_for_alarms_alone(yarder, folder):
    """It gets no other records, none twice, and those that were dropped as well."""
    daemon = yarder(INPUT + "output = all file:{folder}/all\n"
                    "output = pager file:{folder}/pager,format=<${msg}>\n"
                    "output = errors file:{folder}/errors,match=error\n"
                    "drop = ^drop\n"
                    "alarm = p output:pager\nalarm = e output:errors\n"
                    "log-alarm = p,e boom\n")
    send(folder, b"one", b"boom", b"drop boom", b"error boom", b"error")
    ledger.wait_settled(daemon, 5, SECONDS)
    assert (folder / "pager").read_bytes() == b"<boom>\n<drop boom>\n<error boom>\n"
    assert (folder / "errors").read_bytes() == b"boom\ndrop boom\nerror boom\nerror\n"
    assert (folder / "all").read_bytes() == b"one\nboom\nerror boom\nerror\n"
    told = daemon.cli("check", "--explain", str(daemon.config)).stdout
    assert "output pager takes what alarms send here\n" in told
    assert f"    what matches 'boom' raises p,e ({daemon.config}:8)\n" in told
    told = daemon.cli("explain", "drop boom", "--config", str(daemon.config)).stdout
    assert f"log-alarm 'boom' ({daemon.config}:8): matches, raises p,e\n" in told


def test_a_hanging_command_holds_nobody_up(yarder, folder):
    """It is killed with its children; more than there are places wait, then fail, counted."""
    daemon = yarder(INPUT + "output = file:{folder}/out\n"
                    "alarm = hang cmd:echo $$ >> {folder}/pids; sleep 3600 & wait\n"
                    "log-alarm = hang boom\nalarm-timeout = 500ms\n")
    count = 200
    send(folder, *(b"boom %d" % number for number in range(count)))
    ledger.wait_settled(daemon, count, SECONDS)
    wait_until(lambda: alarm(daemon, "hang")["failed"] >= count - 64, SECONDS, "failures")
    assert alarm(daemon, "hang")["raised"] == count
    began = wait_lines(folder / "pids", 8)
    wait_until(lambda: not any(os.path.exists(f"/proc/{int(pid)}") for pid in began), SECONDS,
               "the end of the first ones")
    send(folder, b"quiet")
    daemon.wait_for_stderr("alarm hang: ", SECONDS)


def test_troubles_of_commands_are_told(yarder, folder):
    daemon = yarder(INPUT + "output = null:\nalarm = three cmd:exit 3\nalarm = gone cmd:/nowhere\n"
                    "alarm = killed cmd:kill -9 $$\nlog-alarm = three,gone,killed boom\n")
    send(folder, b"boom")
    for name, words in {"three": "status 3", "gone": "status 127", "killed": "SIGKILL"}.items():
        wait_until(lambda name=name: alarm(daemon, name)["failed"] == 1, SECONDS, name)
        assert words in alarm(daemon, name)["last_failure"]


def test_signal_to_a_process(yarder, folder):
    """To the process that the file names when the alarm is raised."""
    got = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: got.append(number))
    try:
        daemon = yarder(INPUT + "output = null:\nalarm = s signal:USR1,{folder}/pid\n"
                        "log-alarm = s boom\n")
        send(folder, b"boom")
        wait_until(lambda: alarm(daemon, "s")["failed"] == 1, SECONDS, "no file, no signal")
        (folder / "pid").write_text("one\n")
        send(folder, b"boom again")
        wait_until(lambda: alarm(daemon, "s")["failed"] == 2, SECONDS, "no number, no signal")
        assert alarm(daemon, "s")["last_failure"] == "the file holds no process id"
        (folder / "pid").write_text(f"{os.getpid()}\n")
        send(folder, b"boom once more")
        wait_until(lambda: got == [signal.SIGUSR1], SECONDS, "the signal")
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_command_is_left_with_nothing_of_ours(yarder, folder):
    """No descriptor, no blocked or ignored signal, its own group; what it prints goes to stderr."""
    daemon = yarder(INPUT + "output = stdio:\nalarm = look cmd:ls -l /proc/self/fd > {folder}/fds; "
                    "grep ^Sig /proc/self/status > {folder}/signals; echo printed\n"
                    "log-alarm = look boom\n")
    send(folder, b"boom")
    wait_lines(folder / "signals", 5)
    opened = {line.split()[8] for line in (folder / "fds").read_text().splitlines()[1:]}
    assert opened <= {"0", "1", "2", "3"}  # 3 is the folder that ls reads
    signals = dict(line.split(":\t") for line in (folder / "signals").read_text().splitlines())
    of_libc = 3 << 31  # ignored where whoever starts the tests ignores them
    assert int(signals["SigIgn"], 16) & ~of_libc == 0 and int(signals["SigBlk"], 16) == 0
    daemon.wait_for_stderr("printed\n", SECONDS)
    daemon.stop()
    assert (folder / "stdout").read_bytes() == b"boom\n"


def test_what_is_queued_is_done_before_the_end(yarder, folder):
    daemon = yarder(INPUT + "output = file:{folder}/out\n"
                    f"alarm = a cmd:{APPEND}\nlog-alarm = a boom\n")
    send(folder, *(b"boom %d" % number for number in range(30)))
    daemon.stop()
    assert (folder / "alarms").read_bytes().count(b"\n") == 30


def test_a_long_message_is_cut(yarder, folder):
    yarder(INPUT + "output = null:\nalarm = a cmd:" + APPEND + "\nlog-alarm = a boom\n"
           "alarm-msg-size = 100\n")
    send(folder, b"boom" + b"x" * 1000)
    assert wait_lines(folder / "alarms", 1) == [b"boom" + b"x" * 96]


def test_a_worker_that_dies_loses_no_alarm(yarder, folder):
    """What an alarm gives an output is in the record's own commit: all of it, none twice."""
    daemon = yarder("input = ring\noutput = null:\noutput = pager file:{folder}/pager\n"
                    "alarm = p output:pager\nlog-alarm = p boom\n")
    count = 20000
    text = b"".join(b"boom %d\n" % number for number in range(count))
    command = daemon.cli_command("send", "--stdin-lines", "--block")
    with subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as sender:
        sender.stdin.write(text[:len(text) // 2])
        daemon.kill_worker()
        sender.stdin.write(text[len(text) // 2:])
        _, said = sender.communicate(timeout=SECONDS)
        assert sender.returncode == 0, said
    ledger.wait_settled(daemon, count, SECONDS)
    assert (folder / "pager").read_bytes() == text


def test_a_reload_brings_other_alarms(yarder, folder):
    """Commands of the worker before end in peace, and do not keep the new one waiting."""
    daemon = yarder(INPUT + "output = null:\nalarm = a cmd:echo begun >> {folder}/a; "
                    "until [ -e {folder}/go ]; do sleep 0.01; done; echo ended >> {folder}/a\n"
                    "log-alarm = a boom\n")
    send(folder, b"boom")
    wait_lines(folder / "a", 1)
    daemon.write_config(INPUT + f"output = null:\nalarm = b cmd:{APPEND}\nlog-alarm = b boom\n")
    daemon.cli("reload")
    send(folder, b"boom")
    assert wait_lines(folder / "alarms", 1) == [b"boom"]
    assert [one["name"] for one in daemon.status()["alarms"]] == ["b"]
    (folder / "go").touch()
    assert wait_lines(folder / "a", 2) == [b"begun", b"ended"]
