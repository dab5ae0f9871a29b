"""Architectures of torchvision, timm and transformers in their default configurations, each counted: a JSON line each.

    python public_models.py names
    python public_models.py count SOURCE/NAME …

They are built on meta, so that nothing is downloaded or allocated, and counted by this tool and by torch's own counter.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from analyzer.tracing.running import Ladder, untouched
from analyzer.tracing.shapes import Quick
from analyzer.tracing.trace import count_module

Inputs = dict[str, Any]


# -- what there is ----------------------------------------------------------------------------------------------


def names() -> list[str]:
    """All, with those of each source spread evenly, so that any part of them is a fair sample."""
    import timm
    import torchvision
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    sources = {"torchvision": torchvision.models.list_models(), "timm": timm.list_models()}
    sources["transformers"] = sorted(MODEL_MAPPING_NAMES)
    placed = [
        ((place + 0.5) / len(found), f"{source}/{name}")
        for source, found in sources.items()
        for place, name in enumerate(found)
    ]
    return [name for _, name in sorted(placed)]


def built(source: str, name: str) -> tuple[nn.Module, list[Inputs], dict[str, Any]]:
    """A model on meta, inputs of which the first that it takes is meant, and what its own package says of it."""
    with torch.device("meta"), Quick():
        return {"torchvision": _torchvision, "timm": _timm, "transformers": _transformers}[source](name)


def _torchvision(name: str) -> tuple[nn.Module, list[Inputs], dict[str, Any]]:
    import torchvision

    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    if name.startswith(
        ("fasterrcnn", "fcos", "keypointrcnn", "maskrcnn", "retinanet", "ssd", "deeplab", "fcn", "lraspp")
    ):
        options = {"weights_backbone": None}
    model = torchvision.models.get_model(name, weights=None, **options)
    weights = list(torchvision.models.get_model_weights(name))
    meta = weights[0].meta if weights else {}
    size = (meta.get("min_size") or (224, 224))[0]
    said = {"params": meta.get("num_params"), "gmacs": meta.get("_ops")}
    crop = (
        weights[0].transforms.keywords.get("crop_size")
        if weights and hasattr(weights[0].transforms, "keywords")
        else None
    )
    shapes = [(1, 3, crop or max(size, 224), crop or max(size, 224)), (1, 3, 16, 224, 224), (1, 3, 16, 112, 112)]
    if "detection" in type(model).__module__ or "rcnn" in name or name.startswith(("fcos", "retinanet", "ssd")):
        return model, [{"": [_image(3, 320, 320)]}], said
    if name.startswith("raft"):
        pair = {"image1": _image(1, 3, 256, 256), "image2": _image(1, 3, 256, 256)}
        return model, [pair], said
    return model, [{"": _image(*shape)} for shape in shapes], {**said, "crop": crop}


_ON_A_BACKBONE = (
    "fasterrcnn", "fcos", "keypointrcnn", "maskrcnn", "retinanet", "ssd", "deeplab", "fcn", "lraspp",
)  # fmt: skip


def _timm(name: str) -> tuple[nn.Module, list[Inputs], dict[str, Any]]:
    import timm

    model = timm.create_model(name)
    size = model.pretrained_cfg.get("input_size") or (3, 224, 224)
    return model, [{"": _image(1, *size)}], {"size": size[-1]}


def _transformers(name: str) -> tuple[nn.Module, list[Inputs], dict[str, Any]]:
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.for_model(name)
    model = AutoModel.from_config(config)
    return model, list(_inputs_of(model, config)), {}


def _inputs_of(model: nn.Module, config: Any) -> Iterator[Inputs]:
    """By the names of forward's parameters: 64 tokens, an image of the configuration's size, a second of sound."""
    taken = inspect.signature(model.forward).parameters
    vision, audio = getattr(config, "vision_config", None) or config, getattr(config, "audio_config", None) or config
    size = getattr(vision, "image_size", None) or 224
    side = size if isinstance(size, int) else list(size)[-1]
    channels = getattr(vision, "num_channels", None) or 3
    channels = channels if isinstance(channels, int) else 3
    bins = getattr(audio, "num_mel_bins", None) or getattr(audio, "feature_size", None) or 80
    ids = torch.zeros(1, 64, dtype=torch.int64, device="meta")
    known = {
        "input_ids": ids, "decoder_input_ids": ids, "pixel_values": _image(1, channels, side, side),
        "input_values": _image(1, 16_000), "input_features": _image(1, bins, 3000),
    }  # fmt: skip
    given = {name: value for name, value in known.items() if name in taken}
    options = {"use_cache": False} if "use_cache" in taken else {}
    yield {**given, **options}
    for name in [one for one in known if one in given]:
        rest = {one: value for one, value in given.items() if one in (name, "decoder_input_ids")}
        yield {**rest, **options}
    if "pixel_values" in given:
        yield {"pixel_values": _image(1, 16, channels, side, side)}


def _image(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


# -- what it costs ----------------------------------------------------------------------------------------------


def counted(full: str) -> dict[str, Any]:
    """The row of one."""
    source, _, name = full.partition("/")
    row: dict[str, Any] = {"model": full}
    try:
        start = time.process_time()
        model, choices, said = built(source, name)
        model.eval()
        row.update(built_s=time.process_time() - start, said=said)
    except Exception as error:
        return {**row, "unbuilt": _words(error)}
    with contextlib.suppress(Exception):  # a lazy parameter has no size
        row["numel"] = sum(parameter.numel() for parameter in model.parameters())
    for choice in choices:
        args, kwargs = [choice[""]] if "" in choice else [], {k: v for k, v in choice.items() if k}
        row["input"] = {k or "x": list(v.shape) for k, v in choice.items() if isinstance(v, torch.Tensor)}
        ours = _ours(model, args, kwargs)
        if "error" not in ours:
            break
    return {**row, "ours": ours, "torch": _torchs(model, args, kwargs, ours.pop("by_operator", {}))}


def _ours(model: nn.Module, args: list[Any], kwargs: Inputs) -> dict[str, Any]:
    start = time.process_time()
    try:
        record = count_module(model, args, kwargs, name="model")
    except Exception as error:
        return {"error": _words(error)}
    seconds = time.process_time() - start
    ladder = Ladder(model, (tuple(args), kwargs))
    with untouched():
        by: Counter[str] = Counter()
        for (_, operator), macs in ladder.run(training=False).by_operator.items():
            by[operator] += macs
    kinds = sorted({remark.kind for remark in record.remarks})
    uncounted = sorted({one.operator for one in record.uncounted})
    return {
        "params": record.params, "macs": record.macs, "saved": record.saved_bytes is not None, "seconds": seconds,
        "uncounted": uncounted, "remarks": kinds, "by_operator": dict(by),
    }  # fmt: skip


def _torchs(model: nn.Module, args: list[Any], kwargs: Inputs, own: dict[str, int]) -> dict[str, Any]:
    start = time.process_time()
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(*args, **kwargs)
    except Exception as error:
        return {"error": _words(error)}
    seconds = time.process_time() - start
    theirs = {
        str(op).replace(".", "::"): flops // 2 for op, flops in counter.get_flop_counts().get("Global", {}).items()
    }
    kinds = {}
    for operator in sorted({*own, *theirs}):
        difference = theirs.get(operator, 0) - own.get(operator, 0)
        if difference:
            kinds[operator] = difference
    return {"macs": counter.get_total_flops() // 2, "seconds": seconds, "differs": kinds}


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:160]}"


def main() -> None:
    """Prints what was asked for; what models print goes elsewhere."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    out, sys.stdout = sys.stdout, sys.stderr
    if sys.argv[1] == "names":
        print(json.dumps(names()), file=out, flush=True)
        return
    for full in sys.argv[2:]:
        print(json.dumps({"starts": full}), file=out, flush=True)
        print(json.dumps(counted(full)), file=out, flush=True)


if __name__ == "__main__":
    main()
