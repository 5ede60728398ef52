# SPDX-License-Identifier: Apache-2.0
"""redis as an input: a real server's lists, streams and channels, with TLS and users, killed and
hung; processes killed in the middle; and a server that lies."""
import os
import random
import signal
import socket
import threading

import pytest

from harness import ledger, stores
from harness.wait import free_port, wait_until

redis = pytest.importorskip("redis")
SECONDS = 20


def config(target, options):
    return (f"input = r redis:{target},{options}\n"
            "output = file:{folder}/log,format=${tag} ${msg}\n")


def lines(daemon):
    path = daemon.folder / "log"
    return path.read_text(errors="replace").split("\n")[:-1] if path.exists() else []


def wait_lines(daemon, count):
    wait_until(lambda: len(lines(daemon)) >= count, SECONDS,
               lambda: f"{count} lines, not {len(lines(daemon))}: {daemon.stderr()}")
    return lines(daemon)


@pytest.fixture
def server(folder):
    (folder / "redis").mkdir()
    with stores.redis(folder / "redis") as started:
        yield started


@pytest.fixture
def client(server):
    return stores.redis_client(server.port)


def push(client, key, numbers):
    pipe = client.pipeline(transaction=False)
    for number in numbers:
        pipe.rpush(key, b"%d\n" % number)
    pipe.execute()


@pytest.mark.sanitize
@pytest.mark.parametrize("acknowledge", ["yes", "no"])
def test_lists(yarder, server, client, acknowledge):
    """In order, whatever the bytes; nothing stays."""
    push(client, "a", range(5000))
    daemon = yarder(config(f"127.0.0.1:{server.port}",
                           f"list=a,list=b,acknowledge={acknowledge}"))
    assert wait_lines(daemon, 5000) == [f"a {number}" for number in range(5000)]
    client.rpush("b", b"", b"two\nlines\n", b"\xff\x00bytes")
    assert len(wait_lines(daemon, 5003)) == 5003
    push(client, "a", range(5000, 20000))
    wait_lines(daemon, 20003)
    wait_until(lambda: client.keys("*") == [], SECONDS, "nothing left")
    one = ledger.named(daemon.status(), "r")
    assert (one["kind"], one["accepted"], one["refused"]["corrupt"]) == ("redis", 20003, 0)


def test_the_other_end(yarder, server, client):
    push(client, "a", range(100))
    daemon = yarder(config(f"127.0.0.1:{server.port}/0", "list=a,pop=right"))
    assert wait_lines(daemon, 100) == [f"a {number}" for number in reversed(range(100))]


def answers(client):
    try:
        return client.ping()
    except redis.exceptions.BusyLoadingError:
        return False


def everything_dies(yarder, folder, server, client, options, give, count):
    """Gives numbers while source, worker and server die; returns the daemon once all are there."""
    daemon = yarder(config(f"127.0.0.1:{server.port}", options + ",restart-delay=0ms"))
    seed = int(os.environ.get("YARDER_SEED", random.randrange(1 << 30)))
    print(f"YARDER_SEED={seed}")
    chance = random.Random(seed)
    given = 0
    while given < count:
        some = chance.randrange(1, 800)
        give(range(given, given + some))
        given += some
        wait_until(lambda: len(lines(daemon)) > given - some, SECONDS, "some of it")
        what = chance.randrange(8)
        if what == 0:
            daemon.kill_worker()
        elif what in (1, 2):
            for pid in daemon.source_pids():
                os.kill(pid, signal.SIGKILL)
        elif what == 3:
            server.kill()
            server.start()
            wait_until(lambda: answers(client), SECONDS, "the server's data")
    wait_until(lambda: {line.split()[1] for line in lines(daemon)}
               == {str(number) for number in range(given)}, SECONDS,
               lambda: f"all of {given}: {daemon.stderr()}")
    return daemon


def in_order(daemon):
    """First times are in order; how many came again."""
    seen = {}
    for line in lines(daemon):
        seen.setdefault(line.split()[1], len(seen))
    assert list(seen) == [str(number) for number in range(len(seen))]
    return len(lines(daemon)) - len(seen)


