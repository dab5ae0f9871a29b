"""Variants as a reader tells them apart: which fields differ, and what a field's value is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analyzer.architecture.axes import AXES, BY_FIELD, RIVALS, alternatives
from analyzer.records import Record, fields_of


def label(field: str) -> str:
    """What a field is called on the command line and in tables."""
    return BY_FIELD[field].label


def value(content: Any) -> str:
    """A field's value: `2,4,3,2`, `double`, `0.5`; a dash where it has none."""
    if content is None:
        return "–"
    if isinstance(content, (list, tuple)):
        return ",".join(map(str, content))
    return f"{content:g}" if isinstance(content, float) else str(content)


def differences(a: Record, b: Record) -> list[str] | None:
    """The fields in which two variants differ; None where either is no variant.

    A block brings its own way to say the hidden width, so that does not count beside a different block.
    """
    first, second = fields_of(a), fields_of(b)
    if not first or not second:
        return None
    fields = [key for key in dict.fromkeys([*first, *second]) if first.get(key) != second.get(key)]
    for rivals in RIVALS:
        if "block" in fields or all(key in fields for key in rivals):
            fields = [key for key in fields if key not in (rivals if "block" in fields else rivals[:-1])]
    return fields


def change(record: Record, field: str) -> str:
    """The value that a record has where it differs: `growth 32`, `dense block`."""
    variant = fields_of(record)
    field = next((key for key in alternatives(field) if variant.get(key) is not None), field)
    return f"{label(field)} {value(variant.get(field))}"


def plain(record: Record, field: str) -> str:
    """That value alone, where it needs no name: `double`."""
    return value(fields_of(record).get(field)) if len(alternatives(field)) == 1 else change(record, field)


def varying(records: Sequence[Record]) -> list[str]:
    """The fields that take more than one value among the records, but for a hidden width that the block implies."""
    variants = [fields_of(record) for record in records if record.target.variant is not None]
    if not variants:
        return []
    seen = {key: {repr(variant.get(key)) for variant in variants} for key in variants[0]}
    by_block = {
        key: {(variant.get("block"), repr(variant.get(key))) for variant in variants} for key in _SAID_BY_SEVERAL
    }
    several = len(seen.get("block", ())) > 1
    follows = {key for key in _SAID_BY_SEVERAL if several and len(by_block[key]) == len(seen["block"])}
    return [key for key, values in seen.items() if len(values) > 1 and key not in follows]


def constant(records: Sequence[Record]) -> str:
    """What all variants share: `blocks 2,4,3,2, init 64, …`."""
    different = set(varying(records))
    first = next((fields_of(record) for record in records if record.target.variant is not None), {})
    different.update(_SAID_BY_SEVERAL if "block" in different else ())
    return ", ".join(f"{label(k)} {value(v)}" for k, v in first.items() if k not in different and v is not None)


def describe(record: Record) -> str:
    """A variant in words; empty for any other model."""
    variant = fields_of(record)
    return ", ".join(f"{label(k)} {value(v)}" for k, v in variant.items() if v is not None and (k, v) not in _USUAL)


_SAID_BY_SEVERAL = tuple(field for rivals in RIVALS for field in rivals)
_USUAL = tuple((axis.field, axis.default) for axis in AXES if not axis.always and not axis.task)
