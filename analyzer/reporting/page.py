"""ReportData -> one HTML file: offline, complete without a script, under a strict Content-Security-Policy."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from markupsafe import Markup

from analyzer.figures import FIGURES, SHARED, Figure
from analyzer.files import write_text
from analyzer.measuring.environment import package_version
from analyzer.reading.flat import COLUMNS
from analyzer.records import Record, standing_of, standings
from analyzer.reporting import plots, points, tables
from analyzer.reporting.actions import actions
from analyzer.reporting.bought import bought_of, plots_of
from analyzer.reporting.changes import module_changes, stages, waterfall
from analyzer.reporting.data import ReportData
from analyzer.reporting.findings import costliest, findings
from analyzer.reporting.heat import heat_map
from analyzer.reporting.icicle import icicle
from analyzer.reporting.interactive import Script, csp_source, plotly_script, sweep_figure
from analyzer.reporting.judge import judge
from analyzer.reporting.memory import timeline
from analyzer.reporting.pack import embed, pack, read_report
from analyzer.reporting.svg import responsive
from analyzer.reporting.timings import measured_lines
from analyzer.reporting.variants import constant, describe, label
from analyzer.shown import visible

__all__ = ["policy", "read_report", "render", "write_report"]

SCRIPTS = ("core.js", "layers.js", "tree.js", "variants.js", "parallel.js", "pareto.js", "heat.js", "start.js")
FAILED_ROWS, NOTES = 200, 30
FRONT = "Variants that no other variant beats in both params and MACs; ties included."
FRONT_OF_TRAINED = "Trained networks that no other beats in params, MACs and test accuracy; ties included."
_NO_LEAD = Markup("")
PLOTTED = 3  # rows from which on a plot of rows says more than the table


def write_report(data: ReportData, path: str | Path) -> None:
    """Writes the report's file whole or not at all. Raises UsageError where it can't be written."""
    write_text(Path(path), render(data))


def render(data: ReportData, *, lead: Markup = _NO_LEAD) -> str:
    """The report as HTML, `lead` before its sections. Equal data give equal text."""
    template = environment().get_template("page.html.j2")
    context = {**_context(data), "lead": lead}
    return template.render(context, sections=[(i, title) for i, title, there in _SECTIONS if context.get(there)])


_SECTIONS = (
    ("check", "Budgets", "lead"),
    ("verdict", "Verdict", "verdict"),
    ("findings", "What to change", "findings"),
    ("changes", "What changed", "falls"),
    ("where", "Where it goes", "icicles"),
    ("memory", "Memory", "timeline"),
    ("layers", "Layers", "layers"),
    ("search", "Search", "searched"),
    ("sweep", "Side by side", "variants"),
    ("trained", "Trained", "trained"),
    ("measured", "Measured", "measured"),
    ("methods", "Methods", "verdict"),
)


def _context(data: ReportData) -> dict[str, Any]:
    plotly = plotly_script() if len(data.records) >= PLOTTED else None
    style, script = template_text("style.css"), "\n".join(["'use strict';", *(template_text(name) for name in SCRIPTS)])
    return {
        "data": data,
        "searched": data.searched,
        "stages_said": _stages_said(data),
        "version": package_version(),
        "figures": FIGURES,
        "layered": SHARED,
        "layer_id": plots.layer_id,
        "standing_of": standing_of,
        "standings": standings,
        "field_label": label,
        "patterns": plots.shared_patterns(),
        **_subject(data),
        **_sweep(data),
        **_measured(data),
        **_methods(data),
        "policy": policy(style, script, plotly.source if plotly else ""),
        "style": Markup(style),
        "script": Markup(script),
        "plotly": Markup(plotly.packed) if plotly else "",
        "packed": Markup(embed({**pack(data), "view": _view(data, plotly)})),
    }


def _stages_said(data: ReportData) -> str:
    """The numbers of layers that the title names (`Sweep of 2-4-3-2`), to be explained; empty where it names none."""
    blocks = (row.target.variant.block_config for row in data.records if row.target.variant is not None)
    said = dict.fromkeys("-".join(map(str, each)) for each in blocks)
    return next((words for words in said if words in data.title.replace(",", "").split()), "")


def scriptless(template: str, context: Mapping[str, Any]) -> str:
    """A page without a script: a template with its context, under the page's style and what that allows."""
    style = template_text("style.css")
    beside = {"version": package_version(), "style": Markup(style), "policy": policy(style, "", "")}
    return str(environment().get_template(template).render({**beside, **context}))


