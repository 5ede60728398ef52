# SPDX-License-Identifier: Apache-2.0
"""Backends as modules: anybody's by `plugin`, uWSGI's by its source, ours where they are built."""
import json
import os
import shutil
import subprocess

import pytest

from harness import senders
from harness.daemon import ROOT, program
from harness.wait import wait_until

SECONDS = 20
BUILD = program().parent
SAMPLE = BUILD / "tests" / "sample.so"
pytestmark = pytest.mark.skipif(not SAMPLE.exists(), reason=f"{SAMPLE} is not built")


def run(*command, **options):
    return subprocess.run([str(one) for one in command], capture_output=True, text=True,
                          timeout=60, check=False, **options)


def check(folder, config, *arguments, environment=None):
    path = folder / "checked.conf"
    path.write_text(config.replace("{folder}", str(folder)))
    return run(program(), "check", path, "--run-dir", folder, *arguments, cwd=folder,
               env={**os.environ, **(environment or {})})


def compile_module(source, module, *arguments):
    result = run("cc", "-shared", "-fPIC", source, "-o", module, *arguments)
    assert result.returncode == 0, result.stderr
    return result


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with what `make install` puts on a machine."""
    if shutil.which("meson") is None or shutil.which("cc") is None:
        pytest.skip("no meson or no compiler here")
    folder = tmp_path_factory.mktemp("installed")
    result = run("meson", "install", "-C", BUILD, "--no-rebuild",
                 env={**os.environ, "DESTDIR": str(folder)})
    assert result.returncode == 0, result
    return folder


def include_folder(installed):
    [header] = installed.rglob("yarder/backend.h")
    return header.parent.parent


def send(folder, texts):
    with senders.unix_datagram(folder / "in") as sender:
        for text in texts:
            sender.send(text.encode())


def wait_lines(path, wanted):
    wait_until(lambda: path.exists() and path.read_text().splitlines() == wanted, SECONDS,
               lambda: f"{wanted} in {path}: {path.read_text() if path.exists() else 'nothing'}")


def test_example_is_built_from_what_is_installed(folder, installed, yarder):
    [source] = installed.rglob("doc/yarder/examples/foolog.c")
    [described] = installed.rglob("yarder.pc")
    flags = run("pkg-config", "--cflags", "yarder", env={
        **os.environ, "PKG_CONFIG_PATH": str(described.parent),
        "PKG_CONFIG_SYSROOT_DIR": str(installed), "PKG_CONFIG_ALLOW_SYSTEM_CFLAGS": "1"})
    said = compile_module(source, folder / "foolog.so", *flags.stdout.split(),
                          "-Wall", "-Wextra").stderr
    assert said == ""
    assert len(source.read_text().splitlines()) < 60
    yarder("plugin = foolog.so\ninput = unix:{folder}/in\noutput = foolog:{folder}/native\n"
           "logger = foolog\nlogto = {folder}/uwsgi\n")
    texts = [f"message {number}" for number in range(100)]
    send(folder, texts)
    wait_lines(folder / "native", [f"[foo] {text}" for text in texts])
    wait_lines(folder / "uwsgi", [f"[foo] {text}" for text in texts])


def test_a_logger_of_uwsgi_compiles_unchanged(folder, installed, yarder):
    header = include_folder(installed) / "yarder/uwsgi"
    compile_module(ROOT / "tests/apps/uwsgi_foolog.c", folder / "foolog_plugin.so", "-I",
                   ROOT / "engine/api/uwsgi")
    compile_module(ROOT / "tests/apps/uwsgi_foolog.c", folder / "foolog_plugin.so", "-I", header)
    one = yarder("plugin = {folder}/foolog_plugin.so\ninput = unix:{folder}/in\n"
                 "logger = foolog\nlogto = {folder}/original\n")
    send(folder, ["one", "two"])
    wait_lines(folder / "original", ["[foo] one", "[foo] two"])
    assert one.stderr().count("gets nothing") == 0
    one.write_config("plugin = {folder}/foolog_plugin.so\ninput = unix:{folder}/in\n"
                     "output = foolog:\n")
    one.cli("reload")
    send(folder, ["three"])
    wait_lines(folder / "stdout", ["[foo] three"])


FAILING = r"""
#include <uwsgi.h>
static int tries;
static ssize_t failing(struct uwsgi_logger *ul, char *message, size_t len)
{
    if (!ul->configured) {
        ul->fd = open(ul->arg, O_WRONLY | O_CREAT | O_APPEND, 0600);
        ul->configured = 1;
    }
    if (strstr(message, "bad") != NULL && tries++ < 2) {
        uwsgi_log("cannot take it: %s\n", message);
        exit(1);
    }
    message[0] = message[0] == 'g' ? 'G' : message[0];
    return write(ul->fd, message, len);
}
static void failing_register(void) { uwsgi_register_logger("failing", failing); }
struct uwsgi_plugin failing_plugin = {.name = "failing", .on_load = failing_register};
"""


def test_a_logger_of_uwsgi_that_exits_is_tried_again(folder, yarder):
    source = folder / "failing.c"
    source.write_text(FAILING)
    compile_module(source, folder / "failing_plugin.so", "-I", ROOT / "engine/api/uwsgi")
    one = yarder("plugin = failing_plugin.so\ninput = unix:{folder}/in\n"
                 "output = failing:{folder}/out,retry=10ms\noutput = file:{folder}/all\n")
    before = one.worker_pids()
    send(folder, ["good", "bad", "grand"])
    wait_lines(folder / "out", ["Good", "bad", "Grand"])
    wait_lines(folder / "all", ["good", "bad", "grand"])
    assert one.worker_pids() == before
    assert "cannot take it: bad" in json.dumps(one.status())


UNUSABLE = [
    ("int nothing;", "exports no yarder_backend"),
    ("struct {unsigned abi, bytes;} yarder_backend = {7, 8};", "built for another yarder"),
    ('#include "api/backend.h"\nstruct yarder_backend yarder_backend = {YARDER_BACKEND_HEAD};',
     "is incomplete"),
    ("void uwsgi_log(const char *, ...);\nvoid f(void) {uwsgi_log(0);}",
     "compile it with the uwsgi.h of yarder"),
]


@pytest.mark.parametrize("source, said", UNUSABLE)
def test_what_is_no_module_is_one_line(folder, source, said):
    (folder / "it.c").write_text(source)
    compile_module(folder / "it.c", folder / "it.so", "-I", ROOT / "engine")
    result = check(folder, "plugin = {folder}/it.so\noutput = null\ninput = ring\n")
    assert result.returncode == 2, result
    [line] = result.stderr.splitlines()
    assert line.startswith(f"{folder}/checked.conf:1: plugin: ") and said in line, line


def test_a_missing_file_and_a_wrong_one(folder):
    (folder / "text.so").write_text("no library\n")
    result = check(folder, "plugin = nowhere.so\nplugin = {folder}/text.so\nplugin\n"
                           f"plugin = {SAMPLE}\nplugin = {SAMPLE}\noutput = null\n")
    lines = [line.partition(": plugin: ")[2] for line in result.stderr.splitlines()]
    assert [line.rpartition(": ")[2] for line in lines[:2]] == [
        "No such file or directory", "file too short"], result
    assert lines[2:] == ["expected PATH of a module",
                         f"{SAMPLE} is of kind sample, which is there already"]


def test_a_pipe_in_the_place_of_a_file_holds_nobody(folder):
    """It would, as long as nobody writes into it."""
    os.mkfifo(folder / "pipe")
    result = check(folder, "plugin = {folder}/pipe\ninclude = {folder}/pipe\ninput = ring\n"
                           "output = redis:localhost:1,password=file:{folder}/pipe\n")
    assert result.returncode == 2, result
    for said in (f"plugin: {folder}/pipe is no file", f"{folder}/pipe is no file that could be",
                 f"expected a file, which {folder}/pipe is not"):
        assert said in result.stderr, result


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is that careful")
def test_root_loads_nothing_that_others_may_write(folder):
    module = folder / "sample.so"
    shutil.copy(SAMPLE, module)
    config = "plugin = {folder}/sample.so\noutput = sample:/x\n"
    assert check(folder, config).returncode == 0
    for path, mode, again in ((module, 0o666, 0o644), (module, 0o664, 0o644),
                              (folder, 0o777, 0o700), (folder, 0o775, 0o700)):
        path.chmod(mode)
        result = check(folder, config)
        assert result.returncode == 2 and "can be written by others" in result.stderr, result
        path.chmod(again)
    os.symlink(module, folder / "link.so")  # who made a link does not matter, but where it leads
    config = config.replace("/sample.so", "/link.so")
    assert check(folder, config).returncode == 0
    os.chown(module, 65534, 65534)
    assert "can be written by others" in check(folder, config).stderr


def test_a_library_that_is_missing_is_named(folder):
    (folder / "library.c").write_text("int yarder_missing(void) {return 1;}")
    (folder / "redis.c").write_text("int yarder_missing(void);\nint f(void) "
                                    "{return yarder_missing();}")
    compile_module(folder / "library.c", folder / "libyarder-missing.so")
    compile_module(folder / "redis.c", folder / "redis.so", folder / "libyarder-missing.so")
    (folder / "libyarder-missing.so").unlink()
    environment = {"YARDER_BACKENDS": str(folder)}
    result = check(folder, "output = redis:h\n", environment=environment)
    [line] = result.stderr.splitlines()
    assert "output kind redis: cannot be loaded: " in line
    assert "cannot open shared object file" in line and line.endswith(": install libhiredis0.14")
    said = run(program(), "outputs", "redis", env={**os.environ, **environment})
    assert said.returncode == 1 and "install libhiredis0.14" in said.stderr, said
    said = run(program(), "version", env={**os.environ, **environment}).stdout
    assert "cannot be loaded" in said and "not built blackhole" in said
    listed = run(program(), "outputs", env={**os.environ, **environment}).stdout
    assert "(not built here: needs libmongoc-dev)\n" in listed and "redis: commands to" in listed


def kinds_built():
    return sorted(path.stem for path in (BUILD / "backends").glob("*.so"))


def test_what_is_installed_finds_its_modules(installed, folder):
    """In any place: the folders move together."""
    if shutil.which("strace") is None:
        pytest.skip("no strace here")
    moved = folder / "moved"
    shutil.copytree(installed, moved, symlinks=True)
    [binary] = moved.rglob("bin/yarder")
    assert {path.stem for path in moved.rglob("yarder/backends/*.so")} == set(kinds_built())
    for kind in kinds_built():
        said = run("strace", "-f", "-e", "trace=openat", binary, "outputs", kind)
        assert said.returncode == 0, said
        opened = [line for line in said.stderr.splitlines() if f"/backends/{kind}.so" in line]
        assert opened and str(moved) in opened[0] and " = -1 " not in opened[0], opened


@pytest.mark.parametrize("kind", kinds_built())
def test_each_backend_tells_of_itself(kind):
    result = run(program(), "outputs", kind)
    assert result.returncode == 0, result
    lines = result.stdout.splitlines()
    assert lines[0].startswith(kind), lines[0]
    assert lines[2].startswith("A record is delivered when ")
    assert "options of all outputs with a backend:" in lines
    manual = (BUILD / "packaging" / "yarder.conf.5").read_text()
    assert f".SS {kind}\n" in manual
    assert f".SS {kind}\n" + lines[0][:4] in manual.replace("\\-", "-")


def test_who_takes_records_as_they_are_has_no_format(folder, installed):
    [source] = installed.rglob("doc/yarder/examples/foolog.c")
    (folder / "it.c").write_text(source.read_text().replace(".flags = YARDER_BACKEND_TEXT,", ""))
    compile_module(folder / "it.c", folder / "it.so", "-I", include_folder(installed))
    result = check(folder, "plugin = it.so\noutput = foolog:/x,format=json\n")
    assert result.stderr == (f"{folder}/checked.conf:2: format is not an option of foolog, "
                             "which takes records as they are\n")
    assert "  format=" not in run(program(), "outputs", folder / "it.so").stdout
    told = check(folder, "plugin = it.so\noutput = foolog:/x\n", "--explain").stdout
    told = told.partition("output foolog")[2]
    assert "retry=100ms..30s" in told and "format=" not in told and "fsync=" not in told


SECRET = "tell-nobody"


def test_a_secret_is_read_where_the_rights_are_and_never_told(folder, yarder):
    if os.geteuid() != 0:
        pytest.skip("needs root, to be somebody else")
    folder.chmod(0o755)
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    shutil.copy(SAMPLE, folder / "sample.so")
    (folder / "secret").write_text(SECRET + "\n")
    (folder / "secret").chmod(0o600)
    config = ("plugin = {folder}/sample.so\nuser = nobody\ninput = unix:{folder}/in\n"
              "output = sample:bob@{folder}/open/file,password=file:secret\n"
              "output = sample:bob@{folder}/open/variable,password=env:SAMPLE_SECRET\n")
    one = yarder(config, environment={"SAMPLE_SECRET": SECRET})
    send(folder, ["one"])
    wait_lines(folder / "open/file", [SECRET + "one"])
    wait_lines(folder / "open/variable", [SECRET + "one"])
    said = one.stderr() + json.dumps(one.status()) + one.cli("status").stdout
    for arguments in (["--explain"], ["--json"]):
        told = check(folder, config, *arguments, environment={"SAMPLE_SECRET": SECRET})
        assert told.returncode == 0 and "***" in told.stdout, told
        said += told.stdout + told.stderr
    assert SECRET not in said and "bob" not in said
    one.kill_worker()
    send(folder, ["two"])
    wait_lines(folder / "open/file", [SECRET + "one", SECRET + "two"])
    (folder / "secret").write_text("another\n")
    one.cli("reload")
    send(folder, ["three"])
    wait_lines(folder / "open/file", [SECRET + "one", SECRET + "two", "anotherthree"])
    (folder / "secret").chmod(0o604)
    assert "everybody may read it" in check(folder, config, environment={
        "SAMPLE_SECRET": SECRET}).stderr


def test_a_module_that_only_root_may_read_is_told(folder):
    if os.geteuid() != 0:
        pytest.skip("needs root, to be somebody else")
    shutil.copy(SAMPLE, folder / "sample.so")
    (folder / "sample.so").chmod(0o600)
    (folder / "stop.conf").write_text(f"plugin = {folder}/sample.so\nuser = nobody\n"
                                      f"output = sample:{folder}/x\ninput = ring\n")
    result = run(program(), "run", folder / "stop.conf", "--run-dir", folder / "run",
                 "--state-dir", folder / "state")
    assert result.returncode != 0 and "Permission denied" in result.stderr, result
