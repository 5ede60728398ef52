# SPDX-License-Identifier: Apache-2.0
"""tidy.py finds each planted fault where it stands, and nothing in a tree that keeps the rules."""
import shutil
from pathlib import Path

import pytest

import tidy

ROOT = Path(tidy.__file__).resolve().parent.parent
SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"

CLEAN_C = SPDX + """\
#include "ring/ring.h"

/* if (a) b(); strcpy(to, from); a comment is no code */
#define TWICE(cond) if (cond) twice()

static const struct point origin = {.x = 1};

int ring_turn(int count)
{
    const char *text = "if (a) b(); system(\\"x\\")";
    do {
        if (count > 3) {
            count -= '{';
        } else if (count < 0) {
            return (struct point){.x = 2}.x;
        } else {
            switch (count) {
            case 1: {
                break;
            }
            default:
                break;
            }
        }
    } while (count > 0);
    while (count < 9) {
        count++;
    }
    return self->system(text) + ring_system(count);
}
"""


def plant(root, files):
    """A small tree that keeps every rule, with some files put in or over it."""
    tree = {
        "engine/base/base.h": SPDX + "int base_one(void);\n",
        "engine/ring/ring.h": SPDX + '#include "base/base.h"\n\nint ring_turn(int count);\n',
        "engine/ring/ring.c": CLEAN_C,
        "engine/ring/meson.build": "# SPDX-License-Identifier: Apache-2.0\nx = files('ring.c')\n",
        "engine/ring/said.h": SPDX + 'static const char *const names[] = {"--run-dir", "json"};\n',
        "README.md": "Say `yarder status --help`.\n",
    }
    tree.update(files)
    for name, text in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def function(body):
    return SPDX + "int f(int a)\n{\n" + body + "}\n"


def test_clean_tree(tmp_path):
    plant(tmp_path, {})
    assert tidy.check(tmp_path) == []


def nested(levels):
    opening = "".join("    " * (at + 1) + "if (a) {\n" for at in range(levels))
    return opening + "".join("    " * (at + 1) + "}\n" for at in reversed(range(levels)))


FAULTS = {
    "floor": ("engine/base/base.h", SPDX + '#include "ring/said.h"\n', 2, "higher floor"),
    "backend": ("backends/x.h", SPDX + '#include "base/base.h"\n', 2, "higher floor"),
    "client": ("engine/client/x.h", SPDX + '#include "codec/frame.h"\n', 2, "higher floor"),
    "path": ("engine/ring/x.h", SPDX + '#include "ring.h"\n', 2, "begins with a room"),
    "room": ("engine/rang/x.h", SPDX, 1, "no room"),
    "spdx": ("engine/ring/x.h", "int a;\n", 1, "SPDX"),
    "spdx of a script": ("tests/x.py", "#!/usr/bin/python3\nimport os\n", 1, "SPDX"),
    "width": ("engine/ring/x.h", SPDX + "int " + "a" * 100 + ";\n", 2, "columns"),
    "tab": ("engine/ring/x.h", SPDX + "int\ta;\n", 2, "tab"),
    "trailing": ("README.md", "one \n", 1, "white space"),
    "word": ("README.md", "one\n\n" + "TO" + "DO: two\n", 3, "the word"),
    "newline": ("README.md", "one", 1, "newline"),
    "long header": ("engine/ring/x.h", SPDX + "int a;\n" * 200, 201, "201 lines"),
    "long file": ("tests/x.py", "# " + SPDX + "a = 1\n" * 500, 501, "501 lines"),
    "long function": ("engine/ring/x.h", function("    a++;\n" * 70), 3, "72 lines"),
    "long Python": ("tests/x.py", "# " + SPDX + "def f():\n" + "    a = 1\n" * 70, 2, "71 lines"),
    "bad Python": ("tests/x.py", "# " + SPDX + "def f(:\n", 2, "not Python"),
    "if": ("engine/ring/x.h", function("    if (a > (1))\n        a++;\n"), 4, "if without"),
    "else": ("engine/ring/x.h", function("    if (a) {\n    } else\n        a++;\n"), 5, "else"),
    "for": ("engine/ring/x.h", function("    for (;;)\n        a++;\n"), 4, "for without"),
    "while": ("engine/ring/x.h", function("    while (a++ < 3);\n"), 4, "while without"),
    "do": ("engine/ring/x.h", function("    do\n        a++;\n    while (a);\n"), 4, "do without"),
    "depth": ("engine/ring/x.h", function(nested(5)), 8, "levels of blocks"),
    "call": ("engine/ring/x.h", function("    strcpy (a, b);\n"), 4, "strcpy()"),
    "unlisted": ("engine/ring/lost.c", SPDX + "int a;\n", 1, "in no meson.build"),
    "option": ("README.md", "one\n`yarder run --nonesuch=3 x`\n", 2, "--nonesuch"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault(tmp_path, fault):
    name, text, line, what = FAULTS[fault]
    plant(tmp_path, {name: text})
    found = [finding for finding in tidy.check(tmp_path) if finding[:2] == (name, line)]
    assert any(what in finding[2] for finding in found), tidy.check(tmp_path)


def test_four_levels_are_allowed(tmp_path):
    plant(tmp_path, {"engine/ring/x.h": function(nested(4))})
    assert tidy.check(tmp_path) == []


def test_option_that_exists(tmp_path):
    plant(tmp_path, {"README.md": "`yarder status --json --run-dir x`, `ls --color`\n"})
    assert tidy.check(tmp_path) == []


def test_cycle_inside_a_room(tmp_path):
    plant(tmp_path, {
        "engine/ring/a.h": SPDX + '#include "ring/b.h"\n',
        "engine/ring/b.c": SPDX + '#include "ring/a.h"\n',
        "engine/ring/meson.build": "# " + SPDX + "x = files('ring.c', 'b.c')\n",
    })
    found = [what for _, _, what in tidy.check(tmp_path)]
    assert len(found) == 1 and "ring/a" in found[0] and "ring/b" in found[0], found


@pytest.mark.skipif(shutil.which("clang-format-14") is None, reason="no clang-format 14")
def test_format(tmp_path):
    plant(tmp_path, {"engine/ring/x.h": SPDX + "int  a;\n"})
    shutil.copy(ROOT / ".clang-format", tmp_path)
    found = [finding for finding in tidy.check(tmp_path) if finding[0] == "engine/ring/x.h"]
    assert [(line, "clang-format" in what) for _, line, what in found] == [(2, True)]


def test_exit_status(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["tidy.py", str(tmp_path)])
    plant(tmp_path, {})
    assert tidy.main() == 0
    plant(tmp_path, {"README.md": "one \n"})
    assert tidy.main() == 1
    assert "README.md:1: white space at the end" in capsys.readouterr().out
