#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The rules of the source that a compiler does not know: floors, cycles, lengths, braces, words.

Prints `file:line: what` for each breach and exits 1 if there is one. `tidy.py [ROOT]`.
"""
import ast
import bisect
import graphlib
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOMS = ["api", "base", "os", "ring", "client", "preload", "codec", "io", "route", "queue",
         "inputs", "offload", "outputs", "worker", "control", "cli"]
# Narrower than "all above": backends are written by strangers, the client lives in strangers.
MAY_INCLUDE = {room: set(ROOMS[:at + 1]) for at, room in enumerate(ROOMS)}
MAY_INCLUDE["client"] = {"api", "base", "os", "ring", "client"}
MAY_INCLUDE["preload"] = MAY_INCLUDE["client"] | {"preload"}
MAY_INCLUDE["backends"] = {"api", "backends"}
MAY_INCLUDE["clients"] = MAY_INCLUDE["preload"] | {"clients"}

FILE_LINES_MAX = {".c": 500, ".cc": 500, ".h": 200, ".py": 500, ".S": 500, ".sh": 200}
FUNCTION_LINES_MAX = 70
BLOCK_DEPTH_MAX = 5  # the body of a function and four levels in it
LINE_COLUMNS_MAX = 100
BANNED_CALLS = ["strcpy", "strcat", "sprintf", "vsprintf", "strtok", "gets", "atoi", "atol", "rand",
                "alloca", "system"]
BANNED_WORDS = ["TO" "DO", "FIX" "ME", "X" "XX", "HA" "CK"]
SKIPPED_FOLDERS = re.compile(r"build.*|\.git|__pycache__|\.pytest_cache|corpus|vectors")
C_SUFFIXES = {".c", ".h", ".cc"}
CODE_SUFFIXES = C_SUFFIXES | {".S", ".py", ".sh"}
CODE_NAMES = {"meson.build", "meson_options.txt", "Makefile", "run"}
TEXT_SUFFIXES = {".md", ".txt", ".in", ".conf", ".service"}
# Plans may name what is not there yet; the rest of the documents may not.
PLANNING_DOCUMENTS = {"docs/design.md", "CHANGES.md"}


class Source:
    """One file of the tree, and what is wrong with it."""

    def __init__(self, root, path):
        self.path = path
        self.name = path.relative_to(root).as_posix()
        self.text = path.read_text(encoding="utf-8", errors="replace")
        self.lines = self.text.split("\n")
        self.findings = []

    def is_code(self):
        return self.path.suffix in CODE_SUFFIXES or self.path.name in CODE_NAMES

    def find(self, line, what):
        self.findings.append((self.name, line, what))


def read_sources(root):
    sources = []
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not SKIPPED_FOLDERS.fullmatch(name))
        for file in sorted(files):
            path = Path(folder) / file
            if path.suffix in CODE_SUFFIXES | TEXT_SUFFIXES or path.name in CODE_NAMES:
                sources.append(Source(root, path))
    return sources


def check_text(source):
    """Lines as such: width, white space, words, the licence line, length of the file."""
    words = re.compile(r"\b(?:" + "|".join(BANNED_WORDS) + r")\b")
    for number, line in enumerate(source.lines, 1):
        if source.is_code() and len(line) > LINE_COLUMNS_MAX:
            source.find(number, f"{len(line)} columns, at most {LINE_COLUMNS_MAX}")
        if "\t" in line and source.path.name != "Makefile":
            source.find(number, "a tab")
        if line != line.rstrip():
            source.find(number, "white space at the end")
        if words.search(line):
            source.find(number, f"the word {words.search(line)[0]}: do it, or say what is so")
    if not source.text.endswith("\n") or source.text.endswith("\n\n"):
        source.find(len(source.lines), "ends without, or with more than, one newline")
    if source.is_code():
        first = source.lines[1] if source.text.startswith("#!") else source.lines[0]
        if "SPDX-License-Identifier: Apache-2.0" not in first:
            source.find(1, "no SPDX line at the top")
    limit = FILE_LINES_MAX.get(source.path.suffix)
    count = len(source.lines) - 1
    if limit is not None and count > limit:
        source.find(limit + 1, f"{count} lines, at most {limit}")


TOKENS_HIDDEN = re.compile(
    r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
DIRECTIVE = re.compile(r"^[ ]*#(?:\\\n|[^\n])*", re.MULTILINE)


def blank(text, pattern):
    """Overwrites what matches with spaces, newlines kept: positions and lines stay true."""
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


class Scan:
    """C without comments, literals and directives, as tokens; lines by position."""

    def __init__(self, source):
        visible = blank(source.text, TOKENS_HIDDEN)
        self.calls = visible
        self.text = blank(visible, DIRECTIVE)
        self.tokens = [(match[0], match.start())
                       for match in re.finditer(r"\w+|[^\w\s]", self.text)]
        self.newlines = [match.start() for match in re.finditer("\n", source.text)]

    def line(self, position):
        return bisect.bisect_left(self.newlines, position) + 1

    def token(self, index):
        return self.tokens[index][0] if 0 <= index < len(self.tokens) else ""

    def closing(self, index):
        """The index of the parenthesis that closes the one at index."""
        depth = 0
        while index < len(self.tokens):
            depth += {"(": 1, ")": -1}.get(self.token(index), 0)
            if depth == 0:
                return index
            index += 1
        return index


def find_blocks(source, scan):
    """Indexes of the `{` that open a block of if, for, while, switch, do, else; lacks are found."""
    blocks = set()
    tail_of_do = find_tails_of_do(scan)
    for index, (token, position) in enumerate(scan.tokens):
        if token in ("if", "for", "while", "switch") and scan.token(index + 1) == "(":
            if index in tail_of_do:
                continue
            after = scan.closing(index + 1) + 1
        elif token in ("else", "do"):
            after = index + 1
            if token == "else" and scan.token(after) == "if":
                continue
        else:
            continue
        if scan.token(after) == "{":
            blocks.add(after)
        else:
            source.find(scan.line(position), f"{token} without braces")
    return blocks


def find_tails_of_do(scan):
    """Indexes of the `while` that ends a `do`: no braces follow those."""
    tails, open_braces = set(), []
    for index, (token, _) in enumerate(scan.tokens):
        if token == "{":
            open_braces.append(scan.token(index - 1) == "do")
        elif token == "}" and open_braces and open_braces.pop():
            if scan.token(index + 1) == "while":
                tails.add(index + 1)
    return tails


def check_blocks(source, scan):
    """Braces on everything; depth of blocks inside a function."""
    blocks, kinds, depth, reported = find_blocks(source, scan), [], 0, False
    for index, (token, position) in enumerate(scan.tokens):
        if token == "{":
            at_margin = position == 0 or scan.text[position - 1] == "\n"
            kinds.append(at_margin or index in blocks)
            depth += kinds[-1]
            if depth > BLOCK_DEPTH_MAX and not reported:
                source.find(scan.line(position), f"over {BLOCK_DEPTH_MAX - 1} levels of blocks")
                reported = True
        elif token == "}" and kinds:
            depth -= kinds.pop()
            reported = reported and depth > 0


def too_long(length):
    return f"a function of {length} lines, at most {FUNCTION_LINES_MAX}"


def check_functions(source, scan):
    """A function's braces stand at the margin, by clang-format's Linux style."""
    began = None
    for number, line in enumerate(scan.text.split("\n"), 1):
        if line.rstrip() == "{":
            began = number
        elif line.startswith("}") and began is not None:
            length = number - began + 1
            if length > FUNCTION_LINES_MAX:
                source.find(began, too_long(length))
            began = None


def check_calls(source, scan):
    for match in re.finditer(r"(?<![\w.>])(" + "|".join(BANNED_CALLS) + r")\s*\(", scan.calls):
        source.find(scan.line(match.start()), f"{match[1]}() is not used here")


def check_python(source):
    try:
        tree = ast.parse(source.text)
    except SyntaxError as trouble:
        source.find(trouble.lineno or 1, f"not Python: {trouble.msg}")
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = node.end_lineno - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                source.find(node.lineno, too_long(length))


INCLUDE = re.compile(r'^[ ]*#[ ]*include[ ]+"([^"]+)"', re.MULTILINE)


def room_of(name):
    parts = name.split("/")
    if parts[0] == "engine" and len(parts) > 2:
        return parts[1]
    return parts[0] if parts[0] in ("backends", "clients") else None


def module_of(path):
    """A module is x.c with x.h and, for its own files alone, x_private.h."""
    return path.rsplit(".", 1)[0].removesuffix("_private")


def check_includes(sources):
    """Floors, and cycles between modules."""
    graph, where = {}, {}
    for source in sources:
        room = room_of(source.name)
        if room is None or source.path.suffix not in C_SUFFIXES:
            continue
        if room not in MAY_INCLUDE:
            source.find(1, f"{room} is no room; add it to the floors in tests/tidy.py")
            continue
        module = module_of(source.name.removeprefix("engine/"))
        for match in INCLUDE.finditer(source.text):
            line = source.text.count("\n", 0, match.start()) + 1
            target = match[1]
            beside = target.removeprefix("../")
            if room in ("api", "backends", "clients") and "/" not in beside:
                target = f"{room}/{beside}"  # side by side where they are installed, too
            if target.split("/")[0] not in MAY_INCLUDE or "/" not in target:
                source.find(line, f'"{target}": the path begins with a room')
            elif target.split("/")[0] not in MAY_INCLUDE[room]:
                source.find(line, f'{room} may not include "{target}": it stands on a higher floor')
            elif (other := module_of(target)) != module:
                graph.setdefault(module, set()).add(other)
                where.setdefault((module, other), (source, line))
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as trouble:
        cycle = trouble.args[1][::-1]
        source, line = where[(cycle[0], cycle[1])]
        source.find(line, "a cycle of includes: " + " -> ".join(cycle))


def check_listed(sources):
    """Every file to compile stands in a meson.build, by its path or as a name without suffix."""
    listed = set()
    for source in sources:
        if source.path.name == "meson.build":
            for name in re.findall(r"'([^'\n]+)'", source.text):
                listed.add(os.path.normpath(source.path.parent / name))
    for source in sources:
        path = os.path.normpath(source.path)
        if source.path.suffix in (".c", ".cc", ".S") and path not in listed:
            if os.path.splitext(path)[0] not in listed:
                source.find(1, "stands in no meson.build")


def check_documents(sources):
    """An option that a document names in a command exists in the source, in quotes."""
    quoted = set()
    for source in sources:
        if source.path.suffix in (".c", ".h"):
            quoted.update(re.findall(r'"-{0,2}([a-z][a-z0-9-]+)[="]', source.text))
    for source in sources:
        if source.path.suffix != ".md" or source.name in PLANNING_DOCUMENTS:
            continue
        for number, line in enumerate(source.lines, 1):
            command = re.search(r"\byarder [^`|]*", line)
            for name in re.findall(r"(?<!\S)--([a-z][a-z0-9-]+)", command[0] if command else ""):
                if name not in quoted and name not in ("help", "version"):
                    source.find(number, f"--{name} is an option of no command")


def check_format(root, sources):
    """Findings of clang-format, one for each file, at its first line that would change."""
    program = shutil.which("clang-format-14") or shutil.which("clang-format")
    files = [source for source in sources if source.path.suffix in (".c", ".h")]
    if program is None or not files or not (root / ".clang-format").exists():
        return
    by_path = {str(source.path): source for source in files}
    shares = [files[at::2] for at in range(2) if files[at::2]]

    def run(share):
        command = [program, "--dry-run", *[str(source.path) for source in share]]
        return subprocess.run(command, capture_output=True, text=True, cwd=root).stderr

    seen = set()
    with ThreadPoolExecutor(len(shares)) as pool:
        for output in pool.map(run, shares):
            for path, line in re.findall(r"^(\S+):(\d+):\d+: (?:warning|error):", output, re.M):
                if path not in seen and path in by_path:
                    seen.add(path)
                    by_path[path].find(int(line), "clang-format would change this (make format)")


def check(root):
    """All findings below root, as (file, line, what), in order."""
    sources = read_sources(root)
    for source in sources:
        check_text(source)
        if source.path.suffix in (".c", ".h"):
            scan = Scan(source)
            check_blocks(source, scan)
            check_functions(source, scan)
            check_calls(source, scan)
        elif source.path.suffix == ".py":
            check_python(source)
    check_includes(sources)
    check_listed(sources)
    check_documents(sources)
    check_format(root, sources)
    return sorted(finding for source in sources for finding in source.findings)


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent).resolve()
    findings = check(root)
    for name, line, what in findings:
        print(f"{name}:{line}: {what}")
    print(f"tidy: {len(findings)} findings" if findings else "tidy: clean")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
