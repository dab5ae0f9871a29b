"""What an export comes to: each file with how near it is to the network, what it holds, and how fast it runs here."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from analyzer import units
from analyzer.answers import Answering, AnswerParts, AnswerTable
from analyzer.structs import Frozen

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
else:
    from analyzer.later import np

Format = Literal["safetensors", "pt2", "py", "onnx"]
PICTURES = 32
"""Images that int8 takes where it is not said how many: half calibrate, half judge."""


class Agreement(Frozen, frozen=True, kw_only=True):
    """How far a file's outputs are from the network's at a batch: the largest difference over the largest output."""

    batch: int
    difference: float


class PairedTimes(Frozen, frozen=True, kw_only=True):
    """Two ways of running the same images, one after the other, in turn, in one process: raw wall seconds of each.

    `first` and `second` name them; `batch`, `threads` and `device` are what they ran on.
    """

    first: str
    second: str
    first_s: tuple[float, ...]
    second_s: tuple[float, ...]
    batch: int
    threads: int
    device: str

    @property
    def ratio(self) -> tuple[float, float, float]:
        """The second's time over the first's, pair by pair: median, lower and upper quartile."""
        ratios = [b / a for a, b in zip(self.first_s, self.second_s, strict=True)]
        low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
        return float(middle), float(low), float(high)

    def told(self) -> str:
        """In a sentence."""
        middle, low, high = self.ratio
        return (
            f"{self.first} {_ms(self.first_s)}, {self.second} {_ms(self.second_s)}: {middle:.2f}x the time "
            f"(quartiles {low:.2f} to {high:.2f} of {len(self.first_s)} alternated pairs; batch {self.batch}, "
            f"threads {self.threads}, {self.device})"
        )


def _ms(times: Sequence[float]) -> str:
    return f"{1000 * statistics.median(times):.3g} ms"


class Int8Result(Frozen, frozen=True, kw_only=True):
    """A quantised file: bytes beside the one it was made from, its own params and their bytes, top-1 agreement with it
    on `judged` images that did not calibrate, and both timed. `kernels` counts the operators that run on whole numbers
    here; `processor` says what the CPU has for them, `reduce_range` whether weights have 7 bits for its sake.
    """

    file: str
    bytes: int
    from_bytes: int
    params: int
    param_bytes: int
    calibrated: int
    judged: int
    agreement: float
    reduce_range: bool
    processor: str
    kernels: int
    times: PairedTimes

    @property
    def gain(self) -> str:
        """Whether it is faster here, in words."""
        _, low, high = self.times.ratio
        if not self.kernels:
            return "no kernel here: no gain"
        if high < 1:
            return "faster here"
        return "no gain here: slower" if low > 1 else "no gain here that the spread does not cover"


class Exported(Frozen, Answering, frozen=True, kw_only=True):
    """A file that was written: compared with its network on `images` at two batches, each within `tolerance`; `params`
    and `macs` (one image; None: not told by such a file) are counted in the file, and equal the network's but for what
    `unequal` says. `source` is the digest of the weights; `beside` is the file that has them, where this one does not.
    """

    schema: int = 1
    file: str
    beside: str | None = None
    format: Format
    network: str
    source: str
    bytes: int
    images: str
    tolerance: float
    agreements: tuple[Agreement, ...]
    params: int
    macs: int | None
    unequal: tuple[str, ...] = ()
    times: PairedTimes | None = None
    untimed: str | None = None
    int8: Int8Result | None = None

    def frame(self) -> pd.DataFrame:
        """One row a fact."""
        import pandas as pd

        return pd.DataFrame(self.table().rows, columns=["what", "found"]).set_index("what")

    def answer(self) -> AnswerParts:
        """The table."""
        return AnswerParts(title=f"{self.network} as {self.file}", tables=(self.table(),))

    def table(self) -> AnswerTable:
        """What the file holds, how it compares with the network, what int8 gains."""
        rows = [
            ("file", f"{' and '.join(filter(None, (self.file, self.beside)))}: {units.mib(self.bytes)}"),
            ("params, of the file", units.count(self.params)),
            ("MACs, of the file", units.count(self.macs)),
            ("compared on", self.images),
            *(
                (f"largest difference at batch {one.batch}", f"{one.difference:.2g} (at most {self.tolerance:g})")
                for one in self.agreements
            ),
        ]
        if self.times is not None:
            rows.append(("measured", self.times.told()))
        rows += _int8_rows(self.int8) if self.int8 else []
        return AnswerTable("What was written", ("what", self.network), rows, left=2)

    def __repr__(self) -> str:
        unequal = f"; unequal: {'; '.join(self.unequal)}" if self.unequal else ""
        return f"Exported({self.network} as {self.file}: {units.mib(self.bytes)}{unequal})"


def _int8_rows(made: Int8Result) -> list[tuple[str, str]]:
    range_ = "7-bit weights" if made.reduce_range else "8-bit weights"
    return [
        ("int8 file", f"{made.file}: {units.mib(made.bytes)}, {made.bytes / made.from_bytes:.2f}x"),
        ("int8 params", f"{units.count(made.params)} in {units.mib(made.param_bytes)}, batch norms folded"),
        (
            "int8 top-1 agreement",
            f"{100 * made.agreement:.1f} % of {made.judged} images, {made.calibrated} calibrated",
        ),
        ("int8 on this CPU", f"{made.processor}, {range_}; {made.kernels} int8 operators run: {made.gain}"),
        ("int8 measured", made.times.told()),
    ]
