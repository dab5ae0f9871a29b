"""A configured model -> its figures: the family without torch, any other model by running its own code on meta."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from analyzer.architecture.axes import axis
from analyzer.architecture.variant import Variant
from analyzer.budget import source
from analyzer.budget.configuration import inputs_of
from analyzer.budget.lock_file import Identity
from analyzer.budget.schema import Model
from analyzer.budget.source import Place, within_repository
from analyzer.budget.untrusted_files import contained
from analyzer.errors import AnalyzerError, CountError, TargetError, UsageError
from analyzer.reading import family
from analyzer.records import Input, Record
from analyzer.structs import Frozen
from analyzer.targets.files import Costed, FileTarget, is_file_name, record_of_file, resolve_costed
from analyzer.targets.inputs import StructuredInput, tensors
from analyzer.targets.isolation import SECONDS, isolated
from analyzer.targets.loading import load
from analyzer.targets.resolving import FamilyTarget, ModuleTarget, resolve

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Counted:
    """A model's record, and where in the project the class of each of its modules is written."""

    record: Record
    places: Mapping[str, Place]

    def place(self, path: str) -> Place | None:
        """Where a module's class is written, that of the nearest around it that the project defines."""
        return self.places.get(path) or self.places.get("")


def resolved(model: Model, root: Path) -> Costed:
    """What the configuration names: a variant, a network's file or one's own code below `root`. Raises UsageError; runs
    nothing.
    """
    if model.target is not None and is_file_name(model.target):
        file = contained(root, model.target, f"target {model.target}")
        costed = resolve_costed(str(file))
        if isinstance(costed, FileTarget):
            return replace(costed, name=model.target, inputs=inputs_of(model))
        if isinstance(costed, FamilyTarget):
            return replace(costed, label=model.target)
        return replace(costed, name=model.target)
    if model.target is None or ":" not in model.target:
        options = {axis(name).field: axis(name).one(_text(name, value)) for name, value in model.variant.items()}
        return resolve(model.target, options)
    target = resolve(model.target)
    assert isinstance(target, ModuleTarget)
    if target.weights is not None:
        target = replace(target, weights=contained(root, str(target.weights), f"target {model.target}"))
    if target.location.endswith(".py"):
        contained(root, target.location, f"target {model.target}")
        location = PurePosixPath(target.location.replace("\\", "/")).as_posix()
        target = replace(target, location=location, name=f"{location}:{target.attribute}")
    for folder in model.pythonpath:
        within_repository(root, folder)
    return replace(
        target, kwargs=tuple(model.kwargs.items()), inputs=inputs_of(model), dtype=model.dtype,
        path=tuple(model.pythonpath),
    )  # fmt: skip


def _text(name: str, value: Any) -> str:
    """An option's value as the command line would say it."""
    if isinstance(value, list):
        return axis(name).values.between.join(map(str, value))
    return str(value)


def identity_of(model: Model, root: Path) -> Identity:
    """What a configuration's model is, in its canonical form. Raises UsageError."""
    target = resolved(model, root)
    if isinstance(target, FamilyTarget):
        return Identity(target=target.variant.name, kwargs={}, inputs=(), dtype=None, batch=model.batch or 1)
    if isinstance(target, FileTarget):
        inputs = tuple(map(input_text, target.inputs))
        return Identity(target=target.name, kwargs={}, inputs=inputs, dtype=None, batch=1)
    inputs = tuple(map(input_text, target.inputs))
    return Identity(target=target.name, kwargs=model.kwargs, inputs=inputs, dtype=model.dtype, batch=1)


def count(
    model: Model, root: Path, *, peaks: bool = False, work: bool = False, not_from: Path | None = None,
    seconds: float = SECONDS,
) -> Counted:  # fmt: skip
    """The figures of a configured model; a model of one's own has peaks, and its `work`, only where they are asked for.

    Its code runs in `root`, for `seconds` at most, and must not come from `not_from`. Raises an AnalyzerError where it
    can't be counted.
    """
    target = resolved(model, root)
    if isinstance(target, FamilyTarget):
        return Counted(family.record(target.variant, model.batch or 1, label=target.label), {})
    if isinstance(target, FileTarget):
        return Counted(record_of_file(target, seconds=seconds), {})
    return isolated(lambda: _count_module(target, root, peaks, work, not_from), Counted, target, seconds=seconds)


def _count_module(target: ModuleTarget, root: Path, peaks: bool, work: bool, not_from: Path | None) -> Counted:
    with contextlib.chdir(root), _without_code_of(not_from):
        made = load(target)
        if not_from is not None:
            _require_elsewhere(not_from, target)
        if isinstance(made, Variant):
            return Counted(family.record(made, 1, label=target.name), {})
        record = _record(target, made, peaks, work)
        place = source.places(made, _factory(target), root)
        paths = ["", *(row.path for row in record.layers or ())]
        return Counted(record, {path: at for path in paths if (at := place(path)) is not None})


