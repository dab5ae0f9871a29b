"""Runs of a model's copy, on meta where that is possible: the ladder of ways to run what meta can't.

1. On meta, with every tensor that the forward makes put there too.
2. On meta, where tensors that the forward makes without naming meta are real: it may read their values.
3. On CPU, on the given values or zeros, fused kernels off. This and the second see one path of the control flow.
"""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from analyzer.errors import CountError, lines_of
from analyzer.records import Remark
from analyzer.tracing.attribution import Modules, ModuleTally, Shape, tensors_in
from analyzer.tracing.copying import Convert, ModelCopy, copy_inputs, copy_model, to_cpu, to_meta
from analyzer.tracing.diagnosis import diagnose
from analyzer.tracing.origins import Origins
from analyzer.tracing.saved import SavedBytes
from analyzer.tracing.shapes import Shapes
from analyzer.tracing.tracer import Tracer

Inputs = tuple[Sequence[Any], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Pass:
    """What one forward (and its backward, where asked for) cost, module by module in the order they ran.

    `by_operator` has MACs and `uncounted` has calls, both by module and operator.
    `wrote_out_attention` says that scaled_dot_product_attention ran as the products it is made of. `depth` is that of
    the result: convolutions and products with a weight on the longest path to it. `unregistered` are the sizes of the
    parameters that the model reaches and does not own.
    """

    rows: dict[str, ModuleTally]
    outputs: dict[str, Shape | None]
    by_operator: dict[tuple[str, str], int]
    uncounted: dict[tuple[str, str], int]
    conventions: tuple[str, ...]
    backward_macs: int
    wrote_out_attention: bool
    depth: int
    unregistered: tuple[int, ...]

    @property
    def macs(self) -> int:
        """MACs of the forward."""
        return sum(row.macs for row in self.rows.values())


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to run: how tensors are copied, and whether those that the forward makes are put on meta."""

    convert: Convert
    redirect: bool
    told: str


RUNGS = (
    Rung(to_meta, True, "on meta"),
    Rung(to_meta, False, "on meta, but for the tensors that the forward makes"),
    Rung(to_cpu, False, "on CPU"),
)


class Ladder:
    """Runs a copy of a model, each time on the lowest rung that works. `notes` says where that isn't the first.

    `rebuild` makes the model anew on CPU, for a model on meta, whose buffers have no values.
    """

    def __init__(self, model: nn.Module, inputs: Inputs, rebuild: Callable[[], nn.Module] | None = None) -> None:
        self.model, self.inputs, self.rebuild = model, inputs, rebuild
        self.notes: list[Remark] = []
        self._rung = 0
        self._shapes = Shapes()
        self._copy: ModelCopy | None = None
        self._modules: Modules | None = None
        self._untouchable = [*model.parameters(), *model.buffers()]
        if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
            self._climb_to(len(RUNGS) - 1, "a scripted module has no form on meta")

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The copy's modules by path."""
        return {} if self._modules is None else self._modules.by_path

    def run(self, *, training: bool, backward: bool = False) -> Pass:
        """One forward in the given mode. Raises CountError that names the module that fails."""
        while True:
            try:
                return self._run_once(training, backward)
            except Exception as error:
                failed = self._modules.failed if self._modules else None
                failed = failed if failed and failed.error is error else None
                told = diagnose(error, failed, type(self.model).__name__)
                if self._rung + 1 == len(RUNGS) or isinstance(error, CountError) or not _needs_values(error):
                    raise told from error
                self._climb_to(self._rung + 1, f"{told.where}: {told.what}")

    def _climb_to(self, rung: int, reason: str) -> None:
        self._rung = rung
        self._copy = self._modules = None
        told = RUNGS[rung].told
        if rung + 1 == len(RUNGS):
            on_zeros = all(tensor.device.type == "meta" for tensor in tensors_in(self.inputs))
            told += " on zeros" if on_zeros else " on the given values"
        self.notes = [Remark(kind="one-path", text=f"counted on one path, {told}: {reason}")]

    def _run_once(self, training: bool, backward: bool) -> Pass:
        rung = RUNGS[self._rung]
        with torch.inference_mode(False), torch.enable_grad():
            if self._copy is None or self._modules is None:
                self._copy = copy_model(self._original(), rung.convert)
                self._modules = Modules(self._copy.module)
            copy, modules = self._copy.module.train(training), self._modules
            held = self._copy.held
            args, kwargs = copy_inputs(self.inputs, rung.convert)
            modules.begin()
            origins = Origins([*modules.parameters, *modules.buffers, *held], tensors_in((args, kwargs)))
            tracer = Tracer(modules, origins, self._untouchable, self._shapes if rung.redirect else None)
            saved = SavedBytes(modules, [*modules.parameters, *modules.buffers, *held])
            with plain_kernels(), tracer:
                with saved if training else contextlib.nullcontext():
                    result = copy(*args, **kwargs)
                depth = origins.depth(tensors_in(result))
                tracer.backward = True
                if backward:
                    _backward(result)
        return Pass(
            rows=modules.rows,
            outputs=modules.outputs,
            by_operator=dict(tracer.by_operator),
            uncounted=dict(tracer.uncounted),
            conventions=tuple(tracer.conventions),
            backward_macs=tracer.backward_macs,
            wrote_out_attention=tracer.wrote_out_attention,
            depth=depth,
            unregistered=tuple(p.numel() for p in (*held, *origins.strays.values()) if isinstance(p, nn.Parameter)),
        )

    def _original(self) -> nn.Module:
        on_meta = any(tensor.device.type == "meta" for tensor in (*self.model.parameters(), *self.model.buffers()))
        last = self._rung + 1 == len(RUNGS)
        return self.rebuild() if last and on_meta and self.rebuild is not None else self.model


def _backward(result: Any) -> None:
    outputs = [tensor for tensor in tensors_in(result) if tensor.requires_grad]
    if not outputs:
        raise CountError(
            "no output needs a gradient, so there is no backward pass",
            fix="count the forward alone, without --backward",
        )
    torch.autograd.backward(outputs, [torch.ones_like(tensor) for tensor in outputs])


def _needs_values(error: Exception) -> bool:
    """Whether an error comes from a tensor's having no values, and not from the model or its input."""
    text = "\n".join(lines_of(error)).lower()
    return isinstance(error, NotImplementedError) or any(
        word in text for word in ("meta", "data-dependent", "unallocated storage")
    )


@contextlib.contextmanager
def plain_kernels() -> Iterator[None]:
    """Operators as they are written: nothing fused, compiled or handed to another library."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    fast, onednn = torch.backends.mha.get_fastpath_enabled(), torch._C._get_mkldnn_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    torch._C._set_mkldnn_enabled(False)
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            if "torch._dynamo" in sys.modules:
                stack.enter_context(torch.compiler.set_stance("force_eager"))
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        torch._C._set_mkldnn_enabled(onednn)


@contextlib.contextmanager
def untouched() -> Iterator[None]:
    """Random states and the default dtype are afterwards as they were."""
    numpy = sys.modules.get("numpy")
    numpy_state = None if numpy is None else numpy.random.get_state()
    torch_state, python_state, dtype = torch.get_rng_state(), random.getstate(), torch.get_default_dtype()
    try:
        yield
    finally:
        torch.set_rng_state(torch_state)
        random.setstate(python_state)
        torch.set_default_dtype(dtype)
        if numpy is not None:
            numpy.random.set_state(numpy_state)
