"""Variant -> Record: the family's figures, one variant with its layers or thousands at once. No torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from analyzer.architecture.axes import AXES, Axis
from analyzer.architecture.facts import Op, Scope
from analyzer.architecture.net import Net
from analyzer.architecture.network import Columns, densenet121_like, preset_name, trace
from analyzer.architecture.variant import Variant
from analyzer.errors import AnalyzerError, ArchitectureError
from analyzer.figures import FIGURES
from analyzer.measurements import PredictedLatency
from analyzer.reading import exact
from analyzer.reading import saved as memory
from analyzer.reading.latency import Profile, family_kind, share
from analyzer.reading.readings import Reading
from analyzer.reading.vector import CHUNK, count_columns
from analyzer.reading.work import DEPTHWISE, work
from analyzer.records import Failure, Input, LayerRow, Record, Remark, Target

if TYPE_CHECKING:
    import numpy as np
else:
    from analyzer.later import np

READ = tuple(figure for figure in FIGURES.values() if figure.arrays and figure.static)
"""The figures of a record of the family."""


def target(variant: Variant, label: str | None = None) -> Target:
    """How a variant is called: by a preset's name or its canonical one, and the label that it is given."""
    return Target(name=preset_name(variant) or variant.name, variant=variant, label=label)


def baseline_for(variant: Variant, batch: int = 1, *, layers: bool = True, profile: Profile | None = None) -> Record:
    """DenseNet121's record at the classes and image of `variant`. Raises ArchitectureError where there is none."""
    baseline = densenet121_like(variant)
    label = "DenseNet121" if baseline.classes == 1000 else f"DenseNet121 ({baseline.classes} classes)"
    return record(baseline, batch, layers=layers, label=label, profile=profile)


def baseline_or_none(variant: Variant, batch: int = 1) -> Record | None:
    """DenseNet121's record beside a variant's; None where DenseNet121 makes no network at that image."""
    try:
        return baseline_for(variant, batch, layers=False)
    except ArchitectureError:
        return None


def record(
    variant: Variant,
    batch: int = 1,
    *,
    layers: bool = True,
    label: str | None = None,
    profile: Profile | None = None,
) -> Record:
    """Every static figure of one variant: MACs and activations of one sample, memory at `batch`.

    With a device's `profile`, its predicted latency too. Raises ArchitectureError where the variant makes no network.
    """
    net = trace(variant)
    reason = _untrainable(net, batch)
    read = Reading(net, batch)
    return Record(
        **_common(variant, batch, label),
        **{figure.name: read.figure(figure.name) for figure in READ if not (reason and figure.training)},
        remarks=(_no_training(reason),) if reason else (),
        predicted=profile.predict(work(net)) if profile else None,
        layers=tuple(_rows(net, batch, reason is None)) if layers else None,
    )


def with_latency(known: Record, profile: Profile) -> Record:
    """A record with its predicted latency: a variant's, or any other model's whose work is known."""
    if known.error is not None:
        return known
    if known.target.variant is not None:
        return msgspec.structs.replace(known, predicted=profile.predict_variant(known.target.variant))
    return known if known.work is None else msgspec.structs.replace(known, predicted=profile.predict(known.work))


def _untrainable(net: Net, batch: int) -> str | None:
    """Why there is no step of training at this batch."""
    try:
        memory.require_trainable(net, batch)
    except ArchitectureError as error:
        return str(error)
    return None


def records(variants: Sequence[Variant], batch: int = 1, profile: Profile | None = None) -> Iterator[Record]:
    """The records of many variants in their order, counted in array form; one that makes no network has `error`."""
    done: dict[int, Record] = {}
    waiting = 0
    for positions, group in _groups(variants):
        done.update(zip(positions, _count(group, batch, profile), strict=True))
        while waiting in done:
            yield done.pop(waiting)
            waiting += 1


def failed(name: str, error: AnalyzerError, variant: Variant | None = None, batch: int = 1) -> Record:
    """The record of a target that has no figures, with the reason."""
    return Record(
        target=Target(name=name, variant=variant),
        batch=batch,
        error=Failure(what=error.what, where=error.where, fix=error.fix),
    )


def _common(variant: Variant, batch: int, label: str | None = None) -> dict[str, Any]:
    shape = (batch, 3, variant.image, variant.image)
    return {"target": target(variant, label), "input": shape, "inputs": (Input(shape=shape),), "batch": batch}


def _no_training(why: str) -> Remark:
    return Remark(kind="untrainable", text=f"no saved_bytes and no training peak: {why}")


# -- layers ----------------------------------------------------------------------------------------------------


