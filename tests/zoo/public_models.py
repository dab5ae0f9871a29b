"""Architectures of torchvision, timm and transformers in their default configurations, each counted: a JSON line each.

    python public_models.py names
    python public_models.py count SOURCE/NAME …

They are built on meta, so that nothing is downloaded or allocated, and counted by this tool and by torch's own counter.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import json
import re
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from analyzer.tracing.attribution import tensors_in
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


_DETECTORS = ("fasterrcnn", "fcos", "keypointrcnn", "maskrcnn", "retinanet", "ssd")
_SEGMENTERS = ("deeplabv3", "fcn", "lraspp")


def _torchvision(name: str) -> tuple[nn.Module, list[Inputs], dict[str, Any]]:
    """As its published weights want it: their auxiliary heads, the size of their images."""
    import torchvision

    options: dict[str, Any] = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    if name in ("googlenet", "quantized_googlenet"):
        options["aux_logits"] = False
    if name.startswith((*_DETECTORS, *_SEGMENTERS)):
        options = {"weights_backbone": None}
    if name.startswith(("deeplabv3", "fcn")):
        options["aux_loss"] = True
    try:
        model = torchvision.models.get_model(name, weights=None, **options)
    except NotImplementedError:  # a RegNet's widths are computed with tensors
        with torch.device("cpu"):
            model = torchvision.models.get_model(name, weights=None, **options).to("meta")
    all_weights = [
        (each.meta, getattr(each.transforms, "keywords", {})) for each in torchvision.models.get_model_weights(name)
    ]
    of_its_size = [each for each in all_weights if each[1].get("crop_size") == getattr(model, "image_size", None)]
    meta, wishes = (*of_its_size, *all_weights, ({}, {}))[0]
    said = {"params": meta.get("num_params"), "gmacs": meta.get("_ops")}
    if name.startswith(_DETECTORS):
        norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
        said["norms"] = sum(parameter.numel() for norm in norms for parameter in norm.parameters())
        return model, [{"": [_image(3, 320, 320)]}], said
    if name.startswith("raft"):
        pair = {"image1": _image(1, 3, 256, 256), "image2": _image(1, 3, 256, 256)}
        return model, [pair], said
    crop = wishes.get("resize_size" if name.startswith(_SEGMENTERS) else "crop_size", 224)
    shape = (1, 3, crop, crop) if isinstance(crop, int) else (1, 3, 16, *crop)
    return model, [{"": _image(*shape)}], {**said, "shape": shape}


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
    """By the names of forward's parameters: 64 tokens, an image of the configuration's size or what a processor makes
    of one, a second of sound or its spectrum; all that it takes in each shape, then each kind alone.
    """
    taken = inspect.signature(model.forward).parameters
    options = {"use_cache": False} if "use_cache" in taken else {}
    known = {name: shapes for name, shapes in _known_inputs(config).items() if name in taken}
    beside = {name: known.pop(name)[0] for name in ("decoder_input_ids", "bbox", "grid_thw") if name in known}
    for shapes in itertools.islice(itertools.product(*known.values()), MOST):
        yield {**dict(zip(known, shapes, strict=True)), **beside, **options}
    for name, alone in known.items() if len(known) > 1 else ():
        for shape in alone:
            yield {name: shape, **beside, **options}


MOST = 8
"""Ways in which all inputs together are tried."""


def _known_inputs(config: Any) -> dict[str, list[torch.Tensor]]:
    vision, audio = getattr(config, "vision_config", None) or config, getattr(config, "audio_config", None) or config
    side = _whole(getattr(vision, "image_size", None)) or 224
    channels = _whole(getattr(vision, "num_channels", None) or getattr(vision, "in_channels", None)) or 3
    sizes = (getattr(audio, name, None) for name in ("num_mel_bins", "feature_size", "input_dim"))
    bins = next(filter(None, map(_whole, sizes)), 80)
    ids = torch.zeros(1, 64, dtype=torch.int64, device="meta")
    image = _image(1, channels, side, side)
    patch = _whole(getattr(vision, "patch_size", None)) or 14
    times = _whole(getattr(vision, "temporal_patch_size", None)) or 1
    patches = _image(256, channels * times * patch * patch)
    steps = _whole(getattr(config, "num_input_channels", None)) or 1
    thw = torch.tensor([[1, 16, 16]], device="cpu")
    return {
        "input_ids": [ids, ids[:, :16]],
        "decoder_input_ids": [ids],
        "bbox": [torch.zeros(1, 64, 4, dtype=torch.int64, device="meta")],
        "pixel_values": [
            image, _image(1, 16, channels, side, side), _image(1, 2, channels, side, side), patches,
            _image(1, channels, 1024, 1024), _image(1, channels, 560, 560), _image(1, channels, 1536, 1536),
        ],
        "pixel_values_videos": [_image(1, 16, channels, side, side)],
        "hidden_states": [patches],
        "grid_thw": [thw],
        "input_values": [_image(1, 16_000), _image(1, 1, 19_200), _image(1, 1024, bins)],
        "past_values": [_image(1, _whole(getattr(config, "context_length", None)) or 512, steps)],
        "input_features": [
            _image(1, bins, 3000), _image(1, 3000, bins), _image(1, 3000, 128), _image(1, 1, 1001, bins),
        ],
    }  # fmt: skip


def _whole(size: Any) -> int:
    """A size that may be one for each side; 0 for none."""
    size = list(size)[-1] if isinstance(size, (list, tuple)) and size else size
    return size if isinstance(size, int) else 0


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
    failed = None
    for choice in choices:
        args, kwargs = [choice[""]] if "" in choice else [], {k: v for k, v in choice.items() if k}
        ours = _ours(model, args, kwargs)
        if "error" not in ours:
            break
        failed = failed or (ours, args, kwargs)
    else:
        assert failed is not None
        ours, args, kwargs = failed
    given = {**dict(zip("x", args, strict=False)), **kwargs}
    shapes = {name: [list(tensor.shape) for tensor in tensors_in(value)] for name, value in given.items()}
    row["input"] = {name: found for name, found in shapes.items() if found}
    theirs = _torchs(model, args, kwargs)
    by_operator = theirs.pop("by_operator", {})
    if "error" not in ours and "error" not in theirs:
        own = {} if ours["macs"] == theirs["macs"] else _by_operator(model, args, kwargs)
        both = sorted({*own, *by_operator}) if own else []
        apart = {name: by_operator.get(name, 0) - own.get(name, 0) for name in both}
        theirs["differs"] = {name: macs for name, macs in apart.items() if macs}
    return {**row, "ours": ours, "torch": theirs}


def _ours(model: nn.Module, args: list[Any], kwargs: Inputs) -> dict[str, Any]:
    start = time.process_time()
    try:
        record = count_module(model, args, kwargs, name="model")
    except Exception as error:
        return {"error": _words(error)}
    seconds = time.process_time() - start
    kinds = sorted({remark.kind for remark in record.remarks})
    uncounted = sorted({one.operator for one in record.uncounted})
    return {
        "params": record.params, "macs": record.macs, "saved": record.saved_bytes is not None, "seconds": seconds,
        "uncounted": uncounted, "remarks": kinds,
    }  # fmt: skip


def _by_operator(model: nn.Module, args: list[Any], kwargs: Inputs) -> Counter[str]:
    """This tool's MACs of each operator."""
    by: Counter[str] = Counter()
    with untouched():
        for (_, operator), macs in Ladder(model, (tuple(args), kwargs)).run(training=False).by_operator.items():
            by[operator] += macs
    return by


def _torchs(model: nn.Module, args: list[Any], kwargs: Inputs) -> dict[str, Any]:
    start = time.process_time()
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(*args, **kwargs)
    except Exception as error:
        return {"error": _words(error)}
    seconds = time.process_time() - start
    by = counter.get_flop_counts().get("Global", {}).items()
    by_operator = {str(operator).replace(".", "::"): flops // 2 for operator, flops in by}
    return {"macs": counter.get_total_flops() // 2, "seconds": seconds, "by_operator": by_operator}


def _words(error: BaseException) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {re.sub(r'/[^ ]*site-packages/', '', first)[:160]}"


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
