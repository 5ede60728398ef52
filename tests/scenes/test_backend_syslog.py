# SPDX-License-Identifier: Apache-2.0
"""syslog: rsyslog and syslog-ng read what was meant, uWSGI's lines are its own to the byte."""
import json
import os
import re
import signal
import socket
import subprocess

import pytest

from harness import audit, certificates, ledger, peers, receivers, senders
from harness.daemon import ROOT, program
from harness.stores import Try, try_backend
from harness.wait import free_port, wait_until

SIZE = 100
RECORDS = 100000
UNPACKED = ROOT / "build" / "peers" / "rsyslog"
STAMP = rb"[A-Z][a-z][a-z] [ 1-3]\d \d\d:\d\d:\d\d"


def text(number, size=SIZE):
    head = b"%d " % number
    return head + b"x" * (size - len(head))


# (facility, severity, host, app, procid, msgid, structured data, text)
WANTED = [
    (0, 0, "a.example", "app", "1", "ID47", {}, "plain"),
    (23, 7, "b-2.example", "a" * 48, "4000000000", "-", {}, "zwölf Grüße, \U0001f600"),
    (16, 3, "host", "x", "-", "-", {"x@32473": {"iut": "3", "src": 'A "quoted" \\ ]'}}, "data"),
    (3, 5, "host", "x", "name", "m", {"x@32473": {"a": "1"}, "origin": {"ip": "10.0.0.1"}}, "two"),
    (1, 6, "host", "x", "7", "-", {"yarder@32473": {"status": "200", "user": "eve"}}, "own"),
    (1, 4, "host", "x", "7", "-", {}, "text with [brackets] and <13> in it: fine"),
]


def line_of(one):
    facility, severity, host, app, procid, msgid, data, said = one
    elements = "".join(
        f"[{name} " + " ".join(f'{key}="{quoted(value)}"' for key, value in values.items()) + "]"
        for name, values in data.items())
    return (f"<{facility * 8 + severity}>1 2026-02-03T04:05:06.123456Z {host} {app} {procid} "
            f"{msgid} {elements or '-'} {said}").encode()


def quoted(value):
    return re.sub(r'(["\\\]])', r"\\\1", value)


def data_of(structured):
    """{id: {name: value}} of an RFC 5424 text."""
    found = {}
    for element in re.finditer(r'\[(\S+?)((?: [^ =]+="(?:\\.|[^"\\])*")*)\]', structured):
        pairs = re.findall(r' ([^ =]+)="((?:\\.|[^"\\])*)"', element[2])
        found[element[1]] = {key: re.sub(r"\\(.)", r"\1", value) for key, value in pairs}
    return found


