"""Variant: one network of the family, as frozen, validated fields with one canonical name that parses back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from analyzer.architecture.blocks import BLOCKS, BlockType
from analyzer.architecture.stems import STEMS
from analyzer.errors import VariantError, did_you_mean

Growth = str | int | tuple[int, ...]
PerStage = float | tuple[float, ...]

LIMITS: dict[str, tuple[int, int]] = {
    "growth": (1, 1_000_000),
    "bn_size": (1, 10_000),
    "init": (1, 1_000_000),
    "groups": (1, 1_000_000),
    "kernel": (1, 63),
    "classes": (1, 100_000_000),
    "image": (1, 65_536),
}
MAX_STAGES, MAX_DEPTH = 8, 1000
MAX_NAME = 240


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One network of the family; equal fields are an equal variant, whatever was left to defaults.

    block: `residual`, `dense`, `basic`, `bottleneck` or another name in blocks.py, or registered with `@block`.
    block_config: layers a stage, 1 to 8 stages.
    growth: channels a layer adds: `"double"` (as many as it gets), an int, or one int a stage. In a ResNet the
        or VoVNet the stage's output width; `"double"` there is 4 x (2 x) init, doubled every stage.
    ratio: hidden width = int(ratio x input) (in a ResNet or VoVNet: x output), one or one a stage; or
    bn_size: hidden width = bn_size x growth. At most one of the two; the block's own default when neither.
    compression: a transition keeps int(compression x channels); 0 < compression <= 1; one or one a transition.
    init: channels after the stem. stem: `imagenet`, `deep`, `small` or `strided`.
    groups, kernel: of the layer's 3x3 convolution; the kernel is odd. drop: dropout rate after each layer.
    classes: outputs of the classifier. image: height = width of the RGB input, px.

    Raises VariantError where a field can't mean anything.
    """

    block: str = "residual"
    block_config: tuple[int, ...] = (2, 4, 3, 2)
    growth: Growth = "double"
    ratio: PerStage | None = None
    bn_size: int | None = None
    compression: PerStage | None = None
    init: int = 64
    stem: str = "imagenet"
    groups: int = 1
    kernel: int = 3
    drop: float = 0.0
    classes: int = 2
    image: int = 224

    def __post_init__(self) -> None:
        block = _known("block", self.block, BLOCKS)
        _known("stem", self.stem, STEMS)
        self._set("block_config", _depths(self.block_config))
        self._set("growth", _growth(self.growth, len(self.block_config)))
        for name in ("init", "groups", "kernel", "classes", "image"):
            self._set(name, _whole(name, getattr(self, name)))
        if self.kernel % 2 == 0:
            raise VariantError(f"kernel {self.kernel} is even", where="kernel", fix="use an odd kernel: 1, 3, 5, 7")
        self._set("drop", _real("drop", self.drop, lambda p: p == 0 or 0.0001 <= p < 1, "0, or from 0.0001 to under 1"))
        self._check_hidden(block)
        self._check_compression(block)
        if not block.family.has_dropout and self.drop:
            raise VariantError(f"block {self.block!r} has no dropout", where="drop", fix="leave drop at 0")
        said_per_stage = any(isinstance(value, tuple) for value in (self.growth, self.ratio, self.compression))
        if said_per_stage and len(self.name) > MAX_NAME:
            raise VariantError(
                f"its name has {len(self.name)} characters, more than a file's may",
                where="ratio, compression",
                fix="use fewer digits",
            )

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check_hidden(self, block: BlockType) -> None:
        if self.ratio is not None and self.bn_size is not None:
            raise VariantError(
                "ratio and bn_size both say the hidden width", where="ratio, bn_size", fix="give only one of them"
            )
        if not block.has_hidden and (self.ratio is not None or self.bn_size is not None):
            raise VariantError(
                f"block {self.block!r} has no hidden width", where="ratio, bn_size", fix="leave both out"
            )
        if self.ratio is None and self.bn_size is None:
            self._set("ratio", block.ratio)
            self._set("bn_size", block.bn_size)
        if self.ratio is not None:
            self._set("ratio", self._per_stage("ratio", self.ratio, len(self.block_config), 100))
        if self.bn_size is not None:
            self._set("bn_size", _whole("bn_size", self.bn_size))

    def _check_compression(self, block: BlockType) -> None:
        value = block.family.compression if self.compression is None else self.compression
        value = self._per_stage("compression", value, len(self.block_config) - 1, 1)
        if not block.family.has_transitions and value != 1:
            raise VariantError(
                f"block {self.block!r} has no transitions to compress", where="compression", fix="leave it out"
            )
        self._set("compression", value)

    def _per_stage(self, name: str, value: Any, places: int, high: int) -> PerStage:
        """One number, or one for each place; equal ones are one."""
        allowed = f"from 0.0001 to {high}"

        def real(each: Any) -> float:
            return _real(name, each, lambda number: 0.0001 <= number <= high, allowed)

        if not isinstance(value, (tuple, list)):
            return real(value)
        if len(value) != places or not value:
            raise VariantError(
                f"{name} has {len(value)} entries for {places} places",
                where=name,
                fix="give one, or one for each place",
            )
        each = tuple(real(part) for part in value)
        return each[0] if len(set(each)) == 1 else each

    # -- names -------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The canonical name: `residual_b2-4-3-2_gdouble_r0.25_c0.5`, then every field off its default."""
        parts = [self.block]
        for field in _FIELDS:
            value = getattr(self, field.name)
            if (field.always and value is not None) or (not field.always and value != field.default):
                parts.append(field.tag + field.write(value))
        return "_".join(parts)

    def __str__(self) -> str:
        return self.name

    @classmethod
    def parse(cls, name: str) -> Variant:
        """The variant of a canonical name; parts may come in any order. Raises VariantError."""
        block, *parts = name.split("_")
        values: dict[str, Any] = {"block": block}
        for part in parts:
            match = _PART.fullmatch(part)
            field = _BY_TAG.get(match[1]) if match else None
            if match is None or field is None:
                raise VariantError(
                    f"unknown part {part[:60]!r}", where=name[:120], fix=f"a name looks like {Variant().name}"
                )
            if field.name in values:
                raise VariantError(f"{field.name} is said twice", where=name[:120], fix=f"remove one: {part[:60]!r}")
            try:
                values[field.name] = field.read(match[2])
            except ValueError:
                raise VariantError(
                    f"{part[:60]!r} is no value of {field.name}",
                    where=name[:120],
                    fix=f"a name looks like {Variant().name}",
                ) from None
        return cls(**values)

    # -- JSON --------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Every field, JSON-ready (tuples as lists)."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Variant:
        """The variant of `to_dict`'s result. Unknown fields and wrong types raise VariantError."""
        if not isinstance(data, Mapping):
            raise VariantError(
                "a variant is an object of fields", where="variant", fix=f"such as {Variant().to_json()}"
            )
        names = [field.name for field in fields(cls)]
        for key in data:
            if key not in names:
                raise VariantError(f"unknown field {key!r}", where="variant", fix=did_you_mean(str(key), names))
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**values)

    @classmethod
    def restored(cls, data: Mapping[str, Any]) -> Variant:
        """The variant of stored fields. A block that is not registered here stays a name: its figures are known."""
        block = data.get("block", "residual") if isinstance(data, Mapping) else None
        if not isinstance(block, str) or block in BLOCKS or not re.fullmatch(r"[a-z][a-z0-9]{0,39}", block):
            return cls.from_dict(data)
        like = cls.from_dict({**data, "block": "residual"})
        variant = cls.__new__(cls)
        for field in fields(cls):
            variant._set(field.name, getattr(like, field.name))
        variant._set("block", block)
        variant._set("ratio", like.ratio if data.get("ratio") is not None else None)
        return variant

    def to_json(self) -> str:
        """`to_dict` as JSON text."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Variant:
        """The variant of `to_json`'s text. Raises VariantError."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise VariantError(f"not JSON: {error}", where="variant", fix=f"such as {Variant().to_json()}") from None
        return cls.from_dict(data)


