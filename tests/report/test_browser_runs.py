"""The report on trained runs in headless Chromium: seen whole, without a fault, by those who can't see it too."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Watched
from planted import planted

from analyzer.reporting.runs_data import RunsPlan, runs_report
from analyzer.reporting.runs_page import runs_html, write_runs

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    report = runs_report(RunsPlan(path=planted(folder, labelled=False), command=("analyze", "report")))
    write_runs(report, folder / "report.html")
    cell = '<!doctype html><html lang="en"><title>n</title><p id="own">own</p><table><tr><td>x</td></tr></table>'
    (folder / "notebook.html").write_text(cell + runs_html(report))
    return folder / "report.html"


@pytest.fixture(params=["light", "dark"])
def watched(browser: Any, page: Path, request: pytest.FixtureRequest) -> Iterator[Watched]:
    opened = Watched(browser, page, color_scheme=request.param, java_script_enabled=True)
    yield opened
    assert opened.faults == []
    opened.close()


def test_every_plot_and_table_is_seen(watched: Watched) -> None:
    boxes = watched.page.eval_on_selector_all(
        "figure .wide svg", "all => all.map(one => one.getBoundingClientRect().height)"
    )
    assert len(boxes) == 1 + 2 + 2 + 4  # a pair's; a network's curves each; the gap over two; four costs
    assert min(boxes) > 60
    words = watched.page.eval_on_selector_all(
        "figure .wide svg text",
        "all => all.filter(t => t.getBBox().x < 0 || t.getBBox().x + t.getBBox().width > 961).map(t => t.textContent)",
    )
    assert words == []


def test_labels_of_curves_do_not_cover_each_other(watched: Watched) -> None:
    tops = watched.page.eval_on_selector_all(
        "figure .wide svg",
        "all => all.map(s => [...s.querySelectorAll('text.label')].map(t => t.getBBox().y).sort((a, b) => a - b))",
    )
    assert all(b - a > 13 for each in tops for a, b in itertools.pairwise(each))


def test_axe_finds_nothing(watched: Watched) -> None:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(watched.page).response["violations"]
    assert [(v["id"], [n["target"] for n in v["nodes"]][:3]) for v in found] == []


def test_a_narrow_page_does_not_scroll_sideways(browser: Any, page: Path) -> None:
    opened = Watched(browser, page, viewport={"width": 390, "height": 800})
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 390
    figures = opened.page.eval_on_selector_all("figure", "all => all.map(f => [f.scrollWidth, f.clientWidth])")
    assert len(figures) == 9
    assert all(needed <= there for needed, there in figures)
    words = opened.page.eval_on_selector_all(
        "figure .narrow svg text",
        "all => all.map(t => [t.getBBox().x, t.getBBox().x + t.getBBox().width, "
        "13 * t.ownerSVGElement.getBoundingClientRect().width / t.ownerSVGElement.viewBox.baseVal.width])",
    )
    assert len(words) > 100
    assert all(left >= 0 and right <= 361 and letters >= 11 for left, right, letters in words)
    opened.close()


def test_in_a_notebook_the_style_stays_in_its_cell(browser: Any, page: Path) -> None:
    opened = Watched(browser, page.with_name("notebook.html"))
    style = "([q, p]) => getComputedStyle(document.querySelector(q))[p]"
    assert opened.page.evaluate(style, ["body > table td", "padding"]) == "1px"
    assert opened.page.evaluate(style, ["body", "maxWidth"]) == "none"
    assert opened.page.evaluate(style, [".analyzer-cell .card", "borderTopStyle"]) == "solid"
    assert opened.page.evaluate(style, [".analyzer-cell .curve", "strokeWidth"]) == "2px"
    assert opened.faults == []
    opened.close()
