"""The configuration: models and their budgets as data, in pyproject.toml under `tool.analyzer` or in analyzer.toml.

Everything that is read here ends as the structs of schema.py or as a UsageError that says the key and how to mend it.
Nothing is executed.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from analyzer.architecture.network import PRESETS
from analyzer.budget.figures import STATIC
from analyzer.budget.limits import PREDICTED, BudgetLimit, limits, waived_up_to
from analyzer.budget.predicted import predicted_limits
from analyzer.budget.schema import BASELINE, Configuration, FigureBudget, Model, Waiver
from analyzer.budget.untrusted_files import read_text
from analyzer.errors import UsageError, did_you_mean
from analyzer.graphs.onnx_file import SUFFIX as ONNX
from analyzer.records import Input
from analyzer.structs import Frozen
from analyzer.targets.files import is_file_name
from analyzer.targets.inputs import parse_input
from analyzer.targets.isolation import SECONDS
from analyzer.targets.resolving import named
from analyzer.units import parse_seconds

FILES = ("analyzer.toml", "pyproject.toml")
MOST_BYTES = 2**20


class Project(Frozen, frozen=True, kw_only=True):
    """A configuration and where it stands: its file's name, the folder that paths start from, its text."""

    configuration: Configuration
    root: Path
    file: str
    text: str

    @property
    def path(self) -> Path:
        """The configuration's file."""
        return self.root / self.file

    @property
    def lock(self) -> Path:
        """The lock file beside it."""
        return self.root / "analyzer.lock"


# -- reading ---------------------------------------------------------------------------------------------------


def find(folder: Path, file: Path | None = None) -> Project:
    """The configuration in `file`, else the nearest one in `folder` or above it. Raises UsageError."""
    if file is not None:
        project = _in(file.parent.resolve(), file.name)
        if project is None:
            fix = (
                "check the path"
                if not file.exists()
                else "add [tool.analyzer.models.NAME]: `analyze init` proposes one"
            )
            raise UsageError("has no configuration of analyze", where=str(file), fix=fix)
        return project
    for place in (folder.resolve(), *folder.resolve().parents):
        here = [project for name in FILES if (project := _in(place, name)) is not None]
        if len(here) > 1:
            raise UsageError(
                f"{' and '.join(FILES)} both configure analyze", where=str(place), fix="keep one, or name it: --config"
            )
        if here:
            return here[0]
    raise UsageError(
        "there is no configuration", where=str(folder), fix="`analyze init` proposes one, or name it: --config FILE"
    )


def _in(root: Path, name: str) -> Project | None:
    path = root / name
    text = read_text(path, most=MOST_BYTES)
    if text is None:
        return None
    configuration = parse(text, name)
    return None if configuration is None else Project(configuration=configuration, root=root, file=name, text=text)


def parse(text: str, name: str) -> Configuration | None:
    """The configuration of a file's text; None of a pyproject.toml without `tool.analyzer`. Raises UsageError."""
    try:
        data: Any = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"is not TOML: {error}", where=name, fix="mend the line it names") from None
    at = name
    if Path(name).name == "pyproject.toml":
        tool = data.get("tool", {})
        data, at = tool.get("analyzer") if isinstance(tool, dict) else None, f"{name}: tool.analyzer"
        if data is None:
            return None
    return from_data(data, at)


def from_data(data: Any, where: str) -> Configuration:
    """The configuration of a table that was read. Raises UsageError."""
    configuration: Configuration = _struct(Configuration, data, where)
    shared = configuration.pythonpath
    if shared:
        models = {
            key: msgspec.structs.replace(model, pythonpath=[*model.pythonpath, *shared])
            if model.target and ":" in model.target
            else model
            for key, model in configuration.models.items()
        }
        configuration = msgspec.structs.replace(configuration, models=models)
    seconds_of(configuration, _below(where, "timeout"))
    for key, model in configuration.models.items():
        place = _below(where, f"models.{key}")
        _check_model(model, place)
        for limit in limits(model, place):
            if limit.of and limit.of not in configuration.models:
                _check_reference(limit, configuration)
    return configuration


