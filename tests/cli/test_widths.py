"""Tables fit, through a pipe too: rounded before columns go, no cell in two, what is missing said; and what is told."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from analyzer.layout import ShownCell, layout
from analyzer.records import Record, Remark, Target
from analyzer.reporting.timings import measured_trust

LONG, SHORT = "18,622,955,520", "18.62 G"
STATIC = ("sweep", "--measure", "none", "--growth", "double,16", "--compression", "0.5")
VERBS = [
    ("show", "article"),
    ("show", "article", "--peak", "--depth", "0"),
    ("compare", "article", "densenet121", "resnet50"),
    ("explain", "article"),
    ("fit", "article", "--memory", "4GiB"),
    (*STATIC, "--out", "out"),
    ("search", "--growth", "8:64:8", "--max-params", "8M"),
]


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: " ".join(verb[:2]))
@pytest.mark.parametrize("width", [80, 140])
def test_every_table_is_as_wide_as_columns_say(analyze, verb: tuple[str, ...], width: int) -> None:
    done = analyze(*verb, COLUMNS=str(width))
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if re.search(r"\S {2,}\S", line)]
    assert rows
    assert max(map(len, rows)) <= width
    assert not re.search(r"\d,\s*\n|\n,\d", done.stdout)  # a number in two


def test_digits_are_kept_on_request_and_what_went_is_said(analyze) -> None:
    narrow = analyze("show", "article", COLUMNS="80")
    assert SHORT in narrow.stdout
    assert "counts are rounded (--exact)" in narrow.stderr
    assert "conv activations" in narrow.stderr
    exact = analyze("show", "article", "--exact", COLUMNS="80")
    assert LONG in exact.stdout
    assert LONG in analyze("show", "article", COLUMNS="160").stdout


def test_a_layout_shortens_then_wraps_words_then_drops() -> None:
    rows = [["a name of words", ShownCell(LONG, SHORT), "tail"]]
    whole = layout(("name", "MACs", "last"), rows, 80)
    assert (whole.kept, whole.short) == ((0, 1, 2), False)
    rounded = layout(("name", "MACs", "last"), rows, 32)
    assert (rounded.kept, rounded.short) == ((0, 1, 2), True)
    fewer = layout(("name", "MACs", "last"), rows, 26, drop=(2,))
    assert fewer.dropped == ["last"]
    assert layout(("name", "MACs", "last"), rows, 32, exact=True, drop=(2,)).dropped == ["last"]


def test_a_sweep_ends_with_the_count_the_best_the_verdict_and_the_page(analyze) -> None:
    lines = analyze(*STATIC, "--max-params", "1M", "--out", "out").stdout.splitlines()
    assert lines[-1] == "open out/report.html"
    # By name: residual and dense at growth 16 are under a million, both that double are over.
    assert "Within budget: 2 of 4 (--max-params: params ≤ 1,000,000)" in lines
    assert lines[-2].startswith("✗ Over budget: article has")
    assert sum(line.startswith("✓  ") for line in lines) == 2


def test_a_later_report_keeps_the_budget_of_its_run(analyze, tmp_path: Path) -> None:
    analyze(*STATIC, "--max-params", "150M", "--out", "out")
    assert "✅ Within budget" in analyze("report", "out", "--format", "md").stdout
    assert "❌ Over budget" in analyze("report", "out", "--format", "md", "--max-params", "1M").stdout
    (tmp_path / "out" / "asked.json").unlink()
    assert "❌ Over budget" in analyze("report", "out", "--format", "md").stdout  # against DenseNet121's own


def test_a_comparison_is_bigger_or_not_and_names_unlike_tasks(analyze, tmp_path: Path) -> None:
    done = analyze("compare", "article", "densenet121", "--report", "page.html")
    assert "article at 2 classes, densenet121 at 1000 classes" in done.stderr
    page = (tmp_path / "page.html").read_text()
    assert "</span> Bigger in saved bytes</h2>" in page  # 124.64 MiB against 100.24 MiB
    assert "Over budget" not in page
    assert "unlike tasks" in page
    assert "unlike" not in analyze("compare", "article", "densenet121", "--classes", "2").stderr


def test_timings_that_failed_are_in_the_trust_box() -> None:
    row = Record(target=Target(name="slow"), params=1)
    failed = row.remarked(Remark(kind="not-measured", text="not measured: the 15 s for measuring were spent (--time)"))
    assert measured_trust([row]) == [(True, "Nothing here was timed: speed is no part of the verdict.")]
    said = measured_trust([failed, msgspec.structs.replace(failed, target=Target(name="other"))])
    assert said == [(False, "slow, other have no times: the 15 s for measuring were spent (--time).")]
