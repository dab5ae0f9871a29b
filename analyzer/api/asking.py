"""Questions with short answers: explain, fit, doctor, devices, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.architecture.variant import Variant
from analyzer.limits import limits_said
from analyzer.reading.peak import Training
from analyzer.reading.profiles import profile_at
from analyzer.targets.resolving import FamilyTarget, named, resolve

if TYPE_CHECKING:
    from analyzer.measuring.doctor import Doctor
    from analyzer.reading.devices import Devices
    from analyzer.searching.explained import Explained
    from analyzer.targets.fitting import Fit


def explain(
    target: Variant | str, *, limits: Mapping[str, int | str] | None = None, batch: int = 1,
    on: str | Path | None = None,
) -> Explained:  # fmt: skip
    """Where a variant's figures sit, what moves them, and the mildest single changes that meet a budget.

    `limits` are by figure (`{"params": "8M"}`; default: DenseNet121's own params at the same classes and image), `on`
    a device that predicts latency. Raises UsageError on a name that is none of the family's.

    >>> import analyzer as an
    >>> an.explain("article", limits={"params": "8M"})
    Explained(article: 4 single changes meet the budget; first: growth 261)
    """
    from analyzer.searching.explained import explained

    variant = named(target) if isinstance(target, str) else target
    return explained(variant, batch, tuple(limits_said("limits", limits)), profile_at(on, batch))


def fit(
    target: Variant | str, memory: int | str, *, batch: int = 32, inputs: Sequence[str] = (), **training: Any
) -> Fit:
    """The largest batches that train and infer within a memory (bytes, or `"11GiB"`), and what each change would give.

    A name may be any that the command takes; a model of one's own (`module:attr`) needs its `inputs` as --input takes
    them. `training` are the fields of reading.peak.Training. Raises UsageError on a memory under 1 MiB.

    >>> import analyzer as an
    >>> an.fit("densenet121", "4GiB", batch=64)
    Fit(densenet121 in 4,096.00 MiB: batch 32 trains as it is, 7 ways)
    """
    from analyzer.targets.fitting import fitting
    from analyzer.units import parse_count

    resolved = FamilyTarget(target) if isinstance(target, Variant) else resolve(target, inputs=inputs)
    room = parse_count(memory, where="memory") if isinstance(memory, str) else memory
    return fitting(resolved, room, batch, Training(**training))


def doctor(device: str = "auto") -> Doctor:
    """Versions, this machine as a measured figure would carry it, and what would make figures untrustworthy here.

    >>> import analyzer as an
    >>> an.doctor("cpu").environment.device
    'cpu'
    """
    from analyzer.measuring.doctor import looked

    return looked(device)


def devices() -> Devices:
    """The devices that latency can be predicted for: what was timed, the errors of the fit; your own too.

    >>> import analyzer as an
    >>> an.devices().frame().loc["rtx4090", "device_name"]
    'NVIDIA GeForce RTX 4090'
    """
    from analyzer.reading.devices import devices as known_devices

    return known_devices()


def report(
    results: str | Path | Sequence[str | Path], path: str | Path, *, subject: str | None = None,
    limits: Mapping[str, int | str] | None = None, on: str | Path | None = None,
) -> Path:  # fmt: skip
    """Writes a page from results of sweeps and searches, other reports, or files of networks; returns where it is.

    Two report.html files give one on what changed between their subjects. `subject` names the row that the verdict is
    about. Raises UsageError where there are no results.

    >>> import analyzer as an
    >>> kept = an.sweep(an.Grid(blocks=[(1, 1)], growth=[8, 16], image=32), out="swept")
    >>> an.report("swept", "two.html").name
    'two.html'
    """
    from analyzer.reporting.page import write_report
    from analyzer.reporting.runs_data import RunsPlan, runs_among, runs_report
    from analyzer.reporting.runs_page import write_runs
    from analyzer.shown import to_stderr
    from analyzer.sweeping.report import ReportPlan, execute

    given = [results] if isinstance(results, (str, Path)) else results
    paths, bounds, profile = tuple(map(Path, given)), tuple(limits_said("limits", limits)), profile_at(on)
    command = ("analyzer.report", *map(str, paths))
    if (runs := runs_among(paths)) is not None:
        write_runs(
            runs_report(RunsPlan(path=runs, command=command, subject=subject, limits=bounds, profile=profile)), path
        )
    else:
        write_report(execute(ReportPlan(paths, bounds, subject, command, profile), to_stderr), path)
    return Path(path)
