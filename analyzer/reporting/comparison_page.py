"""Two networks' runs compared -> a page, or a notebook's cell."""

from __future__ import annotations

from pathlib import Path

from analyzer.reporting.answer_page import write_small
from analyzer.reporting.notebook import framed
from analyzer.reporting.runs_page import comparison_part
from analyzer.training.comparing import RunComparison


def cell(one: RunComparison) -> str:
    """For a notebook's cell."""
    return framed(comparison_part(one))


def write_page(one: RunComparison, path: str | Path) -> None:
    """The page whole or not at all. Raises UsageError where it can't be written."""
    write_small(f"{one.a} against {one.b}", comparison_part(one), path)
