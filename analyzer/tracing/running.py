"""Runs of a model's copy, on meta where that is possible: the ladder of ways to run what meta can't.

1. On meta, with every tensor that the forward makes put there too.
2. On meta, where tensors that the forward makes without naming meta are real: it may read their values.
   Under autocast, which passes meta by, both are on torch's fake tensors, which say that they are on the CPU.
3. On meta, where what is small and integer or boolean is real (stand_ins.py): masks, lengths, routes.
4. On CPU, on the given values or zeros, fused kernels off, where there is room. All but the first see one path of the
   control flow.
"""

from __future__ import annotations

import contextlib
import contextvars
import random
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from analyzer.errors import CountError
from analyzer.records import Remark
from analyzer.tracing.attribution import Modules, ignore, registered, tensors_in
from analyzer.tracing.calls import ComplexCalls, taken_over
from analyzer.tracing.compiler import kept_out
from analyzer.tracing.copying import META, Convert, Fakes, ModelCopy, copy_inputs, copy_model, to_cpu, to_meta
from analyzer.tracing.diagnosis import diagnose, needs_values
from analyzer.tracing.elsewhere import AutocastError, autocast_seen, drained, exports_seen, threads_seen
from analyzer.tracing.higher_order import FLEX, written_out
from analyzer.tracing.modes import modes_seen
from analyzer.tracing.origins import Origins
from analyzer.tracing.passes import Pass, pass_of
from analyzer.tracing.randomness import Generators, unseeded_numpy
from analyzer.tracing.room import AS_IT_IS, OnCpu, require_room
from analyzer.tracing.saved import SavedBytes
from analyzer.tracing.shapes import Shapes
from analyzer.tracing.stand_ins import StandIns, to_stand_in
from analyzer.tracing.surroundings import Surroundings, require_gone, uncollected
from analyzer.tracing.tracer import Tracer

