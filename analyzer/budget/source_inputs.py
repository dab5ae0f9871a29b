"""What a model takes, as its repository says it: a tensor that it is called with, a dataset, its own first layer."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any

from analyzer.budget.source_index import Definition, dotted_name
from analyzer.budget.source_models import Construction, SourceModels, calls_in
from analyzer.budget.source_values import UNKNOWN, SourceScope

_TENSORS = {"randn", "rand", "zeros", "ones", "empty", "randint", "full"}
_WRAPPERS = {"to", "cuda", "cpu", "float", "long", "half", "requires_grad_", "type", "contiguous"}
_DATASETS = (
    (re.compile(r"CIFAR|SVHN"), "1,3,32,32"), (re.compile(r"MNIST"), "1,1,28,28"), (re.compile(r"STL10"), "1,3,96,96"),
)  # fmt: skip
_CROPS = {"RandomResizedCrop", "CenterCrop", "RandomCrop", "Resize"}
_FIRST_LAYERS = {
    "Conv1d": "1,{},1024", "Conv2d": "1,{},224,224", "Conv3d": "1,{},16,112,112",
    "Linear": "1,{}", "Embedding": "1,{}:int64",
}  # fmt: skip
"""What a model whose first layer is this takes; {} is the layer's first argument, or so many tokens."""
_SIZES = ("image_size", "img_size", "input_size", "resolution", "im_size")
_CHANNELS = ("in_channels", "channels", "in_chans", "n_channels", "num_channels", "in_c")
_LENGTHS = ("block_size", "context_length", "max_seq_len", "max_len", "n_positions", "seq_len", "max_length", "n_ctx")
_TOKENS = 128


def inputs_of(models: SourceModels, of: Definition | str, kwargs: Mapping[str, Any]) -> list[str]:
    """Inputs to try, the most certain first: as a configuration says them, several joined by a semicolon."""
    made = [each for each in models.constructions if each.of is of or each.of == of]
    found = [said for each in made for said in _called_with(each)]
    if isinstance(of, Definition):
        found += _examples(models, of)
    found += _by_size(models, of, kwargs)
    files = {each.scope.file: None for each in made if each.within is None or each.within is not of}
    for file in files:
        found += _datasets(models, file)
    guess = _by_first_layer(models, of, kwargs, set()) if isinstance(of, Definition) else None
    if guess and "{}" not in guess:
        found.append(guess)
    return list(dict.fromkeys(found))


def tensor_of(scope: SourceScope, node: ast.AST | None, depth: int = 0) -> str | None:
    """`2,3,32,32` of an expression that makes such a tensor; `:int64` behind it where it holds whole numbers."""
    if depth > 6 or node is None:
        return None
    if isinstance(node, ast.Name):
        bound = scope.binding(node.id)
        return None if bound is node else tensor_of(scope, bound, depth + 1)
    if not isinstance(node, ast.Call):
        return None
    name = dotted_name(node.func).rpartition(".")[2] or getattr(node.func, "attr", "")
    if isinstance(node.func, ast.Attribute) and name in _WRAPPERS:
        inner = tensor_of(scope, node.func.value, depth + 1)
        return f"{inner.partition(':')[0]}:int64" if inner and name == "long" else inner
    if name == "Variable" and node.args:
        return tensor_of(scope, node.args[0], depth + 1)
    return _literal(scope, node, name) if name in _TENSORS else None


def _literal(scope: SourceScope, node: ast.Call, name: str) -> str | None:
    keywords = {word.arg: word.value for word in node.keywords}
    given = [scope.value(part) for part in node.args]
    shape = scope.value(keywords["size"]) if "size" in keywords else None
    if shape is None:
        listed = [part for part in given if isinstance(part, list)]
        shape = listed[-1 if name == "randint" else 0] if listed else given
    sizes = shape if isinstance(shape, list) else [shape]
    if not sizes or not all(type(size) is int and 0 < size < 100_000 for size in sizes):
        return None
    whole = name == "randint" or dotted_name(keywords.get("dtype")).endswith(("long", "int64"))
    return ",".join(map(str, sizes)) + (":int64" if whole else "")


def _called_with(made: Construction) -> Iterator[str]:
    """What the model that a call makes is called with, in the same function or at the file's top."""
    scope = made.scope
    body = scope.around[-1] if scope.around else scope.index.files[scope.file].tree
    for call in calls_in(body):
        place = SourceScope(scope.index, scope.file, scope.around, call.lineno + 1)
        direct = call.func is made.node or (isinstance(call.func, ast.Name) and call.func.id == made.variable)
        if direct and call.args:
            each = [tensor_of(place, part) for part in call.args]
            if all(each):
                yield ";".join(filter(None, each))
        elif made.variable and call.args and dotted_name(call.args[0]) == made.variable:
            yield from _shown_with(place, call)


