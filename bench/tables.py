#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Puts the tables of measured JSON files into a document, each between its marks.

    bench/tables.py [--document docs/performance.md] JSON...

A table NAME stands between the lines <!-- NAME --> and <!-- end NAME -->; what stood there goes.
Below each the document says which command made it, on which machine, when. A table without marks
in the document is an error, and then nothing is written; marks without a table keep what they have.
"""
import argparse
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def replace(document, name, found):
    """The document with that table in it; None: it has no marks for it, or several."""
    marks = re.compile(rf"(?m)^<!-- {re.escape(name)} -->\n(.*?)^<!-- end {re.escape(name)} -->$",
                       re.DOTALL)
    made = f"`{found['command']}`; {found['machine']}; {found['date']}."
    text = f"<!-- {name} -->\n{found['tables'][name]}\n\n{made}\n<!-- end {name} -->"
    changed, count = marks.subn(lambda match: text, document)
    return changed if count == 1 else None


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--document", type=Path, default=ROOT / "docs" / "performance.md")
    parser.add_argument("files", nargs="+", type=Path, metavar="JSON")
    options = parser.parse_args()
    document, wrong = options.document.read_text(), []
    for path in options.files:
        found = json.loads(path.read_text())
        for name in found["tables"]:
            changed = replace(document, name, found)
            if changed is None:
                wrong.append(f"{options.document} has not exactly one place for {name}, of {path}")
            else:
                document = changed
                print(f"{name}: {path}", file=sys.stderr)
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
        return 1
    options.document.write_text(document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
