"""Networks trained, and what they say of images: train, predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from analyzer.architecture.variant import Variant
from analyzer.executors.workplace import Workplace
from analyzer.images.splits import FRACTIONS
from analyzer.limits import Limit, at_most
from analyzer.reading.latency import Profile
from analyzer.reading.profiles import profile_at
from analyzer.shown import silent, to_stderr
from analyzer.storing.results_file import NAME
from analyzer.structs import Shown
from analyzer.targets.resolving import FamilyTarget, ModuleTarget, Resolved, resolve
from analyzer.training.comparing import RunComparison, compared
from analyzer.training.dividing import Division
from analyzer.training.execution import execute
from analyzer.training.planning import TrainPlan, TrainWatch
from analyzer.training.recipe import recipe
from analyzer.training.run_records import RunOutcome, outcome_of
from analyzer.training.together import is_first

if TYPE_CHECKING:
    import pandas as pd

    from analyzer.reporting.runs_data import RunsReport


class ComparedRuns(RunComparison, Shown, frozen=True, kw_only=True):
    """A comparison of two networks' runs: `judged` has every difference with its intervals and what is shown."""

    shown_by: ClassVar[str] = "analyzer.reporting.comparison_page"

    def frame(self) -> pd.DataFrame:
        """One row a difference and what it is over: A minus B in points, its interval, the verdict."""
        import pandas as pd

        rows = [
            {"about": one.about, "over": each.over, "difference": each.value, "low": each.low, "high": each.high,
             "pairs": each.pairs, "verdict": one.verdict}
            for one in self.judged for each in one.estimates
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        told = "; ".join(f"{one.about}: {one.verdict}" for one in self.judged)
        return f"ComparedRuns({self.a} against {self.b}, {len(self.pairs)} pairs: {told})"


@dataclass(frozen=True, repr=False)
class Runs:
    """Trained runs, in order: each configuration with its epochs, and its `error` where it could not go on."""

    runs: tuple[RunOutcome, ...]
    folder: Path

    def frame(self) -> pd.DataFrame:
        """One row a run and epoch: what makes the run, then what the epoch came to."""
        import pandas as pd

        from analyzer.training.export import HEADINGS, rows

        return pd.DataFrame([row for outcome in self.runs for row in rows(outcome)], columns=list(HEADINGS))

    def compare(self, a: str | None = None, b: str | None = None, margin: float | None = None) -> ComparedRuns:
        """Two networks by what was declared before the first step, in pairs of runs, each with its intervals.

        `a` and `b` are names or labels (None: the only two); `margin` (a share) is the difference that would matter.
        """
        from analyzer.training.runs_file import RunsFile

        with closing(RunsFile(self.folder / NAME)) as kept:
            found = compared(kept, a, b, margin)
        return ComparedRuns(**{name: getattr(found, name) for name in found.__struct_fields__})

    def report(self, path: str | Path, *, limits: dict[str, int] | None = None, on: str | Path | None = None) -> Path:
        """Writes a page on the runs of this folder: curves, gaps, every pair's differences, accuracy against costs.

        `limits` are budgets by figure, drawn beside; `on` names a device whose profile predicts latency.
        """
        from analyzer.reporting.runs_page import write_runs

        write_runs(self._reported(at_most(limits or {}, "limits"), profile_at(on)), path)
        return Path(path)

    def _reported(self, limits: Sequence[Limit] = (), profile: Profile | None = None) -> RunsReport:
        from analyzer.reporting.runs_data import RunsPlan, runs_report

        plan = RunsPlan(path=self.folder, command=("analyzer.train",), limits=tuple(limits), profile=profile)
        return runs_report(plan)

    def checkpoint(self, run: str) -> Path:
        """The last checkpoint of a run."""
        return self.folder / "runs" / run / "last.safetensors"

    def __repr__(self) -> str:
        ended = sum(run.error is None for run in self.runs)
        return f"Runs({len(self.runs):,} in {self.folder}, {ended:,} without an error)"

    def _repr_html_(self) -> str:
        from analyzer.reporting.runs_page import runs_html

        if not any(run.epochs for run in self.runs):
            return str(self.frame().to_html(na_rep="–", index=False))
        return runs_html(self._reported())


def train(
    targets: Variant | str | Sequence[Variant | str], data: Any, *, out: str | Path, image: int | None = None,
    seeds: Sequence[int] = (0,), folds: int | None = None, fractions: tuple[float, float, float] = FRACTIONS,
    split_seed: int = 0, split: str | Path | None = None, allow_leaks: bool = False, inputs: Sequence[str] = (),
    kwargs: Mapping[str, Any] | None = None, device: str = "auto", threads: int | None = None, workers: int = 0,
    jobs: int = 1, executor: str = "processes", address: str | None = None, best: bool = False,
    outcome: Mapping[str, Any] | None = None, accept: bool = False, quiet: bool = False, **training: Any,
) -> Runs:  # fmt: skip
    """Trains networks on images, each from each seed (and on each fold), and keeps every epoch in `out`.

    Targets are variants, names, or `module:attr` of own models, whose `kwargs` and `inputs` (texts as --input takes
    them) may be given. `data` is a folder of class folders (with or without train, val and test above them), a CSV of
    path and label, an npz in MedMNIST's layout, a torch Dataset, or a mapping of train, val and test to Datasets. What
    the data does not divide is divided by `fractions`, duplicates kept together. `training` are the fields of
    training.recipe.Recipe: epochs, lr, optimizer, schedule, batch, weight_decay, momentum, augment, classes_weighted,
    amp, channels_last, compile, train_accuracy_every, batch_norm. `outcome` declares what counts in `Runs.compare`:
    epoch (last or validation) and margin (a share). Called again with the same `out` it goes on where it was; on a
    CPU with as many threads the result has the same bits as an unbroken run's. Under torchrun the processes share every
    batch, the first alone writes and speaks. `jobs` runs are trained at once, each by a process, or with
    `executor="ray"` as many as a cluster (at `address`) has cores or GPUs: `out` and `data` where every node sees them.

    Raises UsageError on data, options or an `out` that can't be; KeyboardInterrupt once all is saved.

    >>> an.train("dense_b1-1_g4_bn4_c0.5_s32", "pictures.npz", out="runs", epochs=1, batch=8, quiet=True)
    Runs(1 in runs, 1 without an error)
    """
    each = [targets] if isinstance(targets, (Variant, str)) else targets
    division = Division(fractions, split_seed, folds, None if split is None else Path(split), allow_leaks)
    plan = TrainPlan(
        targets=tuple(_resolved(target, kwargs, inputs) for target in each), data=data, out=Path(out),
        recipe=recipe(training), image=image, seeds=tuple(seeds),
        division=division, device=device, threads=threads, workers=workers, best=best, accept=accept,
        outcome=outcome_of(outcome or {}), where=Workplace(executor, jobs, None, address),
    )  # fmt: skip
    say = silent if quiet or not is_first() else to_stderr
    watch = TrainWatch(say=say, warn=say, epoch=lambda config, epoch: say(f"{config.run}: {epoch.logged()}"))
    done = execute(plan, watch)
    if done.interrupted:
        raise KeyboardInterrupt
    return Runs(done.runs, plan.out)


def _resolved(target: Variant | str, kwargs: Mapping[str, Any] | None, inputs: Sequence[str]) -> Resolved:
    if isinstance(target, Variant):
        return FamilyTarget(target)
    if ":" not in target:
        return resolve(target)
    resolved = resolve(target, inputs=inputs)
    assert isinstance(resolved, ModuleTarget)
    return replace(resolved, kwargs=tuple((kwargs or {}).items()))
