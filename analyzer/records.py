"""The figures of a target, measured or predicted, as versioned typed records: what every other part hands on.

Counts are exact integers, bytes are bytes, times are seconds; formatting happens where text is made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec

from analyzer.architecture.variant import Variant
from analyzer.errors import UsageError, VariantError
from analyzer.figures import HEADLINE, Figure
from analyzer.measurements import Ends, Measurement, PredictedLatency, TrainedFigures
from analyzer.seals import DamagedRowError, decoded, line, unsealed
from analyzer.structs import Frozen, Shown, Some, Whole

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 2


class Target(Frozen, frozen=True, kw_only=True):
    """What was analysed: its name (resolves to it again), for the family the variant (else None).

    `label` is what people call it, where that is not the name: `DenseNet121 at 2 classes`.
    """

    name: str
    variant: Variant | None = None
    label: str | None = None

    @property
    def shown(self) -> str:
        """The label, or the name."""
        return self.label or self.name


class Input(Frozen, frozen=True, kw_only=True):
    """One input of the model: its keyword (None: positional), shape with batch, dtype (`float32`)."""

    shape: tuple[Whole, ...]
    dtype: str = "float32"
    name: str | None = None


class LayerRow(Frozen, frozen=True, kw_only=True):
    """What one module owns and runs itself (children excluded); rows add up to the totals exactly.

    `path` is dotted; `output` its last result's shape with batch (None: none); `part` where it lies, such as `stage 1`.
    """

    path: str
    type: str
    output: tuple[Whole, ...] | None
    params: Whole
    macs: Whole | None
    conv_activations: Whole | None
    saved_bytes: Whole | None
    part: str | None = None

    @property
    def flops(self) -> int | None:
        """Twice the MACs."""
        return None if self.macs is None else 2 * self.macs


class Uncounted(Frozen, frozen=True, kw_only=True):
    """An operator that did work and has no formula: its name, the module that ran it, how many calls."""

    operator: str
    module: str
    calls: Some


NOT_MEASURED = "not measured: "
"""How the remark begins that says why a row that was to be measured has no times."""
RemarkKind = Literal[
    "convention",
    "mode",
    "no-input",
    "not-measured",
    "not-trained",
    "note",
    "one-path",
    "peak",
    "unfused",
    "unregistered",
    "unseen",
    "untrainable",
    "varies",
]
"""What a remark is about, in this order: a figure's convention; evaluation or training mode; no input was given; a row
that was not measured, or not trained; a row of schema 1 that did not say; one path of several; a peak; kernels written
out; parameters that are not registered; what could not be seen; no training mode; a figure that varies."""


class Remark(Frozen, frozen=True, kw_only=True):
    """One sentence about how a record's figures are known: its kind, and the one figure it is about (None: several)."""

    kind: RemarkKind
    text: str
    figure: str | None = None


class Failure(Frozen, frozen=True, kw_only=True):
    """Why a row has no figures: an error's three parts."""

    what: str
    where: str = ""
    fix: str = ""