@pytest.mark.sanitize
def test_a_list_survives(yarder, folder, server, client):
    """Nothing is lost; what was under way when something died may come again."""
    daemon = everything_dies(yarder, folder, server, client, "list=a,batch=100",
                             lambda numbers: push(client, "a", numbers), 15_000)
    print(f"{in_order(daemon)} came again")
    wait_until(lambda: client.keys("*") == [], SECONDS, "nothing left")
    ledger.assert_balanced(daemon.status())


@pytest.mark.sanitize
def test_a_stream_survives(yarder, folder, server, client):
    """The same, and all of it is acknowledged in the end."""
    def give(numbers):
        pipe = client.pipeline(transaction=False)
        for number in numbers:
            pipe.xadd("s", {"msg": number, "more": "x"})
        pipe.execute()

    daemon = everything_dies(yarder, folder, server, client, "stream=s,batch=100", give, 15_000)
    print(f"{in_order(daemon)} came again")
    wait_until(lambda: client.xpending("s", "yarder")["pending"] == 0, SECONDS, "all acknowledged")
    ledger.assert_balanced(daemon.status())


def test_a_stop_acknowledges(yarder, folder, server, client):
    """A clean end leaves nothing to come again, of a stream or of a list."""
    config_text = (f"input = r redis:127.0.0.1:{server.port},stream=s\n"
                   f"input = l redis:127.0.0.1:{server.port},list=a\n"
                   "output = file:{folder}/log,format=${tag} ${msg}\n")
    stop = threading.Event()

    def give():
        mine, number = stores.redis_client(server.port), 0
        while not stop.is_set():
            mine.xadd("s", {"msg": number})
            mine.rpush("a", number)
            number += 1

    thread = threading.Thread(target=give)
    thread.start()
    try:
        for turn in range(3):
            daemon = yarder(config_text, name=f"turn{turn}")
            wait_lines(daemon, 200)
            daemon.stop()
            assert client.xpending("s", "yarder")["pending"] == 0
            assert client.keys("*taken*") == []
    finally:
        stop.set()
        thread.join()
    all_lines = [line for turn in range(3)
                 for line in (folder / f"turn{turn}" / "log").read_text().splitlines()]
    assert len(all_lines) == len(set(all_lines)), "none twice"


def test_not_before_the_commit(yarder, server, client):
    """While the worker stands still nothing is acknowledged, although all of it was read."""
    daemon = yarder(config(f"127.0.0.1:{server.port}", "stream=s"))
    client.xadd("s", {"msg": "first"})
    wait_lines(daemon, 1)
    wait_until(lambda: client.xpending("s", "yarder")["pending"] == 0, SECONDS, "acknowledged")
    (worker,) = daemon.worker_pids()
    os.kill(worker, signal.SIGSTOP)
    for number in range(10):
        client.xadd("s", {"msg": number})
    wait_until(lambda: client.xpending("s", "yarder")["pending"] == 10, SECONDS, "all read")
    client.ping()
    assert client.xpending("s", "yarder")["pending"] == 10
    os.kill(worker, signal.SIGCONT)
    wait_until(lambda: client.xpending("s", "yarder")["pending"] == 0, SECONDS, "acknowledged")


def test_fields_and_claims(yarder, server, client):
    """An entry's other fields; what another consumer never acknowledged; one that was deleted."""
    client.xgroup_create("s", "g", id="0", mkstream=True)
    client.xadd("s", {"level_": "x", "text": "hello", "n": 5})
    client.xadd("s", {"only": "one"})
    deleted = client.xadd("s", {"text": "gone"})
    client.xreadgroup("g", "dead", {"s": ">"})
    client.xdel("s", deleted)
    daemon = yarder(config(f"127.0.0.1:{server.port}",
                           "stream=s,consumer-group=g,field=text,claim=10ms").replace(
                               "${msg}", "${msg} ${field.n}"))
    assert sorted(wait_lines(daemon, 2)) == ["s hello 5", "s one -"]
    wait_until(lambda: client.xpending("s", "g")["pending"] == 0, SECONDS, "acknowledged")


def test_channels(yarder, folder, server, client):
    """By name and by pattern, over a server's death; messages for nobody are nobody's."""
    daemon = yarder(config(f"127.0.0.1:{server.port}", "channel=uwsgi,channels=app.*"))
    wait_until(lambda: client.publish("uwsgi", "one") == 1, SECONDS, "a subscriber")
    wait_until(lambda: client.publish("app.web", "two\n") == 1, SECONDS, "a subscriber")
    assert wait_lines(daemon, 2) == ["uwsgi one", "app.web two"]
    server.kill()
    server.start()
    wait_until(lambda: client.publish("uwsgi", "three") == 1, SECONDS, "it comes again")
    wait_lines(daemon, 3)
    assert "the server has closed the connection" in daemon.stderr()


