"""Any nn.Module -> its peak memory: every storage that torch makes on the meta device, from its birth to its death.

The model runs as it is (a copy of it, on meta), with torch's own autograd and optimizer; nothing is modelled. It is
the second witness of the family's prediction (peak.py), and the only one of any other model. Autocast passes tensors on
meta by: under it the copy's are torch's fake tensors, which are on meta and say that they are on the CPU.
"""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from analyzer.errors import CountError
from analyzer.reading.heap import Moment
from analyzer.reading.peak import DEFAULT, Peak, Training
from analyzer.tracing.attribution import Modules, tensors_in
from analyzer.tracing.copying import copy_inputs, copy_model, to_meta
from analyzer.tracing.diagnosis import diagnose
from analyzer.tracing.running import plain_kernels, untouched

_META = torch.device("meta")
_NORMS = {"native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training"}


class Lifetimes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the storages alive on `device`, and the most (`peak`) there were since `begin`.

    `modules` says which module runs. Where the device is meta, tensors that the code makes on another are put there.
    """

    def __init__(self, modules: Modules, device: str = "meta") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device = device
        self.live = self.peak = self.least = 0
        self.phase = ""
        self.moments: list[Moment] = []
        self.modules = modules
        self._known: dict[int, weakref.ref[Any]] = {}

    def begin(self, phase: str) -> None:
        """Forgets the peak so far."""
        self.phase, self.peak, self.least, self.moments = phase, self.live, self.live, []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the operator, and counts what it made."""
        kwargs = kwargs or {}
        if kwargs.get("device") is not None and self.device == "meta":
            kwargs = {**kwargs, "device": _META, **({"pin_memory": False} if kwargs.get("pin_memory") else {})}
        self.modules.failed = None  # the code goes on: it has handled what failed, and we hold no traceback's frames
        out = func(*args, **kwargs)
        if func._schema.name.removeprefix("aten::") in _NORMS:
            out = _as_on_a_device(func, args, out)
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self.see(leaf, in_place=self.phase == "backward" and func is torch.ops.aten.add.Tensor)
        high = self.live
        if self.moments and self.moments[-1][:2] == (self.phase, self.modules.path):
            high = max(high, self.moments.pop().live_bytes)
        self.moments.append(Moment(self.phase, self.modules.path, high))
        return out

    def see(self, tensor: Tensor, *, in_place: bool = False) -> None:
        """Counts a tensor's storage, once, for as long as it lives.

        `in_place` says that torch may have added into an operand where no mode watches: `least` leaves that sum out.
        """
        if tensor.device.type != self.device or tensor.layout != torch.strided:
            return
        if self.phase == "optimizer" and tensor.dim() == 0 and self.device == "cpu":
            return  # a step counter: on the CPU wherever the parameters are
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known[key] = weakref.ref(storage, functools.partial(self._freed, key, size))
            self.live += size
            self.peak = max(self.peak, self.live)
            self.least = max(self.least, self.live - size if in_place else self.live)

    def _freed(self, key: int, size: int, _: Any) -> None:
        del self._known[key]
        self.live -= size


def _as_on_a_device(func: Any, args: Any, out: Any) -> Any:
    """A batch normalisation's results as every real device makes them.

    In eval mode the saved mean and 1/std are empty: meta alone makes them. In training they are fp32: meta's have the
    image's dtype where the parameters have another.
    """
    if "no_training" in func._schema.name or not args[5]:
        return out[0], out[1].new_empty(0), out[2].new_empty(0)
    return out if args[1] is None or args[1].dtype == args[0].dtype else (out[0], out[1].float(), out[2].float())


@dataclass(frozen=True)
class ModulePeaks:
    """A model's peaks; `training` is None where it can't train, and `notes` say why, and what its loss was."""

    training: Peak | None
    inference: Peak
    notes: tuple[str, ...]


def module_peaks(
    model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any] | None = None, training: Training = DEFAULT
) -> ModulePeaks:
    """A model's peaks in training (a steady step of `training`, in the model's own dtypes) and in inference.

    The loss is the cross-entropy where the model returns one (N, classes) tensor, else the sum of what it returns.
    Raises CountError where the model can't run on meta: its peak isn't known then.
    """
    inputs = (args, kwargs or {})
    with untouched(), torch.inference_mode(False):
        inference, _ = _run(model, inputs, training, trains=False)
        try:
            step, notes = _run(model, inputs, training, trains=True)
        except CountError as error:
            return ModulePeaks(None, inference, (f"no training step: {error}",))
    return ModulePeaks(step, inference, notes)


