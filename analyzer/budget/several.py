"""Several configurations checked as one: a repository of many projects has one verdict."""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import msgspec

from analyzer.budget.verdict import Finding, Verdict
from analyzer.errors import UsageError, did_you_mean

_SKIPPED = {".git", ".venv", "venv", "node_modules", "site-packages"}


def configurations(said: Sequence[str]) -> list[Path]:
    """The files that paths and globs name, each once. Raises UsageError where a glob names none."""
    found: dict[Path, None] = {}
    for text in said:
        if not any(sign in text for sign in "*?["):
            found[Path(text)] = None
            continue
        paths = [Path(path) for path in sorted(glob.glob(text, recursive=True)) if not _SKIPPED & set(Path(path).parts)]
        if not paths:
            raise UsageError(f"{text[:120]!r} names no file", where="--config", fix="quote it, and see where it is run")
        found |= dict.fromkeys(paths)
    return list(found)


def check_each(
    configs: Sequence[Path], models: Sequence[str], one: Callable[[Path | None, Sequence[str]], Verdict]
) -> Verdict:
    """One verdict on all: a model is called by its configuration's folder and its name, `services/small/net`.

    `one` checks a configuration, of it the named models alone (none: all). With one, or the nearest, it is its own.
    """
    if len(configs) < 2:
        return one(configs[0] if configs else None, models)
    verdicts = [_renamed(one(config, [])) for config in configs]
    if models:
        verdicts = _only(verdicts, models)
    labels = dict.fromkeys(verdict.baseline for verdict in verdicts)
    files = dict.fromkeys(verdict.configuration for verdict in verdicts)
    return msgspec.structs.replace(
        verdicts[0], models=tuple(model for v in verdicts for model in v.models),
        findings=tuple(finding for v in verdicts for finding in v.findings), baseline="; ".join(labels),
        configuration=", ".join(files),
    )  # fmt: skip


def _renamed(verdict: Verdict) -> Verdict:
    """The verdict with its models called by their folder too."""
    folder = PurePosixPath(verdict.configuration).parent.as_posix()
    above = "" if folder == "." else f"{folder}/"

    def placed(finding: Finding) -> Finding:
        file = finding.file or verdict.configuration
        name = f"{above}{finding.model}" if finding.model else ""
        return msgspec.structs.replace(finding, model=name, file=file, line=finding.line or 1)

    named = tuple(msgspec.structs.replace(model, name=f"{above}{model.name}") for model in verdict.models)
    return msgspec.structs.replace(verdict, models=named, findings=tuple(map(placed, verdict.findings)))


def _only(verdicts: Sequence[Verdict], names: Sequence[str]) -> list[Verdict]:
    """Of each verdict the named models, and what is found of no model. Raises UsageError on a name that is none."""
    known = {model.name for verdict in verdicts for model in verdict.models}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"there is no model {unknown[0][:80]!r}", where="--model", fix=did_you_mean(unknown[0], known))
    return [
        msgspec.structs.replace(
            verdict,
            models=tuple(model for model in verdict.models if model.name in names),
            findings=tuple(finding for finding in verdict.findings if finding.model in ("", *names)),
        )
        for verdict in verdicts
    ]
