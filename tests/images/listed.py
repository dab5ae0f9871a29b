"""A source whose images are nothing but labels, for what never looks at them."""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.images.base import Picture, Source


class Listed(Source):
    def picture(self, index: int, *, least: int | None = None) -> Picture:
        raise AssertionError("looked at")

    def _content(self, index: int) -> str:
        return f"content {self.keys[index]}"


def listed(labels: Sequence[int], given: Sequence[str | None] | None = None) -> Listed:
    return Listed(
        name="listed", classes=tuple(f"class {n}" for n in range(max(labels) + 1)), labels=tuple(labels),
        keys=tuple(map(str, range(len(labels)))), given=tuple(given or [None] * len(labels)),
    )  # fmt: skip
