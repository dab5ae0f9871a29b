"""Reports as files, and the browser that opens them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Watched, chromium, launched
from sample import hostile_report, measured_report, sweep_report

from analyzer.reporting.data import ReportData
from analyzer.reporting.page import write_report


@pytest.fixture(scope="session")
def sweep() -> ReportData:
    return sweep_report()


@pytest.fixture(scope="session")
def measured() -> ReportData:
    return measured_report()


@pytest.fixture(scope="session")
def hostile() -> ReportData:
    return hostile_report()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium; without it the test is skipped, and under CI=true it fails."""
    executable = chromium()
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        executable, reason = None, "the playwright package is not installed (the test dependency group has it)"
    else:
        reason = "no Chromium found: install it (apt-get install chromium) or set CHROMIUM to its path"
    if executable is None:
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with launched(executable) as found:
        yield found


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[ReportData], Path]:
    """Writes a report once a session."""
    files: dict[int, tuple[Path, ReportData]] = {}  # with the data: an id is another's once its object is gone

    def write(data: ReportData) -> Path:
        if id(data) not in files:
            files[id(data)] = tmp_path_factory.mktemp("report") / "report.html", data
            write_report(data, files[id(data)][0])
        return files[id(data)][0]

    return write


@pytest.fixture
def opened(browser: Any, written: Callable[[ReportData], Path]) -> Iterator[Callable[..., Watched]]:
    """Opens a report in a watched page; in the end no page may have had a fault."""
    pages: list[Watched] = []

    def open_(data: ReportData, **context: Any) -> Watched:
        pages.append(Watched(browser, written(data), **context))
        return pages[-1]

    yield open_
    faults = [fault for page in pages for fault in page.faults]
    for page in pages:
        page.close()
    assert faults == []
