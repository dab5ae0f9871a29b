"""Dimensions: an int of one network, or an integer array with one entry a variant; and the series of a repetition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from analyzer.errors import ArchitectureError

if TYPE_CHECKING:  # NumPy is imported where there are arrays
    import numpy as np
    import numpy.typing as npt

INT64_MAX = 2**63 - 1

Array: TypeAlias = "npt.NDArray[np.integer[Any]]"
Dim: TypeAlias = "int | npt.NDArray[np.integer[Any]]"
"""An int, or a NumPy int64 array with one entry a variant (float64 in a trace that looks for overflow)."""
Factor: TypeAlias = "float | npt.NDArray[np.floating[Any]] | Dim"
"""What a width is multiplied by: one number, or one a variant."""
Truth: TypeAlias = "bool | npt.NDArray[np.bool_]"
"""Whether something holds: for one network, or for each variant."""


def is_array(dim: object) -> TypeGuard[Array]:
    """Whether a dimension holds one entry a variant."""
    return not isinstance(dim, (int, float))


def is_one(dim: Dim) -> bool:
    """Whether a dimension is 1 for all variants, as a plain int says it."""
    return not is_array(dim) and dim == 1


def is_zero(dim: Dim) -> bool:
    """Whether a dimension is 0 for all variants, as a plain int says it."""
    return not is_array(dim) and dim == 0


def everywhere(truth: Truth) -> bool:
    """Whether something holds for all variants."""
    return truth if isinstance(truth, bool) else bool(truth.all())


def larger(a: Dim, b: Dim) -> Any:
    """The larger of two, entry by entry."""
    if is_array(a) or is_array(b):
        import numpy as np

        return np.maximum(a, b)
    return a if a > b else b


def anywhere(truth: Truth) -> bool:
    """Whether something holds for any variant."""
    return truth if isinstance(truth, bool) else bool(truth.any())


def above(dim: Any, most: int) -> Truth:
    """Whether a dimension is more than that; of a series where it is the same at every layer, the others left out."""
    if not isinstance(dim, Series):
        truth: Truth = dim > most
        return truth
    first, last = dim.first > most, dim.last > most
    dim.run.require(first == last)
    alike: Truth = first
    return alike


def bounds_of(dim: Array | Series) -> tuple[int, int]:
    """Ints that no entry is below or above: the least and the largest; of a series in any layer."""
    if isinstance(dim, Series):
        low, high = bounds_of(dim.first) if is_array(dim.first) else (int(dim.first),) * 2
        least, most = bounds_of(dim.step) if is_array(dim.step) else (int(dim.step),) * 2
        return low + min(least, 0) * dim.run.most, high + max(most, 0) * dim.run.most
    return _finite(dim.min()), _finite(dim.max())


def _finite(value: Any) -> int:
    """An int, also from a float64 trace that ran out of range: then one beyond every limit."""
    return int(value) if abs(value) < 1e300 else 10**300


def scaled(channels: Dim, factor: Factor) -> Dim:
    """int(channels x factor): the float64 product, floored, as torchvision's and the article's code do it."""
    if isinstance(channels, Series):
        return channels.scaled(factor)
    if is_array(channels) or is_array(factor):
        import numpy as np

        product: Any = channels * factor
        # A float64 trace (an overflow check) stays float64.
        floored: Dim = np.floor(product) if getattr(channels, "dtype", None) == np.float64 else product.astype(np.int64)
        return floored
    try:
        return int(channels * factor)
    except OverflowError:
        raise ArchitectureError(
            "a width is beyond any number", fix="use fewer layers, or an integer growth in place of double"
        ) from None


# -- all layers of a repetition at once --------------------------------------------------------------------------


class IrregularError(Exception):
    """A layer asks of a series what is not known to be the same at every layer: layer by layer is the only way."""


class Run:
    """The layers of a repetition: `count` of them (an int, or one a variant), at most `most`.

    `regular` has the variants whose layers are proven to go on evenly; of the others no figure means anything.
    """

    def __init__(self, count: Dim, most: int) -> None:
        self.count, self.most = count, most
        self.regular: Truth = True
        pairs = count * (count - 1) // 2
        self.sums: tuple[Dim, Dim, Dim] = (count, pairs, pairs * (count - 2) // 3)
        """What the first value, the first and the second difference add to the sum over the layers: C(count, k)."""

    def require(self, ok: Truth) -> None:
        """Leaves out the variants where `ok` is false."""
        if not everywhere(ok):
            self.regular = self.regular & ok


class Series:
    """A quantity of each layer of a run: Newton's forward differences in the layer's number, times `scale`.

    What can be asked of it holds exactly at every layer, or is refused: by Python (a TypeError), an IrregularError, a
    mark in `run.regular`.
    """

    __slots__ = ("_differences", "_sum", "_total", "run", "scale", "shifted")
    __array_ufunc__ = None  # NumPy leaves arrays' operators to this class

    def __init__(
        self, run: Run, *differences: Dim, scale: Any = None, like: Series | None = None, shifted: Any = None
    ) -> None:
        self.run, self.scale = run, scale
        self._differences = differences
        self._total: Any = None
        self._sum: list[Any] = [] if like is None else like._sum  # one for all multiples of a series
        self.shifted: tuple[Series, Any] | None = shifted
        """Another one and what was added to it, which is done once it is asked for."""

    @property
    def differences(self) -> tuple[Any, ...]:
        """Its value in the first layer, the step to the next, the step of the steps."""
        if self.shifted is not None and not self._differences:
            series, more = self.shifted
            first, *others = series._own()
            self._differences = (first + more, *others)
        return self._differences

    @property
    def first(self) -> Any:
        """The value in the first layer."""
        return self._own()[0]

    @property
    def step(self) -> Any:
        """How much more it is in each next layer. IrregularError where that is not one number."""
        if len(self.differences) != 2:
            raise IrregularError
        return self._own()[1]

    def at(self, layer: int) -> Any:
        """The value in a layer of the run, counted from 0: Newton's formula."""
        chosen = (1, layer, layer * (layer - 1) // 2)
        parts: list[Any] = [d * n for d, n in zip(self._own(), chosen, strict=False)]
        return sum(parts[1:], start=parts[0])

    @property
    def last(self) -> Any:
        """The value in the last layer."""
        return self.first + self.step * (self.run.count - 1)

    @property
    def total(self) -> Any:
        """The sum over the layers of the run."""
        if self._total is not None:
            return self._total
        if not self._sum:
            parts: list[Any] = [d * n for d, n in zip(self.differences, self.run.sums, strict=False)]
            self._sum.append(sum(parts[1:], start=parts[0]))
        self._total = self._sum[0] if self.scale is None else self._sum[0] * self.scale
        return self._total

    def _own(self) -> tuple[Any, ...]:
        return self.differences if self.scale is None else tuple(d * self.scale for d in self.differences)

    def __add__(self, other: Any) -> Series:
        if not isinstance(other, Series):
            return Series(self.run, shifted=(self, other))
        if other._sum is self._sum:
            mine, theirs = (1 if each.scale is None else each.scale for each in (self, other))
            return Series(self.run, *self.differences, scale=mine + theirs, like=self)
        mine, theirs = self._own(), self._same_run(other)._own()
        if len(mine) != len(theirs):
            raise IrregularError
        return Series(self.run, *(a + b for a, b in zip(mine, theirs, strict=True)))

    __radd__ = __add__

    def __mul__(self, other: Any) -> Series:
        if not isinstance(other, Series):
            scale = other if self.scale is None else self.scale * other
            return Series(self.run, *self.differences, scale=scale, like=self)
        (a, b), (p, q) = (self.first, self.step), (self._same_run(other).first, other.step)
        return Series(self.run, a * p, a * q + b * (p + q), 2 * (b * q))

    __rmul__ = __mul__

    def __floordiv__(self, other: Any) -> Any:
        if other is self:
            return 1
        if isinstance(other, Series):
            raise IrregularError
        self.run.require(self.step % other == 0)
        return Series(self.run, self.first // other, self.step // other)

    def __ge__(self, least: int) -> Truth:
        """At every layer: the first and the last are enough, as it rises or falls evenly."""
        truth: Truth = (self.first >= least) & (self.last >= least)
        return truth

    def __gt__(self, below: int) -> Truth:
        return self >= below + 1

    def __eq__(self, other: object) -> bool:
        raise IrregularError

    def __bool__(self) -> bool:
        raise IrregularError

    __hash__ = None  # type: ignore[assignment]

    def _same_run(self, other: Series) -> Series:
        if other.run is not self.run:
            raise IrregularError
        return other

    def divides_into(self, groups: Any) -> Truth:
        """Whether it is a multiple of `groups` at every layer: the first is, and the step where there is a second."""
        if groups is self:
            return True
        if isinstance(groups, Series):
            raise IrregularError
        truth: Truth = (self.first % groups == 0) & ((self.step % groups == 0) | (self.run.count < 2))
        return truth

    def scaled(self, factor: Any) -> Series:
        """int(it x factor). Even where the step comes out whole and no float64 product is rounded: below 2^26, by a
        factor up to 100 (2^7) that is a multiple of 2^-20, 53 bits are enough.
        """
        step = self.step * factor
        last = self.first + abs(self.step) * self.run.count
        exact: Any = (factor * 2**20 % 1 == 0) & (factor <= 2**7) & (last < 2**26) & (step % 1 == 0)
        self.run.require(exact)
        return Series(self.run, scaled(self.first, factor), scaled(self.step, factor))


class LayerNumber:
    """The numbers, from `least` on, of all layers that are recorded as one; written as the first of them."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, least: int) -> None:
        self.least = least

    def __str__(self) -> str:
        return str(self.least)

    def __add__(self, more: int) -> LayerNumber:
        return LayerNumber(self.least + more)

    __radd__ = __add__

    def __eq__(self, other: object) -> bool:
        """What is the same for all of them, and nothing else: none is a number below the first."""
        if isinstance(other, int) and other < self.least:
            return False
        raise IrregularError

    def __gt__(self, other: int) -> bool:
        return self != other