class Rsyslog:
    """rsyslogd, of the system or unpacked by bench/peers.sh; what it has read, taken apart."""

    TEMPLATE = ("%pri%\\t%timereported:::date-rfc3339%\\t%hostname%\\t%app-name%\\t%procid%\\t"
                "%msgid%\\t%structured-data%\\t%msg%\\n")

    def __init__(self, folder):
        program = UNPACKED / "usr/sbin/rsyslogd"
        if not program.exists():
            pytest.skip("no rsyslog (bench/peers.sh fetches it)")
        self.path, self.folder = folder / "rsyslog.out", folder
        self.tcp, self.udp = free_port(), free_port(socket.SOCK_DGRAM)
        modules = next(UNPACKED.glob("usr/lib/*/rsyslog"))
        (folder / "rsyslog.conf").write_text(
            f'global(workDirectory="{folder}" parser.escapeControlCharactersOnReceive="off")\n'
            f'module(load="imtcp")\nmodule(load="imudp")\n'
            f'input(type="imtcp" address="127.0.0.1" port="{self.tcp}")\n'
            f'input(type="imudp" address="127.0.0.1" port="{self.udp}")\n'
            f'template(name="parts" type="string" string="{self.TEMPLATE}")\n'
            f'action(type="omfile" file="{self.path}" template="parts")\n')
        self.environment = {**os.environ, "LD_LIBRARY_PATH": str(modules.parent)}
        self.command = [program, "-n", "-f", folder / "rsyslog.conf", "-i", folder / "rsyslog.pid",
                        "-M", str(modules)]

    def __enter__(self):
        with open(self.folder / "rsyslog.said", "wb") as said:
            self.process = subprocess.Popen(self.command, cwd=self.folder, env=self.environment,
                                            stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        wait_until(lambda: peers.answers(self.tcp), 20,
                   lambda: (self.folder / "rsyslog.said").read_text())
        return self

    def __exit__(self, kind, trouble, trace):
        self.process.kill()
        self.process.wait()

    def rows(self, count):
        def come():
            lines = self.path.read_text().splitlines() if self.path.exists() else []
            return lines if len(lines) >= count else None

        for line in wait_until(come, 20, lambda: f"{count} lines: {self.path}"):
            priority, stamp, host, app, procid, msgid, data, said = line.split("\t")
            yield (int(priority) // 8, int(priority) % 8, host, app, procid, msgid,
                   data_of(data), said), stamp


class SyslogNg:
    """syslog-ng with TCP, TLS and UDP; what it has read, as JSON."""

    def __init__(self, folder):
        self.path, self.folder = folder / "ng.out", folder
        self.tcp, self.tls, self.udp = free_port(), free_port(), free_port(socket.SOCK_DGRAM)
        template = ('$(format-json pri=int($PRI) stamp="$S_ISODATE" host="$HOST" app="$PROGRAM" '
                    'procid="$PID" msgid="$MSGID" data="$SDATA" said="$MSG")\n')
        (folder / "ng.conf").write_text(f"""@version: 3.38
options {{ keep-hostname(yes); use-dns(no); frac-digits(6); ts-format(iso); }};
source tcp {{ syslog(ip(127.0.0.1) port({self.tcp}) transport("tcp")); }};
source tls {{ syslog(ip(127.0.0.1) port({self.tls}) transport("tls") tls(
  key-file("{folder}/server.key") cert-file("{folder}/server.pem") ca-file("{folder}/ca.pem")
  peer-verify(required-trusted))); }};
source udp {{ network(ip(127.0.0.1) port({self.udp}) transport("udp")); }};
destination out {{ file("{self.path}" template('{template}')); }};
log {{ source(tcp); source(tls); source(udp); destination(out); }};
""")
        self.server = peers.Server(
            [peers.need("syslog-ng"), "-F", "-f", "ng.conf", "--no-caps", "-R", "ng.persist",
             "-p", "ng.pid", "-c", "ng.ctl"], folder, self.tls)

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *trouble):
        self.server.__exit__(*trouble)

    def rows(self, count):
        def come():
            lines = self.path.read_text().splitlines() if self.path.exists() else []
            return lines if len(lines) >= count else None

        for line in wait_until(come, 20, lambda: f"{count} lines: {self.server.said()}"):
            one = json.loads(line)
            yield (one["pri"] // 8, one["pri"] % 8, one["host"], one["app"], one["procid"] or "-",
                   one["msgid"] or "-", data_of(one["data"]), one["said"]), one["stamp"]


def assert_same_time(stamp):
    assert re.fullmatch(r"2026-02-03T04:05:06\.123456(\+00:00|Z)", stamp), stamp


SENDS = """\
input  = unix:{folder}/in,parse=syslog
output = syslog:"""


def send_wanted(yarder, folder, options):
    daemon = yarder(SENDS + options + "\n", environment={"TZ": "UTC"})
    sender = senders.unix_datagram(folder / "in")
    for one in WANTED:
        sender.send(line_of(one))
    ledger.wait_settled(daemon, len(WANTED), 20)


