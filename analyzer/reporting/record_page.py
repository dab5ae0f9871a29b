"""One record -> a page beside its baseline, or a notebook's cell of its cards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from analyzer.reading.family import baseline_or_none
from analyzer.reading.prediction import MemoryPrediction, predict_memory
from analyzer.records import Record
from analyzer.reporting.against import against
from analyzer.reporting.data import ReportData, WitnessFigure, now, timeline_of
from analyzer.reporting.notebook import record_html
from analyzer.reporting.page import write_report

cell = record_html


def write_page(record: Record, path: str | Path) -> None:
    """The page of `analyze show --report`: a variant's beside DenseNet121 at its classes and image, with the memory of
    a training step.
    """
    variant = record.target.variant
    known = variant is not None and record.error is None
    baseline = baseline_or_none(variant, record.batch) if variant is not None and known else None
    memory = predict_memory(variant, record.batch, timeline=True) if variant is not None and known else None
    write_report(page_of(record, baseline, memory, command=("analyzer.analyze",)), path)


def page_of(
    record: Record, baseline: Record | None, memory: MemoryPrediction | None, *, command: Sequence[str],
    witnesses: Sequence[WitnessFigure] = (),
) -> ReportData:  # fmt: skip
    """A report on one record; limits are its baseline's own figures, where it has one."""
    beside = baseline is not None and baseline.target != record.target
    page = against(baseline if baseline is not None else record, record, command=command, generated=now())
    steps = timeline_of(memory.timeline) if memory is not None and memory.timeline else None
    limits = page.limits if beside else ()
    title = page.title if beside else record.target.shown
    return msgspec.structs.replace(page, title=title, witnesses=tuple(witnesses), limits=limits, timeline=steps)
