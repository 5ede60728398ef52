# SPDX-License-Identifier: Apache-2.0
"""smtp: a mail server (aiosmtpd) that refuses at each step, goes away, hangs and wants TLS."""
import re
import socket
import ssl
import subprocess
import time

import pytest

from harness import ledger, senders, stores
from harness.audit import Audit
from harness.daemon import program
from harness.mail import MailServer
from harness.stores import Try, try_backend
from harness.wait import wait_until

SETTLE_SECONDS = 20
WHO = ["from=yarder@example.com", "to-address=ops@example.com"]


def mail(server, count, size, *options, **how):
    return try_backend("smtp", f"127.0.0.1:{server.port}", count, size, *WHO, *options, **how)


def test_a_server_goes_and_comes(yarder, folder):
    """All records arrive, none twice by the Message-ID of its mail."""
    with MailServer() as server:
        one = yarder("input = unix:{folder}/in,socket=stream\n"
                     f"output = smtp:127.0.0.1:{server.port},{','.join(WHO)},batch=yes,"
                     "retry=10ms..100ms,subject=${count} records\n")
        with senders.unix_stream(folder / "in") as sender:
            sender.send_audited("unix", 20_000)
            server.wait_for(1, 20)
            server.stop()
            sender.send_audited("unix", 20_000, first=20_000)
            ledger.wait_for(one, lambda s: s["outputs"][0]["errors"] > 2)
            assert "Connection refused" in one.status()["outputs"][0]["last_error"]["text"]
            server.start()
            sender.send_audited("unix", 10_000, first=40_000)
        status = ledger.wait_settled(one, 50_000, SETTLE_SECONDS)
        assert status["outputs"][0]["delivered"] == 50_000
        once = {one["Message-ID"]: one for one in server.parsed()}
        lines = [line.encode() + b"\n" for one in once.values()
                 for line in one.get_content().splitlines()]
        Audit({"unix": 50_000}).lines(lines).report().assert_clean()
        assert all(re.fullmatch(r"\d+ records", one["Subject"]) for one in once.values())
        print(f"50000 records in {len(once)} mails, {len(server.mails) - len(once)} twice")
        assert len(server.mails) - len(once) <= 1


@pytest.mark.sanitize
def test_each_record_or_all(folder):
    with MailServer() as server:
        assert mail(server, 100, 50)[0] == 100
        assert len(server.mails) == 100 and server.numbers() == list(range(100))
        [sender, to, _] = server.mails[0]
        assert sender == "yarder@example.com" and to == ["ops@example.com"]
        first = server.parsed()[0]
        assert first["Subject"].startswith("info at vm: 0 xxx")
        assert first["Date"].datetime and first["Message-ID"].endswith("@vm>")
        assert len({one["Message-ID"] for one in server.parsed()}) == 100
        server.mails.clear()
        assert mail(server, 1000, 5000, "batch=yes", "mail-size=100K",
                    "subject=Größe: ${count} ${level}")[0] == 1000
        assert server.numbers() == list(range(1000)) and len(server.mails) >= 50
        assert server.parsed()[0]["Subject"] == "Größe: 20 info"
        assert all(len(line) <= 998 for _, _, content in server.mails
                   for line in content.split(b"\r\n"))


def answers(*texts):
    """A step of the server that says these, then nothing special."""
    left = list(texts)
    return lambda came: left.pop(0) if left else None


@pytest.mark.parametrize("step", ["mail", "rcpt", "data"])
def test_what_the_server_says_to_a_mail(folder, step):
    """4xx later, 5xx refused with the reply."""
    with MailServer() as server:
        server.say[step] = answers("451 4.7.1 greylisted", "552 5.2.2 too much of it")
        delivered, refused, said = mail(server, 4, 50)
        assert (delivered, refused) == (3, 1)
        assert "451 4.7.1 greylisted" in said and "the server answers 552 5.2.2" in said
        assert len(server.mails) == 3


