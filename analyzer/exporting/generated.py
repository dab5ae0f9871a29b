"""A network as one Python module: its layers and its forward written out by torch.fx, to be loaded by torch and
safetensors alone.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analyzer.distribution import NAME, VERSION
from analyzer.errors import TargetError

if TYPE_CHECKING:
    from torch import Tensor, fx, nn

    from analyzer.exporting.exportee import Exportee

STANDARD = ("builtins", "math", "operator", "_operator")
"""Modules, beside torch, whose functions a forward may call."""

TEMPLATE = '''\
"""A network with its weights beside it, in this file's name with .weights.safetensors. Needs torch and safetensors.

    logits = load()(images)  # images (N, *IMAGE), float32, normalised by MEAN and STD where those are known

Written in evaluation mode by {by}.
"""

from pathlib import Path

{imports}import torch
from safetensors import safe_open
from torch import nn

{facts}
# Tensors that are another one's.
TIED = {tied}


def layers():
    """Every layer, by its path."""
    return {{
{layers}    }}


def tensors():
    """Every tensor that is in no layer, by its path."""
    return {{
{tensors}    }}


class Network(nn.Module):
    """The network, without its weights."""

    def __init__(self):
        super().__init__()
        for path, layer in layers().items():
            owner, name = self.owner(path)
            owner.add_module(name, layer)
        for path, tensor in tensors().items():
            owner, name = self.owner(path)
            if isinstance(tensor, nn.Parameter):
                owner.register_parameter(name, tensor)
            else:
                owner.register_buffer(name, tensor)
        for path, first in TIED.items():
            (owner, name), (other, its) = self.owner(path), self.owner(first)
            setattr(owner, name, getattr(other, its))

    def owner(self, path):
        """The module that has what is at a path, and the name by which it has it."""
        module, (*folders, name) = self, path.split(".")
        for folder in folders:
            if folder not in module._modules:
                module.add_module(folder, nn.Module())
            module = module._modules[folder]
        return module, name

{forward}

def load(weights=Path(__file__).with_suffix(".weights.safetensors")):
    """The network with its weights, in evaluation mode. Raises ValueError where they are another one's."""
    with safe_open(weights, "pt") as file:
        if (file.metadata() or {{}}).get("source") != SOURCE:
            raise ValueError(f"{{weights}} has not the weights of this network")
        state = {{name: file.get_tensor(name) for name in file.keys()}}
    network = Network()
    network.load_state_dict(state | {{name: state[first] for name, first in TIED.items()}})
    return network.eval()