def _rows(net: Net, batch: int, trainable: bool) -> Iterator[LayerRow]:
    """One row a module that runs something itself; a module's functional ops are added up in its own row."""
    groups: dict[str, list[tuple[Scope, Op, int]]] = defaultdict(list)
    for scope, op, size in memory.saved(net, batch):
        groups[scope.path_of(op)].append((scope, op, int(size)))
    for path, members in groups.items():
        scope, last, _ = members[-1]
        costs = [exact.cost(op) for _, op, _ in members]
        yield LayerRow(
            path=path,
            type=last.module.name if last.name and last.module else scope.kind,
            output=(last.output if last.name else scope.output).shape(batch),
            params=sum(int(c.params) for c in costs),
            macs=sum(int(c.macs) for c in costs),
            conv_activations=sum(int(c.conv_activations) for c in costs),
            saved_bytes=sum(size for _, _, size in members) if trainable else None,
            part=str(part) if (part := net.part_of(last)) else None,
        )


# -- many variants ---------------------------------------------------------------------------------------------


def _structure(v: Variant) -> tuple[Any, ...]:
    """What must be one for all variants of an array pass: what is said once, a stage, or not at all included."""
    values = v.__dict__
    return tuple([values[f] for f in _STRUCTURAL] + [axis.structure(values[axis.field]) for axis in _NUMERIC])


_STRUCTURAL = tuple(axis.field for axis in AXES if axis.structural)
_NUMERIC = tuple(axis for axis in AXES if not axis.structural)


def _groups(variants: Sequence[Variant]) -> Iterator[tuple[list[int], list[Variant]]]:
    grouped: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for position, variant in enumerate(variants):
        grouped[_structure(variant)].append(position)
    for positions in grouped.values():
        for start in range(0, len(positions), CHUNK):
            chunk = positions[start : start + CHUNK]
            yield chunk, [variants[i] for i in chunk]


def columns_of(variants: Sequence[Variant]) -> Columns:
    """Variants of one structure as columns; a field that is equal in all stays a plain number, but for one, which keeps
    the length.
    """

    def column(values: Iterable[Any]) -> Any:
        values = list(values)
        if values[0] is None or isinstance(values[0], str) or len(set(values)) == 1:
            return values[0]
        return np.array(values)

    def field_column(axis: Axis) -> Any:
        values = [getattr(v, axis.field) for v in variants]
        if axis.structural:
            return values[0]
        if isinstance(values[0], tuple):
            return tuple(column(stage) for stage in zip(*values, strict=True))
        return column(values)

    columns = {axis.field: field_column(axis) for axis in AXES}
    return Columns(**{**columns, "init": np.array([v.init for v in variants])})


def _count(variants: list[Variant], batch: int, profile: Profile | None) -> Iterator[Record]:
    names = [figure.name for figure in READ]
    times = None if profile is None else partial(_times, profile)
    counts = count_columns(columns_of(variants), batch, names, beside=times)
    assert counts.untrainable is not None
    note = _no_training(f"batch normalisation can't train at batch {batch}")
    table = [counts.figures[name].tolist() for name in names]
    for i, variant in enumerate(variants):
        if counts.invalid[i]:
            yield _failed_variant(variant, batch, profile)
            continue
        trains = not counts.untrainable[i]
        values: dict[str, Any] = {
            f.name: column[i] for f, column in zip(READ, table, strict=True) if trains or not f.training
        }
        yield Record(
            **_common(variant, batch),
            **values,
            predicted=_predicted(profile, {name: float(each[i]) for name, each in counts.beside.items()}),
            remarks=() if trains else (note,),
        )


def _times(profile: Profile, net: Net) -> dict[str, Any]:
    """What predictions of many variants are made of."""
    found = {"latency_s": profile.of_net(net), "depthwise": share(work(net), *DEPTHWISE)}
    return found if profile.training is None else {**found, "training_s": profile.training.of_net(net)}


def _predicted(profile: Profile | None, times: dict[str, float]) -> PredictedLatency | None:
    if profile is None:
        return None
    kind = family_kind(times["depthwise"])
    found = profile.predicted(times["latency_s"], kind)
    if profile.training is None:
        return found
    return msgspec.structs.replace(found, training=profile.training.predicted(times["training_s"], kind))


def _failed_variant(variant: Variant, batch: int, profile: Profile | None) -> Record:
    try:
        # Raises, as the scalar form knows the reason; but where only a figure of memory is beyond int64.
        return record(variant, batch, layers=False, profile=profile)
    except ArchitectureError as error:
        return failed(variant.name, error, variant, batch)
