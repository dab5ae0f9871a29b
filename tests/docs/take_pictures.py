"""The README's pictures, of what the command prints: `python tests/docs/take_pictures.py` (needs Chromium and git).

A terminal of 96 columns and the comment on a pull request, both of `analyze check` on the CNN of examples/budget after
its last stage became wider. Emoji need a font that has them (fonts-noto-color-emoji).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from markdown_it import MarkdownIt
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/report"))

from browser import chromium, launched  # noqa: E402

PICTURES = ROOT / "docs/pictures"
COLUMNS = 96
COMMENT = """<meta charset="utf-8"><style>
body { margin: 0; background: #fff; color: #1f2328; width: 920px }
body { font: 14px/1.5 "DejaVu Sans", "Noto Color Emoji", sans-serif }
main { margin: 16px; border: 1px solid #d1d9e0; border-radius: 6px; padding: 4px 16px 12px }
table { border-collapse: collapse; font-size: 12px } td, th { border: 1px solid #d1d9e0; padding: 4px 10px }
code { background: #f0f1f2; border-radius: 4px; padding: 1px 4px } h2 { border-bottom: 1px solid #d1d9e0 }
</style><main>"""
TERMINAL = """<meta charset="utf-8"><style>body {{ margin: 0; background: #16181d; color: #e6e6e6; width: 860px }}
pre {{ margin: 0; padding: 14px 18px; font: 13px/1.4 "DejaVu Sans Mono", monospace }}</style><pre>{code}</pre>"""


BUDGETS = """[models.cnn]
target = "cnn.py:build"
input = [1, 3, 32, 32]
[models.cnn.budgets]
params = { max = "300k", growth = "2%", growth-min = "1k" }
macs = { growth = "5%" }
saved_bytes = { max = "4MiB" }
"""


def printed(folder: Path, *arguments: str) -> str:
    """What the command prints in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": str(COLUMNS), "FORCE_COLOR": "1"}
    command = [sys.executable, "-m", "analyzer", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False).stdout


def pages() -> dict[str, str]:
    """HTML of each picture."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        net = Path(shutil.copy(ROOT / "examples/budget/cnn.py", folder))
        (folder / "analyzer.toml").write_text(BUDGETS)
        printed(folder, "lock")
        net.write_text(net.read_text().replace("4 * width", "5 * width"))
        told, comment = printed(folder, "check"), printed(folder, "check", "--output", "md")
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    lines = Text("$ analyze check\n", style="bold") + Text.from_ansi(told)
    console.print(lines)
    code = console.export_html(inline_styles=True, code_format="{code}", theme=MONOKAI)
    return {
        "terminal": TERMINAL.format(code=code),
        "comment": COMMENT + MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(comment) + "</main>",
    }


def main() -> None:
    """Takes them."""
    PICTURES.mkdir(exist_ok=True)
    executable = chromium()
    if executable is None:
        sys.exit("needs Chromium")
    with launched(executable) as browser:
        for name, html in pages().items():
            page = browser.new_page(viewport={"width": 960, "height": 200}, device_scale_factor=1)
            page.set_content(html)
            page.locator("body").screenshot(path=PICTURES / f"{name}.png")


if __name__ == "__main__":
    main()