@pytest.mark.parametrize("road", ["tcp", "tcp-lf", "udp"])
def test_rsyslog_reads_rfc5424(yarder, folder, road):
    with Rsyslog(folder) as server:
        target = f"udp://127.0.0.1:{server.udp}" if road == "udp" else (
            f"tcp://127.0.0.1:{server.tcp}" + (",framing=lf" if road == "tcp-lf" else ""))
        send_wanted(yarder, folder, target)
        rows = list(server.rows(len(WANTED)))
        assert [row for row, _ in rows] == WANTED
        for _, stamp in rows:
            assert_same_time(stamp)


@pytest.mark.parametrize("road", ["tcp", "tls"])
def test_syslog_ng_reads_rfc5424(yarder, folder, road):
    certificates.usual(folder)
    certificates.certificate(folder, "client", "ca")
    with SyslogNg(folder) as server:
        target = f"tcp://127.0.0.1:{server.tcp}" if road == "tcp" else (
            f"tls://localhost:{server.tls},ca={folder}/ca.pem,cert={folder}/client.pem,"
            f"key={folder}/client.key")
        send_wanted(yarder, folder, target)
        rows = list(server.rows(len(WANTED)))
        assert [row for row, _ in rows] == WANTED
        for _, stamp in rows:
            assert_same_time(stamp)


@pytest.mark.parametrize("peer", [Rsyslog, SyslogNg])
def test_rfc3164(yarder, folder, peer):
    certificates.usual(folder)
    with peer(folder) as server:
        send_wanted(yarder, folder, f"udp://127.0.0.1:{server.udp},header=rfc3164")
        rows = [row for row, _ in server.rows(len(WANTED))]
    for found, wanted in zip(rows, WANTED):
        assert found[:2] == wanted[:2]
        assert found[2:4] == wanted[2:4]
        assert found[4] == (wanted[4] if wanted[4].isdigit() else "-")
        assert found[7].removeprefix(" ") == wanted[7]


def test_local_socket(folder):
    """Datagrams as libc sends them; a stream, a NUL behind each, where that is what listens."""
    with receivers.unix_datagram(folder / "log") as receiver:
        options = ["ident=my program", "default-facility=local6", "default-severity=err"]
        assert try_backend("syslog", f"{folder}/log", 1, 9, *options)[0] == 1
        assert try_backend("syslog", f"unix:{folder}/log", 1, 9, "header=rfc5424")[0] == 1
        receiver.wait_for_lines(2, 20)
        old, new = receiver.datagrams
        assert re.fullmatch(b"<182>" + STAMP + b" my_program: 0 xxxxxxx", old), old
        assert re.fullmatch(rb"<14>1 20\d\d-\S+Z vm - - - - 0 xxxxxxx", new), new
    with receivers.unix_stream(folder / "stream") as receiver:
        assert try_backend("syslog", f"{folder}/stream", 2, 9, "ident=me")[0] == 2
        wait_until(lambda: receiver.streams and receiver.streams[0].count(b"\0") == 2, 20, "two")
        line = b"<14>" + STAMP + b" me: %d xxxxxxx\0"
        assert re.fullmatch(line % 0 + line % 1, receiver.streams[0]), receiver.streams
        said = Try("syslog", f"unix-dgram:{folder}/stream", 1, 9).says()
        assert "Protocol wrong type for socket" in said


def uwsgi_says(folder, receiver, logger, lines, *options, wrapper=()):
    """What a uWSGI sends whose app writes the lines, stamps hidden."""
    port = free_port()
    (folder / "said.py").write_text(f"import os\nfor line in {lines!r}:\n    os.write(1, line)\n")
    command = [
        *wrapper, peers.need("uwsgi"), "--plugins", "python3,rsyslog,syslog", "--master",
        "--http-socket", f"127.0.0.1:{port}", "--pythonpath", str(folder), "--import", "said",
        "--logger", logger, "--die-on-term", *options]
    with peers.Server(command, folder, port, signal.SIGKILL, (-signal.SIGKILL,)):
        for last in (b"MARK end", b"spawned uWSGI worker 1 "):
            wait_until(lambda: any(last in one for one in receiver.datagrams), 20,
                       lambda: f"{last}: {receiver.datagrams}")
    theirs = marked(receiver)
    receiver.datagrams.clear()
    return theirs