NESTING = 6_000
"""Calls within calls, at most: a copy of a module within 240 others takes more than Python's own 1,000."""
Inputs = tuple[Sequence[Any], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to run: how tensors are copied, and where those that the forward makes are put (None: where it says)."""

    convert: Convert
    home: torch.device | None
    told: str
    stands_in: bool = False


RUNGS = (
    Rung(to_meta, META, "on meta"),
    Rung(to_meta, None, "on meta, but for the tensors that the forward makes"),
    Rung(
        to_stand_in,
        None,
        "on meta, with small real stand-ins for what it decides by, zeros where they have no values",
        True,
    ),
    Rung(to_cpu, None, "on CPU"),
)


class Ladder:
    """Runs copies of a model, a fresh one each pass, on the lowest rung that works. `notes` says where that isn't the
    first. `follows_work` asks for the work of forwards in evaluation mode. `on_cpu` says how it runs there. `types` are
    the modules' types by path, once one has run.
    """

    def __init__(self, model: nn.Module, inputs: Inputs, on_cpu: OnCpu = AS_IT_IS) -> None:
        self.model, self.inputs, self.on_cpu = model, inputs, on_cpu
        self.notes: list[Remark] = []
        self.follows_work = False
        self._rung = 0
        self._autocasts = self._complex = False
        self._shapes = Shapes()
        self.types: dict[str, type[nn.Module]] = {}
        self._modules: Modules | None = None
        self._untouchable = registered(model.modules())
        self._surroundings = Surroundings(model)
        if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
            self._climb_to(len(RUNGS) - 1, CountError("a scripted module has no form on meta", where="the root"))

    def in_training(self, *, backward: bool) -> Pass | None:
        """A pass in training mode on the first rung, where it runs there and nothing random may choose its path."""
        if self._rung or self.follows_work:
            return None
        try:
            found = self._run_once(True, backward, 0)
        except Exception:  # which the ladder meets again
            return None
        return None if found.chose else found

    def run(self, *, training: bool, backward: bool = False, seed: int = 0) -> Pass:
        """One forward in the given mode. Raises CountError that names the module that fails."""
        while True:
            try:
                return self._run_once(training, backward, seed)
            except AutocastError:
                self._autocasts = True
            except FlexError:
                continue
            except ComplexError:
                self._complex = True
            except Exception as error:
                failed = self._modules.failed if self._modules else None
                failed = failed if failed and failed.error is error else None
                told = diagnose(error, failed, type(self.model).__name__)
                if self._rung + 1 == len(RUNGS) or isinstance(error, CountError) or not needs_values(error):
                    raise told from error
                self._climb_to(len(RUNGS) - 1 if self._autocasts else self._rung + 1, told)

    def _climb_to(self, rung: int, reason: CountError) -> None:
        """Takes another rung. Raises CountError where that is the CPU's and the model has no room there."""
        self._rung = rung
        told = RUNGS[rung].told
        if rung + 1 == len(RUNGS):
            tensors = [*self._untouchable, *tensors_in(self.inputs)]
            require_room(tensors, self.on_cpu.memory, rebuilt=self._rebuilds(), told=reason)
            on_zeros = all(tensor.device.type == "meta" for tensor in tensors_in(self.inputs))
            told += " on zeros" if on_zeros else " on the given values"
        self.notes = [Remark(kind="one-path", text=f"counted on one path, {told}: {reason.where}: {reason.what}")]

    def _run_once(self, training: bool, backward: bool, seed: int) -> Pass:
        rung = RUNGS[self._rung]
        if self._autocasts and rung.convert is not to_cpu:
            rung = Rung(Fakes(), torch.device("cpu"), "on fake tensors")
        pause = contextlib.nullcontext() if rung.convert is to_cpu else uncollected()
        with torch.inference_mode(False), torch.enable_grad(), pause:
            copied = copy_model(self._original(), rung.convert)
            self._modules = Modules(copied.module.train(training))
            try:
                found, made = contextvars.copy_context().run(self._run_on, copied, self._modules, rung, backward, seed)
            finally:
                self._surroundings.restore()
        self.types = {path: type(module) for path, module in self._modules.by_path.items()}
        self._modules = None
        del copied
        require_gone(made)
        return found

    def _run_on(
        self, copied: ModelCopy, modules: Modules, rung: Rung, backward: bool, seed: int
    ) -> tuple[Pass, list[Any]]:
        """The pass, and what it made."""
        trains, (args, kwargs) = copied.module.training, copy_inputs(self.inputs, rung.convert)
        known = [*modules.tensors, *copied.held]
        origins = Origins(known, tensors_in((args, kwargs)), self._untouchable)
        tracer = self._tracer(modules, origins, rung, backward)
        if self.follows_work and not trains:
            tracer.follow_work()
        saved = SavedBytes(modules, known, goes_back=backward)
        modules.leaving = saved.look if trains else ignore
        generators = Generators([*copied.generators, *self._surroundings.generators])
        generators.begin(seed)
        fakes = rung.convert.mode if isinstance(rung.convert, Fakes) else contextlib.nullcontext()
        with (
            tracer.outside_restored(),
            plain_kernels(),
            fakes,
            watched(tracer, modules),
            unseeded_numpy(seed) as unseeded,
            tracer,
            modes_seen(modules.by_path.values()) as modes,
            taken_over(tracer),
            ComplexCalls(tracer) if self._complex else contextlib.nullcontext(),
        ):
            with saved if trains else contextlib.nullcontext():
                result = drained(copied.module(*args, **kwargs))
            modules.leaving(result)
            generators.end()
            read_values, depth = tracer.read_values, origins.depth(tensors_in(result))
            tracer.finish(result)
            modules.leaving = ignore
            saved.forget()
            if backward:
                _backward(result)
        self._require_seen(tracer)
        chose = generators.chose(read_values=read_values) or bool(unseeded)  # compared where no mode watches
        known = [*copied.held, *origins.strays.values()]
        return pass_of(modules, tracer, depth, known, chose=chose, modeless=not modes.matter), tracer.made

    def _tracer(self, modules: Modules, origins: Origins, rung: Rung, backward: bool) -> Tracer:
        tracer = Tracer(modules, origins, rung.home, self._shapes if rung.home == META else None)
        tracer.goes_back, tracer.on_meta = backward, rung.convert in (to_meta, to_stand_in)
        tracer.stand_ins = StandIns(self._shapes) if rung.stands_in else None
        return tracer

    def _require_seen(self, tracer: Tracer) -> None:
        """Raises what makes the pass be made again, where it went another way than the model's own run."""
        if tracer.passed_by:
            raise AutocastError
        if tracer.convolves_complex and not self._complex:
            raise ComplexError
        if tracer.valueless is not None and self._rung + 1 < len(RUNGS):
            raise tracer.valueless  # which the model swallowed

    def _original(self) -> nn.Module:
        return self.on_cpu.rebuild() if self._rebuilds() and self.on_cpu.rebuild is not None else self.model

    def _rebuilds(self) -> bool:
        """Whether the model is made anew on the CPU: it is on meta, and values are needed."""
        last = self._rung + 1 == len(RUNGS)
        return last and self.on_cpu.rebuild is not None and any(tensor.is_meta for tensor in self._untouchable)


class ComplexError(Exception):
    """The forward makes complex numbers and convolves: its convolutions are to be seen whole."""


class FlexError(Exception):
    """The forward imported flex attention, which is to be written out from the start."""


class Watcher(Protocol):
    """What is told of tensors that leave torch, and of errors that come from their having no values."""

    def leaves(self, tensor: Tensor, where: str) -> None:
        """A tensor is handed to code whose operators aren't seen."""

    def note_valueless(self, error: Exception) -> None:
        """An error that the model may swallow."""

    def autocasts(self, device: str, *, on: bool) -> None:
        """The forward enters autocast."""


@contextlib.contextmanager
def watched(tracer: Watcher, modules: Modules) -> Iterator[None]:
    """What a forward runs where the tracer can't see is brought there, or named. CountError where threads hide it."""
    seen = exports_seen(tracer.leaves, tracer.note_valueless)
    known = FLEX in sys.modules
    try:
        with threads_seen() as threads, seen, autocast_seen(tracer.autocasts), written_out():
            yield
    except Exception:
        if not known and FLEX in sys.modules:
            raise FlexError from None
        raise
    if not known and FLEX in sys.modules:
        raise FlexError
    hidden = {**threads, **modules.elsewhere}
    if hidden:
        raise CountError(
            f"operators run in {', '.join(hidden)}, where they can't be seen",
            where=modules.path or "the root",
            fix="run them in the forward's own thread, or in a ThreadPoolExecutor, for the count",
        )


def _backward(result: Any) -> None:
    outputs = [tensor for tensor in tensors_in(result) if tensor.requires_grad]
    if not outputs:
        raise CountError(
            "no output needs a gradient, so there is no backward pass",
            fix="count the forward alone, without --backward",
        )
    torch.autograd.backward(outputs, [torch.ones_like(tensor) for tensor in outputs])


@contextlib.contextmanager
def plain_kernels(*, fused_attention: bool = False) -> Iterator[None]:
    """Operators as they are written: nothing fused (but attention, on request), compiled or handed to another
    library.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    fast, onednn = torch.backends.mha.get_fastpath_enabled(), torch._C._get_mkldnn_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    torch._C._set_mkldnn_enabled(False)
    try:
        with contextlib.ExitStack() as stack:
            if not fused_attention:
                stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            stack.enter_context(kept_out())
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        torch._C._set_mkldnn_enabled(onednn)


_ONE_AT_A_TIME = threading.RLock()


@contextlib.contextmanager
def untouched() -> Iterator[None]:
    """Random states, grad mode and the default dtype are afterwards as they were; nesting may be deep meanwhile.

    They are the process's: of several threads one counts at a time.
    """
    with _ONE_AT_A_TIME:
        yield from _untouched()


def _untouched() -> Iterator[None]:
    numpy = sys.modules.get("numpy")
    numpy_state = None if numpy is None else numpy.random.get_state()
    torch_state, python_state, dtype = torch.get_rng_state(), random.getstate(), torch.get_default_dtype()
    grads, deep = torch.is_grad_enabled(), sys.getrecursionlimit()
    sys.setrecursionlimit(max(deep, NESTING))
    try:
        yield
    finally:
        torch.set_rng_state(torch_state)
        random.setstate(python_state)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grads)
        sys.setrecursionlimit(deep)
        if numpy is not None:
            numpy.random.set_state(numpy_state)
