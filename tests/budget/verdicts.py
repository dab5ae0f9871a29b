"""Verdicts to write out: one by hand, and one in which every name is an attack."""

from __future__ import annotations

from typing import Any

import msgspec

from analyzer.budget.verdict import Budgeted, Finding, ModelVerdict, Payer, Verdict
from analyzer.records import LayerRow, Record, Target

ATTACK = (
    "</script><script>alert(1)</script> ::error::owned\n::error file=x::y |`**b**`[l](https://evil.test)@all "
    "<img src=x onerror=alert(1)> ]]> \x1b[31mred\x1b[2J\ud800\u202e\uffff\0%0A%25\r\n=cmd()\t\"'&amp;{0}\\"
)
FORMULAS = ("=cmd()", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1")


def layer(path: str, type_: str, params: int) -> LayerRow:
    return LayerRow(
        path=path, type=type_, output=(1, 8), params=params, macs=params, conv_activations=8, saved_bytes=32
    )


def record(target: str, *layers: LayerRow) -> Record:
    total = sum(row.params for row in layers)
    sums = {"params": total, "macs": total, "flops": 2 * total, "saved_bytes": 32 * len(layers)}
    return Record(target=Target(name=target), input=(1, 8), layers=layers, **sums)


GREW = Finding(
    kind="excess",
    level="error",
    model="tiny",
    what="params 2,500 are 500 above the limit 2,000",
    fix="make features.conv2 narrower, or raise max",
    figure="params",
    value=2500,
    limit=2000,
    base=1800,
    standing="exact",
    changes=(
        Payer(path="features.conv2", type="Conv2d", before=1000, after=1600),
        Payer(path="head", type="Linear", before=None, after=100),
    ),
    message="ask the phone team",
    file="net.py",
    line=12,
)
UNUSED = Finding(
    kind="waiver-unused", level="warning", model="tiny", what="a waiver of macs is not used", fix="remove it"
)
SMALLER = Finding(
    kind="improved",
    level="note",
    model="tiny",
    what="macs shrank",
    figure="macs",
    value=90,
    base=100,
    standing="exact",
    fix="tighten max",
)
WAIVED = Finding(kind="waived", level="note", model="tiny", what="depth is waived", figure="depth", value=9, limit=8)


def verdict(*findings: Finding, **more: Any) -> Verdict:
    """The tiny model's verdict."""
    before = record("net.py:build", layer("features.conv1", "Conv2d", 800), layer("features.conv2", "Conv2d", 1000))
    after = record(
        "net.py:build",
        layer("features.conv1", "Conv2d", 800),
        layer("features.conv2", "Conv2d", 1600),
        layer("head", "Linear", 100),
    )
    figures = (
        Budgeted(figure="params", value=2500, base=1800, limit=2000, standing="exact"),
        Budgeted(figure="params", value=1600, base=1000, limit=1700, group="features.conv2.**", standing="exact"),
        Budgeted(figure="saved_bytes", value=96, base=64),
    )
    model = ModelVerdict(name="tiny", target="net.py:build", figures=figures, record=after, before=before)
    fields: dict[str, Any] = {
        "models": (model,),
        "baseline": "analyzer.lock",
        "configuration": "pyproject.toml",
        "command": ("analyze", "check"),
        "generated": "2026-01-31T12:00:00Z",
    }
    return Verdict(findings=findings, **{**fields, **more})


FAILED = verdict(GREW, UNUSED, SMALLER, WAIVED)
PASSED = verdict(SMALLER)


def hostile(text: str = ATTACK) -> Verdict:
    """Every text of the verdict is the attack."""
    grew = msgspec.structs.replace(
        GREW,
        model=text, what=text, where=text, fix=text, figure="params", group=text, message=text, file=text,
        standing=text,
        changes=(Payer(path=text, type=text, before=1, after=601), Payer(path="", type=text, before=1, after=None)),
    )  # fmt: skip
    odd = msgspec.structs.replace(grew, figure=text, level="warning", kind="growth", group=None)
    model = ModelVerdict(
        name=text,
        target=text,
        figures=(
            Budgeted(figure="params", value=2, base=1, limit=1, standing=text),
            Budgeted(figure=text, value=1, group=text),
        ),
        record=record(text, layer(text, text, 2)),
        before=record(text, layer(text, text, 1)),
    )
    return verdict(grew, odd, models=(model,), baseline=text, configuration=text, command=("analyze", text))