PACKETS_OF_200 = ["rsyslog-packet-size = 200"]
SPLIT = [*PACKETS_OF_200, "rsyslog-split-messages = true"]


@pytest.mark.parametrize("rest,options", [
    ("", []), (",tag1234", []), (",my host my tag,134", []), (",t,0", []),
    (",tag", PACKETS_OF_200), (",tag", SPLIT)])
def test_uwsgi_rsyslog_to_the_byte(yarder, folder, rest, options):
    """The same lines by uWSGI itself and by us: the same datagrams, but for the time."""
    size = 1500 if options else 900
    lines = [b"MARK short\n", b"MARK two\nlines", b"MARK " + b"0123456789" * (size // 10),
             b"MARK end"]
    with receivers.udp() as receiver:
        logger = f"rsyslog:127.0.0.1:{receiver.port}{rest}"
        words = [f"--{option.replace(' ', '').removesuffix('=true')}" for option in options]
        theirs = uwsgi_says(folder, receiver, logger, lines, *words)
        yarder("\n".join(["input = unix:{folder}/in", f"logger = {logger}", *options, ""]))
        sender = senders.unix_datagram(folder / "in")
        for line in lines:
            sender.send(line)
        wait_until(lambda: len(marked(receiver)) >= len(theirs), 20, lambda: receiver.datagrams)
        assert marked(receiver) == theirs
        assert len(theirs) == 4 if options != SPLIT else len(theirs) == 4 + size // 170
        print(theirs[0], [len(one) for one in theirs])


def marked(receiver):
    return [re.sub(rb"^(<\d+>)" + STAMP, rb"\1STAMP", one) for one in list(receiver.datagrams)
            if b"MARK" in one or b"0123456789" in one]


def test_uwsgi_where_its_own_is_broken(yarder, folder):
    """uWSGI drops a long message altogether whose tag has over 7 letters: it is cut, or split."""
    with receivers.udp() as receiver:
        yarder("input = unix:{folder}/in\n"
               f"logger = rsyslog:127.0.0.1:{receiver.port},a_long_tag,daemon.err\n"
               "rsyslog-packet-size = 200\n")
        sender = senders.unix_datagram(folder / "in")
        sender.send(b"x" * 5000)
        receiver.wait_for_lines(1, 20)
        assert len(receiver.datagrams[0]) == 199
        assert re.fullmatch(b"<27>" + STAMP + b" a_long_tag: x+", receiver.datagrams[0])


# In a mount namespace of its own, a /dev whose log is the scene's.
OWN_DEV = """mount -t tmpfs none "$0" &&
cp -a /dev/null /dev/zero /dev/random /dev/urandom "$0" && ln -s "$1" "$0/log" &&
mount --bind "$0" /dev && shift && exec "$@"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="a /dev of its own takes root")
@pytest.mark.parametrize("argument", ["", "me", "a b,local6", "me,security"])
def test_uwsgi_syslog_to_the_byte(yarder, folder, argument):
    """What libc sends to /dev/log for uWSGI."""
    (folder / "dev").mkdir()
    own = ["unshare", "-m", "sh", "-c", OWN_DEV, f"{folder}/dev", f"{folder}/log"]
    lines = [b"MARK short\n", b"MARK two\nlines\n", b"MARK " + b"x" * 3000 + b"\n", b"MARK end\n"]
    with receivers.unix_datagram(folder / "log") as receiver:
        theirs = uwsgi_says(folder, receiver, f"syslog:{argument}", lines, wrapper=own)
        yarder(f"input = unix:{{folder}}/in\nlogger = syslog:{argument}\n", wrapper=own)
        sender = senders.unix_datagram(folder / "in")
        for line in lines:
            sender.send(line)
        wait_until(lambda: len(marked(receiver)) >= len(theirs), 20, lambda: receiver.datagrams)
        assert len(theirs) == 4 and marked(receiver) == theirs


def test_split(folder):
    """Every character of a long line arrives, in packets with the same header."""
    with receivers.udp() as receiver:
        target = f"udp://127.0.0.1:{receiver.port}"
        assert try_backend("syslog", target, 1, 5000, "packet-size=512", "ident=me")[0] == 1
        wait_until(lambda: sum(one.count(b"x") for one in receiver.datagrams) >= 4998, 20, "all")
        heads = {re.match(rb"<14>1 \S+Z vm me - - - ", one)[0] for one in receiver.datagrams}
        assert len(heads) == 1
        head = heads.pop()
        assert b"".join(one[len(head):] for one in receiver.datagrams) == text(0, 5000)
        assert {len(one) for one in receiver.datagrams[:-1]} == {512}
        receiver.datagrams.clear()
        assert try_backend("syslog", target, 1, 5000, "packet-size=512", "split=no")[0] == 1
        receiver.wait_for_lines(1, 20)
        assert [len(one) for one in receiver.datagrams] == [512]


def test_wrong_options(folder):
    for options, why in [
            (["default-facility=locals"], "default-facility: expected kern, user"),
            (["default-severity=8"], "default-severity: expected emerg, alert"),
            (["sd-id=a b"], "sd-id: expected NAME@NUMBER"),
            (["framing=lf"], "framing is for tcp://, tls:// and unix-stream:"),
            (["ca=/x"], "ca= is for targets with tls://")]:
        assert why in Try("syslog", "udp://127.0.0.1:514", 1, 9, *options).says()
    for line, why in [("rsyslog", "expected rsyslog:HOST"), ("rsyslog::514", "expected HOST"),
                      ("rsyslog:h,t,192", "expected a priority of 0 to 191"),
                      ("rsyslog:h,t,daemon.loud", "'loud' is no severity"),
                      ("syslog:me,locals", "'locals' is no facility")]:
        assert why in Try("syslog", f"uwsgi:{line}", 1, 9).says()


def test_a_facility_that_chooses_is_not_the_one_that_is_sent():
    for options, words in [("facility=local3", "what is sent is default-facility=\n"),
                           ("default-facility=local3", "")]:
        said = subprocess.run([program(), "check", "--input", "stdin", "--output",
                               f"syslog:,{options}"], capture_output=True, text=True, timeout=20,
                              check=True).stderr
        assert said.endswith(words) and bool(said) == bool(words), said


KILLED = """\
input  = unix:{folder}/in,socket=stream
output = there syslog:tcp://127.0.0.1:PORT,queue=disk:64M,on-full=block,framing=lf
"""


def test_rsyslog_killed(yarder, folder):
    """100 000 records while rsyslogd is killed and comes again: what it had not read is lost."""
    server = Rsyslog(folder)
    daemon = yarder(KILLED.replace("PORT", str(server.tcp)))
    sender = senders.unix_stream(folder / "in")

    def send(first, end):
        sender.send(b"\n".join(audit.make("a", number, SIZE) for number in range(first, end)))

    def delivered():
        return ledger.named(daemon.status(), "there")["delivered"]

    def lines():
        return server.path.read_bytes().splitlines(keepends=True)

    with server:
        send(0, RECORDS // 2)
        wait_until(lambda: delivered() > RECORDS // 10, 20, "records")
    read = len([line for line in lines() if line.endswith(b"\n")])
    daemon.wait_for_stderr("records wait", 20)
    send(RECORDS // 2, RECORDS)
    with server:
        ledger.wait_settled(daemon, RECORDS, 20)
        last = audit.make("a", RECORDS - 1, SIZE)
        wait_until(lambda: lines()[-1].endswith(last + b"\n"), 20, "the last record")
    # Half a line that rsyslogd left behind when it was killed stands before the next whole one.
    found = audit.Audit({"a": RECORDS}, prefix=rb".*\t").lines(lines()).report()
    gone = int(re.findall(rb"\ta (\d+) ", lines()[read])[-1])
    found.assert_clean(missing=gone - read)
    print(f"lost with rsyslogd: {found.missing} of {RECORDS} records of {SIZE} bytes")
