# SPDX-License-Identifier: Apache-2.0
"""winevent: events read back by strict readers of others, from files, by syslog and by HTTPS."""
import json
import os
import re
import shutil
import ssl
import subprocess
import xml.etree.ElementTree as etree
from pathlib import Path

import pytest

from harness import ledger, load, peers, receivers, senders, stores
from harness.audit import Audit
from harness.daemon import ROOT, program
from harness.stores import try_backend
from harness.wait import free_port, wait_until
from harness.web import WebServer

SETTLE_SECONDS = 20
NAMESPACE = "{http://schemas.microsoft.com/win/2004/08/events/event}"
# The order in which the schema of events wants them.
SYSTEM = ["Provider", "EventID", "Version", "Level", "Task", "Opcode", "Keywords", "TimeCreated",
          "EventRecordID", "Correlation", "Execution", "Channel", "Computer", "Security"]


def parse(line):
    """One event, as strict about its shape as its schema is."""
    event = etree.fromstring(line)
    assert event.tag == f"{NAMESPACE}Event"
    assert [one.tag.removeprefix(NAMESPACE) for one in event] == \
        ["System", "EventData", "RenderingInfo"]
    system = {one.tag.removeprefix(NAMESPACE): one for one in event[0]}
    assert list(system) == SYSTEM
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z",
                        system["TimeCreated"].get("SystemTime"))
    for name, most in (("EventID", 65535), ("Level", 255), ("EventRecordID", 2**64 - 1)):
        assert 0 <= int(system[name].text) <= most
    return system, event[1], event[2]


def texts(lines):
    return [parse(line)[1][0].text.encode() + b"\n" for line in lines]


def test_a_file(yarder, folder):
    """Renamed and reopened on the way; each event is one line, and all are there."""
    one = yarder("input = ring\noutput = winevent:file:{folder}/events,source=app\n")
    with load.RingProducer(one, "ring", 30_000) as producer:
        ledger.wait_for(one, lambda s: s["outputs"][0]["delivered"] > 10_000)
        (folder / "events").rename(folder / "events.1")
        one.cli("reopen")
        ledger.wait_for(one, lambda s: s["outputs"][0]["delivered"] > 30_000)
        one.kill_worker()
        ledger.wait_for(one, lambda s: s["inputs"][0]["received"] > 50_000)
        counts = producer.end()
    status = ledger.wait_settled(one, counts["ring"], SETTLE_SECONDS)
    lines = [line for name in ("events.1", "events")
             for line in (folder / name).read_bytes().split(b"\n")[:-1]]
    assert (folder / "events").stat().st_size > 0 and (folder / "events.1").stat().st_size > 0
    whole = [line for line in lines if line.endswith(b"</Event>")]
    report = Audit(counts).lines(texts(whole)).report()
    print(f"{counts['ring']} events, {report.twice} twice, {len(lines) - len(whole)} torn by a "
          "worker's death")
    report.assert_clean(twice=status["outputs"][0]["uncertain"])
    assert len(lines) - len(whole) <= 1
    numbers = [int(parse(line)[0]["EventRecordID"].text) for line in whole[:1000]]
    assert numbers == sorted(set(numbers))


def test_half_an_event_is_ended(yarder, folder):
    """As a worker's death leaves it."""
    (folder / "events").write_bytes(b"<Event><Sys")
    one = yarder("input = unix:{folder}/in\noutput = winevent:file:{folder}/events\n")
    with senders.unix_datagram(folder / "in") as sender:
        sender.send(b"whole")
    ledger.wait_settled(one, 1, SETTLE_SECONDS)
    half, event = (folder / "events").read_bytes().splitlines()
    assert half == b"<Event><Sys" and texts([event]) == [b"whole\n"]


