#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Everything `make test` checks, summed into one closing line: N passed, N failed.

Each part is built and run for itself; a part that cannot be built counts as one failure and the
others go on. Logs and reports stay in build/reports/. A test that exits 77 is skipped, which is
neither: it is listed.
"""
import argparse
import ctypes
import errno
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / "build" / "reports"
SCENES = ROOT / "tests" / "scenes"
PYTEST = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q"]
# ninja's progress, and the commands it quotes: not what one looks for in a failed build.
NINJA_SAYS = re.compile(r"^(\[\d+/\d+\] |\S+ .* -o \S+ -c ).*\n", re.MULTILINE)
PYTEST_NOTHING_SELECTED = 5
LOG_LINES_SHOWN = 60
# Rooms whose threads meet in memory, and so run under TSan too.
THREADED_ROOMS = ("base", "ring", "client", "queue", "offload", "outputs", "worker", "control")
# What knows nothing of the loop, and runs once.
ONCE_SCENES = ("alarms", "backend_*", "compare", "encoders", "endtoend", "figures", "instructions",
               "modules", "preload*", "readme", "requests", "rotate*", "serve_udp", "source_*",
               "spool*", "tap", "uwsgi_*")
# What measures, and what lays hands on the whole machine: nothing runs beside it.
ALONE_SCENES = ("fairness", "figures", "instructions", "producers", "rest")
# What knows which loop it runs on.
LOOP_ROOMS = ("io", "inputs", "worker")


class Tally:
    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []

    def good(self, count=1):
        self.passed += count

    def bad(self, name, detail=""):
        self.failed.append(name)
        print(f"FAILED {name}", flush=True)
        lines = detail.splitlines()
        if len(lines) > LOG_LINES_SHOWN:
            print(f"    ... {len(lines) - LOG_LINES_SHOWN} lines before")
        for line in lines[-LOG_LINES_SHOWN:]:
            print(f"    {line}")

    def close(self):
        for name in self.skipped:
            print(f"skipped: {name}")
        for name in self.failed:
            print(f"failed: {name}")
        print(f"{self.passed} passed, {len(self.failed)} failed", flush=True)
        return 1 if self.failed else 0


def call(command, seconds, environment=None):
    """Runs a command in a session of its own, so that a time-out ends all it started."""
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **(environment or {})}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True, text=True,
        errors="replace")
    try:
        output, _ = process.communicate(timeout=seconds)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return 124, f"{output}\n{shlex.join(command)}: no end after {seconds} s\n"


class Build:
    """One build folder: how it is configured, and the unit tests in it."""

    def __init__(self, folder, compiler, *options):
        self.folder = folder
        self.compiler = compiler
        self.options = ["-Dwerror=true", *options]

    def configure(self):
        rooms = sorted(str(path) for path in ROOT.glob("engine/*/meson.build"))
        wanted = json.dumps([self.compiler, self.options, rooms])
        stamp = ROOT / self.folder / "configured.json"
        if stamp.exists() and stamp.read_text() == wanted:
            return 0, ""
        again = ["--reconfigure"] if (ROOT / self.folder / "build.ninja").exists() else []
        code, output = call(
            ["/usr/bin/meson", "setup", *again, self.folder, *self.options], 120,
            {"CC": self.compiler})
        if code == 0:
            stamp.write_text(wanted)
        return code, output

    def make(self, tally, targets=()):
        code, output = self.configure()
        if code == 0:
            code, output = call(["ninja", "-C", self.folder, "-k", "0", *targets], 900)
        if code != 0:
            (REPORTS / f"{self.folder}.log").write_text(output)
            tally.bad(f"{self.folder}: build", NINJA_SAYS.sub("", output))
            return False
        tally.good()
        return True

    def tests(self):
        """Pairs of a test's name and the ninja target of its program."""
        _, output = call(["/usr/bin/meson", "introspect", "--tests", self.folder], 60)
        folder = f"{ROOT / self.folder}/"
        return [(test["name"], test["cmd"][0].removeprefix(folder)) for test in json.loads(output)]

    def modules(self):
        """What unit tests load."""
        _, output = call(["/usr/bin/meson", "introspect", "--targets", self.folder], 60)
        folder = f"{ROOT / self.folder}/"
        return [target["filename"][0].removeprefix(folder) for target in json.loads(output)
                if target["type"] == "shared module"]

    def unit(self, tally, names=(), wrapper=()):
        log = ROOT / self.folder / "meson-logs" / "testlog.json"
        log.unlink(missing_ok=True)
        code, output = call(
            [*wrapper, "/usr/bin/meson", "test", "-C", self.folder, "--no-rebuild", "-t", "2",
             *names], 900, {"UBSAN_OPTIONS": "print_stacktrace=1"})
        if not log.exists():
            tally.bad(f"{self.folder}: meson test", output)
            return
        failed_before = len(tally.failed)
        for line in log.read_text(errors="replace").splitlines():
            self.count(tally, json.loads(line))
        if code != 0 and len(tally.failed) == failed_before:
            tally.bad(f"{self.folder}: meson test", output)

    def count(self, tally, result):
        name = f"{self.folder}: {result['name'].split(' / ')[-1]}"
        said = result.get("stdout", "") + result.get("stderr", "")
        cases = re.search(r"\[  PASSED  \] (\d+) test\(s\)", said)
        if result["result"] in ("OK", "EXPECTEDFAIL"):
            tally.good(int(cases[1]) if cases else 1)
        elif result["result"] == "SKIP":
            tally.skipped.append(name)
        else:
            broken = re.findall(r"\[  FAILED  \] (?!\d+ test)(\S+)", said)
            if cases:
                tally.good(int(cases[1]))
            tally.bad(f"{name} ({result['result']})", said)
            for other in sorted(set(broken))[1:]:
                tally.failed.append(f"{name}: {other}")


