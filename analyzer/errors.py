"""Typed errors: what went wrong, where, and how to fix it. Each carries the exit code of the command."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AnalyzerError(Exception):
    """Base of every error a user can cause; never a defect of this package.

    `what` says what is wrong, `where` names the place (an option, a layer, a file), `fix` says what to do.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what, where, fix)
        self.what, self.where, self.fix = what, where, fix

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}; {self.fix}" if self.fix else text

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (type(self), self.what, self.where, self.fix)


def _restore(kind: type[AnalyzerError], what: str, where: str, fix: str) -> AnalyzerError:
    return kind(what, where=where, fix=fix)


class UsageError(AnalyzerError):
    """An option, a value or a configuration that can't mean anything (exit 2)."""


class VariantError(UsageError):
    """A variant whose own fields are wrong: an unknown block, an even kernel, a negative width (exit 2)."""


class ArchitectureError(AnalyzerError):
    """Well-formed fields that make no network: the image shrinks away, a width reaches 0 (exit 3)."""

    exit_code = 3


class TargetError(AnalyzerError):
    """A target that can't be loaded, built or run (exit 3)."""

    exit_code = 3


class CountError(AnalyzerError):
    """A model that can't be counted, or not fully where that was asked for (exit 3)."""

    exit_code = 3


class MeasureError(AnalyzerError):
    """A measurement that could not be made (exit 3)."""

    exit_code = 3


class TrainingError(AnalyzerError):
    """A training that can't go on: its loss is no number (exit 3)."""

    exit_code = 3


class ProcessLostError(AnalyzerError):
    """One of several processes that train together has ended, or answers no more (exit 3)."""

    exit_code = 3


class BaselineError(AnalyzerError):
    """A baseline that is missing or stale (exit 4)."""

    exit_code = 4


def lines_of(error: BaseException) -> list[str]:
    """The lines of an exception's words, none where they can't be had, whatever its own methods do."""
    try:
        return f"{error}".strip().splitlines()
    except BaseException:  # words that not even who wrote them can have
        return []


def words_of(error: BaseException) -> str:
    """An exception's type and the first line of its words."""
    return ": ".join([type(error).__name__, *lines_of(error)[:1]])


class DamageWarning(UserWarning):
    """A stored row that is damaged, and was left out."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?` for the nearest known word, else the list of known words."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if not known:
        return "there are none"
    return f"did you mean {near[0]!r}?" if near else f"use one of: {', '.join(known)}"
