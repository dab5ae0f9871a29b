"""reports/reference/gpu-profiles.md: how good the shipped profiles are, all on families that were left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import published
from fitted import Fitted, Model, works
from published import Timed

from analyzer.architecture.network import PRESETS, trace
from analyzer.measuring.fitting import spearman
from analyzer.reading.work import work

OURS = (
    "densenet121", "densenet161", "densenet169", "densenet201", "resnet50", "resnet101", "wide_resnet50_2",
    "resnext50_32x4d", "vovnet39a",
)  # fmt: skip
REASONS = (
    ("convmixer", "very large patches and depthwise 7x7 and 9x9 kernels; nothing else in the tables is like it"),
    ("efficientformer", "attention written out with a learned bias, over few positions"),
    ("samvit", "attention with a mask as large as its scores, which no work here counts"),
    ("hiera", "attention in units, with reshapes and copies around each"),
    ("levit", "attention written out with a bias, BN after linear layers"),
    ("mobilevit", "unfolds the image into patches; copies that no other family makes"),
    ("nest", "blocks of the image attended one by one, with copies between"),
    ("volo", "outlook attention: unfold and fold of every window"),
    ("cait", "talking heads: attention is written out, with products across heads"),
    ("sequencer", "LSTMs, step by step"),
    ("_cc_", "conditional convolutions: each image has kernels of its own, grouped by the batch"),
    ("resnest", "split attention over grouped convolutions of few channels"),
    ("mixnet", "depthwise kernels of 3 to 11 side by side, each on few channels, and their concatenation"),
    ("ghostnet", "many small kernels and concatenations: bound by their starts"),
    ("inception_next", "depthwise bands of 1x11 and 11x1"),
    ("vgg", "very wide maps of few channels and huge linear layers, at the smallest batches"),
    ("halonet", "attention over windows, written out"), ("lambda", "lambda layers: products that no other family has"),
    ("botnet", "attention written out with relative positions"), ("nasnet", "hundreds of small separable convolutions"),
    ("twins", "attention in windows and over a pooled map"), ("poolformer", "pooling for attention, group norms"),
    ("dla", "grouped convolutions of very few channels"), ("coat", "convolutional position encodings, many copies"),
)  # fmt: skip
"""Part of a name -> why it is far off, as far as its operators tell."""


def page(tables: Sequence[Fitted]) -> str:
    """The whole page."""
    main = next(table for table in tables if table.name == "rtx4090" and table.settings.mode == "inference")
    parts = [
        _intro(tables), _by_device(tables), _densenets(tables), _presets(tables), _article(tables), _families(main),
        _worst(main), _findings(tables),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(headings) + " |", "|" + " --- |" * len(headings)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _percent(value: float, *, signed: bool = False) -> str:
    return f"{100 * value:{'+' if signed else ''}.1f} %"


def _title(table: Fitted) -> str:
    return table.name + (" training" if table.settings.mode == "training" else "")


def _intro(tables: Sequence[Fitted]) -> str:
    traced = sum(len(forms) for forms in works().values())
    return f"""# Throughput on GPUs, predicted

Made by `make profiles`. Times are those of {published.SOURCE}
(gpu-profiles/LICENSE; gpu-profiles/tables); those of the H100 were taken by this package (`make gpu-table`: 91
networks in 92 s, algorithms as cuDNN chooses them without a search). The work of one image of each model at each size
({traced:,} traces: gpu-profiles/work.csv.gz) is this package's, traced on meta.

Seconds an image are a non-negative combination of work by kind of operator: multiply-accumulates, elements read and
written, what a tile of 64 output channels does for nothing, weights and kernels a batch. The fit is of least relative
error, towards the absolute (reweighted), one for convolutional networks, one for those with attention or layer norms;
networks of the other sort weigh a tenth. Norms, activations, concatenations and sums are drawn to one rate where
nothing is compiled, as each of them reads and writes every element once; multiply-accumulates of 1x1 and of larger
convolutions to one rate, too.

