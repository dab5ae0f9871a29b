"""A plan of compression in words: `prune l2 global 1/2, finetune 2, prune l2 global, finetune 5`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

from analyzer.errors import UsageError, did_you_mean

Verb = Literal["prune", "svd", "inherit", "finetune", "distill", "scratch", "recalibrate", "int8"]
VERBS: tuple[Verb, ...] = get_args(Verb)
DEFAULT = "prune l2 global"
Criterion = Literal["random", "l1", "l2", "bn", "taylor"]
Scope = Literal["local", "global"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
SCOPES: tuple[Scope, ...] = get_args(Scope)
HINTS = ("logits", "features")
FORMS = ("lowrank",)
MOST_EPOCHS = 100_000
_HOW = "such as: prune l2 global, finetune 5, recalibrate"


@dataclass(frozen=True)
class PlanStep:
    """One step. `share` is how far towards the budget it goes (prune, svd), `epochs` how long it trains (scratch of
    None: as many epochs as the weights had), `words` are the choices among a verb's, `target` the variant to inherit.
    """

    verb: Verb
    words: tuple[str, ...] = ()
    share: Fraction = Fraction(1)
    epochs: int | None = None
    target: str | None = None

    @property
    def text(self) -> str:
        """The step as it is written."""
        share = [] if self.share == 1 else [str(self.share)]
        epochs = [] if self.epochs is None else [str(self.epochs)]
        target = [] if self.target is None else [self.target]
        return " ".join([self.verb, *self.words, *share, *epochs, *target])

    @property
    def aims(self) -> bool:
        """Whether it goes towards the budget."""
        return self.verb == "prune" or (self.verb == "svd" and not self.words) or self == PlanStep("inherit")

    @property
    def needs_images(self) -> bool:
        """Whether it can't be done without data."""
        return self.verb in ("finetune", "distill", "scratch", "recalibrate", "svd") or "taylor" in self.words


def plan_of(text: str | Sequence[str]) -> tuple[PlanStep, ...]:
    """The steps that a text says, separated by commas. Raises UsageError that names the nearest word."""
    parts = text.split(",") if isinstance(text, str) else list(text)
    steps = tuple(_step(part) for part in parts)
    if any(step.verb == "int8" for step in steps[:-1]):
        raise UsageError("is of a finished network", where="--plan", fix="put int8 last")
    return steps


def written(steps: Sequence[PlanStep]) -> str:
    """The plan as one text."""
    return ", ".join(step.text for step in steps)


def _step(text: str) -> PlanStep:
    first, *words = text.lower().split() or [""]
    verb = next((verb for verb in VERBS if verb == first), None)
    if verb is None:
        raise UsageError(f"unknown step {first[:40]!r}", where="--plan", fix=f"{did_you_mean(first, VERBS)} ({_HOW})")
    return _READERS[verb](verb, words)


def _pruning(verb: Verb, words: list[str]) -> PlanStep:
    share, words = _share(words)
    criterion = [word for word in words if word in CRITERIA]
    scope = [word for word in words if word in SCOPES]
    _require_known(verb, words, (*CRITERIA, *SCOPES), max(len(criterion), len(scope)))
    return PlanStep(verb, (*(criterion or ["l2"]), *(scope or ["global"])), share)


def _ranks(verb: Verb, words: list[str]) -> PlanStep:
    share, words = _share(words)
    _require_known(verb, words, FORMS, len(words))
    if words and share != 1:
        raise UsageError("lowrank is one network, and no share of the way", where="--plan", fix="leave one out")
    return PlanStep(verb, tuple(words), share)


def _training(verb: Verb, words: list[str]) -> PlanStep:
    numbers = [word for word in words if word.isdecimal()]
    words = [word for word in words if not word.isdecimal()]
    hints = HINTS if verb == "distill" else ()
    _require_known(verb, words, hints, max(len(numbers), len(words)))
    if not numbers and verb != "scratch":
        raise UsageError(f"{verb} needs a number of epochs", where="--plan", fix=f"such as: {verb} 5")
    epochs = int(numbers[0][:9]) if numbers else None
    if epochs is not None and not 1 <= epochs <= MOST_EPOCHS:
        raise UsageError(f"{numbers[0][:20]} epochs are out of range", where="--plan", fix=f"use 1 to {MOST_EPOCHS:,}")
    return PlanStep(verb, tuple(words) or (("logits",) if hints else ()), epochs=epochs)


def _inheriting(verb: Verb, words: list[str]) -> PlanStep:
    if len(words) > 1:
        raise UsageError(f"inherit takes one network, not {len(words)}", where="--plan", fix="such as: inherit i32")
    return PlanStep(verb, target=words[0] if words else None)


def _alone(verb: Verb, words: list[str]) -> PlanStep:
    _require_known(verb, words, (), 0)
    return PlanStep(verb)


_READERS = {
    "prune": _pruning, "svd": _ranks, "inherit": _inheriting, "finetune": _training, "distill": _training,
    "scratch": _training, "recalibrate": _alone, "int8": _alone,
}  # fmt: skip


def _share(words: list[str]) -> tuple[Fraction, list[str]]:
    """How far towards the budget, as `1/3`, `0.5` or `50%`; all the way where none is said."""
    shares = [word for word in words if word[:1].isdigit()]
    others = [word for word in words if not word[:1].isdigit()]
    if not shares:
        return Fraction(1), others
    try:
        word = shares[0][:20]
        share = Fraction(word.removesuffix("%")) / (100 if word.endswith("%") else 1)
    except (ValueError, ZeroDivisionError):
        share = Fraction(0)
    if len(shares) > 1 or not 0 < share <= 1:
        raise UsageError(
            f"{' '.join(shares)[:40]!r} is no share of the way to the budget", where="--plan", fix="such as 1/2 or 50%"
        )
    return share, others


def _require_known(verb: str, words: Sequence[str], known: Sequence[str], most: int) -> None:
    for word in words:
        if word not in known:
            near = did_you_mean(word, known) if known else f"{verb} takes no such word"
            raise UsageError(f"{verb} knows no {word[:40]!r}", where="--plan", fix=near)
    if most > 1:
        raise UsageError(f"{verb} is told one thing twice", where="--plan", fix=_HOW)
