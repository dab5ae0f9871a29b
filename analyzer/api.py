"""The verbs from Python: the same words as the command, typed results, tables as pandas DataFrames."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from analyzer import prediction
from analyzer.analysis import analyze
from analyzer.architecture.variant import Variant
from analyzer.comparison import LayerChange, compare_records
from analyzer.count.peak import Training
from analyzer.errors import MeasureError, UsageError, did_you_mean
from analyzer.latency import Profile, read_profile, write_profile
from analyzer.prediction import MemoryPrediction
from analyzer.records import FIGURES, Conditions, Record
from analyzer.search.query import Constraint, Objective, limits_under
from analyzer.space.grid import Grid, Listed
from analyzer.space.space import Space
from analyzer.sweep import run
from analyzer.sweep.database import open_store
from analyzer.sweep.executors import executor_of
from analyzer.sweep.export import write_results
from analyzer.sweep.store import JsonlStore, MemoryStore, Store
from analyzer.targets import named
from analyzer.units import parse_count

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from torch import nn

    from analyzer.search.results import Find
    from analyzer.search.study import Question


def build(
    variant: Variant | str, *, device: str | torch.device = "cpu", seed: int = 0, checkpoint_layers: bool = False
) -> nn.Module:
    """The network of a variant, or of a preset's or variant's name, as a torch module in training mode.

    Takes (N, 3, image, image) float32. Initialised as the article does; the same `seed` gives the same weights on every
    device. With `checkpoint_layers` each layer is run again in the backward pass: less memory for more time. Raises
    ArchitectureError where the variant makes no network.
    """
    from analyzer.build import build as build_variant

    found = named(variant) if isinstance(variant, str) else variant
    return build_variant(found, device=device, seed=seed, checkpoint_layers=checkpoint_layers)


def frame(records: Sequence[Record]) -> pd.DataFrame:
    """One row a record, indexed by name: raw figures, the variant's fields, measured columns, the error's text."""
    import pandas as pd

    rows = []
    for record in records:
        measured = record.measured
        rows.append(
            {
                "name": record.target.name,
                "label": record.target.label,
                "batch": record.batch,
                "flops": record.flops,
                **{figure: getattr(record, figure) for figure in FIGURES},
                **(record.target.variant or {}),
                "measured_latency_s": measured.measured_latency_s if measured else None,
                "measured_images_per_s": measured.measured_images_per_s if measured else None,
                "predicted_latency_s": record.predicted.latency_s if record.predicted else None,
                "ratio_to_baseline": measured.ratio if measured else None,
                "error": record.error.what if record.error else None,
            }
        )
    table = pd.DataFrame(rows).set_index("name")
    counts = ["flops", *FIGURES]
    table[counts] = table[counts].astype("Int64")  # exact integers also beside missing ones
    return table


@dataclass(frozen=True)
class Comparison:
    """Records side by side, and for each after the first the layers that carry its difference to the first."""

    records: tuple[Record, ...]
    layers: tuple[tuple[LayerChange, ...], ...]

    def frame(self) -> pd.DataFrame:
        """Figures as rows, targets as columns, then each target's ratio to the first."""
        table = frame(self.records)[["flops", *FIGURES]].T
        first = table.iloc[:, 0]
        for record in self.records[1:]:
            table[f"{record.target.name} / {self.records[0].target.name}"] = table[record.target.name] / first
        return table

    def _repr_html_(self) -> str:
        return str(self.frame().to_html(na_rep="–"))


def compare(*targets: Any, batch: int = 1, by: str = "params", inputs: Any = None) -> Comparison:
    """Two or more variants, names or modules (which need `inputs`) side by side; layers compared by a figure."""
    if len(targets) < 2:
        raise UsageError("compares two targets or more", where="compare", fix="such as compare(variant, 'densenet121')")
    records = tuple(_record(target, batch, inputs) for target in targets)
    return Comparison(records, tuple(tuple(compare_records(records[0], other, by)) for other in records[1:]))


def _record(target: Any, batch: int, inputs: Any) -> Record:
    own = not isinstance(target, (str, Variant))
    return analyze(target, inputs=inputs if own else None, batch=batch)


