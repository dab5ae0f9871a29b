"""`make zoo-public`: every public architecture counted, and the page of it, reports/reference/zoo-public.md.

    python tests/zoo/public_zoo.py [--minutes 600] [--python PYTHON]

Models run one after the other in a process of bounded memory, which is begun anew after one that ends or stalls it.
What is done is kept in build/zoo-public/rows.jsonl, with which it goes on.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import resource
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from json_lines import json_lines, with_package

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
ROWS = ROOT / "build" / "zoo-public" / "rows.jsonl"
REFERENCE = ROOT / "reports" / "reference"
TABLES = REFERENCE / "gpu-profiles" / "tables"
OFFLINE = with_package(HF_HUB_OFFLINE="1")
TIMEOUT, MEMORY = 180.0, 8 << 30
"""Seconds that a model may take, and bytes that the process may write to."""

Row = dict[str, Any]


# -- the run ----------------------------------------------------------------------------------------------------


def run(python: str, minutes: float) -> None:
    """Counts what is missing."""
    end = time.monotonic() + 60 * minutes
    left = [name for name in _names(python) if name not in {row["model"] for row in rows()}]
    ROWS.parent.mkdir(parents=True, exist_ok=True)
    with ROWS.open("a") as file:
        while left and time.monotonic() < end:
            current, why = left[0], "ended the process"
            command = [python, str(HERE / "public_models.py"), "count", *left[:20]]
            for line in json_lines(command, TIMEOUT, environ=OFFLINE, first=_bound):
                if line is None:
                    why = f"took over {TIMEOUT:.0f} s"
                elif "starts" in line:
                    current = line["starts"]
                else:
                    print(json.dumps(line), file=file, flush=True)
                    left.remove(line["model"])
                    current = ""
                if time.monotonic() >= end:
                    break
            if current and time.monotonic() < end:
                print(json.dumps({"model": current, "unbuilt": why}), file=file, flush=True)
                left.remove(current)


def _names(python: str) -> list[str]:
    command = [python, str(HERE / "public_models.py"), "names"]
    done = subprocess.run(command, check=True, capture_output=True, env=OFFLINE)
    found: list[str] = json.loads(done.stdout)
    return found


def _bound() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))


def rows() -> list[Row]:
    """What is done, in the order of names."""
    lines = ROWS.read_text().splitlines() if ROWS.exists() else []
    return sorted(map(json.loads, lines), key=lambda row: str(row["model"]))


# -- what it comes to --------------------------------------------------------------------------------------------


def published() -> dict[tuple[str, int], tuple[float, float]]:
    """timm's tables: millions of parameters and GMACs of a model at a size."""
    found = {}
    for path in sorted(TABLES.glob("benchmark-infer-*.csv.gz")):
        with gzip.open(path, "rt", newline="") as file:
            for row in csv.DictReader(file):
                if row.get("infer_gmacs"):
                    key = row["model"].partition(".")[0], int(float(row["infer_img_size"]))
                    found.setdefault(key, (float(row["param_count"]), float(row["infer_gmacs"])))
    return found


def kind(row: Row) -> str:
    """How our MACs and those of torch's counter go together."""
    if "unbuilt" in row:
        return "not built"
    ours, theirs = row["ours"], row["torch"]
    if "error" in ours:
        return "neither counts" if "error" in theirs else "torch alone counts"
    if "error" in theirs:
        return "this tool alone counts"
    if ours["macs"] == theirs["macs"]:
        return "equal"
    return "torch has no formula" if all(macs < 0 for macs in theirs["differs"].values()) else "other difference"


def said(row: Row, tables: dict[tuple[str, int], tuple[float, float]]) -> str:
    """How our figures and the package's own published ones go together; nothing where it has none."""
    if "ours" not in row or "error" in row["ours"]:
        return ""
    own, about = row["ours"], row["said"]
    source, _, name = row["model"].partition("/")
    if source == "torchvision" and about.get("params"):
        parts = [] if own["params"] == about["params"] else ["params differ"]
        shape = row["input"].get("x", [0])
        if about.get("gmacs") and about.get("crop") == shape[-1]:
            near = abs(own["macs"] / 1e9 - about["gmacs"]) < 0.00051
            parts += [] if near else ["MACs differ"]
        return ", ".join(parts) or "as published"
    known = tables.get((name, about.get("size", 0))) if source == "timm" else None
    if known is None:
        return ""
    if abs(own["params"] / 1e6 - known[0]) > 0.00501:
        return "params differ"
    off = own["macs"] / 1e9 - known[1]
    return "as published" if abs(off) < 0.00501 else ("MACs over" if off > 0 else "MACs under")


