"""Reports in headless Chromium: what a reader sees and does, and that no page makes a fault (see `opened`)."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from browser import Watched
from sample import ATTACKS, sweep_report

from analyzer.figures import known
from analyzer.records import Record
from analyzer.reporting.data import ReportData
from analyzer.reporting.text import times

pytestmark = [pytest.mark.browser, pytest.mark.slow]
Open = Callable[..., Watched]


def cells(page: Any, table: str) -> list[list[str]]:
    """The text of a table's visible body rows."""
    found: list[list[str]] = page.eval_on_selector_all(
        f"{table} tbody tr:not([hidden])", "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return found


def good(data: ReportData) -> list[Record]:
    return [row for row in data.records if row.error is None]


# -- the numbers -----------------------------------------------------------------------------------------------


def expected_row(record: Record, data: ReportData) -> list[str]:
    """A variant's figures as the page must write them."""
    base = data.baseline
    over = any(getattr(record, limit.figure) > limit.bound for limit in data.limits)
    return [
        record.target.label or record.target.name,
        f"{record.params:,}",
        f"{record.macs:,}",
        f"{record.saved_bytes / 2**20:,.2f} MiB",
        f"{record.macs / base.macs:.2f}×" if record.macs >= base.macs / 10 else f"{record.macs / base.macs:.3g}×",
        "✗ over" if over else "✓ within",
    ]


@pytest.mark.parametrize("script", [True, False])
def test_every_number_of_the_sweep_equals_its_record(opened: Open, sweep: ReportData, script: bool) -> None:
    watched = opened(sweep, java_script_enabled=script)
    if script:
        watched.ready()
    # name, budget, is, block, growth, compression, params, x, MACs, x, saved, x
    shown = [[row[i] for i in (0, 6, 8, 10, 9, 1)] for row in cells(watched.page, "#variant-table")]
    assert shown == [expected_row(record, sweep) for record in good(sweep)]


def test_layer_table_holds_every_layer_and_its_sums(opened: Open, sweep: ReportData) -> None:
    page = opened(sweep, java_script_enabled=False).page
    values = page.eval_on_selector_all(
        "#layer-table tbody tr",
        "rows => rows.map(r => [r.dataset.path, ...[...r.querySelectorAll('[data-v]')].map(c => c.dataset.v)])",
    )
    shown = {path: tuple(map(int, figures)) for path, *figures in values}
    subject = sweep.subject
    assert subject is not None
    assert subject.layers is not None
    for layer in subject.layers:
        if layer.path and not any(other.path.startswith(f"{layer.path}.") for other in subject.layers):
            assert shown[layer.path] == (layer.params, layer.macs, layer.saved_bytes)
    inside = [row for row in subject.layers if row.path.startswith("features.denseblock4.denselayer2")]
    assert shown["features.denseblock4.denselayer2"][0] == sum(row.params for row in inside) == 71_327_744
    assert shown[""] == (149_871_874, 18_622_955_520, subject.saved_bytes)


def test_the_verdict_is_there_without_a_script(opened: Open, sweep: ReportData) -> None:
    page = opened(sweep, java_script_enabled=False).page
    verdict = page.inner_text("#verdict")
    assert "Over budget" in verdict
    assert "21.55×" in verdict
    assert "149,871,874" in verdict
    assert "37,245,911,040 FLOPs" in verdict
    assert page.locator("svg").count() >= 8
    assert page.locator("#pareto-static .wide svg").is_visible()
    assert not page.locator("#variant-tools").is_visible()


def test_big_numbers_are_shown_to_the_last_digit(opened: Open, sweep: ReportData) -> None:
    """2^53 + 1 is no number in a script."""
    huge = msgspec.structs.replace(sweep.records[3], params=2**53 + 1, macs=2**62 + 1)
    data = msgspec.structs.replace(sweep, records=(*sweep.records[:3], huge, *sweep.records[4:]))
    page = opened(data).ready().page
    row = next(row for row in cells(page, "#variant-table") if row[0] == huge.target.shown)
    assert (row[6], row[8]) == ("9,007,199,254,740,993", "4,611,686,018,427,387,905")


def test_the_script_writes_numbers_as_python_does(opened: Open, sweep: ReportData) -> None:
    page = opened(sweep).ready().page
    values = [0, 1, 999, 1000, 12_345, 601_234, 2**20, 3_149_642, 105_106_688, 6_955_906, 2_833_139_712, 7_176_121_218]
    texts = page.evaluate(
        "values => values.map(v => [mibText(v), timesText(v, 6955906), shortText(v, 'count'), grouped(String(v))])",
        values,
    )
    expected = [[known("saved_bytes").text(v), times(v, 6_955_906), known("params").brief(v), f"{v:,}"] for v in values]
    assert [row for row, v in zip(texts, values, strict=True) if v > 999] == expected[3:]
    assert texts[0][0] == expected[0][0] == "0.00 MiB"


# -- what a reader does ----------------------------------------------------------------------------------------


def test_sorting_the_variants(opened: Open, sweep: ReportData) -> None:
    page = opened(sweep).ready().page
    names = {direction: [] for direction in ("ascending", "descending")}
    for direction in names:
        page.click("#variant-table thead button:text-is('params')")
        assert page.get_attribute("#variant-table thead th:nth-child(7)", "aria-sort") == direction
        names[direction] = [row[0] for row in cells(page, "#variant-table")]
    ordered = [row.target.shown for row in sorted(good(sweep), key=lambda row: row.params or 0)]
    assert names == {"ascending": ordered, "descending": ordered[::-1]}


def test_filters_choose_rows_in_table_and_plot(opened: Open, sweep: ReportData) -> None:
    watched = opened(sweep).plotted()
    page = watched.page
    page.select_option("#variant-tools select[data-field=growth]", "32")
    expected = [r.target.shown for r in good(sweep) if r.target.variant.growth == 32]
    assert [row[0] for row in cells(page, "#variant-table")] == expected
    page.check("#variant-within")
    page.fill("#variant-find", "dense_b2-4")
    expected = [name for name in expected if "dense_b2-4" in name]
    assert [row[0] for row in cells(page, "#variant-table")] == expected
    assert page.inner_text("#variant-said").startswith(f"{len(expected)} of {len(good(sweep))} rows")
    drawn = page.evaluate("document.getElementById('pareto-plot').data.find(t => t.name === 'variants').x.length")
    assert drawn == len(expected)


def test_brushing_chooses_rows(opened: Open, sweep: ReportData) -> None:
    page = opened(sweep).ready().page
    grip = page.locator("rect[data-axis=compression]")
    grip.scroll_into_view_if_needed()
    box = grip.bounding_box()

    def drag(start: float, end: float) -> None:
        x = box["x"] + box["width"] / 2
        page.mouse.move(x, box["y"] + start * box["height"])
        page.mouse.down()
        page.mouse.move(x, box["y"] + (start + end) / 2 * box["height"])
        page.mouse.move(x, box["y"] + end * box["height"])
        page.mouse.up()

    drag(0.85, 1.0)  # the bottom of the axis: the least compression value, 0.25
    expected = [r.target.shown for r in good(sweep) if r.target.variant.compression == 0.25]
    assert 0 < len(expected) < len(good(sweep))
    assert [row[0] for row in cells(page, "#variant-table")] == expected
    drag(0.5, 0.5)
    assert len(cells(page, "#variant-table")) == len(good(sweep))


def test_heat_map_follows_its_menus(opened: Open, sweep: ReportData) -> None:
    page = opened(sweep).ready().page
    page.select_option("#heat-figure", label="MACs")
    page.select_option("#heat-down", label="block")
    rows = cells(page, "#heat-map table")
    assert [row[0] for row in rows] == ["dense", "residual"]
    of_dense = [r for r in good(sweep) if r.target.variant.block == "dense"]
    least = min(r.macs or 0 for r in of_dense if r.target.variant.compression == 0.25)
    assert rows[0][1] == f"✓ {least / 1e6:.2f} M"


def test_figure_switch_changes_the_tree(opened: Open, sweep: ReportData) -> None:
    for script in (True, False):
        page = opened(sweep, java_script_enabled=script).page
        names = ["params", "macs", "saved_bytes"]
        for i, name in enumerate(names):
            page.locator(f"label[for=icicle-{name}]").click()
            seen = [page.locator(f"#where .p{k}").is_visible() for k in range(3)]
            assert seen == [k == i for k in range(3)]


def test_front_of_the_plot_is_the_records_front(opened: Open, sweep: ReportData) -> None:
    page = opened(sweep_of_two_fronts()).plotted().page
    shown = page.evaluate(
        "document.getElementById('pareto-plot').data.find(t => t.name === 'front')"
        ".hovertext.map(t => t.split('<br>')[0])"
    )
    assert shown == list(sweep_of_two_fronts().front)
    assert len(shown) > 1


def sweep_of_two_fronts() -> ReportData:
    """A grid in which fewer params cost more MACs."""
    return sweep_report(
        blocks=[(6, 1, 1, 1), (3, 3, 1, 1), (1, 3, 3, 1), (1, 1, 3, 3), (1, 1, 1, 6)],
        growth=[32],
        block=["dense"],
        compression=[0.5],
    )


def test_plot_takes_other_figures(opened: Open, measured: ReportData) -> None:
    page = opened(measured).plotted().page
    page.select_option("#pareto-up", label="throughput")
    page.wait_for_function("document.getElementById('pareto-plot').layout.yaxis.title.text === 'throughput (images/s)'")
    traces = page.evaluate("document.getElementById('pareto-plot').data.map(t => [t.name, t.y, t.error_y?.array])")
    subject = next(trace for trace in traces if trace[0] == "subject")
    assert subject[1] == [pytest.approx(2 / 0.11)]
    assert subject[2] == [pytest.approx(2 / 0.1 - 2 / 0.11)]


def test_treegrid_by_keyboard(opened: Open, sweep: ReportData) -> None:
    page = opened(sweep).ready().page
    focused = "document.activeElement.dataset.path"
    assert page.get_attribute("#layer-table", "role") == "treegrid"
    page.locator("#layer-table tbody tr").first.focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == "features"
    page.keyboard.press("End")
    assert page.evaluate(focused) == "classifier"
    page.evaluate("document.querySelector('tr[data-path=\"features.denseblock2\"]').focus()")
    before = len(cells(page, "#layer-table"))
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    assert len(cells(page, "#layer-table")) == before + 4
    page.keyboard.press("ArrowRight")
    assert page.evaluate(focused) == "features.denseblock2.denselayer1"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "false"
    page.keyboard.press("Home")
    assert page.evaluate(focused) == ""


def test_layer_table_finds_and_sorts(opened: Open, sweep: ReportData) -> None:
    page = opened(sweep).ready().page
    page.fill("#layer-find", "transition3.conv")
    assert [row[0].lstrip("▾▸") for row in cells(page, "#layer-table")] == [
        "article",
        "features",
        "transition3",
        "conv",
    ]
    page.fill("#layer-find", "")
    page.click("#layer-table thead button:text-is('params')")
    children = page.eval_on_selector_all(
        "#layer-table tr[data-level='2']", "rows => rows.map(r => Number(r.querySelector('[data-v]').dataset.v))"
    )
    assert children == sorted(children, reverse=True)


def test_a_link_to_a_layer_opens_it(opened: Open, sweep: ReportData) -> None:
    page = opened(sweep).ready().page
    page.click("#findings a >> nth=0")
    row = page.locator("tr[data-path='features.denseblock4.denselayer2']")
    assert row.is_visible()
    assert page.evaluate("document.activeElement.dataset.path") == "features.denseblock4.denselayer2"


def test_downloads_hold_the_records(opened: Open, measured: ReportData) -> None:
    page = opened(measured).ready().page
    with page.expect_download() as event:
        page.click("#get-csv")
    rows = list(csv.DictReader(io.StringIO(event.value.path().read_text(encoding="utf-8"))))
    assert [row["name"] for row in rows] == [record.target.name for record in measured.records]
    shown = [int(row["params"]) if row["params"] else None for row in rows]
    assert shown == [record.params for record in measured.records]
    assert rows[-1]["error"] == "kernel 4 is even"
    with page.expect_download() as event:
        page.click("#get-json")
    assert json.loads(event.value.path().read_text(encoding="utf-8"))["rows"] == len(measured.records)


# -- how it is shown -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("report", ["sweep", "measured", "hostile"])
def test_phone_width_needs_no_sideways_scroll(opened: Open, request: pytest.FixtureRequest, report: str) -> None:
    page = opened(request.getfixturevalue(report), viewport={"width": 390, "height": 800}).plotted().page
    assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("report", ["measured", "hostile"])
def test_axe_finds_nothing(opened: Open, request: pytest.FixtureRequest, report: str, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = opened(request.getfixturevalue(report), color_scheme=scheme).plotted().page
    # The page's policy holds for axe too; through the protocol it may run.
    found = Axe().run(page).response["violations"]
    assert [(v["id"], [n["target"] for n in v["nodes"]][:3]) for v in found] == []


def test_dark_and_light_differ(opened: Open, sweep: ReportData) -> None:
    grounds = [
        opened(sweep, color_scheme=scheme).page.evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    assert grounds == ["rgb(255, 255, 255)", "rgb(20, 23, 26)"]


def test_print_opens_everything_on_white(opened: Open, sweep: ReportData) -> None:
    page = opened(sweep, color_scheme="dark").plotted().page
    assert page.pdf().startswith(b"%PDF")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("#where .p2").is_visible()
    assert page.locator("#pareto-static").is_visible()
    assert not page.locator("#variant-tools").is_visible()
    assert len(page.query_selector_all("#layer-table tbody tr")) == sum(
        row.is_visible() for row in page.query_selector_all("#layer-table tbody tr")
    )


def test_headings_go_down_one_at_a_time(opened: Open, measured: ReportData) -> None:
    page = opened(measured).page
    levels = page.eval_on_selector_all("h1,h2,h3,h4", "all => all.map(e => Number(e.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    assert page.evaluate("document.documentElement.lang") == "en"


def test_links_within_the_page_lead_somewhere(opened: Open, measured: ReportData) -> None:
    page = opened(measured).page
    dead = page.eval_on_selector_all(
        "a[href^='#']",
        "all => all.map(a => a.getAttribute('href').slice(1)).filter(id => !document.getElementById(id))",
    )
    assert dead == []


# -- safety ----------------------------------------------------------------------------------------------------


def test_attacks_stay_text(opened: Open, hostile: ReportData) -> None:
    """Every name is an attack; a dialog, a request or a console error fails the test when it ends."""
    page = opened(hostile).plotted().page
    for control in page.query_selector_all(".switch label"):
        control.click()
    page.click("summary")
    page.fill("#layer-find", "img")
    page.select_option("#heat-down", index=1)
    page.click("#variant-table thead button >> nth=0")
    for select in page.query_selector_all("#variant-tools select"):
        select.select_option(index=1)
        select.select_option(index=0)
    labels = page.evaluate("document.getElementById('pareto-plot').data.flatMap(t => t.hovertext)")
    assert len(labels) > 30
    assert not [label for label in labels if "<" in label.replace("<br>", "")]
    page.hover("#pareto-plot .point >> nth=0", force=True)  # plotly's own layer lies above and listens
    assert page.wait_for_selector("#pareto-plot .hoverlayer text")
    page.wait_for_timeout(300)
    assert page.evaluate("document.querySelectorAll('img, iframe, [onerror], [onload], [onmouseover]').length") == 0
    assert page.locator("script").count() == 4  # data, plotly packed and running, the page's own
    links = page.eval_on_selector_all("a[href], area[href]", "all => all.map(a => a.getAttribute('href'))")
    assert all(link.startswith("#") for link in links)
    text = page.inner_text("#failed ~ div")
    for attack in ATTACKS[:8]:
        assert attack in text


def test_attacks_in_the_csv_are_no_formulas(opened: Open, hostile: ReportData) -> None:
    page = opened(hostile).ready().page
    with page.expect_download() as event:
        page.click("#get-csv")
    rows = list(csv.reader(io.StringIO(event.value.path().read_text(encoding="utf-8"), newline="")))
    assert len({len(row) for row in rows}) == 1
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "@", "-"))]
    assert any(cell.startswith("'=HYPERLINK") for row in rows for cell in row)


def test_attacks_through_the_address_do_nothing(opened: Open, sweep: ReportData) -> None:
    watched = opened(sweep).ready()
    watched.page.goto(watched.url + "#layer-<img src=x onerror=alert(1)>")
    watched.page.goto(watched.url + "#layer-%3Cscript%3Ealert(1)%3C/script%3E")
    watched.page.wait_for_timeout(100)


@pytest.mark.parametrize("missing", ["DecompressionStream", "IntersectionObserver"])
def test_an_old_browser_keeps_the_static_page(
    browser: Any, written: Callable[..., Any], sweep: ReportData, missing: str
) -> None:
    watched = Watched(browser, written(sweep))
    watched.context.add_init_script(f"delete window.{missing}")
    watched.page.reload()
    page = watched.page
    page.wait_for_selector("#layer-table[role=treegrid]")
    page.locator("#pareto").scroll_into_view_if_needed()
    assert page.locator("#pareto-static .wide svg").is_visible()
    assert len(cells(page, "#variant-table")) == len(good(sweep))
    assert watched.faults == []
    watched.close()


@pytest.mark.parametrize(
    "body",
    [
        "<script>alert(1)</script>",
        "<script>console.error('x')</script>",
        "<img src=missing.png>",
        "<script>undefined_function()</script>",
    ],
)
def test_a_faulty_page_is_noticed(browser: Any, tmp_path: Any, body: str) -> None:
    file = tmp_path / "faulty.html"
    file.write_text(f"<!doctype html><title>x</title>{body}", encoding="utf-8")
    watched = Watched(browser, file)
    watched.page.wait_for_timeout(100)
    assert watched.faults
    watched.close()


# -- the command's own report ----------------------------------------------------------------------------------


def test_the_report_of_a_real_sweep_shows_its_results(browser: Any, tmp_path: Any) -> None:
    command = [
        sys.executable,
        "-m",
        "analyzer",
        "sweep",
        "--blocks",
        "2,4,3,2",
        "--measure",
        "none",
        "--out",
        str(tmp_path),
    ]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "SOURCE_DATE_EPOCH": "0"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "results.jsonl").read_text(encoding="utf-8").splitlines()
    results = [json.loads(line) for line in lines]
    watched = Watched(browser, tmp_path / "report.html").plotted()
    shown = {row[0]: row for row in cells(watched.page, "#variant-table")}
    assert len(shown) == len(results) == 34
    for result in results:
        row = shown[result["target"]["label"] or result["target"]["name"]]
        assert f"{result['params']:,}" in row
        assert f"{result['macs']:,}" in row
    assert "Over budget" in watched.page.inner_text("#verdict")
    assert watched.faults == []
    watched.close()
