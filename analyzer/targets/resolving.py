"""What a user names on the command line -> a variant of the family, or any PyTorch model with its inputs.

Loading `package.module:attr` or `path/file.py:attr` runs that code with the rights of whoever calls this: only name
code that you would run. Nothing else here executes what it reads.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import json
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from analyzer.architecture.blocks import BLOCKS
from analyzer.architecture.network import PRESETS
from analyzer.architecture.variant import Variant
from analyzer.errors import AnalyzerError, TargetError, UsageError, did_you_mean
from analyzer.records import Input
from analyzer.space.axes import axis
from analyzer.targets.inputs import parse_input

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class FamilyTarget:
    """A variant, and how the user said it where that is neither a preset's name nor the canonical one."""

    variant: Variant
    label: str | None = None


@dataclass(frozen=True)
class ModuleTarget:
    """Any other model: where it comes from, how it is called, and its inputs (none: they were not given).

    `dtype` is what its floating-point parameters and buffers are cast to; None leaves them as they are made.
    """

    name: str
    location: str
    attribute: str
    kwargs: tuple[tuple[str, Any], ...] = ()
    inputs: tuple[Input, ...] = ()
    dtype: str | None = None


Resolved = FamilyTarget | ModuleTarget


def resolve(
    text: str | None,
    options: Mapping[str, Any] | None = None,
    *,
    kwargs: Sequence[str] = (),
    inputs: Sequence[str] = (),
) -> Resolved:
    """The target that `text` and a variant's options name; with no text the options alone say the variant.

    `options` are Variant's fields; beside a preset or a canonical name they override it. `kwargs` (`k=v`) and
    `inputs` (`[name=]shape[:dtype]`) belong to a model of the user's own. Loads nothing. Raises UsageError.
    """
    options = dict(options or {})
    if text is not None and ":" in text:
        if options:
            raise UsageError(
                f"--{next(iter(options)).replace('_', '-')} belongs to the family, not to {text!r}",
                fix="pass the model's own arguments with --kwarg name=value",
            )
        location, _, attribute = text.rpartition(":")
        if not location or not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", attribute):
            raise UsageError(
                f"{text!r} names no attribute", where="target", fix="write package.module:attr or path/file.py:attr"
            )
        return ModuleTarget(text, location, attribute, parse_kwargs(kwargs), tuple(parse_input(i) for i in inputs))
    if kwargs or inputs:
        raise UsageError(
            "--kwarg and --input belong to a package.module:attr or path.py:attr target",
            where=text or "target",
            fix="say the family's own options: --image, --batch, --classes",
        )
    if text is None:
        return FamilyTarget(Variant(**options))
    variant = named(text)
    if not options:
        return FamilyTarget(variant)
    changes = {name: value for name, value in options.items() if getattr(variant, name) != value}
    said = " ".join(f"{axis(name).option}={_plain(value)}" for name, value in changes.items())
    return FamilyTarget(override(variant, options), f"{text} {said}" if said else None)


def named(text: str) -> Variant:
    """The variant of a preset's or a canonical name. Raises UsageError with the nearest name."""
    if text in PRESETS:
        return PRESETS[text]
    if text.split("_")[0] in BLOCKS and "_" in text:
        return Variant.parse(text)
    looks_like_file = text.endswith(".py") or "/" in text
    fix = f"add the attribute: {text}:build" if looks_like_file else did_you_mean(text, PRESETS)
    raise UsageError(
        f"unknown target {text[:120]!r}",
        where="target",
        fix=f"{fix} (or a variant's name, package.module:attr, path.py:attr)",
    )


def override(variant: Variant, options: Mapping[str, Any]) -> Variant:
    """The variant with some fields replaced; a new block takes its own defaults for what is left unsaid."""
    base = {field.name: getattr(variant, field.name) for field in fields(variant)}
    if options.get("block", variant.block) != variant.block:
        base.update(ratio=None, bn_size=None, compression=None)
    if "ratio" in options or "bn_size" in options:
        base.update(ratio=None, bn_size=None)
    if isinstance(variant.growth, tuple) and "block_config" in options and "growth" not in options:
        raise UsageError("growth is one a stage here", where="--blocks", fix="say --growth too")
    return replace(variant, **{**base, **options})


def _plain(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def parse_kwargs(texts: Sequence[str]) -> tuple[tuple[str, Any], ...]:
    """Keyword arguments from `name=value`; the value is JSON where it reads as JSON, else text. Nothing is executed."""
    parsed: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"{text[:80]!r} is not name=value", where="--kwarg", fix="write it as width=32")
        try:
            parsed[name] = json.loads(value)
        except (ValueError, RecursionError):
            parsed[name] = {"True": True, "False": False, "None": None}.get(value, value)
    return tuple(parsed.items())


# -- loading a user's model ------------------------------------------------------------------------------------


