"""Measures memory, throughput and calibration on the GPU; writes reports/reference/gpu-<device>.json and its page.

Memory: the article's network, DenseNet121 and ten variants, batch 1 to 128, training and inference, beside the
prediction. Calibration: its error on variants left out, by roofline and by a table of operators; its profile is kept,
and held against networks that it was not fitted to. Throughput: the article's network against DenseNet121 in fp32,
bf16, channels_last, training, and compiled. Every part is written as soon as it is made, beside those that the file
has (PART ... chooses some); what has no time left in SECONDS is named in `left_out`, never made up.

    python tests/gpu/reference.py [--seconds SECONDS] [PART ...]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import torch
from in_process import in_this_process
from page import page

from analyzer.architecture.network import PRESETS, densenet121_like
from analyzer.architecture.variant import Variant
from analyzer.errors import MeasureError
from analyzer.measurements import Conditions
from analyzer.measuring.calibration import calibrate
from analyzer.measuring.environment import environment, pick_device
from analyzer.measuring.execution import word_of
from analyzer.measuring.measure import measure_all, measure_memory, record_of, subject_of
from analyzer.measuring.protocol import Protocol
from analyzer.reading.latency import Profile
from analyzer.reading.profiles import file_of, files, read_profile, write_profile

BATCHES = (1, 8, 32, 128)
DEVICE = "cuda"
SECONDS = 400
"""With the tests before it under 8 minutes."""
SHARES = {"memory": 0.4, "calibration": 0.65, "predictions": 0.8, "throughput": 0.9}
"""By when, as a share of all the time, nothing more of a part begins."""
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
QUICK = Protocol(seconds=12, discard=2, pairs=4)
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
    two, more = variants()[:2], variants()[2:]
    asked = [*itertools.product(two, BATCHES, MEMORY[:2]), *itertools.product(more, BATCHES, MEMORY[:2])]
    for variant, batch, conditions in [*asked, *itertools.product(two, BATCHES, MEMORY[2:])]:
        what = f"{variant.name} batch {batch} {conditions.mode}, autocast {conditions.autocast}"
        if time.monotonic() > end:
            late.append(what)
            continue
        try:
            found = measure_memory(
                subject_of(variant), batch=batch, device=DEVICE, conditions=conditions, worker=in_this_process
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
            subjects, baseline, device=DEVICE, batch=32, conditions=conditions, protocol=protocol
        ):
            rows.append({"conditions": msgspec.to_builtins(conditions), **record_of(name, made, subjects).to_dict()})
            told = (
                made.what
                if isinstance(made, MeasureError)
                else f"{made.ratio:.2f} ({made.ratio_low:.2f} to {made.ratio_high:.2f})"
            )
            print(f"{name} {conditions.mode} {conditions}: {told}", flush=True)
    return rows, late


def calibrations(end: float) -> tuple[dict[str, Any], list[str]]:
    """Both profiles, with a table of operators and without; and what had no time left."""
    found, late = {}, []
    for name, per_operator in (("per_op", True), ("roofline", False)):
        if time.monotonic() > end:
            late.append(f"calibration, {name}")
            continue
        profile = calibrate(DEVICE, per_operator=per_operator, processes=2)
        print(f"{name}: mean error {100 * profile.mean_error:.1f} %, Spearman {profile.spearman:.3f}", flush=True)
        found[name] = msgspec.to_builtins(profile)
    return found, late


def predictions(profile: Profile, end: float) -> tuple[list[dict[str, Any]], list[str]]:
    """What the calibrated profile says of networks that it was not fitted to, beside their times here; and, where this
    card has a shipped profile, what that one says in its own settings (amp, its own batch).
    """
    named = [on for on in map(read_profile, files().values()) if on.device_name == profile.device_name]
    usual = [on for on in named if not on.settings.compiled and not on.settings.channels_last]
    rows: list[dict[str, Any]] = []
    late = []
    for name in ("densenet121", "resnet50", "article", "vovnet39a"):
        for on in (profile, *usual):
            if time.monotonic() > end:
                late.append(f"{name} by {on.name}")
                continue
            how = Conditions(autocast="none" if on is profile else "float16")
            subject = subject_of(PRESETS[name])
            found = measure_all([subject], subject, device=DEVICE, batch=on.batch, conditions=how, protocol=COMPILED)
            for _, made in found:
                if isinstance(made, MeasureError):
                    rows.append({"model": name, "on": on.name, "error": made.what})
                    continue
                said = on.predict_variant(PRESETS[name])
                off = 100 * (said.latency_s * made.measured_images_per_s / on.batch - 1)
                rows.append({"model": name, "on": on.name, "batch": on.batch, "predicted_s": said.latency_s,
                             "measured_images_per_s": made.measured_images_per_s, "off_percent": off})  # fmt: skip
                print(f"{name} by {on.name}: {off:+.1f} %", flush=True)
    return rows, late


class Reference:
    """The file of a device: each part is written as soon as it is made."""

    def __init__(self, device: torch.device, folder: Path = Path("reports/reference")) -> None:
        self.path = folder / f"gpu-{word_of(str(device))}.json"
        self.data: dict[str, Any] = msgspec.json.decode(self.path.read_bytes()) if self.path.exists() else {}
        self.data["environment"] = msgspec.to_builtins(environment(device))

    def keep(self, part: str, made: Any, late: list[str]) -> None:
        """A part, and what it had no time for."""
        self.data |= {part: made, "left_out": {**self.data.get("left_out", {}), part: late}}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(msgspec.json.format(msgspec.json.encode(self.data), indent=1) + b"\n")
        if all(name in self.data for name in SHARES):
            self.path.with_suffix(".md").write_text(page(self.data))

    @property
    def own(self) -> Profile | None:
        """The device's profile with a table of operators, where it was calibrated."""
        made = self.data.get("calibration", {}).get("per_op")
        return None if made is None else msgspec.convert(made, Profile)

    def make(self, part: str, end: float) -> None:
        """Measures a part, in the time there is."""
        if part == "memory":
            rows, late = memory(end)
            off = [abs(row["off_percent"]) for row in rows if "off_percent" in row]
            if off:
                print(f"memory: median difference {statistics.median(off):.2f} %, largest {max(off):.2f} %")
            self.keep(part, rows, late)
        elif part == "calibration":
            found, late = calibrations(end)
            self.keep(part, found, late)
            if (own := self.own) is not None:
                write_profile(own, file_of(own.name, self.path.parent / "profiles"))
        elif part == "predictions":
            own = self.own
            self.keep(part, *(([], ["all: no calibration"]) if own is None else predictions(own, end)))
        else:
            self.keep(part, *throughput(end))


def main() -> int:
    """Writes every part that is asked for to the device's file."""
    asks = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asks.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(SHARES)} (default: all)")
    asks.add_argument("--seconds", type=float, default=SECONDS)
    asked = asks.parse_args()
    if unknown := set(asked.parts) - set(SHARES):
        asks.error(f"no such part: {', '.join(sorted(unknown))}")
    if DEVICE == "cuda" and not torch.cuda.is_available():
        print("no CUDA device: nothing was measured and nothing is written", file=sys.stderr)
        return 1
    begin = time.monotonic()
    parts = [part for part in SHARES if part in (asked.parts or SHARES)]
    whole = SHARES[parts[-1]]
    reference = Reference(pick_device(DEVICE))
    for part in parts:
        reference.make(part, begin + asked.seconds * SHARES[part] / whole)
        print(f"{part}: done {time.monotonic() - begin:.0f} s after the start", flush=True)
    print(reference.path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
