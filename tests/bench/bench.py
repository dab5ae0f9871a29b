"""`make bench`: speed as ratios from one interleaved run, one JSON line a figure on stdout.

Each round runs every contestant once, one after the other, so that slow drifts of the machine hit all; a ratio is the
median over the rounds of that round's own ratio, its spread the least and largest.
"""

from __future__ import annotations

import itertools
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from gate import gate
from train_loop import train_loop

from analyzer.architecture.network import PRESETS, Columns, trace
from analyzer.limits import Limit
from analyzer.reading.exact import total
from analyzer.reading.family import records
from analyzer.reading.vector import CHUNK, COUNTED, count_columns
from analyzer.searching.engine import search
from analyzer.searching.query import Query
from analyzer.space.space import Space

if TYPE_CHECKING:
    import torch

ROUNDS = 7


def main() -> None:
    """Prints every figure as it is known."""
    figures = (counting(), tracing(), peaks(), searching(), latency(), devices(), training(), command())
    for line in itertools.chain(*figures):
        print(json.dumps(line), flush=True)
    for name, values, unit in gate():
        print(json.dumps(entry(name, values, unit)), flush=True)


def entry(name: str, values: list[float], unit: str) -> dict[str, object]:
    """A figure: the median of its rounds, and their least and largest."""
    return {"bench": name, "value": statistics.median(values), "unit": unit, "spread": [min(values), max(values)]}


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def random_columns(seed: int) -> Columns:
    """A chunk of random variants at DenseNet121's depth: growth, width, compression, stem width vary."""
    random = np.random.default_rng(seed)
    return Columns(
        block="dense",
        block_config=(6, 12, 24, 16),
        growth=random.integers(4, 64, CHUNK),
        ratio=None,
        bn_size=random.integers(1, 8, CHUNK),
        compression=random.choice([0.25, 0.5, 0.75, 1.0], CHUNK),
        init=random.integers(8, 128, CHUNK),
        stem="imagenet",
        groups=1,
        kernel=3,
        drop=0.0,
        classes=1000,
        image=224,
    )


def counting() -> Iterator[dict[str, object]]:
    """Variants a second on one core, in array form with masks and overflow bounds, against the other ways to count."""
    chunks = [random_columns(seed) for seed in range(4)]
    contestants: dict[str, Callable[[], object]] = {
        "array": lambda: [count_columns(chunk) for chunk in chunks],
        "array_with_saved": lambda: [count_columns(chunk, 1, [*COUNTED, "saved_bytes"]) for chunk in chunks],
        "scalar": lambda: total(trace(PRESETS["densenet121"])),
        "torchinfo": torchinfo_run(),
        "fvcore": fvcore_run(),
    }
    variants = {"array": len(chunks) * CHUNK, "array_with_saved": len(chunks) * CHUNK}
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for run in contestants.values():
        run()
    for _ in range(ROUNDS):
        for name, run in contestants.items():
            rates[name].append(variants.get(name, 1) / seconds(run))
    yield entry("count.variants_per_s", rates["array"], "variants/s")
    yield entry("count.with_saved_variants_per_s", rates["array_with_saved"], "variants/s")
    for other in ("scalar", "torchinfo", "fvcore"):
        ratios = [a / b for a, b in zip(rates["array"], rates[other], strict=True)]
        yield entry(f"count.vs_{other}", ratios, "x")


def torchinfo_run() -> Callable[[], object]:
    """torchinfo on DenseNet121 on meta, its construction included: what a sweep by torchinfo costs a variant."""
    import torch
    import torchinfo

    from analyzer.building.modules import build

    def run() -> object:
        model = build(PRESETS["densenet121"], device="meta")
        return torchinfo.summary(model, input_data=torch.empty(1, 3, 224, 224, device="meta"), device="meta", verbose=0)

    return run


def fvcore_run() -> Callable[[], object]:
    """fvcore on DenseNet121, built beforehand, on the CPU: it can't trace this network on meta."""
    import torch
    from fvcore.nn import FlopCountAnalysis

    from analyzer.building.modules import build

    model, images = build(PRESETS["densenet121"]).eval(), torch.zeros(1, 3, 224, 224)

    def run() -> object:
        return FlopCountAnalysis(model, images).unsupported_ops_warnings(False).total()

    return run


