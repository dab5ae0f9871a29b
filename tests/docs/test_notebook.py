"""The example notebook runs from its first cell to its last and shows what it is committed with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from notebooks import executed

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_notebook_shows_what_its_cells_come_to() -> None:
    notebook = json.loads((ROOT / "examples" / "tour.ipynb").read_text(encoding="utf-8"))
    kept = [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    made = executed(notebook)
    assert len(made) == len(kept) >= 6
    for before, now in zip(kept, made, strict=True):
        assert [one["output_type"] for one in now] == [one["output_type"] for one in before]
        for old, new in zip(before, now, strict=True):
            assert new.get("text") == old.get("text")
            assert new.get("data", {}).keys() == old.get("data", {}).keys()
            assert new.get("data", {}).get("text/plain") == old.get("data", {}).get("text/plain")
    shown = "".join(
        "".join(one["data"]["text/html"]) for cell in made for one in cell if "text/html" in one.get("data", ())
    )
    assert "149.87 M" in shown
    assert "Over budget" in shown
    assert "<svg" in shown
