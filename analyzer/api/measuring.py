"""What networks need and do: predict_memory, measure, calibrate."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from analyzer.api.tables import frame
from analyzer.architecture.variant import Variant
from analyzer.errors import UsageError, did_you_mean
from analyzer.reading import prediction
from analyzer.reading.latency import Profile, write_profile
from analyzer.reading.peak import Training
from analyzer.reading.prediction import MemoryPrediction
from analyzer.records import Conditions, Record
from analyzer.sweeping.store import JsonlStore, MemoryStore, Store
from analyzer.targets.analysis import analyze
from analyzer.targets.resolving import named

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn


def predict_memory(
    model: Variant | str | nn.Module, batch: int = 1, *, inputs: Any = None, timeline: bool = False, **training: Any
) -> MemoryPrediction:
    """Peak memory of a training step and of an inference, exactly, and where each peak stands; no torch for a variant.

    `training` are the fields of reading.peak.Training: dtype, optimizer, form, zero_grad, weight_decay, accumulate,
    checkpoint, autocast. A module of one's own takes `inputs` as in `analyze`, and is run on the meta device. Raises UsageError
    on a combination that is not verified, CountError where the module can't run on meta.
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
    from analyzer.targets.inputs import as_tensors
    from analyzer.tracing.prediction import predict_module

    return predict_module(model, as_tensors(inputs), {}, analyze(model, inputs=inputs), asked)


@dataclass(frozen=True)
class Measured:
    """Records of models measured against a baseline; one that could not be measured has its `error`."""

    records: tuple[Record, ...]

    def frame(self) -> pd.DataFrame:
        """One row a model."""
        return frame(self.records)

    def _repr_html_(self) -> str:
        return str(self.frame().to_html(na_rep="–"))


def measure(
    models: Sequence[Variant | str],
    *,
    against: Variant | str = "densenet121",
    batch: int | Literal["auto"] | None = None,
    device: str = "auto",
    training: bool = False,
    dtype: str = "float32",
    autocast: str = "none",
    channels_last: bool = False,
    compile: bool = False,
    threads: int | None = None,
    malloc: Literal["default", "tuned"] = "default",
    flush_l2: bool = False,
    seconds: float = 600.0,
    precision: float = 0.03,
    out: str | Path | None = None,
    quiet: bool = False,
) -> Measured:
    """Times of models against a baseline in fresh processes, each with its interval, raw times and caveats.

    Models are variants, or names. `batch` "auto" is the one with the most images a second. `out` keeps each record (JSON
    lines) as soon as it is made, also where the run is interrupted. Progress goes to stderr unless `quiet`. Raises
    UsageError where the device isn't there or can't do the dtype.
    """
    from analyzer.measuring.measure import SINGLES, choose_batch, measure_all, record_of, subject_of
    from analyzer.measuring.protocol import Protocol

    say = _silent if quiet else _to_stderr
    subjects = [subject_of(named(model) if isinstance(model, str) else model) for model in models]
    base = subject_of(named(against) if isinstance(against, str) else against)
    conditions = Conditions(
        mode="training" if training else "inference", dtype=dtype, autocast=autocast, channels_last=channels_last,
        compile=compile, threads=threads, malloc=malloc, flush_l2=flush_l2,
    )  # fmt: skip
    size = choose_batch(subjects, device, conditions, say) if batch == "auto" else batch
    protocol = Protocol(seconds=seconds, target=precision, singles=0 if training else SINGLES)
    store: Store = MemoryStore() if out is None else JsonlStore(Path(out))
    rows: list[Record] = []
    try:
        for name, made in measure_all(
            subjects, base, device=device, batch=size, conditions=conditions, protocol=protocol
        ):
            rows.append(record_of(name, made, subjects))
            store.put([rows[-1]])
            say(f"{name}: {'failed' if rows[-1].error else 'done'} ({len(rows)} of {len(subjects)})")
    finally:
        store.close()
    return Measured(tuple(rows))


def _to_stderr(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _silent(_: str) -> None:
    pass


def calibrate(
    device: str = "auto",
    *,
    batch: int = 8,
    dtype: str = "float32",
    threads: int | None = None,
    per_op: bool = False,
    out: str | Path | None = None,
    quiet: bool = False,
) -> Profile:
    """Measures this device and fits the profile that predicts latency; `out` keeps it as a file.

    Progress goes to stderr unless `quiet`. Raises MeasureError where nothing runs, UsageError where the device isn't
    there.
    """
    from analyzer.measuring.calibration import calibrate as run_calibration

    conditions = Conditions(dtype=dtype, threads=threads)
    say = _silent if quiet else _to_stderr
    profile = run_calibration(device, batch=batch, conditions=conditions, per_operator=per_op, say=say)
    if out is not None:
        write_profile(profile, Path(out))
    return profile
