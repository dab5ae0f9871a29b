"""`make gpu-table`: times public architectures on this GPU as the published tables do, into a table beside them.

Needs torch with CUDA and timm. Automatic mixed precision (float16), channels first, eager, algorithms as cuDNN chooses
them without a search: seconds a batch are those of ITERATIONS batches one after the other, after WARM of them. Models
like our presets come first, then one of each family, round after round, so that whatever the time allows tells of many
families; each at a batch that takes about ABOUT_S (by another card's table). Beside them, as `analyzer/NAME`, this
package's own networks, the article's too. `make profiles` then fits a profile to the table as to any other.
"""

from __future__ import annotations

import argparse
import csv
import functools
import gzip
import io
import itertools
import random
import re
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import published
import torch
from fitted import Model, joined
from page import OURS
from torch import nn
from trace_models import count, made, sized

from analyzer.architecture.network import PRESETS
from analyzer.building.modules import build

DEVICE = "cuda"
LIKE = "infer-amp-nchw-pt291-cu130-5090"
"""Whose models, sizes and times are gone by."""
WARM, ITERATIONS, ABOUT_S, MOST = 3, 6, 0.06, 1024
OWN = ("article", "densenet121", "resnet50")
"""Timed as this package builds them, as `analyzer/NAME`: never fitted, only held against."""


def in_order(models: Sequence[Model]) -> Iterator[Model]:
    """Those like our presets before all, then three convolutional ones to one with attention."""
    usual = [model for model in models if model.timed.size == 224 and model.timed.model in OURS]
    rest = [model for model in models if model not in usual]
    yield from usual
    attention = in_rounds([model for model in rest if model.kind == "attention"])
    for number, model in enumerate(in_rounds([model for model in rest if model.kind != "attention"])):
        yield model
        if number % 3 == 2:
            yield from itertools.islice(attention, 1)
    yield from attention


def in_rounds(models: Sequence[Model], seed: int = 0) -> Iterator[Model]:
    """One of each family a round, drawn."""
    draw = random.Random(seed)
    families = defaultdict(list)
    for model in draw.sample(models, len(models)):
        families[model.timed.family].append(model)
    while families:
        for name in draw.sample(sorted(families), len(families)):
            yield families[name].pop()
            if not families[name]:
                del families[name]


def timed(module: nn.Module, size: int, batch: int) -> tuple[int, float]:
    """The batch, halved until it fits, and seconds of one."""
    while True:
        try:
            return batch, seconds(module, torch.randn(batch, 3, size, size, device=DEVICE))
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
            batch //= 2
        torch.cuda.empty_cache()


def seconds(module: nn.Module, images: torch.Tensor) -> float:
    """Of one batch."""
    with torch.inference_mode(), torch.autocast(DEVICE, dtype=torch.float16):
        for _ in range(WARM):
            module(images)
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
        start.record()
        for _ in range(ITERATIONS):
            module(images)
        end.record()
        end.synchronize()
    return float(start.elapsed_time(end)) / 1000 / ITERATIONS


def batch_for(image_s: float) -> int:
    """The power of two that takes about ABOUT_S, 16 to MOST."""
    return max(16, min(MOST, 1 << int(ABOUT_S / image_s).bit_length() - 1))


def row(name: str, size: int, image_s: float, makers: Sequence[Callable[[], nn.Module]]) -> dict[str, str]:
    """A row as the published tables have it, by the first maker whose model runs; empty where none does, which is said.

    `image_s` is about how long an image takes.
    """
    for make in makers:
        try:
            module = make().eval()
            batch, of_batch = timed(module, size, batch_for(image_s))
        except Exception as error:
            print(f"{name}, {size} px: {type(error).__name__}: {error}"[:200], file=sys.stderr)
            continue
        return {
            "model": name, "infer_img_size": str(size), "infer_samples_per_sec": f"{batch / of_batch:.2f}",
            "infer_step_time": f"{1000 * of_batch:.3f}", "infer_batch_size": str(batch),
            "param_count": f"{count(module) / 1e6:.2f}",
        }  # fmt: skip
    return {}


def main() -> None:
    """Times for so many seconds; writes the table after every model."""
    asks = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asks.add_argument("--seconds", type=float, default=200)
    asks.add_argument("--device", required=True, help="what profiles call it, such as h100")
    asked = asks.parse_args()
    warnings.filterwarnings("ignore")
    end = time.monotonic() + asked.seconds
    pt, cu = (re.sub(r"\D", "", str(text).partition("+")[0]) for text in (torch.__version__, torch.version.cuda))
    path = published.FOLDER / "tables" / f"benchmark-infer-amp-nchw-pt{pt}-cu{cu}-{asked.device}.csv.gz"
    rows = []
    for name in OWN:
        ours = functools.partial(build, PRESETS[name], device=DEVICE)
        rows.append(row(f"{published.OURS}{name}", PRESETS[name].image, 2e-4, [ours]))
    for model in in_order(joined(LIKE)):
        if time.monotonic() > end:
            break
        name, size = model.timed.model, model.timed.size
        makers = [functools.partial(maker, name, size, DEVICE) for maker in (made, sized)]
        rows.append(row(name, size, model.timed.image_s, makers))
        if DEVICE == "cuda":
            torch.cuda.empty_cache()
        write(path, [each for each in rows if each])
    print(f"{path}: {sum(map(bool, rows))} of {len(rows)} timed")


def write(path: Path, rows: list[dict[str, str]]) -> None:
    """The table."""
    text = io.StringIO(newline="")
    out = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    out.writeheader()
    out.writerows(rows)
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        file.write(text.getvalue().encode())


if __name__ == "__main__":
    main()
