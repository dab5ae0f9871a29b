"""The verdict as an HTML page: the check's findings and figures, then the report on one model against its baseline."""

from __future__ import annotations

from pathlib import Path

import msgspec
from markupsafe import Markup

from analyzer.budget.outputs import facts
from analyzer.budget.verdict import Finding, ModelVerdict, Verdict
from analyzer.figures import FIGURES
from analyzer.files import write_text
from analyzer.limits import at_most
from analyzer.records import Failure, Record, Target
from analyzer.reporting.against import against
from analyzer.reporting.data import ReportData
from analyzer.reporting.notebook import framed
from analyzer.reporting.page import render as render_page
from analyzer.shown import plain

_WORDS = {"error": "Error", "warning": "Warn", "note": "Note"}
_UNCOUNTED = "it could not be counted"


def render(verdict: Verdict) -> str:
    """One file that needs nothing else; of several models the first with errors is the one that is drawn."""
    return render_page(_report(verdict), lead=_lead(verdict))


def write_page(verdict: Verdict, path: str | Path) -> None:
    """The same as a file, whole or not at all. Raises UsageError where it can't be written."""
    write_text(Path(path), render(verdict))


def cell(verdict: Verdict) -> str:
    """The same for a notebook: findings and figures."""
    return framed(_lead(verdict))


def _report(verdict: Verdict) -> ReportData:
    model = _shown(verdict)
    subject = _named(model.record, model, model.name)
    counted = [line for line in model.figures if line.group is None and line.figure in FIGURES]
    bounds = {line.figure: line.limit for line in counted if isinstance(line.limit, int)}
    return against(
        _named(model.before, model, f"{model.name} in {verdict.baseline}") if model.before else subject,
        subject,
        command=verdict.command or ("analyze", "check"),
        generated=verdict.generated,
        limits=at_most(bounds, verdict.configuration),
    )


def _shown(verdict: Verdict) -> ModelVerdict:
    failed = {finding.model for finding in verdict.errors}
    # A model that was counted is worth drawing before one that was not.
    ranked = sorted(verdict.models, key=lambda model: (model.record is None, model.name not in failed))
    return ranked[0] if ranked else ModelVerdict(name="no model", target="", figures=())


def _named(record: Record | None, model: ModelVerdict, label: str) -> Record:
    if record is None:
        return Record(target=Target(name=model.target, label=label), error=Failure(what=_UNCOUNTED))
    return msgspec.structs.replace(record, target=msgspec.structs.replace(record.target, label=label))


def _lead(verdict: Verdict) -> Markup:
    state = "within" if verdict.exit_code == 0 else "over"
    head = Markup(
        '<section id="check" aria-labelledby="check-title" tabindex="-1"><div class="verdict {}">'
        '<h2 id="check-title"><span class="icon" aria-hidden="true">{}</span> {}</h2><p class="sentence">{}</p></div>'
    ).format(state, "✓" if state == "within" else "✗", facts.headline(verdict), facts.compared(verdict))
    told = Markup("").join(
        _finding(finding) for level in _WORDS for finding in verdict.findings if finding.level == level
    )
    items = Markup('<ol class="findings">{}</ol>').format(told) if told else Markup("")
    return head + items + _figures(verdict) + Markup("</section>")


def _finding(finding: Finding) -> Markup:
    lines = Markup("").join(Markup('<p class="muted">{}</p>').format(line) for line in facts.lines(finding))
    kind = "cost" if finding.level == "note" else "trust"
    return Markup(
        '<li class="kind-{}"><span class="kind">{}</span><div><p><strong>{}</strong>: {}</p>{}</div></li>'
    ).format(kind, _WORDS[finding.level], facts.title(finding), plain(finding.what), lines)


def _figures(verdict: Verdict) -> Markup:
    """One table: a row a figure, under its model's name where there are several."""
    models = [model for model in verdict.models if model.figures]
    if not models:
        return Markup("")
    heads = Markup("").join(Markup('<th scope="col">{}</th>').format(heading) for heading in facts.HEADINGS)
    several = len(models) > 1
    rows = Markup("").join(
        (_name(model) if several else Markup("")) + Markup("").join(_row(facts.row(line)) for line in model.figures)
        for model in models
    )
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="Figures and their limits">'
        "<table><thead><tr>{}</tr></thead>{}</table></div>"
    ).format(heads, Markup("<tbody>{}</tbody>").format(rows))


def _name(model: ModelVerdict) -> Markup:
    return Markup('<tr><th scope="rowgroup" colspan="{}" class="group">{}</th></tr>').format(
        len(facts.HEADINGS), facts.name_of(model)
    )


def _row(cells: list[str]) -> Markup:
    first, *words = cells[: facts.WORDS]
    told = Markup("").join(Markup("<td>{}</td>").format(cell) for cell in words)
    numbers = Markup("").join(Markup('<td class="n">{}</td>').format(cell) for cell in cells[facts.WORDS :])
    return Markup('<tr><th scope="row">{}</th>{}{}</tr>').format(first, told, numbers)
