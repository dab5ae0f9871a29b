"""Names that attack each format's reader stay text in it."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import jsonschema
import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from lxml import etree
from markdown_it import MarkdownIt
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from verdicts import ATTACK, FAILED, FORMULAS, hostile

from analyzer.budget.outputs import FORMATS, render
from analyzer.budget.outputs.facts import plain
from analyzer.budget.verdict import Verdict

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parent / "data"
SARIF = jsonschema.Draft7Validator(json.loads((DATA / "sarif-schema-2.1.0.json").read_text()))
JUNIT = etree.XMLSchema(etree.parse(DATA / "junit-10.xsd"))
UNSEEN = {*map(chr, (*range(9), *range(11, 32), *range(0x7F, 0xA0), *range(0x202A, 0x202F)))}

texts = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=40),
    st.lists(
        st.sampled_from(["|", "`", "::error::", "]]>", "<", "&", "\n", "\x1b[2J", "=", "%", "\ud800", "##[", '"'])
    ).map("".join),
)


def attacked(test):
    """Runs a test on a verdict of hostile texts: the attack, formulas, and whatever hypothesis finds."""
    run = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))(given(text=texts)(test))
    for text in ("", ATTACK, "::error::x", *FORMULAS):
        run = example(text=text)(run)
    return run


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "html"])
@attacked
def test_text_has_no_control_characters_and_can_be_encoded(format: str, text: str) -> None:
    shown = render(hostile(text), format)
    assert shown.encode()
    assert not UNSEEN & set(shown)


@attacked
def test_names_come_back_whole_from_json(text: str) -> None:
    data = json.loads(render(hostile(text), "json"))
    assert msgspec.json.decode(render(hostile(text), "json"))
    if not any("\ud800" <= char <= "\udfff" for char in text):
        assert data["findings"][0]["model"] == text
        assert data["findings"][0]["changes"][0]["path"] == text


@attacked
def test_junit_stays_valid(text: str) -> None:
    root = etree.fromstring(render(hostile(text), "junit").encode())
    JUNIT.assertValid(root)
    assert {element.tag for element in root.iter()} <= {
        *("testsuites", "testsuite", "properties", "property", "testcase", "failure", "system-out", "system-err")
    }


@attacked
def test_sarif_stays_valid_and_its_messages_link_nowhere(text: str) -> None:
    data = json.loads(render(hostile(text), "sarif"))
    SARIF.validate(data)
    for result in data["runs"][0]["results"]:
        uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert re.fullmatch(r"[A-Za-z0-9_.~/%-]+", uri)
        assert not urlsplit(uri).scheme
        message = result["message"]["text"].replace("\\\\", "")
        assert "[" not in message.replace("\\[", "")


@attacked
def test_gitlab_names_a_file_in_one_line(text: str) -> None:
    for issue in json.loads(render(hostile(text), "gitlab")):
        assert issue["location"]["path"] == plain(issue["location"]["path"])
        assert issue["location"]["path"]


@attacked
def test_github_runs_no_command_but_its_own(text: str) -> None:
    lines = render(hostile(text), "github").splitlines()
    assert len(lines) == 3
    for line, command in zip(lines, ("::error file=", "::warning file=", "Over budget: "), strict=True):
        assert line.startswith(command)
    assert "##[" not in lines[2]
    for line in lines[:2]:
        properties = line.split("::", 2)[1].split(" ", 1)[1]
        assert [pair.split("=")[0] for pair in properties.split(",")] == ["file", "line", "title"]


@attacked
def test_the_terminals_text_is_no_command_in_a_ci_log(text: str) -> None:
    for line in render(hostile(text + "##[error]x"), "table").splitlines():
        assert not line.lstrip().startswith("::")
        assert "##[" not in line


@attacked
def test_csv_has_no_formula(text: str) -> None:
    rows = list(csv.reader(io.StringIO(render(hostile(text), "csv"))))
    assert {len(row) for row in rows} == {len(rows[0])}
    for cell in (cell for row in rows for cell in row):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")) or cell.lstrip("-").isdigit()


@attacked
def test_markdown_has_the_same_elements_whatever_the_names_are(text: str) -> None:
    markdown = MarkdownIt("gfm-like", {"html": True, "linkify": False})
    parsed = markdown.parse(render(hostile(text), "md"))
    kinds = {token.type for token in parsed} | {c.type for token in parsed for c in token.children or ()}
    assert not kinds & {"html_inline", "link_open", "image", "code_inline", "em_open", "fence", "code_block", "s_open"}
    assert [t.content.strip() for t in parsed if t.type == "html_block"] == [
        "<!-- analyzer-budget -->", "<details><summary>Who pays</summary>", "</details>",
    ]  # fmt: skip
    cells = [sum(t.type in ("td_open", "th_open") for t in row) for row in _rows(parsed)]
    assert cells == [8, 8, 8]


def _rows(tokens: list) -> list[list]:
    starts = [i for i, token in enumerate(tokens) if token.type == "tr_open"]
    ends = [i for i, token in enumerate(tokens) if token.type == "tr_close"]
    return [tokens[a:b] for a, b in zip(starts, ends, strict=True)]


@attacked
def test_openmetrics_parses(text: str) -> None:
    families = {f.name: f for f in text_string_to_metric_families(render(hostile(text), "openmetrics"))}
    assert families["analyzer_budget_value"].samples[0].labels["model"] == plain(text)


@pytest.mark.parametrize("text", ["", ATTACK, "]]>", "-->", "<!--", *FORMULAS])
def test_html_has_the_same_elements_as_with_a_plain_name(text: str) -> None:
    assert _elements(hostile(text or "x")) == _elements(hostile("plain name"))


def _elements(verdict: Verdict) -> list[tuple[str, tuple[str, ...]]]:
    """Tags and attribute names of the page's lead and body, less drawn labels that depend on widths."""
    found: list[tuple[str, tuple[str, ...]]] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.append((tag, tuple(name for name, _ in attrs)))
    page = render(verdict, "html")
    assert page.encode()
    parser.feed(page[page.index('<section id="check"') : page.index('<section id="verdict"')])
    return found


@pytest.mark.parametrize("format", FORMATS)
def test_a_console_of_another_encoding_does_not_break_the_check(format: str) -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests/budget'); from verdicts import FAILED; "
        f"from analyzer.budget.outputs import write; write(FAILED, {format!r}, None)"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()


def test_terminal_text_is_measured_and_coloured_without_being_trusted() -> None:
    from analyzer.budget.outputs.table import render as table

    coloured = table(hostile("[bold]x[/bold] \x1b[31m"), color=True)
    assert "[bold]x[/bold]" in coloured
    assert "\\u001b[31m" in coloured
    assert "\x1b[1;31m" in table(FAILED, color=True)
