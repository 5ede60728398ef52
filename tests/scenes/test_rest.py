# SPDX-License-Identifier: Apache-2.0
"""A daemon with nothing to do costs next to nothing, and is there when the first record comes."""
import json
import os
import subprocess
import time

from harness.daemon import ROOT
from harness.wait import wait_until


def test_what_a_daemon_at_rest_costs(folder):
    """Bounds with a margin: about 2 wake-ups a second, 0.03 % and 4 MiB were measured."""
    figures = folder / "figures.json"
    subprocess.run([ROOT / "bench" / "rest.py", "--seconds", "8", "--json", figures, "--io",
                    os.environ.get("YARDER_IO", "epoll")], check=True, timeout=50)
    (rest,) = json.loads(figures.read_text())["runs"]
    assert rest["wakeups_per_second"] < 6, rest
    assert rest["cpu_percent"] < 0.1, rest
    assert rest["pss_kib_alone"] < 16 << 10, rest
    assert rest["pss_kib_with_producers"] < 16 << 10, rest


def test_the_first_record_after_a_long_quiet_is_at_once_there(yarder, folder):
    """A sleep may last a second; the first record of a process ends it."""
    daemon = yarder("input = ring\noutput = file:{folder}/log\n")
    log = folder / "log"
    with subprocess.Popen(daemon.cli_command("send"), stdin=subprocess.PIPE) as producer:
        for number in range(3):
            producer.stdin.write(b"record %d\n" % number)
            producer.stdin.flush()
            start = time.monotonic()
            wait_until(lambda: log.exists() and f"record {number}\n" in log.read_text(), 20,
                       f"record {number}")
            assert time.monotonic() - start < 0.5
            time.sleep(2.5)  # so that the writer's sleep has grown
        producer.stdin.close()
