"""Every figure that this package tells of a model, one row each: what it is called, means, and where it belongs.

Tables, pages, files, budgets, searches and DataFrames choose by the attributes; none of them lists figures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from analyzer import units
from analyzer.errors import UsageError, did_you_mean

Unit = Literal["count", "bytes", "seconds", "nanoseconds", "rate", "ratio", "share", "points"]
"""`rate` is images a second, `ratio` a multiple of the baseline's, `points` are hundredths of a share."""


@dataclass(frozen=True)
class Figure:
    """A figure and what holds for it.

    `label` is what people call it, `short` what stands over a narrow column. `measure` is the unit that a number of it
    may be said in (`params`, `macs`, `flops`, `b`). `standing` says how it is known. `place` says where it is shown:
    `headline` of every model, `beside` where models stand side by side, `detail` where one is shown in full.
    `path` is where a record holds it (default: under its name).

    `summed`: layers' rows add up to it; `derived`: another figure in another measure, which layers' tables leave out.
    `arrays`: counted for many variants at once; `batched`: depends on the batch; `training`: of a step of training;
    `of_parameters`: known without an input. `budgeted`: a budget may hold it. `searched`: it may be limited, and an
    objective of a search.
    """

    name: str
    label: str
    short: str
    unit: Unit
    definition: str
    measure: str = ""
    standing: Literal["exact", "replayed", "predicted", "measured"] = "exact"
    better: Literal["less", "more"] = "less"
    place: Literal["headline", "beside", "detail"] = "detail"
    path: str = ""
    summed: bool = False
    derived: bool = False
    arrays: bool = False
    batched: bool = False
    training: bool = False
    of_parameters: bool = False
    budgeted: bool = False
    searched: bool = False

    @property
    def static(self) -> bool:
        """Whether it is known before the model runs on a device."""
        return self.standing in ("exact", "replayed")

    @property
    def word(self) -> str:
        """The options' word: `saved` of `--max-saved`."""
        if self.name == "predicted_image_ns":
            return "latency"
        return self.name.removesuffix("_bytes").replace("_", "-")

    @property
    def heading(self) -> str:
        """What stands over a column of `bare` values: `saved MiB`."""
        return self.short + {"bytes": " MiB", "points": ", points"}.get(self.unit, "")

    def of(self, holder: Any) -> Any:
        """A record's value (of a figure that is `summed`, also a layer's row's); None where it is not known."""
        return value_at(holder, (self.path or self.name).split("."))

    def text(self, value: int | float | None) -> str:
        """For people, in full: `149,871,874`, `100.25 MiB`, `12.34 ms`; a dash where it is not known."""
        if value is None:
            return "–"
        if self.unit == "bytes":
            return units.mib(int(value))
        if self.unit == "seconds":
            return units.seconds(value)
        if self.unit == "nanoseconds":
            return units.nanoseconds(value)
        if self.unit == "rate":
            return f"{value:,.1f} images/s"
        if self.unit == "share":
            return f"{100 * value:.1f} %"
        if self.unit == "points":
            return f"{value:.1f} points".replace("-", "−")
        return f"{units.times(value)}×" if self.unit == "ratio" else f"{value:,}"

    def bare(self, value: int | float | None) -> str:
        """As `text`, without the unit that `heading` says."""
        return self.text(value).removesuffix(" MiB").removesuffix(" images/s").removesuffix(" points")

    def ends(self, low: int | float, high: int | float) -> str:
        """`27.10 to 36.20 ms`: the unit once, where both have the same."""
        less, more = self.text(low), self.text(high)
        number = more.lstrip("−0123456789.,")
        return f"{less.removesuffix(number) if number else less} to {more}"

    def exact(self, value: int | float | None) -> str:
        """Without any rounding, bytes as bytes."""
        return f"{value:,} bytes" if self.unit == "bytes" and value is not None else self.text(value)

    def brief(self, value: int | float | None) -> str:
        """A few digits, for places beside the exact value."""
        return units.short(int(value)) if self.unit == "count" and value is not None else self.text(value)

    def signed(self, difference: int | float | None) -> str:
        """A difference with its sign: `+1,024`, `−2,649.41 MiB`, `±0`."""
        if difference is None:
            return "–"
        sign = "+" if difference > 0 else "−" if difference < 0 else "±"
        return sign + self.text(abs(difference))

    def parse(self, text: str, *, where: str = "") -> int:
        """A number of it from text (`8M`, `32 MiB`). Raises UsageError on another figure's unit."""
        if self.unit == "nanoseconds":
            return round(1e9 * units.parse_seconds(text, where=where))
        return units.parse_count(text, where=where, figure=self.name, unit=self.measure)


