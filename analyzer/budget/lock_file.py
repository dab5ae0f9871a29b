"""The lock file `analyzer.lock`: what every model costs, module by module, as it was when it was last accepted.

JSON lines, sorted, one line a module, so that a merge touches only lines that both sides changed: a head line with the
schema; for each model a line that says what it is (target, kwargs, inputs), one for each figure of the whole, and one
for each module with its figures and structure hash. Each line ends with a digest of itself, so that none is edited
unseen. Figures that add up over modules must: a merge that kept a module of either side, or lost one, is no baseline.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from analyzer.budget.figures import LAYERED, STATIC, of_rows
from analyzer.errors import BaselineError
from analyzer.figures import known
from analyzer.files import write_text
from analyzer.records import LayerRow, Record, Target
from analyzer.seals import digest
from analyzer.structs import Frozen

SCHEMA = 2
WITHOUT_DIGESTS = 1
"""The schema whose lines have no digests: it is read, and never written."""
FILE = "analyzer.lock"
HEAD = "written by `analyze lock`; commit it, and let nothing else edit it"
OTHERS = tuple(figure for figure in STATIC if figure not in LAYERED)
"""Figures that layers don't add up to."""
SUMS = tuple(figure for figure in LAYERED if not known(figure).derived)
"""Figures whose lines are held against the modules'."""


class Identity(Frozen, frozen=True, kw_only=True):
    """What was counted. A baseline of another identity is stale: its figures are those of something else."""

    target: str
    kwargs: dict[str, Any]
    inputs: tuple[str, ...]
    dtype: str | None
    batch: int


class Locked(Frozen, frozen=True, kw_only=True):
    """One model of a lock file: what it is, its modules in natural order, the figures that don't add up over them."""

    identity: Identity
    rows: tuple[LayerRow, ...]
    others: dict[str, int]

    def figure(self, name: str) -> int | None:
        """A figure of the whole model; None where it was not counted."""
        return of_rows(self.rows, name) if name in LAYERED else self.others.get(name)

    def record(self, name: str) -> Record:
        """The locked figures as a record, for reports."""
        figures = {figure: self.figure(figure) for figure in STATIC}
        return Record(target=Target(name=name), layers=self.rows, batch=self.identity.batch, **figures)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Lock:
    """A lock file's models by name; whether its lines had the digests that keep them from being edited unseen."""

    models: dict[str, Locked]
    has_digests: bool = True


def locked(record: Record, identity: Identity) -> Locked:
    """A counted model as the lock file keeps it."""
    others = {name: value for name in OTHERS if (value := known(name).of(record)) is not None}
    rows = [msgspec.structs.replace(row, part=None) for row in record.layers or ()]  # where it lies is no figure
    return Locked(identity=identity, rows=tuple(sorted(rows, key=lambda row: natural(row.path))), others=others)


