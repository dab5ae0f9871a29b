"""A checkpoint's header: which network it is of, what it was trained on, how far. Read without torch, and nothing in it
is executed.

A checkpoint is a safetensors file (a length of 8 bytes, JSON, tensors) whose metadata has one sealed JSON text of ours.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from analyzer.architecture.network import trace
from analyzer.architecture.variant import Variant
from analyzer.channel_maps import WHOLE, CompressionMap
from analyzer.errors import UsageError, VariantError
from analyzer.reading.exact import total
from analyzer.records import Input
from analyzer.seals import DamagedRowError, decoded, unsealed
from analyzer.structs import Frozen, Some, Whole
from analyzer.targets.compressions import Compression

if TYPE_CHECKING:
    from torch import nn

KEY = "analyzer"
SUFFIX = ".safetensors"
SCHEMA = 1
MAX_HEADER = 100_000_000
"""Bytes that safetensors itself allows a header."""


class OwnModel(Frozen, frozen=True, kw_only=True):
    """A model of the user's own, as it was named: whoever opens the checkpoint names it again, as its code runs."""

    name: str
    kwargs: dict[str, Any]
    inputs: tuple[Input, ...] = ()


class Checkpoint(Frozen, frozen=True, kw_only=True):
    """What a checkpoint says of itself. `variant` are the family's fields, or `own` a model's name; `tied` names
    tensors that are another one's. `mean` and `std` normalise images in [0, 1]; `epoch` and `step` are those finished;
    `digest` is over the tensors' bytes. A compressed network that is no variant has none: `compression` says what it
    is made from, and how.
    """

    schema: int = SCHEMA
    run: str
    network: str
    variant: dict[str, Any] | None = None
    own: OwnModel | None = None
    classes: tuple[str, ...]
    image: Some
    channels: Annotated[int, msgspec.Meta(ge=1, le=4)]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    seed: int
    epoch: Whole
    step: Whole
    tied: dict[str, str] = msgspec.field(default_factory=dict)
    digest: str
    compression: Compression | None = None

    @property
    def surgery(self) -> CompressionMap:
        """What makes the network from the variant or model that it was: nothing, but where it is compressed."""
        return WHOLE if self.compression is None or self.variant is not None else self.compression.map

    @property
    def parent(self) -> Variant | None:
        """The variant that the network is, or is made from by its surgery; None: its own model."""
        return self.family() or (None if self.compression is None else self.compression.family())

    def family(self) -> Variant | None:
        """The variant of the family, or None."""
        return None if self.variant is None else Variant.restored(self.variant)


class Header(Frozen, frozen=True):
    """A file's checkpoint, and each tensor's shape by name."""

    checkpoint: Checkpoint
    shapes: dict[str, tuple[int, ...]]

    @property
    def elements(self) -> int:
        """How many numbers its tensors have."""
        return sum(math.prod(shape) for shape in self.shapes.values())


def read_header(path: Path) -> Header:
    """A checkpoint's header. Raises UsageError where the file is none, or another program's; DamagedRowError where its
    own words are damaged.
    """
    tensors = _json(path)
    metadata = tensors.pop("__metadata__", None)
    if not isinstance(metadata, dict) or KEY not in metadata:
        raise UsageError(
            "says not which network it is of", where=str(path),
            fix="name the network, its weights after an @: path/file.py:attr@weights.safetensors",
        )  # fmt: skip
    try:
        data = unsealed(decoded(metadata[KEY]), str(path))
        if isinstance(data, dict) and data.get("schema", SCHEMA) != SCHEMA:
            raise _bad(path, f"is of schema {data['schema']}, this version reads {SCHEMA}")
        checkpoint = msgspec.convert(data, Checkpoint)
        checkpoint.parent  # noqa: B018 - its fields make a variant
        shapes = {name: msgspec.convert(told["shape"], tuple[Whole, ...]) for name, told in tensors.items()}
    except DamagedRowError:
        raise
    except (msgspec.MsgspecError, VariantError, KeyError, TypeError, RecursionError) as error:
        raise _bad(path, f"is no checkpoint of analyze: {error}") from None
    return Header(checkpoint, shapes)


def require_tensors(header: Header, variant: Variant, where: str) -> None:
    """UsageError where a file's tensors are not as many numbers as its variant's parameters."""
    wanted = int(total(trace(variant)).params)
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    there = sum(math.prod(shape) for name, shape in header.shapes.items() if name.rpartition(".")[2] not in buffers)
    if there != wanted:
        raise UsageError(
            f"says {variant.name}, which has {wanted:,} parameters, and has {there:,}", where=where,
            fix="restore it, or name a checkpoint that `analyze train` wrote",
        )  # fmt: skip


def require_fit(header: Header, model: nn.Module, where: str) -> None:
    """UsageError where a file's tensors are not those of a network: names both, and the first that differs."""
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    there = dict(header.shapes)
    there |= {name: there[first] for name, first in header.checkpoint.tied.items() if first in there}
    for name in sorted({*there, *wanted}):
        if there.get(name) != wanted.get(name):
            have, want = (f"{shape}" if shape is not None else "none" for shape in (there.get(name), wanted.get(name)))
            raise UsageError(
                f"is a checkpoint of {header.checkpoint.network}, not of {type(model).__name__}: "
                f"{name} is {have} there and {want} here",
                where=where, fix="name the network that it is of",
            )  # fmt: skip


def _json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if not 2 <= size <= MAX_HEADER:
                raise _bad(path, "is no safetensors file")
            text = file.read(size)
    except OSError as error:
        raise UsageError(f"can't be read: {error.strerror}", where=str(path), fix="name a checkpoint") from error
    try:
        header = decoded(text)
    except (msgspec.DecodeError, RecursionError):
        header = None
    if len(text) < size or not isinstance(header, dict):
        raise _bad(path, "is no safetensors file, or one cut short")
    return header


def _bad(path: Path, what: str) -> UsageError:
    return UsageError(what, where=str(path), fix="name a checkpoint that `analyze train` wrote")
