"""Runs as they are committed: configurations and epochs as lines of JSON, the last logits as an npz; and back."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from analyzer.storing.results_file import NAME
from analyzer.training.run_records import Config, Epoch
from analyzer.training.runs_file import RunsFile

RUNS, LOGITS = "runs.jsonl", "logits.npz"


class StoredRun(msgspec.Struct, frozen=True):
    """A run."""

    config: Config
    epochs: tuple[Epoch, ...]


def save(runs: RunsFile, folder: Path, *, unfinished: bool = False) -> int:
    """Writes the finished runs, by name; how many. With `unfinished` all that have begun, those without logits."""
    folder.mkdir(parents=True, exist_ok=True)
    lines, arrays = [], {}
    for outcome in sorted(runs.outcomes(), key=lambda each: each.config.run):
        config, epochs = outcome.config, outcome.epochs
        finished = len(epochs) == config.recipe.epochs
        if not finished and not (unfinished and epochs):
            continue
        logits = runs.logits(config.run, epochs[-1].epoch, "test", len(config.classes))
        images = runs.images(config.run, "test")
        assert logits is not None, config.run
        assert images is not None, config.run
        if finished:
            arrays[config.run] = logits
        arrays[f"{config.split} keys"], arrays[f"{config.split} labels"] = (
            np.array(images[0]),
            images[1].astype(np.uint8),
        )
        lines.append(msgspec.json.encode(StoredRun(config, epochs)))
    (folder / RUNS).write_bytes(b"".join(line + b"\n" for line in lines))
    np.savez_compressed(folder / LOGITS, **arrays)
    return len(lines)


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[RunsFile]:
    """The stored runs as a results file, for as long as it is used."""
    arrays = np.load(folder / LOGITS)
    with (
        tempfile.TemporaryDirectory() as temporary,
        contextlib.closing(RunsFile(Path(temporary) / NAME, create=True)) as runs,
    ):
        for line in (folder / RUNS).read_bytes().splitlines():
            run = msgspec.json.decode(line, type=StoredRun)
            name, split = run.config.run, run.config.split
            runs.begin(
                run.config, {"test": (arrays[f"{split} keys"].tolist(), arrays[f"{split} labels"].astype(np.int64))}
            )
            for epoch in run.epochs:
                last = epoch is run.epochs[-1]
                runs.put(name, epoch, {"test": arrays[name]} if last and name in arrays else {})
        yield runs
