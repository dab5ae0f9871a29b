"""What ops state of themselves: every fact, each by itself, and nothing of it is asked anywhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analyzer.architecture import ops
from analyzer.architecture.blocks import BLOCKS
from analyzer.architecture.facts import Op, Rearranging, Value, Weightless
from analyzer.architecture.net import Net
from analyzer.architecture.network import trace
from analyzer.architecture.stems import STEMS
from analyzer.architecture.variant import Variant

PACKAGE = Path(__file__).parents[2] / "analyzer"


def classes(of: type[Op] = Op) -> Iterator[type[Op]]:
    for cls in of.__subclasses__():
        if cls is getattr(ops, cls.__name__, None) and cls not in (Weightless, Rearranging):
            yield cls
        yield from classes(cls)


OPS = sorted(set(classes()), key=lambda cls: cls.__name__)
FACTS = sorted(Op.__abstractmethods__)


@pytest.mark.parametrize("fact", FACTS)
def test_a_forgotten_fact_is_an_error_that_names_it(fact: str) -> None:
    stated = {name: None for name in FACTS if name != fact}
    value = Value(1, 4, 8, 64, 1, 4)
    with pytest.raises(TypeError, match=fact):
        type("Forgetful", (Op,), {"__slots__": (), **stated})("", (value,), value)
    type("Whole", (Op,), {"__slots__": (), **stated, fact: None})("", (value,), value)


def test_only_two_bases_state_facts_for_others_and_say_which() -> None:
    own = {base: set(vars(base)) & set(FACTS) for base in (Op, Weightless, Rearranging)}
    assert own[Weightless] == {"weightless", "parameters", "macs", "is_layer", "normalised", "role"}
    assert own[Rearranging] == {"keeps", "beside", "overwrites", "trains_only", "compared", "module"}
    assert all(set(FACTS) <= {name for base in cls.__mro__[:-3] for name in vars(base)} for cls in OPS)


def test_every_op_is_in_a_built_in_block_so_that_torch_sees_it() -> None:
    """The property tests of counts, saved bytes, peaks and built modules draw from these."""
    recorded: set[type[Op]] = set()
    for block, kind in BLOCKS.items():
        fields: dict[str, Any] = {"drop": 0.25} if kind.family.has_dropout else {}
        fields["groups"] = 2 if block == "shuffle" else 1
        for stem in STEMS:
            variant = Variant(block=block, block_config=(2, 2), growth=8, init=8, stem=stem, **fields)
            recorded |= {type(op) for _, op in trace(variant).ops()}
    assert recorded == set(OPS)


def test_the_result_of_a_view_must_share_its_inputs_memory() -> None:
    net = Net()
    x = net.conv("conv", net.input(3, 8), 4)
    with pytest.raises(TypeError, match="Flatten says is_view"):
        net._record(ops.Flatten("", (x,), net._tensor(4, None)))


def test_parts_are_those_of_the_assembly() -> None:
    net = trace(Variant(block_config=(1, 2), init=8, growth=8))
    parts = dict.fromkeys(str(net.part_of(op)) for _, op in net.ops())
    assert list(parts) == ["stem", "stage 1", "transition 1", "stage 2", "head"]
    weights = {str(net.part_of(op)): op.role for _, op in net.ops() if op.kind != "convolution" and not op.weightless}
    assert weights["head"] == "classifier"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_class_of_op_is_asked_for_outside_of_the_ops(path: Path) -> None:
    """Neither by isinstance or type, nor in a match, nor as a key of a table."""
    if path.name in ("ops.py", "net.py") and path.parent.name == "architecture":
        return
    tree = ast.parse(path.read_text())
    names = {cls.__name__ for cls in OPS}
    module = {a.asname or a.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
              and node.module == "analyzer.architecture" for a in node.names if a.name == "ops"}  # fmt: skip
    imported = {a.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
                and node.module == "analyzer.architecture.ops" for a in node.names}  # fmt: skip
    assert not module
    assert not imported & names