def policy(style: str, script: str, plotly: str) -> str:
    """The page's Content-Security-Policy: nothing from outside, only these scripts and this style."""
    scripts = " ".join(filter(None, [csp_source(script), plotly]))
    return (
        # The hash of an empty style is plotly's, which adds its rules one by one.
        f"default-src 'none'; script-src {scripts}; style-src {csp_source(style)} {csp_source('')}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _subject(data: ReportData) -> dict[str, Any]:
    subject, baseline = data.subject, data.baseline
    layered = subject is not None and bool(subject.layers)
    compared = layered and bool(baseline.layers) and subject is not None and subject.target != baseline.target
    shared: list[Figure] = [f for f in SHARED if subject is not None and f.of(subject)]
    falls, trusted = [], tables.trust(data)
    if compared and subject is not None:
        names = baseline.target.shown, subject.target.shown
        steps = [(figure, waterfall(baseline, subject, figure)) for figure in shared]
        falls = [(f, responsive(partial(plots.waterfall, fall, f, *names))) for f, fall in steps if fall]
    return {
        "verdict": judge(subject, data.limits, compared=data.compared),
        "described": describe(subject) if subject is not None else "",
        "cards": tables.cards(data),
        "every": tables.every_figure(data),
        "trust": trusted,
        "doubts": sum(not good for good, _ in trusted),
        "findings": findings(data),
        "actions": actions(data),
        "costliest": costliest(data),
        "falls": falls,
        "changes": module_changes(baseline, subject) if compared and subject is not None else [],
        "icicles": _icicles(subject, shared) if layered and subject is not None and stages(subject) else [],
        "timeline": responsive(partial(timeline, data.timeline)) if data.timeline else None,
        "stacked": bool(data.timeline and all(step.kinds for step in data.timeline)),
        "layers": tables.layer_lines(subject) if layered and subject is not None else [],
    }


def _icicles(subject: Record, figures: Sequence[Figure]) -> list[tuple[Figure, Markup]]:
    return [(figure, responsive(partial(icicle, subject, figure))) for figure in figures]


def _sweep(data: ReportData) -> dict[str, Any]:
    good = [row for row in data.records if not row.error]
    failed = [row for row in data.records if row.error]
    several = len(data.records) > 1
    figures = tables.table_figures(data)
    fields = tables.fields(data)
    return {
        "variants": tables.variant_lines(data, fields, figures) if several else [],
        "counts": {"variants": len(tables.variants(data)), "rows": len(good), "failed": len(failed)},
        "failed": failed[:FAILED_ROWS],
        "fields": fields,
        "table_figures": figures,
        "shared": constant(tables.variants(data)),
        "pareto": points.both_paretos(data) if len(data.records) >= PLOTTED else None,
        "heat": heat_map(data) if several else None,
        "trained": (trained := plots_of(list(bought_of(good)), data.limits)),
        "front_means": FRONT_OF_TRAINED if trained else FRONT,
        "unequal": len({row.trained.setting for row in good if row.trained}) > 1,
        "row_notes": tables.notes(data)[:NOTES] if several else [],
    }


def _measured(data: ReportData) -> dict[str, Any]:
    rows = [row for row in (*data.records, data.baseline, data.subject) if row is not None and row.measured]
    lines = list(measured_lines(data))
    return {
        "measured": lines,
        "notes": [(line["name"], note) for line in lines for note in line["notes"]],
        "has_peaks": any(row.measured and row.measured.measured_peak_bytes is not None for row in rows),
        "protocol": "; ".join(dict.fromkeys(row.measured.protocol for row in rows if row.measured)),
        "ratios": points.ratios(data.records, data.baseline),
    }


def _methods(data: ReportData) -> dict[str, Any]:
    environment = msgspec.to_builtins(data.environment) if data.environment else {}
    return {
        "command": shlex.join(data.command),
        "witnesses": data.witnesses,
        "uncounted": data.subject.uncounted if data.subject else (),
        "defined": [
            f for f in FIGURES.values() if any(f.of(row) is not None for row in (*data.records, data.baseline))
        ],
        "environment": [(name.replace("_", " "), v) for name, v in environment.items() if v is not None],
    }


def _view(data: ReportData, plotly: Script | None) -> dict[str, Any]:
    """What the script has to know beside the records."""
    fields = tables.fields(data)
    return {
        "fields": [{"name": field, "label": label(field)} for field in fields],
        "figures": [
            {
                "name": f.name,
                "label": f.label,
                "unit": f.unit,
                "better": f.better,
                "path": f.path or f.name,
                "compared": f.standing != "measured",
            }
            for f in tables.table_figures(data)
        ],
        "columns": [{"name": column.name, "path": column.path} for column in COLUMNS.values()],
        "states": {**tables.words_of(data), "none": "–"},
        "plot": sweep_figure(),
        "style_ids": plotly.style_ids if plotly else (),
        "huge": _huge(data),
    }


def _huge(data: ReportData) -> dict[str, dict[str, str]]:
    """Figures that a script's numbers can't hold (2^53 and more), as digits, by figure and row."""
    rows = list(enumerate(data.records))
    digits_of = {
        figure.name: {str(i): str(v) for i, row in rows for v in [figure.of(row)] if isinstance(v, int) and v >= 2**53}
        for figure in FIGURES.values()
    }
    return {name: digits for name, digits in digits_of.items() if digits}


@cache
def environment() -> jinja2.Environment:
    """Of all pages: everything is escaped, and what is not seen is written out."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("analyzer.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def template_text(name: str) -> str:
    """A file of the templates."""
    return (resources.files("analyzer.reporting") / "templates" / name).read_text(encoding="utf-8")
