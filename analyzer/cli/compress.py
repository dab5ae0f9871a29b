"""`analyze compress`: a network made smaller, aimed by the exact counter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analyzer.cli import text
from analyzer.cli.advise import advice_options, advise, require_alone
from analyzer.cli.base import Verb, say, warn
from analyzer.cli.export import show_exported
from analyzer.cli.options import NewFile, TargetName, device_option, format_option, model_options, on_option
from analyzer.compressing.budgets import LIMITABLE, Budget
from analyzer.compressing.plan import DEFAULT, plan_of
from analyzer.training.recipe import DEFAULT as RECIPE
from analyzer.training.recipe import recipe

if TYPE_CHECKING:
    from analyzer.compressing.result import Compressed

HELP = {
    "max_params": "Budget for its params (6.95M; inclusive).", "max_macs": "Budget for its MACs.",
    "max_bytes": "Budget for the bytes of its parameters (27MiB).",
    "max_saved": "Budget for what a step of training saves, of one image.",
    "max_latency": "Budget for the predicted time of an image (2ms; needs --on).",
}  # fmt: skip


def _limit_options(function: Any) -> Any:
    for name in reversed(LIMITABLE):
        metavar = "T" if name == "max_latency" else "N"
        function = click.option(f"--{name.replace('_', '-')}", name, metavar=metavar, help=HELP[name])(function)
    return function


@click.command("compress", cls=Verb)
@click.argument("target", type=TargetName())
@_limit_options
@click.option("--under", metavar="NAME", help="No more params, MACs and saved bytes than a network has.")
@on_option
@click.option(
    "--plan",
    "plan",
    default=DEFAULT,
    show_default=True,
    metavar="STEPS",
    help="Steps, with commas between: prune CRITERION SCOPE [SHARE], svd [SHARE], inherit [VARIANT], "
    "finetune N, distill N [features], scratch [N], recalibrate, int8.",
)
@click.option("--data", metavar="DATA", help="Images for the steps that learn, as `analyze train` takes them.")
@click.option(
    "--split-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="How they are divided.  [default: as the checkpoint's run was]",
)
@click.option("--lr", type=float, default=RECIPE.lr, show_default=True, metavar="RATE", help="Of the steps that train.")
@click.option("--batch", type=int, default=RECIPE.batch, show_default=True, metavar="N", help="Images a step.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Draws what is drawn.")
@device_option
@click.option("--threads", type=click.IntRange(1), metavar="N", help="CPU threads.  [default: torch's own choice]")
@click.option("--out", type=NewFile(), metavar="FILE", help="Where to keep it: a .safetensors that every verb takes.")
@advice_options
@model_options
@format_option("table", "json", "md")
def command(target: str, format_: str, out: Path | None, threads: int | None, **options: Any) -> int | None:
    """Makes TARGET smaller: a checkpoint, a variant, or a model of your own with its weights (path.py:attr@FILE).

    The steps of the plan go towards the budget, which is held by the exact counter, never by a ratio. On every cut each
    weight is a slice of the original's, and the original with what is gone at zero gives the same. The source is never
    touched. What is interrupted goes on from its last finished step or epoch when it is asked again. `analyze show FILE
    --map` says what was cut, and from where.

    With --advise all sides from which it can come under the budget are listed, and with --hours raced at equal cost.
    """  # fmt: skip
    if options["advise"]:
        return advise(target, format_, {**options, "threads": threads, "out": out})
    require_alone(options)
    from analyzer.compressing.result import require_checkpoint
    from analyzer.training.execution import threads as with_threads

    if out is not None:
        require_checkpoint(out)
    with with_threads(threads):
        made = _compressed(target, out, options)
    if out is None:
        say("not kept: --out FILE keeps it")
    if format_ == "json":
        text.show_json(made.to_json())
        return None
    _show(made, format_)
    if made.exported is not None:
        text.show("")
        show_exported(made.exported, format_)
    return None


def _compressed(target: str, out: Path | None, options: dict[str, Any]) -> Compressed:
    from analyzer.compressing.execution import compress
    from analyzer.compressing.original import original_of
    from analyzer.compressing.pictures import pictures_of
    from analyzer.compressing.planning import CompressPlan, CompressWatch, require_possible

    steps, learns = plan_of(options["plan"]), recipe({"lr": options["lr"], "batch": options["batch"]})
    budget = Budget(**{name: options[name] for name in (*LIMITABLE, "under", "on")})
    budget.profile()
    require_possible(steps, budget, options["data"] is not None, out is not None)
    original = original_of(target, kwargs=options["kwargs"], inputs=options["inputs"])
    common = {"out": out, **{name: options[name] for name in ("seed", "data", "device")}}
    asked = CompressPlan(original=original, budget=budget, steps=steps, **common)
    if asked.data is not None:
        places = {"seed": asked.seed, "split": options["split_file"], "device": asked.device}
        asked = replace(asked, pictures=pictures_of(asked.data, original, learns, **places, say=say, warn=warn))
    return compress(asked, CompressWatch(say, warn))


def _show(made: Compressed, format_: str) -> None:
    for place, table in enumerate(made.tables()):
        if format_ == "md":
            text.show(("\n" if place else "") + text.markdown(table.headings, table.rows))
            continue
        if place:
            text.show("")
        text.show_table(table.headings, table.rows)