def load(target: ModuleTarget, *, device: str = "meta") -> nn.Module | Variant:
    """Imports the target's code and makes its model, on `device` (on CPU where that fails on meta).

    An attribute may be a module, a Variant, or a class or function that returns one. torch's random state is left as
    it was. Raises TargetError that says whose line failed.
    """
    import torch
    from torch import nn

    with _code_of(target):
        found = _attribute(_import(target), target)
        if isinstance(found, (nn.Module, Variant)):
            if target.kwargs or target.dtype:
                raise TargetError(
                    "is an instance: it takes no arguments and is not cast",
                    where=target.name,
                    fix="name its class or factory",
                )
            return found
        if not callable(found):
            raise TargetError(
                f"is a {type(found).__name__}, not a model",
                where=target.name,
                fix="name an nn.Module, its class or a factory",
            )
        with torch.random.fork_rng(devices=[]):
            made = _construct(found, target, device)
    if not isinstance(made, (nn.Module, Variant)):
        raise TargetError(
            f"returned a {type(made).__name__}, not a model", where=target.name, fix="return an nn.Module"
        )
    if isinstance(made, nn.Module) and target.dtype is not None:
        return made.to(getattr(torch, target.dtype))
    return made


def import_module(target: ModuleTarget) -> ModuleType:
    """Imports the file or module that a target names, whatever its attribute. Raises TargetError."""
    with _code_of(target):
        return _import(target)


def _construct(factory: Any, target: ModuleTarget, device: str) -> Any:
    import torch

    kwargs = dict(target.kwargs)
    try:
        with torch.device(device):
            return factory(**kwargs)
    except (Exception, SystemExit) as first:
        if device == "cpu":
            raise _failed("can't be constructed", target, first, factory) from first
    # Some constructors look at values (`.item()` in a drop-path schedule), which meta tensors have not.
    try:
        with torch.device("cpu"):
            return factory(**kwargs)
    except (Exception, SystemExit) as second:
        raise _failed("can't be constructed", target, second, factory) from second


@contextlib.contextmanager
def _code_of(target: ModuleTarget) -> Iterator[None]:
    """The target's own folder first on the import path, for as long as it loads, then the current one and its src.

    Modules that another target's folder brought are forgotten: two models may each have a `layers.py` beside them.
    """
    location, here = Path(target.location), Path.cwd()
    folders = [location.resolve().parent] if location.suffix == ".py" else []
    folders += [folder for folder in (here, here / "src") if folder.is_dir() and folder not in folders]
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
    """The folder that a module was found in under its own name; what merely lies below it (`.venv`) was found elsewhere."""
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
    name = re.sub(r"\W", "_", path.stem)
    loader = _FromSource(f"_analyzed_{name}", str(path))
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
    found: Any = module
    for part in target.attribute.split("."):
        if not hasattr(found, part):
            known = [name for name in dir(found) if not name.startswith("_")]
            raise TargetError(f"has no attribute {part!r}", where=target.location, fix=did_you_mean(part, known[:40]))
        found = getattr(found, part)
    return found


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
    message = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {message[0]}" if message else type(error).__name__
    return TargetError(f"{what}: {text}{place}", where=target.name, fix=_cure(error, text, target, factory))


def _cure(error: BaseException, text: str, target: ModuleTarget, factory: Any) -> str:
    """What to do about an error of the user's code."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.partition(".")[0]
        return f"install it: pip install {_DISTRIBUTIONS.get(top, top)}"
    if isinstance(error, ImportError) and "relative import" in text:
        root, dotted = _dotted(Path(target.location))
        return f"name the module, not the file: {dotted}:{target.attribute}, from the folder {root}"
    if isinstance(error, TypeError) and "argument" in text:
        return _arguments(text, factory)
    if "CUDA" in text:
        return "leave the device to whoever uses the model (no .cuda() in it): counting needs no GPU"
    return "make it import and construct on its own first"


_DISTRIBUTIONS = {
    "cv2": "opencv-python", "PIL": "pillow", "sklearn": "scikit-learn", "skimage": "scikit-image", "yaml": "pyyaml",
}  # fmt: skip
"""Modules whose distribution has another name."""


def _dotted(path: Path) -> tuple[Path, str]:
    """The folder to run from, and a file's name as a module there: as far up as there are packages, one at least."""
    path = path.resolve()
    parts, folder = [] if path.stem == "__init__" else [path.stem], path.parent
    while True:
        parts.insert(0, folder.name)
        folder = folder.parent
        if not (folder / "__init__.py").is_file():
            return folder, ".".join(parts)


def _arguments(text: str, factory: Any) -> str:
    """What arguments the factory takes, where it is one of the user's that was called wrongly."""
    try:
        taken = [name for name, one in inspect.signature(factory).parameters.items() if one.kind in _BY_NAME]
    except (TypeError, ValueError):
        taken = []
    wrong = re.search(r"unexpected keyword argument '(\w+)'", text)
    if wrong and taken and wrong[1] not in taken:
        return f"{did_you_mean(wrong[1], taken)} --kwarg takes {', '.join(taken)}"
    listed = f" (it takes {', '.join(taken)})" if taken else ""
    return f"pass its arguments with --kwarg name=value{listed}"


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