class Fitting(Frozen, frozen=True, kw_only=True):
    """Which of several targets could be made, which of several inputs it took (None: none), and what it costs."""

    model: int
    input: int | None
    record: Record


def first_fitting(models: Sequence[Model], inputs: Sequence[Model], root: Path, seconds: float) -> Fitting:
    """The first model that can be made, on the first input (each in a model of its own) that it is fully counted on.

    All in one process. Raises the first AnalyzerError where none can be made.
    """
    targets = [resolved(model, root) for model in models]
    given = [inputs_of(model) for model in inputs]
    first = targets[0]
    assert isinstance(first, ModuleTarget)
    return isolated(lambda: _first_fitting(targets, given, root), Fitting, first, seconds=seconds)


def _first_fitting(targets: Sequence[Costed], given: Sequence[tuple[Input, ...]], root: Path) -> Fitting:
    failed: AnalyzerError | None = None
    with contextlib.chdir(root):
        for number, target in enumerate(targets):
            assert isinstance(target, ModuleTarget)
            try:
                made = load(target)
            except AnalyzerError as error:
                failed = failed or error
                continue
            if isinstance(made, Variant):
                return Fitting(model=number, input=None, record=family.record(made, 1, label=target.name))
            for place, inputs in enumerate(given):
                with contextlib.suppress(CountError):
                    record = _record(replace(target, inputs=inputs), made, False)
                    if not record.uncounted:
                        return Fitting(model=number, input=place, record=record)
            return Fitting(model=number, input=None, record=_record(target, made, False))
    assert failed is not None
    raise failed


def _record(target: ModuleTarget, model: nn.Module, peaks: bool, work: bool = False) -> Record:
    from analyzer.tracing.parameters import count_parameters
    from analyzer.tracing.room import OnCpu
    from analyzer.tracing.trace import count_module

    if not target.inputs:
        if peaks:
            raise UsageError("peaks need an input", where=target.name, fix="such as input = [1, 3, 224, 224]")
        return count_parameters(model, name=target.name)
    args, keywords = tensors(target.inputs)
    rebuild = cast("Callable[[], nn.Module]", lambda: load(target, device="cpu"))
    record = count_module(model, args, keywords, name=target.name, on_cpu=OnCpu(rebuild), follows_work=work)
    if not peaks:
        return record
    from analyzer.tracing.prediction import with_peaks

    return with_peaks(record, model, args, keywords)


def _factory(target: ModuleTarget) -> Any:
    """The class or function that made the model, where it can be found again without making anything."""
    name = Path(target.location).stem if target.location.endswith(".py") else target.location
    maker: Any = sys.modules.get(f"_analyzed_{name}") or sys.modules.get(name)
    for part in target.attribute.split("."):
        maker = getattr(maker, part, None)
    return maker


@contextlib.contextmanager
def _without_code_of(folder: Path | None) -> Iterator[None]:
    """Nothing that was imported from a folder is there for as long as this lasts, and nothing is found in it."""
    if folder is None:
        yield
        return
    loaded, path = _loaded_from(folder), list(sys.path)
    for name in loaded:
        del sys.modules[name]
    sys.path[:] = [place for place in path if place and not _is_code_in(Path(place), folder)]
    try:
        yield
    finally:
        sys.path[:] = path
        sys.modules.update(loaded)


def _loaded_from(folder: Path) -> dict[str, ModuleType]:
    """Modules of the project's own that were imported from a folder."""
    return {
        name: module
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] not in ("analyzer", "__main__")
        and isinstance(file := getattr(module, "__file__", None), str)
        and _is_code_in(Path(file), folder)
    }


def _is_code_in(path: Path, folder: Path) -> bool:
    path = path.resolve()
    installed = {"site-packages", "dist-packages"} & set(path.parts) or path.is_relative_to(Path(sys.prefix).resolve())
    return path.is_relative_to(folder) and not installed


def _require_elsewhere(folder: Path, target: ModuleTarget) -> None:
    """TargetError where code in `folder` was imported: it is another commit's than the one that is to be counted."""
    for name in _loaded_from(folder):
        raise TargetError(
            f"{name} is imported from {folder}, whatever commit is checked out", where=target.name,
            fix="uninstall the editable package, or compare with the lock alone: --no-rebuild",
        )  # fmt: skip


def input_text(given: Input) -> str:
    """An input as the configuration and the command line say it: `ids=1,7:int64`."""
    name = f"{given.name}=" if given.name else ""
    if isinstance(given, StructuredInput):
        return f"{name}{given.form}"
    return f"{name}{','.join(map(str, given.shape)) or 'scalar'}:{given.dtype}"
