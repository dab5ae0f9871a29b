"""Options that verbs share, and what they become."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from analyzer.architecture.axes import AXES
from analyzer.cli import completion
from analyzer.distribution import NAME
from analyzer.errors import UsageError
from analyzer.figures import LIMITED, Figure
from analyzer.files import require_writable
from analyzer.limits import Limit
from analyzer.measuring.exclusive import patience
from analyzer.reading.peak import Autocast, Dtype, Form, Optimizer, Training, ZeroGrad
from analyzer.space import lists
from analyzer.units import parse_batch, parse_count, parse_seconds

F = TypeVar("F", bound=Callable[..., Any])
FORMATS = ("table", "json", "jsonl", "csv", "md")


def family_options(*, many: bool) -> Callable[[F], F]:
    """One option an axis of the family, each one value or (`many`) lists, ranges and repeats."""

    def add(function: F) -> F:
        for axis in reversed(AXES):
            function = click.option(
                f"--{axis.option}",
                f"axis_{axis.field}",
                multiple=many,
                metavar="VALUES" if many else "VALUE",
                shell_complete=completion.words(partial(completion.axis_values, axis.field), listed=axis.values.lists),
                help=axis.help + ".",
            )(function)
        return function

    return add


def family_values(options: dict[str, Any], *, many: bool) -> dict[str, Any]:
    """Takes the axes out of a verb's options: field -> value (or values), only for those given."""
    values = {}
    for axis in AXES:
        given = options.pop(f"axis_{axis.field}")
        if many and given:
            values[axis.field] = lists.many(axis, given)
        elif not many and given is not None:
            values[axis.field] = axis.one(given)
    return values


class Count(click.ParamType[int]):
    """A count such as 8M, 8Mi or 7,978,856; of a figure, in no other figure's unit."""

    name = "count"

    def __init__(self, figure: Figure | None = None) -> None:
        self.figure = figure

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The exact integer."""
        if isinstance(value, int):
            return value
        return self.figure.parse(value, where=_name(param)) if self.figure else parse_count(value, where=_name(param))


class Seconds(click.ParamType[float]):
    """A duration such as 40s or 2m."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        return float(value) if isinstance(value, (int, float)) else parse_seconds(value, where=_name(param))


class Positive(Seconds):
    """A duration of more than nothing."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        seconds = super().convert(value, param, ctx)
        if not 0 < seconds < 1e9:
            raise UsageError(f"{value!r} is no time", where=_name(param), fix="such as 10m")
        return seconds


class Batch(click.ParamType[int]):
    """A batch size."""

    name = "batch"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """A whole number from 1."""
        return parse_batch(value, where=_name(param))


class NewFile(click.Path):
    """A file to be written: one that can't be is refused before any work is done for it."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        path: Any = super().convert(value, param, ctx)
        try:
            require_writable(path)
        except UsageError as error:
            error.where = f"{_name(param)} {error.where}"
            raise
        return path


class TargetName(click.ParamType[str]):
    """A target, completed from the presets."""

    name = "target"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """Presets that begin so, and what a file offers after its colon."""
        return completion.targets(incomplete)


def _name(param: click.Parameter | None) -> str:
    return param.opts[0] if param is not None and param.opts else "option"


def format_option(*formats: str) -> Callable[[F], F]:
    """`--format`, one of the given."""
    return click.option(
        "--format",
        "format_",
        type=click.Choice(formats or FORMATS),
        default="table",
        show_default=True,
        help="How to print.",
    )


def batch_option(function: F) -> F:
    """`--batch`, for saved bytes and measuring."""
    return click.option("--batch", type=Batch(), default=None, metavar="N", help="Images a batch.  [default: 1]")(
        function
    )


def input_option(function: F) -> F:
    """`--input`, of a model of the user's own."""
    words = "Input of a model of your own: [name=]1,3,224,224[:dtype], a tuple (1,3;1,4), packed(5,3;8), or JSON."
    return click.option("--input", "inputs", multiple=True, metavar="SPEC", help=words)(function)


def model_options(function: F) -> F:
    """`--input` and `--kwarg`, of a model of the user's own."""
    words = "An argument of your model's factory."
    return input_option(click.option("--kwarg", "kwargs", multiple=True, metavar="K=V", help=words)(function))


