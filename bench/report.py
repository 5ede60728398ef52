# SPDX-License-Identifier: Apache-2.0
"""What the programs that measure have found, as tables and as JSON that says how it was made."""
import json
import os
import platform
import shlex
import statistics
import sys
import time
from pathlib import Path

WHERE_TO = ("--json", "--svg")  # these and their values change no figure


def machine():
    models = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
              if line.startswith("model name")]
    return (f"{os.cpu_count()} x {models[0] if models else platform.machine()}, "
            f"Linux {platform.release()}")


def made():
    """How this run's figures come to be: what bench/tables.py puts below them."""
    words = iter(sys.argv[1:])
    told = [word for word in words if word not in WHERE_TO or not next(words)]
    return {"command": shlex.join([f"bench/{Path(sys.argv[0]).name}", *told]),
            "machine": machine(), "date": time.strftime("%F")}


def spread(values, digits=2):
    return f"{min(values):.{digits}f}-{max(values):.{digits}f}"


def _ratios(runs, base, figure):
    """Turn by turn: what disturbs a turn disturbs both."""
    pairs = [(getattr(run, figure), getattr(other, figure)) for run, other in zip(runs, base or [])]
    return [one / other for one, other in pairs if other > 0 and one > 0]


def ratio(runs, base, figure):
    """The median of the turns; 1 where there is nothing to compare."""
    return statistics.median(_ratios(runs, base, figure) or [1])


def ratios(runs, base, figure):
    """The same as two cells: the median, and worst and best."""
    values = _ratios(runs, base, figure)
    return (f"{statistics.median(values):.2f}", spread(values)) if values else ("-", "-")


def median(runs, figure, digits=2):
    return f"{statistics.median(getattr(run, figure) for run in runs):.{digits}f}"


def in_columns(rows, left=1):
    """The first row is the head; the first `left` columns are words."""
    widths = [max(len(one[at]) for one in rows) for at in range(len(rows[0]))]
    return "\n".join("  ".join(
        cell.ljust(width) if at < left else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(one, widths))).rstrip() for one in rows)


def in_markdown(rows):
    lines = ["| " + " | ".join(one) + " |" for one in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def write_json(path, tables, **figures):
    """tables: {name: text in Markdown}, for bench/tables.py; figures: all of all runs."""
    path.write_text(json.dumps({**made(), "tables": tables, **figures}, indent=1) + "\n")
