"""Net -> torch modules: one module a scope, its class named after the scope's kind, its forward the recorded steps."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from analyzer.architecture.facts import Op, Scope, TorchCall
from analyzer.architecture.network import trace
from analyzer.architecture.schedule import Call, ModulePlan, plan
from analyzer.architecture.variant import Variant
from analyzer.errors import ArchitectureError, TargetError

# An old torchvision checkpoint says `denselayer1.norm.1.weight` where it now says `denselayer1.norm1.weight`.
_OLD_KEY = re.compile(r"(norm|relu|conv)\.([123]\..*)")


class ModuleStep:
    """One call of a module's forward: a child by name, or a function; which values it reads, writes and ends."""

    __slots__ = ("call", "child", "ends", "function", "reads", "switched", "writes")

    def __init__(
        self,
        child: str,
        call: TorchCall | None,
        switched: bool,
        reads: tuple[int, ...],
        writes: tuple[int, ...],
        ends: tuple[int, ...],
    ) -> None:
        self.__setstate__((child, call, switched, reads, writes, ends))

    def __deepcopy__(self, memo: dict[int, Any]) -> ModuleStep:
        return self  # nothing changes a step once it is wired: copies of a module share them

    def __getstate__(self) -> tuple[Any, ...]:
        return self.child, self.call, self.switched, self.reads, self.writes, self.ends

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.child, self.call, self.switched, self.reads, self.writes, self.ends = state
        self.function = function(self.call) if self.call else _missing


def _missing(*_: Tensor, **__: Any) -> Any:
    raise TypeError("a step that calls a child has no function")


class TracedModule(nn.Module):
    """A scope that reads one value, as a module. Subclasses exist to carry the scope's kind as their class name."""

    checkpointed = False

    def __init__(self, takes: tuple[int, ...], gives: tuple[int, ...], steps: list[ModuleStep]) -> None:
        super().__init__()
        self.takes, self.gives, self.steps = takes, gives, steps

    def forward(self, x: Tensor) -> Any:
        """Runs the steps. One argument of a name: torch.fx and what builds on it trace no others."""
        return self._forward(x)

    def _forward(self, *inputs: Tensor) -> Any:
        """Runs the steps, under torch's checkpoint where it is `checkpointed` and trains."""
        if self.checkpointed and self.training and torch.is_grad_enabled():
            return checkpoint(self._run, *inputs, use_reentrant=False)
        return self._run(*inputs)

    def _run(self, *inputs: Tensor) -> Any:
        """Runs the steps in order. A value is dropped after its last use, as a local variable would be."""
        values = dict(zip(self.takes, inputs, strict=True))
        for step in self.steps:
            args = [values[key] for key in step.reads]
            for key in step.ends:
                del values[key]
            result = getattr(self, step.child)(*args) if step.child else self._call(step, args)
            del args
            if len(step.writes) == 1:
                values[step.writes[0]] = result
            else:
                values.update(zip(step.writes, result, strict=True))
            del result
        if len(self.gives) == 1:
            return values[self.gives[0]]
        return tuple(values[key] for key in self.gives)

    def _call(self, step: ModuleStep, args: list[Tensor]) -> Any:
        """Calls a step's function; one that is active in training alone is told which it is."""
        if step.switched:
            return step.function(*args, training=self.training)
        return step.function(*args)

    def __getitem__(self, index: int) -> nn.Module:
        return list(self.children())[index]

    def __len__(self) -> int:
        return len(self._modules)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for key in list(state_dict):
            match = _OLD_KEY.fullmatch(key, len(prefix)) if key.startswith(prefix) else None
            if match and match[1] not in self._modules:
                state_dict[prefix + match[1] + match[2]] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def __reduce_ex__(self, protocol: Any) -> Any:
        # The class is made at run time: say how to make it again, so that pickle and deepcopy find it.
        return _blank, (type(self).__name__, len(self.takes)), self.__getstate__()  # type: ignore[no-untyped-call]


class JoiningModule(TracedModule):
    """A scope that reads several values, as a module."""

    def forward(self, *inputs: Tensor) -> Any:
        """Runs the steps on the values that the scope reads, in order."""
        return self._forward(*inputs)


FUNCTIONS: dict[str, Callable[..., Tensor]] = {"add_": lambda x, y: x.add_(y), "concat": lambda *xs: torch.cat(xs, 1)}
"""Functions that torch has in another form; every other call is of torch's own, by its dotted name."""


