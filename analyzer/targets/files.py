"""Files of networks as targets: an ONNX graph, or weights alone. Both are data: nothing in them is executed.

They are read in a process of their own, where there is a safe fork: whatever a file does to what reads it stays there.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from analyzer import processes
from analyzer.errors import CountError, UsageError
from analyzer.graphs.onnx_file import SUFFIX as ONNX
from analyzer.graphs.onnx_file import require_onnx
from analyzer.records import Input, LayerRow, Record, Remark, Target
from analyzer.targets.checkpoints import OBSERVED, SUFFIX, is_checkpoint, read_tensors
from analyzer.targets.inputs import StructuredInput, parse_input
from analyzer.targets.resolving import Resolved, resolve

SECONDS = 300.0


@dataclass(frozen=True)
class FileTarget:
    """A network's file: its name as it was said, and the sizes of inputs that an ONNX graph leaves open."""

    name: str
    path: Path
    inputs: tuple[Input, ...] = ()


Costed = Resolved | FileTarget
"""What has a cost: a network with its code, or a file of one."""


def is_file_name(text: str) -> bool:
    """Whether a target is named by its file alone."""
    return text.endswith((ONNX, SUFFIX)) and "@" not in text


def resolve_costed(
    text: str | None, options: Mapping[str, Any] | None = None, *, kwargs: Sequence[str] = (),
    inputs: Sequence[str] = (),
) -> Costed:  # fmt: skip
    """As `resolve`, and the files of networks: `.onnx`, and `.safetensors` that says not which network it is of.

    Raises UsageError.
    """
    if text is None or not is_file_name(text) or (text.endswith(SUFFIX) and is_checkpoint(Path(text))):
        return resolve(text, options, kwargs=kwargs, inputs=inputs)
    if options or kwargs:
        raise UsageError("is of one network as it is", where=text, fix="leave out the options that change it")
    given = tuple(parse_input(one) for one in inputs)
    if given and text.endswith(SUFFIX):
        raise UsageError("holds weights alone, which take no input", where=text, fix=_with_code(text))
    if any(isinstance(one, StructuredInput) for one in given):
        raise UsageError("takes tensors", where=f"--input of {text}", fix="such as --input 1,3,224,224")
    return FileTarget(text, Path(text), given)


def record_of_file(target: FileTarget, *, strict: bool = False, seconds: float = SECONDS) -> Record:
    """The figures of a network's file. Raises UsageError where it is damaged, CountError where `strict` and something
    has no formula.
    """
    if target.path.suffix == SUFFIX:
        return weights_record(target.path, target.name)
    require_onnx(target.name)  # before the fork: whoever reads several files imports it once
    record = _apart(lambda: _graph(target), target, seconds)
    if strict and record.uncounted:
        raise CountError(
            f"operators without a formula: {record.uncounted_operators}", where=target.name,
            fix="leave out --strict to see the figures of all others",
        )  # fmt: skip
    return record


def _graph(target: FileTarget) -> Record:
    from analyzer.graphs.record import count_file

    return count_file(target.path, name=target.name, given=target.inputs)


def weights_record(path: Path, name: str) -> Record:
    """Params and bytes, by the names of tensors and their types; all else needs the network."""
    rows: dict[str, int] = {}
    params = param_bytes = buffer_bytes = 0
    for tensor, one in read_tensors(path).items():
        module, _, last = tensor.rpartition(".")
        if last in OBSERVED or not one.dtype.startswith(("F", "BF", "C")):
            buffer_bytes += one.bytes
            continue
        elements = math.prod(one.shape)
        params, param_bytes = params + elements, param_bytes + one.bytes
        rows[module] = rows.get(module, 0) + elements
    return Record(
        target=Target(name=name), params=params, param_bytes=param_bytes, buffer_bytes=buffer_bytes,
        layers=tuple(
            LayerRow(path=path, type="weights", output=None, params=count, macs=None, conv_activations=None,
                     saved_bytes=None)
            for path, count in rows.items()
        ),
        remarks=(
            Remark(kind="no-input", text=f"MACs and activations need the network: {_with_code(name)}"),
            Remark(kind="convention", figure="params", text="params are the file's floating-point tensors but for "
                   "BN's running statistics; what else is a buffer is not in the file"),
        ),
    )  # fmt: skip


def _with_code(name: str) -> str:
    return f"name its code before it: path/file.py:attr@{name}"


def _apart(work: Callable[[], Record], target: FileTarget, seconds: float) -> Record:
    """What `work` gives, in a fork of this process where that is safe. Raises its UsageError."""
    if sys.platform != "linux":
        return work()
    ended = processes.forked(lambda: _told(work), seconds)
    if ended.code is None:
        raise UsageError(f"took over {seconds:g} s to read", where=target.name, fix="see that it is what it should be")
    if ended.code != 0 or not ended.said:
        what = f"is damaged: reading it ended the process ({ended.code})"
        raise UsageError(what, where=target.name, fix="restore it, or export it anew")
    error, record = msgspec.json.decode(ended.said, type=tuple[tuple[str, str, str] | None, Record | None])
    if error is not None:
        what, where, fix = error
        raise UsageError(what, where=where, fix=fix)
    assert record is not None
    return record


def _told(work: Callable[[], Record]) -> bytes:
    try:
        return msgspec.json.encode((None, work()))
    except UsageError as error:
        return msgspec.json.encode(((error.what, error.where, error.fix), None))
