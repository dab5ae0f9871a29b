"""The network that is compressed, with its weights: a checkpoint's, a variant's, or any model of one's own."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from analyzer.architecture.network import preset_name
from analyzer.architecture.variant import Variant
from analyzer.building.modules import build
from analyzer.channel_maps import WHOLE, CompressionMap
from analyzer.errors import TargetError, UsageError, words_of
from analyzer.records import Input
from analyzer.targets.checkpoints import KEY, SUFFIX, Checkpoint, OwnModel, read_header
from analyzer.targets.loading import load
from analyzer.targets.resolving import FamilyTarget, ModuleTarget, Resolved, resolve
from analyzer.training.checkpoints import digest_of, load_weights, unique

PICKLED = (".pt", ".pth", ".bin", ".ckpt")
"""Files that torch.save writes; no more than tensors is read from them."""


@dataclass(frozen=True, kw_only=True)
class Original:
    """A network on the CPU, in evaluation mode, of one image input. `variant` is what it is, where it is one of the
    family; else it is `parent` (a variant) or `own`, with `done` to it. `about` is its checkpoint's header.
    """

    model: nn.Module
    name: str
    input: Input
    variant: Variant | None = None
    parent: Variant | None = None
    own: OwnModel | None = None
    done: CompressionMap = WHOLE
    about: Checkpoint | None = None
    path: Path | None = None

    @property
    def epochs(self) -> int | None:
        """How long its weights were trained; None: not known."""
        if self.about is None:
            return None if self.path is not None or self.variant is None else 0
        made = self.about.compression
        return self.about.epoch if made is None else made.record.epochs

    @property
    def digest(self) -> str:
        """Over its tensors: names, types, shapes, bytes."""
        return digest_of(unique(self.model.state_dict())[0])

    def images(self, count: int, device: str = "cpu") -> Tensor:
        """So many stand-ins for images: noise of one seed, of the parameters' type; on meta, none at all."""
        shape = (count, *self.input.shape[1:])
        dtype = next((p.dtype for p in self.model.parameters() if p.is_floating_point()), torch.float32)
        if device == "meta":
            return torch.empty(shape, device="meta", dtype=dtype)
        return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)


def original_of(text: str, *, kwargs: Sequence[str] = (), inputs: Sequence[str] = ()) -> Original:
    """The network that a target names, with the weights of its checkpoint, or those that it is made with.

    Raises UsageError where a checkpoint is another network's or damaged, TargetError where the model can't be made.
    """
    model, _, file = text.rpartition("@")
    if ":" in model and not _is_ours(Path(file)):
        named = _one_image(resolve(model, kwargs=kwargs, inputs=inputs))
        made = _loaded(named)
        load_foreign(made, Path(file), model)
        return _own(made, named, Path(file))
    target = resolve(text, kwargs=kwargs, inputs=inputs)
    if isinstance(target, FamilyTarget) and target.weights is None:
        return of_variant(target.variant)
    if target.weights is None:
        own = _one_image(target)
        return _own(_loaded(own), own, None)
    return _of_checkpoint(target, text)


def of_variant(variant: Variant, seed: int = 0) -> Original:
    """A variant, its weights drawn from the seed."""
    made = build(variant, seed=seed).eval()
    name = preset_name(variant) or variant.name
    return Original(model=made, name=name, input=_image(3, variant.image), variant=variant, parent=variant)


def of_module(model: nn.Module, shape: Sequence[int]) -> Original:
    """Any module and its input's shape; the module is left as it is. Raises UsageError where it takes no images."""
    given = Input(shape=tuple(shape))
    _require_images(given, type(model).__name__)
    made = copy.deepcopy(model).cpu().eval()
    own = OwnModel(name=type(model).__name__, kwargs={}, inputs=(given,))
    return Original(model=made, name=own.name, input=given, own=own)


def _image(channels: int, size: int) -> Input:
    return Input(shape=(1, channels, size, size))


