"""Whatever is typed, there is an answer with an exit code that means something, and never a traceback."""

from __future__ import annotations

import contextlib
import io

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer.architecture.axes import AXES
from analyzer.cli import COMMANDS, cli
from analyzer.cli.base import run

VALUES = st.one_of(
    st.text(max_size=12),
    st.text(alphabet="0123456789.,:/-eE+ double", max_size=12),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["double", "32", "2,4,3,2", "0.25", "1:9:2", "residual", "dense", "imagenet", "8M"]),
)
OPTIONS = st.sampled_from([f"--{axis.option}" for axis in AXES] + ["--batch", "--depth", "--nothing"])
PAIRS = st.lists(st.tuples(OPTIONS, VALUES), max_size=4).map(lambda pairs: [word for pair in pairs for word in pair])


def outcome(args: list[str]) -> tuple[int, str]:
    """Exit code and stderr."""
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        code = run(cli, args)
    return code, errors.getvalue()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.just([]), VALUES.filter(lambda v: ":" not in v).map(lambda v: [v])), PAIRS)
def test_show(target: list[str], options: list[str]) -> None:
    code, errors = outcome(["show", *target, *options])
    assert code in (0, 2, 3), errors
    assert "Traceback" not in errors


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PAIRS)
def test_sweep_plan(options: list[str]) -> None:
    code, errors = outcome(["sweep", "--dry-run", *options])
    assert code in (0, 2), errors
    assert "Traceback" not in errors


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PAIRS)
def test_search_plan(options: list[str]) -> None:
    code, errors = outcome(["search", "--dry-run", *options])
    assert code in (0, 2), errors
    assert "Traceback" not in errors


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=10), st.sampled_from([*COMMANDS, "--help", "--version", "-q"])), max_size=3))
def test_any_words(words: list[str]) -> None:
    if words and words[0] in (
        "sweep",
        "doctor",
        "calibrate",
        "measure",
        "lock",
        "init",
    ):  # they take long, or leave files
        words = [words[0], "--help"]
    if any(":" in word for word in words):
        return
    code, errors = outcome(words)
    assert code in (0, 2, 3, 4), errors
    assert "Traceback" not in errors
