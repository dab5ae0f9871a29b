"""`analyze results`: what sweeps have kept in their databases: list, show, export, merge, prune."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec

from analyzer import units
from analyzer.cli import text
from analyzer.cli.base import Section, Verb, say
from analyzer.cli.options import NewFile, format_option
from analyzer.cli.progress import time_cell
from analyzer.errors import UsageError, did_you_mean
from analyzer.figures import FIGURES
from analyzer.files import csv_text
from analyzer.layout import figure_cell
from analyzer.records import Record, standing_of
from analyzer.shown import plain
from analyzer.storing.results_file import NAME
from analyzer.sweeping import export as files
from analyzer.sweeping.database import ALL, Database, StoredRow, merge_into

FOUND = ("database", "rows", "MiB", "written")
HEADINGS = ("name", "row", "batch", "params", "MACs", "time x base", "device", "created", "host")

path_type = click.Path(path_type=Path)


@click.group("results", cls=Section)
def command() -> None:
    """Rows that sweeps have kept: each is in the results.db of its folder. PATH is such a file or its folder."""


def _verb(name: str, short: str) -> Callable[[Callable[..., Any]], click.Command]:
    return command.command(name, cls=Verb, short_help=short)


@_verb("list", "Databases below a folder, or one's rows.")
@click.argument("path", type=path_type, default=Path("reports"))
@format_option()
def list_(path: Path, format_: str) -> None:
    """The databases below a folder (default: reports), or the rows of one."""
    if path.is_dir() and not (path / NAME).exists():
        _print_databases(sorted(path.rglob("results*.db")), path, format_)
    else:
        _print_rows(_rows(path), format_)
        _say_runs(path)


def _say_runs(path: Path) -> None:
    """That there are trained runs, too, which are no rows."""
    from analyzer.training.runs_file import RunsFile

    with closing(RunsFile(_database(path))) as runs:
        count = len(runs.configs())
    if count:
        say(f"{count:,} trained {'run is' if count == 1 else 'runs are'} kept there, too: analyze results runs {path}")


@_verb("runs", "What was trained there.")
@click.argument("path", type=path_type)
@format_option()
def runs_(path: Path, format_: str) -> None:
    """The trainings of one database, each with its last epoch (csv, json, jsonl: with all)."""
    from analyzer.cli.training_output import show_runs
    from analyzer.training.runs_file import RunsFile

    with closing(RunsFile(_database(path))) as runs:
        show_runs(runs.outcomes(), format_)


@_verb("show", "One row with its origin.")
@click.argument("path", type=path_type)
@click.argument("row")
@format_option("table", "json")
def show(path: Path, row: str, format_: str) -> None:
    """One row with its origin. ROW is its number in `results list`, or its name where that is one row."""
    chosen = _one(_rows(path), row, path)
    if format_ == "json":
        text.show_json(_json(chosen))
        return
    for label, value in _described(chosen):
        text.show(f"{label:<26}{value}")


@_verb("export", "Rows as CSV, JSON lines, Parquet.")
@click.argument("path", type=path_type)
@click.option(
    "--out",
    type=NewFile(),
    required=True,
    metavar="FILE",
    help="FILE.csv, FILE.jsonl or FILE.parquet (needs pyarrow).",
)
def export(path: Path, out: Path) -> None:
    """All rows as CSV or Parquet (figures, fields, times, origin) or as JSON lines (whole records)."""
    rows = _rows(path)
    files.export(rows, out)
    say(f"{len(rows):,} rows")
    text.show(str(out))


@_verb("merge", "Several databases in one.")
@click.argument("sources", type=path_type, nargs=-1, required=True)
@click.option(
    "--out",
    type=NewFile(),
    required=True,
    metavar="FILE",
    help="The database to merge into; made where it is missing.",
)
def merge(sources: Sequence[Path], out: Path) -> None:
    """The rows of several databases in one, each with its host, time, version, commit and source file.

    Where two differ in the same target, batch, protocol, device and baseline, the one made later is kept; the sources
    stay as they are. All is merged or nothing.
    """
    from analyzer.training.runs_file import merge_runs

    databases = [_database(path) for path in sources]
    merged = merge_into(out, databases)
    runs = merge_runs(out, databases)
    say(f"{merged.read:,} rows read, {merged.kept:,} rows there now{f'; {runs:,} runs taken over' if runs else ''}")
    text.show(str(out))


@_verb("prune", "Remove failed or old rows, or a device's.")
@click.argument("path", type=path_type)
@click.option("--failed", is_flag=True, help="Rows without figures.")
@click.option("--before", metavar="DATE", help="Rows made before a date or time (2026-01-31, UTC).")
@click.option("--device", metavar="NAME", help="Measurements on a device: its name, or cpu, cuda:0.")
@click.option("--dry-run", is_flag=True, help="List the rows and remove none.")
@format_option()
def prune(path: Path, failed: bool, before: str | None, device: str | None, dry_run: bool, format_: str) -> None:
    """Removes the rows that all given options name, and prints them. Without a measurement its count stays."""
    if not (failed or before or device):
        raise UsageError("says nothing to remove", where="prune", fix="give --failed, --before or --device")
    named = partial(_is_named, failed=failed, before=_moment(before) if before else None, device=device)
    with closing(Database(_database(path))) as database:
        rows = [row for row in database.rows(ALL) if named(row)] if dry_run else database.remove(named)
    _print_rows(rows, format_)
    say(f"{len(rows):,} rows {'would be ' if dry_run else ''}removed")


def _database(path: Path) -> Path:
    return path / NAME if path.is_dir() else path


def _rows(path: Path) -> list[StoredRow]:
    with closing(Database(_database(path))) as database:
        return database.rows()


def _moment(given: str) -> datetime:
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise UsageError(f"{given!r} is no date", where="--before", fix="write it as 2026-01-31") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _is_named(row: StoredRow, *, failed: bool, before: datetime | None, device: str | None) -> bool:
    measured = row.record.measured
    names = (measured.environment.device, measured.environment.device_name) if measured else ()
    return (
        (not failed or row.record.error is not None)
        and (before is None or row.created < before)
        and (device is None or device in names)
    )


def _one(rows: Sequence[StoredRow], wanted: str, path: Path) -> StoredRow:
    """The row of that number or name. Raises UsageError where there is none, or several have the name."""
    matching = [row for row in rows if wanted in (str(row.id), row.record.target.name)]
    if not matching:
        fix = did_you_mean(wanted, [row.record.target.name for row in rows])
        raise UsageError(f"no row is {wanted!r}", where=str(path), fix=fix)
    if len(matching) > 1:
        numbers = ", ".join(str(row.id) for row in matching)
        raise UsageError(f"{len(matching)} rows are {wanted!r}", where=str(path), fix=f"say which one: {numbers}")
    return matching[0]


# -- printing --------------------------------------------------------------------------------------------------


def _print_databases(paths: Sequence[Path], folder: Path, format_: str) -> None:
    if not paths:
        say(f"no database below {folder}")
    rows = [_summary(path) for path in paths]
    if format_ in ("json", "jsonl"):
        text.show_json(
            _lines([msgspec.json.encode(dict(zip(FOUND, row, strict=True))).decode() for row in rows], format_)
        )
    else:
        _print_table(FOUND, [[str(cell) for cell in row] for row in rows], format_)


def _summary(path: Path) -> tuple[str, int | str, float, str]:
    """A database's cells under FOUND; what is wrong with it in place of its rows."""
    size, written = path.stat().st_size, datetime.fromtimestamp(path.stat().st_mtime, UTC)
    try:
        with closing(Database(path)) as database:
            rows: int | str = database.count()
    except UsageError as error:
        rows = error.what
    return str(path), rows, round(size / units.MIB, 2), written.isoformat(timespec="seconds")


