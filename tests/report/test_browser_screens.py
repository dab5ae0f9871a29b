"""The page on other screens and in other hands: a telephone, paper, a tree that is opened, columns that are chosen."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from browser import Watched

from analyzer.architecture.network import PRESETS, trace
from analyzer.reading import family
from analyzer.reading.peak import training_peak
from analyzer.reporting.data import ReportData, timeline_of

pytestmark = [pytest.mark.browser, pytest.mark.slow]
Open = Callable[..., Watched]
PHONE = {"width": 390, "height": 844}


@pytest.mark.parametrize("script", [True, False])
def test_drawings_are_made_for_the_width(opened: Open, sweep: ReportData, script: bool) -> None:
    """None is wider than a telephone, and no letters are smaller than 11 pixels."""
    page = opened(sweep, viewport=PHONE, java_script_enabled=script).page
    sizes = page.eval_on_selector_all(
        "main figure svg",
        "all => all.filter(e => e.getClientRects().length).map(e => [e.getBoundingClientRect().width, "
        "13 * e.getBoundingClientRect().width / e.viewBox.baseVal.width])",
    )
    assert len(sizes) >= 3
    assert all(width <= 390 and letters >= 11 for width, letters in sizes)
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_the_four_questions_are_answered_on_the_first_two_screens(opened: Open, sweep: ReportData) -> None:
    for size in (PHONE, {"width": 1280, "height": 800}):
        page = opened(sweep, viewport=size).ready().page
        answers = page.locator(".answers")
        box = answers.bounding_box()
        assert box["y"] + box["height"] < 2 * size["height"]
        text = page.inner_text("#verdict .verdict")
        for words in ("Over budget", "stage 4", "compression 0.25 instead of 0.5", "nothing to mind"):
            assert words in text


def test_a_module_of_the_tree_opens(opened: Open, sweep: ReportData) -> None:
    page = opened(sweep).ready().page
    page.click("#where .p0 a[aria-label^='features.denseblock4:'] >> nth=0")
    labels = page.eval_on_selector_all("#where .p0 a", "all => all.map(a => a.getAttribute('aria-label'))")
    assert all(label.startswith("features.denseblock4") for label in labels)
    assert page.locator("#tree-way button").all_inner_texts() == ["article", "features", "denseblock4"]
    page.click("#tree-way button >> nth=0")
    assert page.locator("#where .p0 a[aria-label^='features.transition3:']").count() == 1
    page.click("#where .p0 a[aria-label^='features.transition3.conv:']")  # a layer: found in the table
    assert page.evaluate("document.activeElement.dataset.path") == "features.transition3.conv"


def test_layers_are_found_by_path_before_type(opened: Open, sweep: ReportData) -> None:
    page = opened(sweep).ready().page
    page.fill("#layer-find", "conv0")
    assert page.locator("#layer-table mark").all_inner_texts() == ["conv0"]
    page.fill("#layer-find", "batchnorm2d")  # no path has it
    assert page.inner_text("#layer-said").endswith("found")
    assert page.locator("#layer-table mark").count() == len(
        [r for r in sweep.subject.layers if r.type == "BatchNorm2d"]
    )
    page.fill("#layer-find", "zebra")
    assert page.inner_text("#layer-said") == "Nothing matches"
    page.fill("#layer-find", "")
    assert page.locator("#layer-table mark").count() == 0
    assert page.locator("#layer-table tr[data-path=features] th").inner_text().endswith("features")


def test_columns_are_chosen(opened: Open, sweep: ReportData) -> None:
    page = opened(sweep).ready().page
    heads = "#variant-table thead th:not([hidden])"
    before = page.locator(heads).all_inner_texts()
    assert before[:3] == ["variant", "budget", "is"]
    page.click("#variant-columns summary")
    page.locator("#variant-columns label", has_text="depth × baseline").locator("input").uncheck()
    assert page.locator(heads).count() == len(before) - 1
    assert page.locator("#variant-table tbody tr >> nth=0").locator("th, td").count() == len(before) - 1
    narrow = opened(sweep, viewport=PHONE).ready().page
    assert "× baseline" not in narrow.locator(heads).all_inner_texts()


def test_the_table_s_corner_stays(opened: Open, sweep: ReportData) -> None:
    page = opened(sweep, viewport=PHONE).ready().page
    page.evaluate("document.querySelector('[aria-label=\"Table of variants\"]').scrollLeft = 300")
    corner = page.locator("#variant-table thead th >> nth=0").bounding_box()
    assert corner["x"] == page.locator("[aria-label='Table of variants']").bounding_box()["x"]


def test_parallel_axes_need_five_rows(opened: Open, sweep: ReportData) -> None:
    few = msgspec.structs.replace(sweep, records=sweep.records[:4], front=())
    assert not opened(few).ready().page.locator("#parallel-box").is_visible()
    page = opened(sweep).ready().page
    assert page.locator("#parallel-plot .line-subject title").text_content() == "article"
    assert page.locator("#parallel-plot .line-baseline").count() == 1


def test_the_plot_names_what_it_marks(opened: Open, sweep: ReportData) -> None:
    page = opened(sweep).plotted().page
    plot: dict[str, Any] = page.evaluate(
        "(p => ({names: p.data.filter(t => t.text).flatMap(t => t.text), ticks: p.layout.xaxis.ticktext, "
        "limits: p.layout.annotations.map(a => a.text)}))(document.getElementById('pareto-plot'))"
    )
    assert {"article", "DenseNet121 (2 classes)", *sweep.front} <= set(plot["names"])
    assert plot["ticks"] == ["100 k", "1 M", "10 M", "100 M", "1 G", "10 G"]
    assert plot["limits"] == ["limit 6.96 M", "limit 2.83 G"]


def test_a_word_is_explained_where_it_stands(opened: Open, sweep: ReportData) -> None:
    page = opened(sweep, viewport=PHONE).ready().page
    page.locator(".term", has_text="saved bytes").first.focus()
    shown = page.evaluate("getComputedStyle(document.activeElement, '::after').content")
    assert "autograd keeps" in shown
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_command_is_copied(opened: Open, sweep: ReportData) -> None:
    watched = opened(sweep)
    watched.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = watched.ready().page
    page.click(".actions .copy >> nth=0")
    page.wait_for_selector(".copy:text-is('Copied')")
    assert page.evaluate("navigator.clipboard.readText()").startswith("analyze compare article residual_")


def test_memory_is_stacked_and_its_phases_are_apart(opened: Open, sweep: ReportData) -> None:
    step = training_peak(trace(PRESETS["article"]), 8, timeline=True)
    subject = family.record(PRESETS["article"], 8)
    data = msgspec.structs.replace(sweep, records=(subject,), subject=subject, timeline=timeline_of(step.moments))
    for width in (390, 1280):
        page = opened(data, viewport={"width": width, "height": 800}).page
        svg = page.locator("#memory svg >> visible=true")
        boxes = svg.evaluate(
            "e => [...e.querySelectorAll('text')].filter(t => ['forward', 'loss', 'backward', 'optimizer']"
            ".includes(t.textContent) && t.getAttribute('y') > 300).map(t => t.getBoundingClientRect())"
            ".map(b => [b.left, b.right])"
        )
        assert len(boxes) == 4
        assert all(end < start for (_, end), (start, _) in itertools.pairwise(sorted(boxes)))
        assert svg.locator("path[class^=kind-]").count() == 5
        assert svg.locator(".hover title").first.text_content().startswith("forward features.")
        page.close()


def test_names_stand_whole_on_a_telephone(opened: Open, sweep: ReportData) -> None:
    """Variants are told apart by the ends of their names."""
    page = opened(sweep, viewport=PHONE).ready().page
    cut = page.eval_on_selector_all(
        "#variant-table tbody th", "all => all.filter(e => e.scrollWidth > e.clientWidth).map(e => e.textContent)"
    )
    assert page.locator("#variant-table tbody th").count() > 30
    assert cut == []


def test_what_a_page_is_called_is_explained_under_its_title(opened: Open, sweep: ReportData) -> None:
    page = opened(sweep).ready().page
    assert page.inner_text("h1") == "Sweep of 2-4-3-2"
    assert page.inner_text("header p").startswith("2-4-3-2: layers in each stage")
    for word, means in (("subject", "the verdict"), ("front", "no other variant beats"), ("saved bytes", "autograd")):
        page.locator("#sweep .words .term", has_text=word).first.focus()
        assert means in page.evaluate("getComputedStyle(document.activeElement, '::after').content")


def test_a_tree_that_is_not_laid_out_waits(opened: Open, sweep: ReportData) -> None:
    """Hidden and seen again: no fault, see `opened`."""
    page = opened(sweep).ready().page
    for display in ("none", "block"):
        page.evaluate(f"document.getElementById('where').style.display = '{display}'")
        page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")
    assert page.locator("#where .p0 svg").bounding_box()["width"] > 900
