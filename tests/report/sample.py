"""Reports to test with: the default sweep, and one in which every name is an attack."""

from __future__ import annotations

from typing import Any

import msgspec

from analyzer.architecture.variant import Variant
from analyzer.limits import Limit
from analyzer.measurements import Environment, Measurement
from analyzer.reading import family
from analyzer.records import Failure, Input, LayerRow, Record, Remark, Target, Uncounted
from analyzer.reporting.data import ReportData, TimelineStep, WitnessFigure
from analyzer.space.grid import BadVariant, Grid
from analyzer.sweeping.choosing import pareto_names

DEVICE = Environment(
    device="cpu",
    device_name="Test CPU",
    python="3.11.0",
    torch="2.13.0",
    analyzer="0.1.0",
    platform="Linux",
    threads=2,
    cpu_count=2,
)


def measurement(seconds: tuple[float, ...], base: tuple[float, ...], baseline: str, **more: Any) -> Measurement:
    """A measurement whose median and ratios are worked out here, by hand."""
    ratios = sorted(a / b for a, b in zip(seconds, base, strict=True))
    middle = sorted(seconds)[len(seconds) // 2]
    values: dict[str, Any] = {
        "protocol": "test",
        "environment": DEVICE,
        "batch": 2,
        "asked_batch": 2,
        "seconds_per_batch": seconds,
        "baseline_seconds_per_batch": base,
        "measured_latency_s": middle,
        "measured_images_per_s": 2 / middle,
        "ratio": ratios[len(ratios) // 2],
        "ratio_low": ratios[0],
        "ratio_high": ratios[-1],
        "baseline": baseline,
        "time": "2026-01-01T00:00:00Z",
    }
    return Measurement(**{**values, **more})


def limits_of(baseline: Record) -> tuple[Limit, ...]:
    """The baseline's own figures as limits."""
    return tuple(
        Limit(figure=name, bound=getattr(baseline, name), source="DenseNet121's own")
        for name in ("params", "macs", "saved_bytes")
    )


def sweep_report(batch: int = 1, **axes: Any) -> ReportData:
    """A sweep of the default grid (or of the given axes) with its subject and baseline in full."""
    found = list(Grid.default(axes or {"blocks": [(2, 4, 3, 2)]}))
    variants = [v for v in found if isinstance(v, Variant)]
    bad = [family.failed(b.name, b.error) for b in found if isinstance(b, BadVariant)]
    baseline = family.baseline_for(variants[0], batch)
    rows = [row for row in family.records(variants, batch) if row.target.name != baseline.target.name]
    first = next(row for row in rows if not row.error)
    name = "article" if any(row.target.name == "article" for row in rows) else first.target.name
    subject = family.record(next(v for v in variants if family.target(v).name == name), batch)
    rows = [subject if row.target.name == name else row for row in rows]
    return ReportData(
        title="Sweep of 2-4-3-2",
        command=("analyze", "sweep", "--blocks", "2,4,3,2"),
        records=(baseline, *rows, *bad),
        baseline=baseline,
        subject=subject,
        limits=limits_of(baseline),
        front=pareto_names([baseline, *rows]),
        environment=None,
        generated="2026-01-01T00:00:00Z",
    )


def measured_report() -> ReportData:
    """The default sweep with three rows measured, one of them failed in the end."""
    data = sweep_report()
    base = data.baseline.target.name
    times = {
        base: measurement((0.02, 0.021, 0.019), (0.02, 0.021, 0.019), base),
        "article": measurement((0.1, 0.12, 0.11), (0.02, 0.021, 0.019), base, notes=("batch halved: out of memory",)),
        "dense_b2-4-3-2_g12_bn4_c0.5": measurement((0.004, 0.005, 0.006), (0.02, 0.02, 0.02), base),
    }
    rows = tuple(msgspec.structs.replace(r, measured=times.get(r.target.name)) for r in data.records)
    by_name = {row.target.name: row for row in rows}
    failed = Record(target=Target(name="kernel=4"), error=Failure(what="kernel 4 is even", where="kernel", fix="use 3"))
    return msgspec.structs.replace(
        data,
        records=(*rows, failed),
        baseline=by_name[base],
        subject=by_name["article"],
        environment=DEVICE,
        timeline=(
            TimelineStep(phase="forward", layer="features.conv0", live_bytes=10_000_000),
            TimelineStep(phase="forward", layer="classifier", live_bytes=90_000_000),
            TimelineStep(phase="backward", layer="classifier", live_bytes=120_000_000),
            TimelineStep(phase="optimizer", layer="", live_bytes=60_000_000),
        ),
        witnesses=(WitnessFigure(tool="torchinfo", figure="params", theirs=149_871_874, ours=149_871_874),),
    )


# -- every name an attack --------------------------------------------------------------------------------------

ATTACKS = (
    "<img src=x onerror=alert(1)>",
    '"><script>alert(1)</script>',
    "</script><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</title></svg><svg onload=alert(1)>",
    "' onmouseover='alert(1)",
    '<a href="javascript:alert(1)">x</a>',
    "{{ 7*7 }}{% raw %}",
    '=HYPERLINK("http://evil.test","x")',
    "+1+cmd|' /C calc'!A0",
    "@SUM(1)",
    "<!--<script>",
    "]]>&lt;b&gt;&#60;i&#62;",
    "%{x} ${alert(1)} `x` \\",
    "[x](javascript:alert(1)) | *b* _i_ ~~s~~ #1 @user",
    "line\nbreak\u2028and\r\nmore\ttab\x00",
    "http://evil.test/x.png",
    "url(http://evil.test/y.css)",
    "💥 \u202edlrow\u202c",
)


def attack(i: int) -> str:
    """The i-th attack, going round."""
    return f"{ATTACKS[i % len(ATTACKS)]}"


def _layers(scale: int) -> tuple[LayerRow, ...]:
    """Modules with attacks for names, at two depths (a dot in a name only makes more depths)."""
    return tuple(
        LayerRow(
            path=f"{attack(i)}.{attack(i + depth)}" if depth else attack(i),
            type=attack(i + 1),
            output=(1, 2),
            params=scale * (i + 1),
            macs=scale * (i + 2),
            conv_activations=1,
            saved_bytes=scale * (i + 3),
        )
        for i in range(len(ATTACKS))
        for depth in (1, 2)
    )


def _hostile_record(i: int, scale: int, *, layers: bool = True, **more: Any) -> Record:
    rows = _layers(scale)
    sums = {key: sum(getattr(r, key) for r in rows) for key in ("params", "macs", "conv_activations", "saved_bytes")}
    variant = Variant(growth=i + 1, compression=(i % 5 + 1) / 5)
    return Record(
        target=Target(name=f"{i} {attack(i)}", variant=variant, label=f"{attack(i)} {i}" if i % 2 else None),
        input=(1, 3, 8, 8),
        inputs=(Input(shape=(1, 3, 8, 8)),),
        flops=2 * sums["macs"],
        layers=rows if layers else None,
        **{**sums, **more},
    )


def hostile_report() -> ReportData:
    """Attacks in every place where a name, a label or a message can stand."""
    baseline = _hostile_record(1, 1)
    notes = tuple(attack(i) for i in range(len(ATTACKS)))
    device = msgspec.structs.replace(DEVICE, device_name=attack(0), platform=attack(2), driver=attack(3))
    times = measurement(
        (0.1, 0.2, 0.3), (0.1, 0.1, 0.1), attack(1), environment=device, notes=notes, protocol=attack(4)
    )
    uncounted = tuple(Uncounted(operator=a, module=a, calls=1) for a in ATTACKS)
    remarks = tuple(Remark(kind="note", text=note) for note in notes)
    subject = _hostile_record(0, 3, measured=times, uncounted=uncounted, remarks=remarks)
    others = [_hostile_record(i, 1 + i, layers=False, measured=times if i < 6 else None) for i in range(2, 40)]
    failed = [Record(target=Target(name=f"bad {a}", label=a), error=Failure(what=a, where=a, fix=a)) for a in ATTACKS]
    rows = (baseline, subject, *others, *failed)
    return ReportData(
        title=attack(2) + attack(0),
        command=("analyze", *ATTACKS),
        records=rows,
        baseline=baseline,
        subject=subject,
        limits=tuple(Limit(figure=name, bound=500, source=attack(i)) for i, name in enumerate(("params", "macs"))),
        front=(baseline.target.name,),
        environment=device,
        generated=attack(1),
        timeline=tuple(TimelineStep(phase=a, layer=a, live_bytes=i + 1) for i, a in enumerate(ATTACKS)),
        witnesses=tuple(WitnessFigure(tool=a, figure=a, theirs=1, ours=2, why=a) for a in ATTACKS),
    )
