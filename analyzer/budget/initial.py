"""`analyze init`: a first configuration and lock file for the models of a package. Nothing that is there is changed."""

from __future__ import annotations

import contextlib
import inspect
import json
import re
import tomllib
import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from analyzer.budget import lock_file
from analyzer.budget.configuration import FILES, Project, parse
from analyzer.budget.counting import count, identity_of
from analyzer.budget.discovery import Candidate, candidates, files
from analyzer.budget.limits import as_bound
from analyzer.budget.lock_file import Lock, locked
from analyzer.budget.schema import Model
from analyzer.budget.source import place_of
from analyzer.budget.untrusted_files import read_text
from analyzer.errors import AnalyzerError, CountError, UsageError
from analyzer.files import write_text
from analyzer.records import Record
from analyzer.targets.isolation import users_code
from analyzer.targets.loading import import_module
from analyzer.targets.resolving import ModuleTarget

MOST_MODELS = 40
USUAL_INPUTS = ("1,3,224,224", "1,3,32,32", "1,1,28,28", "1,128:int64")
"""What is tried where the source does not tell a model's input."""


_IMPORTABLE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True)
class Proposal:
    """A model to configure, with what it was counted to cost (None: it was not built), or why it is left out."""

    name: str
    candidate: Candidate
    model: Model
    record: Record | None = None
    problem: str = ""


@dataclass(frozen=True)
class Initial:
    """What was written: the configuration's file, the lock (None: nothing was built), all proposals."""

    file: Path
    lock: Path | None
    proposals: tuple[Proposal, ...]


def init(
    folder: str | Path = ".",
    *,
    build: bool = True,
    by_import: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Initial:
    """Finds models by reading (`by_import`: by importing) the package in `folder`, and configures them.

    `say` is told of files that can't be imported. With `build` each is built and counted, which runs its code: that
    finds its input and gives the lock file. Writes to pyproject.toml's end, or to analyzer.toml where there is none.
    Raises UsageError where there is a configuration or lock already, or no model is found.
    """
    root = Path(folder).resolve()
    file = _place(root)
    makers = _imported(root, say) if by_import else candidates(root)
    if not makers:
        fix = 'say [tool.analyzer.models.NAME] by hand, with target = "path.py:attr"'
        raise UsageError("no class or function that makes an nn.Module was found", where=str(root), fix=fix)
    names = _names(makers)
    proposals = []
    for name, candidate in zip(names, makers[:MOST_MODELS], strict=False):
        proposals.append(_proposal(name, candidate, root, build))
    if all(proposal.problem for proposal in proposals):
        raise UsageError(
            f"none of {len(proposals)} models could be used; "
            + "; ".join(f"{p.candidate.target}: {p.problem}" for p in proposals[:5]),
            where=str(root), fix="configure one by hand, or read only: --no-build",
        )  # fmt: skip
    made = _configured(file, root, proposals)
    if not build:
        return Initial(file, None, tuple(proposals))
    models = {
        p.name: locked(p.record, identity_of(made.configuration.models[p.name], root))
        for p in proposals
        if p.record is not None
    }
    lock_file.write(Lock(models), made.lock)
    return Initial(file, made.lock, tuple(proposals))


def _configured(file: Path, root: Path, proposals: Sequence[Proposal]) -> Project:
    """Writes the proposals at the file's end."""
    text = configuration_text(proposals, "" if file.name == "analyzer.toml" else "tool.analyzer.")
    before = read_text(file) or ""
    whole = before + ("\n" if before and not before.endswith("\n") else "") + ("\n" if before else "") + text
    configuration = parse(whole, file.name)
    assert configuration is not None
    write_text(file, whole)
    return Project(configuration=configuration, root=root, file=file.name, text=whole)


def _place(root: Path) -> Path:
    """The file to write to. Raises UsageError rather than touch what is configured."""
    if not root.is_dir():
        raise UsageError("there is no such folder", where=str(root), fix="name the folder of your package")
    for name in FILES:
        text = read_text(root / name)
        configured = text is not None and (name == "analyzer.toml" or "analyzer" in _tool(text, name))
        if configured:
            raise UsageError(
                "is there already, and nothing is overwritten", where=name, fix="edit it, then `analyze lock`"
            )
    if (root / lock_file.FILE).exists():
        raise UsageError("is there already, and nothing is overwritten", where=lock_file.FILE, fix="remove it first")
    return root / ("pyproject.toml" if (root / "pyproject.toml").exists() else "analyzer.toml")


def _tool(text: str, name: str) -> dict[str, object]:
    try:
        tool = tomllib.loads(text).get("tool", {})
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"is not TOML: {error}", where=name, fix="mend it first") from None
    return tool if isinstance(tool, dict) else {}


_GENERIC = {"build", "make", "create", "model", "net", "get_model", "build_model", "make_model", "create_model"}


