"""Any nn.Module -> its peak memory: every storage that torch makes on the meta device, from its birth to its death.

The model runs as it is (a copy of it, on meta), with torch's own autograd and optimizer; nothing is modelled. It is
the second witness of the family's prediction (peak.py), and the only one of any other model. Autocast passes tensors on
meta by: under it the copy's are torch's fake tensors, which are on meta and say that they are on the CPU.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from analyzer.errors import CountError
from analyzer.reading.heap import Moment
from analyzer.reading.peak import DEFAULT, Peak, Training
from analyzer.tracing.attribution import Modules, tensors_in
from analyzer.tracing.compiler import Watching
from analyzer.tracing.copying import META, Fakes, copy_inputs, copy_model, placed, to_meta
from analyzer.tracing.diagnosis import diagnose, needs_values
from analyzer.tracing.elsewhere import drained
from analyzer.tracing.memory_log import MemoryLog
from analyzer.tracing.origins import storage_key, stored_parts, wrapped_parts
from analyzer.tracing.randomness import PASSES, Generators, unseeded_numpy, varies
from analyzer.tracing.running import FlexError, plain_kernels, untouched, watched
from analyzer.tracing.surroundings import Surroundings
from analyzer.tracing.tracer import READS
from analyzer.tracing.training_step import autocast, train

_PRODUCTS = {torch.ops.aten.mm.default, torch.ops.aten.bmm.default}
_NORMS = {"native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training"}


_RECURRENT = "recurrent layers are torch's own CPU kernels, without oneDNN, whose workspace comes on top"


class _NotOnMetaError(Exception):
    """The forward runs attention, or autocast, which a CPU has another kernel for than meta."""


def flash_scratch(query: Tensor, key: Tensor) -> int:
    """Bytes that torch's flash attention on CPU takes for each thread: scores of a block, their sums, its results."""
    length = query.shape[-2]
    rows = min(length, 256 if length >= 768 else 64 if length >= 192 else 32)
    columns = min(512, key.shape[-2])
    wide = 8 if query.dtype == torch.float64 else 4
    narrow = query.element_size() if query.element_size() < 4 else 0
    return rows * (wide * (columns + 2 + int(query.shape[-1])) + narrow * columns)


