"""Arguments that a configuration names by what makes them: `{ from = "pkg.config:GPTConfig", n_layer = 4 }`."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

_NAMED = re.compile(r"(?:[\w./-]+\.py|[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?:[^\W\d]\w*\.)*[A-Z]\w*")
"""Text that stands for an object: a module or file, and a class in it, or an object in capitals."""
FROM = "from"
"""The key that says what makes a table's object; no argument of Python's can be called so."""


def configured(value: Any, find: Callable[[str], Any]) -> Any:
    """A value with every table that has a `from`, and every text `package.module:Class`, as the object it stands for.

    `find` gives what a text names. A class or function is called with the table's other entries, those that it does
    not take set on what it makes; of an object it is a copy on which they are set.
    """
    if isinstance(value, Mapping):
        entries = {key: configured(entry, find) for key, entry in value.items() if key != FROM}
        made = value.get(FROM)
        return _made(find(made), entries) if isinstance(made, str) else entries
    if isinstance(value, (list, tuple)):
        return type(value)(configured(entry, find) for entry in value)
    return _made(find(value), {}) if isinstance(value, str) and _NAMED.fullmatch(value) else value


def _made(maker: Any, entries: dict[str, Any]) -> Any:
    taken, later = entries, {}
    if callable(maker):
        names = _names(maker)
        if names is not None:
            taken = {key: entry for key, entry in entries.items() if key in names}
            later = {key: entry for key, entry in entries.items() if key not in names}
        made = maker(**taken)
    else:
        made, later = copy.deepcopy(maker), entries
    for key, entry in later.items():
        if isinstance(made, dict):
            made[key] = entry
        else:
            setattr(made, key, entry)
    return made


def _names(maker: Any) -> set[str] | None:
    """The arguments that a callable takes by name; None: any."""
    try:
        parameters = inspect.signature(maker).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_POSITIONAL}
