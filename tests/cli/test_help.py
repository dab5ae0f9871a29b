"""The first minute: `analyze` alone, `--help` with examples in groups, and the commonest mistakes with their cures."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import click
import pytest

from analyzer.architecture.axes import AXES
from analyzer.architecture.blocks import BLOCKS
from analyzer.cli import COMMANDS, cli
from analyzer.cli.examples import EXAMPLES, FIRST
from analyzer.cli.help import GROUPS, group_of

OWN = """
from torch import nn
class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
    def forward(self, x):
        return self.conv(x)
def helper(): pass
def _hidden(): pass
"""


def verbs() -> list[str]:
    """`show`, `results list`: every command that does something."""
    found = []
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        found += [f"{name} {each}" for each in command.commands] if isinstance(command, click.Group) else [name]
    return [*found, "train compare"]


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    if words[:2] == ["train", "compare"]:  # no group: beside it stand networks' names
        return importlib.import_module("analyzer.cli.train_compare").command, words[2:]
    command: click.Command = cli
    while isinstance(command, click.Group):
        command, words = command.get_command(click.Context(command), words[0]), words[1:]
    return command, words


def test_without_a_word_it_helps_and_says_what_to_try(analyze) -> None:
    done = analyze()
    assert done.returncode == 0
    assert not done.stderr
    assert done.stdout.startswith("Usage: analyze")
    assert [line.strip() for line in done.stdout.splitlines() if line.startswith("  analyze ")] == [
        f"analyze {line}" for _, line in FIRST
    ]
    for section in ("results", "data"):
        assert analyze(section).returncode == 0


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_has_three_examples_that_it_takes(
    analyze, verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = analyze(*verb.split(), "--help").stdout
    assert len(EXAMPLES[verb]) == 3
    for _, line in EXAMPLES[verb]:
        assert f"  analyze {line}\n" in shown
        command, words = command_of(shlex.split(line))
        with command.make_context("analyze", words):  # parses, or raises
            pass
    assert shown.index("Examples:") < shown.index("Always:")


def test_options_stand_in_groups_and_none_twice(analyze) -> None:
    for verb in verbs():
        command, _ = command_of(verb.split())
        shown = analyze(*verb.split(), "--help").stdout
        for param in command.params:
            if isinstance(param, click.Option) and not param.hidden:
                name = next(opt for opt in param.opts if opt.startswith("--"))
                assert re.search(rf"^  (?:-\w, )?{re.escape(name)}\b", shown, re.MULTILINE), verb
    assert group_of("axis_growth") == "The network"
    assert group_of("max_params") == group_of("min_depth") == "Limits"
    assert group_of("max_memory") == "Where and how long"
    names = [name for each in GROUPS.values() for name in each]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("verb", ["show", "sweep", "search"])
def test_axes_and_blocks_are_said_with_what_they_do(analyze, verb: str) -> None:
    shown = " ".join(analyze(verb, "--help").stdout.split())
    for axis in AXES:
        assert f"--{axis.option} VALUE" in shown
        assert axis.help.split(",")[0].split(" ")[0] in shown
    for name, block in BLOCKS.items():
        assert block.says
        assert f"{name} {' '.join(block.says.split())}" in shown
    assert ("8:64:8" in shown) == (verb != "show")


MISTAKES = [
    ("show article --batch abc", "'abc' is no batch", "such as 32"),
    ("show net.py", "names a file", "net.py:Net or net.py:helper"),
    ("show gone.py", "names a file", "there is no such file"),
    ("show net.py:Net --kwarg wdth=3", "unexpected keyword argument", "did you mean 'width'?"),
    ("show net.py:Net --kwarg width", "'width' is not name=value", "width=32"),
    ("show net.py:Net --input 3x8x8", "is not an input", "1,3,8,8"),
    ("show densenet12", "unknown target", "did you mean 'densenet121'?"),
    ("show resnet18", "unknown target", "torchvision.models:resnet18"),
    ("sweep --growth double 16", "'16' is a value, no target", "--growth double,16"),
    ("sweep --growth 8-16", "is not a whole number", "8:16"),
    ("show article densenet121", "unexpected extra argument", "analyze compare"),
    ("fit article", "Missing option '--memory'", "analyze fit densenet121 --memory 11GiB"),
    ("fit article --memory 11", "11 bytes hold no network", "11GiB"),
    ("show article --format xml", "'xml' is not known", "'json'"),
    ("show --clases 2", "no such option", "--classes"),
    ("sho article", "unknown command", "did you mean 'show'?"),
    ("search --minimize param", "unknown figure", "did you mean 'params'?"),
]


@pytest.mark.parametrize(("line", "what", "cure"), MISTAKES, ids=[line for line, *_ in MISTAKES])
def test_a_common_mistake_is_told_with_its_cure(analyze, tmp_path: Path, line: str, what: str, cure: str) -> None:
    (tmp_path / "net.py").write_text(OWN)
    done = analyze(*shlex.split(line))
    assert done.returncode in (2, 3)
    told = [each for each in done.stderr.splitlines() if each.startswith(("error:", "  where:", "  fix:"))]
    assert what in told[0]
    assert cure in told[-1]
    assert "_hidden" not in done.stderr
