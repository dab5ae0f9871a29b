"""A model of the user's own, loaded: its code imported, its module made, its inputs as tensors.

Loading `package.module:attr` or `path/file.py:attr` runs that code with the rights of whoever calls this: only name
code that you would run.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import importlib
import importlib.machinery
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any, cast

from analyzer.architecture.variant import Variant
from analyzer.errors import AnalyzerError, TargetError, did_you_mean, words_of
from analyzer.targets.checkpoints import is_checkpoint, read_header, require_fit, require_weights
from analyzer.targets.configured import configured
from analyzer.targets.cures import cure_of
from analyzer.targets.resolving import HF, ModuleTarget
from analyzer.targets.transformers_models import make

if TYPE_CHECKING:
    from torch import nn


def load(target: ModuleTarget, *, device: str = "meta") -> nn.Module | Variant:
    """Imports the target's code and makes its model, on `device` (on CPU where that fails on meta).

    An attribute may be a module, a Variant, or a class or function that returns one. torch's random state is left as
    it was. Raises TargetError that says whose line failed.
    """
    import torch
    from torch import nn

    if target.weights is not None and target.location == str(target.weights):
        return _fitted(_parent(target, device), target.weights)
    with _code_of(target):
        attribute = _attribute(_import(target), target) if target.attribute != HF else functools.partial(make, target)
        if isinstance(attribute, (nn.Module, Variant)):
            if target.kwargs or target.dtype:
                raise TargetError(
                    "is an instance: it takes no arguments and is not cast",
                    where=target.name,
                    fix="name its class or factory",
                )
            if target.weights is None or isinstance(attribute, Variant):
                return attribute
            return _fitted(copy.deepcopy(attribute), target.weights)
        if not callable(attribute):
            raise TargetError(
                f"is a {type(attribute).__name__}, not a model",
                where=target.name,
                fix="name an nn.Module, its class or a factory",
            )
        with torch.random.fork_rng(devices=[]):
            made = _construct(attribute, target, device)
    if not isinstance(made, (nn.Module, Variant)):
        raise TargetError(
            f"returned a {type(made).__name__}, not a model", where=target.name, fix="return an nn.Module"
        )
    if isinstance(made, nn.Module) and target.weights is not None:
        made = _fitted(made, target.weights)
    if isinstance(made, nn.Module) and target.dtype is not None:
        made = made.to(getattr(torch, target.dtype))
    return cast("nn.Module | Variant", made)


def _parent(target: ModuleTarget, device: str) -> nn.Module:
    """The variant that a compressed checkpoint is made from, in training mode."""
    from analyzer.building.modules import build

    assert target.weights is not None
    variant = read_header(target.weights).checkpoint.parent
    if variant is None:
        raise TargetError("says not what it is made from", where=target.name, fix="name the model: path.py:attr@FILE")
    return build(variant, device=device)


def _fitted(model: nn.Module, weights: Path) -> nn.Module:
    """A model as a file of weights has it: compressed by its map, where it has one. Raises UsageError where its tensors
    are another's.
    """
    from analyzer.building.surgery import operate

    if not is_checkpoint(weights):
        require_weights(weights, model)
        return model
    header = read_header(weights)
    made = operate(model, header.checkpoint.surgery)
    require_fit(header, made, str(weights))
    return made


def load_object(target: ModuleTarget) -> Any:
    """What a target names, whatever it is; what a class or function makes where it is one. Raises TargetError."""
    with _code_of(target):
        attribute = _attribute(_import(target), target)
        if not (isinstance(attribute, type) or (callable(attribute) and not hasattr(attribute, "__getitem__"))):
            return attribute
        try:
            return attribute()
        except (Exception, SystemExit) as error:
            told = _failed("can't be made", target, error)
            told.fix = "name an object, or a function that makes it and takes no arguments"
            raise told from error


def import_module(target: ModuleTarget) -> ModuleType:
    """Imports the file or module that a target names, whatever its attribute. Raises TargetError."""
    with _code_of(target):
        return _import(target)


def _construct(factory: Any, target: ModuleTarget, device: str) -> Any:
    import torch

    def made() -> Any:
        if target.attribute == HF:
            return factory()
        named = {name: configured(value, lambda text: _named_by(text, target)) for name, value in target.kwargs}
        return factory(**named)

    from analyzer.tracing.shapes import Quick

    try:
        with torch.device(device), Quick() if device == "meta" else contextlib.nullcontext():
            return made()
    except (Exception, SystemExit) as first:
        if device == "cpu":
            raise _failed("can't be constructed", target, first, factory) from first
    # Some constructors look at values (`.item()` in a drop-path schedule), which meta tensors have not.
    try:
        with torch.device("cpu"):
            return made()
    except (Exception, SystemExit) as second:
        raise _failed("can't be constructed", target, second, factory) from second


def _named_by(text: str, target: ModuleTarget) -> Any:
    """What a text of the configuration names, in the modules that the model itself was made from where it is there."""
    location, _, attribute = text.rpartition(":")
    of = ModuleTarget(text, location, attribute)
    loaded = sys.modules.get(_module_name(Path(location))) if location == target.location else None
    if loaded is None and location.endswith(".py"):
        dotted = ".".join(Path(location).with_suffix("").parts)
        spec = importlib.util.find_spec(dotted) if Path(location).is_file() and "." not in dotted else None
        if spec is not None and spec.origin and Path(spec.origin).resolve() == Path(location).resolve():
            loaded = importlib.import_module(dotted)
    return _attribute(loaded or _import(of), of)


def _module_name(path: Path) -> str:
    return "_analyzed_" + re.sub(r"\W", "_", path.stem)


@contextlib.contextmanager
def _code_of(target: ModuleTarget) -> Iterator[None]:
    """The target's own folder first on the import path, for as long as it loads, then the current one and its src.

    Modules that another target's folder brought are forgotten: two models may each have a `layers.py` beside them.
    """
    location, here = Path(target.location), Path.cwd()
    folders = [location.resolve().parent] if location.suffix == ".py" else []
    others = (here, here / "src", *((here / folder).resolve() for folder in target.path))
    folders += [folder for folder in dict.fromkeys(others) if folder.is_dir() and folder not in folders]
    forget(folders)
    there = set(sys.modules)
    sys.path[:0] = map(str, folders)
    writes = sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # reading a model leaves nothing beside it
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes
        for folder in map(str, folders):
            with contextlib.suppress(ValueError):
                sys.path.remove(folder)
        for name in set(sys.modules) - there:
            home = _home(name, sys.modules[name], folders)
            if home is not None:
                _brought[name] = home


_brought: dict[str, Path] = {}
"""Modules that loading a target imported from the target's own folders, and which folder it was."""