def test_tls_and_users(yarder, folder):
    """A user that may do no more than it must; secrets from a file, shown nowhere."""
    stores.certificate(folder)
    port = free_port()
    server_folder = folder / "redis"
    arguments = ["--port", "0", "--tls-port", str(port), "--tls-cert-file", f"{folder}/cert.pem",
                 "--tls-key-file", f"{folder}/key.pem", "--tls-ca-cert-file", f"{folder}/cert.pem",
                 "--tls-auth-clients", "no", "--user", "reader", "on", ">s3cret", "~logs*",
                 "+llen", "+lmove", "+lrange", "+ltrim"]
    (folder / "password").write_text("s3cret\n")
    (folder / "password").chmod(0o600)
    with stores.redis(server_folder, *arguments, port=port):
        admin = stores.redis_client(port, ssl=True, ssl_ca_certs=f"{folder}/cert.pem")
        admin.rpush("logs", "hello")
        daemon = yarder(config(
            f"tls://127.0.0.1:{port}",
            f"list=logs,user=reader,password=file:{folder}/password,ca={folder}/cert.pem"))
        assert wait_lines(daemon, 1) == ["logs hello"]
        admin.acl_setuser("reader", enabled=False)
        admin.client_kill_filter(user="reader")
        daemon.wait_for_stderr("AUTH: WRONGPASS", SECONDS)
        admin.rpush("logs", "again")
        admin.acl_setuser("reader", enabled=True)
        assert wait_lines(daemon, 2) == ["logs hello", "logs again"]
        assert "s3cret" not in daemon.stderr() + daemon.cli("status", "--json").stdout


@pytest.mark.parametrize("options", ["list=a", "stream=a", "channel=a"])
@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n" * 5, b"$-2\r\n",
    b"*1\r\n" * 12, b"-ERR what is this\r\n" * 5, b"*2\r\n*2\r\n$1\r\na\r\n*1\r\n:1\r\n$1\r\n" * 9,
    b""])
def test_a_server_that_lies(yarder, folder, options, answer):
    """It is told, it is tried again, and nothing of it becomes more than a record."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(SECONDS)
    daemon = yarder(config(f"127.0.0.1:{listener.getsockname()[1]}", options))
    for _ in range(2):
        connection, _ = listener.accept()
        connection.settimeout(SECONDS)
        connection.recv(10)
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
    assert daemon.source_pids()
    listener.close()
    ledger.assert_balanced(daemon.status())


def test_a_server_that_hangs(yarder, folder, server, client):
    """It does not keep the daemon from its end."""
    daemon = yarder(config(f"127.0.0.1:{server.port}", "list=a"))
    client.rpush("a", "one")
    wait_lines(daemon, 1)
    server.stop()
    try:
        daemon.stop()
    finally:
        server.go_on()


@pytest.mark.parametrize("options, why", [
    ("batch=5", "expected list=, stream= or channel=, of one kind"),
    ("list=a,stream=b", "expected list=, stream= or channel=, of one kind"),
    ("list=a,user=u", "user= goes with password="),
    ("list=a,batch=0", "batch"),
])
def test_what_is_refused(folder, options, why):
    from harness.daemon import Yarder
    one = Yarder(folder, config("127.0.0.1:1", options))
    result = one.cli("check", str(one.config), check=False)
    assert result.returncode == 2 and why in result.stdout + result.stderr


def test_requests_are_known(yarder, server, client):
    """What comes by a module is looked at as what comes by a socket."""
    daemon = yarder(
        f"input = r redis:127.0.0.1:{server.port},list=a,"
        'requests=format:%(method) %(uri) %(status)\n'
        "output = file:{folder}/log,kind=request,field.status=500..599,format=${field.uri}\n")
    client.rpush("a", b"GET /good 200", b"GET /bad 503", b"no request")
    ledger.wait_settled(daemon, 3, SECONDS)
    assert lines(daemon) == ["/bad"]
