#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The header of the uWSGI that is installed, behind the definitions that it was built with.

header.py UWSGI FOLDER: writes uwsgi.h, and built.h with a sum of both. The plugin looks at the sum
again when it is loaded: uWSGI's structures have no version, and another build's are others.
"""
import shlex
import subprocess
import sys
from pathlib import Path

FNV_BEGIN, FNV_PRIME = 0xcbf29ce484222325, 0x100000001b3


def fnv(total, data):
    for byte in data:
        total = (total ^ byte) * FNV_PRIME & (1 << 64) - 1
    return total


def says(uwsgi, option):
    said = subprocess.run([uwsgi, option], capture_output=True, check=True, text=True).stdout
    return said.removesuffix("\n")


def main():
    uwsgi, folder = sys.argv[1], Path(sys.argv[2])
    header, flags = says(uwsgi, "--dot-h"), says(uwsgi, "--cflags")
    total = fnv(FNV_BEGIN, header.encode())
    for word in flags.split(" "):
        if word.startswith("-D"):
            total = fnv(total, word.encode())
    lines = []
    for word in shlex.split(flags):
        if word.startswith("-DUWSGI"):
            name, _, value = word[2:].partition("=")
            lines.append(f"#define {name} {value or 1}\n")
    (folder / "uwsgi.h").write_text("".join(lines) + header + "\n")
    (folder / "built.h").write_text(f"#define BUILT_FOR UINT64_C({total:#x})\n")


main()
