#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Instructions for each record, leaf by leaf, against the committed baseline.

    bench/instructions.py [--because TEXT]

Times are noise on a shared machine; the number of instructions for a fixed work is not. A leaf
that takes over 5 % more than bench/instructions.json says fails, unless the baseline is changed
together with the code: --because writes it anew, with the reason beside each figure that moved.
Status 77: this build is not of the baseline's kind.
"""
import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / "bench" / "instructions.json"
RECORDS = 4096  # as in bench/work.c
SLACK = 1.05
NOT_COMPARABLE = 77
# The C library chooses its copies by the processor; the plainest are the same on all of them.
PLAIN = ("glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-AVX_Fast_Unaligned_Load,"
         "-ERMS,-FSRM,-BMI2,-SSE4_1,-SSE4_2,-SSSE3")


def build_folder():
    return ROOT / os.environ.get("YARDER_BUILD", "build")


def build_kind():
    """What figures depend on beside the source."""
    options = {option["name"]: option["value"] for option in json.loads(
        (build_folder() / "meson-info" / "intro-buildoptions.json").read_text())}
    comment = subprocess.run(["readelf", "-p", ".comment", build_folder() / "bench" / "work"],
                             capture_output=True, text=True, check=True).stdout
    return {"compiler": re.search(r"\]\s+(.*)", comment)[1], "machine": os.uname().machine,
            "buildtype": options["buildtype"], "sanitize": options["b_sanitize"]}


def count(leaf):
    """Instructions for each record."""
    result = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
         "--toggle-collect=work_measured", build_folder() / "bench" / "work", leaf],
        env={**os.environ, "GLIBC_TUNABLES": PLAIN}, capture_output=True, text=True, check=True)
    return int(re.search(r"Collected : (\d+)", result.stderr)[1]) / RECORDS


def measure(known, because):
    """The leaves over the baseline; with a reason, the baseline's figures follow."""
    leaves = subprocess.run([build_folder() / "bench" / "work"], capture_output=True, text=True,
                            check=True).stdout.split()
    over, figures = [], {}
    for leaf in leaves:
        now, before = count(leaf), known.get(leaf, {}).get("instructions")
        moved = before is None or not before / SLACK <= now <= before * SLACK
        print(f"{leaf:18} {now:9.1f} instructions a record"
              + (f", {before} by the baseline" if moved and before else ""))
        if before is None or now > before * SLACK:
            over.append(leaf)
        figures[leaf] = known[leaf] if not moved else {"instructions": round(now, 1),
                                                       "because": because}
    return over, figures


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--because", help="change the baseline, for this reason")
    options = parser.parse_args()
    baseline = json.loads(BASELINE.read_text()) if BASELINE.exists() else {"leaves": {}}
    kind = build_kind()
    if not options.because and kind != baseline.get("build"):
        print(f"the baseline is of {baseline.get('build')}, this is {kind}")
        return NOT_COMPARABLE
    over, figures = measure(baseline["leaves"], options.because)
    if options.because:
        BASELINE.write_text(json.dumps({"build": kind, "leaves": figures}, indent=1) + "\n")
        return 0
    if over:
        print(f"more than the baseline says: {', '.join(over)}; mend it, or tell --because")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
