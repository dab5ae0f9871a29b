"""`analyze train`: networks trained on images, each epoch kept, gone on with to the bit."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from analyzer.cli import text
from analyzer.cli.base import INTERRUPTED, Verb, say, warn
from analyzer.cli.data import shares_option
from analyzer.cli.options import (
    NewFile,
    TargetName,
    device_option,
    executor_options,
    family_options,
    family_values,
    model_options,
)
from analyzer.cli.training_options import seeds_of
from analyzer.cli.training_output import show_runs, write_runs_report
from analyzer.cli.training_progress import TrainingBar
from analyzer.errors import UsageError
from analyzer.executors.workplace import Workplace
from analyzer.targets.resolving import Resolved, resolve
from analyzer.training.recipe import DEFAULT, Amp, BatchNorm, OptimizerName, Schedule, recipe
from analyzer.training.run_records import Outcome, outcome_of
from analyzer.training.together import ToldElsewhereError, is_first

if TYPE_CHECKING:
    from analyzer.training.planning import TrainPlan

OUTCOME = Outcome()


class Train(Verb):
    """`analyze train`, and under it `compare`, which is no network's name."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context of what was asked for."""
        if args[:1] == ["compare"]:
            from analyzer.cli.train_compare import command as compare

            return compare.make_context(f"{info_name} compare", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


def _words(value: str) -> tuple[str, ...]:
    return tuple(word for word in value.replace(" ", "").split(",") if word and word != "none")


@click.command("train", cls=Train)
@click.argument("targets", nargs=-1, required=True, type=TargetName())
@click.option(
    "--data",
    required=True,
    metavar="DATA",
    help="DIR/class/*, DIR/train|val|test/class/*, FILE.csv (path,label), FILE.npz, or module:attr of a Dataset.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where runs are kept; the same command goes on with them.",
)
@click.option(
    "--epochs",
    type=int,
    default=DEFAULT.epochs,
    show_default=True,
    metavar="N",
    help="Passes over the training images.",
)
@click.option("--lr", type=float, default=DEFAULT.lr, show_default=True, metavar="RATE", help="Learning rate.")
@click.option(
    "--optimizer",
    type=click.Choice(get_args(OptimizerName)),
    default=DEFAULT.optimizer,
    show_default=True,
    help="Which.",
)
@click.option(
    "--schedule",
    type=click.Choice(get_args(Schedule)),
    default=DEFAULT.schedule,
    show_default=True,
    help="Of the rate: cosine to 0, or divided by 10 at 50 and 75 % of the epochs.",
)
@click.option("--batch", type=int, default=DEFAULT.batch, show_default=True, metavar="N", help="Images a step.")
@click.option(
    "--weight-decay",
    type=float,
    default=DEFAULT.weight_decay,
    show_default=True,
    metavar="W",
    help="Of every parameter.",
)
@click.option(
    "--momentum", type=float, default=DEFAULT.momentum, show_default=True, metavar="M", help="Of sgd (Nesterov's)."
)
@click.option("--seeds", callback=seeds_of, default="0", show_default=True, metavar="N,N", help="A run from each.")
@click.option("--folds", type=int, metavar="K", help="Cross-validation: K runs a seed, each part tests once.")
@shares_option
@click.option(
    "--split-seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Draws the split."
)
@click.option(
    "--split-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="A split.json by `analyze data check`.",
)
@click.option(
    "--augment",
    default=",".join(DEFAULT.augment),
    show_default=True,
    metavar="KINDS",
    help="flip, crop, none; with kornia also rotate, color, erase.",
)
@click.option("--class-weights", "classes_weighted", is_flag=True, help="Rare classes weigh more in the loss.")
@click.option(
    "--train-accuracy-every",
    type=click.IntRange(0),
    default=DEFAULT.train_accuracy_every,
    show_default=True,
    metavar="N",
    help="Epochs between evaluations of the whole training set; 0: never.",
)
@click.option(
    "--amp",
    type=click.Choice(get_args(Amp)),
    is_flag=False,
    flag_value="bfloat16",
    default=DEFAULT.amp,
    show_default=True,
    help="Mixed precision; --amp alone is bfloat16.",
)
@click.option(
    "--batch-norm",
    type=click.Choice(get_args(BatchNorm)),
    default=DEFAULT.batch_norm,
    show_default=True,
    help="Under torchrun: over all processes' images, or each over its own.",
)
@click.option("--channels-last", is_flag=True, help="In channels_last memory format.")
@click.option("--compile", is_flag=True, help="Under torch.compile.")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="CPU threads.  [default: torch's own choice]")
@click.option(
    "--workers",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="N",
    help="Processes that decode; they change no bit of the result.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Runs trained at once here, a process each, with one thread if --threads is not given.",
)
@executor_options
@click.option("--best", is_flag=True, help="Also keep best.safetensors, by validation accuracy.")
@click.option("--allow-leaks", is_flag=True, help="Train although given parts share images; said.")
@click.option("--tensorboard", is_flag=True, help="Also write OUT/tensorboard (an extra).")
@click.option(
    "--outcome-epoch",
    type=click.Choice(["last", "validation"]),
    default=OUTCOME.epoch,
    show_default=True,
    help="Declared now: which epoch counts in `train compare`.",
)
@click.option(
    "--margin",
    type=float,
    default=OUTCOME.margin,
    show_default=True,
    metavar="SHARE",
    help="Declared now: the difference that would matter (0.03: 3 points).",
)
@click.option("--accept", is_flag=True, help="Go on with runs whose data, recipe or machine changed.")
@click.option("--report", type=NewFile(), metavar="FILE", help="Also write an HTML report on all runs in DIR.")
@click.option("--dry-run", is_flag=True, help="Say what it would take, and stop.")
@device_option
@model_options
@family_options(many=False)
@click.option("--format", "format_", type=click.Choice(["table", "log", "json", "jsonl", "csv", "md"]), default="table",
              show_default=True, help="How to print; log: a line an epoch, as it is finished.")  # fmt: skip
