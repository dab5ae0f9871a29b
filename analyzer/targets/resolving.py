"""What a user names on the command line -> a variant of the family, or any PyTorch model with its inputs.

Nothing here executes what it reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from analyzer.architecture.axes import AXES, BY_FIELD, alternatives
from analyzer.architecture.blocks import BLOCKS
from analyzer.architecture.network import PRESETS
from analyzer.architecture.values import Each
from analyzer.architecture.variant import Variant
from analyzer.errors import UsageError, did_you_mean
from analyzer.graphs.onnx_file import SUFFIX as ONNX
from analyzer.records import Input
from analyzer.shown import plain
from analyzer.targets.attributes import attribute_cure
from analyzer.targets.checkpoints import SUFFIX, is_checkpoint, read_header, require_tensors
from analyzer.targets.inputs import parse_input


@dataclass(frozen=True)
class FamilyTarget:
    """A variant, and how the user said it where that is neither a preset's name nor the canonical one; `weights` is the
    checkpoint that it was named by.
    """

    variant: Variant
    label: str | None = None
    weights: Path | None = None


@dataclass(frozen=True)
class ModuleTarget:
    """Any other model: where it comes from, how it is called, and its inputs (none: they were not given).

    `dtype` is what its floating-point parameters and buffers are cast to; None leaves them as they are made. `path` are
    folders to import from besides its own, the current one and its src. `weights` is a checkpoint of it; where that is
    the `location` too, the network is made from the variant and the map that it has. `cpu_memory` bounds the bytes of
    a run on CPU (None: a share of what is free).
    """

    name: str
    location: str
    attribute: str
    kwargs: tuple[tuple[str, Any], ...] = ()
    inputs: tuple[Input, ...] = ()
    dtype: str | None = None
    path: tuple[str, ...] = ()
    weights: Path | None = None
    cpu_memory: int | None = None


Resolved = FamilyTarget | ModuleTarget


def resolve(
    text: str | None,
    options: Mapping[str, Any] | None = None,
    *,
    kwargs: Sequence[str] = (),
    inputs: Sequence[str] = (),
) -> Resolved:
    """The target that `text` and a variant's options name; with no text the options alone say the variant.

    `options` are Variant's fields; beside a preset or a canonical name they override it. `kwargs` (`k=v`) and
    `inputs` (`[name=]shape[:dtype]`) belong to a model of the user's own. A checkpoint (`.safetensors`) names its
    network itself, but for a user's own, which is named before it: `path.py:attr@FILE`. Loads nothing. Raises
    UsageError.
    """
    options = dict(options or {})
    if text is not None and text.endswith(ONNX):
        raise UsageError(
            "is a file of an exported network, not its code", where=text,
            fix="name the network; show, compare, report and check take the file",
        )  # fmt: skip
    if text is not None and text.endswith(SUFFIX):
        return _with_weights(text, options, kwargs, inputs)
    if text is not None and text.startswith(HF):
        return _configured(text, options, kwargs, inputs)
    if text is not None and ":" in text:
        return _own(text, options, kwargs, inputs)
    if kwargs or inputs:
        raise UsageError(
            "--kwarg and --input belong to a package.module:attr or path.py:attr target",
            where=text or "target",
            fix="say the family's own options: --image, --batch, --classes",
        )
    if text is None:
        return FamilyTarget(Variant(**options))
    variant = named(text)
    if not options:
        return FamilyTarget(variant)
    changes = {name: value for name, value in options.items() if getattr(variant, name) != value}
    said = " ".join(f"{BY_FIELD[name].option}={BY_FIELD[name].text(value)}" for name, value in changes.items())
    return FamilyTarget(override(variant, options), f"{text} {said}" if said else None)


def _configured(text: str, options: Mapping[str, Any], kwargs: Sequence[str], inputs: Sequence[str]) -> ModuleTarget:
    """A model of transformers by its configuration, whose own fields `kwargs` override. Raises UsageError."""
    if options:
        raise UsageError("belongs to the family", where=f"--{BY_FIELD[next(iter(options))].option}", fix="leave it out")
    _require_unicode(text, "target", "rename the file")
    location = text.removeprefix(HF)
    return ModuleTarget(text, location, HF, parse_kwargs(kwargs), tuple(parse_input(i) for i in inputs))


HF = "hf:"
"""What a model that transformers makes from a local configuration begins with."""


def _own(text: str, options: Mapping[str, Any], kwargs: Sequence[str], inputs: Sequence[str]) -> ModuleTarget:
    """A model of the user's own. Raises UsageError."""
    if options:
        raise UsageError(
            f"--{BY_FIELD[next(iter(options))].option} belongs to the family, not to {text!r}",
            fix="pass the model's own arguments with --kwarg name=value",
        )
    _require_unicode(text, "target", "rename the file")
    location, _, attribute = text.rpartition(":")
    if not location or not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", attribute):
        raise UsageError(
            f"{text!r} names no attribute", where="target", fix="write package.module:attr or path/file.py:attr"
        )
    return ModuleTarget(text, location, attribute, parse_kwargs(kwargs), tuple(parse_input(i) for i in inputs))