def _print_rows(rows: Sequence[StoredRow], format_: str) -> None:
    if format_ in ("json", "jsonl"):
        text.show_json(_lines([_json(row) for row in rows], format_))
    elif format_ == "csv":
        text.show(files.csv_of_rows(rows).rstrip("\n"))
    else:
        _print_table(HEADINGS, [_cells(row) for row in rows], format_)


def _lines(objects: Sequence[str], format_: str) -> str:
    return "[" + ",\n".join(objects) + "]" if format_ == "json" else "\n".join(objects)


def _print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], format_: str) -> None:
    if format_ == "csv":
        text.show(csv_text(headings, rows).rstrip("\n"))
        return
    if format_ == "md":
        text.show(text.markdown(headings, rows))
    else:
        text.show_table(headings, rows, drop=(8, 7, 2, 6, 1))


def _json(row: StoredRow) -> str:
    return msgspec.json.encode({**msgspec.structs.asdict(row), "record": row.record.to_dict()}).decode()


def _cells(row: StoredRow) -> list[str]:
    record, measured = row.record, row.record.measured
    return [
        record.target.name,
        str(row.id),
        str(record.batch),
        "error" if record.error else figure_cell(FIGURES["params"], record.params),
        figure_cell(FIGURES["macs"], record.macs),
        time_cell(record),
        measured.environment.device_name if measured else "–",
        f"{row.created:%Y-%m-%d %H:%M:%S}",
        row.host,
    ]


def _described(row: StoredRow) -> list[tuple[str, str]]:
    """A row's labels and values, line by line."""
    record = row.record
    lines = [("name", record.target.name), ("label", record.target.label or "–"), ("batch", str(record.batch))]
    static = [figure for figure in FIGURES.values() if figure.static]
    lines += [(f.label, f"{f.text(f.of(record))} ({standing_of(record, f)})") for f in static]
    if record.error:
        lines.append(("error", f"{record.error.where}: {record.error.what}"))
    lines += _times(record)
    lines += [
        ("host", row.host),
        ("created", row.created.isoformat()),
        ("analyzer", row.analyzer),
        ("commit", row.commit or "–"),
    ]
    lines += [("source", row.source or "–"), *(("note", note) for note in record.notes)]
    return [(label, plain(value)) for label, value in lines]


def _times(record: Record) -> list[tuple[str, str]]:
    measured = record.measured
    if measured is None:
        return []
    return [
        ("device", f"{measured.environment.device} ({measured.environment.device_name})"),
        (
            "time x base",
            f"{measured.ratio:.3f} of {measured.baseline} ({standing_of(record, FIGURES['measured_ratio'])})",
        ),
        ("latency", units.seconds(measured.measured_latency_s)),
        ("measured at batch", str(measured.batch)),
        ("protocol", measured.protocol),
    ]
