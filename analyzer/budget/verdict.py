"""What a check found, as frozen typed records: the one thing that every output format is made of."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from analyzer.figures import known
from analyzer.records import Record
from analyzer.structs import Frozen, Number, Shown

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1

Kind = Literal[
    "excess", "growth", "ratio", "improved", "changed", "moved", "relocked", "budget-changed", "waived",
    "waiver-expired", "waiver-unused", "lock-behind", "unmatched", "configuration", "broken", "terms", "uncounted",
    "no-baseline", "stale",
]  # fmt: skip
MEANINGS: dict[Kind, str] = {
    "excess": "A figure is outside the limits of its budget.",
    "growth": "A figure grew more than its budget allows.",
    "ratio": "A figure is too large beside its reference.",
    "improved": "A figure is smaller than its baseline.",
    "changed": "A figure changed within its budget, or with none.",
    "moved": "Modules were renamed or moved, and matched by structure.",
    "relocked": "The branch raises the lock file's own figures.",
    "budget-changed": "The branch edits its own budget or waiver.",
    "waived": "A failure is waived.",
    "waiver-expired": "A waiver has expired.",
    "waiver-unused": "A waiver is not needed.",
    "lock-behind": "The baseline's lock is not what its own code costs.",
    "unmatched": "A budget matches nothing.",
    "configuration": "The configuration is wrong.",
    "broken": "A model can't be loaded or built.",
    "terms": "On what terms a figure was counted.",
    "uncounted": "A model can't be fully counted.",
    "no-baseline": "There is no baseline.",
    "stale": "The baseline has another schema, target, kwargs or input.",
}
"""What a finding of each kind says."""
assert set(MEANINGS) == set(get_args(Kind))
Level = Literal["error", "warning", "note"]

EXIT_CODES: dict[str, int] = {
    "excess": 1, "growth": 1, "ratio": 1, "waiver-expired": 1,
    "unmatched": 2, "configuration": 2, "broken": 3, "uncounted": 3, "no-baseline": 4, "stale": 4,
}  # fmt: skip
"""What an error of a kind ends the check with."""
ORDER = (2, 3, 4, 1)
"""Which of several exit codes wins."""


class Payer(Frozen, frozen=True, kw_only=True):
    """One module's figure before and after (None: the module was not there), for who pays."""

    path: str
    type: str
    before: int | None
    after: int | None

    @property
    def delta(self) -> int:
        """How much it grew."""
        return (self.after or 0) - (self.before or 0)


class Finding(Frozen, frozen=True, kw_only=True):
    """One thing found. `what` is a sentence with its figures, `where` a place, `fix` what to do.

    `figure`, `value`, `limit` (inclusive) and `base` are given where they apply, with the figure's `standing` (`exact`,
    `predicted ±4.0 % (90 %: 27.10 to 36.20 ms)`); `group` is the layers' glob of the
    budget. `changes` are the modules that pay, the largest growth first. `message` is the configured text. `file`
    (from the repository's top, with slashes) and `line` say where the class of the first paying module, or of
    the model, or the configuration's entry, stands.
    """

    kind: Kind
    level: Level
    model: str
    what: str
    where: str = ""
    fix: str = ""
    figure: str | None = None
    group: str | None = None
    value: Number | None = None
    limit: Number | None = None
    base: int | None = None
    standing: str = ""
    changes: tuple[Payer, ...] = ()
    message: str | None = None
    file: str | None = None
    line: int | None = None

    @property
    def exit_code(self) -> int:
        """0 unless it is an error."""
        return EXIT_CODES.get(self.kind, 1) if self.level == "error" else 0


class Budgeted(Frozen, frozen=True, kw_only=True):
    """One figure of one model (or of a group of its layers): value, baseline, and the limit that binds (the least).

    `standing` is how it is known; empty: as the table of figures says.
    """

    figure: str
    value: Number | None
    base: int | None = None
    limit: Number | None = None
    group: str | None = None
    standing: str = ""


def how_known(told: Finding | Budgeted) -> str:
    """How a value is known: as its record says, or else as the table of figures does; empty where there is none."""
    return "" if told.value is None else told.standing or known(told.figure or "").standing


class ModelVerdict(Frozen, frozen=True, kw_only=True):
    """A model's outcome. `record` is what was counted (None: it could not be), `before` the baseline's."""

    name: str
    target: str
    figures: tuple[Budgeted, ...]
    record: Record | None = None
    before: Record | None = None


class Verdict(Frozen, Shown, frozen=True, kw_only=True):
    """A check's outcome over all models. `baseline` says what was compared with (`analyzer.lock`, `main at 1a2b3c`).

    `key` tells the comments of several jobs apart; `badge` is the figure that a badge shows.
    """

    shown_by: ClassVar[str] = "analyzer.budget.outputs.as_html"
    schema: int = SCHEMA
    models: tuple[ModelVerdict, ...]
    findings: tuple[Finding, ...]
    baseline: str
    configuration: str
    command: tuple[str, ...] = ()
    generated: str = ""
    key: str = ""
    badge: str = ""

    @property
    def exit_code(self) -> int:
        """0, or the first of 2, 3, 4, 1 that an error asks for."""
        asked = {finding.exit_code for finding in self.findings}
        return next((code for code in ORDER if code in asked), 0)

    def frame(self) -> pd.DataFrame:
        """One row a figure of a model or of a group of its layers: value, how it is known, baseline, limit."""
        import pandas as pd

        columns = ["model", "figure", "group", "known", "value", "base", "limit"]
        rows = [
            [model.name, line.figure, line.group, how_known(line), line.value, line.base, line.limit]
            for model in self.models
            for line in model.figures
        ]
        table = pd.DataFrame(rows, columns=columns)
        whole = [name for name in columns[4:] if not any(isinstance(value, float) for value in table[name])]
        table[whole] = table[whole].astype("Int64")
        return table

    def __repr__(self) -> str:
        kinds = Counter(finding.level for finding in self.findings)
        found = ", ".join(f"{count} {level}{'s' * (count > 1)}" for level, count in kinds.items()) or "nothing found"
        return f"Verdict({len(self.models)} model{'s' * (len(self.models) != 1)}: {found})"

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that fail the check."""
        return tuple(finding for finding in self.findings if finding.exit_code)
