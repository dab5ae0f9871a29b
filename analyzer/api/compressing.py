"""Networks made smaller: compress, advise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.architecture.variant import Variant
from analyzer.compressing.budgets import Budget
from analyzer.compressing.plan import DEFAULT, plan_of
from analyzer.errors import UsageError
from analyzer.shown import silent, to_stderr
from analyzer.training.recipe import recipe

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from analyzer.compressing.advice import Advice
    from analyzer.compressing.original import Original
    from analyzer.compressing.result import Compressed


def compress(
    model: nn.Module | Variant | str, budget: Budget | None = None, plan: str | Sequence[str] = DEFAULT, *,
    out: str | Path | None = None, data: Any = None, split: str | Path | None = None,
    inputs: Sequence[int] | None = None, seed: int = 0, kwargs: Mapping[str, Any] | None = None, device: str = "auto",
    quiet: bool = False, **training: Any,
) -> Compressed:  # fmt: skip
    """Makes a network smaller, by the steps of a plan, until it meets a budget as the exact counter counts it.

    `model` is a checkpoint's file, a variant or its name, `path.py:attr@weights` of one's own (with its `kwargs`), or a
    torch module; those of one's own take `inputs`, the shape of their image: (1, 3, 224, 224). It is left as it is.
    `plan` is a text such as `prune l2 global, finetune 5, recalibrate`: prune CRITERION SCOPE [SHARE], svd [SHARE],
    inherit [VARIANT], finetune N, distill N [logits|features], scratch [N], recalibrate, int8. What learns from images
    takes `data` as `train` does, divided by a `split` file, else as the checkpoint's run was, on a `device`; `training`
    are the fields of training.recipe.Recipe but epochs. Returns `.model`, `.map`, `.record`; `.save(path)` writes a
    checkpoint, `.quantize(path)` ONNX and int8. With `out` the checkpoint is written there, and what was interrupted
    goes on from its last finished step or epoch.

    Raises UsageError where the budget is out of reach or a step lacks what it needs, TargetError where the network
    can't be followed.

    >>> an.compress("dense_b1-1_g4_bn4_c0.5_s32", an.Budget(max_params="10k"), "prune l2 global")
    Compressed(dense_b1-1_g2-3_r0.23-0.4_c0.46_i48_s32: 15,118 to 9,866 params, 1 steps)
    """
    from analyzer.compressing.execution import compress as execute
    from analyzer.compressing.pictures import pictures_of
    from analyzer.compressing.planning import CompressPlan, CompressWatch, require_possible

    say = silent if quiet else to_stderr
    steps, learns = plan_of(plan), recipe(training)
    budget = budget or Budget()
    require_possible(steps, budget, data is not None, out is not None)
    place = None if out is None else Path(out)
    asked = CompressPlan(
        original=_original(model, inputs, kwargs), budget=budget, steps=steps, seed=seed, out=place, data=data,
        device=device,
    )  # fmt: skip
    if data is not None:
        places: dict[str, Any] = {"seed": seed, "split": None if split is None else Path(split), "device": device}
        asked = replace(asked, pictures=pictures_of(data, asked.original, learns, **places, say=say, warn=say))
    return execute(asked, CompressWatch(say, say))


@dataclass(frozen=True, repr=False)
class Advised:
    """What a race of sides found: `advice` has every figure, `sentence` the answer, `checkpoint` who leads."""

    advice: Advice

    @property
    def sentence(self) -> str:
        """What is shown, in one sentence, which may be that nothing is."""
        return self.advice.sentence

    @property
    def checkpoint(self) -> Path | None:
        """The network that leads, of its first run; None where none was trained to its end."""
        return self.advice.checkpoint

    def frame(self) -> pd.DataFrame:
        """One row a side, its best point, as the page shows it."""
        import pandas as pd

        from analyzer.reporting.advice_tables import headings, side_rows

        return pd.DataFrame(side_rows(self.advice, self.advice.rows), columns=list(headings(self.advice)))

    def report(self, path: str | Path) -> Path:
        """Writes the page: the sentence, accuracy against the budget, tables, the bill."""
        from analyzer.reporting.advice_page import write_advice

        write_advice(self.advice, path)
        return Path(path)

    def __repr__(self) -> str:
        return f"Advised({self.sentence})"

    def _repr_html_(self) -> str:
        from analyzer.reporting.advice_page import advice_html

        return advice_html(self.advice)


def advise(
    model: Variant | str, budget: Budget, *, data: Any, hours: float, out: str | Path, epochs: int = 5, pairs: int = 8,
    split: str | Path | None = None, source_epochs: int | None = None, seed: int = 0, device: str = "auto",
    threads: int | None = None, jobs: int = 1, executor: str = "processes", address: str | None = None,
    inputs: Sequence[int] | None = None, kwargs: Mapping[str, Any] | None = None, quiet: bool = False, **training: Any,
) -> Advised:  # fmt: skip
    """Races the sides from which a checkpoint can come under a budget, at equal cost: narrower, shallower, transitions,
    another layer, lower rank, pruning, distilling; from scratch and the uncompressed network trained on always.

    Each is trained `epochs` beyond the original's own (`source_epochs` where its file does not say), from scratch for
    all of them, in at most `pairs` pairs of runs; `hours` are of CPU time. `training` are fields of
    training.recipe.Recipe; what is not said is as the original's run had it. Called again with the same `out` it goes
    on where it was. Validation images choose, test images nothing.

    Raises UsageError where nothing comes under the budget; KeyboardInterrupt once all is saved.

    >>> import analyzer as an
    >>> small = an.Budget(max_params="8M")
    >>> an.advise("article", small, data="pictures", hours=8, out="race")  # doctest: +SKIP
    """
    from analyzer.executors.workplace import Workplace
    from analyzer.searching.preparing import RacePlan, recipe_of
    from analyzer.searching.race import RaceWatch, run_race
    from analyzer.training.planning import TrainWatch

    say = silent if quiet else to_stderr
    original = _original(model, inputs, kwargs)
    plan = RacePlan(
        original=original, budget=budget, data=data, out=Path(out), hours=hours, pairs=pairs, seed=seed,
        recipe=recipe_of(original, training, epochs), split=None if split is None else Path(split),
        source_epochs=source_epochs, device=device, threads=threads, where=Workplace(executor, jobs, None, address),
    )  # fmt: skip
    found = run_race(plan, RaceWatch(TrainWatch(warn=say), say, say))
    if found.ended == "interrupted":
        raise KeyboardInterrupt
    return Advised(found)


def _original(
    model: nn.Module | Variant | str, inputs: Sequence[int] | None, kwargs: Mapping[str, Any] | None
) -> Original:
    from analyzer.compressing.original import of_module, of_variant, original_of

    if isinstance(model, Variant):
        return of_variant(model)
    if isinstance(model, str):
        shape = [] if inputs is None else [",".join(map(str, inputs))]
        return original_of(model, inputs=shape, kwargs=[f"{name}={value}" for name, value in (kwargs or {}).items()])
    if inputs is None:
        raise UsageError("a module needs its input", where="inputs", fix="such as inputs=(1, 3, 224, 224)")
    return of_module(model, inputs)
