"""A checkpoint's header: which network it is of, what it was trained on, how far. Read without torch, and nothing in it
is executed.

A checkpoint is a safetensors file (a length of 8 bytes, JSON, tensors) whose metadata has one sealed JSON text of ours.
"""

from __future__ import annotations

import math
import re
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
_BITS = re.compile(r"[A-Z]+(\d+)")  # F32, BF16, F8_E4M3; BOOL is of 8
OBSERVED = ("running_mean", "running_var", "num_batches_tracked")
"""Last names of a BN's buffers."""


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


class StoredTensor(Frozen, frozen=True):
    """What a safetensors file says of a tensor: its type (`F32`), shape, and bytes."""

    dtype: str
    shape: tuple[Whole, ...]
    bytes: Whole


def is_checkpoint(path: Path) -> bool:
    """Whether a safetensors file says which network it is of. Raises UsageError where it is none."""
    metadata = _json(path).get("__metadata__")
    return isinstance(metadata, dict) and KEY in metadata


def read_tensors(path: Path) -> dict[str, StoredTensor]:
    """The tensors of any safetensors file, by name. Raises UsageError where it is none, or cut short."""
    told = _json(path)
    told.pop("__metadata__", None)
    found, place = {}, 0
    try:
        for name, one in sorted(told.items(), key=lambda item: item[1]["data_offsets"]):
            start, end = msgspec.convert(one["data_offsets"], tuple[Whole, Whole])
            found[name] = _stored(one["dtype"], msgspec.convert(one["shape"], tuple[Whole, ...]), end - start)
            if start != place:
                raise ValueError("its tensors overlap, or leave gaps")
            place = end
        with path.open("rb") as file:
            whole = 8 + int.from_bytes(file.read(8), "little") + place
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError, OSError) as error:
        raise _bad(path, f"is damaged: {error}") from None
    if path.stat().st_size != whole:
        raise _bad(path, "is no safetensors file, or one cut short")
    return found


def _stored(dtype: str, shape: tuple[int, ...], size: int) -> StoredTensor:
    """A tensor's facts. Raises ValueError where it has another number of bytes than its type and shape say."""
    bits = _BITS.match(dtype)
    if size * 8 != math.prod(shape) * int(bits[1] if bits else 8):
        raise ValueError(f"{size:,} bytes are no {dtype[:20]} of {shape}")
    return StoredTensor(dtype, shape, size)


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
    there = sum(math.prod(shape) for name, shape in header.shapes.items() if name.rpartition(".")[2] not in OBSERVED)
    if there != wanted:
        raise UsageError(
            f"says {variant.name}, which has {wanted:,} parameters, and has {there:,}", where=where,
            fix="restore it, or name a checkpoint that `analyze train` wrote",
        )  # fmt: skip


def require_fit(header: Header, model: nn.Module, where: str) -> None:
    """UsageError where a checkpoint's tensors are not those of a network: names both, and the first that differs."""
    there = dict(header.shapes)
    there |= {name: there[first] for name, first in header.checkpoint.tied.items() if first in there}
    _require_shapes(there, model, f"is a checkpoint of {header.checkpoint.network}, not of", where)


def require_weights(path: Path, model: nn.Module) -> None:
    """UsageError where the tensors of a safetensors file, a checkpoint or weights alone, are not those of a network."""
    if is_checkpoint(path):
        require_fit(read_header(path), model, str(path))
        return
    there = {name: one.shape for name, one in read_tensors(path).items()}
    own = model.state_dict(keep_vars=True)  # the tensors themselves: two names of one are tied
    first = {id(tensor): name for name, tensor in reversed(own.items())}
    tied = {name: there[first[id(tensor)]] for name, tensor in own.items() if first[id(tensor)] in there}
    _require_shapes({**tied, **there}, model, "has weights that are none of", str(path))


def _require_shapes(there: dict[str, tuple[int, ...]], model: nn.Module, what: str, where: str) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    for name in sorted({*there, *wanted}):
        if there.get(name) != wanted.get(name):
            have, want = (f"{shape}" if shape is not None else "none" for shape in (there.get(name), wanted.get(name)))
            raise UsageError(
                f"{what} {type(model).__name__}: {name} is {have} there and {want} here",
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