def function(call: TorchCall) -> Callable[..., Any]:
    """A function of an op's values: torch's, with the call's arguments after them."""
    made: Any = FUNCTIONS.get(call.name) or functools.reduce(getattr, call.name.split("."), torch)
    return lambda *xs, **options: made(*xs, *call.arguments, **call.options, **options)


def module(call: TorchCall) -> nn.Module:
    """A module of torch.nn with its arguments."""
    made: nn.Module = getattr(nn, call.name)(*call.arguments, **call.options)
    return made


@functools.cache
def _kind(name: str, base: type[TracedModule]) -> type[TracedModule]:
    return type(name, (base,), {"__module__": __name__, "__doc__": f"A traced {name}."})


def _class_of(kind: str, takes: int) -> type[TracedModule]:
    return _kind(kind, TracedModule if takes == 1 else JoiningModule)


def _blank(kind: str, takes: int = 1) -> TracedModule:
    cls = _class_of(kind, takes)
    return cls.__new__(cls)


def build(
    variant: Variant, *, device: str | torch.device = "cpu", seed: int = 0, checkpoint_layers: bool = False
) -> nn.Module:
    """The variant's network as a torch module, in training mode, taking (N, 3, image, image) float32. torch.fx,
    torch.export and the ONNX exporter take it as it is.

    Initialised as the article does: Kaiming normal convolutions, BN 1 and 0, zero bias of the classifier; the same
    `seed` gives the same weights on every device, and torch's own random state is not touched. On the `meta` device
    nothing is allocated. With `checkpoint_layers` each layer keeps its input alone for the backward pass, and is run
    again there: less memory for more time, the same result. Raises ArchitectureError where the variant makes no
    network.
    """
    network = trace(variant)
    with torch.device("meta"):
        model = _module(plan(network)).float()  # whatever torch's default dtype is
    for module in model.modules() if checkpoint_layers else ():
        if type(module).__name__ == network.layer_kind and isinstance(module, TracedModule):
            module.checkpointed = True
    try:
        where = torch.device(device)
        if where.type == "meta":
            return model
        model = model.to_empty(device="cpu")
        _initialise(model, torch.Generator().manual_seed(seed))
        return model.to(where)
    except (RuntimeError, AssertionError) as error:
        raise TargetError(
            f"can't be built on {device}: {str(error).splitlines()[0]}",
            where=variant.name,
            fix="use --device cpu, or meta",
        ) from error


def _initialise(model: nn.Module, generator: torch.Generator) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5), generator=generator)  # nn.Linear's own
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif next(module.parameters(recurse=False), None) is not None:
            _reset(module, generator)


def _reset(module: Any, generator: torch.Generator) -> None:
    """Initialises a module as its class does, from the generator."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        module.reset_parameters()


def _module(plan: ModulePlan) -> nn.Module:
    """A plan's module: nn.Sequential where that is the scope's kind, else a TracedModule of that class name."""
    scope = plan.scope
    children: dict[str, nn.Module] = {}
    for call in plan.calls:
        if call.plan is not None:
            children[call.step.name] = _module(call.plan)
        elif not isinstance(call.step, Scope) and call.step.name:
            children[call.step.name] = module(_said(call.step, call.step.module, "a module: leave its name out"))
    if scope.kind == "Sequential":
        _require_chain(plan)
        chain = nn.Sequential()
        for name, child in children.items():
            chain.add_module(name, child)
        return chain
    built = _class_of(scope.kind, len(plan.takes))(plan.takes, plan.gives, [_step(call) for call in plan.calls])
    for name, child in children.items():
        built.add_module(name, child)
    return built


def _require_chain(plan: ModulePlan) -> None:
    """ArchitectureError unless nn.Sequential's forward does what the plan says."""
    if not plan.chains:
        raise ArchitectureError(
            "a Sequential can only chain modules, each reading the one before it alone",
            where=plan.scope.path,
            fix="give the scope another kind, such as Branch",
        )


def _step(call: Call) -> ModuleStep:
    step = call.step
    if isinstance(step, Scope) or step.name:
        return ModuleStep(step.name, None, False, call.reads, call.writes, call.ends)
    said = _said(step, step.function, "a function: give it a name")
    return ModuleStep("", said, step.trains_only, call.reads, call.writes, call.ends)


def _said(op: Op, call: TorchCall | None, what: str) -> TorchCall:
    if call is None:
        raise TypeError(f"{type(op).__name__} has no form as {what}")
    return call
