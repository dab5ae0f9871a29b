"""The ref that a CI service means by an empty one: `origin/$GITHUB_BASE_REF` is `origin/` but on pull requests."""

from __future__ import annotations

import json
import os
from pathlib import Path


def base_of(against: str) -> tuple[str | None, str]:
    """The ref to compare with, None where there is none; and what is to be said of that."""
    if not against.endswith("/"):
        return against, ""
    base = _of_merge_queue()
    if base is not None:
        return base, f"{against} names no branch: compared with the base of the merge queue's group"
    return None, f"{against} names no branch, as outside of pull requests: compared with the lock file"


def _of_merge_queue() -> str | None:
    """The commit that a merge queue's group is built on, as GitHub's event says it."""
    if os.environ.get("GITHUB_EVENT_NAME") != "merge_group":
        return None
    try:
        event = json.loads(Path(os.environ.get("GITHUB_EVENT_PATH", "")).read_text(encoding="utf-8"))
        base = event["merge_group"]["base_sha"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return base if isinstance(base, str) and base else None
