"""What pip calls this package, its version, and the warning where a stranger's package has its import name too.

The distribution's name is not the import's: `analyzer` in the public index is a stranger's trading tool.
"""

from __future__ import annotations

import os
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