@pytest.mark.sanitize
def test_what_an_event_says(yarder, folder):
    one = yarder("input = unix:{folder}/in,parse=syslog\n"
                 "output = winevent:file:{folder}/events,channel=Security,event-id=7,"
                 "computer=vm.example.com,named-data=yes,extended-levels=yes\n")
    with senders.unix_datagram(folder / "in") as sender:
        sender.send(b"<130>1 2023-11-14T22:13:20.123456Z web1 nginx 77 - [o@1 user=\"<J>\"] "
                    b"tab\there \x1b & \xff<end>]]>")
    ledger.wait_settled(one, 1, SETTLE_SECONDS)
    [line] = (folder / "events").read_bytes().splitlines()
    system, data, rendering = parse(line)
    assert system["Provider"].attrib == {"Name": "nginx", "EventSourceName": "nginx"}
    assert system["EventID"].text == "7" and system["Level"].text == "1"
    assert system["TimeCreated"].get("SystemTime") == "2023-11-14T22:13:20.1234560Z"
    assert system["Execution"].get("ProcessID") == "77"
    assert system["Channel"].text == "Security" and system["Computer"].text == "vm.example.com"
    assert data[0].text.startswith("tab\there ") and data[0].text.endswith("<end>]]>")
    assert "<J>" in {one.text for one in data if one.get("Name") is not None}
    assert rendering[0].text == data[0].text and rendering[1].text == "Critical"


def test_syslog_ng_reads_it(folder):
    """XML within syslog over TCP, by an xml() parser of somebody else's."""
    port = free_port()
    modules = Path(shutil.which("syslog-ng", path="/usr/sbin:/sbin") or "/").parents[1]
    if not list(modules.glob("lib/syslog-ng/*/libxml.so")):
        pytest.skip("syslog-ng-mod-xml-parser is not installed")
    system = "${.win.Event.System."
    (folder / "sng.conf").write_text(
        "@version: 3.38\n"
        f'source s {{ network(transport(tcp) ip("127.0.0.1") port({port}) '
        "flags(syslog-protocol) log-msg-size(262144)); };\n"
        'parser p { xml(prefix(".win.")); };\n'
        f'destination d {{ file("{folder}/out" template("$HOST|$PROGRAM|{system}EventID}}|'
        f"{system}Provider._Name}}|{system}Level}}|{system}EventRecordID}}|"
        '${.win.Event.RenderingInfo.Message}\\n")); };\n'
        "log { source(s); parser(p); destination(d); };\n")
    command = [peers.need("syslog-ng"), "-F", "-f", folder / "sng.conf", "--no-caps", "-R",
               folder / "persist", "-p", folder / "pid", "-c", folder / "ctl"]
    with peers.Server(command, folder, port):
        assert try_backend("winevent", f"tcp://127.0.0.1:{port}", 5000, 100, "source=app")[0] \
            == 5000
        out = folder / "out"
        wait_until(lambda: out.exists() and out.read_bytes().count(b"\n") == 5000, 20, "events")
    for number, line in enumerate(out.read_text().splitlines()):
        assert re.fullmatch(rf'[^|]+\|app\|1\|app\|4\|{number}\|"?{number} x+"?', line), line


def rsyslog():
    """Where bench/peers.sh unpacks it."""
    for place in (ROOT / "build" / "peers" / "rsyslog", Path("/")):
        if (place / "usr/sbin/rsyslogd").exists():
            return place
    return pytest.skip("rsyslog is not there (bench/peers.sh fetches it)")


