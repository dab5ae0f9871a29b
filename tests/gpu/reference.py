"""Measures memory, throughput and calibration on the GPU; writes reports/reference/gpu-<device>.json.

Memory: the article's network, DenseNet121 and ten variants, batch 1 to 128, training and inference, beside the
prediction. Throughput: both networks in four conditions. Calibration: its error on variants left out.
"""

from __future__ import annotations

import re
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import torch

from analyzer.architecture.network import PRESETS, densenet121_like
from analyzer.architecture.variant import Variant
from analyzer.errors import MeasureError
from analyzer.measure.calibration import calibrate
from analyzer.measure.measure import measure_all, measure_memory, subject_of
from analyzer.measure.protocol import Protocol
from analyzer.records import Conditions

BATCHES = (1, 8, 32, 128)
BUDGET_S = 450
BLOCKS = ("basic", "csp", "harmonic", "logdense", "lowrank", "separable", "shuffle", "squeeze", "add", "bottleneck")
CONDITIONS = (
    Conditions(),
    Conditions(dtype="bfloat16"),
    Conditions(channels_last=True),
    Conditions(compile=True),
    Conditions(mode="training"),
)


def variants() -> list[Variant]:
    """The two networks, and one small variant of ten other blocks."""
    small: dict[str, Any] = {"block_config": (3, 4, 3), "init": 32, "classes": 10, "image": 128}
    more = [
        Variant(block=b, growth="double" if b == "bottleneck" else 24, groups=2 if b == "shuffle" else 1, **small)
        for b in BLOCKS
    ]
    return [PRESETS["article"], densenet121_like(PRESETS["article"]), *more]


def memory(end: float) -> list[dict[str, Any]]:
    """One row a network, batch and mode."""
    rows = []
    for variant in variants():
        for batch in BATCHES:
            for mode in ("inference", "training"):
                if time.monotonic() > end:
                    print("the time for memory is spent")
                    return rows
                try:
                    found = measure_memory(
                        subject_of(variant), batch=batch, device="cuda", conditions=Conditions(mode=mode)
                    )
                except MeasureError as error:
                    rows.append({"name": variant.name, "batch": batch, "mode": mode, "error": error.what})
                    continue
                rows.append(msgspec.to_builtins(found))
                predicted = found.predicted_allocated_bytes or 1
                difference = 100 * (found.measured_bytes / predicted - 1)
                print(
                    f"{found.name} batch {batch} {mode}: {found.measured_bytes} measured, {difference:+.2f} % of the predicted"
                )
    return rows


def throughput() -> list[dict[str, Any]]:
    """Both networks in each condition."""
    rows = []
    baseline = subject_of(densenet121_like(PRESETS["article"]))
    for conditions in CONDITIONS:
        for name, made in measure_all(
            [subject_of(PRESETS["article"])], baseline, device="cuda", batch=32, conditions=conditions,
            protocol=Protocol(seconds=25, discard=2, pairs=4),
        ):  # fmt: skip
            if isinstance(made, MeasureError):
                rows.append({"name": name, "error": made.what, "conditions": msgspec.to_builtins(conditions)})
                continue
            rows.append({"name": name, **msgspec.to_builtins(made)})
            print(f"{name} {conditions}: {made.ratio:.2f}x ({made.ratio_low:.2f} to {made.ratio_high:.2f})")
    return rows


def main() -> int:
    """Writes everything to one file."""
    if not torch.cuda.is_available():
        print("no CUDA device: nothing was measured and nothing is written", file=sys.stderr)
        return 1
    begin = time.monotonic()
    times = throughput()
    profile = calibrate("cuda")
    print(f"calibration: mean error {100 * profile.mean_error:.1f} %, Spearman {profile.spearman:.3f}")
    rows = memory(begin + BUDGET_S)
    off = [100 * abs(max(r["phases"].values()) / r["predicted_allocated_bytes"] - 1) for r in rows if "phases" in r]
    name = re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name(0).lower()).strip("-")
    path = Path("reports/reference") / f"gpu-{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {"throughput": times, "calibration": msgspec.to_builtins(profile), "memory": rows}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(data), indent=1) + b"\n")
    if off:
        print(f"memory: median difference {statistics.median(off):.2f} %")
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
