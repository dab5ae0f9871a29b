"""The public names: listed once, all there, and the same in Python as in the command."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import analyzer as an

PACKAGE = Path(an.__file__).parent


def test_the_list_is_complete() -> None:
    """Whatever a file of api/ defines without an underscore is public; every public name can be had."""
    verbs = {
        node.name
        for path in (PACKAGE / "api").glob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
    }
    assert verbs < set(an.__all__)
    assert {"analyze", "check", "lock", "history", "witnesses", "Variant", "Record"} < set(an.__all__)
    assert an.__all__ == sorted(set(an.__all__))
    assert set(an.__all__) < set(dir(an))
    for name in an.__all__:
        assert getattr(an, name).__doc__ or isinstance(getattr(an, name), dict)
    scope: dict[str, object] = {}
    exec("from analyzer import *", scope)  # noqa: S102
    assert set(an.__all__) <= set(scope)


def test_what_is_not_public_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'witness'"):
        an.witness  # noqa: B018


@pytest.mark.parametrize("verb", ["sweep", "search", "measure", "calibrate"])
def test_a_default_is_the_same_in_python_and_in_the_command(verb: str) -> None:
    """A sweep from Python measures and trains where it is told to; what one face alone has is no default of both."""
    command = importlib.import_module(f"analyzer.cli.{verb}").command
    options = command.make_context(verb, ["article"] if verb == "measure" else []).params
    given = inspect.signature(getattr(an, verb)).parameters
    shared = (given.keys() & options.keys()) - ({"measure", "train"} if verb == "sweep" else {"minimize", "maximize"})
    assert {"sweep": "seconds", "search": "best", "measure": "precision", "calibrate": "per_op"}[verb] in shared
    assert {name: options[name] for name in shared} == {name: given[name].default for name in shared}
