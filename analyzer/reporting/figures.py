"""The figures as people read them: label, unit, definition, and the text of a value."""

from __future__ import annotations

from dataclasses import dataclass

from analyzer import units
from analyzer.records import Record


@dataclass(frozen=True)
class Figure:
    """A figure of a record. `unit` is `count`, `bytes` or `rate`; `better` is `less` or `more`."""

    name: str
    label: str
    unit: str
    definition: str
    better: str = "less"

    def of(self, record: Record) -> int | float | None:
        """The record's value; None where it is not known."""
        if self.name == "measured_images_per_s":
            return record.measured.measured_images_per_s if record.measured else None
        value: int | None = getattr(record, self.name)
        return value

    def text(self, value: int | float | None) -> str:
        """The value in full: thousands separators, MiB for bytes."""
        if value is None:
            return "–"
        if self.unit == "bytes":
            return units.mib(int(value))
        return f"{value:,.1f} images/s" if self.unit == "rate" else f"{value:,}"

    def exact(self, value: int | float | None) -> str:
        """The value without any rounding, bytes as bytes."""
        if value is None:
            return "–"
        return f"{value:,} bytes" if self.unit == "bytes" else self.text(value)

    def short(self, value: int | float | None) -> str:
        """A few digits, for places beside the exact value."""
        if value is None:
            return "–"
        return units.short(int(value)) if self.unit == "count" else self.text(value)

    def signed(self, value: int) -> str:
        """A difference, with its sign."""
        return ("+" if value > 0 else "−" if value < 0 else "±") + self.text(abs(value))


ALL = (
    Figure("params", "params", "count", "Unique parameters, in elements; a tied tensor counts once."),
    Figure(
        "macs",
        "MACs",
        "count",
        "Multiply-accumulates of convolutions, linear layers and matrix products for one sample of the family (for a "
        "model of your own: of the given input). No bias, batch norm, activation or pooling.",
    ),
    Figure("flops", "FLOPs", "count", "Twice the MACs, and never another thing."),
    Figure(
        "conv_activations",
        "conv activations",
        "count",
        "Elements of all convolution and linear outputs, for one sample.",
    ),
    Figure(
        "saved_bytes",
        "saved bytes",
        "bytes",
        "Bytes that autograd keeps for the backward pass of one forward (no loss) at the given batch, each storage "
        "once; the input is included, parameters and buffers are not.",
    ),
    Figure(
        "peak_training_bytes",
        "peak training memory",
        "bytes",
        "Predicted peak of live tensor bytes in a steady training step with Adam: parameters, buffers, gradients, "
        "optimizer state, input, saved and transient tensors.",
    ),
    Figure(
        "peak_inference_bytes",
        "peak inference memory",
        "bytes",
        "Predicted peak of live tensor bytes in an inference forward.",
    ),
    Figure(
        "measured_images_per_s",
        "throughput",
        "rate",
        "Images a second in inference on the named device, from the median time of a batch.",
        better="more",
    ),
)
BY_NAME = {figure.name: figure for figure in ALL}
LAYERED = tuple(BY_NAME[name] for name in ("params", "macs", "saved_bytes"))
"""Figures that the modules of a network share among them."""


def known(name: str) -> Figure:
    """The figure of that name; one that this version does not know is shown under its name."""
    return BY_NAME.get(name) or Figure(
        name, name.replace("_", " "), "bytes" if name.endswith("_bytes") else "count", ""
    )


def times(value: int | float | None, base: int | float | None) -> str:
    """`21.55×`: how many times the base; a dash where either is absent or the base is 0."""
    return units.ratio(value, base).replace("x", "×")
