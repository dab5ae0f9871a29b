"""The lock file: the same models give the same text, what is read is what was written, merges stay small."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from project import Project, finding

from analyzer.budget.lock_file import SUMS, Identity, Lock, Locked, from_text, natural, to_text
from analyzer.errors import BaselineError
from analyzer.records import LayerRow

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
counts = st.integers(0, 2**63 - 1)
layers = st.builds(
    LayerRow,
    path=texts,
    type=texts,
    output=st.none() | st.lists(st.integers(0, 9), max_size=4).map(tuple),
    params=counts,
    macs=st.none() | counts,
    conv_activations=st.none() | counts,
    saved_bytes=st.none() | counts,
)
identities = st.builds(
    Identity,
    target=texts,
    kwargs=st.dictionaries(texts, st.integers() | texts | st.booleans() | st.lists(texts), max_size=3),
    inputs=st.lists(texts, max_size=2).map(tuple),
    dtype=st.none() | st.just("bfloat16"),
    batch=st.integers(1, 64),
)
models = st.builds(
    Locked,
    identity=identities,
    rows=st.lists(layers, max_size=5, unique_by=lambda row: row.path).map(
        lambda rows: tuple(sorted(rows, key=lambda row: natural(row.path)))
    ),
    others=st.dictionaries(st.sampled_from(["depth", "param_bytes"]), counts),
)


def figures(model: Locked) -> list[str]:
    """Those that have a line: the ones that don't add up, and the sums that are known."""
    return [*model.others, *(name for name in SUMS if model.figure(name) is not None)]


@pytest.mark.slow
@given(st.dictionaries(texts, models, max_size=3))
@settings(max_examples=200, deadline=None)
def test_what_is_written_is_read(written: dict[str, Locked]) -> None:
    text = to_text(Lock(written))
    assert from_text(text, "lock").models == written
    assert to_text(from_text(text, "lock")) == text
    assert text.count("\n") == 1 + sum(1 + len(m.rows) + len(figures(m)) for m in written.values())
    assert from_text(text.replace("\n", "\n\n"), "lock").models == written


@given(st.text(max_size=200))
def test_any_other_text_is_no_baseline(text: str) -> None:
    with pytest.raises(BaselineError):
        from_text(text, "lock")


LINES = (Path(__file__).parents[2] / "examples" / "budget" / "analyzer.lock").read_text().splitlines()
MARKS = ('"schema"', '"target"', '"depth"', '"trainable_params"', '"param_bytes"', '"params","value"', '"path"')
ONE_OF_EACH = [next(i for i, line in enumerate(LINES) if mark in line) for mark in MARKS]


@pytest.mark.parametrize("number", ONE_OF_EACH)
def test_no_digit_or_letter_of_any_line_is_edited_unseen(number: int) -> None:
    assert from_text("\n".join(LINES), "lock").has_digests
    line = LINES[number]
    for place, old in enumerate(line):
        new = chr(ord(old) ^ 1)
        if old.isalnum() and new.isalnum():
            edited = [*LINES[:number], line[:place] + new + line[place + 1 :], *LINES[number + 1 :]]
            with pytest.raises(BaselineError):
                from_text("\n".join(edited), "lock")


def test_a_line_without_its_digest_is_edited() -> None:
    for number in ONE_OF_EACH:
        bare = re.sub(r',"digest":"\w+"', "", LINES[number])
        with pytest.raises(BaselineError, match="digest"):
            from_text("\n".join([*LINES[:number], bare, *LINES[number + 1 :]]), "lock")


def without_digests(text: str, **figures: int) -> str:
    """A lock file as it was before lines had digests, with some figures in place of its own."""
    text = re.sub(r',"digest":"\w+"', "", text).replace('{"schema":2', '{"schema":1')
    for figure, value in figures.items():
        text = re.sub(rf'("figure":"{figure}","value":)\d+', rf"\g<1>{value}", text)
    return text


