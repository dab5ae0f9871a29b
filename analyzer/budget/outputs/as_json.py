"""The verdict as one JSON document: every field, exact integers."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from analyzer.budget.outputs.facts import grown
from analyzer.budget.verdict import Verdict
from analyzer.shown import json_for_stream

_SURROGATES = re.compile("[\ud800-\udfff]")


def render(verdict: Verdict) -> str:
    """The verdict's own fields, and with each finding its growth; `exit_code` and `ok` say how the check ends."""
    data = msgspec.to_builtins(verdict)
    for row, finding in zip(data["findings"], verdict.findings, strict=True):
        row["growth"] = grown(finding.value, finding.base)
        for changed, change in zip(row["changes"], finding.changes, strict=True):
            changed["delta"] = change.delta
    for told, model in zip(data["models"], verdict.models, strict=True):
        told["record"] = model.record and model.record.to_dict()
        told["before"] = model.before and model.before.to_dict()
    outcome = {"exit_code": verdict.exit_code, "ok": verdict.exit_code == 0}
    return dump({**data, **outcome})


def dump(data: Any) -> str:
    """JSON in ASCII; half of a surrogate pair, which strict readers refuse, is written out as text.

    Nothing in it is a CI service's command.
    """
    return json_for_stream(json.dumps(_whole(data), indent=1))


def _whole(data: Any) -> Any:
    if isinstance(data, str):
        return _SURROGATES.sub(lambda match: f"\\u{ord(match[0]):04x}", data)
    if isinstance(data, dict):
        return {_whole(key): _whole(value) for key, value in data.items()}
    return [_whole(value) for value in data] if isinstance(data, (list, tuple)) else data
