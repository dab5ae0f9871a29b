"""`analyze calibrate`: this device's profile, which predicts the latency of every variant."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from analyzer.cli import text
from analyzer.cli.base import Verb, say, warn
from analyzer.cli.options import Batch, NewFile, device_option, format_option, wait_option
from analyzer.measurements import Conditions
from analyzer.reading.latency import Profile
from analyzer.units import seconds

PARTS = (
    "MACs", "MACs more, of uneven widths", "bytes moved", "bytes made", "elements compared", "per operator",
)  # fmt: skip
"""What the coefficients are of, in their order."""

AIM = {False: 0.12, True: 0.09}
"""Mean error at most, without and with --per-op."""


@click.command("calibrate", cls=Verb)
@device_option
@wait_option
@click.option("--batch", type=Batch(), default=8, show_default=True, metavar="N", help="The batch that it is for.")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]), default="float32", show_default=True,
              help="Of parameters and activations.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1), metavar="N", help="CPU threads.  [default: torch's own choice]")
@click.option("--per-op", is_flag=True, help="A table of operators, measured one by one: longer, and closer.")
@click.option("--out", type=NewFile(), metavar="FILE",
              help="Where the profile goes.  [default: latency-DEVICE.json]")  # fmt: skip
@format_option("table", "json")
def command(
    device: str, batch: int, dtype: str, threads: int | None, per_op: bool, out: Path | None, format_: str
) -> None:
    """Times small variants on this device and fits a roofline: so much a MAC, a byte of memory, an operator.

    Pass the profile to sweep and search with --profile: every variant then has its predicted latency, also those that
    are never built. The error said is that on variants left out of the fit.
    """
    from analyzer.measuring.execution import CalibrationPlan, MeasureWatch, execute_calibration, word_of

    path = out or Path(f"latency-{word_of(device)}.json")
    plan = CalibrationPlan(device, batch, Conditions(dtype=dtype, threads=threads), per_op, path)
    profile = execute_calibration(plan, MeasureWatch(say))
    if format_ == "json":
        text.show_json(msgspec.json.encode(profile).decode())
    else:
        rows = [
            ("device", f"{profile.environment.device_name}, {profile.environment.threads} threads"),
            ("for", f"batch {profile.batch}, {profile.dtype}, torch {profile.environment.torch}"),
            *_parts(profile),
            ("mean error", f"{100 * profile.mean_error:.1f} % on variants left out"),
            ("Spearman", f"{profile.spearman:.3f} on variants left out"),
        ]
        text.show_table(("profile", str(path)), rows, left=2)
    if profile.mean_error > AIM[per_op]:
        warn(f"the mean error is above {100 * AIM[per_op]:.0f} %: calibrate again on an idle machine")


def _parts(profile: Profile) -> list[tuple[str, str]]:
    if profile.operators is not None:
        convolutions, others = profile.scales
        scaled = f"convolutions {convolutions:.2f} x their own times, others {others:.2f} x"
        return [
            ("operators", f"{len(profile.operators)} kinds, {scaled}"),
            ("per operator", f"{profile.per_call * 1e6:.1f} µs more"),
        ]
    *parts, call = zip(PARTS, profile.coefficients, strict=True)
    return [
        *((f"per 10^9 {name}", seconds(each * 1e9)) for name, each in parts if each),
        (call[0], f"{call[1] * 1e6:.1f} µs"),
    ]
