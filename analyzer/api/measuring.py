"""What networks need and do: predict_memory, measure, calibrate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from analyzer.api.tables import frame
from analyzer.architecture.variant import Variant
from analyzer.errors import UsageError, did_you_mean
from analyzer.measurements import Conditions
from analyzer.reading import prediction
from analyzer.reading.latency import Profile
from analyzer.reading.peak import Training
from analyzer.reading.prediction import MemoryPrediction
from analyzer.records import Record
from analyzer.shown import silent, to_stderr
from analyzer.sweeping.store import JsonlStore, MemoryStore
from analyzer.targets.analysis import analyze, inputs_of
from analyzer.targets.resolving import FamilyTarget, named

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn


def predict_memory(
    model: Variant | str | nn.Module, batch: int = 1, *, inputs: Any = None, kwargs: Mapping[str, Any] | None = None,
    timeline: bool = False, **training: Any,
) -> MemoryPrediction:  # fmt: skip
    """Peak memory of a training step and of an inference, exactly, and where each peak stands; no torch for a variant.

    `training` are the fields of reading.peak.Training: dtype, optimizer, form, zero_grad, weight_decay, accumulate,
    checkpoint, autocast. A module of one's own takes `inputs` and `kwargs` as in `analyze`, and is run on the meta
    device. Raises UsageError on a combination that is not verified, CountError where the module can't run on meta.

    >>> import analyzer as an
    >>> an.predict_memory("article", batch=32)
    MemoryPrediction(article, batch 32: 5,252.80 MiB to train, 1,178.54 MiB to infer)
    """
    unknown = set(training) - {field.name for field in fields(Training)}
    if unknown:
        name = min(unknown)
        raise UsageError(
            f"unknown option {name!r}",
            where="predict_memory",
            fix=did_you_mean(name, [f.name for f in fields(Training)]),
        )
    asked = Training(**training)
    if isinstance(model, (str, Variant)):
        variant = named(model) if isinstance(model, str) else model
        return prediction.predict_memory(variant, batch, asked, timeline=timeline)
    from analyzer.tracing.prediction import predict_module

    args, keywords = inputs_of(inputs, kwargs)
    return predict_module(model, args, keywords, analyze(model, inputs=inputs, kwargs=kwargs), asked)


@dataclass(frozen=True, repr=False)
class Measured:
    """Records of models measured against a baseline; one that could not be measured has its `error`."""

    records: tuple[Record, ...]

    def frame(self) -> pd.DataFrame:
        """One row a model."""
        return frame(self.records)

    def report(self, path: str | Path) -> Path:
        """Writes a page on the models, the first of them the baseline; returns where it is."""
        from analyzer.reporting.page import write_report
        from analyzer.sweeping.report import report_data

        write_report(report_data(self.records, (), command=("analyzer.measure",)), path)
        return Path(path)

    def __repr__(self) -> str:
        return f"Measured({len(self.records)} records)"

    def _repr_html_(self) -> str:
        from analyzer.reporting.notebook import records_html

        return records_html(self.records)


def measure(
    models: Sequence[Variant | str], *, against: Variant | str | None = None,
    batch: int | Literal["auto"] | None = None, device: str = "auto", training: bool = False, dtype: str = "float32",
    autocast: str = "none", channels_last: bool = False, compile: bool = False, threads: int | None = None,
    malloc: Literal["default", "tuned"] = "default", flush_l2: bool = False, seconds: float = 600.0,
    precision: float = 0.03, out: str | Path | None = None, quiet: bool = False,
) -> Measured:  # fmt: skip
    """Times of models against a baseline in fresh processes, each with its interval, raw times and caveats.

    Models are variants, or names. `against` of None is DenseNet121 at the first one's classes and image. `batch` "auto"
    is the one with the most images a second. `out` keeps each record (JSON lines) as soon as it is made, also where the
    run is interrupted. Progress goes to stderr unless `quiet`. Raises UsageError where the device isn't there or can't
    do the dtype, or `out` can't be written.

    >>> import analyzer as an
    >>> an.measure(["article"], training=True).frame()["measured_latency_s"]  # doctest: +SKIP
    """
    from analyzer.measuring.execution import MeasureWatch, execute, plan
    from analyzer.measuring.measure import SINGLES
    from analyzer.measuring.protocol import Protocol

    conditions = Conditions(
        mode="training" if training else "inference", dtype=dtype, autocast=autocast, channels_last=channels_last,
        compile=compile, threads=threads, malloc=malloc, flush_l2=flush_l2,
    )  # fmt: skip
    say = silent if quiet else to_stderr
    asked = plan(
        [_family(model) for model in models], against=None if against is None else _family(against), device=device,
        batch=batch, conditions=conditions, say=say, out=None if out is None else Path(out),
        protocol=Protocol(seconds=seconds, target=precision, singles=SINGLES),
    )  # fmt: skip
    with closing(MemoryStore() if asked.out is None else JsonlStore(asked.out)) as store:
        done = execute(asked, MeasureWatch(say, keep=lambda row: store.put([row])))
    if done.interrupted:
        raise KeyboardInterrupt
    return Measured(done.records)


def _family(model: Variant | str) -> FamilyTarget:
    return FamilyTarget(named(model) if isinstance(model, str) else model)


def calibrate(
    device: str = "auto",
    *,
    batch: int | None = None,
    dtype: str = "float32",
    threads: int | None = None,
    per_op: bool = False,
    out: str | Path | None = None,
    name: str | None = None,
    quiet: bool = False,
) -> Profile:
    """Measures this device and fits the profile that predicts latency; `out` keeps it as a file, `name` names it.

    `batch` is 8, on a GPU 256, where none is given. It has no page of its own: its file is what `on` takes. Progress
    goes to stderr unless `quiet`. Raises MeasureError where nothing runs, UsageError where the device isn't there, or
    `out` can't be written.

    >>> import analyzer as an
    >>> an.calibrate(out="mybox.json")  # doctest: +SKIP
    >>> an.analyze("article", on="mybox.json").predicted.latency_s  # doctest: +SKIP
    """
    from analyzer.measuring.execution import CalibrationPlan, MeasureWatch, execute_calibration

    path = None if out is None else Path(out)
    plan = CalibrationPlan(device, batch, Conditions(dtype=dtype, threads=threads), per_op, path, name)
    return execute_calibration(plan, MeasureWatch(silent if quiet else to_stderr))
