"""`analyze history`: the lock file over real commits, as a table, as data, and as a page in a browser."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from project import Project

from analyzer.budget.git import Repository
from analyzer.errors import UsageError


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Three commits of the lock file, one of them unreadable, and one that leaves it alone."""
    project = Project(tmp_path / "models")
    project.commit("Words")
    project.write("analyzer.lock", "not a lock\n")
    project.commit("A slip")
    project.edit("cnn.py", "4 * width", "5 * width")
    project.run("lock")
    project.commit("=Wider <script>alert(1)</script>")
    return project


def test_every_figure_over_commits(project: Project) -> None:
    done = project.run("history", "--format", "json", "--model", "cnn", "--figure", "params", "--figure", "depth")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [(row["params"], row["depth"]) for row in rows] == [(288_746, 7), (390_570, 7)]
    assert rows[-1]["commit"] == project.git("rev-parse", "HEAD")
    assert "a slip" not in done.stdout.lower()
    assert "is none of a lock file's" in done.stderr


def test_the_table_shows_what_changed(project: Project) -> None:
    lines = project.run("history").stdout.splitlines()
    assert sum("cnn" in line for line in lines) == 2
    assert sum("reader" in line for line in lines) == 1
    assert "390,570 (+35.3 %)" in lines[2]


def test_formulas_and_markup_stay_text(project: Project) -> None:
    rows = list(csv.reader(io.StringIO(project.run("history", "--format", "csv").stdout)))
    assert any(cell.startswith("'=Wider") for row in rows for cell in row)
    assert "<script>" not in project.run("history", "--format", "md").stdout
    project.run("history", "--html", "page.html")
    page = project.read("page.html")
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_page_has_the_budget_and_links_to_commits(project: Project) -> None:
    project.git("remote", "add", "origin", "git@example.org:team/nets.git")
    project.run("history", "--html", "page.html")
    page = project.read("page.html")
    assert f'href="https://example.org/team/nets/commit/{project.git("rev-parse", "HEAD")}"' in page
    assert ">budget 300.00 k<" in page
    assert ">200 k<" in page


@pytest.mark.parametrize(
    ("remote", "address"),
    [("https://example.org/a/b.git", "https://example.org/a/b"), ("ssh://git@example.org/a/b", "https://example.org/a/b"),
     ("https://name:secret@example.org/a/b", ""), ("/srv/git/a.git", ""), ("javascript:alert(1)", "")],
)  # fmt: skip
def test_a_repository_s_page_is_read_from_its_remote(project: Project, remote: str, address: str) -> None:
    project.git("remote", "add", "origin", remote)
    assert Repository(project.folder).web() == address


def test_bounds_and_errors(project: Project, tmp_path: Path) -> None:
    done = project.run("history", "--last", "1", "--format", "jsonl")
    assert {json.loads(line)["commit"] for line in done.stdout.splitlines()} == {project.git("rev-parse", "HEAD")}
    assert "only the last 1 commits" in done.stderr
    assert "did you mean 'cnn'" in project.run("history", "--model", "cn").stderr
    project.git("rm", "--quiet", "analyzer.lock")
    project.commit("No lock any more")
    assert project.run("history").returncode == 0
    fresh = Project(tmp_path / "fresh")
    fresh.git("checkout", "--quiet", "--orphan", "other")
    fresh.git("rm", "--quiet", "--force", "analyzer.lock")
    fresh.commit("Never")
    assert fresh.run("history").returncode == 4


def test_from_python(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    import analyzer

    found = analyzer.history(project.folder, models=["cnn"])
    assert list(found.frame()["params"]) == [288_746, 390_570]
    assert "<table" in found._repr_html_()
    page = found.report(project.folder / "history.html").read_text(encoding="utf-8")
    for shown in (page, found._repr_html_()):
        assert "cnn: params" in shown
        assert "<svg" in shown
    verdict = analyzer.check(project.folder)
    assert verdict.exit_code == 1
    assert set(verdict.frame()["known"]) == {"exact"}
    assert verdict.frame().query("model == 'cnn' and figure == 'params' and group.isna()")["value"].item() == 390_570
    with pytest.raises(UsageError):
        analyzer.history(project.folder, models=["none"])
