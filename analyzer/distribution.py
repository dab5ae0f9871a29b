"""What pip calls this package, versions, and the warning where a stranger's package has its import name too.

The distribution's name is not the import's: `analyzer` in the public index is a stranger's trading tool.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import warnings
from functools import cache

NAME = "modelbudget"
VERSION = "0.1.0"
IMPORTED = "analyzer"


def installing(extra: str) -> str:
    """The command that installs this package with an extra."""
    return f'pip install "{NAME}[{extra}]"'


@cache
def torch_version() -> str | None:
    """Which torch is installed, without the second that importing it takes; None where none is found."""
    if "torch" in sys.modules:
        return getattr(sys.modules["torch"], "__version__", None)
    try:
        found = importlib.util.find_spec("torch")
        place = os.path.join(os.path.dirname(found.origin), "version.py") if found and found.origin else os.devnull
        with open(place, encoding="utf-8") as file:
            said = re.search(r"__version__ = ['\"]([^'\"]+)", file.read())
    except (OSError, ValueError):
        return None
    return said[1] if said else None


@cache
def warn_of_clash() -> None:
    """Warns, once, where another distribution has files in a package of our import name: on `sys.path`, or in ours."""
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for folder in dict.fromkeys((own, *sys.path)):
        if stranger := _stranger(folder):
            warnings.warn(
                f"{stranger} is another package than {NAME}, and is imported as {IMPORTED!r} too: each may run the "
                f"other's files. Keep one of them: pip uninstall {IMPORTED}, "
                f"then pip install --force-reinstall --no-deps {NAME}",
                stacklevel=3,
            )


def _stranger(folder: str) -> str | None:
    """The metadata of a distribution in a folder of packages that is called as our import is, and has files there."""
    if not os.path.isdir(os.path.join(folder, IMPORTED)):
        return None
    try:
        for name in os.listdir(folder):
            if name.startswith(f"{IMPORTED}-") and name.endswith(".dist-info"):
                with open(os.path.join(folder, name, "RECORD"), encoding="utf-8", errors="replace") as record:
                    if any(line.startswith(f"{IMPORTED}/") for line in record):
                        return os.path.join(folder, name)
    except OSError:  # a folder or a record that can't be read: then nothing is known
        pass
    return None