@dataclass(frozen=True)
class Sweep:
    """A finished sweep: its records (the baseline first), the names on the front of params and MACs, the report."""

    records: tuple[Record, ...]
    front: tuple[str, ...]
    report: Path | None

    def frame(self) -> pd.DataFrame:
        """One row a variant."""
        return frame(self.records)

    def _repr_html_(self) -> str:
        return str(self.frame().to_html(na_rep="–"))


def sweep(
    grid: Grid | Sequence[Variant | str],
    *,
    batch: int = 1,
    measure: run.Measure = "none",
    seconds: float = 40.0,
    device: str = "auto",
    out: str | Path | None = None,
    limits: dict[str, int] | None = None,
    resume: bool = True,
    profile: str | Path | None = None,
    jobs: int | None = None,
    executor: str = "processes",
    address: str | None = None,
) -> Sweep:
    """Counts every variant of a grid (or those listed, by name too), measures the chosen ones, and with
    `out` keeps results and a report there.

    What `results.db` in `out` already has is not done again; without `resume` that file is kept aside. `limits` are
    budgets by figure for the report (default: DenseNet121's own). A device's `profile` (a file of `calibrate`'s)
    predicts every row's latency. Counting takes `jobs` processes (default: all cores); with `executor="ray"` the work
    goes to the cluster at `address`. Raises UsageError on a bad grid; a bad variant is a record with an `error`.
    """
    listed = grid if isinstance(grid, Grid) else Listed(named(v) if isinstance(v, str) else v for v in grid)
    plan = run.plan(listed, batch=batch, measure=measure, seconds=seconds, profile=_profile(profile))
    folder = None if out is None else Path(out)
    on = None if measure == "none" else device
    with (
        closing(executor_of(executor, jobs=jobs, device=on, address=address)) as workers,
        closing(_store(folder, resume)) as store,
    ):
        rows = list(run.count(plan, store, run.already_counted(plan, store), workers))
        chosen = run.to_measure(plan, rows)
        if chosen:
            there = run.already_measured(plan, chosen, store, workers, batch)
            for _ in run.measure(plan, chosen, store, workers, batch=batch, there=there):
                pass
    records = run.rows_of(plan, store)
    if folder is None:
        return Sweep(tuple(records), run.pareto_names(records), None)
    from analyzer.report.page import write_report
    from analyzer.sweep.report import report_data

    write_results(folder, records)
    report = folder / "report.html"
    write_report(report_data(records, limits or {}, command=["analyzer.sweep"]), report)
    return Sweep(tuple(records), run.pareto_names(records), report)


def _store(folder: Path | None, resume: bool) -> Store:
    return MemoryStore() if folder is None else open_store(folder, resume=resume)


def _profile(path: str | Path | None) -> Profile | None:
    if path is None:
        return None
    from analyzer.measure.environment import like

    return read_profile(Path(path), like)


