"""A verdict as text for people, machines and the places where pull requests are read: one file a format."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from analyzer.budget.verdict import Verdict
from analyzer.errors import UsageError, did_you_mean
from analyzer.files import write_text
from analyzer.shown import in_ci, inert

_HOMES = {
    "table": "table",
    "json": "as_json",
    "md": "markdown",
    "csv": "as_csv",
    "junit": "junit",
    "github": "github",
    "gitlab": "gitlab",
    "sarif": "sarif",
    "html": "as_html",
    "openmetrics": "openmetrics",
    "badge": "badge",
}
"""Where each format is made: imported when it is asked for, so that a table loads no template engine."""
FORMATS = tuple(_HOMES)
_KEPT = {"analyzer.toml", "pyproject.toml", "analyzer.lock"}


def parse_output(text: str) -> tuple[str, str]:
    """Format and path from `FORMAT=PATH` or `FORMAT` (path `-`: stdout). Raises UsageError."""
    name, equals, path = text.partition("=")
    if name not in FORMATS:
        raise UsageError(f"unknown format {name[:60]!r}", where="--output", fix=did_you_mean(name, FORMATS))
    if equals and not path:
        raise UsageError(f"{text!r} names no file", where="--output", fix=f"such as {name}=budget.txt, or - for stdout")
    if "\0" in path:
        raise UsageError("a path holds no NUL", where="--output", fix="name another file")
    parts = Path(path).resolve().parts if path not in ("", "-") else ()
    if ".git" in parts or (parts and (parts[-1] in _KEPT or parts[-1].endswith(".py"))):
        raise UsageError(f"{path!r} is not for outputs", where="--output", fix=f"name a file of its own: budget.{name}")
    return name, path or "-"


def render(verdict: Verdict, format: str) -> str:
    """The verdict in a format, ending with a line end. Raises UsageError on an unknown format."""
    parse_output(format)
    text: str = importlib.import_module(f"{__name__}.{_HOMES[format]}").render(verdict)
    return text if text.endswith("\n") else text + "\n"


def write(verdict: Verdict, format: str, path: str | None) -> None:
    """Writes the verdict in a format to a file, or to stdout where the path is `-` or None.

    `github` is also appended, as Markdown, to the file that GITHUB_STEP_SUMMARY names. Raises UsageError where a file
    can't be written.
    """
    if format == "github":
        from analyzer.budget.outputs.github import append_summary

        append_summary(verdict)
    if path is not None and path != "-":
        if format == "badge":  # `params.svg` shows the params
            verdict = msgspec.structs.replace(verdict, badge=Path(path).stem)
        write_text(Path(path), render(verdict, format))
    elif format == "table":
        from analyzer.budget.outputs.table import for_terminal

        _print(for_terminal(verdict))
    else:
        text = render(verdict, format)
        _print(inert(text) if in_ci() and format != "github" else text)


def write_each(verdict: Verdict, outputs: Iterable[tuple[str, str]]) -> UsageError | None:
    """Writes every output; the first error of a file that can't be written, once the others are."""
    failed = None
    for format_, path in outputs:
        try:
            write(verdict, format_, path)
        except UsageError as error:
            failed = failed or error
    return failed


def _print(text: str) -> None:
    # A console whose encoding lacks a character shows it written out, and the check still ends with its own exit code.
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()
