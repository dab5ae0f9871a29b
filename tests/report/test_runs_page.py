"""The report on trained runs: numbers worked out by hand from planted runs, and a page that asks for nothing."""

from __future__ import annotations

import re
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path

import pytest
from commands import run_here
from planted import LARGE, SMALL, config, planted, put
from sample import ATTACKS
from scipy import stats

from analyzer.api.training import Runs
from analyzer.errors import UsageError
from analyzer.limits import at_most
from analyzer.reporting.curves import told_apart
from analyzer.reporting.runs_data import RunsPlan, RunsReport, runs_report
from analyzer.reporting.runs_markdown import render_runs_markdown
from analyzer.reporting.runs_page import comparison_part, render_runs, runs_html
from analyzer.reporting.svg import LinearScale, spread
from analyzer.storing.results_file import NAME
from analyzer.training.recipe import Recipe
from analyzer.training.runs_file import RunsFile
from analyzer.training.summaries import Spot


def reported(folder: Path, **more: object) -> RunsReport:
    return runs_report(RunsPlan(path=folder, command=("analyze", "report"), **more))


class Elements(HTMLParser):
    """Every element with its attributes, and the cells of every table with an id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.table = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)
        if tag == "table":
            self.table = dict(attrs).get("id") or ""
            self.tables[self.table] = []
        elif tag == "tr":
            self.tables[self.table].append([])
        elif tag in ("td", "th"):
            self.tables[self.table][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[self.table][-1][-1] += data


# -- what the runs come to -------------------------------------------------------------------------------------


def test_accuracy_and_gap_are_means_with_the_t_interval_of_the_runs(tmp_path: Path) -> None:
    small, large = reported(planted(tmp_path)).networks
    accuracies = [70.0, 72.5, 75.0]
    theirs = stats.t.interval(0.95, 2, loc=72.5, scale=stats.sem(accuracies))
    assert small.test is not None
    assert (small.test.value, small.test.low, small.test.high) == pytest.approx((72.5, *theirs))
    assert small.gap is not None
    assert (small.gap.value, large.gap.value) == pytest.approx((7.5, 7.5))
    assert small.curves["test_accuracy"][0] == Spot(1, pytest.approx(57.5), pytest.approx(55), pytest.approx(60))
    assert (small.cpu_s, small.evaluation_cpu_s, small.wall_s) == (30, 6, 15)


def test_the_gap_over_train_accuracy_is_matched_as_pairs_are(tmp_path: Path) -> None:
    """Half-way from 60 to 80 in training the first network's test accuracy is half-way from 60 to 70."""
    small, _ = reported(planted(tmp_path, seeds=1)).networks
    at = {spot.at: spot.mean for spot in small.matched}
    assert (min(at), max(at)) == (50, 80)
    assert at[70] == pytest.approx(70 - 65)
    assert at[80] == pytest.approx(10)


def test_train_below_test_is_counted_by_the_log_and_in_evaluation_mode(tmp_path: Path) -> None:
    """small: 50/55 and 60/60 and 80/70 in evaluation mode, the log ten points lower in training."""
    small, large = reported(planted(tmp_path, seeds=1)).networks
    assert (small.below.epochs, small.below.by_log, small.below.by_evaluation) == (3, 2, 1)
    assert (large.below.epochs, large.below.by_log, large.below.by_evaluation) == (3, 2, 1)


def test_unfinished_runs_count_only_while_no_run_is_finished(tmp_path: Path) -> None:
    with closing(RunsFile(tmp_path / NAME, create=True)) as runs:
        put(runs, config(SMALL.name, "small", 0), ((0.5, 0.5), (0.6, 0.6)))
        put(runs, config(SMALL.name, "small", 1), ((0.5, 0.4),))
        put(runs, config(LARGE.name, "large", 0), ((0.5, 0.5), (0.6, 0.6), (0.7, 0.7)))
        put(runs, config(LARGE.name, "large", 1), ((0.5, 0.4),))
    found = reported(tmp_path)
    small, large = found.networks
    assert (len(small.runs), small.epochs, small.test.value) == (2, 1, pytest.approx(45))
    assert (len(large.runs), large.unfinished, large.test.value) == (1, 1, pytest.approx(70))
    assert "small is not trained to its end: shown after 1 of 3 epochs" in found.doubts
    assert found.unpaired == (f"no finished pair of {SMALL.name} and {LARGE.name}",)
    assert "small is not trained" in render_runs(found)


