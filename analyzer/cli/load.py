"""What would spoil a measurement on this machine, said before one begins."""

from __future__ import annotations

from analyzer.cli.base import warn


def warn_of_load(place: str, seconds: float) -> None:
    """As `doctor` sees it; and that the time is kept all the same."""
    from analyzer.measuring.trust import problems_at

    problems = problems_at(place)
    for problem in problems:
        warn(f"{problem.kind}: {problem.what}; {problem.fix}")
    if any(problem.kind == "load" for problem in problems):
        warn(f"on a busy machine fewer times fit into the {seconds:g} s; what can't be had in them says so in its row")
