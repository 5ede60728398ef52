# SPDX-License-Identifier: Apache-2.0
"""`yarder tap` shows what passes, harms nobody, and lets no record play tricks on a terminal."""
import json
import os
import pty
import re
import signal
import subprocess

from harness import ledger, senders
from harness.daemon import program
from harness.wait import wait_until

CONFIG = """
input = in unix:{folder}/in,socket=stream
output = all file:{folder}/all
output = odd file:{folder}/odd,match=odd
"""
SECONDS = 20


class Tap:
    """A running `yarder tap`; `text` is what it has printed so far."""

    def __init__(self, one, *arguments, stdout=None):
        self.path = one.folder / "tap.out"
        self.output = open(self.path, "wb") if stdout is None else None
        self.process = subprocess.Popen(
            [str(program()), "tap", "--run-dir", str(one.run_dir), *arguments],
            stdout=self.output if stdout is None else stdout, stderr=subprocess.PIPE, text=True)
        self.one = one

    def __enter__(self):
        # It is there when the daemon's writer maps one more.
        wait_until(lambda: any("yarder-tap" in maps(pid) for pid in self.one.worker_pids()),
                   SECONDS, "a tap in the worker")
        return self

    def __exit__(self, kind, trouble, trace):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT if kind is None else signal.SIGKILL)
        self.said = self.process.communicate(timeout=SECONDS)[1]
        if self.output is not None:
            self.output.close()

    def lines(self):
        return self.path.read_text(errors="surrogateescape").splitlines()

    def wait_lines(self, count):
        wait_until(lambda: len(self.lines()) >= count, SECONDS,
                   lambda: f"{count} lines of the tap: {self.lines()[-3:]}")


def maps(pid):
    try:
        return open(f"/proc/{pid}/maps").read()
    except OSError:
        return ""


def send(one, *lines):
    with senders.unix_stream(one.folder / "in") as to:
        to.socket.sendall(b"".join(line + b"\n" for line in lines))


def test_shows_filtered(yarder):
    one = yarder(CONFIG)
    with Tap(one, "--match", "odd|three", "--count", "3") as tap:
        send(one, b"one odd", b"two", b"three", b"four", b"five odd")
        assert tap.process.wait(SECONDS) == 0
    shown = [line.split(": ", 1)[1] for line in tap.lines()]
    assert shown == ["one odd", "three", "five odd"]
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}", tap.lines()[0].split(" ")[0])


def test_shows_one_output(yarder):
    one = yarder(CONFIG)
    with Tap(one, "--output", "odd", "--format", "json") as tap:
        send(one, *(b"%d %s" % (n, b"odd" if n % 2 else b"even") for n in range(10)))
        tap.wait_lines(5)
    assert [json.loads(line)["message"] for line in tap.lines()] == [
        f"{n} odd" for n in range(1, 10, 2)]


def test_a_flood_does_not_wait_for_it(yarder):
    """A looker that has stopped keeps nothing back, and hears of what it did not see."""
    count = 200_000
    one = yarder(CONFIG)
    with Tap(one, "--rate", "0") as tap:
        tap.process.send_signal(signal.SIGSTOP)
        send(one, *(b"%d %s" % (n, b"x" * 100) for n in range(count)))
        status = ledger.wait_settled(one, count, SECONDS)
        assert ledger.lost(status) == 0
        tap.process.send_signal(signal.SIGCONT)
        send(one, b"the last one")
        wait_until(lambda: "the last one" in (tap.lines() or [""])[-1], SECONDS, "the last line")
    shown = len(tap.lines())
    missed = int(re.search(r"(\d+) records came faster", tap.said)[1])
    assert shown + missed == count + 1


def test_says_what_the_rate_kept_back(yarder):
    one = yarder(CONFIG)
    with Tap(one, "--rate", "5") as tap:
        send(one, *(b"%d" % n for n in range(1000)))
        ledger.wait_settled(one, 1000, SECONDS)
        tap.wait_lines(5)
    assert re.search(r"\d+ records were not shown: over --rate", tap.said), tap.said