def command(targets: tuple[str, ...], format_: str, dry_run: bool, report: Path | None, **options: Any) -> int:
    """Trains TARGETs on images: variants, presets, or models of your own, at the data's classes.

    Each epoch is kept in DIR/results.db, each network in DIR/runs. Whatever ends it, the same command goes on where it
    was; on a CPU, with as many threads, to the same bits. Test accuracy is shown each epoch and chooses nothing.
    `analyze train compare DIR [A B]` says what two networks' runs show. Under torchrun (torchrun --nproc-per-node N -m
    analyzer train ...) N processes share every batch.
    """
    from analyzer.training.boards import boarded
    from analyzer.training.execution import execute
    from analyzer.training.planning import TrainWatch

    board = options.pop("tensorboard")
    plan = _plan(targets, options)
    if not is_first():
        return _beside(plan, dry_run)
    if dry_run:
        return _dry(plan)
    with TrainingBar(format_) as bar:
        watch = TrainWatch(say, warn, bar.began, bar.step, bar.epoch)
        done = execute(plan, boarded(watch, plan.out / "tensorboard") if board else watch)
    show_runs(done.runs, format_)
    say(f"kept in {plan.out}: results.db, runs/*/last.safetensors")
    if report is not None and any(run.epochs for run in done.runs):
        write_runs_report(plan.out, report)
    if done.interrupted:
        say("interrupted: saved; the same command goes on")
        return INTERRUPTED
    return 3 if any(run.error for run in done.runs) else 0


def _plan(targets: tuple[str, ...], options: dict[str, Any]) -> TrainPlan:
    from analyzer.training.dividing import Division
    from analyzer.training.planning import TrainPlan

    values = family_values(options, many=False)
    image, asked_classes = values.pop("image", None), values.pop("classes", None)
    if asked_classes is not None:
        raise UsageError("come from the data", where="--classes", fix="leave it out")
    own = {"inputs": options.pop("inputs"), "kwargs": options.pop("kwargs")}
    resolved: list[Resolved] = [resolve(name, **own) if ":" in name else resolve(name, values) for name in targets]
    division = Division(
        options.pop("fractions"),
        options.pop("split_seed"),
        options.pop("folds"),
        options.pop("split_file"),
        options.pop("allow_leaks"),
    )
    outcome = outcome_of({"epoch": options.pop("outcome_epoch"), "margin": options.pop("margin")})
    places = {name: options.pop(name) for name in
              ("data", "out", "seeds", "device", "threads", "workers", "best", "accept")}  # fmt: skip
    where = Workplace(options.pop("executor"), options.pop("jobs"), None, options.pop("address"))
    said = {**options, "augment": _words(options["augment"])}
    return TrainPlan(
        targets=tuple(resolved), recipe=recipe(said), image=image, division=division, outcome=outcome, where=where,
        **places,
    )  # fmt: skip


def _beside(plan: TrainPlan, dry: bool) -> int:
    """What every process but the first does: its share, without a word. The first one's exit code says how it ended."""
    from analyzer.training.execution import dry_run, execute
    from analyzer.training.planning import TrainWatch

    with contextlib.suppress(ToldElsewhereError):
        (dry_run if dry else execute)(plan, TrainWatch())
    return 0


def _dry(plan: TrainPlan) -> int:
    from analyzer.training.execution import doubts_of, dry_run, told
    from analyzer.training.planning import TrainWatch

    ready = dry_run(plan, TrainWatch(say, warn))
    for doubt in doubts_of(ready):
        warn(doubt)
    for sentence in told(ready):
        text.show_words(sentence)
    return 0