def predict_memory(
    model: Variant | str | nn.Module, batch: int = 1, *, inputs: Any = None, timeline: bool = False, **training: Any
) -> MemoryPrediction:
    """Peak memory of a training step and of an inference, exactly, and where each peak stands; no torch for a variant.

    `training` are the fields of count.peak.Training: dtype, optimizer, form, zero_grad, weight_decay, accumulate,
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
    from analyzer.analysis import as_tensors

    return prediction.predict_module(model, as_tensors(inputs), {}, analyze(model, inputs=inputs), asked)


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
    from analyzer.measure.measure import SINGLES, choose_batch, measure_all, record_of, subject_of
    from analyzer.measure.protocol import Protocol

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
    from analyzer.measure.calibration import calibrate as run_calibration

    conditions = Conditions(dtype=dtype, threads=threads)
    say = _silent if quiet else _to_stderr
    profile = run_calibration(device, batch=batch, conditions=conditions, per_operator=per_op, say=say)
    if out is not None:
        write_profile(profile, Path(out))
    return profile


def search(
    space: Space,
    *,
    minimize: Sequence[str] | str | None = None,
    maximize: Sequence[str] | str | None = None,
    limits: Mapping[str, int | str] | None = None,
    at_least: Mapping[str, int | str] | None = None,
    under: str | Variant | None = None,
    best: int = 0,
    batch: int | None = None,
    seconds: float = 60.0,
    jobs: int | None = None,
    seed: int = 0,
    profile: str | Path | None = None,
    objective: Sequence[str] | str = (),
    trials: int | None = None,
    sampler: Literal["tpe", "nsga2"] = "tpe",
    device: str = "auto",
    out: str | Path | None = None,
) -> pd.DataFrame:
    """The Pareto front of a space under limits by figure (inclusive), one row a variant, as a DataFrame.

    `under` adds a variant's own params, MACs and saved bytes as limits. `best` adds the k best of each objective.
    Columns: the figures, the variant's fields, `front`, `best_for`. `attrs` say the share of the space that was seen
    (1.0: all, so that the front is exact), how many variants fit, and the seed. Raises UsageError where none fits.

    With a measured `objective` (measured_latency_s, measured_images_per_s, measured_ratio) variants are proposed by
    Optuna, beginning with the static front, and at most `trials` measured on `device`; every measured one is a row.
    `minimize` and `maximize` count beside it where they are given. `out` keeps the study and its rows to go on from.
    `batch` is that of memory (default: 1) and of measuring (default: the device's usual).
    """
    from analyzer.search.engine import search as run_search
    from analyzer.search.query import Query
    from analyzer.search.results import finds

    if not isinstance(space, Space):
        raise UsageError(f"is no Space: {space!r:.80}", where="space", fix="such as Space(growth=range(8, 65))")
    goals = _goals(minimize, maximize)
    query = Query(goals or Query().objectives, _constraints(limits, at_least, under, batch or 1), batch or 1, best)
    if objective:
        from analyzer.search.study import Question

        question = Question(
            space, query, tuple(_names(objective)), goals, trials=trials, seconds=seconds, batch=batch,
            sampler=sampler, seed=seed,
        )  # fmt: skip
        return _measured(question, device, None if out is None else Path(out))
    result = run_search(space, query, seconds=seconds, jobs=jobs, seed=seed)
    table = _marked(finds(result, _profile(profile)))
    table.attrs.update(share=result.share, fitting=result.finds.fitting, seen=result.finds.seen, seed=seed)
    return table


def _measured(question: Question, device: str, folder: Path | None) -> pd.DataFrame:
    from analyzer.search.study import run_study

    with closing(executor_of(device=device)) as workers, closing(_store(folder, resume=True)) as store:
        outcome = run_study(question, store, workers, None if folder is None else folder / "study.db")
    if outcome.interrupted:
        raise KeyboardInterrupt
    if not outcome.rows:
        raise MeasureError("nothing could be measured", where=device, fix="see that a variant runs on this device")
    table = _marked(outcome.finds())
    table["measured_ratio"] = table.pop("ratio_to_baseline")
    table.attrs.update(share=outcome.static.share, fitting=outcome.static.finds.fitting, ended=outcome.ended)
    return table


def _marked(found: Sequence[Find]) -> pd.DataFrame:
    table = frame([find.record for find in found])
    table["front"] = [find.front for find in found]
    table["best_for"] = [",".join(find.best_for) for find in found]
    return table


def _goals(minimize: Sequence[str] | str | None, maximize: Sequence[str] | str | None) -> tuple[Objective, ...]:
    low, high = _names(minimize or ()), _names(maximize or ())
    return *(Objective(figure) for figure in low), *(Objective(figure, True) for figure in high)


def _constraints(
    limits: Mapping[str, int | str] | None,
    at_least: Mapping[str, int | str] | None,
    under: str | Variant | None,
    batch: int,
) -> tuple[Constraint, ...]:
    own = [] if under is None else limits_under(analyze(under, batch=batch), str(under))
    return (
        *(Constraint(f, maximum=count, source=where) for f, count, where in _counts("limits", limits)),
        *(Constraint(f, minimum=count, source=where) for f, count, where in _counts("at_least", at_least)),
        *own,
    )


def _names(figures: Sequence[str] | str) -> Sequence[str]:
    return [word.strip() for word in figures.split(",")] if isinstance(figures, str) else figures


def _counts(name: str, limits: Mapping[str, int | str] | None) -> Iterator[tuple[str, int, str]]:
    """Figure, limit and how it was said; a limit may be text as the command takes it (`8M`, `100MiB`)."""
    for figure, limit in (limits or {}).items():
        where = f"{name}[{figure!r}]"
        yield figure, parse_count(limit, where=where) if isinstance(limit, str) else limit, where
