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
    done = {row["model"] for row in rows()}
    left = [name for name in _names(python) if name not in done]
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


Tables = dict[tuple[str, int], tuple[float, float]]
Works = dict[tuple[str, int], dict[str, str]]


def works() -> Works:
    """The work of timm's models at a size, as `make profiles` traced it."""
    with gzip.open(TABLES.parent / "work.csv.gz", "rt", newline="") as file:
        return {(row["model"].partition(".")[0], int(row["size"])): row for row in csv.DictReader(file)}


def published() -> Tables:
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


def said(row: Row, tables: Tables, works: Works) -> str:
    """How our figures and the package's own published ones go together; nothing where it has none."""
    if "ours" not in row or "error" in row["ours"]:
        return ""
    source, _, name = row["model"].partition("/")
    if source == "torchvision":
        return _said_by_torchvision(row)
    key = name, row["said"].get("size", 0)
    return _said_by_timm(row, tables[key], works.get(key)) if source == "timm" and key in tables else ""


def _said_by_torchvision(row: Row) -> str:
    own, about = row["ours"], row["said"]
    if not about.get("params"):
        return ""
    more, detects = own["params"] - about["params"], "norms" in about
    if more not in (0, about.get("norms")):
        return "params differ"
    frozen = " but for the backbone's norms, which are frozen in theirs" if more else ""
    if abs(own["macs"] / 1e9 - about["gmacs"]) < 0.00051:
        return f"as published{frozen}"
    if detects:
        return "as published but for the heads' work, a head's for each box that the image gives"
    return "MACs differ" if row["input"].get("x") == [about.get("shape")] else "MACs of another size"


REASONS = {
    "nfnet": "they count norms of weights",
    "nf_": "they count norms of weights",
    "_bit": "they count norms of weights",
    "_r26_": "they count norms of weights",
    "_r50_": "they count norms of weights",
    "sequencer2d": "they miss recurrent layers",
    "vit_d": "they miss fused attention",
    "convmixer": "they miss convolutions with padding='same'",
}
"""What tables of timm's count otherwise, by a part of the model's name."""


def _said_by_timm(row: Row, table: tuple[float, float], work: dict[str, str] | None) -> str:
    """In GMACs, rounded to a hundredth. fvcore, which they are by, counts 2 for each element that a batch norm makes,
    up to 5 for one of a layer norm, 1 for one that is pooled or interpolated; our rows of work tell layer norms from
    softmax as little as interpolation from other elementwise work.
    """
    own = row["ours"]
    if abs(own["params"] / 1e6 - table[0]) > HALF:
        return "other params in their table: fused, or an older definition"
    more = table[1] - own["macs"] / 1e9
    if abs(more) <= HALF:
        return "as published"
    if work is not None:
        norms, rows_of_norms, *others = (int(work[name]) / 1e9 for name in BESIDE)
        if 2 * norms - HALF <= more <= 2 * norms + 5 * rows_of_norms + sum(others) + HALF:
            return "as published with norms and pools"
    found = [reason for part, reason in REASONS.items() if part in row["model"]]
    return found[0] if found else ("MACs over" if more < 0 else "MACs under")


BESIDE = ("norm made", "row norm made", "pool moved", "mean moved", "elementwise made")
HALF = 0.0051
"""Of a hundredth, which figures in their tables are rounded to."""


def why_not(row: Row) -> str:
    """Why a model has no count, by kind: `row` is of the table."""
    text = str(row["why"])
    if row["kind"] == "not built":
        if text.startswith(("took over", "ended the process")):
            return f"took over {TIMEOUT:.0f} s or {MEMORY >> 30} GiB"
        missing = text.startswith(("ImportError", "ModuleNotFoundError"))
        return "needs a package that is not installed" if missing else "its default configuration can't be built"
    if 'the required "forward"' in text:
        return "has no forward"
    if "values need a run on the CPU" in text:
        return "goes by values, which a model on meta has not, and has no room on the CPU"
    return "can't be run on the inputs that are tried, by torch neither"


COLUMNS = ("model", "input", "params", "macs", "ours_s", "torch_macs", "torch_s", "kind", "published", "remarks", "why")


def table(found: list[Row]) -> list[Row]:
    """A flat row each."""
    tables, traced = published(), works()
    flat = []
    for row in found:
        ours, theirs = row.get("ours", {}), row.get("torch", {})
        differs = " ".join(f"{operator}:{macs:+d}" for operator, macs in theirs.get("differs", {}).items())
        why = row.get("unbuilt") or ours.get("error") or theirs.get("error") or differs
        flat.append({
            "model": row["model"], "input": json.dumps(row.get("input", {})), "params": ours.get("params"),
            "numel": row.get("numel"), "macs": ours.get("macs"), "ours_s": ours.get("seconds"),
            "torch_macs": theirs.get("macs"), "torch_s": theirs.get("seconds"), "kind": kind(row),
            "published": said(row, tables, traced), "remarks": " ".join(ours.get("remarks", [])), "why": why,
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
    without: dict[str, list[str]] = {}
    for row in flat:
        if row["kind"] in kinds[4:]:
            without.setdefault(why_not(row), []).append(f"`{row['model'].partition('/')[2]}`")
    return PAGE.format(
        done=len(flat), total=total, kinds="\n".join(lines), said="\n".join(said_lines),
        params="all of them" if not wrong else f"all but {', '.join(wrong)}",
        ratio=statistics.median(ratios) if ratios else float("nan"), equal=len(ratios),
        operators=", ".join(f"`{name}` {count}" for name, count in operators.most_common()) or "none",
        uncounted=", ".join(f"`{name}` {count}" for name, count in uncounted.most_common()) or "none",
        why="\n".join(f"- {len(names)} {why}: {', '.join(names)}." for why, names in sorted(without.items())),
    )  # fmt: skip


PAGE = """# Public architectures

Made by `make zoo-public` with torch 2.14.1, torchvision 0.29.1, timm 1.0.31 and transformers 5.24.0: {done:,} of the
{total:,} architectures in their default configurations, built on meta without any download, batch 1, language models on
64 tokens. Each model's row is in `reports/reference/zoo-public.csv`;
`make zoo-public` again goes on where it ended.

MACs of this tool and of torch's own counter (`FlopCounterMode`, halved), both on meta:

| | torchvision | timm | transformers |
| --- | ---: | ---: | ---: |
{kinds}

- *torch has no formula*: it counts the operators that both know alike, and these as 0 (models in which each is met):
  {operators}.
- Params are the sum of the parameters' `numel` for {params}.
- CPU seconds of a count by this tool, which runs most models in both modes and says seven more figures, over those of
  torch's counter where both agree: {ratio:.2f} in the median of {equal:,}.
- Operators that this tool has no formula for, and says so: {uncounted}.

Against what the packages themselves publish: torchvision's `num_params` and `_ops`, where the input is what they are
of; timm's tables of params in 0.01 M and GMACs in 0.01. Those count more, by fvcore: 2 for each element that a batch
norm makes, up to 5 for one of a layer norm, 1 for one that is pooled or interpolated; *with norms and pools* says that
not more than this is between.

| | torchvision | timm |
| --- | ---: | ---: |
{said}

## Not built or not counted by this tool

Each model's message is in the CSV.

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