def _with_weights(text: str, options: Mapping[str, Any], kwargs: Sequence[str], inputs: Sequence[str]) -> Resolved:
    """The network that a checkpoint is of. No code that a file names is run unless the user names it, too."""
    model, _, file = text.rpartition("@")
    path = Path(file)
    if ":" in model and not is_checkpoint(path):
        return replace(_own(model, options, kwargs, inputs), name=text, weights=path)
    header = read_header(path)
    about = header.checkpoint
    variant, own = about.family(), about.own
    trained_on = (Input(shape=(1, about.channels, about.image, about.image)),)
    if ":" in model:
        target = replace(_own(model, options, kwargs, inputs), name=text, weights=path)
        if own is None:
            return target
        return replace(
            target, kwargs=target.kwargs or tuple(own.kwargs.items()), inputs=target.inputs or own.inputs or trained_on
        )
    if variant is None and (about.parent is None or model):
        of = "a model of your own" if own is None else own.name
        raise UsageError(
            f"is of {of}, whose code runs when it is counted", where=text,
            fix=f"name it, too: {'models.py:Net' if own is None else own.name}@{file}",
        )  # fmt: skip
    if options or kwargs or inputs:
        raise UsageError("is of one network as it is", where=text, fix="leave out the options that change it")
    if variant is None:  # compressed: made from a variant by the map in the file
        return ModuleTarget(text, file, about.network, inputs=trained_on, weights=path)
    if model and named(model) != variant:
        raise UsageError(
            f"is a checkpoint of {variant.name}, not of {named(model).name}", where=file, fix="name the file alone"
        )
    require_tensors(header, variant, file)
    return FamilyTarget(variant, text, path)


def _require_unicode(text: str, where: str, fix: str) -> None:
    """UsageError for bytes of a command line that are no text, which no record can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{plain(text)!r} is not UTF-8", where=where, fix=fix) from None


def named(text: str) -> Variant:
    """The variant of a preset's or a canonical name. Raises UsageError with the nearest name."""
    if text in PRESETS:
        return PRESETS[text]
    if text.split("_")[0] in BLOCKS and "_" in text:
        return Variant.parse(text)
    if text.endswith(".py") or "/" in text:
        raise UsageError(f"{text[:120]!r} names a file, and nothing in it", where="target", fix=attribute_cure(text))
    if text == "double" or re.fullmatch(r"[\d.:/]+", text):
        fix = "values of one option stand together, with commas: --growth double,16,32"
        raise UsageError(f"{text[:120]!r} is a value, no target", where="target", fix=fix)
    raise UsageError(
        f"unknown target {text[:120]!r}",
        where="target",
        fix=f"{did_you_mean(text, PRESETS)} (or a variant's name, {ELSEWHERE})",
    )


ELSEWHERE = "package.module:attr such as torchvision.models:resnet18, path.py:attr"
"""How a model that is no preset is named."""


def override(variant: Variant, options: Mapping[str, Any]) -> Variant:
    """The variant with some fields replaced; a new block takes its own defaults for what is left unsaid."""
    kept = {axis.field: getattr(variant, axis.field) for axis in AXES}
    if options.get("block", variant.block) != variant.block:
        kept.update({axis.field: None for axis in AXES if axis.of_block is not None})
    kept.update(dict.fromkeys(other for name in options for other in alternatives(name)))
    if len(options.get("block_config", variant.block_config)) != len(variant.block_config):
        for axis in AXES:
            if isinstance(axis.values, Each) and isinstance(kept[axis.field], tuple) and axis.field not in options:
                what = f"{axis.field} is one a {axis.values.per} here"
                raise UsageError(what, where="--blocks", fix=f"say --{axis.option} too")
    return Variant(**{**kept, **options})


def parse_kwargs(texts: Sequence[str]) -> tuple[tuple[str, Any], ...]:
    """Keyword arguments from `name=value`; the value is JSON where it reads as JSON, else text. Nothing is executed."""
    parsed: dict[str, Any] = {}
    for text in texts:
        _require_unicode(text, "--kwarg", "write it in UTF-8")
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"{text[:80]!r} is not name=value", where="--kwarg", fix="write it as width=32")
        try:
            parsed[name] = json.loads(value)
        except (ValueError, RecursionError):
            parsed[name] = {"True": True, "False": False, "None": None}.get(value, value)
    return tuple(parsed.items())
