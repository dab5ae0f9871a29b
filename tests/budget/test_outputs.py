"""Each output format says all there is to say, in the shape that its readers ask for."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import jsonschema
import msgspec
import pytest
from lxml import etree
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from verdicts import FAILED, GREW, PASSED, SMALLER, verdict

from analyzer.budget.outputs import FORMATS, parse_output, render, write
from analyzer.budget.outputs.table import for_terminal
from analyzer.budget.verdict import Budgeted, Finding, Kind, Level, ModelVerdict, Verdict
from analyzer.errors import UsageError

DATA = Path(__file__).parent / "data"
SARIF = json.loads((DATA / "sarif-schema-2.1.0.json").read_text())
BROKEN = Finding(
    kind="broken", level="error", model="", what="net.py has no build", where="net.py:build", fix="name it"
)
NOTHING = Verdict(models=(), findings=(BROKEN,), baseline="", configuration="pyproject.toml")


def junit_schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(DATA / "junit-10.xsd"))


def text_of(html: str) -> str:
    """What a page shows, without its scripts and styles."""
    found: list[str] = []
    parser = HTMLParser()
    parser.handle_data = lambda data: found.append(data) if parser.lasttag not in ("script", "style") else None
    parser.feed(html)
    return " ".join(found)


def without_separators(text: str) -> str:
    return re.sub(r"(?<=\d),(?=\d{3})", "", text).replace("\\", "")


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_tells_a_finding_of_every_kind(format: str) -> None:
    for kind in get_args(Kind):
        for level in get_args(Level):
            found = Finding(kind=kind, level=level, model="tiny", what="wordsofit", fix="mendit")
            text = render(Verdict(models=(), findings=(found,), baseline="", configuration="pyproject.toml"), format)
            assert "wordsofit" in text, (kind, level)
            assert kind in text or format == "junit", (kind, level)  # where only errors are cases of their own


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_says_what_grew_by_how_much_where_and_how_to_fix_it(format: str) -> None:
    text = render(FAILED, format)
    text = without_separators(text_of(text) if format == "html" else text)
    for said in (
        "tiny",
        "params",
        "2500",
        "2000",
        "1800",
        "700",
        "features.conv2",
        "600",
        "make features.conv2 narrower",
    ):
        assert said in text, said
    assert "ask the phone team" in text


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("checked", [PASSED, NOTHING, verdict()], ids=["passed", "no model", "no finding"])
def test_every_format_can_say_little(format: str, checked: Verdict) -> None:
    text = render(checked, format)
    assert text.endswith("\n")
    for finding in checked.findings:
        assert finding.what.split(".")[0] in text.replace("\\", "")


def test_an_output_is_a_format_and_a_path() -> None:
    assert parse_output("json=out/a=b.json") == ("json", "out/a=b.json")
    assert parse_output("table") == ("table", "-")
    assert parse_output("md=-") == ("md", "-")
    for wrong, said in (("jsn=x", "did you mean 'json'"), ("json=", "names no file"), ("json=a\0b", "NUL")):
        with pytest.raises(UsageError, match=said):
            parse_output(wrong)


def test_writes_files_and_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(FAILED, "json", str(tmp_path / "new" / "budget.json"))
    assert json.loads((tmp_path / "new" / "budget.json").read_text())["exit_code"] == 1
    assert capsys.readouterr().out == ""
    write(FAILED, "table", None)
    assert capsys.readouterr().out == render(FAILED, "table")
    write(FAILED, "csv", "-")
    assert capsys.readouterr().out == render(FAILED, "csv")
    with pytest.raises(UsageError, match="can't be written"):
        write(FAILED, "csv", str(tmp_path))


def test_json_holds_the_whole_verdict() -> None:
    data = json.loads(render(FAILED, "json"))
    assert [f.pop("growth") for f in data["findings"]] == [700, None, -10, None]
    assert [c.pop("delta") for c in data["findings"][0]["changes"]] == [600, 100]
    assert (data.pop("exit_code"), data.pop("ok")) == (1, False)
    for model in data["models"]:
        for record in filter(None, (model["record"], model["before"])):
            assert record.pop("notes") == [remark["text"] for remark in record["remarks"]]
    assert msgspec.convert(data, Verdict) == FAILED


def test_table_shows_figures_in_columns() -> None:
    lines = [line.split() for line in render(FAILED, "table").splitlines()]
    assert ["params", "exact", "2,500", "1,800", "+700", "(+38.9", "%)", "2,000", "−500"] in lines
    assert render(FAILED, "table").splitlines()[-1] == (
        "Over budget: 1 error and 1 warning in 1 model. Compared with analyzer.lock."
    )
    assert "\x1b" not in render(FAILED, "table")


def test_what_is_below_its_least_is_under_and_not_over() -> None:
    small = msgspec.structs.replace(GREW, what="params are below min", value=1500, limit=2000, base=None, changes=())
    assert "figure params, value 1,500, known exact, limit 2,000, under 500\n" in render(verdict(small), "table")


def test_csv_has_a_row_a_paying_layer_and_a_figure() -> None:
    rows = list(csv.DictReader(io.StringIO(render(FAILED, "csv"))))
    assert [(row["level"], row["layer"], row["layer_growth"]) for row in rows[:3]] == [
        ("error", "features.conv2", "600"),
        ("error", "head", "100"),
        ("warning", "", ""),
    ]
    figures = [row for row in rows if row["level"] == "figure"]
    assert [(row["figure"], row["layers"], row["value"], row["limit"], row["growth"]) for row in figures] == [
        ("params", "", "2500", "2000", "700"),
        ("params", "features.conv2.**", "1600", "1700", "600"),
        ("saved_bytes", "", "96", "", "32"),
    ]


def test_markdown_is_found_again_by_its_first_line_and_fits_a_comment() -> None:
    text = render(FAILED, "md")
    assert text.splitlines()[0] == "<!-- analyzer-budget -->"
    assert "## ❌ Over budget: 1 error and 1 warning in 1 model" in text
    assert "## ✅ Within budget: 1 model" in render(PASSED, "md")
    long = render(verdict(*[GREW] * 2000), "md")
    assert len(long) < 65_536
    assert long.endswith("Cut here: the other formats have everything.\n")
    assert long.count("❌ **tiny: params excess**") > 100


def test_junit_is_valid_and_counts_its_cases() -> None:
    for checked in (FAILED, PASSED, NOTHING):
        junit_schema().assertValid(etree.fromstring(render(checked, "junit").encode()))
    suite = etree.fromstring(render(FAILED, "junit").encode())[0]
    counts = {name: suite.get(name) for name in ("name", "tests", "failures", "errors")}
    assert counts == {"name": "tiny", "tests": "3", "failures": "1", "errors": "0"}
    (failure,) = suite.iter("failure")
    assert failure.getparent().get("name") == "params"
    assert failure.get("type") == "excess"
    assert "waiver" in suite.findtext("system-out")
    assert etree.fromstring(render(NOTHING, "junit").encode()).find("*/testcase/error").get("type") == "broken"


def test_sarif_is_valid_by_the_published_schema() -> None:
    for checked in (FAILED, PASSED, NOTHING, verdict()):
        jsonschema.Draft7Validator(SARIF).validate(json.loads(render(checked, "sarif")))
    run = json.loads(render(FAILED, "sarif"))["runs"][0]
    grew, _, _, waived = run["results"]
    assert (grew["ruleId"], grew["level"]) == ("excess", "error")
    assert grew["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "net.py"},
        "region": {"startLine": 12},
    }
    assert [place["fullyQualifiedName"] for place in grew["locations"][0]["logicalLocations"]] == [
        "tiny.features.conv2",
        "tiny.head",
    ]
    assert [run["tool"]["driver"]["rules"][r["ruleIndex"]]["id"] for r in run["results"]] == [
        f.kind for f in FAILED.findings
    ]
    assert waived["suppressions"][0]["status"] == "accepted"
    assert run["invocations"] == [{"executionSuccessful": True, "exitCode": 1}]


def test_gitlab_issues_have_stable_and_unique_fingerprints() -> None:
    issues = json.loads(render(FAILED, "gitlab"))
    assert issues[0]["severity"] == "major"
    assert issues[0]["check_name"] == "analyzer-excess"
    assert issues[0]["location"] == {"path": "net.py", "lines": {"begin": 12}}
    assert issues[1]["location"] == {"path": "pyproject.toml", "lines": {"begin": 1}}
    grown = msgspec.structs.replace(GREW, value=2600, what="params 2,600 are 600 above", line=40)
    again = json.loads(render(verdict(SMALLER, grown, grown), "gitlab"))
    assert again[1]["fingerprint"] == issues[0]["fingerprint"]
    assert len({issue["fingerprint"] for issue in again}) == 3


def test_github_annotates_ten_at_most_and_says_how_many_more() -> None:
    lines = render(FAILED, "github").splitlines()
    assert lines[0].startswith("::error file=net.py,line=12,title=tiny%3A params excess::params 2,500 are 500 above")
    assert "%0Apaid by: features.conv2 (Conv2d): +600, from 1,000 to 1,600" in lines[0]
    assert [line.split(" ")[0] for line in lines] == ["::error", "::warning", "::notice", "::notice", "Over"]
    many = render(verdict(SMALLER, *[GREW] * 24), "github").splitlines()
    assert sum(line.startswith("::") for line in many) == 10
    assert "16 more findings" in many[9]
    assert all(line.startswith("::error") for line in many[:10])


def test_github_appends_the_summary_where_a_workflow_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    write(FAILED, "github", "-")
    assert summary.read_text() == "before\n" + render(FAILED, "md")
    assert capsys.readouterr().out == render(FAILED, "github")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    with pytest.raises(UsageError, match="GITHUB_STEP_SUMMARY"):
        write(FAILED, "github", "-")


def test_openmetrics_parses_and_holds_the_figures() -> None:
    families = {family.name: family for family in text_string_to_metric_families(render(FAILED, "openmetrics"))}
    values = {tuple(s.labels.values()): s.value for s in families["analyzer_budget_value"].samples}
    assert values == {
        ("tiny", "params", ""): 2500,
        ("tiny", "params", "features.conv2.**"): 1600,
        ("tiny", "saved_bytes", ""): 96,
    }
    growth = [(s.labels["layer"], s.value) for s in families["analyzer_budget_layer_growth"].samples]
    assert growth == [("features.conv2", 600), ("head", 100)]
    assert families["analyzer_budget_exit_code"].samples[0].value == 1
    assert render(FAILED, "openmetrics").endswith("\n# EOF\n")


def test_html_draws_the_model_that_fails() -> None:
    fine = msgspec.structs.replace(FAILED.models[0], name="fine")
    lost: dict[str, Any] = {"name": "lost", "record": None, "before": None, "figures": ()}
    uncounted = msgspec.structs.replace(FAILED.models[0], **lost)
    page = text_of(render(msgspec.structs.replace(FAILED, models=(uncounted, fine, FAILED.models[0])), "html"))
    assert "tiny against tiny in analyzer.lock" in page
    assert "fine (net.py:build)" in page
    assert "lost" in text_of(render(msgspec.structs.replace(FAILED, models=(uncounted,)), "html"))


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("params.svg", "params: 2,500 of 2,000, exact"),
        ("saved_bytes.svg", "saved bytes: "),
        ("b.svg", "model budgets: over"),
    ],
)
def test_a_badge_shows_the_figure_that_its_file_is_called(tmp_path: Path, file: str, said: str) -> None:
    write(FAILED, "badge", str(tmp_path / file))
    svg = etree.parse(tmp_path / file)
    assert svg.findtext("{*}title").startswith(said)
    assert GREW.what in svg.findtext("{*}desc")


def test_a_badge_says_how_a_prediction_is_known(tmp_path: Path) -> None:
    standing = "predicted ±4.0 % (90 %: 27.10 to 36.20 ms)"
    line = Budgeted(figure="predicted_latency_s", value=0.03, limit=0.04, standing=standing)
    model = ModelVerdict(name="tiny", target="net.py:build", figures=(line,))
    made = msgspec.structs.replace(FAILED, models=(model,), findings=())
    write(made, "badge", str(tmp_path / "predicted_latency_s.svg"))
    title = etree.parse(tmp_path / "predicted_latency_s.svg").findtext("{*}title")
    assert title.endswith("30.00 ms of 40.00 ms, predicted ±4.0 %")
    assert list(made.frame()["known"]) == [standing]


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({"FORCE_COLOR": "1"}, True), ({}, False), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_colour_is_asked_for_and_never_alone(
    variables: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is over is red, and has a minus sign whatever the colour."""
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    told = for_terminal(FAILED)
    (line,) = [line for line in told.splitlines() if re.match(r"(\x1b\[31m)?params .*2,500.*−500", line)]
    assert line.startswith("\x1b[31m") == coloured
