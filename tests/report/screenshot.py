"""A picture of a report: `python tests/report/screenshot.py REPORT.html PICTURE.png [light|dark] [WIDTH]`."""

from __future__ import annotations

import sys
from pathlib import Path

from browser import Watched, chromium, launched


def main(report: str, picture: str, scheme: str = "light", width: str = "1280") -> None:
    executable = chromium()
    if executable is None:
        sys.exit("no Chromium found: install it, or set CHROMIUM to its path")
    with launched(executable) as browser:
        watched = Watched(browser, Path(report), viewport={"width": int(width), "height": 900}, color_scheme=scheme)
        watched.ready().page.screenshot(path=picture)
        watched.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