'''


@dataclass(frozen=True)
class GeneratedModule:
    """The text of a module, and the tensors that it loads, by path."""

    code: str
    tensors: dict[str, Tensor]


def generated(exportee: Exportee) -> GeneratedModule:
    """A network as a module's text. Raises TargetError where it calls what others don't have, or a layer can't be
    written; torch.fx's own error where it can't be traced.
    """
    from torch import fx

    from analyzer.training.checkpoints import unique

    model = exportee.model
    traced = fx.symbolic_trace(model)
    found = _Parts({}, {})
    found.read(exportee, traced)
    state, tied = unique({**model.state_dict(), **found.tensors})
    forward, imports = _forward(exportee, traced)
    facts = {name.upper(): value for name, value in _facts(exportee).items()}
    code = TEMPLATE.format(
        by=f"{NAME} {VERSION}", imports="".join(f"{line}\n" for line in imports), tied=ascii(tied),
        facts="".join(f"{name} = {value!a}\n" for name, value in facts.items()),
        layers="".join(f"        {path!a}: {text},\n" for path, text in found.layers.items()),
        tensors="".join(f"        {path!a}: {_empty(tensor)},\n" for path, tensor in found.tensors.items()),
        forward=textwrap.indent(forward, "    "),
    )  # fmt: skip
    return GeneratedModule(code, state)


def _facts(exportee: Exportee) -> dict[str, Any]:
    facts = {"source": exportee.facts()["source"], "network": exportee.name}
    about = exportee.about
    known = {} if about is None else {"classes": about.classes, "mean": about.mean, "std": about.std}
    return {**facts, "image": (exportee.channels, *exportee.size), **known}


@dataclass(frozen=True)
class _Parts:
    """What a network is made of, by path: layers as text, and tensors that are in none of them."""

    layers: dict[str, str]
    tensors: dict[str, Tensor]

    def read(self, exportee: Exportee, traced: fx.GraphModule) -> None:
        """Fills both: layers that are called or have tensors, and what the trace made constants."""
        nodes = traced.graph.nodes
        called = {node.target for node in nodes if node.op == "call_module"}
        for path, module in exportee.model.named_modules():
            own = {name: each for name, each in (*module._parameters.items(), *module._buffers.items())
                   if each is not None}  # fmt: skip
            if any(path.startswith(f"{layer}.") for layer in self.layers):
                continue
            if path in called or (own and _is_layer(module)):
                self.layers[path] = _constructed(exportee, path, module)
            else:
                self.tensors.update({f"{path}.{name}".removeprefix("."): each for name, each in own.items()})
        there = {name for name, _ in (*exportee.model.named_parameters(), *exportee.model.named_buffers())}
        for node in nodes:
            if node.op == "get_attr" and node.target not in there and node.target not in self.tensors:
                self.tensors[node.target] = traced.get_buffer(node.target)


def _is_layer(module: nn.Module) -> bool:
    """Whether a module is one of torch.nn's own."""
    from torch import nn

    return getattr(nn, type(module).__name__, None) is type(module)


def _constructed(exportee: Exportee, path: str, module: nn.Module) -> str:
    """A layer as the call that makes it: `nn.Conv2d(3, 64, (7, 7), bias=False)`. Raises TargetError where that makes
    another.
    """
    asked, options = _arguments(module)
    try:
        made = type(module)(*asked, **options)
        shapes = [{name: each.shape for name, each in one.state_dict().items()} for one in (made, module)]
        alike = repr(made) == repr(module) and shapes[0] == shapes[1]
    except Exception:  # whatever a layer makes of its own attributes
        alike = False
    if not (alike and _is_layer(module) and all(map(_is_literal, (*asked, *options.values())))):
        what = f"has a layer that can't be written out: {path} is a {type(module).__name__}"
        raise TargetError(what, where=exportee.name, fix="export .pt2, which needs no layer's text")
    said = [*map(repr, asked), *(f"{name}={value!r}" for name, value in options.items())]
    return f"nn.{type(module).__name__}({', '.join(said)})"


def _is_literal(value: Any) -> bool:
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError):
        return False


def _arguments(module: nn.Module) -> tuple[list[Any], dict[str, Any]]:
    """What a layer of its kind is made with: what must be said, and what is not the default."""
    must: list[Any] = []
    may: dict[str, Any] = {}
    for name, asked in inspect.signature(type(module)).parameters.items():
        if name in ("device", "dtype") or not hasattr(module, name):
            continue
        value = getattr(module, name)
        if name == "bias":
            value = value is not None and value is not False
        if asked.default is inspect.Parameter.empty:
            must.append(value)
        elif value != asked.default and not (isinstance(value, tuple) and set(value) == {asked.default}):
            may[name] = value
    return must, may


def _empty(tensor: Tensor) -> str:
    from torch import nn

    text = f"torch.empty({tuple(tensor.shape)}, dtype={tensor.dtype})"
    return f"nn.Parameter({text})" if isinstance(tensor, nn.Parameter) else text


def _forward(exportee: Exportee, traced: fx.GraphModule) -> tuple[str, list[str]]:
    """The text of the forward, and the imports that it needs beside torch. Raises TargetError."""
    for node in traced.graph.nodes:
        node.type = None  # what a user's own code annotates is not here
    made = traced.graph.python_code("self")
    (code,) = (each for each in compile(made.src, "forward", "exec").co_consts if inspect.iscode(each))
    imports = []
    for name, each in made.globals.items():
        if name not in code.co_names or name == "torch":
            continue
        home, own = (getattr(each, part, "") for part in ("__module__", "__name__"))
        if name in ("inf", "nan"):
            home, own = "math", name
        if home.split(".")[0] not in (*STANDARD, "torch") or not own:
            what = f"calls {own or name} of {home or 'its own'}, which others don't have"
            raise TargetError(what, where=exportee.name, fix="export .pt2, in which it is torch's operators")
        imports.append(f"from {home} import {own}" + ("" if own == name else f" as {name}"))
    return made.src.strip() + "\n", sorted(imports)