def _shown_with(scope: SourceScope, call: ast.Call) -> Iterator[str]:
    """`summary(net, (3, 32, 32))`, `torch.onnx.export(net, dummy, ...)`: sizes with or without a batch."""
    for part in [*call.args[1:2], *(word.value for word in call.keywords if word.arg == "input_size")]:
        said, sizes = tensor_of(scope, part), scope.value(part)
        if said:
            yield said
        elif isinstance(sizes, list) and len(sizes) in (3, 4) and all(type(size) is int and size > 0 for size in sizes):
            yield ",".join(map(str, sizes if len(sizes) == 4 else [1, *sizes]))


def _examples(models: SourceModels, of: Definition) -> Iterator[str]:
    """An example that the class itself keeps, then whatever its file, `dummy` ones of the repository alike, makes."""
    scope = SourceScope(models.index, of.file)
    for node in ast.walk(of.node):
        if isinstance(node, ast.Assign) and dotted_name(node.targets[0]).endswith("example_input_array"):
            said = tensor_of(scope, node.value)
            if said:
                yield said
    for file, value in models.dummies:
        said = tensor_of(SourceScope(models.index, file), value)
        if said:
            yield said


def _datasets(models: SourceModels, file: str) -> Iterator[str]:
    source = models.index.files[file]
    for call in calls_in(source.tree):
        name = dotted_name(call.func).rpartition(".")[2]
        for pattern, shape in _DATASETS:
            if pattern.search(name):
                yield shape
        if name in _CROPS and call.args:
            size = SourceScope(models.index, file).value(call.args[0])
            size = size[0] if isinstance(size, list) and size else size
            if type(size) is int and 8 <= size <= 1024:
                yield f"1,3,{size},{size}"


def _known(models: SourceModels, of: Definition | str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, those within configuration tables included, over the defaults that can be read."""
    made = [dict(kwargs)]
    if isinstance(of, Definition):
        from analyzer.budget.source_values import fields_of

        scope = SourceScope(models.index, of.file)
        made.insert(0, {name: scope.value(default) for name, default in fields_of(of).items()})
    for table in [value for value in kwargs.values() if isinstance(value, dict)]:
        maker = table.get("from", "")
        file, _, attribute = str(maker).rpartition(":")
        source = models.index.files.get(file)
        if source is not None and attribute in source.definitions:
            made.append(_known(models, source.definitions[attribute], {}))
        made.append(table)
    return {name: value for each in made for name, value in each.items() if value is not UNKNOWN}


def _by_size(models: SourceModels, of: Definition | str, kwargs: Mapping[str, Any]) -> Iterator[str]:
    known = _known(models, of, kwargs)
    size = next((known[name] for name in _SIZES if name in known), None)
    size = size[0] if isinstance(size, list) and size else size
    channels = next((known[name] for name in _CHANNELS if type(known.get(name)) is int), 3)
    if type(size) is int and 4 <= size <= 4096:
        yield f"1,{channels},{size},{size}"


def tokens_of(models: SourceModels, of: Definition | str, kwargs: Mapping[str, Any]) -> int:
    """How many tokens a model of text is given: 128, or fewer where it takes fewer."""
    known = _known(models, of, kwargs)
    lengths = [int(known[name]) for name in _LENGTHS if type(known.get(name)) is int and known[name] > 0]
    return min([_TOKENS, *lengths])


def _by_first_layer(
    models: SourceModels, of: Definition, kwargs: Mapping[str, Any], seen: set[Definition]
) -> str | None:
    """The input of the first layer that is made in the source's order, its parts' layers included."""
    seen.add(of)
    known = _known(models, of, kwargs)
    inits = [part for part in of.node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
    scope = SourceScope(models.index, of.file, (inits[0],) if isinstance(of.node, ast.ClassDef) and inits else ())
    for call in calls_in(of.node):
        name = dotted_name(call.func).rpartition(".")[2]
        first = scope.value(call.args[0]) if call.args else UNKNOWN
        if first is UNKNOWN and call.args:
            first = known.get(dotted_name(call.args[0]).rpartition(".")[2], UNKNOWN)
        part = models.makes(of.file, call.func)
        if isinstance(part, Definition) and part not in seen:
            below = _by_first_layer(models, part, {}, seen)
            if below is not None:
                return below.format(first) if "{}" in below and type(first) is int else below
        if name == "Embedding":
            return _FIRST_LAYERS[name].format(tokens_of(models, of, kwargs))
        if name in _FIRST_LAYERS:
            return _FIRST_LAYERS[name].format(first) if type(first) is int else _FIRST_LAYERS[name]
    return None