def _run(model: nn.Module, inputs: Any, training: Training, *, trains: bool) -> tuple[Peak, tuple[str, ...]]:
    fakes = _Fakes() if training.autocast != "none" else None
    convert = fakes.make if fakes else to_meta
    copied = copy_model(model, convert)
    copy = copied.module.train(trains)
    modules = Modules(copy)
    lifetimes = Lifetimes(modules, "cpu" if fakes else "meta")
    args, kwargs = copy_inputs(inputs, convert)
    for tensor in (*modules.parameters, *modules.buffers, *copied.held, *tensors_in((args, kwargs))):
        lifetimes.see(tensor)
    notes: list[str] = []
    try:
        with plain_kernels(), fakes.mode if fakes else contextlib.nullcontext(), lifetimes:
            if trains:
                with torch.enable_grad():
                    notes = train(copy, args, kwargs, training, lifetimes)
            else:
                lifetimes.begin("forward")
                with torch.no_grad(), autocast(training):
                    copy(*args, **kwargs)
    except Exception as error:
        told = diagnose(error, modules.failed, type(model).__name__)
        raise CountError(
            f"the peak isn't known: {told.what}", where=told.where, fix="it takes a model that runs on the meta device"
        ) from error
    if lifetimes.least < lifetimes.peak:
        notes.append(
            f"the training peak is at most that, and at least {lifetimes.least:,} bytes: "
            "gradients that meet are added in place where torch can, and never while storages are tracked"
        )
    return Peak(lifetimes.peak, tuple(lifetimes.moments)), tuple(notes)


class _Fakes:
    """Tensors on meta that say that they are on the CPU, so that autocast sees them."""

    def __init__(self) -> None:
        from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

        self.mode: Any = FakeTensorMode()
        self._kind: Any = FakeTensor

    def make(self, tensor: Tensor) -> Tensor:
        """A copy of a tensor."""
        made: Tensor = self._kind(self.mode, to_meta(tensor).detach(), torch.device("cpu"))
        return made.requires_grad_(tensor.requires_grad)


def autocast(training: Training) -> contextlib.AbstractContextManager[Any]:
    """torch's context of a Training's autocast; none where it has none."""
    if training.autocast == "none":
        return contextlib.nullcontext()
    return torch.autocast("cpu", dtype=getattr(torch, training.autocast))


def train(model: nn.Module, args: Any, kwargs: Any, training: Training, lifetimes: Lifetimes) -> list[str]:
    """Two steps as peak.py describes them; the second is steady. Returns what is to be said of the loss."""
    optimizer = make_optimizer([p for p in model.parameters() if p.requires_grad], training)
    targets: list[Tensor] = []
    for _ in range(2):
        lifetimes.begin("optimizer")  # its zero_grad
        _step(model, args, kwargs, training, lifetimes, optimizer, targets)
    return [] if targets else ["the training peak is with the sum of what the model returns as its loss"]


def _step(
    model: nn.Module, args: Any, kwargs: Any, training: Training, lifetimes: Lifetimes, optimizer: Any, targets: Any
) -> None:
    if training.zero_grad == "before_forward":
        optimizer.zero_grad()
    for _ in range(training.accumulate):
        lifetimes.phase = "forward"
        with autocast(training):
            out = model(*args, **kwargs)
            if training.zero_grad == "after_forward":
                optimizer.zero_grad()
            lifetimes.phase = "loss"
            loss = _loss(out, targets)
        lifetimes.phase = "backward"
        loss.backward()  # type: ignore[no-untyped-call]
    lifetimes.phase = "optimizer"
    optimizer.step()


def _loss(out: Any, targets: list[Tensor]) -> Tensor:
    if isinstance(out, Tensor) and out.dim() == 2 and out.is_floating_point():
        if not targets:
            targets.append(torch.empty(out.shape[0], dtype=torch.long, device=out.device))
        return F.cross_entropy(out, targets[0])
    outputs = [tensor for tensor in tensors_in(out) if tensor.requires_grad]
    if not outputs:
        raise CountError("no output needs a gradient, so there is no training step")
    return torch.stack([tensor.sum() for tensor in outputs]).sum()


class _FusedState:
    """What torch's fused optimizers hold and do: their state beside the parameters, and a step without a transient.

    torch itself refuses them on meta.
    """

    def __init__(self, parameters: list[Tensor], training: Training) -> None:
        adam = training.optimizer in ("adam", "adamw")
        copies = 2 if adam else int(training.optimizer == "sgd_momentum")
        self.parameters = parameters
        self.state = [torch.empty_like(p) for p in parameters for _ in range(copies)]
        self.state += [torch.empty((), device=p.device) for p in parameters if adam]

    def zero_grad(self) -> None:
        """Drops the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self) -> None:
        """Changes everything in place."""


def make_optimizer(parameters: list[Tensor], training: Training) -> Any:
    """torch's optimizer of a Training."""
    if training.form == "fused":
        return _FusedState(parameters, training)
    decay = 0.01 if training.weight_decay else 0.0
    foreach = training.form == "foreach"
    if training.optimizer in ("adam", "adamw"):
        make = torch.optim.Adam if training.optimizer == "adam" else torch.optim.AdamW
        return make(parameters, weight_decay=decay, foreach=foreach)
    momentum = 0.9 if training.optimizer == "sgd_momentum" else 0.0
    return torch.optim.SGD(parameters, momentum=momentum, weight_decay=decay, foreach=foreach)
