"""`make profiles`, first part: traces every architecture of the tables, in an environment with torch and timm.

Resumable: what is done is kept in build/profiles/work.jsonl. At the end reports/reference/gpu-profiles/work.csv.gz is
written: the work of one image of each model at each size. Where a table's parameters are not the model's own, the
branches were fused before it was timed, and the fused form is traced too.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import time
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import published
import timm
import torch
from timm.utils.model import reparameterize_model
from torch import nn

from analyzer.tracing import surroundings
from analyzer.tracing.running import Ladder, untouched
from analyzer.tracing.shapes import Shapes

CACHE = Path(__file__).resolve().parents[2] / "build" / "profiles" / "work.jsonl"
ROUNDED = 0.00501
"""Millions of parameters by which a table's figure, in two decimals, may differ from the exact one."""


SHAPES = Shapes()
"""One memory of shapes for all models: they have many layers in common."""
surroundings._MOST = 0  # each model is run once: nobody minds what it leaves around it, and looking takes half the time


def wanted() -> dict[tuple[str, int], set[float]]:
    """Every model and size of the tables, with the parameters that these say."""
    found: dict[tuple[str, int], set[float]] = defaultdict(set)
    for name in published.names():
        for row in published.table(name):
            found[row.model, row.size].add(row.params)
    return found


def made(model: str, size: int, device: str) -> nn.Module:
    """The model without weights; told its image size where it must be."""
    with torch.device(device):
        return timm.create_model(model).eval()


def sized(model: str, size: int, device: str) -> nn.Module:
    """A model that takes images of one size, made for this one."""
    with torch.device(device):
        return timm.create_model(model, img_size=size).eval()


def work_of(module: nn.Module, size: int) -> dict[str, int]:
    """The work of one image."""
    ladder = Ladder(module, ((torch.empty(1, 3, size, size, device="meta"),), {}))
    ladder.follows_work, ladder._shapes = True, SHAPES
    with untouched():
        return ladder.run(training=False).work


def traced(model: str, size: int, params: set[float]) -> list[dict[str, Any]]:
    """A row each form that the tables can have timed."""
    maker = made
    module = maker(model, size, "meta")
    try:
        work = work_of(module, size)
    except Exception:
        maker = sized
        module = maker(model, size, "meta")
        work = work_of(module, size)
    rows = [{"model": model, "size": size, "form": "own", "params": count(module), "work": work}]
    if all(abs(rows[0]["params"] / 1e6 - said) < ROUNDED for said in params):
        return rows
    fused = reparameterize_model(maker(model, size, "cpu"))
    if count(fused) != rows[0]["params"]:
        rows.append({**rows[0], "form": "fused", "params": count(fused), "work": work_of(fused, size)})
    return rows


def count(module: nn.Module) -> int:
    """Elements of all parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def main() -> None:
    """Traces what is missing, then writes the table."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    todo = wanted()
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.loads(line) for line in CACHE.read_text().splitlines()] if CACHE.exists() else []
    done = {(row["model"], row["size"]) for row in lines}
    missing = [key for key in todo if key not in done]
    begin = time.monotonic()
    with CACHE.open("a") as file:
        for number, key in enumerate(missing):
            try:
                rows = traced(*key, todo[key])
            except Exception as error:
                what = {"model": key[0], "size": key[1], "error": f"{type(error).__name__}: {error}"[:200]}
                rows = [what]
            for row in rows:
                file.write(json.dumps(row, separators=(",", ":")) + "\n")
            file.flush()
            lines += rows
            if number % 25 == 0:
                left = (time.monotonic() - begin) / (number + 1) * (len(missing) - number)
                print(f"{number:,} of {len(missing):,}, {left / 60:.0f} min left", file=sys.stderr, flush=True)
    write(
        sorted((row for row in lines if "error" not in row), key=lambda row: (row["model"], row["size"], row["form"]))
    )


def write(rows: list[dict[str, Any]]) -> None:
    """The committed table: one row a model, size and form; work by kind and part; nothing in it changes by itself."""
    parts = sorted({name for row in rows for name in row["work"]})
    text = io.StringIO(newline="")
    out = csv.writer(text, lineterminator="\n")
    out.writerow(["model", "size", "form", "params", *parts])
    for row in rows:
        own = [row["work"].get(name, 0) for name in parts]
        out.writerow([row["model"], row["size"], row["form"], row["params"], *own])
    path = published.FOLDER / "work.csv.gz"
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        file.write(text.getvalue().encode())
    print(path)


if __name__ == "__main__":
    main()