def test_one_of_two_recipients(folder):
    with MailServer() as server:
        server.say["rcpt"] = lambda address: \
            "550 no such user" if address.startswith("ops") else None
        delivered, refused, said = mail(server, 2, 50, "to-address=root@example.com")
        assert (delivered, refused) == (2, 0)
        assert "one of to-address gets no mail: 550 no such user" in said
        assert {tuple(to) for _, to, _ in server.mails} == {("root@example.com",)}


def test_who_we_are(folder):
    with MailServer(user="me", password="pw") as server:
        assert mail(server, 5, 50, "user=me", "password=pw")[0] == 5
        said = Try("smtp", f"127.0.0.1:{server.port}", 1, 50, *WHO, "user=me",
                   "password=s3cret").says()
        assert "535" in said and "refused:" not in said and "s3cret" not in said
        server.say["mail"] = lambda address: "550 go away with your pw"
        assert "550 go away with your **" in mail(server, 1, 50, "user=me", "password=pw")[2]
        del server.say["mail"]
        assert "530" in Try("smtp", f"127.0.0.1:{server.port}", 1, 50, *WHO).says()


def test_starttls(folder):
    stores.certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    with MailServer(context=context) as server:
        ca = f"ca={folder}/cert.pem"
        assert mail(server, 5, 50, "starttls=yes", ca)[0] == 5
        assert mail(server, 5, 50, "starttls=yes", ca, "servername=localhost")[0] == 5
        for options, word in ((["starttls=yes"], "certificate"),
                              (["starttls=yes", ca, "servername=other"], "other"), ([], "530")):
            said = Try("smtp", f"127.0.0.1:{server.port}", 1, 50, *WHO, *options).says()
            assert word in said and "refused:" not in said, said
    with MailServer() as server:  # one that has no TLS gets no mail
        assert "STARTTLS" in Try("smtp", f"127.0.0.1:{server.port}", 1, 50, *WHO,
                                 "starttls=yes").says()


@pytest.mark.parametrize("greeting, word", [
    (b"", "no answer in time"), (b"554 go away\r\n", "554 go away"), (b"what?\r\n", ":"),
    (b"220 hello\r\n", "no answer in time")])
def test_no_mail_server(folder, greeting, word):
    """Hung, unwilling, or something else: the records wait."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = Try("smtp", f"127.0.0.1:{server.getsockname()[1]}", 1, 50, *WHO, try_ms=500)
        connection, _ = server.accept()
        with connection:
            connection.sendall(greeting)
            said = one.says()
        assert word in said and "refused:" not in said, said


def test_no_answer_to_the_goodbye(folder):
    """A server that refuses the mail and hangs then holds us up a second, and no try's time."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        one = Try("smtp", f"127.0.0.1:{server.getsockname()[1]}", 1, 50, *WHO)
        connection, _ = server.accept()
        with connection:
            for reply in (b"220 hello\r\n", b"250 mail\r\n", b"550 no\r\n"):
                connection.sendall(reply)
                connection.recv(1000)
            delivered, refused, said = one.end()
        assert (delivered, refused) == (0, 1) and "answers 550 no" in said
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("output, word", [
    ("smtp:,from=a,to-address=b", "expected HOST"), ("smtp:h,to-address=b", "from=ADDRESS"),
    ("smtp:h,from=a", "to-address=ADDRESS"), ("smtp:h,from=a,to-address=b c", "to-address=NAME"),
    ("smtp:h,from=a,to-address=b,subject=${msgs}", "not '${msgs}'"),
    ("smtp:udp://h,from=a,to-address=b", "expected [tcp://|tls://]HOST[:PORT]"),
    ("smtp:tls://h,from=a,to-address=b,starttls=yes", "not both"),
    ("smtp:h,from=a,to-address=b,password=pw", "user= beside")])
def test_wrong_configurations(output, word):
    result = subprocess.run([program(), "check", "--input", "stdin", "--output", output],
                            capture_output=True, text=True, timeout=20, check=False)
    assert result.returncode == 2 and word in result.stderr, result