_ROWS = (
    Figure(
        "params", "params", "params", "count",
        "Unique parameters, in elements: a tied one counts once.",
        measure="params", place="headline", summed=True, arrays=True, of_parameters=True, budgeted=True, searched=True,
    ),
    Figure(
        "trainable_params", "trainable params", "trainable", "count",
        "Those of the params that require a gradient.",
        measure="params", derived=True, arrays=True, of_parameters=True, budgeted=True,
    ),
    Figure(
        "macs", "MACs", "MACs", "count",
        "Multiply-accumulates of convolutions, linear layers and matrix products, of one sample of the family or of "
        "the given input of any other model; no bias, BN, activation or pooling (the convention of the ResNet and "
        "DenseNet papers and of torchvision).",
        measure="macs", place="headline", summed=True, arrays=True, budgeted=True, searched=True,
    ),
    Figure(
        "flops", "FLOPs", "FLOPs", "count",
        "Twice the MACs, always, and never another thing.",
        measure="flops", summed=True, derived=True, arrays=True, budgeted=True, searched=True,
    ),
    Figure(
        "training_macs", "MACs, forward and backward", "MACs, backward too", "count",
        "MACs of a forward in training mode and its backward pass, where that was asked for.",
        measure="macs", training=True,
    ),
    Figure(
        "conv_activations", "conv activations", "conv activations", "count",
        'Elements of all convolution and linear outputs, counted as MACs are (RegNet\'s "activations").',
        place="beside", summed=True, arrays=True, budgeted=True, searched=True,
    ),
    Figure(
        "depth", "depth", "depth", "count",
        "Convolutions, linear layers and products with a weight on the longest path from an input to an output "
        "(DenseNet121: 121).",
        place="beside", arrays=True, budgeted=True, searched=True,
    ),
    Figure(
        "saved_bytes", "saved bytes", "saved", "bytes",
        "What autograd keeps for the backward pass of one forward in training mode at the given batch: each storage "
        "once, the input included, parameters, buffers and the loss not.",
        measure="b", place="headline", summed=True, arrays=True, batched=True, training=True, budgeted=True,
        searched=True,
    ),
    Figure(
        "peak_training_bytes", "peak training memory", "peak, training", "bytes",
        "The most bytes of live tensors in a steady training step at the given batch: parameters, buffers, gradients, "
        "Adam's state in its foreach form, input and targets, saved and transient tensors.",
        measure="b", standing="replayed", place="beside", arrays=True, batched=True, training=True, budgeted=True,
        searched=True,
    ),
    Figure(
        "peak_inference_bytes", "peak inference memory", "peak, inference", "bytes",
        "The most bytes of live tensors in an inference forward at the given batch, as the network that build makes "
        "would run.",
        measure="b", standing="replayed", place="beside", arrays=True, batched=True, budgeted=True, searched=True,
    ),
    Figure(
        "param_bytes", "parameter bytes", "parameters", "bytes",
        "Bytes of the unique parameters, by their dtypes.",
        measure="b", derived=True, arrays=True, of_parameters=True, budgeted=True,
    ),
    Figure(
        "buffer_bytes", "buffer bytes", "buffers", "bytes",
        "Bytes of the buffers, by their dtypes: what BN keeps of its batches.",
        measure="b", arrays=True, of_parameters=True, budgeted=True,
    ),
    Figure(
        "predicted_latency_s", "predicted latency", "predicted", "seconds",
        "A forward's time of one batch by a device's profile (analyze devices, analyze calibrate), at the profile's "
        "batch or the given one, with the band of its left-out errors.",
        standing="predicted", path="predicted.latency_s",
    ),
    Figure(
        "predicted_image_ns", "predicted time an image", "an image", "nanoseconds",
        "The predicted time of a batch, an image, in nanoseconds.",
        standing="predicted", arrays=True, searched=True, path="predicted.image_ns",
    ),
    Figure(
        "predicted_images_per_s", "predicted throughput", "predicted images/s", "rate",
        "Images a second by a device's profile, from the predicted time of a batch.",
        standing="predicted", better="more", place="beside", path="predicted.images_per_s",
    ),
    Figure(
        "measured_latency_s", "latency", "latency", "seconds",
        "The median time of a forward of a batch on the named device.",
        standing="measured", path="measured.measured_latency_s", searched=True,
    ),
    Figure(
        "measured_images_per_s", "throughput", "images/s", "rate",
        "Images a second on the named device, from the median time of a batch.",
        standing="measured", better="more", place="beside", path="measured.measured_images_per_s", searched=True,
    ),
    Figure(
        "measured_ratio", "time × baseline", "time x base", "ratio",
        "The time of a batch as a multiple of the baseline's, from interleaved pairs: the median over processes.",
        standing="measured", path="measured.ratio", searched=True,
    ),
    Figure(
        "measured_peak_bytes", "measured peak memory", "measured peak", "bytes",
        "The most that the device's allocator had given out in an inference forward.",
        standing="measured", path="measured.measured_peak_bytes",
    ),
    Figure(
        "test_accuracy", "test accuracy", "test accuracy", "share",
        "The share of test images that a trained network gets right in evaluation mode, at the epoch that was declared "
        "to count, a mean over runs.",
        standing="measured", better="more", place="beside", path="trained.test_accuracy",
    ),
    Figure(
        "generalisation_gap", "generalisation gap", "gap", "points",
        "Train minus test accuracy of a trained network in points, both in evaluation mode and without augmentation, a "
        "mean over runs.",
        standing="measured", place="beside", path="trained.generalisation_gap",
    ),
    Figure(
        "training_cpu_s", "CPU time of training", "training CPU time", "seconds",
        "CPU-seconds of a run's training steps, without its evaluations and other processes, a mean over runs.",
        standing="measured", path="trained.cpu_s",
    ),
)  # fmt: skip
FIGURES = {figure.name: figure for figure in _ROWS}
"""By name, in the order in which they are shown."""
HEADLINE = tuple(figure for figure in _ROWS if figure.place == "headline")
"""Those that are shown of every model; a reference's own are the limits where none is given."""
LAYERED = tuple(figure for figure in _ROWS if figure.summed and not figure.derived)
"""Those that tables of layers show."""
SHARED = tuple(figure for figure in LAYERED if figure.place == "headline")
"""Those of them that a page shows of every module."""
LIMITED = tuple(figure for figure in _ROWS if figure.searched and figure.standing != "measured")
"""Those that a variant may be limited by before it is built."""
PREDICTED = tuple(figure for figure in _ROWS if figure.standing == "predicted")


def value_at(holder: Any, path: Iterable[str]) -> Any:
    """What stands in a record at a path of attributes; None where any of them is not known."""
    value = holder
    for part in path:
        value = getattr(value, part, None)
        if value is None:
            return None
    return value


def known(name: str) -> Figure:
    """The figure of that name; one that this version does not know is shown under its name."""
    unit: Unit = "bytes" if name.endswith("_bytes") else "count"
    words = name.replace("_", " ")
    return FIGURES.get(name) or Figure(name, words, words, unit, "")


def figure_named(name: str, among: Iterable[Figure], where: str) -> Figure:
    """The one of those figures that a word means: `saved_bytes`, `saved`. Raises UsageError with the nearest."""
    by_word = {word: figure for figure in among for word in (figure.word, figure.name)}
    if name not in by_word:
        names = list(dict.fromkeys(figure.name for figure in by_word.values()))
        raise UsageError(f"unknown figure {name[:60]!r}", where=where, fix=did_you_mean(name, names))
    return by_word[name]
