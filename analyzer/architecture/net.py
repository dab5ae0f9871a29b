"""Net: the primitives that record a network as a trace of ops (ops.py) in named scopes.

An architecture is a function that calls these primitives and reads like a `forward`. Channels and image sizes
are ints (one network) or int64 arrays (one entry a variant), so one run of the function describes one network
or a whole chunk of a search. Every figure is a reading of the recorded trace.
"""

from __future__ import annotations

from analyzer.architecture import ops
from analyzer.architecture.dims import Dim, everywhere, is_array, is_one, is_zero
from analyzer.architecture.facts import Value
from analyzer.architecture.repeating import Repeater
from analyzer.errors import ArchitectureError


class Net(Repeater):
    """A network while it is recorded, and the trace of it afterwards: one method a primitive."""

    def _windowed(self, x: Value, name: str, kernel: Dim, stride: Dim, padding: Dim, *, up: bool = False) -> Dim:
        """The output size of a sliding window; an error where no window fits."""
        before = self.size(x)
        fix = "use a larger image, fewer stages or stem small"
        if up and is_zero(padding) and not is_array(kernel) and not is_array(stride) and kernel > stride:
            # Rounding up adds a window that begins inside the image wherever kernel > stride and something is left.
            size, fix = (before - kernel + stride - 1) // stride + 1, "use a larger image"
        elif is_one(stride) and everywhere(2 * padding == kernel - 1):
            return before
        else:
            size = (before + 2 * padding - kernel) // stride + 1
        self._at_least_1(size, name, f"the image is {before} px here and shrinks to", fix)
        return size

    def conv(
        self,
        name: str,
        x: Value,
        out: Dim,
        kernel: Dim = 1,
        *,
        stride: int = 1,
        padding: int | None = None,
        groups: Dim = 1,
        bias: bool = False,
    ) -> Value:
        """Convolution to `out` channels. Padding defaults to kernel // 2."""
        pad = kernel // 2 if padding is None else padding
        self._at_least_1(out, name, "a width reaches", "raise the ratio, compression, growth or init")
        self._divides(groups, x.channels, name)
        self._divides(groups, out, name)
        y = self._tensor(out, self._windowed(x, name, kernel, stride, pad))
        return self._record(ops.Conv(name, (x,), y, kernel, stride, pad, groups, bias))

    def norm(self, name: str, x: Value) -> Value:
        """Batch normalisation."""
        return self._record(ops.Norm(name, (x,), self._like(x)))

    def relu(self, name: str, x: Value, *, inplace: bool = True) -> Value:
        """Rectifier. In place it must not touch a value that anything else reads: refused here, not at run time."""
        return self._record(ops.ReLU(name, (x,), self._like(x, inplace=inplace), inplace))

    def max_pool(self, name: str, x: Value, kernel: int, *, stride: int, padding: int = 0, ceil: bool = False) -> Value:
        """Max pooling. Sizes round down, or up with `ceil` as long as the last window begins inside (torch's rule)."""
        size = self._windowed(x, name, kernel, stride, padding, up=ceil)
        y = self._tensor(x.channels, size, high=x.high)
        return self._record(ops.MaxPool(name, (x,), y, kernel, stride, padding, ceil))

    def avg_pool(self, name: str, x: Value, kernel: int, *, stride: int) -> Value:
        """Average pooling without padding."""
        size = self._windowed(x, name, kernel, stride, 0)
        return self._record(ops.AvgPool(name, (x,), self._tensor(x.channels, size, high=x.high), kernel, stride))

    def global_pool(self, x: Value, name: str = "", *, window: bool = False) -> Value:
        """Average over the image, to 1 x 1; a module when named."""
        return self._record(ops.GlobalPool(name, (x,), self._tensor(x.channels, 1, high=x.high), window))

    def flatten(self, x: Value) -> Value:
        """A 1 x 1 image as a vector: a view."""
        return self._record(ops.Flatten("", (x,), self._tensor(x.channels, None, high=x.high, storage=x.storage)))

    def linear(self, name: str, x: Value, out: Dim) -> Value:
        """Fully connected layer with bias, on a flat tensor."""
        if x.size is not None:
            raise ArchitectureError("reads an image", where=self.path(name), fix="pool it to 1 x 1 and flatten it")
        self._at_least_1(out, name, "a width reaches", "use at least one output")
        return self._record(ops.Linear(name, (x,), self._tensor(out, None)))

    def concat(self, *xs: Value) -> Value:
        """Concatenation along channels; all must have one image size."""
        self._one_size(*xs)
        more = sum((x.channels for x in xs[2:]), start=xs[1].channels) if len(xs) > 1 else 0
        channels = self._grown(xs[0].channels, more)
        return self._record(ops.Concat("", xs, self._tensor(channels, xs[0].size, high=sum(x.high for x in xs))))

    def add(self, x: Value, y: Value, *, inplace: bool = True) -> Value:
        """x + y, of one shape, written into x when in place (`out += identity`)."""
        self._one_size(x, y)
        self._equal("channels", x.channels, y.channels)
        return self._record(ops.Add("", (x, y), self._like(x, inplace=inplace), inplace))

    def split(self, x: Value, first: Dim) -> tuple[Value, Value]:
        """x as two views: its first channels, and the rest."""
        parts = []
        ranges: tuple[tuple[Dim, Dim], ...] = ((0, first), (first, x.channels - first))
        for start, channels in ranges:
            self._at_least_1(channels, "", "a split leaves a width of", "use a larger init or growth")
            part = self._tensor(channels, x.size, high=x.high, storage=x.storage)
            parts.append(self._record(ops.Slice("", (x,), part, start)))
        return parts[0], parts[1]

    def shuffle(self, x: Value, groups: Dim) -> Value:
        """Channels dealt out over the groups; no op with one group."""
        if not is_array(groups) and groups == 1:
            return x
        self._divides(groups, x.channels, "")
        self.require(
            x.channels // groups > 1,
            "",
            lambda: f"{groups} groups of one channel each leave nothing to shuffle",
            "use fewer groups, or block separable",
        )
        return self._record(ops.Shuffle("", (x,), self._like(x), groups))

    def sigmoid(self, x: Value) -> Value:
        """Logistic function."""
        return self._record(ops.Sigmoid("", (x,), self._like(x)))

    def scale(self, x: Value, factors: Value) -> Value:
        """Each channel of x times its factor (1 x 1)."""
        self._equal("channels", x.channels, factors.channels)
        return self._record(ops.Scale("", (x, factors), self._like(x)))

    def dropout(self, x: Value, rate: float) -> Value:
        """Dropout; no op at rate 0."""
        if rate == 0:
            return x
        return self._record(ops.Dropout("", (x,), self._like(x), rate))
