# SPDX-License-Identifier: Apache-2.0
"""zeromq as an input: pyzmq's PUSH and PUB, by CURVE, many, and processes killed in the middle."""
import json
import os
import signal
import threading

import pytest

from harness import ledger, processes
from harness.logged import lines, texts, wait_lines
from harness.wait import free_port, wait_until

zmq = pytest.importorskip("zmq")
SECONDS = 20
CONFIG = "input = z zeromq:{target}{options}\noutput = file:{{folder}}/log,format=json\n"


def config(target, options=""):
    return CONFIG.format(target=target, options=options)


@pytest.fixture
def context():
    with zmq.Context() as made:
        yield made


def peer(context, address, kind=None, **options):
    made = context.socket(zmq.PUSH if kind is None else kind)
    made.linger = 10_000
    for name, value in options.items():
        setattr(made, name, value)
    made.connect(address)
    return made


@pytest.mark.sanitize
def test_many_peers(yarder, folder, context):
    address = f"tcp://127.0.0.1:{free_port()}"
    daemon = yarder(config(address))
    each = 2000

    def send(name):
        with peer(context, address) as push:
            for number in range(each):
                push.send(b"%d %d\n" % (name, number))

    threads = [threading.Thread(target=send, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = wait_lines(daemon, 8 * each)
    for name in range(8):
        own = [line["message"] for line in got if line["message"].split()[0] == str(name)]
        assert own == [f"{name} {number}" for number in range(each)]
    assert {line["peer"] for line in got} == {"127.0.0.1"}
    one = ledger.named(daemon.status(), "z")
    assert (one["kind"], one["received"], one["accepted"]) == ("zeromq", 8 * each, 8 * each)


def test_bytes_as_they_are(yarder, folder, context):
    """Frames, empty messages, newlines that would forge a line, one over record-max, syslog."""
    address = f"ipc://{folder}/socket"
    daemon = yarder(config(address, ",record-max=1K,parse=syslog"))
    with peer(context, address) as push:
        push.send(b"")
        push.send(b"a\nb\n")
        push.send_multipart([b"tag", b"middle", b"text"])
        push.send(b"x" * 5000)
        push.send(b"<11>Jan  1 00:00:00 box app: said\n")
        got = wait_lines(daemon, 5)
    assert texts(daemon) == ["", "a\nb", "text", "x" * 1024, "said"]
    assert got[2]["tag"] == "tag"
    assert (got[4]["host"], got[4]["tag"], got[4]["level"]) == ("box", "app", "error")
    one = ledger.named(daemon.status(), "z")
    assert one["truncated"] == 1 and one["accepted"] == 5


def test_we_connect(yarder, folder, context):
    """To a PUSH, and to a PUB with a topic."""
    ports = free_port(), free_port()
    push, pub = context.socket(zmq.PUSH), context.socket(zmq.PUB)
    push.linger = pub.linger = 0
    push.bind(f"tcp://127.0.0.1:{ports[0]}")
    pub.bind(f"tcp://127.0.0.1:{ports[1]}")
    daemon = yarder(config(f"tcp://127.0.0.1:{ports[0]}", ",bind=no")
                    + f"input = s zeromq:tcp://localhost:{ports[1]},bind=no,pattern=sub,topic=wa\n")
    push.send(b"pushed")
    wait_lines(daemon, 1)

    def published():
        pub.send_multipart([b"wanted", b"yes"])
        pub.send_multipart([b"other", b"no"])
        return "yes" in texts(daemon)

    wait_until(published, SECONDS, "what is subscribed to")
    assert "no" not in texts(daemon)
    assert [line["tag"] for line in lines(daemon) if line["message"] == "yes"][0] == "wanted"
    push.close()
    pub.close()


def test_curve(yarder, folder, context):
    """Only who knows our key, and whose key we know; the key is a file's and is never shown."""
    server, known, stranger = (zmq.curve_keypair() for _ in range(3))
    (folder / "key").write_text(server[1].decode() + "\n")
    (folder / "key").chmod(0o600)
    address = f"tcp://127.0.0.1:{free_port()}"
    daemon = yarder(config(
        address, f",secret-key=file:{folder}/key,client-key={known[0].decode()}"))

    def keys(pair):
        return {"curve_serverkey": server[0], "curve_publickey": pair[0],
                "curve_secretkey": pair[1]}

    plain, refused = peer(context, address), peer(context, address, **keys(stranger))
    for push in (plain, refused):
        push.linger = 0
        push.send(b"stranger")
    with peer(context, address, **keys(known)) as push:
        push.send(b"known")
        wait_lines(daemon, 1)
    assert texts(daemon) == ["known"]
    assert server[1].decode() not in daemon.stderr() + json.dumps(daemon.status())
    plain.close()
    refused.close()


@pytest.mark.sanitize
def test_kills(yarder, folder, context):
    """Worker and source die under load: what libzmq had given to a source is never lost or twice,
    so what a source's death takes is at most what libzmq had read ahead."""
    address, hwm = f"tcp://127.0.0.1:{free_port()}", 10
    daemon = yarder(config(address, f",hwm={hwm},restart-delay=0ms"))

    enough = threading.Event()
    sent = []

    def send():
        with peer(context, address, sndhwm=100) as push:
            while not enough.wait(0.001):
                for _ in range(100):
                    push.send(b"%d" % len(sent))
                    sent.append(True)

    sender = threading.Thread(target=send)
    sender.start()
    for _ in range(3):
        before = len(texts(daemon))
        wait_until(lambda: len(texts(daemon)) > before, SECONDS, "more")
        daemon.kill_worker()
    numbers = [int(text) for text in texts(daemon)]
    assert numbers == list(range(len(numbers))), "a worker's death costs nothing"
    old = daemon.source_pids()
    os.kill(old[0], signal.SIGKILL)
    wait_until(lambda: daemon.source_pids() not in ([], old), SECONDS, "another process")
    before = len(texts(daemon))
    wait_until(lambda: len(texts(daemon)) > before + 1000, SECONDS, "more, by the other process")
    enough.set()
    sender.join()
    wait_until(lambda: texts(daemon)[-1:] == [str(len(sent) - 1)], SECONDS, "the last one")
    numbers = [int(text) for text in texts(daemon)]
    assert numbers == sorted(set(numbers)), "none twice, none out of order"
    assert "input z: its process has ended" in daemon.stderr()
    ledger.assert_balanced(daemon.status())


def test_reload(yarder, folder, context):
    """The process goes on where nothing of it has changed, and another one comes where it has."""
    ports = free_port(), free_port()
    one, two = (f"tcp://127.0.0.1:{port}" for port in ports)
    daemon = yarder(config(one))
    with peer(context, one) as push:
        push.send(b"first")
        wait_lines(daemon, 1)
        before = daemon.source_pids()
        daemon.write_config(config(one) + "host = other\n")
        daemon.cli("reload")
        assert daemon.source_pids() == before
        push.send(b"second")
        wait_lines(daemon, 2)
    daemon.write_config(config(two))
    daemon.cli("reload")
    wait_until(lambda: daemon.source_pids() not in ([], before), SECONDS, "another process")
    with peer(context, two) as push:
        push.send(b"third")
        wait_lines(daemon, 3)
    assert texts(daemon) == ["first", "second", "third"]
    assert "its process has ended" not in daemon.stderr()


def test_a_place_that_is_taken(yarder, folder, context):
    """It is tried again, with pauses; told once; and no reason to end."""
    address = f"tcp://127.0.0.1:{free_port()}"
    with context.socket(zmq.PULL) as taker:
        taker.bind(address)
        daemon = yarder(config(address))
        daemon.wait_for_stderr(f"input z: bind {address}: Address already in use", SECONDS)
    with peer(context, address) as push:
        push.send(b"now")
        wait_lines(daemon, 1)
    assert daemon.stderr().count("Address already in use") == 1


def test_as_long_as_they_come(yarder, folder, context):
    """Records larger than the pipe they go through, under deaths of the worker."""
    address = f"tcp://127.0.0.1:{free_port()}"
    daemon = yarder(config(address, ",record-max=1M"))
    with peer(context, address) as push:
        for number in range(60):
            push.send(b"%d " % number + b"x" * (1 << 20))
            if number % 20 == 10:
                daemon.kill_worker()
    got = wait_lines(daemon, 60)
    assert [int(line["message"].split()[0]) for line in got] == list(range(60))
    assert {len(line["message"]) for line in got} <= set(range((1 << 20) - 200, (1 << 20) + 1))
    one = ledger.named(daemon.status(), "z")
    assert (one["accepted"], one["truncated"], one["refused"]["corrupt"]) == (60, 60, 0)


def fill(push):
    """Until nobody takes any more; how many went."""
    push.sndtimeo = 1000
    sent = 0
    with pytest.raises(zmq.Again):
        while True:
            push.send(b"%d " % sent + b"x" * 10_000)
            sent += 1
    return sent


def test_a_full_daemon_makes_peers_wait(yarder, folder, context):
    """Its worker stands still: source and peer wait, and nothing is lost."""
    address = f"tcp://127.0.0.1:{free_port()}"
    daemon = yarder(config(address, ",hwm=10"))
    (worker,) = daemon.worker_pids()
    os.kill(worker, signal.SIGSTOP)
    with peer(context, address, sndhwm=10) as push:
        sent = fill(push)
        os.kill(worker, signal.SIGCONT)
        wait_lines(daemon, sent)
    assert [int(text.split()[0]) for text in texts(daemon)] == list(range(sent))


def test_a_full_daemon_is_killed(yarder, folder, context):
    """A source that waits for room goes with its daemon, too."""
    address = f"tcp://127.0.0.1:{free_port()}"
    daemon = yarder(config(address, ",hwm=10"))
    (worker,) = daemon.worker_pids()
    os.kill(worker, signal.SIGSTOP)
    with peer(context, address, sndhwm=10) as push:
        push.linger = 0
        fill(push)
    started = {pid: processes.started_at(pid) for pid in daemon.source_pids()}
    assert len(started) == 1
    daemon.process.kill()
    daemon.process.wait()
    wait_until(lambda: not processes.alive(started), SECONDS, "the source's end")
    daemon.start()


def test_a_message_over_its_limit(yarder, context):
    """Never in memory: its peer is shown out, others go on."""
    address = f"tcp://127.0.0.1:{free_port()}"
    daemon = yarder(config(address, ",message-max=64K"))
    with peer(context, address, linger=0) as rude, peer(context, address) as polite:
        rude.send(bytes(1 << 20))
        polite.send(b"still here")
        assert wait_lines(daemon, 1)[0]["message"] == "still here"
        assert len(texts(daemon)) == 1
