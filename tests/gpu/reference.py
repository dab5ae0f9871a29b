"""Measures the article's network and DenseNet121 on the GPU and writes reports/reference/gpu-<device>.json."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import msgspec
import torch

from analyzer.architecture.network import PRESETS, densenet121_like
from analyzer.family import record
from analyzer.measure.environment import pick_device
from analyzer.measure.throughput import measure_against

BATCHES = (1, 8, 32, 128)


def main() -> int:
    """Writes one record a model and batch."""
    if not torch.cuda.is_available():
        print("no CUDA device: nothing was measured and nothing is written", file=sys.stderr)
        return 1
    device = pick_device("cuda")
    baseline = densenet121_like(PRESETS["article"])
    rows = []
    for batch in BATCHES:
        for variant in (PRESETS["article"], baseline):
            measured = measure_against(
                variant, baseline, baseline_name=baseline.name, device=device, batch=batch, seconds=5
            )
            rows.append(msgspec.structs.replace(record(variant, batch, layers=False), measured=measured))
            print(f"{variant.name} batch {batch}: {measured.measured_images_per_s:.0f} images/s, {measured.ratio:.2f}x")
    name = re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name(device).lower()).strip("-")
    path = Path("reports/reference") / f"gpu-{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=1) + b"\n")
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
