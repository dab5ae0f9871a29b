"""What a Tab completes to: words of the tables that a parameter takes, read without torch and without running code."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def words(of: Callable[[], Iterable[str]], *, listed: bool = False) -> Complete:
    """Completes to the words that begin so; `listed`: those after the last comma."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        before, comma, last = incomplete.rpartition(",") if listed else ("", "", incomplete)
        return [CompletionItem(f"{before}{comma}{word}") for word in of() if word.startswith(last)]

    return complete


def figures() -> list[str]:
    """Those that a variant may be searched and compared by."""
    from analyzer.figures import LIMITED

    return [figure.name for figure in LIMITED]


def measured() -> list[str]:
    """Those that a study may search by."""
    from analyzer.figures import FIGURES

    timed = [figure.name for figure in FIGURES.values() if figure.standing == "measured" and figure.searched]
    return [*timed, "test_accuracy"]


def outputs() -> list[str]:
    """The formats of a check's verdict, those of files with their `=`."""
    from analyzer.budget.outputs import FORMATS

    return [word for name in FORMATS for word in (name, f"{name}=")]


def models() -> list[str]:
    """Those of the configuration here, as it is written; none where it can't be read."""
    from pathlib import Path

    from analyzer.budget.configuration import find
    from analyzer.errors import AnalyzerError

    try:
        return list(find(Path.cwd()).configuration.models)
    except (AnalyzerError, OSError):
        return []


def devices() -> list[str]:
    """By name: what is there only torch could say, whose import takes longer than a Tab may."""
    return ["auto", "cpu", "cuda", "cuda:0", "cuda:1", "mps"]


def axis_values(field: str) -> list[str]:
    """The words that an axis takes, such as the blocks."""
    from analyzer.architecture.axes import BY_FIELD
    from analyzer.architecture.blocks import BLOCKS
    from analyzer.architecture.registry import STEMS

    said = {"block": list(BLOCKS), "stem": list(STEMS), "growth": ["double"]}
    return said.get(field, [str(BY_FIELD[field].default)] if BY_FIELD[field].default is not None else [])


def targets(incomplete: str) -> list[CompletionItem]:
    """Presets; below a file or a module's file what is in it; and files to go on with."""
    from analyzer.architecture.network import PRESETS

    place, colon, attribute = incomplete.rpartition(":")
    if colon:
        return [CompletionItem(f"{place}:{name}") for name in _offered(place) if name.startswith(attribute)]
    found = [CompletionItem(name) for name in PRESETS if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


def _offered(place: str) -> list[str]:
    """Classes and functions of `models.py` or of `package.models`, as their file says."""
    from pathlib import Path

    from analyzer.targets.attributes import offered

    if place.endswith(".py"):
        return offered(Path(place))
    dotted = Path(*place.split("."))
    return next(filter(None, (offered(p) for p in (dotted.with_suffix(".py"), dotted / "__init__.py"))), [])