def tracing() -> Iterator[dict[str, object]]:
    """Counting a built module by tracing (all figures), against torchinfo on meta and fvcore on the CPU, prebuilt."""
    import torch
    import torchinfo
    from fvcore.nn import FlopCountAnalysis

    from analyzer.building.modules import build
    from analyzer.tracing.trace import count_module

    logging.getLogger("fvcore").setLevel(logging.ERROR)
    shape = (1, 3, 224, 224)
    makers: dict[str, Callable[[str], torch.nn.Module]] = {
        "article": lambda device: build(PRESETS["article"], device=device),
        "densenet121": lambda device: build(PRESETS["densenet121"], device=device),
        "vit_b": vit_b,
    }
    for name, make in makers.items():
        on_meta, on_cpu = make("meta").eval(), make("cpu").eval()
        ghost, real = torch.empty(shape, device="meta"), torch.zeros(shape)
        contestants: dict[str, Callable[[], object]] = {
            "ours": lambda m=on_meta, x=ghost: count_module(m, [x], name="model"),
            "torchinfo": lambda m=on_meta, x=ghost: torchinfo.summary(m, input_data=x, device="meta", verbose=0),
            "fvcore": lambda m=on_cpu, x=real: FlopCountAnalysis(m, x).unsupported_ops_warnings(False).total(),
        }
        times: dict[str, list[float]] = {key: [] for key in contestants}
        for run in contestants.values():
            run()
        for _ in range(5):
            for key, run in contestants.items():
                times[key].append(seconds(run))
        for other in ("torchinfo", "fvcore"):
            yield entry(
                f"trace.{name}_vs_{other}", [a / b for a, b in zip(times[other], times["ours"], strict=True)], "x"
            )


def vit_b(device: str) -> torch.nn.Module:
    """ViT-B/16 (Dosovitskiy et al. 2020): 12 layers of 768, 12 heads, 16-pixel patches; without its class token."""
    import torch
    from torch import nn

    class ViT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch = nn.Conv2d(3, 768, 16, 16)
            layer = nn.TransformerEncoderLayer(768, 12, 3072, 0.0, "gelu", batch_first=True, norm_first=True)
            self.layers = nn.TransformerEncoder(layer, 12, enable_nested_tensor=False)
            self.head = nn.Linear(768, 1000)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.layers(self.patch(x).flatten(2).transpose(1, 2)).mean(1))

    with torch.device(device):
        return ViT()


def peaks() -> Iterator[dict[str, object]]:
    """A predicted training peak against the tracker of storages on meta, at batch 32; and in array form."""
    import torch

    from analyzer.building.modules import build
    from analyzer.reading.peak import training_peak
    from analyzer.tracing.lifetimes import module_peaks

    for name in ("article", "densenet121"):
        model, images = build(PRESETS[name], device="meta"), torch.empty(32, 3, 224, 224, device="meta")
        ratios, own = [], []
        for _ in range(3):
            own.append(seconds(lambda v=PRESETS[name]: training_peak(trace(v), 32)))
            ratios.append(seconds(lambda m=model, x=images: module_peaks(m, [x])) / own[-1])
        yield entry(f"peak.{name}_ms", [1000 * s for s in own], "ms")
        yield entry(f"peak.{name}_vs_tracker", ratios, "x")
    chunk = random_columns(0)
    rates = [CHUNK / seconds(lambda: count_columns(chunk, 32, [*COUNTED, "peak_training_bytes"])) for _ in range(3)]
    yield entry("peak.variants_per_s", rates, "variants/s")


def latency() -> Iterator[dict[str, object]]:
    """The latency predictor's error on variants left out of its fit, by roofline and by a table of operators."""
    from analyzer.measuring.calibration import calibrate

    for name, per_operator in (("roofline", False), ("per_op", True)):
        profile = calibrate("cpu", per_operator=per_operator)
        yield entry(f"latency.{name}_mean_error", [100 * profile.mean_error], "%")
        yield entry(f"latency.{name}_spearman", [profile.spearman], "")


