"""A run on several processes, in words, and what it keeps when it goes on with another number of them."""

from __future__ import annotations

import msgspec

from analyzer.training.run_records import Config


def going_on(before: Config, now: Config) -> Config:
    """A run's configuration as it goes on: batch norm sees as many images together as it did, where it can."""
    was, processes = before.machine.processes, now.machine.processes
    micro = before.micro
    if was != processes:
        together = micro if now.recipe.batch_norm == "ghost" else -(-micro * was // processes)
        micro = min(together, now.share)
    return msgspec.structs.replace(now, micro=micro)


def divided_words(config: Config) -> str:
    """How processes share a batch; nothing to say of one."""
    processes, recipe = config.machine.processes, config.recipe
    if processes == 1:
        return ""
    each = f"{processes} processes share every batch of {recipe.batch}, {config.share} images each"
    if recipe.batch_norm == "ghost":
        return f"{each}; batch norm (ghost) over {config.normed} images, of each one's own"
    return f"{each}; batch norm (sync) over {config.normed} images, of all"


def moved(before: Config, now: Config) -> str:
    """What it means that other processes go on with a run."""
    was, processes = before.machine.processes, now.machine.processes
    norm = f"batch norm over {now.normed} images"
    if (before.normed, before.recipe.batch_norm) != (now.normed, now.recipe.batch_norm):
        norm += f" instead of {before.normed}"
    return (
        f"goes on with {processes} process{'es' * (processes > 1)} instead of {was}: in the same batches, {norm}; sums "
        "are rounded otherwise, and dropout is drawn anew"
    )
