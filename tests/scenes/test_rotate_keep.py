# SPDX-License-Identifier: Apache-2.0
"""What becomes of files that were put aside: compressed, and removed by keep=."""
import os
import re
import shutil
import stat

import pytest

from harness import audit, ledger, load
from harness.rotated import (CONFIG, SETTLE_SECONDS, lines_of, numbered,
                             wait_rotations)
from harness.wait import wait_until

RATE = 20_000

@pytest.mark.parametrize("how", ["gzip", "zstd"])
@pytest.mark.sanitize
def test_compress(yarder, folder, how):
    if how == "zstd" and shutil.which("zstd") is None:
        pytest.skip("zstd is not installed")
    ending = {"gzip": "gz", "zstd": "zst"}[how]
    one = yarder(CONFIG % f"rotate-size=200K,compress={how},mode=0604")
    with load.RingProducer(one, "a", RATE) as producer:
        wait_rotations(one, 12)
        counts = producer.end()
    ledger.wait_settled(one, counts["a"], SETTLE_SECONDS)

    def done():
        status = ledger.named(one.status(), "all")
        return status["compressed"] == status["rotations"]

    wait_until(done, SETTLE_SECONDS, lambda: f"all compressed: {one.status()}")
    files = numbered(folder)
    assert all(path.suffix == f".{ending}" for path in files[:-1])
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o604 for path in files)
    one_audit = audit.Audit(counts)
    for path in files:
        one_audit.lines(lines_of(path))
    one_audit.report().assert_clean()
    assert ledger.named(one.status(), "all")["sweep_failures"] == 0


@pytest.mark.parametrize("rule", ["keep=3", "keep-size=650K", "keep-days=2"])
def test_keep(yarder, folder, rule):
    """Only files that are named as ours are removed."""
    strangers = ["all.txt", "all.1.bak", "all.01", "all.old.1", "all1", "other.1", "all.1.gz.1"]
    for name in strangers:
        (folder / name).write_text("a stranger's\n")
    (folder / "all.1").symlink_to(folder / "all.txt")  # not ours, and nothing is written over it
    (folder / "all.7").write_text("from long ago\n")
    os.utime(folder / "all.7", (1, 1))
    one = yarder(CONFIG % f"rotate-size=200K,{rule}")
    with load.RingProducer(one, "a", RATE) as producer:
        wait_rotations(one, 8)
        producer.end()

    def settled():
        names = [path.name for path in folder.glob("all.*") if not path.is_symlink()]
        kept = [name for name in names if re.fullmatch(r"all\.[1-9]\d*", name)]
        old = "all.7" in kept and (folder / "all.7").stat().st_size < 1000
        return not old and (rule == "keep-days=2" or len(kept) == 3)

    wait_until(settled, SETTLE_SECONDS, lambda: f"three files: {sorted(folder.glob('all*'))}")
    assert all((folder / name).read_text() == "a stranger's\n" for name in strangers)
    links = [path for path in folder.glob("all.*") if path.is_symlink()]
    assert len(links) == 1
    assert ledger.named(one.status(), "all")["removed"] >= 1
