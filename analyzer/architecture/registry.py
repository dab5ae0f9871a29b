"""What a variant may name: filled where blocks and stems are written, read where they are looked up."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analyzer.architecture.blocks import BlockType

BLOCKS: dict[str, BlockType] = {}
STEMS: dict[str, Callable[..., Any]] = {}
