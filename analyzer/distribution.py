"""What pip calls this package, its version, and the warning where a stranger's package has its import name too.

The import name is `analyzer`; the distribution's is another, because `analyzer` in the public index is a trading tool.
"""

from __future__ import annotations

import os
import sys
import warnings
from functools import cache
from pathlib import Path

NAME = "modelbudget"
VERSION = "0.1.0"
IMPORTED = __package__


def installing(extra: str) -> str:
    """The command that installs this package with an extra."""
    return f'pip install "{NAME}[{extra}]"'


@cache
def warn_of_clash() -> None:
    """Warns, once, where another distribution has put its files into a package of our import name."""
    place = next(filter(None, map(_clash, dict.fromkeys([str(Path(__file__).parents[1]), *sys.path]))), None)
    if place:
        warnings.warn(
            f"{place} is another package than {NAME} and is imported as `{IMPORTED}` too, so each may run the other's "
            f"files: pip uninstall {IMPORTED}, then pip install --force-reinstall --no-deps {NAME}",
            stacklevel=3,
        )


def _clash(folder: str) -> str | None:
    """The metadata, in a folder of packages, of a distribution of the import name that has files in its package."""
    if not os.path.isfile(os.path.join(folder, IMPORTED, "__init__.py")):
        return None
    for name in os.listdir(folder):
        if name.startswith(f"{IMPORTED}-") and name.endswith(".dist-info"):
            record = Path(folder, name, "RECORD")
            # An editable install lists no such file.
            if record.exists() and f"\n{IMPORTED}/" in f"\n{record.read_text(encoding='utf-8')}":
                return str(record.parent)
    return None