# -- validation ------------------------------------------------------------------------------------------------


def _known(name: str, value: Any, known: Mapping[str, Any]) -> Any:
    if not isinstance(value, str) or value not in known:
        raise VariantError(f"unknown {name} {value!r}", where=name, fix=did_you_mean(str(value), known))
    return known[value]


def _int(value: Any) -> int | None:
    """A plain int from an int or NumPy integer; None for anything else, bools included."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        return None
    return int(value)


def _whole(name: str, value: Any) -> int:
    low, high = LIMITS[name]
    number = _int(value)
    if number is None or not low <= number <= high:
        raise VariantError(
            f"{name} {value!r} is out of range", where=name, fix=f"use a whole number from {low} to {high:,}"
        )
    return number


def _real(name: str, value: Any, ok: Callable[[float], bool], allowed: str) -> float:
    if isinstance(value, bool) or (not isinstance(value, (int, float)) and not hasattr(value, "__float__")):
        raise VariantError(f"{name} {value!r} is not a number", where=name, fix=f"use a number {allowed}")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not ok(number):
        raise VariantError(f"{name} {value!r} is out of range", where=name, fix=f"use a number {allowed}")
    return number


def _depths(value: Any) -> tuple[int, ...]:
    what = f"block_config {value!r} is not 1 to {MAX_STAGES} stages of 1 to {MAX_DEPTH} layers"
    if not isinstance(value, (tuple, list)) or not 1 <= len(value) <= MAX_STAGES:
        raise VariantError(what, where="block_config", fix="such as 2,4,3,2")
    depths = tuple(_int(depth) or 0 for depth in value)
    if not all(1 <= depth <= MAX_DEPTH for depth in depths):
        raise VariantError(what, where="block_config", fix="such as 2,4,3,2")
    return depths


def _growth(value: Any, stages: int) -> Growth:
    if isinstance(value, str):
        if value != "double":
            raise VariantError(
                f"growth {value!r} is unknown", where="growth", fix="use double, 32, or one a stage: 16/32/64/128"
            )
        return value
    if isinstance(value, (tuple, list)):
        if len(value) != stages:
            raise VariantError(
                f"growth has {len(value)} entries for {stages} stages", where="growth", fix="give one, or one a stage"
            )
        each = tuple(_whole("growth", g) for g in value)
        return each[0] if len(set(each)) == 1 else each
    return _whole("growth", value)


# -- the canonical name's parts --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Field:
    name: str
    tag: str
    read: Callable[[str], Any]
    write: Callable[[Any], str] = str
    always: bool = False
    default: Any = None


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise ValueError(text)
    return int(text)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(_number(part) for part in text.split("-"))


def _decimal(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,30})?", text):
        raise ValueError(text)
    return float(text)


def _decimals(text: str) -> PerStage:
    each = tuple(_decimal(part) for part in text.split("-"))
    return each if len(each) > 1 else each[0]


def _write_decimals(value: PerStage) -> str:
    return "-".join(map(_write_decimal, value)) if isinstance(value, tuple) else _write_decimal(value)


def _write_decimal(value: float) -> str:
    return format(Decimal(repr(value)), "f")  # never an exponent, whose sign would be a separator


def _read_growth(text: str) -> Growth:
    if text == "double":
        return text
    each = _numbers(text)
    return each if len(each) > 1 else each[0]


def _write_growth(value: Growth) -> str:
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)


_FIELDS = (
    _Field("block_config", "b", _numbers, lambda v: "-".join(map(str, v)), always=True),
    _Field("growth", "g", _read_growth, _write_growth, always=True),
    _Field("ratio", "r", _decimals, _write_decimals, always=True),
    _Field("bn_size", "bn", _number, always=True),
    _Field("compression", "c", _decimals, _write_decimals, always=True),
    _Field("init", "i", _number, default=64),
    _Field("stem", "stem", str, default="imagenet"),
    _Field("kernel", "k", _number, default=3),
    _Field("groups", "x", _number, default=1),
    _Field("drop", "d", _decimal, _write_decimal, default=0.0),
    _Field("classes", "n", _number, default=2),
    _Field("image", "s", _number, default=224),
)
_BY_TAG = {field.tag: field for field in _FIELDS}
# Longest tags first, so that `bn4` is not read as `b` and `n4`, nor `stemdeep` as `s`.
_PART = re.compile(f"({'|'.join(sorted(_BY_TAG, key=len, reverse=True))})(.+)")
