"""Headless Chromium over the DevTools protocol, and a page that tells of every dialog, request and console error."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str | None:
    """The browser's path: $CHROMIUM, or the first of its usual names."""
    names = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
    return os.environ.get("CHROMIUM") or next((path for path in map(shutil.which, names) if path), None)


@contextmanager
def launched(executable: str) -> Iterator[Any]:
    """A browser with a fresh profile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, headless=True, args=list(FLAGS))
        yield browser
        browser.close()


class Watched:
    """A page in a context of its own; `faults` lists what a report must never do."""

    def __init__(self, browser: Any, file: Path, **context: Any) -> None:
        self.faults: list[str] = []
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.page.on("dialog", self._dialog)
        self.page.on("console", lambda message: self._console(message))
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("request", self._request)
        self.url = file.resolve().as_uri()
        self.page.goto(self.url)

    def _dialog(self, dialog: Any) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"{message.type}: {message.text}")

    def _request(self, request: Any) -> None:
        if request.url.split("#")[0] != self.url and not request.url.startswith(("data:", "blob:")):
            self.faults.append(f"request: {request.url}")

    def ready(self) -> Watched:
        """Waits until the page's script has set everything up."""
        self.page.wait_for_selector("html[data-ready=yes]", state="attached")
        return self

    def plotted(self) -> Watched:
        """Brings the Pareto plot into view and waits until plotly has drawn it."""
        self.ready()
        self.page.locator("#pareto").scroll_into_view_if_needed()
        self.page.wait_for_selector("#pareto-plot[data-ready=yes]")
        return self

    def close(self) -> None:
        """Ends the page's context."""
        self.context.close()
