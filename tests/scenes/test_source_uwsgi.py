# SPDX-License-Identifier: Apache-2.0
"""uWSGI's own loggers into the inputs that are for them: what it says when it starts."""
import socket
import subprocess
from pathlib import Path

import pytest

from harness import ledger, stores
from harness.peers import need
from harness.wait import free_port, wait_until

SECONDS = 20
PLUGINS = Path("/usr/lib/uwsgi/plugins")
LAST = "spawned uWSGI worker 1"
UDP = free_port(socket.SOCK_DGRAM)
TCP = free_port()

# plugin, logger, input, what its records have beside the text
WAYS = {
    "socket-udp": ("logsocket", f"socket:127.0.0.1:{UDP}", f"udp:127.0.0.1:{UDP}", "- notset"),
    "socket-unix": ("logsocket", "socket:{folder}/in", "unix:{folder}/in", "- notset"),
    "rsyslog": ("rsyslog", f"rsyslog:127.0.0.1:{UDP},myhost mytag,29",
                f"udp:127.0.0.1:{UDP},parse=syslog", "mytag notice"),
    "rsyslog-tag": ("rsyslog", f"rsyslog:127.0.0.1:{UDP},uwsgi1234",
                    f"udp:127.0.0.1:{UDP},parse=syslog", "uwsgi1234 notice"),
    "zeromq": ("logzmq", f"zeromq:tcp://127.0.0.1:{TCP}", f"zeromq:tcp://127.0.0.1:{TCP}",
               "- notset"),
    "graylog2": ("graylog2", f"graylog2:127.0.0.1:{UDP},dsfargeg", f"gelf:127.0.0.1:{UDP}",
                 "- notice"),
    "redis-list": ("redislog", "redislog:127.0.0.1:{redis},rpush logs",
                   "redis:127.0.0.1:{redis},list=logs", "logs notset"),
    "redis-channel": ("redislog", "redislog:127.0.0.1:{redis},publish uwsgi",
                      "redis:127.0.0.1:{redis},channel=uwsgi", "uwsgi notset"),
    "crypto": ("logcrypto", f"crypto:addr=127.0.0.1:{UDP},algo=aes-128-cbc,secret=ciaociao",
               f"crypto:127.0.0.1:{UDP},algo=aes-128-cbc,secret=ciaociao", "- notset"),
    "connected-udp": (None, None, f"udp:127.0.0.1:{UDP}", "- notset"),
}


def lines(folder):
    path = folder / "log"
    return path.read_text(errors="replace").split("\n")[:-1] if path.exists() else []


def words(folder, plugin, logger):
    start = [need("uwsgi"), "--master", "--workers", "1", "--socket", f"{folder}/uwsgi.sock"]
    if plugin is None:
        return [*start, "--logto", f"127.0.0.1:{UDP}"]
    if not (PLUGINS / f"{plugin}_plugin.so").exists():
        pytest.skip(f"uWSGI's plugin {plugin} is not installed")
    return [*start, "--plugin", plugin, "--logger", logger]


@pytest.mark.parametrize("way", WAYS)
def test_a_logger(yarder, folder, way):
    plugin, logger, source, beside = WAYS[way]
    server = None
    if "{redis}" in source:
        server = stores.redis(folder / "redis").start()
        logger, source = (text.replace("{redis}", str(server.port)) for text in (logger, source))
    daemon = yarder(f"input = in {source}\n"
                    "output = file:{folder}/log,format=${tag} ${level} ${msg}\n")
    if way == "redis-channel":
        client = stores.redis_client(server.port)
        wait_until(lambda: client.pubsub_numsub("uwsgi")[0][1] == 1, SECONDS, "a subscriber")
    logger = logger and logger.replace("{folder}", str(folder))
    with open(folder / "uwsgi.out", "wb") as output:
        process = subprocess.Popen(words(folder, plugin, logger), cwd=folder, stdout=output,
                                   stderr=output)
    try:
        wait_until(lambda: any(LAST in line for line in lines(folder)), SECONDS,
                   lambda: f"its lines: {daemon.stderr()} {(folder / 'uwsgi.out').read_text()}")
    finally:
        process.kill()
        process.wait()
        if server is not None:
            server.kill()
    got = lines(folder)
    assert [line for line in got if line.startswith(f"{beside} {LAST}")], got
    one = ledger.named(daemon.status(), "in")
    assert one["accepted"] >= len(got) and one["unparsed"] == 0
