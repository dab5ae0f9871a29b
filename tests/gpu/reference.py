"""Measures memory, throughput and calibration on the GPU; writes reports/reference/gpu-<device>.json.

Memory: the article's network, DenseNet121 and ten variants, batch 1 to 128, training and inference, beside the
prediction. Throughput: the article's network against DenseNet121 in fp32, bf16, channels_last, compiled, and training.
Calibration: its error on variants left out, by roofline and by a table of operators; its profile is kept, and held
against networks that it was not fitted to. What has no time left is named in
`left_out`, never made up.
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
from in_process import in_this_process

from analyzer.architecture.network import PRESETS, densenet121_like
from analyzer.architecture.variant import Variant
from analyzer.errors import MeasureError
from analyzer.measurements import Conditions
from analyzer.measuring.calibration import calibrate
from analyzer.measuring.environment import environment
from analyzer.measuring.measure import measure_all, measure_memory, record_of, subject_of
from analyzer.measuring.protocol import Protocol
from analyzer.reading.latency import Profile
from analyzer.reading.profiles import file_of, files, read_profile, write_profile

BATCHES = (1, 8, 32, 128)
BUDGET_S = 400
"""With the tests before it under 8 minutes."""
BLOCKS = ("basic", "csp", "harmonic", "logdense", "lowrank", "separable", "shuffle", "squeeze", "add", "bottleneck")
CONDITIONS = (
    Conditions(),
    Conditions(dtype="bfloat16"),
    Conditions(channels_last=True),
    Conditions(mode="training"),
    Conditions(compile=True),  # last: it compiles for minutes
)
MEMORY = (
    Conditions(),
    Conditions(mode="training"),
    Conditions(autocast="bfloat16"),
    Conditions(mode="training", autocast="bfloat16"),
)
"""Autocast of the two networks alone."""
QUICK = Protocol(seconds=22, discard=2, pairs=4)
COMPILED = Protocol(seconds=1, discard=2, pairs=4, most=1)


def variants() -> list[Variant]:
    """The two networks, and one small variant of ten other blocks."""
    small: dict[str, Any] = {"block_config": (3, 4, 3), "init": 32, "classes": 10, "image": 128}
    more = [
        Variant(block=b, growth="double" if b == "bottleneck" else 24, groups=2 if b == "shuffle" else 1, **small)
        for b in BLOCKS
    ]
    return [PRESETS["article"], densenet121_like(PRESETS["article"]), *more]


def memory(end: float) -> tuple[list[dict[str, Any]], list[str]]:
    """One row a network, batch and conditions; and what had no time left."""
    rows, late = [], []
    for variant in variants():
        for batch in BATCHES:
            for conditions in MEMORY[: 4 if variant.image == 224 else 2]:
                what = f"{variant.name} batch {batch} {conditions.mode}, autocast {conditions.autocast}"
                if time.monotonic() > end:
                    late.append(what)
                    continue
                try:
                    found = measure_memory(
                        subject_of(variant), batch=batch, device="cuda", conditions=conditions, worker=in_this_process
                    )
                except MeasureError as error:
                    rows.append({"name": what, "batch": batch, "error": error.what})
                    continue
                off = 100 * (found.measured_bytes / (found.predicted_allocated_bytes or 1) - 1)
                rows.append({**msgspec.to_builtins(found), "off_percent": off})
                print(f"{what}: {found.measured_bytes} measured, {off:+.2f} % of the predicted", flush=True)
    return rows, late


def throughput(end: float) -> tuple[list[dict[str, Any]], list[str]]:
    """The article's network against DenseNet121 in each condition; and what had no time left."""
    rows, late = [], []
    subjects = [subject_of(PRESETS["article"])]
    baseline = subject_of(densenet121_like(PRESETS["article"]))
    for conditions in CONDITIONS:
        if time.monotonic() > end:
            late.append(f"throughput with {conditions}")
            continue
        protocol = COMPILED if conditions.compile else QUICK
        for name, made in measure_all(
            subjects, baseline, device="cuda", batch=32, conditions=conditions, protocol=protocol
        ):
            rows.append({"conditions": msgspec.to_builtins(conditions), **record_of(name, made, subjects).to_dict()})
            told = (
                made.what
                if isinstance(made, MeasureError)
                else f"{made.ratio:.2f} ({made.ratio_low:.2f} to {made.ratio_high:.2f})"
            )
            print(f"{name} {conditions.mode} {conditions}: {told}", flush=True)
    return rows, late


def calibrations() -> dict[str, Any]:
    """Both profiles, without and with a table of operators."""
    found = {}
    for name, per_operator in (("roofline", False), ("per_op", True)):
        profile = calibrate("cuda", per_operator=per_operator, processes=2)
        print(f"{name}: mean error {100 * profile.mean_error:.1f} %, Spearman {profile.spearman:.3f}", flush=True)
        found[name] = msgspec.to_builtins(profile)
    return found


def predictions(profile: Profile) -> list[dict[str, Any]]:
    """What the calibrated profile says of networks that it was not fitted to, beside their times here; and, where this
    card has a shipped profile, what that one says in its own settings (amp, its own batch).
    """
    named = [on for on in map(read_profile, files().values()) if on.device_name == profile.device_name]
    usual = [on for on in named if not on.settings.compiled and not on.settings.channels_last]
    rows = []
    for name in ("densenet121", "resnet50", "article", "vovnet39a"):
        for on in (profile, *usual):
            how = Conditions(autocast="none" if on is profile else "float16")
            subject = subject_of(PRESETS[name])
            found = measure_all([subject], subject, device="cuda", batch=on.batch, conditions=how, protocol=COMPILED)
            for _, made in found:
                if isinstance(made, MeasureError):
                    rows.append({"model": name, "on": on.name, "error": made.what})
                    continue
                said = on.predict_variant(PRESETS[name])
                off = 100 * (said.latency_s * made.measured_images_per_s / on.batch - 1)
                rows.append({"model": name, "on": on.name, "batch": on.batch, "predicted_s": said.latency_s,
                             "measured_images_per_s": made.measured_images_per_s, "off_percent": off})  # fmt: skip
                print(f"{name} by {on.name}: {off:+.1f} %", flush=True)
    return rows


def main() -> int:
    """Writes everything to one file."""
    if not torch.cuda.is_available():
        print("no CUDA device: nothing was measured and nothing is written", file=sys.stderr)
        return 1
    end = time.monotonic() + BUDGET_S
    device = torch.device("cuda", torch.cuda.current_device())
    rows, late = memory(end - 240)
    profiles = calibrations()
    own = msgspec.convert(profiles["per_op"], Profile)
    said = predictions(own)
    times, later = throughput(end - 60)
    off = [abs(row["off_percent"]) for row in rows if "off_percent" in row]
    if off:
        print(f"memory: median difference {statistics.median(off):.2f} %, largest {max(off):.2f} %")
    data = {
        "environment": msgspec.to_builtins(environment(device)),
        "memory": rows,
        "memory_median_off_percent": statistics.median(off) if off else None,
        "calibration": profiles,
        "predictions": said,
        "throughput": times,
        "left_out": [*late, *later],
    }
    name = re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name(device).lower()).strip("-")
    path = Path("reports/reference") / f"gpu-{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(data), indent=1) + b"\n")
    write_profile(own, file_of(own.name, path.parent / "profiles"))
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
