# SPDX-License-Identifier: Apache-2.0
"""What `make install` puts on a machine: a unit that systemd takes, a configuration that is one."""
import os
import shutil
import subprocess

import pytest

from harness.daemon import ROOT, program

SECONDS = 60
BUILD = program().parent
pytestmark = pytest.mark.skipif(not program().exists(), reason=f"{program()} is not built")


def run(*command, **options):
    return subprocess.run([str(one) for one in command], capture_output=True, text=True,
                          timeout=SECONDS, check=False, **options)


def test_unit_is_one(folder):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    text = (BUILD / "packaging" / "yarder.service").read_text()
    [start] = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    words = start.removeprefix("ExecStart=").split()
    unit = folder / "yarder.service"
    unit.write_text(text.replace(words[0], str(program())))
    result = run("systemd-analyze", "verify", "--man=no", unit)
    assert (result.returncode, result.stderr) == (0, ""), result
    assert words[1:] == ["run", "/etc/yarder/yarder.conf"]
    assert "AssertPathExists=/etc/yarder/yarder.conf\n" in text


def test_configuration_is_good(folder):
    text = (ROOT / "packaging" / "yarder.conf").read_text()
    path = folder / "yarder.conf"
    path.write_text(text.replace("group = yarder", f"group = {os.getegid()}"))
    assert path.read_text() != text
    result = run(program(), "check", path, env={**os.environ, "YARDER_RUN_DIR": "/run/yarder"})
    assert result.returncode == 0, result


def test_install_keeps_a_configuration(folder):
    if shutil.which("meson") is None:
        pytest.skip("no meson here")
    install = ["meson", "install", "-C", BUILD, "--no-rebuild"]
    environment = {**os.environ, "DESTDIR": str(folder)}
    path = folder / "etc/yarder/yarder.conf"
    for written in ((ROOT / "packaging" / "yarder.conf").read_text(), "output = null\n"):
        if path.exists():
            path.write_text(written)
        result = run(*install, env=environment)
        assert result.returncode == 0, result
        assert path.read_text() == written


def test_what_is_installed_finds_its_library(folder):
    """In any place: the folders move together."""
    if shutil.which("meson") is None:
        pytest.skip("no meson here")
    result = run("meson", "install", "-C", BUILD, "--no-rebuild",
                 env={**os.environ, "DESTDIR": str(folder)})
    assert result.returncode == 0, result
    libraries = list(folder.rglob("libyarder-preload.so"))
    if not (BUILD / "engine/preload/libyarder-preload.so").exists():
        assert not libraries
        return
    [library] = libraries
    [installed] = folder.rglob("bin/yarder")
    result = run(installed, "exec", "--preload", "--output", f"file:{folder}/out", "--", "sh", "-c",
                 "echo $LD_PRELOAD; echo two")
    assert result.returncode == 0, result
    [where, two] = (folder / "out").read_text().splitlines()
    assert (os.path.realpath(where), two) == (os.path.realpath(library), "two")