def call_pytest(name, words, environment=None, seconds=540):
    report = REPORTS / f"{name}.xml"
    report.unlink(missing_ok=True)
    code, output = call([*PYTEST, f"--junitxml={report}", *words], seconds, environment)
    (REPORTS / f"{name}.log").write_text(output)
    return report, code, output


def count_report(tally, name, report, code, output):
    if not report.exists():
        tally.bad(name, output)
        return
    if code == PYTEST_NOTHING_SELECTED:
        return
    failed_before = len(tally.failed)
    for case in ElementTree.parse(report).iter("testcase"):
        title = f"{name}: {case.get('classname')}.{case.get('name')}"
        trouble = next((case.find(kind) for kind in ("failure", "error")
                        if case.find(kind) is not None), None)
        if trouble is not None:
            said = [case.findtext("system-out"), case.findtext("system-err")]
            tally.bad(title, "\n".join(filter(None, [trouble.text, *said])))
        elif case.find("skipped") is not None:
            tally.skipped.append(f"{title} ({case.find('skipped').get('message')})")
        else:
            tally.good()
    if code != 0 and len(tally.failed) == failed_before:
        tally.bad(name, output)


def run_scene_files(tally, name, files, environment, words=()):
    """As many files at a time as there are processors: scenes mostly wait. Long ones first."""
    def run(path):
        return call_pytest(f"{name}-{path.stem}", [str(path), *words], environment)

    alone = [path for path in sorted(files) if path.stem.removeprefix("test_") in ALONE_SCENES]
    together = sorted(set(files) - set(alone), key=lambda path: -path.stat().st_size)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = [*pool.map(run, together), *map(run, alone)]
    for result in results:
        count_report(tally, name, *result)


def run_tidy(tally):
    code, output = call([sys.executable, "tests/tidy.py"], 120)
    if code == 0:
        tally.good()
    else:
        tally.bad("tidy", output)
    count_report(tally, "tidy", *call_pytest("tidy", ["tests/tidy_test.py"], seconds=120))


