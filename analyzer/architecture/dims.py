"""Dimensions: an int of one network, or an integer array with one entry a variant."""

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


def bounds_of(dim: Array) -> tuple[int, int]:
    """The least and the largest entry, as ints."""
    return _finite(dim.min()), _finite(dim.max())


def _finite(value: Any) -> int:
    """An int, also from a float64 trace that ran out of range: then one beyond every limit."""
    return int(value) if abs(value) < 1e300 else 10**300


def scaled(channels: Dim, factor: Factor) -> Dim:
    """int(channels x factor): the float64 product, floored, as torchvision's and the article's code do it."""
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