def _is_ours(path: Path) -> bool:
    """Whether a file says which network it is of; not, where it holds weights alone."""
    if path.suffix != SUFFIX or not path.is_file():
        return path.suffix not in (*PICKLED, SUFFIX)
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return KEY in (file.metadata() or {})
    except (OSError, SafetensorError):
        return True  # reading its header says what is wrong


def _of_checkpoint(target: Resolved, text: str) -> Original:
    assert target.weights is not None
    header = read_header(target.weights)
    about = header.checkpoint
    made: Any = build(target.variant) if isinstance(target, FamilyTarget) else _loaded(target)
    load_weights(target.weights, header, made)
    own = None
    if isinstance(target, ModuleTarget) and target.location != str(target.weights):
        own = OwnModel(name=_named(target), kwargs=dict(target.kwargs), inputs=target.inputs)
    return Original(
        model=made.eval(), name=about.network, input=_image(about.channels, about.image), variant=about.family(),
        parent=about.parent, own=own, done=about.surgery, about=about, path=target.weights,
    )  # fmt: skip


def _named(target: ModuleTarget) -> str:
    return f"{target.location}:{target.attribute}"


def _one_image(target: Resolved) -> ModuleTarget:
    assert isinstance(target, ModuleTarget)
    if len(target.inputs) != 1:
        raise UsageError("takes one image", where=target.name, fix="say its size: --input 1,3,224,224")
    _require_images(target.inputs[0], target.name)
    first = target.inputs[0]
    return replace(target, inputs=(Input(shape=(1, *first.shape[1:]), dtype=first.dtype),))


def _require_images(given: Input, where: str) -> None:
    shape = given.shape
    if len(shape) != 4 or shape[2] != shape[3] or not 1 <= shape[1] <= 4 or given.name is not None:
        raise UsageError(
            f"takes no batch of square images, but {tuple(shape)}", where=where,
            fix="compress a network of one input, such as --input 1,3,224,224",
        )  # fmt: skip


def _loaded(target: ModuleTarget) -> nn.Module:
    made = load(target, device="cpu")
    if isinstance(made, Variant):
        raise TargetError("returns a variant", where=target.name, fix=f"compress {made.name}")
    return copy.deepcopy(made).cpu().eval()


def _own(made: nn.Module, target: ModuleTarget, path: Path | None) -> Original:
    own = OwnModel(name=_named(target), kwargs=dict(target.kwargs), inputs=target.inputs)
    return Original(model=made, name=target.attribute, input=target.inputs[0], own=own, path=path)


def load_foreign(model: nn.Module, path: Path, name: str) -> None:
    """Puts weights that another program has saved into a model. Nothing in the file is executed.

    Raises UsageError where it holds more than tensors, or another network's: the first that differs is named.
    """
    state = _state(path)
    wanted = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    there = {key: tuple(tensor.shape) for key, tensor in state.items()}
    for key in sorted({*wanted, *there}):
        if wanted.get(key) != there.get(key):
            have, want = (f"{shape}" if shape is not None else "none" for shape in (there.get(key), wanted.get(key)))
            raise UsageError(
                f"is no checkpoint of {name}: {key} is {have} there and {want} here", where=str(path),
                fix="name the model that it is of, with its --kwarg",
            )  # fmt: skip
    model.load_state_dict(dict(state))


def _state(path: Path) -> Mapping[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    fix = "save model.state_dict() alone, as .safetensors or by torch.save"
    try:
        state: Any = load_file(path) if path.suffix == SUFFIX else torch.load(path, "cpu", weights_only=True)
    except OSError as error:
        raise UsageError(f"can't be read: {error.strerror}", where=str(path), fix="name a checkpoint") from error
    except pickle.UnpicklingError as error:
        raise UsageError("holds more than weights, which is not run", where=str(path), fix=fix) from error
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise UsageError(f"is damaged, or no checkpoint: {words_of(error)}", where=str(path), fix=fix) from error
    if isinstance(state, dict) and isinstance(inner := state.get("state_dict"), dict):
        state = inner
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UsageError("holds no tensors by name", where=str(path), fix=fix)
    return state
