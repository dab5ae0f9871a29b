"""The public benchmark tables that profiles are fitted to, as reports/reference/gpu-profiles/ keeps them."""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "reports" / "reference" / "gpu-profiles"
SOURCE = "pytorch-image-models, results, commit aa4b5850 (2026-08-08), Apache-2.0"
DATE = "2026-08-08"
TIMED_HERE = {"infer-amp-nchw-pt2110-cu130-h100": "2026-11-26"}
"""Tables of this package's own (`make gpu-table`), and when they were made."""
OURS = "analyzer/"
"""What the names of this package's own networks begin with in them; they are never fitted."""


def source(table: str) -> str:
    """Whose times a table's are."""
    return f"this package (make gpu-table), {TIMED_HERE[table]}" if table in TIMED_HERE else SOURCE


def date(table: str) -> str:
    """When they were made or published."""
    return TIMED_HERE.get(table, DATE)


@dataclass(frozen=True)
class Timed:
    """A row: a model at a size in pixels, seconds an image at a batch, its parameters in millions (two decimals)."""

    model: str
    size: int
    batch: int
    image_s: float
    params: float

    @property
    def family(self) -> str:
        """The letters that its name begins with: what is left out together."""
        name = re.sub(r"^(tf_|legacy_|test_)", "", self.model.partition(".")[0])
        found = re.match(r"[a-z]+", name)
        return found[0] if found else name


def table(name: str) -> Iterator[Timed]:
    """The rows of a table that have a time, each model at a size once."""
    seen = set()
    with gzip.open(FOLDER / "tables" / f"benchmark-{name}.csv.gz", "rt", newline="") as file:
        for row in csv.DictReader(file):
            kind = "train" if name.startswith("train") else "infer"
            rate, batch, size = (row[f"{kind}_{what}"] for what in ("samples_per_sec", "batch_size", "img_size"))
            key = row["model"], int(float(size))
            if rate and float(rate) > 0 and key not in seen:
                seen.add(key)
                yield Timed(*key, int(float(batch)), 1 / float(rate), float(row["param_count"]))


def names() -> list[str]:
    """All tables."""
    paths = sorted((FOLDER / "tables").glob("benchmark-*.csv.gz"))
    return [path.name.removeprefix("benchmark-").removesuffix(".csv.gz") for path in paths]
