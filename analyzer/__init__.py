"""Know what a convolutional network costs before you train it, and hold it to a budget.

>>> import analyzer as an
>>> an.analyze("article").params
149871874
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from analyzer import distribution, moved

distribution.warn_of_clash()
moved.keep()


@cache
def _homes() -> dict[str, str]:
    """Each public name's module, as the stub beside this file lists them: what type checkers read is what runs."""
    import re
    from pathlib import Path

    stub = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    return {name: module for module, name in re.findall(r"^from (\S+) import (\w+)", stub, re.MULTILINE)}


def __getattr__(name: str) -> Any:
    """A public name, imported on first use: `import analyzer` is instant and loads no torch (PEP 562)."""
    if name == "__all__":
        return sorted(_homes())
    if name.startswith("_") or name not in _homes():
        raise AttributeError(f"module 'analyzer' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_homes()[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_homes()})
