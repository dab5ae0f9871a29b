"""Growth that is accepted on purpose: the edit of the configuration that does it, checked before it is written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import msgspec

from analyzer.budget.configuration import Project, line_of, parse
from analyzer.budget.limits import as_bound, limits
from analyzer.budget.schema import FigureBudget, Model, Waiver
from analyzer.budget.verdict import ModelVerdict, Verdict
from analyzer.errors import UsageError
from analyzer.files import write_text

_WAIVED_DAYS = 30


@dataclass(frozen=True)
class Acceptance:
    """The configuration's text with a model's growth accepted, and each edit of it in words."""

    project: Project
    text: str
    edits: tuple[str, ...]

    def write(self) -> None:
        """Replaces the configuration's file, whole or not at all."""
        write_text(self.project.path, self.text)


def acceptance(project: Project, verdict: Verdict, name: str, by: str, today: date) -> Acceptance:
    """What accepts all that a model of the verdict is over: a larger max; against another commit a waiver for a month.

    Raises UsageError where the file is written in a way that can't be edited safely.
    """
    model, lines = project.configuration.models[name], _lines_of(verdict, name)
    wanted, text, edits = model, project.text, []
    for figure, group, bound in _outgrown_max(model, lines):
        wanted = _with_max(wanted, figure, group, bound)
        text = _with_max_written(project, text, name, figure, group, bound)
        edits.append(f'{project.file}: models.{name}: {figure}{f" of {group}" if group else ""} max "{bound}"')
    if verdict.baseline.partition(" ")[0] != "analyzer.lock":
        for waiver in _outgrown_baseline(model, lines, by, today):
            wanted = msgspec.structs.replace(wanted, waivers=[*wanted.waivers, waiver])
            text += _waiver_written(project, name, waiver)
            edits.append(
                f"{project.file}: models.{name}: a waiver of {waiver.figure} until {waiver.expires.isoformat()}"
            )
    made = parse(text, project.file)
    models = {**project.configuration.models, name: wanted}
    if made is None or made.models != models:
        raise UsageError(
            "is written in a way that is not edited safely", where=project.file, fix=f"by hand: {'; '.join(edits)}"
        )
    return Acceptance(project, text, tuple(edits))


def _lines_of(verdict: Verdict, name: str) -> ModelVerdict:
    return next(model for model in verdict.models if model.name == name)


def _outgrown_max(model: Model, now: ModelVerdict) -> Iterator[tuple[str, str | None, str]]:
    values = {(line.figure, line.group): line.value for line in now.figures}
    for limit in limits(model):
        value = values.get((limit.figure, limit.group))
        if limit.max is not None and value is not None and value > limit.max:
            yield limit.figure, limit.group, as_bound(int(value))


def _outgrown_baseline(model: Model, now: ModelVerdict, by: str, today: date) -> Iterator[Waiver]:
    known = {(line.figure, line.group): line for line in now.figures}
    for limit in limits(model):
        line = known.get((limit.figure, limit.group))
        if limit.growth is None or line is None or line.value is None or line.base is None:
            continue
        if line.value > limit.most_grown(line.base):
            yield Waiver(
                figure=limit.figure, group=limit.group, reason="accepted with --update-budget", by=by,
                expires=today + timedelta(days=_WAIVED_DAYS), max=as_bound(int(line.value)),
            )  # fmt: skip


def _with_max(model: Model, figure: str, group: str | None, bound: str) -> Model:
    def raised(budgets: dict[str, FigureBudget]) -> dict[str, FigureBudget]:
        return {**budgets, figure: msgspec.structs.replace(budgets[figure], max=bound)}

    if group is None:
        return msgspec.structs.replace(model, budgets=raised(model.budgets))
    return msgspec.structs.replace(model, groups={**model.groups, group: raised(model.groups[group])})


_MAX = re.compile(r"""(\bmax\s*=\s*)("[^"]*"|'[^']*'|[0-9_]+)""")


def _with_max_written(project: Project, text: str, name: str, figure: str, group: str | None, bound: str) -> str:
    """The first line below the model's table (and the group's name) that names the figure, with another max."""
    lines = text.split("\n")
    start = line_of(msgspec.structs.replace(project, text=text), name) - 1
    if group is not None:
        start = next((i for i in range(start, len(lines)) if group in lines[i]), start)
    named = re.compile(rf"\b{figure}\b")
    for i in range(start, len(lines)):
        if named.search(lines[i]):
            place = next((j for j in range(i, min(i + 6, len(lines))) if _MAX.search(lines[j])), None)
            if place is not None:
                lines[place] = _MAX.sub(lambda match: f'{match[1]}"{bound}"', lines[place], count=1)
                break
    return "\n".join(lines)


def _waiver_written(project: Project, name: str, waiver: Waiver) -> str:
    prefix = "tool.analyzer." if project.file == "pyproject.toml" else ""
    key = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)
    said = {"figure": waiver.figure, "group": waiver.group, "reason": waiver.reason, "by": waiver.by, "max": waiver.max}
    rows = [f"{word} = {json.dumps(value, ensure_ascii=False)}" for word, value in said.items() if value is not None]
    rows.append(f"expires = {waiver.expires.isoformat()}")
    return "\n".join([f"\n[[{prefix}models.{key}.waivers]]", *rows]) + "\n"
