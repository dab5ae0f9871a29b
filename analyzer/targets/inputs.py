"""What a user gives a model: shapes, nested structures of them, plain values -> tensors on meta or CPU."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from analyzer.errors import UsageError, did_you_mean
from analyzer.records import Input

MAX_RANK = 16
_NAME = r"(?:([A-Za-z_][A-Za-z0-9_]*)=)?"
_INPUT = re.compile(_NAME + r"([0-9]+(?:,[0-9]+)*|scalar)(?::([a-z0-9_]+))?")
_STRUCTURE = re.compile(_NAME + r"(\(.*\)|packed\(.*\)|\[.*\]|\{.*\})", re.DOTALL)
_DTYPES = (
    "float32", "float64", "float16", "bfloat16", "complex64", "complex128",
    "int64", "int32", "int16", "int8", "uint8", "bool",
)  # fmt: skip
_HOW = 'write it as 1,3,224,224 or ids=1,7:int64; a tuple as (1,3;1,4), a structure as JSON: {"ids": "1,7:int64"}'


class Shape(tuple[int, ...]):
    """A tensor of this shape, where a tuple would be a value: `kwargs={"x": Shape(2, 4), "steps": (1, 2)}`.

    `dtype` is torch's name of one, such as `int64`.
    """

    dtype: str

    def __new__(cls, *sizes: int, dtype: str = "float32") -> Shape:
        """A shape of the sizes."""
        made = super().__new__(cls, sizes)
        made.dtype = dtype
        return made


class StructuredInput(Input, frozen=True, kw_only=True):
    """An input that is no single tensor: its `form` is what the user wrote, without the name."""

    form: str


def parse_input(text: str) -> Input:
    """An input from `[name=]shape[:dtype]`: `1,3,224,224`, `ids=1,7:int64`; or from a structure of such shapes.

    A structure is a tuple, `(1,3;1,4)`, a packed sequence of so long ones, `packed(5,3;8)`, or JSON whose texts are
    shapes and whose numbers are values. Raises UsageError.
    """
    structure = _STRUCTURE.fullmatch(text.strip())
    if structure is not None:
        form = structure[2]
        for _ in _leaves(_read(form)):
            pass
        return StructuredInput(shape=(), name=structure[1], form=form)
    match = _INPUT.fullmatch(text.strip())
    if match is None:
        parts = text.strip().lower().split("x")
        crossed = len(parts) > 1 and all(part.isdecimal() for part in parts)
        fix = f"sizes stand with commas, the batch first: {','.join(['1'] * (len(parts) == 3) + parts)}"
        raise UsageError(f"{text[:80]!r} is not an input", where="--input", fix=fix if crossed else _HOW)
    name, sizes, dtype = match[1], match[2], match[3] or "float32"
    if dtype not in _DTYPES:
        raise UsageError(f"unknown dtype {dtype!r}", where="--input", fix=did_you_mean(dtype, _DTYPES))
    shape = () if sizes == "scalar" else tuple(int(size) for size in sizes.split(",") if len(size) < 13)
    if len(shape) > MAX_RANK or (sizes != "scalar" and len(shape) != sizes.count(",") + 1):
        raise UsageError(f"{text[:80]!r} is no shape a tensor can have", where="--input", fix="use up to 16 sizes")
    return Input(shape=shape, dtype=dtype, name=name)


class _Packed(tuple[Any, ...]):
    """The lengths of a packed sequence's parts, and the shape of one step."""


def _read(form: str) -> Any:
    """A structure's nested tuples, lists, dictionaries, inputs and plain values."""
    if form.startswith("packed("):
        lengths, _, step = form.removeprefix("packed(").removesuffix(")").partition(";")
        sizes, inner = parse_input(lengths), parse_input(step or "scalar")
        if isinstance(inner, StructuredInput) or not sizes.shape or 0 in sizes.shape:
            raise UsageError(f"{form[:80]!r} is not a packed sequence", where="--input", fix="such as packed(5,3;8)")
        return _Packed((sizes.shape, inner))
    if form.startswith("("):
        return tuple(_part(part) for part in _split(form[1:-1]))
    try:
        return _shapes(json.loads(form))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{form[:80]!r} is not JSON: {error}", where="--input", fix=_HOW) from None


def _part(text: str) -> Any:
    read = parse_input(text)
    if read.name is not None:
        raise UsageError(f"{text[:80]!r} has a name within a tuple", where="--input", fix='say {"name": "shape"}')
    return _read(read.form) if isinstance(read, StructuredInput) else read


def _split(text: str) -> Iterator[str]:
    """The parts between semicolons that stand in no bracket."""
    depth, start = 0, 0
    for place, char in enumerate(text):
        depth += (char in "([{") - (char in ")]}")
        if char == ";" and depth == 0:
            yield text[start:place]
            start = place + 1
    if text[start:].strip():
        yield text[start:]


def _shapes(value: Any) -> Any:
    if isinstance(value, str):
        return _part(value)
    if isinstance(value, list):
        return [_shapes(part) for part in value]
    if isinstance(value, dict):
        return {key: _shapes(part) for key, part in value.items()}
    return value


def _leaves(value: Any) -> Iterator[Any]:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else None
    if parts is None:
        yield value
    else:
        for part in parts:
            yield from _leaves(part)


def tensors(inputs: Sequence[Input], device: str = "meta") -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword values of the inputs, zeros (nothing is allocated on meta)."""
    made = [(one.name, _made(_read(one.form) if isinstance(one, StructuredInput) else one, device)) for one in inputs]
    return [value for name, value in made if name is None], {name: value for name, value in made if name is not None}


def _made(value: Any, device: str) -> Any:
    import torch

    if isinstance(value, Input):
        return torch.zeros(value.shape, dtype=getattr(torch, value.dtype), device=device)
    if isinstance(value, _Packed):
        lengths, step = value
        return _packed(lengths, step, device)
    if isinstance(value, dict):
        return {key: _made(part, device) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_made(part, device) for part in value)
    return value


def _packed(lengths: tuple[int, ...], step: Input, device: str) -> Any:
    import torch
    from torch.nn.utils.rnn import PackedSequence

    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    sizes = [sum(length > at for length in lengths) for at in range(max(lengths))]
    data = torch.zeros((sum(lengths), *step.shape), dtype=getattr(torch, step.dtype), device=device)
    back = sorted(range(len(order)), key=order.__getitem__)
    batches = torch.tensor(sizes, device="cpu")
    return PackedSequence(data, batches, torch.tensor(order, device=device), torch.tensor(back, device=device))


def as_tensors(inputs: Any) -> list[Any]:
    """A shape, a tensor, or a sequence of either, as tensors; shapes become ones on meta. None and () are none."""
    import torch

    if inputs is None:
        return []
    if isinstance(inputs, (torch.Tensor, Shape)) or (is_shape(inputs) and len(inputs)):
        return [_tensor(inputs)]
    return [_tensor(value) for value in inputs]


def is_shape(value: Any) -> bool:
    """Whether a value stands for a tensor's shape: a list or tuple of sizes."""
    return isinstance(value, (list, tuple)) and all(type(size) is int for size in value)


def named_tensors(kwargs: Any) -> dict[str, Any]:
    """Keyword inputs as they are, but for a Shape: any other list or text is a value."""
    return {name: _tensor(value) if isinstance(value, Shape) else value for name, value in (kwargs or {}).items()}


def _tensor(value: Any) -> Any:
    import torch

    if isinstance(value, Shape):
        return torch.empty(tuple(value), dtype=getattr(torch, value.dtype), device="meta")
    return torch.empty(tuple(value), device="meta") if is_shape(value) else value