class Lifetimes(Watching):  # type: ignore[no-untyped-call]
    """Counts the bytes of the storages alive on `device`, and the most (`peak`) there were since `begin`.

    `modules` says which module runs. Where the device is meta, tensors that the code makes on another are put there.
    """

    def __init__(self, modules: Modules, device: str = "meta") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device = device
        self.live = self.peak = self.least = 0
        self.phase = ""
        self.log = MemoryLog()
        self._moments: list[Moment] = []
        self._after: list[int] = []
        self.modules = modules
        self.valueless: Exception | None = None
        self.read_values = False
        self.scratch: list[str] = []
        self._product: int | None = None
        self._unsettled = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def begin(self, phase: str) -> None:
        """Forgets the peak so far."""
        self.phase, self.peak, self.least = phase, self.live, self.live
        self._moments, self._after = [], []
        self.log.begin()

    @property
    def moments(self) -> tuple[Moment, ...]:
        """The steps since `begin`, their bytes by kind."""
        return self.log.of_kinds(self._moments, self._after)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the operator, and counts what it made."""
        kwargs = kwargs or {}
        if kwargs.get("device") is not None and self.device == "meta":
            kwargs = placed(kwargs, META)
        self.modules.failed = None  # the code goes on: it has handled what failed, and we hold no traceback's frames
        try:
            out = func(*args, **kwargs)
        except Exception as error:
            self.note_valueless(error)
            raise
        self.read_values |= func in READS
        self._see_attention(func, args)
        self._settle()
        quiet = self._adds_bias(func, args, out)
        if func._schema.name.removeprefix("aten::") in _NORMS:
            out = _as_on_a_device(func, args, out)
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self.see(leaf, in_place=self.phase == "backward" and func is torch.ops.aten.add.Tensor, quiet=quiet)
        self._mark(self.live - self._unsettled, len(self.log) - (self._unsettled > 0))
        return out

    def _mark(self, high: int, after: int) -> None:
        if self._moments and self._moments[-1][:2] == (self.phase, self.modules.path):
            before, earlier = self._moments.pop().live_bytes, self._after.pop()
            high, after = (high, after) if high > before else (before, earlier)
        self._moments.append(Moment(self.phase, self.modules.path, high))
        self._after.append(after)

    def _settle(self) -> None:
        """What was made quietly lives beside the rest if it still does so as the next operator runs."""
        if self._unsettled:
            self.peak, self.least = max(self.peak, self.live), max(self.least, self.live)
            self._mark(self.live, len(self.log))
        self._unsettled = 0

    def _adds_bias(self, func: Any, args: Any, out: Any) -> bool:
        """Whether this is a linear layer's bias, added to its product: out of place only because a mode watches."""
        if func in _PRODUCTS:
            self._product = storage_key(out)
        adds = func is torch.ops.aten.add.Tensor and isinstance(args[1], Tensor) and args[1].dim() == 1
        return adds and self._product is not None and storage_key(args[0]) == self._product

    def _see_attention(self, func: Any, args: Any) -> None:
        if func is torch.ops.aten._safe_softmax.default and self.device == "meta":
            raise _NotOnMetaError
        if func is torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default:
            size = flash_scratch(args[0], args[1])
            self.scratch = [
                f"attention is the CPU's flash kernel, whose own scratch (up to {size:,} bytes a thread) is left out"
            ]

    def note_valueless(self, error: Exception) -> None:
        """Keeps an error that comes from a tensor's having no values: the model may swallow it, and go another way."""
        if self.valueless is None and needs_values(error):
            self.valueless = error

    def autocasts(self, device: str, *, on: bool) -> None:
        """The forward enters autocast."""
        if on and self.device == "meta":
            raise _NotOnMetaError

    def leaves(self, tensor: Tensor, where: str) -> None:
        """What leaves torch isn't torch's memory."""
        self.read_values = True

    def see(self, tensor: Tensor, *, in_place: bool = False, quiet: bool = False) -> None:
        """Counts a tensor's storage, once, for as long as it lives; where it is `quiet`, if it lives on beside the
        others.

        `in_place` says that torch may have added into an operand where no mode watches: `least` leaves that sum out.
        """
        if tensor.layout != torch.strided:
            for part in stored_parts(tensor):
                self.see(part, in_place=in_place, quiet=quiet)
            return
        if tensor.device.type != self.device:
            return
        if self.phase == "optimizer" and tensor.dim() == 0 and self.device == "cpu":
            return  # a step counter: on the CPU wherever the parameters are
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known[key] = weakref.ref(storage, functools.partial(self._freed, key, size))
            self.log.born(key, size)
            self.live += size
            if quiet:
                self._unsettled = size
                return
            self.peak = max(self.peak, self.live)
            self.least = max(self.least, self.live - size if in_place else self.live)

    def see_all(self, tensors: Iterable[Tensor], kind: str) -> None:
        """Counts what is there before anything runs, and says of what kind it is."""
        known = list(tensors)
        for tensor in known:
            self.see(tensor)
        self.log.tell(kind, known)

    def _freed(self, key: int, size: int, _: Any) -> None:
        del self._known[key]
        self.log.died(key)
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
    with untouched(), torch.inference_mode(False):
        run = _Runs(model, (args, kwargs or {}), training)
        inference, notes = run.all(trains=False)
        try:
            step, of_training = run.all(trains=True)
        except CountError as error:
            return ModulePeaks(None, inference, (*notes, f"no training step: {error}"))
    return ModulePeaks(step, inference, tuple(dict.fromkeys([*notes, *of_training])))


