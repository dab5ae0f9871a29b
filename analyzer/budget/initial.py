"""`analyze init`: a first configuration and lock file for the models of a package. Nothing that is there is changed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from analyzer.budget import lock_file
from analyzer.budget.configuration import FILES, Project, parse
from analyzer.budget.counting import first_fitting, identity_of
from analyzer.budget.discovery import Candidate, found
from analyzer.budget.imported_models import imported
from analyzer.budget.initial_text import configuration_text
from analyzer.budget.lock_file import Lock, locked
from analyzer.budget.schema import Model, schema_text
from analyzer.budget.untrusted_files import read_text
from analyzer.errors import AnalyzerError, UsageError
from analyzer.files import require_writable, write_text
from analyzer.records import Record

MOST_BUILT = 12
"""How many models are built where no number is asked for; the others are listed."""
SCHEMA_FILE = "analyzer.schema.json"
"""What editors read; a new analyzer.toml names it in its first line."""
SECONDS = 120.0
"""The longest that one model may take."""
USUAL_INPUTS = ("1,3,224,224", "1,3,32,32", "1,1,28,28", "1,{tokens}:int64")
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
    """What was written, or would be: the configuration's file and text, the lock (None: nothing was built)."""

    file: Path
    lock: Path | None
    proposals: tuple[Proposal, ...]
    text: str


def init(
    folder: str | Path = ".",
    *,
    build: bool = True,
    by_import: bool = False,
    most: int = MOST_BUILT,
    dry_run: bool = False,
    schema: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Initial:
    """Finds models by reading (`by_import`: by importing) the package in `folder`, and configures them.

    `say` is told of files that can't be imported. With `build` the first `most` that can be made are built and counted,
    each in a process of its own, which runs its code: that finds its input and gives the lock file. What is left out
    stands in the file as a comment with its reason. Writes to pyproject.toml's end, or to analyzer.toml where there is
    none, and with `schema` the JSON Schema beside it; nothing with `dry_run`. Raises UsageError where there is a
    configuration or lock already, or no model is found.
    """
    root = Path(folder).resolve()
    file = _place(root)
    makers = imported(root, say) if by_import else found(root, say)
    if not makers:
        fix = 'say [tool.analyzer.models.NAME] by hand, with target = "path.py:attr"'
        raise UsageError("no class or function that makes an nn.Module was found", where=str(root), fix=fix)
    proposals = _proposals(makers, root, most if build else 0)
    made = _configured(file, root, proposals, schema)
    models = {
        p.name: locked(p.record, identity_of(made.configuration.models[p.name], root))
        for p in proposals
        if p.record is not None and not p.problem
    }
    if not dry_run:
        write_text(file, made.text)
        if schema:
            write_text(root / SCHEMA_FILE, schema_text())
        if models:
            lock_file.write(Lock(models), made.lock)
    return Initial(file, made.lock if models else None, tuple(proposals), made.text)


def _proposals(makers: Sequence[Candidate], root: Path, most: int) -> list[Proposal]:
    """A proposal for each: built until `most` are; a part only where no whole model could be. 0 builds none."""
    left: list[Proposal] = []
    read = [_read(name, candidate, root) for name, candidate in zip(_names(makers), makers, strict=True)]
    if not most:
        return read
    used = 0
    for proposal in read:
        if proposal.problem and not (proposal.candidate.part_of and not used and not proposal.candidate.needs):
            left.append(proposal)
        elif used == most:
            left.append(replace(proposal, problem=f"{most} others were built: `analyze init --most N` builds more"))
        else:
            built = _built(replace(proposal, problem=""), root)
            used += not built.problem
            left.append(built)
    return sorted(left, key=lambda proposal: bool(proposal.problem))


def _read(name: str, candidate: Candidate, root: Path) -> Proposal:
    """What reading alone gives."""
    kwargs = {key: _named_for(value, root) for key, value in candidate.kwargs.items()}
    model = Model(target=_targets(candidate.target, root)[0], kwargs=kwargs, input=_said(candidate.input))
    problem = f"needs kwargs: {', '.join(candidate.needs)}" if candidate.needs else ""
    if candidate.part_of:
        problem = f"a part of {candidate.part_of}"
    return Proposal(name, candidate, model, problem=problem)


def _named_for(value: Any, root: Path) -> Any:
    """A value whose configuration tables are named so that their modules' imports work."""
    if isinstance(value, dict):
        entries = {key: _named_for(entry, root) for key, entry in value.items()}
        maker = entries.get("from")
        return entries | {"from": _targets(maker, root)[0]} if isinstance(maker, str) else entries
    return [_named_for(entry, root) for entry in value] if isinstance(value, list) else value


def _said(text: str | None) -> str | list[Any] | None:
    """An input as the configuration has it: one, or a list of several."""
    return list(text.split(";")) if text and ";" in text else text


def _built(proposal: Proposal, root: Path) -> Proposal:
    """The proposal counted, on the first input that the model takes; without one on its parameters alone."""
    candidate, model = proposal.candidate, proposal.model
    named = [msgspec.structs.replace(model, target=t, input=None) for t in _targets(candidate.target, root)]
    usual = (said.format(tokens=candidate.tokens) for said in USUAL_INPUTS)
    given = [_said(said) for said in dict.fromkeys([*candidate.inputs, *usual])]
    inputs = [msgspec.structs.replace(model, input=each) for each in given]
    try:
        made = first_fitting(named, inputs, root, SECONDS)
    except AnalyzerError as error:
        return replace(proposal, problem=error.what)
    if not made.record.params:
        return replace(proposal, problem="has no parameters")
    chosen = msgspec.structs.replace(named[made.model], input=None if made.input is None else given[made.input])
    return replace(proposal, model=chosen, record=made.record)


def _configured(file: Path, root: Path, proposals: Sequence[Proposal], schema: bool) -> Project:
    """The file with the proposals at its end; not yet written."""
    text = configuration_text(proposals, "" if file.name == "analyzer.toml" else "tool.analyzer.")
    before = read_text(file) or (f"#:schema ./{SCHEMA_FILE}\n" if schema else "")
    whole = before + ("\n" if before and not before.endswith("\n") else "") + ("\n" if before else "") + text
    configuration = parse(whole, file.name)
    if configuration is None:  # nothing but comments in pyproject.toml
        configuration = parse("", "analyzer.toml")
    assert configuration is not None
    return Project(configuration=configuration, root=root, file=file.name, text=whole)


def _place(root: Path) -> Path:
    """The file to write to. UsageError rather than touch what is configured, or where nothing can be written."""
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
    file = root / ("pyproject.toml" if (root / "pyproject.toml").exists() else "analyzer.toml")
    for path in (file, root / lock_file.FILE):
        require_writable(path)
    return file


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
    own = [re.sub(r"[^a-z0-9_-]", "_", name) for name in own]
    short = [stem if name in _GENERIC else name for name, stem in zip(own, stems, strict=True)]
    full = [f"{stem}_{name}" for stem, name in zip(stems, own, strict=True)]
    names = [name if short.count(name) == 1 else whole for name, whole in zip(short, full, strict=True)]
    return [f"{name}_{names[:i].count(name) + 1}" if name in names[:i] else name for i, name in enumerate(names)]


def _targets(said: str, root: Path) -> list[str]:
    """How a file's model may be named: by its package where it is in one (relative imports need that), by its path."""
    location, _, attribute = said.partition(":")
    if not location.endswith(".py"):
        return [said]
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
