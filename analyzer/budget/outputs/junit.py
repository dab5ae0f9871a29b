"""The verdict as JUnit XML: a suite a model, a case a budgeted figure or finding. Valid by Jenkins' schema."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from analyzer.budget.outputs import facts
from analyzer.budget.verdict import Finding, ModelVerdict, Verdict
from analyzer.shown import plain

_NO_TIME = "1970-01-01T00:00:00"
_PROJECT = "(project)"


def render(verdict: Verdict) -> str:
    """Errors of exit code 1 are failures, others are errors; warnings and notes stand in the suite's system-out."""
    root = ET.Element("testsuites")
    findings: dict[str, list[Finding]] = defaultdict(list)
    for finding in verdict.findings:
        findings[finding.model].append(finding)
    models = {model.name: model for model in verdict.models}
    for number, name in enumerate(dict.fromkeys([*models, *findings])):
        root.append(_suite(verdict, number, name, models.get(name), findings[name]))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode")


def _suite(verdict: Verdict, number: int, name: str, model: ModelVerdict | None, findings: list[Finding]) -> ET.Element:
    shown = plain(name) or _PROJECT
    stamp = verdict.generated.removesuffix("Z") or _NO_TIME
    head = {"name": shown, "package": "analyzer", "id": str(number), "hostname": "localhost", "timestamp": stamp}
    suite = ET.Element("testsuite", head)
    _properties(suite, verdict, model)
    errors = _by_figure([finding for finding in findings if finding.exit_code])
    figures = [(b.figure, b.group) for b in (model.figures if model else ())]
    for figure, group in dict.fromkeys([*figures, *errors]):
        _case(suite, shown, figure, group, errors.get((figure, group), []))
    kinds = {"tests": "testcase", "failures": "testcase/failure", "errors": "testcase/error"}
    for attribute, path in kinds.items():
        suite.set(attribute, str(len(suite.findall(path))))
    suite.set("time", "0")
    ET.SubElement(suite, "system-out").text = "\n".join(map(_text, (f for f in findings if not f.exit_code)))
    ET.SubElement(suite, "system-err")
    return suite


def _properties(suite: ET.Element, verdict: Verdict, model: ModelVerdict | None) -> None:
    properties = ET.SubElement(suite, "properties")
    named = {
        "baseline": verdict.baseline,
        "target": model.target if model else "",
        "command": shlex.join(verdict.command),
    }
    for name, value in named.items():
        if value:
            ET.SubElement(properties, "property", {"name": name, "value": plain(value)})


def _by_figure(findings: Sequence[Finding]) -> dict[tuple[str, str | None], list[Finding]]:
    grouped: dict[tuple[str, str | None], list[Finding]] = defaultdict(list)
    for finding in findings:
        grouped[finding.figure or finding.kind, finding.group].append(finding)
    return grouped


def _case(suite: ET.Element, model: str, figure: str, group: str | None, findings: list[Finding]) -> None:
    name = plain(figure) + (f" of {plain(group)}" if group else "")
    case = ET.SubElement(suite, "testcase", {"name": name, "classname": f"budget.{model}", "time": "0"})
    if not findings:
        return
    worst = max(findings, key=lambda finding: finding.exit_code)
    kind = "failure" if worst.exit_code == 1 else "error"
    message = "; ".join(plain(finding.what) for finding in findings)
    told = ET.SubElement(case, kind, {"message": message, "type": worst.kind})
    told.text = "\n\n".join(map(_text, findings))


def _text(finding: Finding) -> str:
    lines = [f"{finding.level}: {plain(finding.what)}", *(f"  {n}: {t}" for n, t in facts.parts(finding))]
    return "\n".join(lines)
