"""Weights, and all that going on needs, as safetensors: written whole or not at all, read back to the bit, no pickle.

A run's folder has `last.safetensors` (the network), `state-STEP.safetensors` of the same step (optimizer, sums, where
in which epoch), and `best.safetensors` if asked for. The state is written first: whatever ends the process, the
network that is there has its state beside it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from analyzer.errors import UsageError
from analyzer.files import replaced
from analyzer.seals import DamagedRowError, decoded, sealed, unsealed
from analyzer.structs import Frozen, Whole
from analyzer.targets.checkpoints import KEY, SUFFIX, Checkpoint, Header, read_header, require_fit
from analyzer.training.recipe import Recipe
from analyzer.training.run_records import Config

LAST, BEST = f"last{SUFFIX}", f"best{SUFFIX}"


class RunState(Frozen, frozen=True, kw_only=True):
    """How far a run is, beside its weights: `epoch` epochs are finished, `taken` steps of the next; the sums are that
    one's so far. `optimizer` has what is no tensor of its state, `scaler` that of the loss; `best` is the highest
    validation accuracy.
    """

    config: Config
    epoch: Whole = 0
    taken: Whole = 0
    step: Whole = 0
    images: Whole = 0
    right: Whole = 0
    loss: float = 0.0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    best: float | None = None
    optimizer: dict[str, Any] = msgspec.field(default_factory=dict)
    scaler: dict[str, Any] = msgspec.field(default_factory=dict)
    digest: str = ""


def state_path(folder: Path, step: int) -> Path:
    """Where the state of a step lies."""
    return folder / f"state-{step}{SUFFIX}"


# -- writing ---------------------------------------------------------------------------------------------------


def save(folder: Path, model: nn.Module, about: Checkpoint, optimizer: torch.optim.Optimizer, at: RunState) -> None:
    """Writes the run's last network with its state. Raises UsageError where the disk refuses; what was there stays."""
    tensors, plain = optimizer_state(optimizer)
    at = msgspec.structs.replace(at, optimizer=plain, digest=digest_of(tensors))
    _write(state_path(folder, at.step), tensors, at)
    save_weights(folder / LAST, model, about)
    for old in folder.glob(f"state-*{SUFFIX}"):
        if old != state_path(folder, at.step):
            with contextlib.suppress(OSError):
                old.unlink()


def save_weights(path: Path, model: nn.Module, about: Checkpoint) -> None:
    """Writes a network: parameters and buffers, a tied one once."""
    tensors, tied = unique(model.state_dict())
    _write(path, tensors, msgspec.structs.replace(about, tied=tied, digest=digest_of(tensors)))


def unique(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors on the CPU, each in memory of its own, and the names of those that are another one's."""
    first: dict[tuple[int, tuple[int, ...], tuple[int, ...]], str] = {}
    tensors, tied = {}, {}
    for name, tensor in state.items():
        key = tensor.data_ptr(), tuple(tensor.shape), tensor.stride()
        if tensor.numel() and key in first:
            tied[name] = first[key]
        else:
            first[key] = name
            tensors[name] = _copied(tensor)
    return tensors, tied


def _copied(tensor: Tensor) -> Tensor:
    """On the CPU, contiguous, in memory of its own."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _write(path: Path, tensors: dict[str, Tensor], about: Checkpoint | RunState) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    text = msgspec.json.encode(sealed(msgspec.to_builtins(about))).decode()
    try:
        with replaced(path) as temporary:
            save_file(tensors, temporary, metadata={"format": "pt", KEY: text})
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
    except SafetensorError as error:
        what = f"can't be written: {error}"
        raise UsageError(what, where=str(path), fix="free some space; the checkpoint before it is kept") from error


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Its tensors by `index.name`, and what is none, JSON-ready."""
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    for index, entries in optimizer.state_dict()["state"].items():
        for name, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{name}"] = _copied(value)
            else:
                plain[f"{index}.{name}"] = value
    return tensors, plain


# -- reading ---------------------------------------------------------------------------------------------------


def restore(
    folder: Path, header: Header, model: nn.Module, optimizer: torch.optim.Optimizer, recipe: Recipe
) -> RunState:
    """Puts a run's last network and state back (not that of an optimizer that the recipe has no more); gives how far it
    is. Raises UsageError where either is damaged.
    """
    load_weights(folder / LAST, header, model)
    path = state_path(folder, header.checkpoint.step)
    tensors, at = _tensors(path), progress(folder, header)
    if digest_of(tensors) != at.digest:
        raise _damaged(path)
    if at.config.recipe.optimizer != recipe.optimizer:
        return at
    put_optimizer_state(optimizer, tensors, at.optimizer)
    return at


def put_optimizer_state(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
    """Puts back what `optimizer_state` gave."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *plain.items()]:
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def progress(folder: Path, header: Header) -> RunState:
    """How far a run is. Raises UsageError where its state is gone or damaged."""
    from safetensors import SafetensorError, safe_open

    path = state_path(folder, header.checkpoint.step)
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(KEY, "")
        return msgspec.convert(unsealed(decoded(text), str(path)), RunState)
    except (OSError, SafetensorError, msgspec.MsgspecError, DamagedRowError) as error:
        raise _damaged(path) from error


def load_weights(path: Path, header: Header, model: nn.Module) -> None:
    """Puts a checkpoint's weights into a network. Raises UsageError where they are another's, or damaged."""
    tensors = _tensors(path)
    if digest_of(tensors) != header.checkpoint.digest:
        raise _damaged(path)
    state = {**tensors, **{name: tensors[first] for name, first in header.checkpoint.tied.items() if first in tensors}}
    require_fit(header, model, str(path))
    model.load_state_dict(state)


def _tensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> UsageError:
    return UsageError("is damaged or gone", where=str(path), fix="restore it, or train anew with another --out")


def last_of(folder: Path) -> Header | None:
    """The header of a run's last checkpoint; None where it has none. Raises UsageError where it is damaged."""
    path = folder / LAST
    return read_header(path) if path.exists() else None
