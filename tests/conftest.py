# SPDX-License-Identifier: Apache-2.0
"""Fixtures of all scenes. A scene is a test that runs the daemon; see tests/harness/.

YARDER_IO says which loop (uring, epoll, auto), YARDER_BUILD which build folder. Scenes marked
`long` run only when asked for (-m long); those marked `sanitize` run on the sanitized build too.
"""
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from harness.daemon import Yarder, program

SCENE_SECONDS = 60


def pytest_configure(config):
    config.addinivalue_line("markers", "long: minutes rather than seconds (make soak, torture)")
    config.addinivalue_line("markers", "sanitize: once more under ASan and UBSan")
    config.addinivalue_line("markers", "seconds(count): how long the test may take")


def pytest_collection_modifyitems(config, items):
    if config.option.markexpr:
        return
    long = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if outcome.get_result().failed:
        item.has_failed = True


@pytest.fixture(autouse=True)
def time_limit(request):
    """A test that hangs fails where it hangs."""
    marker = request.node.get_closest_marker("seconds")
    seconds = marker.args[0] if marker else SCENE_SECONDS

    def expire(number, frame):
        raise AssertionError(f"still going after {seconds} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def folder(request):
    """A folder with a short name (a unix socket's path has 108 bytes); kept when the test fails."""
    path = Path(tempfile.mkdtemp(prefix="yarder-"))
    yield path
    if getattr(request.node, "has_failed", False):
        print(f"kept: {path}")
    else:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def yarder(folder):
    """Makes daemons: yarder(config, ...) starts one that is stopped, and checked, at the end.

    A second one in the same scene takes a `name`: it lives in folder/name.
    """
    if not program().exists():
        pytest.skip(f"{program()} is not built")
    started = []

    def start(config, name="", **options):
        started.append(Yarder(folder / name, config, **options).start())
        return started[-1]

    yield start
    try:
        for one in started:
            if one.process.returncode is None:
                one.stop()
    finally:
        for one in started:
            one.kill()
