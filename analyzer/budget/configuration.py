"""The configuration: models and their budgets as data, in pyproject.toml under `tool.analyzer` or in analyzer.toml.

The structs below are the schema (analyzer/budget/schema.json is made from them); everything that is read here ends as
these types or as a UsageError that says the key and how to mend it. Nothing is executed.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from analyzer.budget.figures import LAYERED, STATIC
from analyzer.budget.files import read_text
from analyzer.errors import UsageError, did_you_mean
from analyzer.records import Frozen, Input
from analyzer.targets import parse_input
from analyzer.units import parse_count

FILES = ("analyzer.toml", "pyproject.toml")
MOST_BYTES = 2**20
BASELINE = "baseline"
"""What a waiver names to accept a missing or stale baseline."""

_PERCENT = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?) ?%")

Number = int | str
Whole = Annotated[int, msgspec.Meta(ge=0)]


class Budget(Frozen, frozen=True, kw_only=True, rename="kebab"):
    """What one figure may be, all inclusive. Numbers are whole, or text such as `8M`, `32 MiB`, `2.8 GMACs`.

    `growth` (`5%`) is held against the baseline; growth of up to `growth_min` is never too much. `max_ratio` is of
    the same figure of another model, `of`: one of the configuration's, a preset, or a variant's name.
    """

    max: Number | None = None
    min: Number | None = None
    growth: Number | float | None = None
    growth_min: Number | None = None
    max_ratio: int | float | None = None
    of: str | None = None
    level: Literal["error", "warning"] = "error"
    message: str | None = None


class Waiver(Frozen, frozen=True, kw_only=True, rename="kebab"):
    """One figure's excess or growth that is accepted, up to `max` where that is said, until a date (the day included).

    `figure` may be `baseline`: then a missing or stale baseline is accepted.
    """

    figure: str
    reason: str
    by: str
    expires: date
    group: str | None = None
    max: Number | None = None


class Model(Frozen, frozen=True, kw_only=True, rename="kebab"):
    """A model: `target` is a preset, a variant's name, `path/file.py:attr` or `package.module:attr`.

    `variant` holds options of the family (`blocks`, `growth`, `classes`), alone or over the target's own. `kwargs` are
    the arguments of one's own factory, `input` its input's shape (or text such as `ids=1,7:int64`, or a list of such),
    `dtype` what its floating-point parameters and inputs are cast to. `groups` hold budgets by layers' glob.
    """

    target: str | None = None
    variant: dict[str, Any] = msgspec.field(default_factory=dict)
    batch: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    kwargs: dict[str, Any] = msgspec.field(default_factory=dict)
    input: str | list[Whole | str | list[Whole]] | None = None
    dtype: Literal["float32", "float64", "float16", "bfloat16"] | None = None
    budgets: dict[str, Budget] = msgspec.field(default_factory=dict)
    groups: dict[str, dict[str, Budget]] = msgspec.field(default_factory=dict)
    waivers: list[Waiver] = msgspec.field(default_factory=list)


class Configuration(Frozen, frozen=True, kw_only=True, rename="kebab"):
    """The table `tool.analyzer`, or the whole of analyzer.toml."""

    models: dict[str, Model] = msgspec.field(default_factory=dict)


class Found(Frozen, frozen=True, kw_only=True):
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


def find(folder: Path, file: Path | None = None) -> Found:
    """The configuration in `file`, else the nearest one in `folder` or above it. Raises UsageError."""
    if file is not None:
        found = _in(file.parent.resolve(), file.name)
        if found is None:
            fix = (
                "check the path"
                if not file.exists()
                else "add [tool.analyzer.models.NAME]: `analyze init` proposes one"
            )
            raise UsageError("has no configuration of analyze", where=str(file), fix=fix)
        return found
    for place in (folder.resolve(), *folder.resolve().parents):
        here = [found for name in FILES if (found := _in(place, name)) is not None]
        if len(here) > 1:
            raise UsageError(
                f"{' and '.join(FILES)} both configure analyze", where=str(place), fix="keep one, or name it: --config"
            )
        if here:
            return here[0]
    raise UsageError(
        "there is no configuration", where=str(folder), fix="`analyze init` proposes one, or name it: --config FILE"
    )


def _in(root: Path, name: str) -> Found | None:
    path = root / name
    text = read_text(path, most=MOST_BYTES)
    if text is None:
        return None
    configuration = parse(text, name)
    return None if configuration is None else Found(configuration=configuration, root=root, file=name, text=text)


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
    for key, model in configuration.models.items():
        _check_model(model, f"{where}.models.{key}" if ": " in where else f"{where}: models.{key}")
    return configuration


def _struct(kind: type[msgspec.Struct], data: Any, where: str) -> Any:
    """`data` as a struct, unknown keys named with the nearest known one; the innermost wrong table is the one named."""
    if not isinstance(data, dict):
        raise UsageError("is not a table", where=where, fix="write it as a TOML table")
    known = kind.__struct_encode_fields__
    for key, value in data.items():
        if key not in known:
            raise UsageError(f"unknown key {key[:60]!r}", where=where, fix=did_you_mean(key, known))
        below = f"{where}.{key}" if ": " in where else f"{where}: {key}"
        for place, child_kind, child in _children(_CHILDREN.get(key), value, below):
            _struct(child_kind, child, place)
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        raise UsageError(
            what[0].lower() + what[1:], where=where + path.rstrip("`"), fix='numbers are whole, or text such as "8M"'
        ) from None
    except RecursionError:
        raise UsageError("is nested too deep", where=where, fix="keep it flat") from None


_CHILDREN: dict[str, Any] = {"models": Model, "budgets": Budget, "groups": {"": Budget}, "waivers": [Waiver]}


def _children(below: Any, value: Any, where: str) -> Iterator[tuple[str, type[msgspec.Struct], Any]]:
    if isinstance(below, list) and isinstance(value, list):
        yield from ((f"{where}[{i}]", below[0], entry) for i, entry in enumerate(value))
    elif isinstance(below, dict) and isinstance(value, dict):
        for key, table in value.items():
            yield from _children(below[""], table, f"{where}.{key}")
    elif isinstance(below, type) and isinstance(value, dict):
        yield from ((f"{where}.{key}", below, entry) for key, entry in value.items())


# -- meaning ---------------------------------------------------------------------------------------------------


class Limit(Frozen, frozen=True, kw_only=True):
    """A budget whose numbers are read: of a figure, of the layers of a group (None: of the model)."""

    figure: str
    group: str | None
    maximum: int | None
    minimum: int | None
    growth: Fraction | None
    growth_min: int
    ratio: Fraction | None
    of: str
    level: Literal["error", "warning"]
    message: str | None
    where: str

    def most_grown(self, base: int) -> int:
        """The most that the figure may be after growth from `base`, exactly."""
        assert self.growth is not None
        return base + max(int(base * self.growth), self.growth_min)


def limits(model: Model, where: str = "") -> list[Limit]:
    """Every budget of a model, those of groups after its own. Raises UsageError on numbers that mean nothing."""
    found = [_limit(figure, None, budget, f"{where}.budgets.{figure}") for figure, budget in model.budgets.items()]
    for group, budgets in model.groups.items():
        place = f"{where}.groups.{group}"
        found += [_limit(figure, group, budget, f"{place}.{figure}") for figure, budget in budgets.items()]
    return found


def _limit(figure: str, group: str | None, budget: Budget, where: str) -> Limit:
    allowed = STATIC if group is None else LAYERED
    if figure not in allowed:
        what = f"layers have no {figure}" if figure in STATIC else f"unknown figure {figure[:60]!r}"
        raise UsageError(what, where=where, fix=did_you_mean(figure, allowed))
    if all(value is None for value in (budget.max, budget.min, budget.growth, budget.max_ratio)):
        raise UsageError("holds nothing", where=where, fix='say one of max, min, growth, max-ratio: { max = "8M" }')
    if budget.growth is None and budget.growth_min is not None:
        raise UsageError("growth-min needs growth", where=where, fix='such as { growth = "5%", growth-min = "1k" }')
    if (budget.max_ratio is None) != (budget.of is None):
        raise UsageError(
            "max-ratio and of go together", where=where, fix='such as { max-ratio = 1.0, of = "densenet121" }'
        )
    most, least = (_number(getattr(budget, name), figure, f"{where}.{name}") for name in ("max", "min"))
    if most is not None and least is not None and least > most:
        raise UsageError(f"min {least:,} is above max {most:,}", where=where, fix="exchange them")
    return Limit(
        figure=figure, group=group, maximum=most, minimum=least, growth=_growth(budget.growth, f"{where}.growth"),
        growth_min=_number(budget.growth_min, figure, f"{where}.growth-min") or 0,
        ratio=_ratio(budget.max_ratio, f"{where}.max-ratio"), of=budget.of or "", level=budget.level,
        message=budget.message, where=where,
    )  # fmt: skip


def _number(value: Number | None, figure: str, where: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, str):
        return parse_count(value, where=where, figure=figure)
    if not 0 <= value < 2**63:
        raise UsageError(f"{value:,} is out of range", where=where, fix="use 0 to 2^63-1")
    return value


def _growth(value: Number | float | None, where: str) -> Fraction | None:
    if value is None:
        return None
    match = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise UsageError(
            f"{value!r} is no growth",
            where=where,
            fix='write a share of the baseline, "5%"; an absolute one is growth-min',
        )
    return Fraction(match[1]) / 100


def _ratio(value: float | None, where: str) -> Fraction | None:
    if value is None:
        return None
    if not 0 <= value < 1e9:
        raise UsageError(f"{value!r} is no ratio", where=where, fix="write it as 1.0")
    return Fraction(repr(value))


def waived_up_to(waiver: Waiver, where: str) -> int | None:
    """The most that a waiver accepts; None: anything."""
    return _number(waiver.max, waiver.figure, f"{where}.max")


def _check_model(model: Model, where: str) -> None:
    if model.target is None and not model.variant:
        raise UsageError("names no model", where=where, fix='such as target = "net.py:build"')
    own = model.target is not None and ":" in model.target
    misplaced = ("variant", "batch") if own else ("kwargs", "input", "dtype")
    for key in misplaced:
        if getattr(model, key) not in (None, {}):
            other = "a model of your own" if own else "the family"
            fix = "say kwargs and input instead" if own else "say variant and batch instead"
            raise UsageError(f"{key} means nothing to {other}", where=where, fix=fix)
    _check_kwargs(model.kwargs, f"{where}.kwargs")
    inputs_of(model, f"{where}.input")
    limits(model, where)
    groups = set(model.groups)
    for i, waiver in enumerate(model.waivers):
        place = f"{where}.waivers[{i}]"
        if waiver.figure not in (*STATIC, BASELINE):
            raise UsageError(
                f"unknown figure {waiver.figure[:60]!r}",
                where=place,
                fix=did_you_mean(waiver.figure, (*STATIC, BASELINE)),
            )
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


def _input(said: str | list[int], dtype: str | None, where: str) -> Input:
    text = said if isinstance(said, str) else ",".join(map(str, said)) or "scalar"
    try:
        read = parse_input(text)
    except UsageError as error:
        raise UsageError(error.what, where=where, fix=error.fix) from None
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


def line_of(found: Found, model: str, key: str = "") -> int:
    """The line on which a model's table (or a key in it) begins, from 1; the file's first where it isn't found."""
    lines = found.text.split("\n")
    name = re.escape(model)
    header = re.compile(rf"""\s*\[\[?[^#]*\bmodels\s*\.\s*["']?{name}["']?\s*[.\]]""")
    start = next((i for i, line in enumerate(lines) if header.match(line)), 0)
    if key:
        wanted = re.compile(rf"""\s*(\[[^#]*)?["']?{re.escape(key)}["']?\s*[\].=]""")
        start = next((i for i in range(start, len(lines)) if wanted.search(lines[i])), start)
    return start + 1


def schema() -> dict[str, Any]:
    """The configuration as a JSON Schema, for editors."""
    made = msgspec.json.schema(Configuration)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "analyzer.toml", **made}


def schema_text() -> str:
    """The schema as the file that is shipped, schema.json."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def as_text(value: Any) -> str:
    """A configured value as people write it."""
    if isinstance(value, date):
        return value.isoformat()
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
