"""A prediction of memory as text."""

from __future__ import annotations

from analyzer.cli import text
from analyzer.reading.memory_table import memory_table
from analyzer.reading.prediction import MemoryPrediction


def show_memory(memory: MemoryPrediction, format_: str) -> None:
    """The peaks, where they stand, what is alive all the time, what CUDA's allocator makes of them."""
    table = memory_table(memory)
    if format_ == "md":
        name, _, batch = table.headings
        rows = [(first, size, words) for first, words, size in table.rows]
        text.show("\n" + text.markdown((name, batch, table.title), rows))
    elif format_ == "table":
        text.show("")
        text.show(table.title)
        text.show_table(table.headings, table.rows, left=table.left)