def test_points_of_unequal_training_are_said(tmp_path: Path) -> None:
    with closing(RunsFile(tmp_path / NAME, create=True)) as runs:
        put(runs, config(SMALL.name, "small", 0), ((0.5, 0.5), (0.6, 0.6), (0.7, 0.7)))
        put(runs, config(LARGE.name, "large", 1, data="e" * 64, recipe=Recipe(epochs=1, lr=0.5)), ((0.5, 0.5),))
    doubts = reported(tmp_path).doubts
    start = "not trained equally, so not the networks alone differ: "
    assert f"{start}epochs: 3 (small); 1 (large)" in doubts
    assert f"{start}lr: 0.0001 (small); 0.5 (large)" in doubts
    assert f"{start}data: {'d' * 12} (small); {'e' * 12} (large)" in doubts
    assert any("not every network has runs from the same seeds" in doubt for doubt in doubts)
    assert any("fewer than 3 runs" in doubt for doubt in doubts)
    assert "The points come from unequal training" in render_runs(reported(tmp_path))
    equal = planted(tmp_path / "equal")
    assert reported(equal).doubts == ()
    assert "The points come from unequal training" not in render_runs(reported(equal))


def test_differences_that_are_equal_but_for_what_floats_add_show_nothing(tmp_path: Path) -> None:
    (found,) = reported(planted(tmp_path)).comparisons
    judged = {each.about: each for each in found.judged}
    assert judged["gap at equal epochs"].estimates[0].value == 0
    assert judged["gap at equal epochs"].verdict.startswith("equivalent within 3 points")


# -- the page --------------------------------------------------------------------------------------------------


def test_every_network_stands_with_its_exact_costs(tmp_path: Path) -> None:
    import torch

    from analyzer import build

    found = reported(planted(tmp_path), limits=at_most({"params": 400}, "--max-params"))
    page = Elements(render_runs(found))
    headings, *rows = page.tables["networks-table"]
    cells = {row[0]: dict(zip(headings, row, strict=True)) for row in rows}
    for label, variant, state in (("small", SMALL, "✓ within"), ("large", LARGE, "✗ over")):
        with torch.device("meta"):
            params = sum(parameter.numel() for parameter in build(variant, device="meta").parameters())
        assert cells[label]["params (exact)"] == f"{params:,}"
        assert cells[label]["budget"] == state
        assert cells[label]["epochs"] == "3 of 3"
    assert cells["small"]["test accuracy (95 %)"] == "72.5 % (66.3 to 78.7)"
    assert cells["small"]["gap (95 %)"] == "+7.5 (+1.3 to +13.7)"
    assert [row[0] for row in page.tables["runs-table"][1:]] == [
        f"{label}, seed {seed}" for label in ("small", "large") for seed in range(3)
    ]
    assert page.tables["below-table"][1:] == [["small", "9", "8", "5"], ["large", "9", "8", "3"]]


def test_the_page_is_well_formed_and_asks_for_nothing(tmp_path: Path) -> None:
    with closing(RunsFile(tmp_path / NAME, create=True)) as runs:
        for i, attack in enumerate(ATTACKS):
            about = config(f"{i} {attack}", f"{attack}{i % 3}", max(i, 1), classes=(attack, "b"), data=attack * 3)
            put(runs, about, ((0.5, 0.5), (0.6, 0.6), (0.7, 0.7)))
    found = reported(tmp_path)
    for text in (render_runs(found), runs_html(found), comparison_part(found.comparisons[0])):
        page = Elements(text)
        assert page.open == []
        for tag, attributes in page.elements:
            assert tag not in ("script", "iframe", "object", "embed", "form", "base", "img", "foreignobject", "use")
            assert not [key for key in attributes if key.startswith("on") or key in ("style", "src", "xlink:href")]
            assert (attributes.get("href") or "#").startswith(("#", "data:,"))
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids))
    assert "<script" not in render_runs_markdown(found)


def test_equal_runs_give_equal_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert render_runs(reported(planted(tmp_path / "a"))) == render_runs(reported(planted(tmp_path / "b")))


def test_a_curve_passes_through_its_means_and_its_band_through_the_runs(tmp_path: Path) -> None:
    """The drawn test curve of `small`: as its means rise by 5 and 10 points, so do its places."""
    page = Elements(render_runs(reported(planted(tmp_path))))
    curve, band = (
        next(a["d"] for tag, a in page.elements if tag == "path" and a.get("class") == f"{kind} s0")
        for kind in ("curve", "band")
    )
    y = [float(place.split(" ")[1]) for place in re.split("[ML]", curve)[1:]]
    assert (y[1] - y[2]) / (y[0] - y[1]) == pytest.approx(2, rel=0.01)
    edge = [float(place.split(" ")[1]) for place in re.split("[ML]", band.rstrip("Z"))[1:]]
    assert (edge[5] - edge[0]) / (y[0] - y[1]) == pytest.approx(1, rel=0.01)  # 5 points from least to most


