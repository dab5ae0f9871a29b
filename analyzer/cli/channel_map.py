"""`analyze show --map`: what was cut from a compressed network, and from where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from analyzer.channel_maps import ChannelMap, KeptChannels, RankMap
from analyzer.cli import text
from analyzer.cli.base import say
from analyzer.errors import UsageError
from analyzer.files import csv_text
from analyzer.targets.checkpoints import SUFFIX, read_header
from analyzer.targets.compressions import Compression

HEADINGS = ("layer", "outputs kept", "which", "inputs kept", "which", "ranks")


def show_map(target: str | None, format_: str) -> None:
    """Prints a checkpoint's map: a row a layer, and what the record says. Nothing but its header is read."""
    compression = _compression(target)
    if format_ == "json":
        text.show_json(json.dumps(_data(compression)))
        return
    rows = [row for step in compression.map.steps for row in _rows(step)]
    if format_ == "csv":
        text.show(csv_text(HEADINGS, rows).rstrip("\n"))
    elif format_ == "md":
        text.show(text.markdown(HEADINGS, rows))
    else:
        text.show_table(HEADINGS, rows)
    record = compression.record
    say(f"from {record.source}, by {record.plan}")
    for done in record.steps:
        say(f"  {done.step}: {done.did}")
    for layer, why in record.left.items():
        say(f"  not pruned: {layer}: {why}")


def _compression(target: str | None) -> Compression:
    file = (target or "").rpartition("@")[2]
    if not file.endswith(SUFFIX):
        raise UsageError("is of a compressed checkpoint", where="--map", fix=f"name one: small{SUFFIX}")
    compression = read_header(Path(file)).checkpoint.compression
    if compression is None:
        raise UsageError("was never compressed, so nothing was cut", where=file, fix="name what compress has written")
    return compression


def _rows(step: ChannelMap | RankMap) -> list[tuple[str, ...]]:
    if isinstance(step, RankMap):
        return [(path, "", "", "", "", " and ".join(map(str, ranks))) for path, ranks in step.modules.items()]
    return [(path, *_cells(cut.outputs), *_cells(cut.inputs), "") for path, cut in step.modules.items()]


def _cells(kept: KeptChannels | None) -> tuple[str, str]:
    return ("all", "") if kept is None else (f"{kept.count} of {kept.width}", ranges(kept.indices().tolist()))


def ranges(numbers: list[int], most: int = 4) -> str:
    """Numbers in order as ranges, both ends in them: `0:3, 7, 9:12, …`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    words = [f"{first}" if first == last else f"{first}:{last}" for first, last in runs[:most]]
    return ", ".join([*words, *(["…"] if len(runs) > most else [])])


def _data(compression: Compression) -> dict[str, Any]:
    """The whole map, channels as numbers."""

    def kept(side: KeptChannels | None) -> dict[str, Any] | None:
        return None if side is None else {"width": side.width, "kept": side.indices().tolist()}

    steps = [
        {"ranks": {path: list(ranks) for path, ranks in step.modules.items()}} if isinstance(step, RankMap)
        else {"channels": {path: {"outputs": kept(cut.outputs), "inputs": kept(cut.inputs)}
                           for path, cut in step.modules.items()}}
        for step in compression.map.steps
    ]  # fmt: skip
    return {"parent": compression.parent, "steps": steps, "record": msgspec.to_builtins(compression.record)}
