"""`make zoo`: this tool and every installable counter on the zoo, as a table in reports/reference/zoo.md.

    python tests/zoo/table.py [--out reports/reference/zoo.md] [--cache .zoo] [--timeout 300]

Each counter that isn't a dependency gets an environment of its own in the cache, which sees this one's torch. Each
runs in its own process, and goes on after a model that ends or stalls it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from json_lines import json_lines, with_package
from zoo_models import ENTRIES, Entry

HERE = Path(__file__).parent
OWN = ("analyzer", "torch", "torch on meta", "torchinfo", "fvcore")
FOREIGN = {
    "thop": ["thop"],
    "ptflops": ["ptflops"],
    "calflops": ["calflops", "accelerate", "huggingface_hub", "transformers"],
    "torchprofile": ["torchprofile"],
}
"""Counters that are installed for the table, with what they import and don't declare."""
NEAR = 0.1


@dataclass
class Column:
    """A counter: its version and a line an entry (see counters.py); `missing` says why it has none."""

    name: str
    version: str | None = None
    lines: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: str | None = None


def environment(name: str, cache: Path) -> Path:
    """The Python of a counter's environment, made on first use."""
    folder = cache / name
    python = folder / "bin" / "python"
    done = folder / "installed"
    if not done.exists():
        venv.create(folder, with_pip=True, clear=True)
        site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        (site / "parent.pth").write_text(sysconfig.get_path("purelib"))
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "--no-deps", FOREIGN[name][0]], check=True)
        if FOREIGN[name][1:]:
            subprocess.run([*install, *FOREIGN[name][1:]], check=True)
        done.touch()
    return python


def run(column: Column, python: Path, timeout: float) -> None:
    """Fills the column; starts the counter anew after the entry that killed or stalled it."""
    left = list(ENTRIES)
    while left:
        current, reason = None, "ended the process"
        command = [str(python), str(HERE / "counters.py"), column.name, *left]
        for line in json_lines(command, timeout, environ=with_package()):
            if line is None:
                reason = f"no answer in {timeout:.0f} s"
            elif "version" in line:
                column.version = line["version"]
            elif "starts" in line:
                current = line["starts"]
            else:
                column.lines[line["name"]] = line
                left.remove(line["name"])
                current = None
        if left:
            failed = current or left[0]
            column.lines[failed] = {"name": failed, "error": reason}
            left.remove(failed)


# -- Markdown --------------------------------------------------------------------------------------------------


def deviation(line: dict[str, Any], entry: Entry) -> float | None:
    """How far a figure is off, as a share of the truth; None where there is no figure."""
    return None if "error" in line else (line["macs"] - entry.macs) / entry.macs


def cell(line: dict[str, Any], entry: Entry) -> str:
    """`=`, `+1.2 %` or `crash`, with `!` where it said something and `*` where the model was changed."""
    off = deviation(line, entry)
    if off is None:
        text = "crash"
    elif off == 0:
        text = "="
    else:
        text = f"{100 * off:+.3g} %".replace("-", "−")
    return text + ("!" if line.get("warned") else "") + ("\\*" if line.get("changed") else "")


def summary(column: Column) -> list[str]:
    """How many entries came out exact, near, wrong, wrong in silence, crashed; how many models were changed."""
    lines = [(column.lines[name], deviation(column.lines[name], entry)) for name, entry in ENTRIES.items()]
    wrong = [line for line, off in lines if off is not None and abs(off) > NEAR]
    counts = [
        sum(off == 0 for _, off in lines),
        sum(off is not None and 0 < abs(off) <= NEAR for _, off in lines),
        len(wrong),
        sum(not line.get("warned") for line in wrong),
        sum(off is None for _, off in lines),
        sum(bool(line.get("changed")) for line, _ in lines),
    ]
    return [column.name, column.version or "this one", *map(str, counts)]


def table(header: list[str], rows: list[list[str]], left: int) -> str:
    """A Markdown table whose first `left` columns are aligned to the left."""
    rule = ["---"] * left + ["---:"] * (len(header) - left)
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])


INTRODUCTION = """# Counters on the zoo

Made by `make zoo`; the models are in `tests/zoo/`, each with its multiply-accumulates worked out by hand beside it.
Every counter runs with its defaults, in its own process, on CPU, on a model in training mode as constructed.

- `=`: exact, as convolutions, linear layers and matrix products alone count. A percentage is how far off it is:
  counters that add biases and normalisation by a convention of their own are a little over, and more so on the
  smallest models.
- `!`: it warned, whatever of. `*`: the model was changed: statistics of batch normalisation, mode, left-over
  attributes or state keys. torch's own counter looks on while the reader runs the model, which moves the statistics.
- Of the models marked *by convention* (fft, sampling, distances, nn.Bilinear) a part of the figure is agreed on, not
  executed; other counters needn't share it.
"""


def page(columns: list[Column]) -> str:
    """The whole page."""
    present = [column for column in columns if column.missing is None]
    header = [
        "counter",
        "version",
        "exact",
        f"within {NEAR:.0%}",
        "off by more",
        "of these silent",
        "crash",
        "model changed",
    ]
    parts = [INTRODUCTION, table(header, [summary(column) for column in present], 2), ""]
    parts += [f"{column.name} could not be run: {column.missing}\n" for column in columns if column.missing]
    rows = [
        [f"{name}{' (by convention)' if entry.convention else ''}", entry.kind, f"{entry.macs:,}"]
        + [cell(column.lines[name], entry) for column in present]
        for name, entry in ENTRIES.items()
    ]
    parts.append(table(["model", "kind", "MACs", *(column.name for column in present)], rows, 2))
    errors = [
        f"- {column.name}, {name}: {line['error']}"
        for column in present
        for name, line in column.lines.items()
        if "error" in line
    ]
    return "\n".join([*parts, "", "## Crashes", "", *(errors or ["None."]), ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE.parents[1] / "docs" / "zoo.md")
    parser.add_argument("--cache", type=Path, default=HERE.parents[1] / ".zoo")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds an entry may take")
    options = parser.parse_args()
    columns = []
    for name in (*OWN, *FOREIGN):
        column = Column(name)
        try:
            python = environment(name, options.cache) if name in FOREIGN else Path(sys.executable)
            run(column, python, options.timeout)
        except subprocess.CalledProcessError as error:
            column.missing = f"its installation failed (exit {error.returncode})"
        columns.append(column)
        print(f"{name}: {column.missing or summary(column)[1:]}", file=sys.stderr)
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(page(columns))


if __name__ == "__main__":
    main()
