"""The axes of the family, one row each: everything else that is said of an axis anywhere is asked of this table."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from analyzer.architecture.registry import BLOCKS, STEMS
from analyzer.architecture.steps import (
    doubled,
    halved,
    hundredths,
    less,
    nudged,
    nudged_share,
    one_layer_less,
    shallower,
)
from analyzer.architecture.values import Depths, Each, Real, Values, Whole, Word
from analyzer.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from analyzer.architecture.blocks import BlockType

Growth = str | int | tuple[int, ...]
PerStage = float | tuple[float, ...]
Change = Literal["", "layer", "topology", "size"]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What is known of an axis.

    `field` is its name in Variant, `option` the command's; `values` say what it can be; `default` is None where the
    block decides it (`of_block`).
    `tag` stands before the value in a canonical name: `always`, or where the value is off its default.
    `structural`: must be one for all variants of an array pass; of another axis only the kind of its value must (a
    word, a number, one a stage), and which of the values in `apart` it is.
    `task`: what the network is asked to do, not how it is made.
    `says`: the thing that it says; axes that say the same are alternatives. Blocks that have it: `had_by` (None: all).
    `change`: what a change of it is to `explain` (empty: none of its levers); `step` is a small one (None: none means
    anything), `usual` gives those worth a look, `smaller` all values from mild to strong.
    """

    field: str
    option: str
    values: Values
    default: Any
    tag: str
    help: str
    change: Change
    always: bool = False
    structural: bool = False
    apart: tuple[Any, ...] = ()
    task: bool = False
    says: str = ""
    had_by: Callable[[BlockType], bool] | None = None
    of_block: Callable[[BlockType], Any] | None = None
    step: Callable[[Any], Any] | None = nudged
    usual: Callable[[Any], Iterable[Any]] = halved
    smaller: Callable[[Any], Iterable[Any]] = less

    @property
    def label(self) -> str:
        """What people read: `bn size`."""
        return self.option.replace("-", " ")

    @property
    def dimension(self) -> bool:
        """Whether it is a number of channels, classes or pixels, whose products can overflow."""
        number = self.values.number if isinstance(self.values, Each) else self.values
        return isinstance(number, Whole) and not self.structural and not self.apart

    def default_of(self, block: BlockType) -> Any:
        """Its value where none is said; None where an alternative's is meant."""
        return self.of_block(block) if self.of_block is not None else self.default

    def structure(self, value: Hashable) -> Hashable:
        """What of a value must be one for all variants of an array pass."""
        if self.structural or isinstance(value, str):
            return value
        return type(value) if value not in self.apart else (type(value), value)

    def one(self, text: str) -> Any:
        """The value of an option's text. Raises UsageError."""
        try:
            return self.values.read(text.strip())
        except ValueError as error:
            slip = re.fullmatch(r"(\d+)\s*(?:-|\.\.)\s*(\d+)", text.strip()) if self.values.ranges else None
            fix = self.help + (f"; where several are taken a range is {slip[1]}:{slip[2]}" if slip else "")
            raise UsageError(f"{text[:80]!r}: {error}", where=f"--{self.option}", fix=fix) from None

    def text(self, value: Any) -> str:
        """A value as an option takes it."""
        return self.values.between.join(map(str, value)) if isinstance(value, tuple) else str(value)


def row(values: Values, tag: str, *, help: str, change: Change, option: str = "", **traits: Any) -> Mapping[str, Any]:
    """An axis as a field's metadata; the field gives it its name and default, and the option's where none is said."""
    return {
        "axis": Axis(field="", default=None, option=option, values=values, tag=tag, help=help, change=change, **traits)
    }


