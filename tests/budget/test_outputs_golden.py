"""The text formats, letter by letter: `python tests/budget/test_outputs_golden.py` renews them, the diff is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from verdicts import FAILED, hostile

from analyzer.budget.outputs import render

GOLDEN = Path(__file__).parent / "data" / "golden"
SUFFIXES = {
    "table": "txt",
    "json": "json",
    "md": "md",
    "csv": "csv",
    "github": "log",
    "gitlab": "json",
    "openmetrics": "prom",
}
VERDICTS = {"failed": FAILED, "hostile": hostile()}


def golden(format: str, verdict: str) -> Path:
    return GOLDEN / f"{verdict}.{format}.{SUFFIXES[format]}"


@pytest.fixture(autouse=True)
def _no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_WORKSPACE", "CI_PROJECT_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("format", SUFFIXES)
def test_text_is_as_it_was(format: str, verdict: str) -> None:
    with golden(format, verdict).open(encoding="utf-8", newline="") as file:
        assert render(VERDICTS[verdict], format) == file.read()


if __name__ == "__main__":
    for name in VERDICTS:
        for kind in SUFFIXES:
            with golden(kind, name).open("w", encoding="utf-8", newline="") as written:
                written.write(render(VERDICTS[name], kind))
