"""Names from models and files give no orders: to a terminal, to a CI service's log, to a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from contextlib import closing
from pathlib import Path

import pytest

from analyzer.cli import cli
from analyzer.cli.base import run
from analyzer.cli.progress import GrowingTable
from analyzer.files import csv_text
from analyzer.measuring.exclusive import patience
from analyzer.records import Record, Target
from analyzer.sweeping.results_store import open_store

NAMES = (
    "\x1b[31mred\x1b[2J",
    "\x9b31m",
    "::error::owned",
    "a\n::warning::owned",
    "##[error]owned",
    "##vso[build]owned",
    "\r\x08\x7f",
    "\u202egnp",
)
NET = f"""
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        for name in {NAMES!r}:
            self.add_module(name, nn.Linear(4, 4, bias=False))

    def forward(self, x):
        for layer in self.children():
            x = layer(x)
        return x
"""
CONFIG = '[models."\\u001b[31m::error::m"]\ntarget = "net.py:Net"\ninput = [1, 4]\nbudgets.params = { max = "1k" }\n'
ORDERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]|^\s*::|##\w*\[", re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "analyzer.toml").write_text(CONFIG)
    rows = [Record(target=Target(name=name, label=name), params=1) for name in NAMES]
    with closing(open_store(tmp_path / "kept")) as store:
        store.put([Record(target=Target(name="first"), params=2), *rows])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CI", "true")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return tmp_path


SHOW = ("show", "net.py:Net", "--input", "1,4")
COMMANDS = [
    *((*SHOW, "--format", each) for each in ("table", "json", "md", "csv")),
    ("lock",),
    *(("check", "--output", each) for each in ("table", "json", "md", "csv", "gitlab", "sarif", "openmetrics")),
    *(("results", "list", "kept", "--format", each) for each in ("table", "json", "jsonl", "md", "csv")),
    *(("results", "show", "kept", str(number)) for number in range(1, len(NAMES) + 2)),
    ("report", "kept", "--format", "md"),
]


def test_no_command_prints_an_order(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        assert run(cli, list(command)) == 0, (command, capsys.readouterr())
        out, errors = capsys.readouterr()
        assert not ORDERS.search(out), (command, ORDERS.search(out))
        assert not ORDERS.search(errors), (command, ORDERS.search(errors))
        assert "owned" in out or command[0] in ("lock", "check", "results"), command


def test_json_says_the_names_as_they_are(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, [*SHOW, "--format", "json"]) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert {layer["path"] for layer in layers} >= set(NAMES)
    assert run(cli, ["results", "list", "kept", "--format", "json"]) == 0
    assert [row["record"]["target"]["name"] for row in json.loads(capsys.readouterr().out)] == ["first", *NAMES]


def test_a_cell_is_read_back_as_it_was_and_none_is_a_formula() -> None:
    cells = ["plain", "a,b", 'a "b"', "a\rb", "a\nb", "a\r\nb", " x", ""]
    text = csv_text(["h"] * len(cells), [cells])
    assert list(csv.reader(io.StringIO(text, newline="")))[1] == cells
    assert '"a\rb"' in text
    for formula in ("=cmd()", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"):
        (cell,) = next(csv.reader(io.StringIO(csv_text([formula], []), newline="")))
        assert cell == "'" + formula
    assert csv_text(["n"], [[-1], [None], [[1, 2]]]) == "n\n-1\n\n1-2\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_progress_line_says_whom_one_waits_for_whatever_its_command_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """rich reads brackets as its own markup, and raised where they close what was never open."""
    errors = Terminal()
    monkeypatch.setattr(sys, "stderr", errors)
    row = Record(target=Target(name="first"), params=2)
    with GrowingTable([row], [row], on=False) as table:
        patience.tell("waiting for cpu: pid 7 (analyze measure [/x].py:[red]Net\x1b[2J) measures on it")
        table.bar.bar.refresh()
    assert "[/x].py:[red]Net\\u001b[2J) measures" in errors.getvalue()
