"""The data in the page: read back equal, damaged data refused with a reason."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample import sweep_report

from analyzer.architecture.variant import Variant
from analyzer.errors import UsageError
from analyzer.limits import Limit
from analyzer.records import Failure, Record, Remark, Target
from analyzer.reporting.data import ReportData, now
from analyzer.reporting.pack import embed, pack, read_report, unpack
from analyzer.reporting.page import write_report

texts = st.text(max_size=12)
figures = st.none() | st.integers(0, 2**63 - 1)
variants = st.none() | st.builds(
    Variant,
    block=st.sampled_from(["residual", "dense", "basic"]),
    growth=st.just("double") | st.integers(1, 99) | st.tuples(*[st.integers(1, 9)] * 4),
    compression=st.floats(0.1, 1),
)
records = st.builds(
    Record,
    target=st.builds(Target, name=texts, variant=variants, label=st.none() | texts),
    batch=st.integers(1, 4),
    params=figures,
    macs=figures,
    saved_bytes=figures,
    remarks=st.tuples() | st.tuples(st.builds(Remark, kind=st.just("note"), text=texts)),
    error=st.none() | st.builds(Failure, what=texts),
)
reports = st.builds(
    lambda rows, extra, pick: ReportData(
        title="t",
        command=("analyze",),
        records=tuple(rows),
        baseline=extra,
        subject=rows[pick % len(rows)] if rows and pick else None,
        limits=(Limit(figure="params", bound=1, source="x"),),
        front=(),
        environment=None,
        generated="now",
    ),
    st.lists(records, max_size=30),
    records,
    st.integers(0, 50),
)


@settings(max_examples=200, deadline=None)
@given(reports)
def test_unpacking_gives_back_what_was_packed(data: ReportData) -> None:
    packed = json.loads(msgspec.json.encode(pack(data)))
    assert unpack(packed) == data


def test_a_report_reads_back_from_its_page(
    written: Callable[..., Path], measured: ReportData, hostile: ReportData
) -> None:
    for data in (measured, hostile):
        assert read_report(written(data)) == data


def test_embedding_is_compact_and_holds_no_markup() -> None:
    data = sweep_report(growth=list(range(8, 108)), compression=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert len(data.records) > 1900
    text = embed(pack(data))
    assert len(text) < 70 * len(data.records)
    assert not set(text) & set("<>&\"'")


def test_a_missing_folder_is_made_and_one_that_cannot_be_is_an_error(tmp_path: Path, sweep: ReportData) -> None:
    write_report(sweep, tmp_path / "new" / "report.html")
    assert read_report(tmp_path / "new" / "report.html") == sweep
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="can't be written"):
        write_report(sweep, tmp_path / "file" / "report.html")


def page_with(content: bytes) -> str:
    return f'<script type="application/gzip" id="report-data">{base64.b64encode(content).decode()}</script>'


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("", "holds no report data"),
        ("<html></html>", "holds no report data"),
        (page_with(b"") * 2, "holds no report data"),
        (page_with(b"no gzip"), "damaged"),
        (page_with(gzip.compress(b'{"format": 2}', mtime=0)[:-9]), "damaged"),
        (page_with(gzip.compress(b"not json", mtime=0)), "damaged"),
        (page_with(gzip.compress(b'{"format": 2}', mtime=0)), "damaged"),
        (page_with(gzip.compress(b'{"format": 2, "total": -1, "columns": []}', mtime=0)), "damaged"),
        (page_with(gzip.compress(b'{"format": 99}', mtime=0)), "another version"),
        (page_with(gzip.compress(b"[1]", mtime=0)), "another version"),
        ('<script type="application/gzip" id="report-data">A</script>', "damaged"),
    ],
)
def test_a_page_without_good_data_is_an_error_with_a_reason(tmp_path: Path, page: str, reason: str) -> None:
    file = tmp_path / "report.html"
    file.write_text(page, encoding="utf-8")
    with pytest.raises(UsageError, match=reason) as caught:
        read_report(file)
    assert str(file) in caught.value.where


def test_a_file_that_is_not_there_or_no_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "binary.html").write_bytes(b"\xff\xfe\x00\x80")
    for name in ("none.html", "binary.html"):
        with pytest.raises(UsageError, match="can't be read"):
            read_report(tmp_path / name)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_in_place_of_the_data_are_an_error(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.html"
        file.write_text(page_with(gzip.compress(content, mtime=0)), encoding="utf-8")
        with pytest.raises(UsageError):
            read_report(file)


def test_the_time_is_that_of_source_date_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert now() == "1970-01-02T00:00:00Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
        now()
