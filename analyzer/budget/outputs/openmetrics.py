"""The verdict as OpenMetrics text, for a dashboard that follows the figures over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from analyzer.budget.outputs import facts
from analyzer.budget.verdict import Finding, Verdict
from analyzer.shown import plain
from analyzer.structs import Number

Sample = tuple[Mapping[str, str], int]


def render(verdict: Verdict) -> str:
    """Gauges of value, baseline, limit and growth by model, figure and layers; growth by layer; findings as text."""
    figures = {(model.name, f.figure, f.group): f for model in verdict.models for f in model.figures}
    labelled = [({"model": m, "figure": f, "layers": g or ""}, value) for (m, f, g), value in figures.items()]
    families = [
        _gauge("value", "Value of a figure.", [(at, f.value) for at, f in labelled]),
        _gauge("baseline", "Value of a figure in the baseline.", [(at, f.base) for at, f in labelled]),
        _gauge("limit", "The most a figure may be.", [(at, f.limit) for at, f in labelled]),
        _gauge("growth", "Value minus baseline.", [(at, facts.grown(f.value, f.base)) for at, f in labelled]),
        _gauge("layer_growth", "Growth of a figure in one layer.", _layers(verdict)),
        _info(verdict),
        _gauge("exit_code", "What the check ended with; 0 is within budget.", [({}, verdict.exit_code)]),
    ]
    return "\n".join([*(line for family in families for line in family), "# EOF"])


def _gauge(name: str, about: str, samples: Iterable[tuple[Mapping[str, str], Number | None]]) -> list[str]:
    full = f"analyzer_budget_{name}"
    # A label set may stand once only: names that are equal once they are shown keep their last value.
    lines = {_labels(labels): value for labels, value in samples if value is not None}
    head = [f"# TYPE {full} gauge", f"# HELP {full} {about}"]
    return [*head, *(f"{full}{labels} {value}" for labels, value in lines.items())]


def _layers(verdict: Verdict) -> Iterable[Sample]:
    for finding in verdict.findings:
        for change in finding.changes:
            named = {"model": finding.model, "figure": finding.figure or "", "layers": finding.group or ""}
            yield {**named, "layer": change.path, "type": change.type}, change.delta


def _info(verdict: Verdict) -> list[str]:
    full = "analyzer_budget_finding"
    lines = [f"{full}_info{_labels(_about(n, finding))} 1" for n, finding in enumerate(verdict.findings)]
    return [f"# TYPE {full} info", f"# HELP {full} What the check found.", *lines]


def _about(number: int, finding: Finding) -> dict[str, str]:
    parts = {name.replace(" ", "_"): text for name, text in facts.parts(finding)}
    return {"number": str(number), "kind": finding.kind, "level": finding.level, "what": finding.what, **parts}


def _labels(labels: Mapping[str, str]) -> str:
    pairs = (f'{name}="{escape(plain(value))}"' for name, value in labels.items())
    return "{" + ",".join(pairs) + "}" if labels else ""


def escape(text: str) -> str:
    """Text as a label's value."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
