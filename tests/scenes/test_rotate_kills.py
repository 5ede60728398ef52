# SPDX-License-Identifier: Apache-2.0
"""The worker killed at each step of a rotation, and at any moment of it."""
import os
import time

import pytest

from harness import kills, ledger
from harness.rotated import (CONFIG, SETTLE_SECONDS, STAMP, STAMPED, Producers, audit_all,
                             check_periods, files_of, wait_rotations)
from harness.wait import wait_until

RATE = 20_000
GRACE = ",rotate-grace=300ms"  # else the last files are not compressed for so long

# Where workers die, one after the other.
POINTS = ["rotate-begin", "rotate-made", "rotate-shifted", "rotate-aside", "rotate-placed",
          "rotate-reaped", "sweep-written", "sweep-named", "sweep-settled", "sweep-dropped"]


def crash_folder(yarder, folder, options, points, prefix=b""):
    one = yarder(CONFIG % options, environment={"YARDER_CRASH_POINT": ",".join(points)})
    with Producers(one, 2, RATE) as producers:
        wait_until(lambda: one.status()["workers_crashed"] == len(points), SETTLE_SECONDS,
                   lambda: f"{points}, deaths: {one.status()['workers_crashed']}\n{one.stderr()}")
        wait_rotations(one, 3)
        counts = producers.end()
    status = ledger.wait_settled(one, sum(counts.values()), SETTLE_SECONDS)
    assert ledger.named(status, "all")["uncertain"] == 0

    def swept():
        names = [path.name for path in folder.glob("all*")]
        left = [name for name in names if name.endswith("-tmp")]
        raw = [name for name in names if name != "all" and not name.endswith(".gz")]
        return not left and (not raw or "compress" not in options)

    wait_until(swept, SETTLE_SECONDS, lambda: f"swept: {sorted(folder.glob('all*'))}")
    files = files_of(folder)
    audit_all(files, counts, prefix=prefix)
    return files


@pytest.mark.sanitize
@pytest.mark.parametrize("point", POINTS)
def test_crash_at_each_step_by_size(yarder, folder, point):
    limit = 150_000
    keep = ",keep=1000" if point != "sweep-dropped" else ",keep-days=2"
    if point == "sweep-dropped":
        (folder / "all.50").write_text("")
        os.utime(folder / "all.50", (1, 1))
    files = crash_folder(yarder, folder, f"rotate-size={limit},compress=gzip{keep}",
                         [f"{point}:1"] * (1 if point == "sweep-dropped" else 2))
    assert all(path.stat().st_size <= limit for path in files)


@pytest.mark.parametrize("point", [
    "rotate-begin", "rotate-aside", "rotate-reaped", "sweep-named"])
def test_crash_at_each_step_by_time(yarder, folder, point):
    files = crash_folder(yarder, folder, STAMPED + GRACE + ",compress=gzip",
                         [f"{point}:1", f"{point}:1"], prefix=STAMP)
    check_periods(files)


def check_all(one, folder, options, counts, seconds=SETTLE_SECONDS):
    """Each record once, in a file of its own period, or one that is not too long."""
    ledger.wait_settled(one, sum(counts.values()), SETTLE_SECONDS)

    def swept():
        names = [path.name for path in folder.glob("all*")]
        raw = [name for name in names if name != "all" and not name.endswith((".gz", ".zst"))]
        return not [name for name in names if name.endswith("-tmp")] and (
            not raw if "compress" in options else True)

    wait_until(swept, seconds, lambda: f"swept: {sorted(folder.glob('all*'))}")
    files = files_of(folder)
    timed = STAMPED in options
    if timed:
        check_periods(files, counters=True)
    else:
        limit = int(options.split("=")[1].split(",")[0])
        assert all(path.stat().st_size <= limit for path in files)
    audit_all(files, counts, prefix=STAMP if timed else b"")
    return files


def wait_progress(one):
    """A worker that gets nothing done before its death is replaced after a growing pause."""
    def delivered():
        return ledger.named(one.status(), "all")["delivered"]

    before = delivered()
    wait_until(lambda: delivered() > before, SETTLE_SECONDS, "something delivered")


@pytest.mark.parametrize("options", ["rotate-size=150000,compress=gzip", STAMPED])
def test_kills_at_random(yarder, folder, options):
    one = yarder(CONFIG % options)
    killer = kills.Killer(one, None)
    with Producers(one, 2, RATE) as producers:
        for _ in range(15):
            wait_progress(one)
            killer.pause()
            killer.kill()
        wait_rotations(one, 3)
        counts = producers.end()
    check_all(one, folder, options, counts)


@pytest.mark.long
@pytest.mark.seconds(900)
@pytest.mark.parametrize("options", [
    "rotate-size=2000000,compress=gzip", STAMPED + ",compress=zstd"])
def test_torture_rotation(yarder, folder, options):
    """Four writers, two million records and more, a hundred rotations, a kill in the middle of each
    that can be met."""
    one = yarder("ring-memory = 16M\n" + CONFIG % options)
    killer = kills.Killer(one, None)
    begun = time.monotonic()
    with Producers(one, 4, 5000 if STAMPED in options else 25_000) as producers:
        while (output := ledger.named(one.status(), "all"))["rotations"] < 100 or (
                output["delivered"] < 2_000_000):
            wait_progress(one)
            time.sleep(killer.random.uniform(0, 1))
            killer.kill()
            assert time.monotonic() - begun < 800
        counts = producers.end()
    files = check_all(one, folder, options, counts, 300)  # which has the lowest priority
    status = one.status()
    print(f"{options}: {sum(counts.values())} records, {len(files)} files, "
          f"{ledger.named(status, 'all')['rotations']} rotations, {killer.kills} kills, "
          f"{time.monotonic() - begun:.0f} s")
