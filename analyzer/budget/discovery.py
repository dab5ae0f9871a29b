"""Models of a repository, found by reading its source: nothing is imported.

A class is a module if one of its bases is, torch's own or another found here, whatever it is called where it is used.
A function is a factory if it is annotated to return one, or returns a call of one. Arguments and inputs are those that
the repository itself makes and calls its models with: in scripts, tests, hubconf.py, the README.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analyzer.budget.source_index import Definition, SourceIndex, dotted_name
from analyzer.budget.source_inputs import inputs_of, tokens_of
from analyzer.budget.source_models import Construction, SourceModels


@dataclass(frozen=True)
class Candidate:
    """A class or function that makes a model, with the arguments that were read.

    `needs` are arguments without a default that could not be read; `input` is what it most likely takes, or None,
    `inputs` all that it may. `part_of` is a model that it is a part of, or a factory that makes it.
    """

    target: str
    name: str
    line: int
    needs: tuple[str, ...]
    input: str | None
    kwargs: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    part_of: str = ""
    tokens: int = 128


def candidates(folder: Path) -> list[Candidate]:
    """The models of a folder that are no parts of others, as `found` ranks them."""
    return [candidate for candidate in found(folder) if not candidate.part_of]


def found(folder: Path, say: Callable[[str], None] = lambda text: None) -> list[Candidate]:
    """The models of a folder: whole ones before parts, usable ones first, those that scripts use before others.

    `say` is told of files that were not read.
    """
    models = SourceModels(SourceIndex(folder))
    for name, why in models.index.unread.items():
        say(f"left out {name}: {why}")
    makers = [d for d in (*models.classes, *models.factories) if not models.index.files[d.file].beside]
    used: dict[Definition | str, list[Construction]] = defaultdict(list)
    for made in models.constructions:
        used[made.of].append(made)
    around = _around(models)
    usable = {d for d in makers if not _arguments(used[d], d)[1]}
    ranked = []
    for each in makers:
        made_by = [w for w in around[each] if w in models.factories]
        if each.node.name.startswith("_") or (each in models.classes and any(w in usable for w in made_by)):
            continue
        wholes = [w for w in around[each] if w in models.classes or w in usable]
        candidate = _candidate(models, each, used[each], wholes[0].target if wholes else "")
        in_scripts = any(_is_in_a_script(models, made) for made in used[each])
        ranked.append(((bool(wholes), bool(candidate.needs), not in_scripts), candidate))
    ranked += [((False, False, False), candidate) for candidate in _from_elsewhere(models, used)]
    return [c for _, c in sorted(ranked, key=lambda pair: (*pair[0], *_place(pair[1])))]


def _place(candidate: Candidate) -> tuple[str, int]:
    return candidate.target.rpartition(":")[0], candidate.line


def _around(models: SourceModels) -> dict[Definition, list[Definition]]:
    """The makers in whose bodies each maker is named, other than as a base: what it is a part of."""
    around: dict[Definition, list[Definition]] = defaultdict(list)
    for whole in models.makers:
        for name in _names_in(whole):
            part = models.index.meaning(whole.file, name)
            if (
                isinstance(part, Definition)
                and part is not whole
                and part in models.makers
                and whole not in around[part]
            ):
                around[part].append(whole)
    for wholes in around.values():
        wholes.sort(key=lambda whole: (whole.file, whole.node.lineno))
    return around


def _names_in(whole: Definition) -> set[str]:
    names = set()
    for statement in whole.node.body:
        for node in ast.walk(statement):
            if isinstance(node, (ast.Name, ast.Attribute)) and (name := dotted_name(node)):
                names.add(name)
    return names


def _is_in_a_script(models: SourceModels, made: Construction) -> bool:
    return not models.index.files[made.scope.file].beside and made.within not in models.makers


def _arguments(made: list[Construction], of: Definition) -> tuple[dict[str, Any], list[str]]:
    """The arguments of the call that says most: of a script rather than of a part's whole or a test."""
    from analyzer.budget.source_values import fields_of

    nothing: tuple[dict[str, Any], list[str]] = {}, [n for n, default in fields_of(of).items() if default is None]
    each = [call.arguments() for call in made if call.within is not of]
    return min(each, key=lambda arguments: len(arguments[1]), default=nothing)


def _candidate(models: SourceModels, of: Definition, made: list[Construction], part_of: str) -> Candidate:
    ordered = sorted(made, key=lambda call: (not _is_in_a_script(models, call), call.within in models.makers))
    kwargs, needs = _arguments(ordered, of)
    inputs = inputs_of(models, of, kwargs)
    return Candidate(
        target=of.target, name=of.node.name, line=of.node.lineno, needs=tuple(needs),
        input=inputs[0] if inputs else None, kwargs=kwargs, inputs=tuple(inputs), part_of=part_of,
        tokens=tokens_of(models, of, kwargs),
    )  # fmt: skip


def _from_elsewhere(models: SourceModels, used: dict[Definition | str, list[Construction]]) -> Iterator[Candidate]:
    """Models of timm, torchvision and transformers that a script makes."""
    for of, made in list(used.items()):
        for call in made if isinstance(of, str) else ():
            kwargs, unread = call.arguments()
            if unread or not _is_in_a_script(models, call) or call.within in models.makers:
                continue
            module, _, attribute = str(of).rpartition(".")
            inputs = inputs_of(models, of, kwargs)
            name = str(kwargs.get("model_name", attribute))
            yield Candidate(
                target=f"{module}:{attribute}", name=name, line=call.node.lineno, needs=(),
                input=inputs[0] if inputs else None, kwargs=kwargs, inputs=tuple(inputs),
                tokens=tokens_of(models, of, kwargs),
            )  # fmt: skip
