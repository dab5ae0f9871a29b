"""The pages of verbs' answers in headless Chromium: read by all, on any screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser import Watched

import analyzer as an

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SMALL = an.Variant(block="dense", block_config=(1, 1), growth=4, image=32)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("answers")
    made = {
        "explain": an.explain(SMALL, limits={"params": "10k"}),
        "devices": an.devices(),
        "predict_memory": an.predict_memory(SMALL),
    }
    return {name: result.report(folder / f"{name}.html") for name, result in made.items()}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["explain", "devices", "predict_memory"])
def test_an_answer_is_read_by_all(browser: Any, pages: dict[str, Path], name: str, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    watched = Watched(browser, pages[name], color_scheme=scheme, viewport={"width": 390, "height": 844})
    found = Axe().run(watched.page).response["violations"]
    assert [(v["id"], [n["target"] for n in v["nodes"]][:3]) for v in found] == []
    assert watched.page.evaluate("document.documentElement.scrollWidth") == 390
    assert watched.faults == []
    watched.close()
