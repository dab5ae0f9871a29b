"""Two records, or two reports, against each other."""

from __future__ import annotations

import re

import msgspec
import pytest
from sample import sweep_report

from analyzer.architecture.variant import Variant
from analyzer.errors import UsageError
from analyzer.limits import Limit
from analyzer.reading import family
from analyzer.records import Failure, Record, Target
from analyzer.reporting.against import against, compare_reports
from analyzer.reporting.data import ReportData
from analyzer.reporting.judge import judge
from analyzer.reporting.page import render


def test_two_records_judge_the_second_by_the_first() -> None:
    small, large = family.record(Variant(compression=0.25)), family.record(Variant())
    data = against(small, large, command=("analyze", "compare"), generated="now")
    verdict = judge(data.subject, data.limits)
    assert verdict.state == "over"
    assert "32.50× the allowed params" in verdict.sentence  # 149,871,874 / 4,611,522
    assert judge(small, against(large, small, command=(), generated="").limits).state == "within"
    assert "What changed against" in render(data)


def test_beside_another_network_a_table_says_bigger_and_no_budget() -> None:
    small, large = family.record(Variant(compression=0.25)), family.record(Variant())
    page = render(against(small, large, command=("analyze", "compare"), generated="now"))
    table = page.split('id="variant-table"')[1].split("</table>")[0]
    assert re.findall(r"</th><td>(bigger|not bigger)</td>", table) == ["not bigger", "bigger"]
    assert '<th scope="col">beside the baseline</th>' in table
    assert not re.search("[✓✗] (within|over)<|within budget", table)
    held = render(against(small, large, command=(), generated="", limits=[Limit(figure="params", bound=5_000_000)]))
    table = held.split('id="variant-table"')[1].split("</table>")[0]
    assert re.findall("[✓✗] (?:within|over)", table) == ["✓ within", "✗ over"]


def test_two_reports_compare_their_subjects_under_the_later_limits(sweep: ReportData) -> None:
    later = sweep_report(compression=[0.25], growth=["double"], block=["residual"])
    data = compare_reports(sweep, later, command=("analyze", "report"), generated="now")
    assert data.baseline == sweep.subject
    assert data.subject == later.subject
    assert data.limits == later.limits
    assert judge(data.subject, data.limits).state == "within"
    named = compare_reports(sweep, later, command=(), generated="now", files=["old.html", "new.html"])
    assert named.baseline.target.shown == "article (old.html, 2026-01-01)"
    assert named.title.startswith(f"{later.subject.target.shown} (new.html, 2026-01-01) against article")
    same = compare_reports(sweep, sweep, command=(), generated="now", files=["old.html", "new.html"])
    assert len(same.records) == 2  # one network twice is two rows, told apart by their files
    with pytest.raises(UsageError, match="without a subject"):
        compare_reports(msgspec.structs.replace(sweep, subject=None), later, command=(), generated="")


def test_a_baseline_or_subject_without_figures_is_said(sweep: ReportData) -> None:
    failed = Record(target=Target(name="densenet121"), error=Failure(what="the image shrinks under 1 px"))
    page = render(msgspec.structs.replace(sweep, baseline=failed, records=(failed, *sweep.records[1:]), limits=()))
    assert "densenet121 has no figures here: the image shrinks under 1 px." in page
    page = render(msgspec.structs.replace(sweep, subject=failed))
    assert "densenet121 has no figures: the image shrinks under 1 px." in page


def test_the_baseline_itself_can_be_the_subject(sweep: ReportData) -> None:
    data = against(sweep.baseline, sweep.baseline, command=(), generated="now")
    assert len(data.records) == 1
    assert "Not bigger" in render(data)
