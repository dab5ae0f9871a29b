"""What verbs return is of one kind: a short repr, a frame, a notebook's cell and a page of the same parts."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from planted import planted

import analyzer as an
from analyzer.api.training import ComparedRuns
from analyzer.training.comparing import compared
from analyzer.training.runs_file import RunsFile

HOSTILE = "<script>alert(1)</script>"
RESULTS = (
    an.Advised, an.ComparedRuns, an.Comparison, an.Compressed, an.DataCheck, an.Devices, an.Doctor, an.Explained,
    an.Exported, an.Fit, an.History, an.Measured, an.MemoryPrediction, an.Record, an.Relock, an.Runs, an.Search,
    an.Sweep, an.Verdict,
)  # fmt: skip
INPUTS = {an.AnalyzerError, an.Budget, an.Grid, an.Shape, an.Space, an.Variant}
"""Public classes that are given to verbs, or raised."""


def test_every_result_is_of_the_kind() -> None:
    assert {one for name in an.__all__ if inspect.isclass(one := getattr(an, name))} == {*RESULTS, *INPUTS}
    for one in RESULTS:
        for method in ("frame", "report", "_repr_html_"):
            assert inspect.getdoc(getattr(one, method)) or method == "_repr_html_", (one, method)
        assert "__repr__" in vars(one), one


def text(html: str) -> str:
    """What is read of it."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<style>.*?</style>", " ", html)))


SMALL = an.Variant(block="dense", block_config=(1, 1), growth=4, image=32)
MADE: dict[str, tuple[Callable[[], Any], list[str]]] = {
    # By hand: see the README's figures of the article's network and of DenseNet121.
    "analyze": (lambda: an.analyze("article"), ["149.87 M", "100.24 MiB"]),
    "explain": (
        lambda: an.explain(SMALL, limits={"params": "10k"}),
        ["Over budget", "15,118", "limit 10,000", f"Where the figures of {SMALL.name} sit, by stage",
         "The mildest single changes that meet the budget (params at most 10,000)", "init"],
    ),
    "fit": (lambda: an.fit("densenet121", "4GiB", batch=64), ["as it is", "batch 32", "peak at batch 64"]),
    "doctor": (lambda: an.doctor("cpu"), ["device name", "executable", "cuda devices"]),
    "devices": (an.devices, ["rtx4090", "NVIDIA GeForce RTX 4090", "Spearman"]),
    "predict_memory": (lambda: an.predict_memory("densenet121", 4), ["peak training memory", "replayed", "batch 4"]),
}  # fmt: skip


@pytest.mark.parametrize("verb", MADE)
def test_a_result_has_a_cell_and_a_page_of_the_same_parts(verb: str, tmp_path: Path) -> None:
    make, facts = MADE[verb]
    result = make()
    assert len(repr(result)) < 300
    assert "\n" not in repr(result)
    assert len(result.frame()) >= 1
    page = result.report(tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "default-src &#39;none&#39;" in page
    cell = result._repr_html_()
    assert cell.startswith('<div class="analyzer-cell"><style>')
    for fact in facts:
        assert fact in text(cell)
        assert fact in text(page)


def test_a_name_can_t_break_out_of_a_cell() -> None:
    fit = an.Fit(target=HOSTILE, memory_bytes=2**30, batch=1, ways=an.fit("densenet121", "1GiB").ways)
    notes = msgspec.structs.replace(an.predict_memory("densenet121", 1), notes=(HOSTILE,))
    for result in (fit, notes):
        assert "<script" not in result._repr_html_()
    assert "&lt;script&gt;" in notes._repr_html_()


def test_two_networks_runs_have_a_page(tmp_path: Path) -> None:
    with_runs = planted(tmp_path, labelled=False)
    path = with_runs / "results.db" if with_runs.is_dir() else with_runs
    kept = RunsFile(path)
    found = compared(kept)
    kept.close()
    both = ComparedRuns(**{name: getattr(found, name) for name in found.__struct_fields__})
    page = both.report(tmp_path / "pair.html").read_text(encoding="utf-8")
    for words in (both.a, both.b, "test accuracy"):
        assert words in text(page)
        assert words in text(both._repr_html_())
    assert both.frame()["about"].iloc[0] == "test accuracy"
