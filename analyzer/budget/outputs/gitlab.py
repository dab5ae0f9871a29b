"""The verdict as GitLab's Code Quality report."""

from __future__ import annotations

from analyzer.budget.outputs import facts
from analyzer.budget.outputs.as_json import dump
from analyzer.budget.verdict import Verdict

_SEVERITIES = {"error": "major", "warning": "minor", "note": "info"}


def render(verdict: Verdict) -> str:
    """One entry a finding."""
    entries = []
    for finding, fingerprint in zip(verdict.findings, facts.fingerprints(verdict), strict=True):
        file, line = facts.location(verdict, finding)
        entries.append(
            {
                "description": facts.sentence(finding),
                "check_name": f"analyzer-{finding.kind}",
                "fingerprint": fingerprint,
                "severity": _SEVERITIES[finding.level],
                "location": {"path": file, "lines": {"begin": line}},
            }
        )
    return dump(entries)
