"""`analyze search`: the exact front of millions of variants under constraints."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analyzer import units
from analyzer.architecture.axes import axis
from analyzer.cli import text
from analyzer.cli.base import INTERRUPTED, Verb, say
from analyzer.cli.completion import figures, measured, words
from analyzer.cli.options import Count as CountType
from analyzer.cli.options import (
    NewFile,
    TargetName,
    batch_option,
    device_option,
    executor_options,
    family_options,
    family_values,
    format_option,
    on_option,
    require_device,
    seconds_type,
    wait_option,
)
from analyzer.cli.predicted import SPEED, basis
from analyzer.cli.search_output import print_data, write_files
from analyzer.cli.search_progress import ProgressLine
from analyzer.cli.training_options import training_of, training_options
from analyzer.distribution import NAME
from analyzer.errors import UsageError
from analyzer.figures import HEADLINE, LIMITED, Figure
from analyzer.layout import figure_cell
from analyzer.limits import Limit
from analyzer.reading.profiles import profile_at
from analyzer.records import standings
from analyzer.searching.cloud import cloud
from analyzer.searching.engine import Result
from analyzer.searching.execution import (
    TRAINED,
    SearchPlan,
    SearchWatch,
    at_classes_of,
    constraints_under,
    execute,
    is_trained,
    query_of,
    require_unmeasured,
)
from analyzer.searching.export import require_form
from analyzer.searching.query import Query
from analyzer.searching.results import Find, described
from analyzer.space.lists import many
from analyzer.space.space import Space

if TYPE_CHECKING:
    from analyzer.reading.latency import Profile
    from analyzer.training.asked import TrainingAsked

SHOWN, MOST_UNUSED = 40, 5


def _bounds(function: Any) -> Any:
    for figure in reversed(LIMITED):
        helps = {"max": "Most {} allowed (7.98M, 100MiB; inclusive).", "min": "Least {} allowed."}
        for side, said in helps.items():
            function = click.option(
                f"--{side}-{figure.word}",
                f"{side}_{figure.name}",
                type=CountType(figure),
                metavar="N",
                help=said.format(figure.name),
            )(function)
    return function


@click.command("search", cls=Verb)
@family_options(many=True)
@click.option("--space", "space_file", type=click.Path(path_type=Path), metavar="FILE", help="Axes from a TOML file.")
@_bounds
@click.option(
    "--under", type=TargetName(), metavar="TARGET", help="No more than this target's params, MACs, saved bytes."
)
@click.option(
    "--minimize",
    multiple=True,
    metavar="FIGURES",
    shell_complete=words(figures, listed=True),
    help="Figures to minimise.",
)
@click.option(
    "--maximize",
    shell_complete=words(figures, listed=True),
    multiple=True,
    metavar="FIGURES",
    help="Figures to maximise.  [default: conv_activations, a network's capacity, under the limits]",
)
@click.option(
    "--objective",
    "measured",
    shell_complete=words(measured, listed=True),
    multiple=True,
    metavar="FIGURES",
    help="Measured figures to search by: measured_latency_s, measured_images_per_s, measured_ratio "
    f"(needs {NAME}[optuna]); or test_accuracy, by training on --data.",
)
@training_options
@click.option(
    "--eta",
    type=click.IntRange(2, 10),
    default=3,
    show_default=True,
    metavar="N",
    help="By training: 1/N of the candidates go on, for N times the epochs.",
)
@click.option(
    "--trials",
    type=click.IntRange(1, 100_000),
    default=None,
    metavar="N",
    help="With --objective: measurements at most (default: what --time allows), or candidates to train (default: 9).",
)
@click.option(
    "--sampler",
    type=click.Choice(["tpe", "nsga2"]),
    default="tpe",
    show_default=True,
    help="With --objective: what proposes variants.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="With --objective: where the study and its rows are kept, to go on from.  [default: reports/search-TIME]",
)
@device_option
@wait_option
@executor_options
@click.option(
    "--best", type=click.IntRange(0, 10_000), default=0, metavar="K", help="Also the K best for each objective."
)
@batch_option
@click.option(
    "--time", "seconds", type=seconds_type, default="60s", show_default=True, metavar="T", help="Time to spend."
)
@on_option
@click.option(
    "--jobs",
    type=click.IntRange(1, 1024),
    default=None,
    metavar="N",
    help="Processes that count, or trainings at once.  [default: all cores, 1 training]",
)
@click.option(
    "--max-memory",
    type=CountType(),
    metavar="BYTES",
    help="What all processes that count may take: 2GiB.  [default: any]",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the sample, where one is drawn.")
@click.option(
    "--report",
    type=NewFile(),
    metavar="FILE",
    help="Write an HTML report on what was found.",
)
@click.option(
    "--export",
    type=NewFile(),
    metavar="FILE",
    help="Write what was found as FILE.csv, FILE.jsonl or FILE.parquet (needs pyarrow).",
)
@click.option("--dry-run", is_flag=True, help="Say how many variants, and do nothing.")
@format_option("table", "jsonl", "json", "csv", "md")
def command(format_: str, dry_run: bool, **options: Any) -> int:
    """The best of every combination of the axes that meets the constraints, exactly: the Pareto front, ties included.

    What is best --minimize and --maximize say; without them test accuracy where --data is given, else capacity: the
    ten variants with the most conv activations that the limits allow, or without limits the front of that, params and
    MACs.

    Axes left out keep their default (the article's); in --blocks commas separate stages, so repeat it for several. A
    space that does not fit --time is sampled, and the share that was seen is said. With --objective variants are
    measured: Optuna proposes them, beginning with the exact static front, and what misses a constraint is never built.
    --objective test_accuracy trains on --data: all for an epoch, the best 1/--eta by validation accuracy for --eta.
    """
    axes = {**_file_axes(options.pop("space_file")), **family_values(options, many=True)}
    options["measured"] = _objective(options)
    training = training_of(options, wanted=is_trained(options["measured"]), by="--objective test_accuracy")
    space = Space(**(axes := axes if training is None else at_classes_of(axes, training)))
    _say_space(space)
    if dry_run:
        return 0
    if options["export"] is not None:
        require_form(options["export"])
    query = _query(options, axes)
    require_device(query.constraints, options["on"])
    profile = profile_at(options["on"], options["batch"])
    if options["measured"]:
        return _measured(space, query, training, profile, format_, options)
    require_unmeasured(**{name: options[name] for name in ("trials", "out", "address")})
    asked = (options["seconds"], options["jobs"], options["seed"], profile, options["max_memory"])
    plan = SearchPlan(space, query, *asked)
    begin = time.monotonic()
    with ProgressLine() as line:
        done = execute(plan, SearchWatch(progress=line.update))
    _say_what_was_seen(done.seen, time.monotonic() - begin)
    if profile is not None:
        say(f"times are predicted {basis(profile)}")
    if not print_data(done.finds, format_):
        _print_table(done.finds, query, format_)
    files = (options["export"], options["report"], lambda: cloud(done.seen))
    write_files(done.finds, query.constraints, described(done.seen), *files)
    return INTERRUPTED if done.seen.interrupted else 0


def _objective(options: dict[str, Any]) -> tuple[str, ...]:
    """What is measured: what was said; test accuracy where images are given and nothing was said."""
    if options["data"] and not any(options[name] for name in ("measured", "minimize", "maximize")):
        say("by test accuracy, as --data is given; without it by conv activations, a network's capacity")
        return (TRAINED,)
    return tuple(options["measured"])


def _measured(
    space: Space, query: Query, training: TrainingAsked | None, profile: Profile | None, format_: str,
    options: dict[str, Any],
) -> int:  # fmt: skip
    """A search by training, or by measuring."""
    if training is not None:
        from analyzer.cli.trained_search import trained_search

        return trained_search(space, query, training, profile, format_, options)
    if profile is not None:
        raise UsageError("is for a search by counts", where="--on", fix="leave out --objective, or --on")
    from analyzer.cli.measured_search import measured_search

    return measured_search(space, query, format_, options)


def _say_space(space: Space) -> None:
    say(f"{space.size:,} variants of {len(space.parts):,} {'structure' if len(space.parts) == 1 else 'structures'}")
    if unused := space.unused:
        more = f" and {len(unused) - MOST_UNUSED:,} more" * (len(unused) > MOST_UNUSED)
        say(f"in no variant, as nothing else that was said goes with it: {', '.join(unused[:MOST_UNUSED])}{more}")


def _file_axes(path: Path | None) -> dict[str, Any]:
    """Axes of a TOML file: option names to lists of values (`blocks = [[2, 4, 3, 2]]`)."""
    if path is None:
        return {}
    import tomllib

    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"can't be read: {error.strerror}", where=str(path), fix="name a TOML file of axes") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"is not TOML: {error}", where=str(path), fix='such as: growth = ["double", 16, 32]'
        ) from error
    return {axis(name, where=str(path)).field: _file_values(name, values, path) for name, values in data.items()}


def _file_values(name: str, values: Any, path: Path) -> tuple[Any, ...]:
    if not isinstance(values, list):
        values = [values]
    read: list[Any] = []
    for value in values:
        if isinstance(value, list) and all(isinstance(v, int) for v in value):
            read.append(tuple(value))
        elif isinstance(value, str):
            read += many(axis(name), [value])
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            read.append(value)
        else:
            raise UsageError(f"{value!r} is no value of {name}", where=str(path), fix=axis(name).help)
    return tuple(read)


def _query(options: dict[str, Any], axes: dict[str, Any]) -> Query:
    constraints = [limit for figure in LIMITED for limit in _limits(figure, options)]
    if options["under"]:
        constraints += constraints_under(options["under"], axes, options["batch"])
    asked, measured = (
        (options["minimize"], options["maximize"]),
        bool(options["measured"]) and not is_trained(options["measured"]),
    )
    query = query_of(*asked, constraints, options["batch"], options["best"], measured=measured)
    if not any(asked) and not measured:
        most = ", ".join(f"{'most' if o.maximize else 'least'} {o.figure}" for o in query.objectives)
        say(f"nothing to optimise was named (--minimize, --maximize), so capacity is: {most}")
    return query


def _limits(figure: Figure, options: dict[str, Any]) -> Iterator[Limit]:
    """The limits of a figure that are given, taken out of the options."""
    low, high = options.pop(f"min_{figure.name}"), options.pop(f"max_{figure.name}")
    if low is not None:
        yield Limit(figure=figure.name, bound=low, side="least", source=f"--min-{figure.word}")
    if high is not None:
        yield Limit(figure=figure.name, bound=high, source=f"--max-{figure.word}")


def _say_what_was_seen(result: Result, seconds: float) -> None:
    totals = result.finds
    rate = totals.seen / max(seconds, 1e-9)
    seen = f"{totals.seen:,} variants in {seconds:.1f} s ({units.short(int(rate))}/s); {totals.fitting:,} fit"
    if result.exhaustive:
        say(f"all {seen}; the front is exact")
    elif result.interrupted:
        say(f"interrupted after {seen}: the front is of the {100 * result.share:.3g} % seen")
    else:
        say(
            f"sampled {seen}: {100 * result.share:.3g} % of the space, the same share of every structure, seed "
            f"{result.seed}; more --time sees more"
        )
    invalid = totals.seen - totals.valid
    if invalid:
        say(f"{invalid:,} make no network (or can't train at this batch) and were left out")


def _print_table(finds: Sequence[Find], query: Query, format_: str) -> None:
    shown = [figure for figure in LIMITED if figure in HEADLINE or figure.name in query.used]
    if finds and finds[0].record.predicted is not None:
        shown = [*(f for f in shown if f.standing != "predicted"), *SPEED]
    names = [figure.heading + (f", batch {query.batch}" if figure.batched else "") for figure in shown]
    headings = ("variant", *names, "")
    rows = [
        (
            find.record.target.name,
            *(figure_cell(figure, figure.of(find.record)) for figure in shown),
            "front" if find.front else "best " + ",".join(find.best_for),
        )
        for find in finds
    ]
    if format_ == "md":
        text.show(text.markdown(headings, rows))
        return
    text.show_table(headings, rows[:SHOWN])
    text.show_words(f"Known: {standings(shown, [find.record for find in finds])}")
    if len(rows) > SHOWN:
        say(f"{len(rows) - SHOWN:,} more: --format jsonl or csv prints all {len(rows):,}")