def test_a_lock_without_digests_is_read_with_a_note_and_written_anew(tmp_path: Path) -> None:
    project = Project(tmp_path / "models")
    now = project.read("analyzer.lock")
    project.write("analyzer.lock", without_digests(now))
    code, verdict = project.check()
    assert (code, finding(verdict, "stale")["level"]) == (0, "note")
    assert "analyze lock" in finding(verdict, "stale")["fix"]
    assert project.run("lock", "--check").returncode == 4
    done = project.run("lock")
    assert done.returncode == 0
    assert "upgraded analyzer.lock" in done.stderr
    assert project.read("analyzer.lock") == now


def test_pairs_of_figures_that_cannot_be_are_refused() -> None:
    old = without_digests("\n".join(LINES))
    assert not from_text(old, "lock").has_digests
    for figures in ({"trainable_params": 10**12}, {"depth": -1}):
        with pytest.raises(BaselineError):
            from_text(without_digests(old, **figures), "lock")


def test_locking_again_changes_nothing_and_two_at_once_leave_one_whole(tmp_path: Path) -> None:
    project = Project(tmp_path / "models")
    before = project.read("analyzer.lock")
    assert project.run("lock").returncode == 0
    assert project.read("analyzer.lock") == before
    order = project.read("pyproject.toml").split("[tool.analyzer.models.reader]")
    assert len(order) == 2
    assert not list(project.folder.glob(".*.tmp"))
    assert not list(project.folder.rglob("__pycache__"))


def test_branches_that_touch_different_layers_merge_without_a_conflict_in_their_lines(tmp_path: Path) -> None:
    project = Project(tmp_path / "models")
    project.branch("one")
    project.edit("cnn.py", "x.mean((2, 3))", "x.amax((2, 3))")
    project.edit("transformer.py", "nhead=4", "nhead=2")
    project.run("lock")
    project.commit("The transformer's heads")
    project.git("checkout", "--quiet", "main")
    project.branch("two")
    project.edit("pyproject.toml", "compression = 0.25", "compression = 0.3")
    project.run("lock")
    project.commit("Another variant")
    project.git("merge", "--quiet", "--no-edit", "one")
    assert project.run("lock", "--check").returncode == 0


def test_a_model_that_can_not_be_counted_leaves_the_lock_as_it_was(tmp_path: Path) -> None:
    project = Project(tmp_path / "models")
    before = project.read("analyzer.lock")
    project.edit("transformer.py", "x = layer(x)", "x = layer(y)")
    done = project.run("lock")
    assert done.returncode == 3
    assert "reader" in done.stderr
    assert project.read("analyzer.lock") == before


def test_check_says_how_the_lock_differs(tmp_path: Path) -> None:
    project = Project(tmp_path / "models")
    project.edit("cnn.py", "nn.Linear(4 * width, classes)", "nn.Linear(4 * width, classes, bias=False)")
    done = project.run("lock", "--check")
    assert done.returncode == 4
    assert "cnn: params from 288,746 to 288,736" in done.stderr
    (project.folder / "analyzer.lock").unlink()
    assert "there is no lock file" in project.run("lock", "--check").stderr


@pytest.mark.slow
def test_a_merge_that_kept_both_sides_is_no_baseline(tmp_path: Path) -> None:
    project = Project(tmp_path / "models")
    project.write(".gitattributes", "analyzer.lock merge=union\n")
    project.edit("cnn.py", "self.stage3", "self.last")
    project.edit("pyproject.toml", "stage3.**", "last.**")
    project.run("lock")
    project.commit("One name")
    project.branch("other")
    project.git("reset", "--quiet", "--hard", "HEAD~1")
    project.write(".gitattributes", "analyzer.lock merge=union\n")
    project.edit("cnn.py", "self.stage3", "self.final")
    project.edit("pyproject.toml", "stage3.**", "final.**")
    project.run("lock")
    project.commit("Another name")
    project.git("merge", "--quiet", "--no-edit", "--strategy-option=theirs", "main")
    code, verdict = project.check()
    assert code == 4
    assert "add up to" in finding(verdict, "stale")["what"]
    assert project.run("lock").returncode == 0
    assert project.check()[0] == 0
