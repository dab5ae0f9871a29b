"""Tally: a sum over many ops of amounts times areas, with as few passes over arrays as there are different ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analyzer.architecture.dims import Series, is_array

if TYPE_CHECKING:
    from analyzer.architecture.dims import Dim, Factor, Run


class Tally:
    """Adds up amounts at areas. An array counts as itself: one that comes again costs nothing but its number of times.

    Equal areas are multiplied once, by all that is added at them: where only they depend on the image, so does only
    that product.
    """

    def __init__(self) -> None:
        self._areas: dict[int, tuple[Dim, dict[int, tuple[Any, Any]]]] = {}
        self._plain: int = 0

    def add(self, amount: Any, times: Factor = 1, run: Run | None = None, area: Dim = 1) -> None:
        """Adds `times` an amount at an area, in every layer of a run: of a series it is the sum over the layers."""
        if isinstance(amount, Series):
            amount = amount.total
        elif run is not None:
            times = times * run.count
        if not is_array(amount):
            amount, times = times, amount
        if not is_array(amount):
            amount, area, times = area, 1, times * amount
        if not is_array(amount):
            self._plain += amount * times
            return
        _, amounts = self._areas.setdefault(id(area) if is_array(area) else -int(area), (area, {}))
        amounts[id(amount)] = (amount, amounts[id(amount)][1] + times if id(amount) in amounts else times)

    @property
    def total(self) -> Any:
        """The sum: an int, or an array."""
        total: Any = None
        for area, amounts in self._areas.values():
            sum_: Any = None
            for amount, times in amounts.values():
                sum_ = plus(sum_, amount, times)
            total = plus(total, sum_, area)
        return self._plain if total is None else total + self._plain if self._plain else total


def plus(total: Any, amount: Any, times: Any) -> Any:
    """total + amount x times, in the total's own memory where it has the room; an amount itself stays as it is."""
    product = amount if not is_array(times) and times == 1 else amount * times
    if total is None:
        return product.copy() if product is amount else product
    if total.shape == product.shape and total.dtype == product.dtype:
        total += product
        return total
    return total + product
