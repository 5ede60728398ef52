# SPDX-License-Identifier: Apache-2.0
"""The tables of the document are put in by a program, which is tried here."""
import json
import shutil
import subprocess

from harness.daemon import ROOT

DOCUMENT = ROOT / "docs" / "performance.md"


def put_tables(document, *files):
    return subprocess.run([ROOT / "bench" / "tables.py", "--document", document, *files],
                          capture_output=True, text=True, timeout=20, check=False)


def write_found(path, **tables):
    path.write_text(json.dumps({"tables": tables, "command": "bench/x.py --runs 5",
                                "machine": "a machine", "date": "2026-11-21"}))
    return path


def test_tables_go_between_their_marks(folder):
    document = folder / "page.md"
    document.write_text("a\n<!-- one -->\nold\n\nold\n<!-- end one -->\nb\n<!-- two -->\n"
                        "<!-- end two -->\nc\n")
    result = put_tables(document, write_found(folder / "x.json", one=r"| \1 |"))
    made = "`bench/x.py --runs 5`; a machine; 2026-11-21."
    assert result.returncode == 0, result.stderr
    assert document.read_text() == (
        f"a\n<!-- one -->\n| \\1 |\n\n{made}\n<!-- end one -->\nb\n<!-- two -->\n"
        "<!-- end two -->\nc\n")
    before = document.read_text()
    result = put_tables(document, write_found(folder / "y.json", two="| 2 |", three="| 3 |"))
    assert result.returncode == 1 and "place for three" in result.stderr
    assert document.read_text() == before, "all or nothing"


def test_the_document_has_a_place_for_each_table(folder):
    names = ["compare", "endtoend", *(f"latency-{since}" for since in ("call", "due", "burst", "landed"))]
    copy = folder / "performance.md"
    shutil.copy(DOCUMENT, copy)
    found = write_found(folder / "all.json", **{name: f"| {name} |" for name in names})
    result = put_tables(copy, found)
    assert result.returncode == 0, result.stderr
    assert all(f"| {name} |\n\n`bench/x.py" in copy.read_text() for name in names)
