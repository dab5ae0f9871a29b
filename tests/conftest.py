"""How many examples the property tests draw: the same ones every time, or ten times as many, fresh (`make
test-deep`); which signals the commands that tests start are born with; and how many threads they have.
"""

from __future__ import annotations

import os
import signal

import pytest

try:
    from hypothesis import settings
except ImportError:  # a GPU machine runs tests/gpu with what it has
    settings = None
else:
    settings.register_profile("steady", derandomize=True, deadline=None)
    settings.register_profile("deep", derandomize=False, deadline=None, print_blob=True)
    settings.load_profile("steady")


os.environ.setdefault("OMP_NUM_THREADS", "1")
"""Before torch is imported, and for all processes that tests start: several of them share the processors, and the
threads of one operator wait for each other by spinning, many times longer than it takes."""


def pytest_configure() -> None:
    """Commands that tests start can be ended, also where a job in the background (`nohup`, `&`) runs the tests, and
    their tables are as wide as they are, whatever terminal the tests run in.
    """
    os.environ.pop("COLUMNS", None)
    for name, handler in {"SIGINT": signal.default_int_handler, "SIGHUP": signal.SIG_DFL}.items():
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under the profile `deep` each property test has ten times the examples that it says."""
    if settings is None or settings.get_current_profile_name() != "deep":
        return
    for test in {item.obj for item in items if "hypothesis" in item.keywords}:
        said = test._hypothesis_internal_use_settings
        test._hypothesis_internal_use_settings = settings(said, max_examples=10 * said.max_examples)
