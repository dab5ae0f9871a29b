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
from analyzer.reading.profiles import file_of, own_folder
from analyzer.units import seconds

PARTS = {
    "macs": "MACs", "uneven": "MACs more, of uneven widths", "moved": "elements moved", "made": "elements made",
    "compared": "elements compared", "calls": "per operator",
}  # fmt: skip
"""What the coefficients are of."""

AIM = {False: 0.12, True: 0.09}
"""Mean error at most, without and with --per-op."""


@click.command("calibrate", cls=Verb)
@device_option
@wait_option
@click.option("--batch", type=Batch(), metavar="N", help="The batch that it is for.  [default: 8; 256 on CUDA]")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]), default="float32", show_default=True,
              help="Of parameters and activations.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1), metavar="N", help="CPU threads.  [default: torch's own choice]")
@click.option("--per-op", is_flag=True, help="A table of operators, measured one by one: longer, and closer.")
@click.option("--out", type=NewFile(), metavar="FILE",
              help="Where the profile goes.  [default: latency-DEVICE.json]")  # fmt: skip
@click.option(
    "--name", metavar="NAME", help="Keep it under a name, which --on takes from then on: rtx4080, mybox:nhwc."
)
@format_option("table", "json")
def command(
    device: str, batch: int | None, dtype: str, threads: int | None, per_op: bool, out: Path | None, name: str | None,
    format_: str,
) -> None:  # fmt: skip
    """Times small variants on this device and fits a roofline: so much a MAC, an element of memory, an operator.

    Pass the profile to show, compare, sweep, search and explain with --on: every model then has its predicted latency,
    also those that are never built: the least time, of a device that nothing disturbs. The error said is that on
    variants left out of the fit.
    """
    from analyzer.measuring.execution import CalibrationPlan, MeasureWatch, execute_calibration, word_of

    if name is not None:
        path = file_of(name, own_folder()) if out is None else out
    else:
        path = out or Path(f"latency-{word_of(device)}.json")
    plan = CalibrationPlan(device, batch, Conditions(dtype=dtype, threads=threads), per_op, path, name)
    profile = execute_calibration(plan, MeasureWatch(say))
    if format_ == "json":
        text.show_json(msgspec.json.encode(profile).decode())
    else:
        threads_said = f", {profile.environment.threads} threads" if profile.environment else ""
        rows = [
            ("name", profile.name),
            ("device", f"{profile.device_name}{threads_said}"),
            ("for", f"batch {profile.batch}, {profile.settings}"),
            *_parts(profile, per_op),
            ("mean error", f"{100 * profile.mean_error:.1f} % on variants left out"),
            ("Spearman", f"{profile.spearman:.3f} on variants left out"),
        ]
        text.show_table(("profile", str(path)), rows, left=2)
    if profile.says_little:
        warn("most of the times are starts of kernels: it knows little of larger networks; take a larger --batch")
    if profile.mean_error > AIM[per_op]:
        warn(f"the mean error is above {100 * AIM[per_op]:.0f} %: calibrate again on an idle machine")


def _parts(profile: Profile, per_operator: bool) -> list[tuple[str, str]]:
    """The coefficients that are one for all kinds of operator; where each kind has its own, how many."""
    if per_operator:
        return [("operators", f"{len(profile.kinds)} kinds, each with its own coefficients")]
    usual = {part: profile.coefficients.get(f"larger convolution {part}", 0.0) for part in PARTS}
    *parts, (call, each) = ((PARTS[part], value) for part, value in usual.items())
    return [
        *((f"per 10^9 {name}", seconds(value * 1e9)) for name, value in parts if value),
        (call, f"{each * 1e6:.1f} µs"),
    ]
