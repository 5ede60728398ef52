# SPDX-License-Identifier: Apache-2.0
"""redis: a real server, by every way to it, that denies, hangs, dies, moves its keys and lies."""
import re
import socket
import threading
import time

from harness import stores
from harness.stores import Try, try_backend
from harness.wait import free_port, wait_until

COUNT = 20000
XADD = "command=xadd logs ${id} msg"


def numbers(texts):
    return [int(text.split()[0]) for text in texts]


def stream(client, key="logs"):
    """The numbers of a stream's records, in its order."""
    return numbers(fields[b"msg"] for _, fields in client.xrange(key))


def test_words_and_texts(folder):
    with stores.redis(folder, "--unixsocket", f"{folder}/redis.sock") as server:
        client = stores.redis_client(server.port)
        assert try_backend("redis", f"127.0.0.1:{server.port}", COUNT, 100)[0] == COUNT
        assert numbers(client.lrange("yarder", 0, -1)) == list(range(COUNT))
        assert len(client.lindex("yarder", 7)) == 100
        assert try_backend("redis", f"{folder}/redis.sock", 5, 8, "db=3", "prefix=a b ",
                           "command=lpush ${level}-${host}:${pid}  ")[0] == 5
        other = stores.redis_client(server.port, db=3)
        # Two spaces make an empty word, and a space at the end another one.
        assert other.lrange("info-vm:0", 0, 1) == [b"a b 4 xxxxxx", b""]
        assert try_backend("redis", f"127.0.0.1:{server.port}/3", 1, 8,
                           "command=zadd ${logger}sorted ${millis}")[0] == 1
        [(text, millis)] = other.zrange("sorted", 0, -1, withscores=True)
        assert text == b"0 xxxxxx" and abs(millis / 1000 - time.time()) < 60
        # A record as long as they come.
        assert try_backend("redis", f"127.0.0.1:{server.port}", 3, 1 << 20,
                           "command=set big")[0] == 3
        assert len(client.get("big")) == 1 << 20


def test_uwsgi_lines(folder):
    with stores.redis(folder, "--unixsocket", f"{folder}/redis.sock") as server:
        client = stores.redis_client(server.port)
        listener = client.pubsub()
        listener.subscribe("uwsgi")
        assert listener.get_message(timeout=5)["type"] == "subscribe"
        # The address alone means the address: uWSGI's own takes another one then.
        assert try_backend("redis", f"uwsgi:redislog:127.0.0.1:{server.port}", 2, 8)[0] == 2
        assert listener.get_message(timeout=5)["data"] == b"0 xxxxxx"
        assert try_backend("redis", f"uwsgi:redislog:{folder}/redis.sock,rpush ${{x}},example, ",
                           1, 8)[0] == 1
        assert client.lrange("${x}", 0, -1) == [b"example, 0 xxxxxx"]
        client.config_set("requirepass", "sekret")
        assert try_backend("redis", f"uwsgi:redislog:sekret@127.0.0.1:{server.port}/3,rpush l",
                           1, 8)[0] == 1
        assert stores.redis_client(server.port, db=3, password="sekret").llen("l") == 1
        assert try_backend("redis", f"uwsgi:redislog:sekret@{folder}/redis.sock,rpush l", 1, 8)[0]
        said = Try("redis", f"no@{folder}/redis.sock", 1, 8).says()
        assert "AUTH: WRONGPASS" in said and "no@" not in said


def test_tls_and_users(folder):
    stores.certificate(folder)
    port = free_port()
    tls = ["--port", "0", "--tls-port", str(port), "--tls-cert-file", "cert.pem",
           "--tls-key-file", "key.pem", "--tls-ca-cert-file", "cert.pem", "--tls-auth-clients",
           "no", "--user", "shipper", "on", ">pw", "~logs*", "+xadd", "--user", "default", "off"]
    with stores.redis(folder, *tls, port=port) as server:
        ca = f"ca={folder}/cert.pem"
        user = ["user=shipper", "password=pw"]
        assert try_backend("redis", f"tls://127.0.0.1:{port}", COUNT, 100, XADD, ca, *user)[
            0] == COUNT
        for options, why in [
                ([XADD, *user], "ca= says"),
                ([XADD, ca, "user=shipper", "password=no"], "AUTH: WRONGPASS"),
                ([XADD, ca, "db=1"], "SELECT: NOAUTH: it takes nothing without a password"),
                ([XADD, ca], "NOAUTH: it takes nothing without a password; expected password="),
                (["command=rpush logs2", ca, *user], "NOPERM"),
                (["command=xadd other ${id} msg", ca, *user], "NOPERM")]:
            said = Try("redis", f"tls://127.0.0.1:{port}", 3, 8, *options).says()
            assert why in said and "refused" not in said and "pw" not in said, said
        assert server.process.poll() is None


def test_refuses_for_good_what_is_wrong(folder):
    with stores.redis(folder) as server:
        client = stores.redis_client(server.port)
        client.set("logs", "a string")
        delivered, refused, said = try_backend(
            "redis", f"127.0.0.1:{server.port}", 300, 8, XADD)
        assert (delivered, refused) == (0, 300) and "WRONGTYPE" in said
        client.delete("logs")
        client.xadd("logs", {"msg": "-1 somebody else's"}, id="9999999999999-0")
        delivered, refused, said = try_backend(
            "redis", f"127.0.0.1:{server.port}", 300, 8, XADD)
        assert (delivered, refused) == (0, 300) and "equal or smaller" in said


