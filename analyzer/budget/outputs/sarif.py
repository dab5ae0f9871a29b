"""The verdict as SARIF 2.1.0, for code scanning."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from analyzer.budget.outputs import facts
from analyzer.budget.outputs.as_json import dump
from analyzer.budget.verdict import MEANINGS, Finding, Verdict
from analyzer.measuring.environment import package_version
from analyzer.shown import plain

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def render(verdict: Verdict) -> str:
    """One run, one result a finding; a waived one is a suppressed result."""
    kinds = list(dict.fromkeys(finding.kind for finding in verdict.findings))
    rules = [{"id": kind, "shortDescription": {"text": MEANINGS[kind]}} for kind in kinds]
    pairs = zip(verdict.findings, facts.fingerprints(verdict), strict=True)
    results = [_result(verdict, finding, print_, kinds.index(finding.kind)) for finding, print_ in pairs]
    driver: dict[str, Any] = {"name": "analyzer", "version": package_version(), "rules": rules}
    invocation = {"executionSuccessful": verdict.exit_code < 2, "exitCode": verdict.exit_code}
    run = {
        "tool": {"driver": driver},
        "invocations": [invocation],
        "results": results,
        "columnKind": "unicodeCodePoints",
    }
    return dump({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


def _result(verdict: Verdict, finding: Finding, fingerprint: str, rule: int) -> dict[str, Any]:
    file, line = facts.location(verdict, finding)
    place = {"artifactLocation": {"uri": quote(file)}, "region": {"startLine": line}}
    result: dict[str, Any] = {
        "ruleId": finding.kind,
        "ruleIndex": rule,
        "level": finding.level,
        "message": {"text": escape(facts.sentence(finding))},
        "locations": [{"physicalLocation": place, "logicalLocations": _logical(finding)}],
        "partialFingerprints": {"analyzerBudget/v1": fingerprint},
        "properties": _properties(finding),
    }
    if finding.kind == "waived":
        why = plain(finding.message or finding.what)
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": why}]
    return result


def escape(text: str) -> str:
    """Plain text of a SARIF message, in which brackets would make a link."""
    return text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")


def _logical(finding: Finding) -> list[dict[str, str]]:
    paths = [plain(change.path) for change in finding.changes[: facts.SHOWN_CHANGES]] or [""]
    model = plain(finding.model)
    names = [".".join(filter(None, (model, path))) for path in paths]
    return [{"fullyQualifiedName": name, "kind": "module"} for name in names if name]


def _properties(finding: Finding) -> dict[str, Any]:
    fields = ("model", "figure", "group", "value", "limit", "base", "fix", "message", "where", "changes")
    data = {name: msgspec.to_builtins(getattr(finding, name)) for name in fields}
    return {name: value for name, value in data.items() if value not in (None, "", [], ())}