def seconds_of(configuration: Configuration, where: str = "timeout") -> float:
    """The longest that counting a model may take. Raises UsageError."""
    said = configuration.timeout
    if said is None:
        return SECONDS
    seconds = parse_seconds(said, where=where) if isinstance(said, str) else float(said)
    if not 0 < seconds < 1e9:
        raise UsageError(f"{said!r} is no time to count in", where=where, fix='such as "10m"')
    return seconds


def _below(where: str, key: str) -> str:
    """A key's place: the file's name, a colon, then keys with dots."""
    return f"{where}.{key}" if ": " in where else f"{where}: {key}"


def _check_reference(limit: BudgetLimit, configuration: Configuration) -> None:
    try:
        named(limit.of)
    except UsageError as error:
        known = [*configuration.models, *PRESETS]
        fix = did_you_mean(limit.of, known) if error.where == "target" else error.fix
        raise UsageError(f"{limit.of[:80]!r} is no model", where=f"{limit.where}.of", fix=fix) from None


def _struct(kind: type[msgspec.Struct], data: Any, where: str) -> Any:
    """`data` as a struct, unknown keys named with the nearest known one; the innermost wrong table is the one named."""
    known = kind.__struct_encode_fields__
    if not isinstance(data, dict):
        as_limit = f": {{ max = {json.dumps(data)} }}" if "max" in known and type(data) in (int, float, str) else ""
        raise UsageError("is not a table", where=where, fix=f"write it as a TOML table{as_limit}")
    for key, value in data.items():
        if key not in known:
            raise UsageError(f"unknown key {key[:60]!r}", where=where, fix=did_you_mean(key, known))
        below = _below(where, key)
        for place, child_kind, child in _children(_CHILDREN.get(key), value, below):
            _struct(child_kind, child, place)
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        raise UsageError(what[0].lower() + what[1:], where=where + path.rstrip("`"), fix=_fix(what, path)) from None
    except RecursionError:
        raise UsageError("is nested too deep", where=where, fix="keep it flat") from None


_FIXES = {
    "level": 'say "error" or "warning"',
    "dtype": 'such as "bfloat16"',
    "input": 'such as [1, 3, 32, 32], or "ids=1,7:int64", or a list of such',
    "expires": "a TOML date: 2027-03-01",
    "batch": "a whole number from 1",
    "timeout": 'such as "10m"',
}


def _fix(what: str, path: str) -> str:
    if "missing required field" in what:
        return "add it"
    key = path.rstrip("`").rpartition(".")[2]
    return _FIXES.get(key, 'numbers are whole, or text such as "8M"; see the documentation of budgets')


_CHILDREN: dict[str, Any] = {
    "models": Model,
    "budgets": FigureBudget,
    "groups": {"": FigureBudget},
    "waivers": [Waiver],
}


def _children(below: Any, value: Any, where: str) -> Iterator[tuple[str, type[msgspec.Struct], Any]]:
    if isinstance(below, list) and isinstance(value, list):
        yield from ((f"{where}[{i}]", below[0], entry) for i, entry in enumerate(value))
    elif isinstance(below, dict) and isinstance(value, dict):
        for key, table in value.items():
            yield from _children(below[""], table, f"{where}.{key}")
    elif isinstance(below, type) and isinstance(value, dict):
        yield from ((f"{where}.{key}", below, entry) for key, entry in value.items())


# -- what means nothing ----------------------------------------------------------------------------------------