@dataclass(frozen=True, kw_only=True)
class VariantFields:
    """One value an axis, in canonical order: each field's metadata is its row of the table."""

    block: str = field(
        default="residual",
        metadata=row(
            Word(BLOCKS), "", change="", always=True, structural=True,
            help="residual, dense, basic, bottleneck, vovnet, ... (analyze show --help lists them)",
        ),
    )  # fmt: skip
    block_config: tuple[int, ...] = field(
        default=(2, 4, 3, 2),
        metadata=row(
            Depths(8, Whole(1, 1000)), "b", option="blocks", change="size", always=True, structural=True,
            step=lambda layers: layers + 1, usual=one_layer_less, smaller=shallower,
            help="layers a stage, such as 2,4,3,2; repeat the option for several",
        ),
    )  # fmt: skip
    # Channels a layer adds, as many as it gets where they double. In a ResNet or VoVNet the stage's output width:
    # there doubling is 4 x (2 x) init, doubled every stage.
    growth: Growth = field(
        default="double",
        metadata=row(
            Each(Whole(1, 1_000_000), "stage", ("double",)), "g", change="topology", always=True,
            usual=lambda growth: (64, 32) if growth == "double" else halved(growth),
            smaller=lambda growth: range(512, 0, -1) if growth == "double" else less(growth),
            help="double, 32, or one a stage: 16/32/64/128",
        ),
    )  # fmt: skip
    # int(ratio x input); in a ResNet or VoVNet: x output.
    ratio: PerStage | None = field(
        default=None,
        metadata=row(
            Each(Real(0.0001, 100), "stage"), "r", change="layer", always=True, says="hidden width",
            had_by=lambda block: block.has_hidden, of_block=lambda block: block.ratio,
            usual=lambda ratio: () if isinstance(ratio, tuple) else (ratio / 2, ratio / 4),
            help="hidden width as a share of the input, such as 0.25, or one a stage: 0.5/0.25",
        ),
    )  # fmt: skip
    bn_size: int | None = field(
        default=None,
        metadata=row(
            Whole(1, 10_000), "bn", change="layer", always=True, says="hidden width",
            had_by=lambda block: block.has_hidden, of_block=lambda block: block.bn_size,
            help="hidden width as a multiple of the growth, such as 4",
        ),
    )  # fmt: skip
    # A transition keeps int(compression x channels).
    compression: PerStage | None = field(
        default=None,
        metadata=row(
            Each(Real(0.0001, 1), "transition"), "c", change="topology", always=True, says="transitions to compress",
            had_by=lambda block: block.family.has_transitions, of_block=lambda block: block.family.compression,
            step=nudged_share, smaller=hundredths,
            help="share of channels a transition keeps: 0.5, or one each: 0.5/0.25/0.5",
        ),
    )  # fmt: skip
    init: int = field(
        default=64,
        metadata=row(Whole(1, 1_000_000), "i", change="size", help="channels after the stem, such as 64"),
    )
    stem: str = field(
        default="imagenet",
        metadata=row(Word(STEMS), "stem", change="", structural=True, help="imagenet, deep, small or strided"),
    )
    kernel: int = field(
        default=3,
        metadata=row(
            Whole(1, 63, odd=True), "k", change="layer", step=None,
            usual=lambda _: (1,), smaller=lambda kernel: range(kernel - 2, 0, -2),
            help="kernel of the 3x3 convolutions, odd, such as 3",
        ),
    )  # fmt: skip
    # One group is a network of its own: nothing is shuffled, nothing must divide.
    groups: int = field(
        default=1,
        metadata=row(
            Whole(1, 1_000_000), "x", change="layer", apart=(1,), step=None,
            usual=lambda groups: (groups * 4,), smaller=doubled,
            help="groups of the 3x3 convolutions, such as 1",
        ),
    )  # fmt: skip
    drop: float = field(
        default=0.0,
        metadata=row(
            Real(0.0001, 1, zero=True, below=True), "d", change="", structural=True, says="dropout", step=None,
            had_by=lambda block: block.family.has_dropout,
            help="dropout rate, such as 0",
        ),
    )  # fmt: skip
    classes: int = field(
        default=2,
        metadata=row(Whole(1, 100_000_000), "n", change="", task=True, help="outputs of the classifier, such as 2"),
    )
    image: int = field(
        default=224,
        metadata=row(
            Whole(1, 65_536), "s", change="", task=True, step=lambda px: px + 32,
            help="image height and width in px, such as 224",
        ),
    )  # fmt: skip


def _axis(name: str, default: Any, said: Axis) -> Axis:
    return replace(said, field=name, default=default, option=said.option or name.replace("_", "-"))


AXES = tuple(_axis(each.name, each.default, each.metadata["axis"]) for each in fields(VariantFields))
"""The table, in canonical order: that of names, columns and options."""
FIELDS = tuple(axis.field for axis in AXES)
BY_FIELD = {axis.field: axis for axis in AXES}


def axis(name: str, *, where: str = "axes") -> Axis:
    """The axis of an option's or a field's name. Raises UsageError with the nearest name."""
    for candidate in AXES:
        if name in (candidate.option, candidate.field, candidate.option.replace("-", "_")):
            return candidate
    raise UsageError(f"unknown axis {name!r}", where=where, fix=did_you_mean(name, [axis.option for axis in AXES]))


def alternatives(field_name: str) -> tuple[str, ...]:
    """The fields that say the same thing as this one, itself included; at most one of them has a value."""
    says = BY_FIELD[field_name].says
    return tuple(axis.field for axis in AXES if axis.says == says) if says else (field_name,)


RIVALS = tuple(dict.fromkeys(group for name in FIELDS if len(group := alternatives(name)) > 1))
"""Fields that are alternatives, in groups."""