def test_a_network_that_is_no_variant_has_no_costs_and_is_not_loaded(tmp_path: Path) -> None:
    with closing(RunsFile(tmp_path / NAME, create=True)) as runs:
        put(runs, config("dense_n2_s16", "nowhere:dense", 0), ((0.5, 0.5), (0.6, 0.6), (0.7, 0.7)))
    found = reported(tmp_path)
    assert found.costs == {}
    assert any(doubt.endswith(": nowhere:dense") for doubt in found.doubts)
    assert "Against CPU-seconds of training" in render_runs(found)


# -- the command and Python ------------------------------------------------------------------------------------


def test_report_takes_a_folder_of_runs(tmp_path: Path) -> None:
    planted(tmp_path)
    done = run_here("report", str(tmp_path), "--max-params", "400", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = Path(done.stdout.strip()).read_text()
    assert "limit: --max-params" in page
    assert "small is lower: the interval leaves out 0" in page
    words = run_here("report", str(tmp_path / NAME), "--format", "md", cwd=tmp_path)
    assert "### small against large" in words.stdout
    wrong = run_here("report", str(tmp_path), "--subject", "smal", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "small" in wrong.stderr
    assert run_here("report", str(tmp_path), str(tmp_path), cwd=tmp_path).returncode == 2


def test_predicted_latency_stands_beside_accuracy_on_a_device(tmp_path: Path) -> None:
    done = run_here("report", str(planted(tmp_path)), "--on", "rtx4090", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = Elements((tmp_path / "report.html").read_text())
    assert any(
        heading.startswith("predicted time an image (predicted ±") for heading in page.tables["networks-table"][0]
    )


def test_compare_writes_a_page_on_its_pair_alone(tmp_path: Path) -> None:
    planted(tmp_path)
    with closing(RunsFile(tmp_path / NAME)) as runs:
        put(runs, config("third", "own:third", 0), ((0.5, 0.5), (0.6, 0.6), (0.7, 0.7)))
    done = run_here("train", "compare", str(tmp_path), "small", "large", "--report", "pair.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = Elements((tmp_path / "pair.html").read_text())
    assert [row[0] for row in page.tables["networks-table"][1:]] == ["small", "large"]


def test_runs_are_shown_in_a_notebook_as_on_the_page(tmp_path: Path) -> None:
    planted(tmp_path)
    with closing(RunsFile(tmp_path / NAME)) as kept:
        runs = Runs(tuple(kept.outcomes()), tmp_path)
    shown = runs._repr_html_()
    assert Elements(shown).tables["networks-table"][1][0] == "small"
    assert ":root" not in shown  # the style reaches the cell alone
    assert f"{SMALL.name} is lower" in runs.compare()._repr_html_()
    assert "<h1>Trained: small, large</h1>" in runs.report(tmp_path / "r.html").read_text()


def test_what_is_no_folder_of_runs_is_said(tmp_path: Path) -> None:
    RunsFile(tmp_path / NAME, create=True).close()
    with pytest.raises(UsageError, match="no finished epoch"):
        reported(tmp_path)
    assert run_here("report", str(tmp_path), cwd=tmp_path).returncode == 2


# -- scales ----------------------------------------------------------------------------------------------------


def test_long_names_are_told_apart_by_what_they_do_not_share() -> None:
    long = "residual_b2-4-3-2_g{}_r0.25_c{}"
    assert told_apart([long.format(16, 0.5), long.format(32, 0.25), "densenet121"]) == [
        "g16_c0.5", "g32_c0.25", "densenet121",
    ]  # fmt: skip
    (alone,) = told_apart([long.format(16, 0.5)])
    assert len(alone) <= 22
    assert (alone[:8], alone[-4:]) == ("residual", "c0.5")


def test_labels_are_spread_in_order_and_stay_inside() -> None:
    assert spread([50, 51, 20], 16, 0, 100) == [50, 66, 20]
    assert spread([99, 98, 97], 16, 0, 100) == [100, 84, 68]


def test_a_linear_scale_has_round_ticks_within() -> None:
    scale = LinearScale.over([42.0, 78.0], 0, 100)
    assert scale.ticks(7) == [40, 50, 60, 70, 80]
    assert LinearScale(1, 3, 0, 1).ticks(9, whole=True) == [1, 2, 3]