COLUMNS = ("model", "input", "params", "macs", "ours_s", "torch_macs", "torch_s", "kind", "published", "remarks", "why")


def table(found: list[Row]) -> list[Row]:
    """A flat row each."""
    tables = published()
    flat = []
    for row in found:
        ours, theirs = row.get("ours", {}), row.get("torch", {})
        differs = " ".join(f"{operator}:{macs:+d}" for operator, macs in theirs.get("differs", {}).items())
        why = row.get("unbuilt") or ours.get("error") or theirs.get("error") or differs
        flat.append({
            "model": row["model"], "input": json.dumps(row.get("input", {})), "params": ours.get("params"),
            "numel": row.get("numel"), "macs": ours.get("macs"), "ours_s": ours.get("seconds"),
            "torch_macs": theirs.get("macs"), "torch_s": theirs.get("seconds"), "kind": kind(row),
            "published": said(row, tables), "remarks": " ".join(ours.get("remarks", [])), "why": why,
            "uncounted": ours.get("uncounted", []), "differs": theirs.get("differs", {}),
        })  # fmt: skip
    return flat


def page(flat: list[Row], total: int) -> str:
    """The Markdown page."""
    sources = ("torchvision", "timm", "transformers")
    kinds = ("equal", "torch has no formula", "other difference", "this tool alone counts", "torch alone counts",
             "neither counts", "not built")  # fmt: skip
    by = Counter((row["model"].partition("/")[0], row["kind"]) for row in flat)
    lines = ["| " + " | ".join([name, *(f"{by[source, name]:,}" for source in sources)]) + " |" for name in kinds]
    told = Counter((row["model"].partition("/")[0], row["published"]) for row in flat if row["published"])
    names = sorted({name for _, name in told})
    said_lines = [
        "| " + " | ".join([name, *(f"{told[source, name]:,}" for source in sources[:2])]) + " |" for name in names
    ]
    wrong = [row["model"] for row in flat if row["params"] is not None and row["params"] != row["numel"]]
    ratios = [row["ours_s"] / row["torch_s"] for row in flat if row["kind"] == "equal" and row["torch_s"]]
    operators = Counter(name for row in flat for name in row["differs"])
    uncounted = Counter(name for row in flat for name in row["uncounted"])
    why = Counter(" ".join(str(row["why"]).split()[:7]) for row in flat if row["kind"] in kinds[4:])
    return PAGE.format(
        done=len(flat), total=total, kinds="\n".join(lines), said="\n".join(said_lines),
        params="all of them" if not wrong else f"all but {', '.join(wrong)}",
        ratio=statistics.median(ratios) if ratios else float("nan"), equal=len(ratios),
        operators=", ".join(f"`{name}` {count}" for name, count in operators.most_common()) or "none",
        uncounted=", ".join(f"`{name}` {count}" for name, count in uncounted.most_common()) or "none",
        why="\n".join(f"- {count} x `{text}`" for text, count in why.most_common(25)) or "none",
    )  # fmt: skip


PAGE = """# Public architectures

Made by `make zoo-public` with torch 2.14.1, torchvision 0.29.1, timm 1.0.31 and transformers 5.24.0: {done:,} of the
{total:,} architectures in their default configurations, built on meta without any download, batch 1, language models on
64 tokens, spread evenly over the names of each package. Each model's row is in [zoo-public.csv](zoo-public.csv);
`make zoo-public` again goes on where it ended.

MACs of this tool and of torch's own counter (`FlopCounterMode`, halved), both on meta:

| | torchvision | timm | transformers |
| --- | ---: | ---: | ---: |
{kinds}

- *torch has no formula*: it counts the operators that both know alike, and these as 0 (models in which each is met):
  {operators}.
- Params are the sum of the parameters' `numel` for {params}.
- CPU seconds of a count by this tool, which runs a model twice and says seven more figures, over those of torch's
  counter where both agree: {ratio:.2f} in the median of {equal:,}.
- Operators that this tool has no formula for, and says so: {uncounted}.

Against what the packages themselves publish (torchvision's `num_params` and `_ops` where the weights' crop was the
input; timm's tables of params in 0.01 M and GMACs in 0.01, which add norms and miss fused attention):

| | torchvision | timm |
| --- | ---: | ---: |
{said}

## Not built or not counted by this tool

By the beginning of the message; each model's is in the CSV.

{why}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=600.0)
    parser.add_argument("--python", default=sys.executable, help="one with torch, torchvision, timm, transformers")
    options = parser.parse_args()
    run(options.python, options.minutes)
    flat = table(rows())
    with (REFERENCE / "zoo-public.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
    (REFERENCE / "zoo-public.md").write_text(page(flat, len(_names(options.python))))


if __name__ == "__main__":
    main()
