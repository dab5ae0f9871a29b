"""Rows that an earlier schema wrote: `data/schema-1` was written by version 0.1.0 before schema 2."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from analyzer.architecture.variant import Variant
from analyzer.errors import UsageError
from analyzer.records import SCHEMA, Record, Remark, read_record
from analyzer.reporting.pack import unpack
from analyzer.sweeping.database import Database
from analyzer.sweeping.store import read_jsonl

OLD = Path(__file__).parent / "data" / "schema-1"
LINES = [json.loads(line) for line in (OLD / "results.jsonl").read_text().splitlines()]


def test_the_stored_file_is_of_schema_1() -> None:
    assert [line["schema"] for line in LINES] == [1, 1]
    assert LINES[0]["notes"]
    assert "remarks" not in LINES[0]


def agrees(record: Record, line: dict) -> None:
    new = json.loads(record.to_json())
    assert record.schema == new["schema"] == SCHEMA == 2
    assert isinstance(record.target.variant, Variant)
    assert {key: new[key] for key in line if key != "schema"} == {k: v for k, v in line.items() if k != "schema"}
    assert [remark["text"] for remark in new["remarks"]] == line["notes"]
    assert {remark["kind"] for remark in new["remarks"]} <= {"untrainable"}


def test_lines_of_schema_1_are_read_as_schema_2() -> None:
    records, warnings = read_jsonl(OLD / "results.jsonl")
    assert not warnings
    for record, line in zip(records, LINES, strict=True):
        agrees(record, line)


def test_a_database_of_schema_1_is_read_as_schema_2(tmp_path: Path) -> None:
    shutil.copy(OLD / "results.db", tmp_path)
    with closing(Database(tmp_path / "results.db")) as database:
        rows = {row.record.target.name: row.record for row in database.rows()}
    assert len(rows) == len(LINES)
    for line in LINES:
        agrees(rows[line["target"]["name"]], line)


def test_a_page_of_schema_1_is_read_as_schema_2() -> None:
    flat = [{**{k: v for k, v in line.items() if k != "target"}} for line in LINES]
    for row, line in zip(flat, LINES, strict=True):
        row.update({f"target.{key}": value for key, value in line["target"].items()})
    columns = {key: {"each": [row[key] for row in flat]} for key in flat[0]}
    head = {"title": "t", "command": ["analyze"], "limits": [], "front": [], "environment": None, "generated": "now"}
    places = {"rows": len(flat), "total": len(flat), "baseline": 0, "subject": 1}
    data = unpack({"format": 1, **head, **places, "columns": columns})
    for record, line in zip(data.records, LINES, strict=True):
        agrees(record, line)


def test_a_row_goes_round() -> None:
    record = read_record(json.dumps(LINES[0]))
    assert read_record(record.to_json()) == record
    assert (
        read_record(record.remarked(Remark(kind="peak", text="x", figure="macs")).to_json()).remarks[-1].kind == "peak"
    )


def test_a_row_of_a_block_that_is_not_registered_here_keeps_its_figures() -> None:
    line = json.loads(json.dumps(LINES[1]))
    line["target"]["variant"]["block"] = "depthwise"
    line["target"]["variant"]["ratio"] = None
    record = read_record(json.dumps(line))
    assert record.target.variant is not None
    assert record.target.variant.name == "depthwise_b1-1-1_g4_c0.5_s32"
    assert record.params == line["params"]
    assert read_record(record.to_json()) == record


@pytest.mark.parametrize(
    "change",
    [
        {"growth": -4},
        {"growth": "4; rm -rf"},
        {"block": "<script>"},
        {"block": None},
        {"unknown": 1},
        {"block_config": []},
        {"image": 1.5},
    ],
)
def test_a_variant_that_can_not_be_is_refused(change: dict) -> None:
    line = json.loads(json.dumps(LINES[1]))
    line["target"]["variant"].update(change)
    with pytest.raises(UsageError) as told:
        read_record(json.dumps(line), where="file:1")
    assert told.value.where == "file:1"
