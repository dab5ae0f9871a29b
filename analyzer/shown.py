"""Text from outside as it may be shown: nothing unseen, and no orders to a terminal or to a CI service's log."""

from __future__ import annotations

import os
import re
import sys
from typing import Any, TextIO

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_BREAKS = re.compile(r"[\t\n\r\x0b\x0c\x85\u2028\u2029]+")
_COMMAND = re.compile(r"^(\s*)::", re.MULTILINE)
_BRACKETED = re.compile(r"##(?=\w*\[)")
_NONCHARACTERS = re.compile("[\ufdd0-\ufdef\ufffe\uffff]")
_CI = ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "TF_BUILD")


def silent(*_: object) -> None:
    """What a watch that nobody gave does with what it is told."""


def to_stderr(text: str) -> None:
    """How a run that Python began goes on, a line at a time."""
    sys.stderr.write(f"{text}\n")


def visible(content: Any) -> Any:
    """Text with characters that are not seen, or that reorder what stands beside them, written out: `\\u202e`."""
    if not isinstance(content, str) or hasattr(content, "__html__"):
        return content
    return _UNSEEN.sub(_written_out, content)


def plain(text: object) -> str:
    """Text in one line, characters that are not seen, or that no encoding has, written out: `\\u001b`."""
    shown: str = visible(_BREAKS.sub(" ", str(text)).strip())
    return _NONCHARACTERS.sub(_written_out, shown)


def cell(text: str) -> str:
    """Text that stays on its line of a table, as it stands in it."""
    shown: str = visible(_BREAKS.sub(" ", text))
    return shown


def inert(text: str) -> str:
    """Lines for a CI service's log, which reads `::` at a line's start, and `##[` or `##vso[` anywhere, as
    commands.
    """
    return _BRACKETED.sub("## ", _COMMAND.sub(r"\1: :", text))


def for_stream(text: str) -> str:
    """Lines for stdout or stderr: no control characters, and where a CI service reads them, no commands."""
    shown = _CONTROLS.sub(_written_out, text)
    return inert(shown) if in_ci() else shown


def json_for_stream(text: str) -> str:
    """JSON of the same meaning in which nothing is a control character or a CI service's command."""
    return _BRACKETED.sub(r"#\\u0023", _CONTROLS.sub(_written_out, text))


def use_color() -> bool | None:
    """What NO_COLOR and FORCE_COLOR ask for; None leaves it to the terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    return True if os.environ.get("FORCE_COLOR") else None


def in_ci() -> bool:
    """Whether a CI service reads what is printed."""
    return any(os.environ.get(name) for name in _CI)


WIDE = 160
"""Columns where nothing says how many there are."""


def columns() -> int:
    """How wide stdout is: what COLUMNS says, through a pipe too, else the terminal, else plenty."""
    return terminal_width(sys.stdout)


def terminal_width(stream: TextIO | None) -> int:
    """How wide a stream's terminal is: what COLUMNS says, else the terminal, else plenty."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    try:
        return os.get_terminal_size(stream.fileno()).columns or WIDE if stream is not None else WIDE
    except (OSError, ValueError, AttributeError):
        return WIDE


def _written_out(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
