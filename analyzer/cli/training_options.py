"""How a sweep or a search trains its networks, as options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from analyzer.errors import UsageError

if TYPE_CHECKING:
    from analyzer.training.asked import TrainingAsked

F = TypeVar("F", bound=Callable[..., Any])


def seeds_of(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    """Seeds from `0,1,2`. Raises UsageError."""
    parts = value.replace(" ", "").split(",")
    if not all(part.isdecimal() and len(part) < 19 for part in parts):
        raise UsageError(f"{value!r} is no list of seeds", where="--seeds", fix="whole numbers from 0: --seeds 0,1,2")
    return tuple(map(int, parts))


def training_options(function: F) -> F:
    """`--data`, `--seeds`, `--epochs`, `--recipe`, `--threads`."""
    options = (
        click.option("--data", metavar="DATA", help="Images to train on, as `analyze train` takes them."),
        click.option("--seeds", callback=seeds_of, default="0", show_default=True, metavar="N,N",
                     help="Each network is trained from each."),
        click.option("--epochs", type=click.IntRange(1), metavar="N", help="Passes over the training images."),
        click.option("--recipe", "fields", multiple=True, metavar="NAME=VALUE",
                     help="How it is trained, as the options of `analyze train` say it: batch=64, optimizer=sgd."),
        click.option("--threads", type=click.IntRange(1), metavar="N", help="CPU threads that train."),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def training_of(options: dict[str, Any], *, wanted: bool, by: str) -> TrainingAsked | None:
    """Takes those options out of a verb's; None where nothing is to be trained.

    Raises UsageError where they are given and the option is not `by` which they are `wanted`.
    """
    said = {name: options.pop(name) for name in ("data", "seeds", "epochs", "fields", "threads")}
    if not wanted:
        given = [name for name in ("data", "epochs", "fields", "threads") if said[name]]
        if given:
            name = "recipe" if given[0] == "fields" else given[0]
            raise UsageError("is for training", where=f"--{name}", fix=f"give {by} with it")
        return None
    from analyzer.training.asked import training_asked

    fields = {} if said["epochs"] is None else {"epochs": said["epochs"]}
    own = {"data": said["data"], "seeds": said["seeds"], "threads": said["threads"], "device": options["device"]}
    place = {name: options[name] for name in ("executor", "jobs", "address")}
    return training_asked({**_fields(said["fields"]), **fields, **own, **place})


def _fields(texts: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"{text!r} names no value", where="--recipe", fix="such as --recipe batch=64")
        if name == "augment":
            found[name] = tuple(word for word in value.split(",") if word and word != "none")
            continue
        try:
            found[name] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            found[name] = value
    return found