class _Runs:
    """Runs copies of a model for its peaks."""

    def __init__(self, model: nn.Module, inputs: Any, training: Training) -> None:
        self.model, self.inputs, self.training = model, inputs, training
        self._recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
        self._on_cpu = self._recurrent
        self._surroundings = Surroundings(model)

    def all(self, *, trains: bool) -> tuple[Peak, list[str]]:
        """The peak, and what is to be said of it; where random numbers choose the path, of passes under other seeds."""
        found, notes, chose = self._once(trains=trains)
        if self._recurrent:
            notes.append(_RECURRENT)
        peaks = [found] + [self._once(trains=trains, seed=n)[0] for n in range(1, PASSES if chose else 1)]
        name = "peak_training_bytes" if trains else "peak_inference_bytes"
        return found, [*notes, *(remark.text for remark in varies(name, [int(peak.bytes) for peak in peaks]))]

    def _once(self, *, trains: bool, seed: int = 0) -> tuple[Peak, list[str], bool]:
        try:
            return self._on(Fakes() if self._on_cpu or self.training.autocast != "none" else None, trains, seed)
        except FlexError:
            return self._once(trains=trains, seed=seed)
        except _NotOnMetaError:
            self._on_cpu = True
            return self._once(trains=trains, seed=seed)

    def _on(self, fakes: Fakes | None, trains: bool, seed: int) -> tuple[Peak, list[str], bool]:
        convert = fakes or to_meta
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            if wrapped_parts(tensor) is not None:
                raise CountError(f"the peak isn't known: what {type(tensor).__name__} makes of itself isn't seen")
        copied = copy_model(self.model, convert)
        modules = Modules(copied.module.train(trains))
        lifetimes = Lifetimes(modules, "cpu" if fakes else "meta")
        args, kwargs = copy_inputs(self.inputs, convert)
        lifetimes.see_all([*modules.tensors, *copied.held], "weights")
        lifetimes.see_all(tensors_in((args, kwargs)), "saved" if trains else "transient")
        generators = Generators([*copied.generators, *self._surroundings.generators])
        generators.begin(seed)
        try:
            with contextlib.ExitStack() as stack:
                for context in (
                    plain_kernels(fused_attention=fakes is not None),
                    watched(lifetimes, modules),
                    fakes.mode if fakes else None,
                    lifetimes,
                ):
                    stack.enter_context(context or contextlib.nullcontext())
                unseeded = stack.enter_context(unseeded_numpy(seed))
                run = functools.partial(_run, trains=trains)
                notes = contextvars.copy_context().run(run, copied.module, args, kwargs, self.training, lifetimes)
            if lifetimes.valueless is not None:
                raise lifetimes.valueless  # which the model swallowed
        except (_NotOnMetaError, FlexError):
            raise
        except Exception as error:
            told = diagnose(error, modules.failed, type(self.model).__name__)
            fix = "it takes a model that runs on the meta device"
            raise CountError(f"the peak isn't known: {told.what}", where=told.where, fix=fix) from error
        finally:
            self._surroundings.restore()
        generators.end()
        chose = generators.chose(read_values=lifetimes.read_values) or bool(unseeded)
        return Peak(lifetimes.peak, lifetimes.moments), [*notes, *lifetimes.scratch], chose


def _run(
    model: nn.Module, args: Any, kwargs: Any, training: Training, lifetimes: Lifetimes, *, trains: bool
) -> list[str]:
    notes: list[str] = []
    if trains:
        with torch.enable_grad():
            notes = train(model, args, kwargs, training, lifetimes)
    else:
        lifetimes.begin("forward")
        with torch.no_grad(), autocast(training):
            drained(model(*args, **kwargs))
    if lifetimes.least < lifetimes.peak:
        notes.append(
            f"the training peak is at most that, and at least {lifetimes.least:,} bytes: "
            "gradients that meet are added in place where torch can, and never while storages are tracked"
        )
    return notes