def _names(makers: Sequence[Candidate]) -> list[str]:
    """A name for each: its own in snake case; its file's where that says more, both where several would share one."""
    stems = [re.sub(r"\W", "_", candidate.target.rpartition(":")[0].removesuffix(".py")) for candidate in makers]
    own = [re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", candidate.name).lower() for candidate in makers]
    short = [stem if name in _GENERIC else name for name, stem in zip(own, stems, strict=True)]
    full = [f"{stem}_{name}" for stem, name in zip(stems, own, strict=True)]
    return [name if short.count(name) == 1 else whole for name, whole in zip(short, full, strict=True)]


def _proposal(name: str, candidate: Candidate, root: Path, build: bool) -> Proposal:
    targets = _targets(candidate.target, root)
    guess = candidate.input
    model = Model(target=targets[0], input=guess)
    if candidate.needs:
        return Proposal(name, candidate, model, problem=f"needs kwargs: {', '.join(candidate.needs)}")
    if not build:
        return Proposal(name, candidate, model)
    problems = []
    for target in targets:
        try:
            without = count(Model(target=target), root).record
        except AnalyzerError as error:
            problems.append(error.what)
            continue
        if not without.params:
            return Proposal(name, candidate, model, problem="has no parameters")
        return _with_an_input(Proposal(name, candidate, Model(target=target), without), root)
    return Proposal(name, candidate, model, problem="; ".join(dict.fromkeys(problems)))


def _with_an_input(proposal: Proposal, root: Path) -> Proposal:
    """The proposal with the first input that the model takes and is fully counted on; as it is where there is none."""
    guess = proposal.candidate.input
    for said in dict.fromkeys([*([guess] if guess else []), *USUAL_INPUTS]):
        model = Model(target=proposal.model.target, input=said)
        try:
            record = count(model, root).record
        except CountError:
            continue
        if not record.uncounted:
            return Proposal(proposal.name, proposal.candidate, model, record)
    return proposal


def _targets(said: str, root: Path) -> list[str]:
    """How a file's model may be named: by its package where it is in one (relative imports need that), by its path."""
    location, _, attribute = said.partition(":")
    path = root / location
    top = path.parent
    while (top / "__init__.py").is_file() and top != root:
        top = top.parent
    dotted = [
        ".".join((*path.parent.relative_to(folder).parts, path.stem)) for folder in (top, root) if folder != path.parent
    ]
    names = [f"{name.removesuffix('.__init__')}:{attribute}" for name in dotted if _IMPORTABLE.fullmatch(name)]
    in_package = top != path.parent and top in (root, root / "src")
    return list(dict.fromkeys([*names[:1], said, *names] if in_package else [said, *names]))


def configuration_text(proposals: Iterable[Proposal], prefix: str) -> str:
    """The tables for proposals; those that can't be used stand as comments that say why."""
    parts = ["# What each model may cost: `analyze check` holds it, `analyze lock` accepts what it costs now.\n"]
    for proposal in proposals:
        lines = [f"[{prefix}models.{proposal.name}]", f"target = {_quoted(proposal.model.target or '')}"]
        if proposal.problem:
            why = " ".join(proposal.problem.split())
            parts.append("\n".join(f"# {line}" for line in [f"Left out: {why}", *lines]) + "\n")
            continue
        said = proposal.model.input
        if isinstance(said, str):
            lines.append(f"input = {_shape(said)}")
        lines += [f"[{prefix}models.{proposal.name}.budgets]", f"params = {_budget(proposal.record, 'params')}"]
        if isinstance(said, str):
            lines.append(f"macs = {_budget(proposal.record, 'macs')}")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _shape(said: str) -> str:
    return f"[{said.replace(',', ', ')}]" if re.fullmatch(r"[0-9,]+", said) else _quoted(said)


def _budget(record: Record | None, figure: str) -> str:
    growth = 'growth = "5%"' + (', growth-min = "1k"' if figure == "params" else "")
    value: int | None = getattr(record, figure) if record is not None else None
    return f'{{ max = "{as_bound(value * 11 // 10 + 1)}", {growth} }}' if value else f"{{ {growth} }}"


def _quoted(text: str) -> str:
    """A TOML basic string: JSON's escapes are TOML's."""
    return json.dumps(text, ensure_ascii=False)


# -- by importing ----------------------------------------------------------------------------------------------


def _imported(root: Path, say: Callable[[str], None]) -> list[Candidate]:
    """Module classes, instances and annotated factories that every file defines once it is imported: runs its code."""
    guesses = {candidate.target: candidate.input for candidate in candidates(root)}
    makers = []
    for path in files(root):
        location = path.relative_to(root).as_posix()
        target = ModuleTarget(name=location, location=location, attribute="")
        try:
            with contextlib.chdir(root), users_code(target):
                module = import_module(target)
        except AnalyzerError as error:
            say(f"left out {location}: {error.what}")
            continue
        for name, value in vars(module).items():
            if not name.startswith("_") and _makes_a_module(value, module):
                line = (place_of(value, root) or (location, 1))[1]
                said = f"{location}:{name}"
                makers.append(Candidate(said, name, line, _needed(value), guesses.get(said)))
    return makers


def _makes_a_module(value: Any, module: ModuleType) -> bool:
    from torch import nn

    if isinstance(value, nn.Module):
        return True
    if getattr(value, "__module__", None) != module.__name__:
        return False
    if isinstance(value, type):
        return issubclass(value, nn.Module)
    if not inspect.isfunction(value):
        return False
    try:
        returned = typing.get_type_hints(value).get("return")
    except Exception:  # an annotation may be any expression of the user's
        return False
    return isinstance(returned, type) and issubclass(returned, nn.Module)


def _needed(value: Any) -> tuple[str, ...]:
    if not isinstance(value, type) and not inspect.isfunction(value):
        return ()
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(value).parameters.values()
    return tuple(p.name for p in parameters if p.default is p.empty and p.kind not in kinds)