def test_goes_on_with_the_next_worker(yarder):
    one = yarder(CONFIG)
    with Tap(one) as tap:
        send(one, b"before")
        tap.wait_lines(1)
        one.kill_worker()
        wait_until(lambda: any("yarder-tap" in maps(pid) for pid in one.worker_pids()), SECONDS,
                   "a tap in the next worker")
        send(one, b"after")
        tap.wait_lines(2)
    assert "before" in tap.lines()[0] and "after" in tap.lines()[-1]


def test_a_reload_ends_no_tap(yarder):
    one = yarder(CONFIG)
    with Tap(one) as tap:
        one.cli("reload")
        wait_until(lambda: any("yarder-tap" in maps(pid) for pid in one.worker_pids()), SECONDS,
                   "a tap in the next worker")
        send(one, b"after")
        tap.wait_lines(1)


def test_a_terminal_gets_no_control(yarder):
    one = yarder(CONFIG)
    leader, follower = pty.openpty()
    with Tap(one, "--count", "1", stdout=follower) as tap:
        send(one, b"\x1b]0;gone\x07 \xc2\x9b31m \x9b \xe2\x80\xae flip \xff end")
        assert tap.process.wait(SECONDS) == 0
    os.close(follower)
    shown = os.read(leader, 4096).decode()
    os.close(leader)
    assert r"\x1b]0;gone\x07 \u{9b}31m \x9b \u{202e} flip \xff end" in shown, shown


def test_four_look_and_a_fifth_is_told(yarder):
    one = yarder(CONFIG)
    taps = [Tap(one) for _ in range(4)]
    wait_until(lambda: sum(maps(pid).count("yarder-tap") for pid in one.worker_pids()) >= 12,
               SECONDS, "four taps")
    fifth = one.cli("tap", "--count", "1", check=False)
    assert fifth.returncode == 1 and "at most 4 look at a time" in fifth.stderr
    for tap in taps:
        tap.__exit__(None, None, None)


def test_wrong_wishes(yarder):
    one = yarder(CONFIG)
    for arguments, words in ((("--output", "al"), "no output is named al"),
                             (("--input", "x"), "no input is named x"),
                             (("--match", "("), "tap: --match: "),
                             (("--field", "x"), "tap: --field: "),
                             (("--level", "loud"), "--level"),
                             (("word",), "takes no words")):
        result = one.cli("tap", *arguments, check=False)
        assert result.returncode in (1, 2) and words in result.stderr, (arguments, result)


def test_without_a_daemon(tmp_path):
    result = subprocess.run([str(program()), "tap", "--run-dir", str(tmp_path)],
                            capture_output=True, text=True, timeout=SECONDS, check=False)
    assert result.returncode == 3 and "no daemon at" in result.stderr


def test_doctor(yarder):
    one = yarder(CONFIG)
    result = one.cli("doctor", "--state-dir", str(one.state_dir), "--json")
    found = {finding["name"]: finding for finding in json.loads(result.stdout)}
    assert found["daemon"]["state"] == "good" and "healthy" in found["daemon"]["what"]
    assert found["state directory"]["state"] in ("good", "limits")
    assert all(finding["state"] in ("good", "limits", "unknown", "broken") for finding in
               found.values())
    most = int(open("/proc/sys/net/unix/max_dgram_qlen").read())
    datagrams = found["unix datagrams"]
    assert (datagrams["state"] == "good") == (most >= 512)
    assert datagrams["cure"] == ("" if most >= 512 else "sysctl -w net.unix.max_dgram_qlen=512")


def test_doctor_says_what_is_broken(tmp_path):
    (tmp_path / "file").write_text("")
    for wrong in (tmp_path / "file" / "state", "/proc/x"):
        result = subprocess.run(
            [str(program()), "doctor", "--run-dir", str(tmp_path), "--state-dir", str(wrong)],
            capture_output=True, text=True, timeout=SECONDS, check=False)
        assert result.returncode == 1, result
        assert re.search(r"^broken +state directory", result.stdout, re.MULTILINE), result.stdout
        assert "1 keep it from working" in result.stdout, result.stdout
    assert os.listdir(tmp_path) == ["file"]