def training_options(function: F) -> F:
    """How a step trains: `--dtype`, `--optimizer` and what else decides its memory."""
    options = [
        click.option("--dtype", type=click.Choice(get_args(Dtype)), default="float32", show_default=True,
                     help="Of parameters and activations alike."),
        click.option("--autocast", type=click.Choice(get_args(Autocast)), default="none", show_default=True,
                     help="What convolutions and linear layers compute in, the parameters staying float32."),
        click.option("--optimizer", type=click.Choice([o.replace("_", "-") for o in get_args(Optimizer)]),
                     default="adam", show_default=True, help="Whose state and transients count."),
        click.option("--form", type=click.Choice(get_args(Form)), default="foreach", show_default=True,
                     help="The optimizer's form; foreach is CUDA's default."),
        click.option("--weight-decay", is_flag=True, help="With weight decay."),
        click.option("--zero-grad", type=click.Choice([z.replace("_", "-") for z in get_args(ZeroGrad)]),
                     default="before-forward", show_default=True, help="When gradients are dropped."),
        click.option("--accumulate", type=click.IntRange(1), default=1, metavar="N",
                     help="Batches that add to one step's gradients.  [default: 1]"),
        click.option("--checkpoint", is_flag=True, help="Run every layer again in the backward pass (the family)."),
    ]  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def training_of(options: dict[str, Any]) -> Training:
    """Takes the training options out of a verb's options."""
    names = [field.name for field in fields(Training)]
    values = {name: options.pop(name) for name in names}
    words = {name: value.replace("-", "_") for name, value in values.items() if isinstance(value, str)}
    return Training(**{**values, **words})


class DeviceName(click.ParamType[str]):
    """A device with a profile, completed from those that there are."""

    name = "device"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """Names that begin so."""
        from analyzer.reading.profiles import files

        return [click.shell_completion.CompletionItem(name) for name in files() if name.startswith(incomplete)]


def on_option(function: F) -> F:
    """`--on`, a device with a profile, for predicted latency; `--profile` is its alias."""
    return click.option(
        "--on", "--profile", "on",
        type=DeviceName(),
        metavar="DEVICE",
        help="Predict latency on a device: a name that `analyze devices` lists, such as rtx4090, or a profile's file.",
    )(function)  # fmt: skip


def require_device(limits: Iterable[Limit], on: str | None) -> None:
    """UsageError where a limit of predicted time comes without a device."""
    for limit in limits:
        if on is None and limit.figure == "predicted_image_ns":
            raise UsageError("needs a device", where=limit.source, fix="add --on, such as --on rtx4090")


def config_option(function: F) -> F:
    """`--config`, of budgets."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="The configuration.  [default: the nearest analyzer.toml or pyproject.toml]",
    )(function)


def timeout_option(function: F) -> F:
    """`--timeout`, of counting a model."""
    return click.option(
        "--timeout",
        type=Positive(),
        metavar="T",
        help="The longest that counting a model may take.  [default: the configuration's timeout, or 10m]",
    )(function)


def wait_option(function: F) -> F:
    """`--wait`, for a device that somebody else measures on."""

    def set_patience(ctx: click.Context, param: click.Parameter, value: float) -> None:
        from analyzer.cli.base import say

        patience.seconds, patience.tell = value, say

    return click.option(
        "--wait", type=Seconds(), default="10m", show_default=True, metavar="T", expose_value=False,
        callback=set_patience, help="The longest to wait for another measurement on the device.",
    )(function)  # fmt: skip


def device_option(function: F) -> F:
    """`--device`."""
    return click.option(
        "--device",
        default="auto",
        show_default=True,
        metavar="NAME",
        shell_complete=completion.words(completion.devices),
        help="auto, cpu, cuda, cuda:1 or mps.",
    )(function)


def executor_options(function: F) -> F:
    """`--executor` and `--address`: where work runs."""
    options = [
        click.option("--executor", type=click.Choice(["processes", "ray"]), default="processes", show_default=True,
                     help=f"Where the work runs: this machine, or a Ray cluster (needs {NAME}[ray])."),
        click.option("--address", metavar="ADDRESS",
                     help="The Ray cluster's: auto (the one that runs here) or HOST:6379."),
    ]  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def limit_options(function: F) -> F:
    """`--max-params` and its like, a budget a figure."""
    for figure in reversed(LIMITED):
        function = click.option(
            f"--max-{figure.word}",
            f"max_{figure.name}",
            type=Count(figure),
            metavar="T" if figure.unit == "nanoseconds" else "N",
            help=_limit_help(figure),
        )(function)
    return function


def _limit_help(figure: Figure) -> str:
    if figure.unit == "nanoseconds":
        return "Budget for the predicted time of an image (2ms; needs --on)."
    return f"Budget for {figure.name} (8M, 100MiB; inclusive)."


def limits_of(options: dict[str, Any]) -> list[Limit]:
    """Takes the budgets out of a verb's options, those given."""
    given = [(figure, options.pop(f"max_{figure.name}")) for figure in LIMITED]
    return [
        Limit(figure=figure.name, bound=bound, source=f"--max-{figure.word}")
        for figure, bound in given
        if bound is not None
    ]


seconds_type = Seconds()
