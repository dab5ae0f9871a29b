"""Net -> torch modules: one module a scope, its class named after the scope's kind, its forward the recorded steps."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from analyzer.architecture import ops
from analyzer.architecture.network import trace
from analyzer.architecture.ops import Op, Scope
from analyzer.architecture.schedule import Call, ModulePlan, plan
from analyzer.architecture.variant import Variant
from analyzer.errors import ArchitectureError, TargetError

# An old torchvision checkpoint says `denselayer1.norm.1.weight` where it now says `denselayer1.norm1.weight`.
_OLD_KEY = re.compile(r"(norm|relu|conv)\.([123]\..*)")


class ModuleStep:
    """One call of a module's forward: a child by name, or a function; which values it reads, writes and ends."""

    __slots__ = ("call", "child", "ends", "reads", "writes")

    def __init__(
        self, child: str, call: tuple[Any, ...], reads: tuple[int, ...], writes: tuple[int, ...], ends: tuple[int, ...]
    ) -> None:
        self.child, self.call, self.reads, self.writes, self.ends = child, call, reads, writes, ends

    def __deepcopy__(self, memo: dict[int, Any]) -> ModuleStep:
        return self  # nothing changes a step once it is wired: copies of a module share them

    def __getstate__(self) -> tuple[Any, ...]:
        return self.child, self.call, self.reads, self.writes, self.ends

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.child, self.call, self.reads, self.writes, self.ends = state


class TracedModule(nn.Module):
    """A scope as a module. Subclasses exist only to carry the scope's kind as their class name."""

    checkpointed = False

    def __init__(self, takes: tuple[int, ...], gives: tuple[int, ...], steps: list[ModuleStep]) -> None:
        super().__init__()
        self.takes, self.gives, self.steps = takes, gives, steps

    def forward(self, *inputs: Tensor) -> Any:
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
            result = getattr(self, step.child)(*args) if step.child else self._call(step.call, args)
            del args
            if len(step.writes) == 1:
                values[step.writes[0]] = result
            else:
                values.update(zip(step.writes, result, strict=True))
            del result
        if len(self.gives) == 1:
            return values[self.gives[0]]
        return tuple(values[key] for key in self.gives)

    def _call(self, call: tuple[Any, ...], args: list[Tensor]) -> Tensor:
        name, *options = call
        if name == "dropout":
            return F.dropout(args[0], options[0], self.training)
        return FUNCTIONS[name](args, *options)

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
        return _blank, (type(self).__name__,), self.__getstate__()  # type: ignore[no-untyped-call]


FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "concat": lambda xs: torch.cat(xs, 1),
    "add": lambda xs: xs[0] + xs[1],
    "add_": lambda xs: xs[0].add_(xs[1]),
    "global_pool": lambda xs: F.adaptive_avg_pool2d(xs[0], 1),
    "window_pool": lambda xs: F.avg_pool2d(xs[0], xs[0].shape[-2:]),
    "sigmoid": lambda xs: torch.sigmoid(xs[0]),
    "slice": lambda xs, start, channels: xs[0].narrow(1, start, channels),
    "shuffle": lambda xs, groups: F.channel_shuffle(xs[0], groups),
    "scale": lambda xs: xs[0] * xs[1],
    "flatten": lambda xs: torch.flatten(xs[0], 1),
    "relu": lambda xs: F.relu(xs[0]),
    "relu_": lambda xs: F.relu(xs[0], inplace=True),
}

_kinds: dict[str, type[TracedModule]] = {}


def _kind(name: str) -> type[TracedModule]:
    if name not in _kinds:
        _kinds[name] = type(name, (TracedModule,), {"__module__": __name__, "__doc__": f"A traced {name}."})
    return _kinds[name]


def _blank(kind: str) -> TracedModule:
    cls = _kind(kind)
    return cls.__new__(cls)


def build(
    variant: Variant, *, device: str | torch.device = "cpu", seed: int = 0, checkpoint_layers: bool = False
) -> nn.Module:
    """The variant's network as a torch module, in training mode, taking (N, 3, image, image) float32.

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
            nn.init.zeros_(module.bias)


def _leaf(op: Op) -> nn.Module:
    """The torch module of a named op."""
    match op:
        case ops.Conv():
            padding = "same" if op.same and op.stride == 1 else op.padding
            return nn.Conv2d(
                op.x.channels, op.output.channels, op.kernel, op.stride, padding, groups=op.groups, bias=op.bias
            )
        case ops.Norm():
            return nn.BatchNorm2d(op.x.channels)
        case ops.ReLU():
            return nn.ReLU(inplace=op.inplace)
        case ops.MaxPool():
            return nn.MaxPool2d(op.kernel, op.stride, op.padding, ceil_mode=op.ceil)
        case ops.AvgPool():
            return nn.AvgPool2d(op.kernel, op.stride)
        case ops.GlobalPool():
            return nn.AdaptiveAvgPool2d(1)
        case ops.Linear():
            return nn.Linear(op.x.channels, op.output.channels)
    raise TypeError(f"{type(op).__name__} has no module")


def _function(op: Op) -> tuple[Any, ...]:
    """The key in FUNCTIONS of a functional op, and its options."""
    match op:
        case ops.Add():
            return ("add_" if op.inplace else "add",)
        case ops.GlobalPool():
            return ("window_pool" if op.window else "global_pool",)
        case ops.ReLU():
            return ("relu_" if op.inplace else "relu",)
        case ops.Dropout():
            return "dropout", op.rate
        case ops.Slice():
            return "slice", op.start, op.output.channels
        case ops.Shuffle():
            return "shuffle", op.groups
        case ops.Concat() | ops.Flatten() | ops.Sigmoid() | ops.Scale():
            return (type(op).__name__.lower(),)
    raise TypeError(f"{type(op).__name__} can't be functional: give it a name")


def _module(plan: ModulePlan) -> nn.Module:
    """A plan's module: nn.Sequential where that is the scope's kind, else a TracedModule of that class name."""
    scope = plan.scope
    children: dict[str, nn.Module] = {}
    for call in plan.calls:
        if call.plan is not None:
            children[call.step.name] = _module(call.plan)
        elif isinstance(call.step, Op) and call.step.name:
            children[call.step.name] = _leaf(call.step)
    if scope.kind == "Sequential":
        _require_chain(plan)
        chain = nn.Sequential()
        for name, child in children.items():
            chain.add_module(name, child)
        return chain
    module = _kind(scope.kind)(plan.takes, plan.gives, [_step(call) for call in plan.calls])
    for name, child in children.items():
        module.add_module(name, child)
    return module


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
    function = () if isinstance(step, Scope) or step.name else _function(step)
    return ModuleStep(step.name, function, call.reads, call.writes, call.ends)