class Record(Frozen, Shown, frozen=True, kw_only=True):
    """All that is known of one target. A figure that is not known is None, never a guess.

    `training_macs` are those of a forward in training mode and its backward pass, where that was asked for. `depth` is
    the number of convolutions and products with a weight on the longest path from an input to an output. `work` is what
    a device's time follows, of one sample, where that was asked for (reading/work.py).
    """

    shown_by: ClassVar[str] = "analyzer.reporting.record_page"
    schema: int = SCHEMA
    target: Target
    input: tuple[Whole, ...] | None = None
    inputs: tuple[Input, ...] = ()
    batch: Some = 1
    params: Whole | None = None
    trainable_params: Whole | None = None
    param_bytes: Whole | None = None
    buffer_bytes: Whole | None = None
    macs: Whole | None = None
    flops: Whole | None = None
    training_macs: Whole | None = None
    conv_activations: Whole | None = None
    depth: Whole | None = None
    saved_bytes: Whole | None = None
    peak_training_bytes: Whole | None = None
    peak_inference_bytes: Whole | None = None
    layers: tuple[LayerRow, ...] | None = None
    work: dict[str, float] | None = None
    uncounted: tuple[Uncounted, ...] = ()
    remarks: tuple[Remark, ...] = ()
    predicted: PredictedLatency | None = None
    measured: Measurement | None = None
    trained: TrainedFigures | None = None
    error: Failure | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """The remarks' sentences."""
        return tuple(remark.text for remark in self.remarks)

    def remarked(self, *remarks: Remark) -> Record:
        """The same record with more remarks."""
        return msgspec.structs.replace(self, remarks=(*self.remarks, *remarks))

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """Why a row that was to be measured has no times; none where it has, or was not."""
        said = (remark.text for remark in self.remarks if remark.kind == "not-measured")
        return () if self.measured else tuple(text.removeprefix(NOT_MEASURED) for text in said)

    @property
    def uncounted_operators(self) -> str:
        """The operators without a formula, each once."""
        return ", ".join(dict.fromkeys(entry.operator for entry in self.uncounted))

    @property
    def unseen(self) -> str:
        """One line of what could not be seen, so that the figures stand without it; empty where all was."""
        operators = [f"what these do: {self.uncounted_operators}"] if self.uncounted else []
        return "; ".join([*operators, *(one.text for one in self.remarks if one.kind in ("one-path", "unseen"))])

    def to_json(self) -> str:
        """One line of JSON."""
        return msgspec.json.encode(self.to_dict()).decode()

    def to_line(self) -> str:
        """One line of JSON with its checksum, as files keep it."""
        return line(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data, with the remarks' sentences as `notes` too."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        for name in ("work", "trained"):
            if data[name] is None:
                del data[name]
        return {**data, "notes": list(self.notes)}

    def __repr__(self) -> str:
        if self.error is not None:
            return f"Record({self.target.shown!r}: no figures, {self.error.what})"
        known = [f"{f.text(value)} {f.label}" for f in HEADLINE if (value := f.of(self)) is not None]
        return f"Record({self.target.shown!r}, batch {self.batch}: {', '.join(known)})"

    def frame(self) -> pd.DataFrame:
        """One row, in the columns of every other table."""
        frame: pd.DataFrame = import_module("analyzer.reading.flat").frame_of([self])
        return frame


def standing_of(record: Record, figure: Figure) -> str:
    """How a record's figure is known: `exact`, `replayed`, `predicted ±6.1 % (90 %: 27.10 to 36.20 ms)`, `measured
    (8.00 to 8.27× in 2 processes ⚠ indicative only)`; `at least` where operators have no formula.
    """
    if figure.standing == "exact":
        return "at least" if record.uncounted and figure.measure in ("macs", "flops") else "exact"
    ends = ends_of(record, figure)
    if figure.standing == "predicted" and record.predicted is not None:
        band = f" (90 %: {figure.ends(ends.low, ends.high)})" if ends else ""
        return f"predicted ±{100 * record.predicted.mean_error:.1f} %{band}"
    if record.trained is not None and is_trained(figure):
        told = f"95 % interval {figure.ends(ends.low, ends.high)}, " if ends else ""
        return f"measured ({told}{record.trained.counted})"
    made = record.measured
    if figure.standing == "measured" and made is not None:
        told = made.within(figure.ends(ends.low, ends.high), interval=ends.interval) if ends else made.few
        return f"measured ({told})"
    return figure.standing


def is_trained(figure: Figure) -> bool:
    """Whether it is of what a training came to."""
    return figure.path.startswith("trained.")


def ends_of(record: Record, figure: Figure) -> Ends | None:
    """Between which values a predicted or measured figure of a record lies; None where that is not known."""
    predicted, measured = record.predicted, record.measured
    if is_trained(figure):
        return None if record.trained is None else record.trained.ends(figure.name)
    if figure.standing == "predicted" and predicted is not None and predicted.low_s and predicted.high_s:
        low, high, batch = predicted.low_s, predicted.high_s, predicted.batch
        if figure.unit == "rate":
            return Ends(batch / high, batch / low, True)
        each = 1e9 / batch if figure.unit == "nanoseconds" else 1
        return Ends(each * low, each * high, True)
    if figure.standing == "measured" and measured is not None and figure.unit != "bytes":
        return measured.ends("ratio" if figure.unit == "ratio" else "rate" if figure.unit == "rate" else "seconds")
    return None


def standings(figures: Iterable[Figure], rows: Iterable[Record]) -> str:
    """How the figures of several rows are known, in a line: `params, MACs exact; peak training memory replayed`."""
    groups: dict[str, list[str]] = {}
    for figure in figures:
        having = [row for row in rows if figure.of(row) is not None]
        if having:
            groups.setdefault(standing_of_rows(figure, having), []).append(figure.label)
    return "; ".join(f"{', '.join(labels)} {standing}" for standing, labels in groups.items())


def standing_of_rows(figure: Figure, rows: Sequence[Record]) -> str:
    """As `standing_of` says it of one row; of several with the widest ends, relative to each row's value."""
    said = dict.fromkeys(standing_of(row, figure) for row in rows)
    if len(said) == 1 or figure.static:
        return " or ".join(said)
    if is_trained(figure):
        return f"measured ({' or '.join(dict.fromkeys(row.trained.counted for row in rows if row.trained))})"
    pairs = [(ends, value) for row in rows if (ends := ends_of(row, figure)) and (value := figure.of(row))]
    low, high = min((e.low / v - 1 for e, v in pairs), default=0), max((e.high / v - 1 for e, v in pairs), default=0)
    span = f"{100 * low:+.1f} to {100 * high:+.1f} %".replace("-", "−") if pairs else ""
    if figure.standing == "predicted":
        errors = dict.fromkeys(f"{100 * row.predicted.mean_error:.1f}" for row in rows if row.predicted)
        return f"predicted ±{' or '.join(errors)} %" + (f" (90 %: {span})" if span else "")
    counts = sorted(row.measured.processes for row in rows if row.measured)
    number = f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
    indicative = any(row.measured and row.measured.caution for row in rows)
    what = f"{'' if indicative else '95 % interval '}{span} at the widest, " if span else ""
    many = "process" if number == "1" else "processes"
    return f"measured ({what}{number} {many}{' ⚠ indicative only' if indicative else ''})"


def fields_of(record: Record) -> dict[str, Any]:
    """A record's variant as plain fields; empty for any other model."""
    return {} if record.target.variant is None else record.target.variant.to_dict()


def variant_of(record: Record) -> Variant:
    """The variant of a record that has one. Raises UsageError for any other model's."""
    if record.target.variant is None:
        raise UsageError("is no variant of the family", where=record.target.name, fix="name a variant")
    return record.target.variant


def devices_of(rows: Iterable[Record]) -> dict[str, int]:
    """The devices on which rows were measured, by their hardware's name, each with how many rows."""
    return dict(Counter(row.measured.environment.device_name for row in rows if row.measured))


def read_record(text: str | bytes, *, where: str = "record") -> Record:
    """The record of one line of JSON, of this schema or an earlier one.

    Raises UsageError on a newer schema, unknown fields, wrong types or impossible figures, DamagedRowError where its
    checksum is another's.
    """
    try:
        return to_record(unsealed(decoded(text), where))
    except DamagedRowError:
        raise
    except (msgspec.MsgspecError, RecursionError, VariantError) as error:
        raise UsageError(f"not a result: {error}", where=where, fix="use a results file that analyze wrote") from None
    except UsageError as error:
        raise UsageError(error.what, where=where, fix=error.fix) from None


def to_record(data: Any) -> Record:
    """The record of a row's plain data, of this schema or an earlier one.

    Raises UsageError on a newer schema, VariantError or msgspec.ValidationError on other fields or types.
    """
    if not isinstance(data, dict):
        raise msgspec.ValidationError("a record is an object of fields")
    data = _migrated(data)
    variant = data["target"].get("variant") if isinstance(data.get("target"), dict) else None
    if isinstance(variant, dict):
        data = {**data, "target": {**data["target"], "variant": Variant.restored(variant)}}
    return msgspec.convert(data, Record)


def _migrated(data: dict[str, Any]) -> dict[str, Any]:
    """A row of an earlier schema as one of this one. In schema 1 notes were sentences alone."""
    schema = data.get("schema", SCHEMA)
    if schema not in (1, SCHEMA):
        raise UsageError(f"schema {schema}, this version reads up to {SCHEMA}", fix="use the version that wrote it")
    row = {key: value for key, value in data.items() if key != "notes"}
    if schema == 1:
        row["schema"] = SCHEMA
        notes = data.get("notes", ())
        row["remarks"] = [{"kind": _kind_of(note), "text": note} for note in notes]
    return row


_TOLD: tuple[tuple[str, RemarkKind], ...] = (
    ("not measured", "not-measured"),
    ("counted on one path", "one-path"),
    ("by convention", "convention"),
    ("no saved_bytes", "untrainable"),
)
"""How schema 1's sentences began, where what they are about decides something."""


def _kind_of(note: object) -> RemarkKind:
    return next((kind for start, kind in _TOLD if str(note).startswith(start)), "note")