**Every error here is of a model whose family (the letters that its name begins with) was left out of the fit**, with a
tenth of all other families. A row is left out of the fit where its parameters are not those that were traced."""


def _by_device(tables: Sequence[Fitted]) -> str:
    rows = []
    for table in tables:
        convolutional = table.kinds != "attention"
        errors = np.abs(table.errors)
        coverage = table.coverage()
        bands = table.bands()
        rows.append(
            [
                _title(table), str(table.settings), f"{len(table.models):,}", f"{len(set(table.families)):,}",
                f"{_percent(errors[convolutional].mean())}, {_percent(np.median(errors[convolutional]))}",
                *(_percent(errors[table.kinds == kind].mean()) for kind in ("plain", "depthwise", "attention")),
                f"{spearman(table.predicted[convolutional], table.measured[convolutional]):.3f}",
                *(f"{bands[k].low:.2f}–{bands[k].high:.2f}" for k in ("plain", "depthwise", "attention")),
                _percent(coverage["all"]),
            ]
        )  # fmt: skip
    headings = [
        "device", "settings", "models", "families", "convolutional: mean, median error", "plain", "depthwise",
        "attention", "Spearman, convolutional", "90 % band, plain", "depthwise", "attention", "lie in the bands",
    ]  # fmt: skip
    return (
        "## By device and setting\n\nA band is what the measured time is as a multiple of the predicted one. How many "
        "lie in it is told with bands made without the families that they are held to.\n\n" + _table(headings, rows)
    )


def _one(table: Fitted, name: str, size: int = 224) -> tuple[Model, float, float] | None:
    found = [i for i, m in enumerate(table.models) if (m.timed.model, m.timed.size) == (name, size)]
    return (table.models[found[0]], table.predicted[found[0]], table.errors[found[0]]) if found else None


def _densenets(tables: Sequence[Fitted]) -> str:
    names = ("densenet121", "densenet169", "densenet201", "densenet161", "densenet264d")
    rows = []
    for table in tables:
        found = [_one(table, name) for name in names]
        errors = table.errors[[family == "densenet" for family in table.families]]
        rows.append([_title(table), *(_percent(one[2], signed=True) if one else "–" for one in found),
                     _percent(np.abs(errors).max()) if len(errors) else "–"])  # fmt: skip
    return "## DenseNets, when no DenseNet was fitted\n\n" + _table(["device", *names, "largest of all sizes"], rows)


def _presets(tables: Sequence[Fitted]) -> str:
    rows = []
    for name in OURS:
        ours = work(trace(PRESETS[name]))
        cells = [name]
        for table in tables:
            one = _one(table, name)
            if one is None:
                cells.append("–")
                continue
            factors = np.array(Model(one[0].timed, ours).factors)
            predicted = float(factors @ table.coefficients(attention=False))
            own = _percent(predicted / one[0].timed.image_s - 1, signed=True)
            cells.append(f"{1e3 * one[0].timed.image_s:.3f}: {own} ({_percent(one[2], signed=True)})")
        rows.append(cells)
    told = (
        "Published ms an image, then the error of the shipped profile's prediction of our preset, and in brackets that "
        "of the table's model when its family was left out."
    )
    return f"## Our presets against the published times\n\n{told}\n\n" + _table(["preset", *map(_title, tables)], rows)


def _article(tables: Sequence[Fitted]) -> str:
    ours, rows = work(trace(PRESETS["article"])), []
    for table in tables:
        timed = {row.model: row.image_s for row in published.table(table.table)}.get(f"{published.OURS}article")
        profile = table.profile()
        found = profile.predict(ours)
        low, high = (1e3 * (seconds or 0) / found.batch for seconds in (found.low_s, found.high_s))
        image = 1e3 * found.latency_s / found.batch
        rows.append(
            [
                _title(table),
                f"{found.batch:,}",
                f"{image:.3f}",
                f"{low:.3f} to {high:.3f}",
                f"{1e3 / image:,.0f}",
                f"{1e3 * timed:.3f} ({_percent(image / (1e3 * timed) - 1, signed=True)})" if timed else "–",
            ]
        )
    headings = ["device", "batch", "ms an image", "90 % band", "images/s", "timed (error)"]
    return "## The article's network, in no fit\n\n" + _table(headings, rows)


def _families(table: Fitted) -> str:
    by: dict[str, list[float]] = defaultdict(list)
    for family, error in zip(table.families, table.errors, strict=True):
        by[family].append(float(error))
    rows = [
        [name, str(len(errors)), _percent(np.mean(errors), signed=True), _percent(np.mean(np.abs(errors)))]
        for name, errors in sorted(by.items(), key=lambda pair: -np.mean(np.abs(pair[1])))
        if len(errors) >= 3
    ]
    headings = ["family", "rows", "mean", "mean of the absolute"]
    return f"## By family, {table.name}\n\nFamilies of three rows and more, the worst first.\n\n" + _table(
        headings, rows
    )


def _worst(table: Fitted) -> str:
    order = np.argsort(-np.abs(np.log(np.maximum(table.predicted, 1e-12) / table.measured)))[:20]
    rows = []
    for i in order:
        timed = table.models[i].timed
        rows.append([f"{timed.model}, {timed.size} px", table.kinds[i], f"{1e3 * timed.image_s:.3f}",
                     _percent(table.errors[i], signed=True), _reason(timed)])  # fmt: skip
    return f"## The worst 20, {table.name}\n\n" + _table(["model", "kind", "ms an image", "error", "why"], rows)


def _reason(timed: Timed) -> str:
    return next((why for part, why in REASONS if part in timed.model), "not explained by its operators")


def _findings(tables: Sequence[Fitted]) -> str:
    return "## What was found\n\n" + "\n".join(f"- {line}" for line in _found(tables))


def _found(tables: Sequence[Fitted]) -> Iterator[str]:
    fused = sum(len(forms) > 1 for forms in works().values())
    yield (
        f"The tables of torch 2.9 time {fused} models with their branches fused (RepVGG, MobileOne, FastViT, LeViT and "
        "their like): the parameters that they say are those of the fused form. Traced as they are built, these models "
        "look far dearer than they were; a fit then makes norms free, and DenseNets, which are mostly norms and "
        "concatenations, come out too slow (DenseNet121 by 15 % on the RTX 4090 and 10 % on the RTX 5090, where its "
        "family is left out). It is neither card's cache nor its kernels: it goes once each row is traced in the form "
        "that was timed (2 % on both, with the same two thirds of the models)."
    )
    yield (
        "Compiled models are known less well: which operators become one kernel is the compiler's choice, and "
        "depthwise convolutions change most. Channels last, small depthwise networks and grouped convolutions scatter."
    )
    yield (
        "Convolutions of few output channels pay for a tile of 64; with the multiply-accumulates that such a tile does "
        "for nothing the left-out error is lower on every device that is not compiled. In training (torch 1.12) the "
        "fit asks more for them than for the same number of useful ones, and DenseNets, whose growth of 32 fills half "
        "a tile, come out too slow. Held to the price of the useful ones, left-out DenseNet121 would be 19 % too slow "
        "instead of 30 % (channels last 28 % instead of 38 %), and plain networks 7.6 % off in the mean instead of "
        "6.8 % (14.7 % instead of 14.3 %): the fit stays, and its band says what it leaves."
    )
    yield (
        "The article's network was timed on the H100 after the fits of all other cards were made. The fit by itself "
        "took it for 29 % too slow: in a table of a hundred models 1x1 and larger convolutions came to rates of their "
        "own, and its are nearly all 1x1. Drawn to one rate it is 15 % too slow; of the large tables this changes the "
        "mean error by at most 0.1 points, but where channels are last in training (DenseNet121 38 % instead of 44 %). "
        "So that error is not one of a network that nobody had looked at."
    )
    yield (
        "Some sixty models tell nearly as much as a thousand: fitted to the first 60 that `make gpu-table` takes, the "
        "convolutional rest of three tables (RTX 3090, 4090, 5090) is 5.7 to 6.2 % off in the mean, the families that "
        "are not among the 60 6.7 to 7.8 %. The H100's own table scatters more: its times are short, and of "
        "algorithms that nobody searched for."
    )
    yield (
        "At these batches (mostly 1,024) the starts of kernels are hidden, so nothing is known of small batches: a "
        "prediction at another batch says that it is beyond the fit."
    )