def devices() -> Iterator[dict[str, object]]:
    """Shipped profiles: coverage of their 90 % bands on families left out, and what a limit of time costs a search."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "profiles"))
    import published
    from fitted import fitted

    from analyzer.reading.profiles import profile_at

    for name in published.names():
        table = fitted(name)
        for kind, share in table.coverage().items():
            yield entry(f"devices.{table.name}.{table.settings.mode}.coverage.{kind}", [100 * share], "%")
    space = Space(
        block=["dense"], blocks=[(6, 12, 24, 16)], growth=range(8, 72, 2), compression=[0.25, 0.5, 0.75, 1.0],
        init=range(16, 128, 4), bn_size=[1, 2, 4], image=[128, 160, 192, 224],
    )  # fmt: skip
    limit = Limit(figure="predicted_image_ns", bound=200_000, source="bench")
    contestants = {"without": Query(), "with": Query(constraints=(limit,), profile=profile_at("rtx4090"))}
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, query in contestants.items():
            start = time.process_time()
            search(space, query, jobs=1)
            rates[name].append(space.size / (time.process_time() - start))
    yield entry("devices.predicted_variants_per_s", rates["with"], "variants/s")
    slower = [a / b for a, b in zip(rates["with"], rates["without"], strict=True)]
    yield entry("devices.search_with_a_limit_vs_without", slower, "x")


def training() -> Iterator[dict[str, object]]:
    """Images a core-second of a training here against a bare loop of torch's."""
    for name, values, unit in train_loop(ROUNDS):
        yield entry(name, values, unit)


def searching() -> Iterator[dict[str, object]]:
    """A search of 17 million variants with its front: on one core and two, against a scalar and a torchinfo loop."""
    space = Space(
        block=["residual", "dense", "basic", "add", "separable", "shuffle", "squeeze", "lowrank", "csp"],
        blocks=[(6, 12, 24, 16), (6, 12, 32, 32), (6, 12, 18, 12), (4, 8, 16, 12), (3, 6, 12, 8), (2, 4, 3, 2)],
        growth=range(8, 56, 4),
        bn_size=[1, 2, 4],
        compression=[i / 20 for i in range(5, 20)],
        init=range(16, 124, 1),
        image=[128, 160, 192, 224, 256],
    )
    query = Query()
    part = space.parts[0]
    counted = records([part.variant(i) for i in range(0, part.size, part.size // 80)])
    some = [row.target.variant for row in counted if not row.error]
    contestants: dict[str, Callable[[], object]] = {
        "one": lambda: search(space, query, jobs=1, seconds=600),
        "two": lambda: search(space, query, jobs=2, seconds=600),
        "scalar": lambda: [total(trace(variant)) for variant in some],
        "torchinfo": torchinfo_run(),
    }
    variants = {"one": space.size, "two": space.size, "scalar": len(some), "torchinfo": 1}
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(3):
        for name, run in contestants.items():
            rates[name].append(variants[name] / seconds(run))
    yield entry("search.variants_per_s_two_cores", rates["two"], "variants/s")
    for other, name in (("scalar", "vs_scalar"), ("torchinfo", "vs_torchinfo"), ("one", "two_cores_vs_one")):
        yield entry(f"search.{name}", [a / b for a, b in zip(rates["two"], rates[other], strict=True)], "x")


def command() -> Iterator[dict[str, object]]:
    """The command as a whole process: its help, and a sweep of 10,000 static variants with its report."""
    analyze = [sys.executable, "-m", "analyzer"]
    with tempfile.TemporaryDirectory() as folder:
        sweep = [*analyze, "sweep", "--blocks", "2,4,3,2", "--growth", "4:103", "--compression", "0.26:0.75:0.01"]
        sweep += ["--measure", "none", "--no-resume", "--quiet", "--out", folder]
        runs: dict[str, list[float]] = {"cli.help_s": [], "cli.static_sweep_10k_s": []}
        for _ in range(3):
            runs["cli.help_s"].append(
                seconds(lambda: subprocess.run([*analyze, "--help"], check=True, capture_output=True))
            )
            runs["cli.static_sweep_10k_s"].append(
                seconds(lambda: subprocess.run(sweep, check=True, capture_output=True))
            )
        rows = sum(1 for _ in (Path(folder) / "results.jsonl").open())
        if rows != 10_001:
            raise SystemExit(f"the sweep wrote {rows} rows, not 10,001")
    for name, values in runs.items():
        yield entry(name, values, "s")


if __name__ == "__main__":
    main()
