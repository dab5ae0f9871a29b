"""Variant: one network of the family, as frozen, validated fields with one canonical name that parses back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analyzer.architecture.axes import AXES, BY_FIELD, FIELDS, RIVALS, Axis, VariantFields, alternatives
from analyzer.architecture.blocks import BLOCKS, BlockType
from analyzer.architecture.values import Each
from analyzer.errors import VariantError, did_you_mean

MAX_NAME = 240


@dataclass(frozen=True, kw_only=True)
class Variant(VariantFields):
    """One network of the family; equal fields are an equal variant, whatever was left to defaults.

    Of `ratio` and `bn_size`, which both say the hidden width, at most one; the block's own default when neither. What
    is said for each stage (transition) alike is one number. Raises VariantError where a field can't mean anything.
    """

    def __post_init__(self) -> None:
        values = self.__dict__  # frozen: only this method writes
        for group in RIVALS:
            if all(values[name] is not None for name in group):
                what = f"{' and '.join(group)} both say the {BY_FIELD[group[0]].says}"
                raise VariantError(what, where=", ".join(group), fix="give only one of them")
        block = BLOCKS[BY_FIELD["block"].values.held("block", self.block, None)]
        stages = len(BY_FIELD["block_config"].values.held("block_config", self.block_config, None))
        said = {name for group in RIVALS if any(values[each] is not None for each in group) for name in group}
        for axis in AXES:
            value = values[axis.field]
            if value is None and axis.of_block is not None and axis.field not in said:
                value = axis.of_block(block)
            if value is not None or axis.of_block is None:
                value = _held(axis, value, block, stages)
            values[axis.field] = value
        per_place = any(isinstance(values[field], tuple) for field in _PER_PLACE)
        if per_place and len(self.name) > MAX_NAME:
            what = f"its name has {len(self.name)} characters, more than a file's may"
            raise VariantError(what, where="ratio, compression", fix="use fewer digits")

    # -- names -------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The canonical name: `residual_b2-4-3-2_gdouble_r0.25_c0.5`, then every field off its default."""
        parts = []
        for axis in AXES:
            value = getattr(self, axis.field)
            if value is not None if axis.always else value != axis.default:
                parts.append(axis.tag + axis.values.written(value))
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
            if match is None:
                raise VariantError(f"unknown part {part[:60]!r}", where=name[:120], fix=_looks())
            axis = _BY_TAG[match[1]]
            if axis.field in values:
                raise VariantError(f"{axis.field} is said twice", where=name[:120], fix=f"remove one: {part[:60]!r}")
            try:
                values[axis.field] = axis.values.parsed(match[2])
            except ValueError:
                raise VariantError(
                    f"{part[:60]!r} is no value of {axis.field}", where=name[:120], fix=_looks()
                ) from None
        return cls(**values)

    # -- JSON --------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Every field, JSON-ready (tuples as lists)."""
        values = {name: getattr(self, name) for name in FIELDS}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Variant:
        """The variant of `to_dict`'s result. Unknown fields and wrong types raise VariantError."""
        if not isinstance(data, Mapping):
            raise VariantError(
                "a variant is an object of fields", where="variant", fix=f"such as {Variant().to_json()}"
            )
        for key in data:
            if key not in BY_FIELD:
                raise VariantError(f"unknown field {key!r}", where="variant", fix=did_you_mean(str(key), FIELDS))
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
        kept = {axis.field: getattr(like, axis.field) for axis in AXES}
        unsaid = {axis.field: None for axis in AXES if axis.of_block is not None and data.get(axis.field) is None}
        for name, value in {**kept, **unsaid, "block": block}.items():
            object.__setattr__(variant, name, value)
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


def _held(axis: Axis, value: Any, block: BlockType, stages: int) -> Any:
    """A value in its one form. Raises VariantError where the axis, or that axis of the block, can't have it."""
    held = axis.values.held(axis.field, value, stages)
    if axis.had_by is not None and not axis.had_by(block) and held != axis.default_of(block):
        fields = ", ".join(alternatives(axis.field))
        raise VariantError(f"block {block.name!r} has no {axis.says or axis.label}", where=fields, fix="leave it out")
    return held


def _looks() -> str:
    return f"a name looks like {Variant().name}"


if Variant.__doc__:
    Variant.__doc__ += "\n\n" + "\n".join(f"    {axis.field}: {axis.help}" for axis in AXES)

_PER_PLACE = tuple(axis.field for axis in AXES if isinstance(axis.values, Each))
_BY_TAG = {axis.tag: axis for axis in AXES if axis.tag}
# Longest tags first, so that `bn4` is not read as `b` and `n4`, nor `stemdeep` as `s`.
_PART = re.compile(f"({'|'.join(sorted(map(re.escape, _BY_TAG), key=len, reverse=True))})(.+)")
