"""A GPU's reference (reports/reference/gpu-<device>.json) as a page beside it: python tests/gpu/page.py FILE."""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

MIB = 2**20
NETWORKS = {"article": "article", "dense_b6-12-24-16_g32_bn4_c0.5": "DenseNet121, 2 classes"}
"""Those that have rows of their own; the others are told together."""
Row = dict[str, Any]


def page(data: dict[str, Any]) -> str:
    """All that was measured, and what had no time left."""
    where = data["environment"]
    name = where["device_name"]
    intro = (
        f"# Measured on an {name}\n\nMade by `make gpu`: torch {where['torch']}, cuDNN {_cudnn(where['cudnn'])}, "
        f"driver {where['driver']}, Python {where['python']}. In fp32, convolutions in TF32, as torch has it."
    )
    parts = [intro, _memory(data["memory"]), _throughput(data["throughput"]), _calibration(data), _left_out(data)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _cudnn(version: int) -> str:
    """`91900` is 9.19.0."""
    return f"{version // 10000}.{version // 100 % 100}.{version % 100}"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(headings) + " |", "|" + " --- |" * len(headings)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _mib(size: float) -> str:
    return f"{size / MIB:,.1f}"


def _above(row: Row) -> int:
    """Bytes that the allocator's peak is above the simulated one."""
    return int(max(row["phases"].values()) - row["predicted_allocated_bytes"])


def _memory(all_rows: Sequence[Row]) -> str:
    rows = [row for row in all_rows if "phases" in row]
    cells, small = [], defaultdict(list)
    for row in rows:
        mode, batch = row["conditions"]["mode"], row["batch"]
        if row["name"] not in NETWORKS:
            small[batch, mode].append(_above(row))
            continue
        peak, predicted = max(row["phases"].values()), row["predicted_allocated_bytes"]
        cells.append([
            NETWORKS[row["name"]], mode, str(batch), _mib(row["predicted_bytes"]), _mib(predicted), _mib(peak),
            f"{_mib(_above(row))} (+{100 * _above(row) / predicted:.1f} %)",
            max(row["phases"], key=row["phases"].get), _mib(row["reserved_bytes"]),
        ])  # fmt: skip
    told = (
        f"`measure --memory`, a warm step, {len(rows)} rows: the allocator's peak (`max_memory_allocated`) beside the "
        "one that is replayed (live tensors) and that of the simulated allocator. Adam in its default form; algorithms "
        "as cuDNN chooses them without a search. "
        f"No row is below the prediction (the nearest {min(map(_above, rows)) / MIB:.1f} MiB above it)."
    )
    headings = [
        "network",
        "mode",
        "batch",
        "live tensors, MiB",
        "simulated",
        "measured",
        "above",
        "peak in",
        "reserved",
    ]
    others = _table(
        ["batch", "mode", "networks", "above, MiB"],
        [[str(batch), mode, str(len(each)), f"{_mib(min(each))} to {_mib(max(each))}"]
         for (batch, mode), each in small.items()],
    )  # fmt: skip
    return (
        f"## Memory\n\n{told}\n\n{_table(headings, cells)}\n\nSmall networks of other blocks, 128 px:\n\n{others}\n\n"
        + _FOUND
    )


_FOUND = """- **cuBLAS** keeps a workspace for each thread that multiplies: 32 MiB on Hopper, from the classifier's
  product on; the backward pass runs in a thread of its own and has a second. With them (33 MiB in inference, 66 in
  training) the simulated allocator is met within 5 MiB wherever cuDNN needs nothing: all of DenseNet121, but for batch
  128 in training, where it is 15 MiB too high.
- **cuDNN** takes what its algorithm wants: often as much as the weights of a wide convolution, to lay them out anew
  (the article's largest has 144 MiB), at the worst as much as all the rest (the article's network in training, batch
  128). torch takes the next algorithm where that isn't free: such a peak doesn't tell which batch fits."""


def _throughput(all_rows: Sequence[Row]) -> str:
    cells = []
    for row in all_rows:
        made, how = row.get("measured"), row["conditions"]
        if made is None:
            continue
        rates = [
            made["batch"] / statistics.median(made[key]) for key in ("seconds_per_batch", "baseline_seconds_per_batch")
        ]
        processes = len(made["seconds_per_batch"]) // made["pairs_per_process"]
        cells.append([
            f"{how['mode']}, {how['dtype']}" + ", channels last" * how["channels_last"] + ", compiled" * how["compile"],
            str(made["batch"]), *(f"{rate:,.0f}" for rate in rates),
            f"{made['ratio']:.3f} ({made['ratio_low']:.3f} to {made['ratio_high']:.3f})", str(processes),
        ])  # fmt: skip
    headings = ["conditions", "batch", "article, images/s", "DenseNet121", "time ratio", "processes"]
    return "## Throughput\n\n" + _table(headings, cells) if cells else ""


def _calibration(data: dict[str, Any]) -> str:
    cells = [
        [name, str(each["batch"]), f"{100 * each['mean_error']:.1f} %", f"{each['spearman']:.3f}",
         f"{1e3 * each['image_s'][0]:.3f} to {1e3 * each['image_s'][1]:.3f}"]
        for name, each in data["calibration"].items()
    ]  # fmt: skip
    headings = ["profile", "batch", "mean error on variants left out", "Spearman", "ms an image"]
    text = "## Calibration\n\n" + _table(headings, cells)
    held = [
        [row["model"], row["on"], str(row["batch"]), f"{1e3 * row['predicted_s']:.2f}",
         f"{1e3 * row['batch'] / row['measured_images_per_s']:.2f}", f"{row['off_percent']:+.1f} %"]
        for row in data["predictions"] if "error" not in row
    ]  # fmt: skip
    if held:
        headings = ["model", "by", "batch", "predicted, ms", "measured, ms", "off"]
        text += "\n\nNetworks that it was not fitted to:\n\n" + _table(headings, held)
    return text


def _left_out(data: dict[str, Any]) -> str:
    lines = [f"- {part}: {len(late)}" for part, late in data["left_out"].items() if late]
    lines += [f"- {row['model']} by {row['on']}: {row['error']}" for row in data["predictions"] if "error" in row]
    return "## What had no time left\n\n" + "\n".join(lines) if lines else ""


if __name__ == "__main__":
    for word in sys.argv[1:]:
        Path(word).with_suffix(".md").write_text(page(msgspec.json.decode(Path(word).read_bytes())))