def forget(but: Sequence[Path] = ()) -> None:
    """Makes the next load import anew what earlier ones imported from the targets' own folders, but for these."""
    for name in [name for name, home in _brought.items() if home not in but]:
        sys.modules.pop(name, None)
        del _brought[name]


def _home(name: str, module: ModuleType, folders: Sequence[Path]) -> Path | None:
    """The folder a module was found in under its own name; what merely lies below it (`.venv`) was found elsewhere."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or name.partition(".")[0] == "analyzer":
        return None
    path = Path(file).parent if Path(file).stem == "__init__" else Path(file).with_suffix("")
    return next((folder for folder in folders if path == folder.joinpath(*name.split("."))), None)


class _FromSource(importlib.machinery.SourceFileLoader):
    """Compiles the file as it is now: cached bytecode is told from its source by whole seconds and size alone."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _import(target: ModuleTarget) -> ModuleType:
    if not target.location.endswith(".py"):
        return _import_package(target)
    path = Path(target.location)
    if not path.is_file():
        raise TargetError(f"there is no file {target.location}", where=target.name, fix="check the path")
    loader = _FromSource(_module_name(path), str(path))
    spec = importlib.util.spec_from_file_location(loader.name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # so that its classes can be pickled and its dataclasses made
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(spec.name, None)
        raise _failed("can't be imported", target, error) from error
    return module


def _import_package(target: ModuleTarget) -> ModuleType:
    try:
        return importlib.import_module(target.location)
    except ModuleNotFoundError as error:
        if error.name and (target.location == error.name or target.location.startswith(error.name + ".")):
            raise TargetError(
                f"there is no module {error.name!r}",
                where=target.name,
                fix="run from its folder, install it, or name a path.py",
            ) from error
        raise _failed("can't be imported", target, error) from error
    except (Exception, SystemExit) as error:
        raise _failed("can't be imported", target, error) from error


def _attribute(module: ModuleType, target: ModuleTarget) -> Any:
    value: Any = module
    for part in target.attribute.split("."):
        if not hasattr(value, part):
            known = [name for name in dir(value) if not name.startswith("_")]
            raise TargetError(f"has no attribute {part!r}", where=target.location, fix=did_you_mean(part, known[:40]))
        value = getattr(value, part)
    return value


def _failed(what: str, target: ModuleTarget, error: BaseException, factory: Any = None) -> AnalyzerError:
    """A TargetError that shows the user's own line, not ours."""
    if isinstance(error, AnalyzerError):
        return error
    place = ""
    if isinstance(error, SyntaxError) and error.filename:
        place = f" at {error.filename}:{error.lineno}"
    else:
        ours = str(Path(__file__).parent)
        frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith((ours, "<frozen"))]
        frames = [f for f in frames if "site-packages" not in f.filename] or frames
        if frames:
            place = f" at {frames[-1].filename}:{frames[-1].lineno}" + (
                f" ({frames[-1].line})" if frames[-1].line else ""
            )
    text = words_of(error)
    return TargetError(f"{what}: {text}{place}", where=target.name, fix=cure_of(error, text, target, factory))