def test_a_server_without_auth_tells_no_password(folder):
    with stores.redis(folder, "--rename-command", "AUTH", "") as server:
        for user in ([], ["user=me"]):
            said = Try("redis", f"127.0.0.1:{server.port}", 1, 8, "password=sekret", *user).says()
            assert "AUTH: ERR unknown command" in said and "sekret" not in said, said


def deliver_past_deaths(server, command):
    """Delivers 10 * COUNT records past two deaths of the server."""
    client = stores.redis_client(server.port)
    one = Try("redis", f"127.0.0.1:{server.port}", 10 * COUNT, 100, command)
    for _ in range(2):
        wait_until(lambda: client.info("stats")["total_commands_processed"] > COUNT, 20,
                   "the server to be at work")
        server.kill()
        server.start()
    delivered, refused, said = one.end()
    assert (delivered, refused) == (10 * COUNT, 0), said
    assert said


def test_a_stream_has_all_and_none_twice(folder):
    with stores.redis(folder) as server:
        deliver_past_deaths(server, XADD)
        assert stream(stores.redis_client(server.port)) == list(range(10 * COUNT))


def test_a_list_has_all(folder):
    with stores.redis(folder) as server:
        deliver_past_deaths(server, "command=rpush logs")
        came = numbers(stores.redis_client(server.port).lrange("logs", 0, -1))
        assert set(came) == set(range(10 * COUNT))
        print(f"{len(came) - 10 * COUNT} twice")
        assert len(came) - 10 * COUNT <= 2 * 256  # a batch for each death


def test_hung(folder):
    """Stopped in the middle: what it took and did not answer for is sent again, and no double."""
    with stores.redis(folder) as server:
        client = stores.redis_client(server.port)
        one = Try("redis", f"127.0.0.1:{server.port}", 10 * COUNT, 100, XADD, try_ms=1000)
        wait_until(lambda: client.xlen("logs") > COUNT, 20, "the server to be at work")
        server.stop()
        assert "no reply in time" in one.process.stderr.readline()
        server.go_on()
        delivered, refused, said = one.end()
        assert (delivered, refused) == (10 * COUNT, 0), said
        assert stream(client) == list(range(10 * COUNT))


def test_an_overtaken_record_is_no_double(folder):
    """Sent again, below somebody else's entry: it is looked for, not there, and not called done."""
    with stores.redis(folder) as server:
        client = stores.redis_client(server.port)
        client.config_set("maxmemory", 1)
        one = Try("redis", f"127.0.0.1:{server.port}", 3, 8, XADD)
        assert "OOM" in one.process.stderr.readline()
        client.config_set("maxmemory", 0)
        client.xadd("logs", {"msg": "-1 somebody else's"}, id="9999999999999-0")
        assert one.end()[:2] in ((0, 3), (3, 0))  # it may have come before the other


class Rude:
    """Accepts and answers each command with the same bytes; then closes, if told to."""

    def __init__(self, says=b"", closes=False):
        self.says, self.closes = says, closes
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.connections = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        try:
            while came := connection.recv(1 << 16):
                connection.sendall(self.says * came.count(b"*3\r\n"))
                if self.closes:
                    connection.close()
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, kind, trouble, trace):
        self.listening.close()
        for connection in self.connections:
            connection.close()


class Loading(Rude):
    """Cannot take the first ten commands, and then, in the middle of what came, can."""

    def __init__(self):
        super().__init__()
        self.refused, self.taken = 0, []

    def _serve(self, connection):
        rest = b""
        while more := connection.recv(1 << 20):
            rest = came = rest + more
            for command in re.finditer(rb"\$8\r\n(\d+) x*\r\n", came):
                number, rest = command[1], came[command.end():]
                if self.refused < 10:
                    self.refused += 1
                    connection.sendall(b"-LOADING Redis is loading the dataset in memory\r\n")
                else:
                    self.taken.append(int(number))
                    connection.sendall(b":1\r\n")


def test_nobody_overtakes_those_that_must_wait():
    with Loading() as server:
        assert try_backend("redis", f"127.0.0.1:{server.port}", 500, 8)[0] == 500
        assert server.taken == list(range(500))


def test_rude_servers(folder):
    for says, closes, why in [
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", False, "no redis server"),
            (b"$999999999\r\n" + b"x" * (1 << 16), False, "a reply of over|no reply in time"),
            (b"*100000000\r\n", False, "no redis server|no reply in time"),
            (b"-MOVED 1 :1\r\n", False, "refused"),
            (b"-MOVED nonsense\r\n", False, "MOVED nonsense"),
            (b"-LOADING wait\r\n", False, "LOADING wait"),
            (b"-MOVED 5 127.0.0.1:PORT\r\n", False, "to one another"),
            (b":1\r\n:2\r\n", False, "more replies than commands"),
            (b":1\r\n", True, "closed the connection|reset by peer")]:
        with Rude(says, closes) as rude:
            rude.says = says.replace(b"PORT", b"%d" % rude.port)
            said = Try("redis", f"127.0.0.1:{rude.port}", 3, 8, try_ms=500).says()
            assert any(part in said for part in why.split("|")), (says, said)
