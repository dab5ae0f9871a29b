"""`make profiles`, second part: fits a profile to each table, and writes the page on how good they are.

Reads reports/reference/gpu-profiles/ alone; writes analyzer/reading/shipped/ and reports/reference/gpu-profiles.md.
"""

from __future__ import annotations

import sys

import msgspec
import published
from fitted import Fitted, fitted
from page import page

from analyzer.reading.profiles import SHIPPED, file_of, write_profile


def main() -> None:
    """Fits, writes, and says each device's error."""
    tables = [fitted(name) for name in published.names()]
    training = {table.name: table for table in tables if table.settings.mode == "training"}
    SHIPPED.mkdir(exist_ok=True)
    for old in SHIPPED.glob("*.json"):
        old.unlink()
    for table in tables:
        if table.settings.mode == "training":
            continue
        profile = table.profile()
        if table.name in training:
            profile = msgspec.structs.replace(profile, training=training[table.name].profile())
        write_profile(profile, file_of(profile.name, SHIPPED))
        print(f"{profile.name}: {said(table)}", file=sys.stderr)
    path = published.FOLDER.with_suffix(".md")
    path.write_text(page(tables))
    print(path)


def said(table: Fitted) -> str:
    """A table's errors in a line."""
    return ", ".join(f"{kind} {100 * each.mean_error:.1f} % of {each.rows}" for kind, each in table.bands().items())


if __name__ == "__main__":
    main()