def natural(path: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts paths by their parts, numbers by size: `features.9` before `features.10`."""
    parts = path.split(".") if path else []
    return tuple((0, int(part), "") if part.isdecimal() and len(part) < 19 else (1, 0, part) for part in parts)


def structure_hash(row: LayerRow) -> str:
    """What is the same for modules of one type, output and figures, whatever they are called."""
    facts = (row.type, row.output, row.params, row.macs, row.conv_activations, row.saved_bytes)
    return digest(facts, 12)


# -- lines -----------------------------------------------------------------------------------------------------


Count = Annotated[int, msgspec.Meta(ge=0)]


class _Line(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    digest: str | None = None


class _Head(_Line, frozen=True, kw_only=True):
    schema: int
    note: str


class _ModelLine(_Line, frozen=True, kw_only=True, omit_defaults=True):
    model: str
    target: str
    kwargs: dict[str, Any] = msgspec.field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    dtype: str | None = None
    batch: int = 1


class _FigureLine(_Line, frozen=True, kw_only=True):
    model: str
    figure: str
    value: Count


class _ModuleLine(_Line, frozen=True, kw_only=True):
    model: str
    path: str
    type: str
    output: tuple[Count, ...] | None
    params: Count
    macs: Count | None
    conv_activations: Count | None
    saved_bytes: Count | None
    hash: str


_KINDS = {"target": _ModelLine, "figure": _FigureLine, "path": _ModuleLine}
_FORMS: dict[type[Any], msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in (_Head, _ModelLine, _FigureLine, _ModuleLine)
}
_CONFLICT = re.compile(r"^(<{7}|={7}|>{7}|\|{7})( |$)", re.MULTILINE)


def to_text(lock: Lock) -> str:
    """The file's text. The same models give the same text, whatever order they were counted in."""
    lines: list[_Line] = [_Head(schema=SCHEMA, note=HEAD)]
    for name, model in sorted(lock.models.items()):
        lines.append(_ModelLine(model=name, **msgspec.structs.asdict(model.identity)))
        figures = {**model.others, **{f: v for f in SUMS if (v := model.figure(f)) is not None}}
        lines += [_FigureLine(model=name, figure=f, value=v) for f, v in sorted(figures.items())]
        for row in model.rows:
            fields = {key: value for key, value in msgspec.structs.asdict(row).items() if key != "part"}
            lines.append(_ModuleLine(model=name, hash=structure_hash(row), **fields))
    return "".join(map(_sealed, lines))


def _sealed(line: _Line) -> str:
    """A line's text, its digest at the end."""
    text = msgspec.json.encode(line).decode()
    return f'{text[:-1]},"digest":"{_digest(line)}"}}\n'


def _digest(line: _Line) -> str:
    """Of all that a line says but its digest."""
    return digest(msgspec.structs.replace(line, digest=None), 8)


def from_text(text: str, where: str) -> Lock:
    """The models of a lock file's text. Raises BaselineError on another schema, a merge's marks, an edited line."""
    if _CONFLICT.search(text):
        raise _unreadable("holds an unresolved merge", where, "take either side's file, then run `analyze lock`")
    lines = [line for line in text.split("\n") if line.strip()]
    head = _decode(_Head, lines[0] if lines else "", where, 1)
    if head.schema not in (SCHEMA, WITHOUT_DIGESTS):
        raise _unreadable(f"has schema {head.schema}, this version reads {SCHEMA}", where)
    sealed = head.schema == SCHEMA
    _require_digest(head, sealed, where, 1)
    heads: dict[str, _ModelLine] = {}
    others: dict[str, dict[str, int]] = defaultdict(dict)
    rows: dict[str, dict[str, LayerRow]] = defaultdict(dict)
    for number, line in enumerate(lines[1:], start=2):
        entry = _entry(line, where, number)
        _require_digest(entry, sealed, where, number)
        if isinstance(entry, _ModelLine):
            _put(heads, entry.model, entry, where, number)
        elif isinstance(entry, _FigureLine):
            _put(others[entry.model], entry.figure, entry.value, where, number)
        else:
            _put(rows[entry.model], entry.path, _row(entry, where, number), where, number)
    if orphans := (set(others) | set(rows)) - set(heads):
        raise _unreadable(f"has lines of {min(orphans)!r}, and none that says what that is", where)
    models = {name: _model(head, others[name], rows[name].values(), where) for name, head in heads.items()}
    return Lock(models, has_digests=sealed)


def _require_digest(line: _Line, sealed: bool, where: str, number: int) -> None:
    if line.digest != (_digest(line) if sealed else None):
        raise _unreadable(f"line {number} was edited: its digest is another's", where)


def _entry(line: str, where: str, number: int) -> _ModelLine | _FigureLine | _ModuleLine:
    try:
        keys = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError):
        keys = {}
    kind = next((kind for key, kind in _KINDS.items() if key in keys), _ModelLine)
    entry: _ModelLine | _FigureLine | _ModuleLine = _decode(kind, line, where, number)
    return entry


def _decode(kind: type[Any], line: str, where: str, number: int) -> Any:
    try:
        return _FORMS[kind].decode(line)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise _unreadable(f"line {number} is none of a lock file's: {error}", where) from None


def _put(into: dict[str, Any], key: str, value: Any, where: str, number: int) -> None:
    if key in into:
        raise _unreadable(f"line {number} repeats {key!r}, as a merge may have left it", where)
    into[key] = value


def _row(line: _ModuleLine, where: str, number: int) -> LayerRow:
    fields = msgspec.structs.asdict(line)
    written = fields.pop("hash")
    del fields["model"], fields["digest"]
    row = LayerRow(**fields)
    if structure_hash(row) != written:
        raise _unreadable(f"line {number} was edited: its hash is another's", where)
    return row


def _model(head: _ModelLine, figures: dict[str, int], rows: Iterable[LayerRow], where: str) -> Locked:
    fields = msgspec.structs.asdict(head)
    del fields["model"], fields["digest"]
    others = {name: value for name, value in figures.items() if name not in SUMS}
    ordered = tuple(sorted(rows, key=lambda row: natural(row.path)))
    model = Locked(identity=Identity(**fields), others=others, rows=ordered)
    for name in SUMS:
        said, is_ = figures.get(name), model.figure(name)
        if said is None and is_ is not None:
            raise _unreadable(f"{head.model!r} has no {name}", where)
        if said != is_:
            told = f"the {name} of {head.model!r} are {said}, and its modules' add up to {is_}"
            raise _unreadable(f"{told}: a merge may have mixed them", where)
    if (trained := others.get("trainable_params", 0)) > (params := figures.get("params", 0)):
        raise _unreadable(f"{head.model!r} has {trained} trainable params of {params}", where)
    return model


def _unreadable(what: str, where: str, fix: str = "run `analyze lock` and commit what it writes") -> BaselineError:
    return BaselineError(what, where=where, fix=fix)


def write(lock: Lock, path: Path) -> None:
    """Writes a lock file whole or not at all."""
    write_text(path, to_text(lock))