def test_rsyslog_reads_snare(folder):
    """pmsnare takes the line for what Snare itself sends: a tag, and the columns behind it."""
    place, port = rsyslog(), free_port()
    libraries = place / "usr/lib" / f"{os.uname().machine}-linux-gnu"
    (folder / "rs.conf").write_text(
        'global(parser.escapeControlCharactersOnReceive="off")\n'
        'module(load="imtcp")\nmodule(load="pmsnare")\n'
        'template(name="t" type="string" string="%HOSTNAME%|%syslogtag%|%msg%\\n")\n'
        'ruleset(name="r" parser=["rsyslog.snare", "rsyslog.rfc3164"]) {\n'
        f'  action(type="omfile" file="{folder}/out" template="t")\n}}\n'
        f'input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="r")\n')
    command = ["env", f"LD_LIBRARY_PATH={libraries}", place / "usr/sbin/rsyslogd", "-n", "-f",
               folder / "rs.conf", "-i", folder / "pid", "-M", libraries / "rsyslog"]
    with peers.Server(command, folder, port):
        assert try_backend("winevent", f"tcp://127.0.0.1:{port}", 1000, 100, "shape=snare",
                           "source=app", "computer=pc7")[0] == 1000
        out = folder / "out"
        wait_until(lambda: out.exists() and out.read_bytes().count(b"\n") == 1000, 20, "events")
    for number, line in enumerate(out.read_text().splitlines()):
        host, tag, message = line.split("|", 2)
        columns = message.lstrip().split("\t")
        assert host == "pc7" and tag.startswith("MSWinEventLog"), line
        assert columns[:3] == ["1", "Application", str(number)], line
        assert columns[4:11] == ["1", "app", "N/A", "N/A", "Information", "pc7", "None"], line
        assert columns[12].startswith(f"{number} xxx") and columns[13] == str(number)


def test_json_by_https(yarder, folder):
    stores.certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    with WebServer(context=context) as server:
        one = yarder("input = unix:{folder}/in,socket=stream\noutput = w "
                     f"winevent:https://127.0.0.1:{server.port}/events,shape=json,"
                     f"ca={folder}/cert.pem,retry=10ms..100ms,queue=disk:64M\n")
        with senders.unix_stream(folder / "in") as sender:
            sender.send_audited("unix", 10_000)
            ledger.wait_for(one, lambda s: s["outputs"][0]["delivered"] > 0)
            server.stop()
            sender.send_audited("unix", 10_000, first=10_000)
            ledger.wait_for(one, lambda s: s["outputs"][0]["errors"] > 2)
            server.start()
        ledger.wait_settled(one, 20_000, SETTLE_SECONDS)
        once = {asked.key: asked for asked in server.taken}
        events = [event for asked in once.values() for event in asked.lines()]
        Audit({"unix": 20_000}).lines(
            event["winlog"]["event_data"]["param1"].encode() + b"\n" for event in events) \
            .report().assert_clean()
        first = events[0]
        assert first["winlog"]["channel"] == "Application" and first["event"]["code"] == "1"
        assert first["log"]["level"] == "information"
        assert len({event["winlog"]["record_id"] for event in events}) == 20_000


@pytest.mark.parametrize("framing", ["lf", "octet"])
def test_frames_of_a_stream(folder, framing):
    with receivers.tcp() as sink:
        assert try_backend("winevent", f"tcp://127.0.0.1:{sink.port}", 300, 50,
                           f"framing={framing}", "shape=json")[0] == 300
        wait_until(lambda: sink.streams and bytes(sink.streams[0]).count(b'"record_id"') == 300,
                   20, "events")
        stream, events = bytes(sink.streams[0]), []
        while stream:
            if framing == "lf":
                event, stream = stream.split(b"\n", 1)
            else:
                length, stream = stream.split(b" ", 1)
                event, stream = stream[:int(length)], stream[int(length):]
            events.append(json.loads(event[event.index(b"{"):]))
        assert [event["winlog"]["record_id"] for event in events] == list(range(300))


@pytest.mark.parametrize("target, word", [
    ("nowhere", "expected file:/PATH"), ("file:relative", "expected file:/PATH"),
    ("file:/x,user=me", "are for https://"), ("file:/x,framing=lf", "framing= is for"),
    ("file:/x,event-id=65536", "65535"), ("file:/x,ca=/x", "tls://"),
    ("https://me:pw@h/", "user= and password="), ("tcp://h:99999", "port")])
def test_wrong_configurations(target, word):
    result = subprocess.run([program(), "check", "--input", "stdin", "--output",
                             f"winevent:{target}"], capture_output=True, text=True, timeout=20,
                            check=False)
    assert result.returncode == 2 and word in result.stderr, result
