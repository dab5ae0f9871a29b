"""The configuration's form: these structs are its schema, and schema.json is made from them."""

from __future__ import annotations

import json
from datetime import date
from typing import Annotated, Any, Literal

import msgspec

from analyzer.structs import Frozen

BASELINE = "baseline"
"""What a waiver names to accept a missing or stale baseline."""

Number = int | str
Whole = Annotated[int, msgspec.Meta(ge=0)]


class FigureBudget(Frozen, frozen=True, kw_only=True, rename="kebab"):
    """What one figure may be, all inclusive. Numbers are whole, or text such as `8M`, `32 MiB`, `2.8 GMACs`.

    `growth` (`5%`) is held against the baseline; growth of up to `growth_min` is never too much. `max_ratio` is of
    the same figure of another model, `of`: one of the configuration's, a preset, or a variant's name. `on` is the
    device of `predicted_latency_s`, whose `max` is a time (`60ms`). `level` is `error`, of a prediction `warning`.
    """

    max: Number | None = None
    min: Number | None = None
    growth: Number | float | None = None
    growth_min: Number | None = None
    max_ratio: int | float | None = None
    of: str | None = None
    on: str | None = None
    level: Literal["error", "warning"] | None = None
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
    """A model: `target` is a preset, a variant's name, `path/file.py:attr`, `package.module:attr`, or the file of a
    network (`.safetensors`, `.onnx`).

    `variant` holds options of the family (`blocks`, `growth`, `classes`), alone or over the target's own. `kwargs` are
    the arguments of one's own factory; `{ from = "pkg.config:GPTConfig", n_layer = 4 }` there makes an object. `input`
    is its input's shape, or text such as `ids=1,7:int64`, or a list of such, in which a list is a tuple; `dtype` what
    its floating-point parameters and inputs are cast to. `groups` hold budgets by layers' glob. `pythonpath` are
    folders to import from.
    """

    target: str | None = None
    variant: dict[str, Any] = msgspec.field(default_factory=dict)
    batch: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    kwargs: dict[str, Any] = msgspec.field(default_factory=dict)
    input: str | list[Whole | str | list[Whole | str]] | None = None
    pythonpath: list[str] = msgspec.field(default_factory=list)
    dtype: Literal["float32", "float64", "float16", "bfloat16"] | None = None
    budgets: dict[str, FigureBudget] = msgspec.field(default_factory=dict)
    groups: dict[str, dict[str, FigureBudget]] = msgspec.field(default_factory=dict)
    waivers: list[Waiver] = msgspec.field(default_factory=list)


class Configuration(Frozen, frozen=True, kw_only=True, rename="kebab"):
    """The table `tool.analyzer`, or the whole of analyzer.toml.

    `timeout` (`10m`) is the longest that counting any one model may take. `pythonpath` are folders to import every
    model's code from, such as `["..", "src"]`: from the configuration's folder, inside the repository.
    """

    timeout: str | int | float | None = None
    pythonpath: list[str] = msgspec.field(default_factory=list)
    models: dict[str, Model] = msgspec.field(default_factory=dict)


def schema() -> dict[str, Any]:
    """The configuration as a JSON Schema, for editors."""
    made = msgspec.json.schema(Configuration)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "analyzer.toml", **made}


def schema_text() -> str:
    """The schema as the file that is shipped, schema.json."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