def run_unit(tally):
    main = Build("build", "gcc")
    if main.make(tally):
        main.unit(tally)


def run_sanitized(tally):
    build = Build("build-asan", "clang-14", "-Db_sanitize=address,undefined", "-Db_lundef=false")
    if build.make(tally):
        build.unit(tally)


def run_threads(tally):
    build = Build("build-tsan", "clang-14", "-Db_sanitize=thread", "-Db_lundef=false",
                  "-Dbench=disabled")
    code, output = build.configure()
    if code != 0:
        tally.bad("build-tsan: meson", output)
        return
    tests = [test for test in build.tests() if test[0].split("-")[0] in THREADED_ROOMS]
    if tests and build.make(tally, [*(program for _, program in tests), *build.modules()]):
        # TSan wants the addresses where it expects them.
        fixed = ["setarch", "-R"]
        build.unit(tally, [name for name, _ in tests],
                   fixed if call([*fixed, "true"], 5)[0] == 0 else ())


def run_without_uring(tally):
    build = Build("build-epoll", "gcc", "-During=disabled", "-Dbench=disabled")
    if build.make(tally):
        names = [name for name, _ in build.tests() if name.split("-")[0] in LOOP_ROOMS]
        if names:
            build.unit(tally, names)


def uring_is_allowed():
    """Containers forbid it as a rule: the kernel then refuses before it looks at the arguments."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(425, 0, None)  # io_uring_setup, the same number on all architectures but alpha
    return ctypes.get_errno() not in (errno.ENOSYS, errno.EPERM, errno.EACCES)


def run_scenes(tally, io):
    if io == "uring" and not uring_is_allowed():
        tally.skipped.append("scenes-uring (io_uring is forbidden here)")
        return
    files = set(SCENES.glob("test_*.py")) - once_scenes()
    run_scene_files(tally, f"scenes-{io}", files, {"YARDER_IO": io, "YARDER_BUILD": "build"})


def once_scenes():
    return {path for scenes in ONCE_SCENES for path in SCENES.glob(f"test_{scenes}.py")}


def run_scenes_once(tally):
    run_scene_files(
        tally, "scenes-once", once_scenes(), {"YARDER_IO": "auto", "YARDER_BUILD": "build"})


def run_scenes_sanitized(tally):
    if not (ROOT / "build-asan" / "yarder").exists():
        tally.bad("scenes-sanitized: no build-asan/yarder; the part sanitized builds it")
        return
    run_scene_files(tally, "scenes-asan", set(SCENES.glob("test_*.py")),
                    {"YARDER_IO": "auto", "YARDER_BUILD": "build-asan"},
                    ["-m", "sanitize and not long"])


PARTS = {
    "tidy": run_tidy,
    "unit": run_unit,
    "sanitized": run_sanitized,
    "threads": run_threads,
    "without-uring": run_without_uring,
    "scenes-uring": lambda tally: run_scenes(tally, "uring"),
    "scenes-epoll": lambda tally: run_scenes(tally, "epoll"),
    "scenes-once": run_scenes_once,
    "scenes-sanitized": run_scenes_sanitized,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tidy and unit alone")
    parser.add_argument("parts", nargs="*", metavar="PART", help=" ".join(PARTS))
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {' '.join(sorted(unknown))}; there are: {' '.join(PARTS)}")
    REPORTS.mkdir(parents=True, exist_ok=True)
    tally = Tally()
    for name in arguments.parts or (["tidy", "unit"] if arguments.quick else PARTS):
        passed, failed, began = tally.passed, len(tally.failed), time.monotonic()
        try:
            PARTS[name](tally)
        except Exception as trouble:  # a broken part must not hide what the others say
            tally.bad(name, f"{type(trouble).__name__}: {trouble}")
        print(f"{name}: {tally.passed - passed} good, {len(tally.failed) - failed} bad, "
              f"{time.monotonic() - began:.0f} s", flush=True)
    sys.exit(tally.close())


if __name__ == "__main__":
    main()