def _check_model(model: Model, where: str) -> None:
    if model.target is None and not model.variant:
        raise UsageError("names no model", where=where, fix='such as target = "net.py:build"')
    target = model.target or ""
    if ":" not in target and not is_file_name(target) and re.search(r"\.py$|/", target):
        raise UsageError(f"{target!r} names no attribute", where=where, fix=f"such as {target}:build")
    own = ":" in target
    misplaced: tuple[str, ...] = ("variant", "batch") if own else ("kwargs", "input", "dtype", "pythonpath")
    if target.endswith(ONNX) and not own:
        misplaced = ("variant", "batch", "kwargs", "dtype", "pythonpath")
    for key in misplaced:
        if getattr(model, key) not in (None, {}, []):
            other = "a model of your own" if own else "a file" if is_file_name(target) else "the family"
            fix = "say kwargs and input instead" if own else "say variant and batch instead"
            fix = "leave it out" if is_file_name(target) else fix
            raise UsageError(f"{key} means nothing to {other}", where=where, fix=fix)
    _check_kwargs(model.kwargs, f"{where}.kwargs")
    inputs_of(model, f"{where}.input")
    limits(model, where)
    predicted_limits(model, where)
    groups = set(model.groups)
    for i, waiver in enumerate(model.waivers):
        place = f"{where}.waivers[{i}]"
        waivable = (*STATIC, PREDICTED.name, BASELINE)
        if waiver.figure not in waivable:
            fix = did_you_mean(waiver.figure, waivable)
            raise UsageError(f"unknown figure {waiver.figure[:60]!r}", where=place, fix=fix)
        if waiver.group is not None and waiver.group not in groups:
            fix = did_you_mean(waiver.group, groups) if groups else "leave group out"
            raise UsageError(f"there is no group {waiver.group[:80]!r}", where=place, fix=fix)
        if not waiver.reason.strip() or not waiver.by.strip():
            raise UsageError("a waiver says why and by whom", where=place, fix="fill in reason and by")
        waived_up_to(waiver, place)


def inputs_of(model: Model, where: str = "input") -> tuple[Input, ...]:
    """The inputs of a model of one's own, in the configured dtype where they say none. Raises UsageError."""
    said = model.input
    if said is None:
        return ()
    if isinstance(said, str):
        each: list[Any] = [said]
    elif all(isinstance(size, int) for size in said):
        each = [said]
    elif any(isinstance(size, int) for size in said):
        raise UsageError(
            "mixes sizes and inputs", where=where, fix='such as [1, 3, 32, 32] or ["x=1,3,32,32", "ids=1,7:int64"]'
        )
    else:
        each = list(said)
    return tuple(_input(one, model.dtype, where) for one in each)


def _input(said: str | list[int | str], dtype: str | None, where: str) -> Input:
    """One input: text, a shape, or a tuple of texts."""
    if isinstance(said, str):
        text = said
    elif any(isinstance(part, str) for part in said):
        text = f"({';'.join(map(str, said))})"
    else:
        text = ",".join(map(str, said)) or "scalar"
    try:
        read = parse_input(text)
    except UsageError as error:
        raise UsageError(error.what, where=where, fix=error.fix) from None
    if 0 in read.shape:
        raise UsageError(f"{text!r} has no elements, so nothing would be counted", where=where, fix="use sizes from 1")
    return read if dtype is None or ":" in text else msgspec.structs.replace(read, dtype=dtype)


def _check_kwargs(value: Any, where: str) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_kwargs(inner, f"{where}.{key}")
    elif isinstance(value, list):
        for inner in value:
            _check_kwargs(inner, where)
    elif not isinstance(value, (str, int, float, bool)):
        raise UsageError(
            f"a {type(value).__name__} is no argument", where=where, fix="use text, numbers, lists, tables"
        )


def line_of(project: Project, model: str, key: str = "") -> int:
    """The line on which a model's table (or a key in it) begins, from 1; the file's first where it isn't found."""
    lines = project.text.split("\n")
    name = re.escape(model)
    header = re.compile(rf"""\s*\[\[?[^#]*\bmodels\s*\.\s*["']?{name}["']?\s*[.\]]""")
    start = next((i for i, line in enumerate(lines) if header.match(line)), 0)
    if key:
        wanted = re.compile(rf"""\s*(\[[^#]*)?["']?{re.escape(key)}["']?\s*[\].=]""")
        start = next((i for i in range(start, len(lines)) if wanted.search(lines[i])), start)
    return start + 1
