"""The table of figures: its rows are sound, and every sink shows every figure that belongs there."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer import units
from analyzer.api.tables import Comparison, frame
from analyzer.architecture.variant import Variant
from analyzer.budget.check import check
from analyzer.budget.outputs import FORMATS, render
from analyzer.budget.verdict import Verdict
from analyzer.cli import compare, report, search, show, sweep
from analyzer.errors import UsageError
from analyzer.figures import FIGURES, LIMITED, Figure, figure_named, known
from analyzer.limits import Limit, hold, hold_all, state_of
from analyzer.measurements import Conditions, Environment, Measurement, PredictedLatency, TrainedFigures
from analyzer.pytest_plugin import assert_budget
from analyzer.reading.family import record
from analyzer.reading.flat import COLUMNS, flat, to_csv
from analyzer.reading.readings import READINGS
from analyzer.records import Record, Target
from analyzer.reporting.against import against
from analyzer.reporting.markdown import render_markdown
from analyzer.reporting.page import render as page_of
from analyzer.searching.engine import search as run_search
from analyzer.searching.query import Objective, Query
from analyzer.searching.results import Find
from analyzer.space.space import Space

ROOT = Path(__file__).parents[2]
ALL = list(FIGURES.values())
BUDGETED = [figure for figure in ALL if figure.budgeted]
STATIC = [figure for figure in ALL if figure.static]
SMALL = Variant(block="dense", block_config=(1, 2), growth=8, bn_size=2, image=64)
VALUES = {figure.name: 3_000_001 + 1000 * number for number, figure in enumerate(STATIC)}
"""A value of its own for each static figure, so that a sink that mixes two is seen."""
_REPLAYED = ("peak_training_bytes", "peak_inference_bytes")
KNOWN = {figure.name: "replayed" if figure.name in _REPLAYED else "exact" for figure in STATIC} | {
    "predicted_latency_s": "predicted ±12.5 % (90 %: 25.00 to 40.00 ms)",
    "predicted_image_ns": "predicted ±12.5 % (90 %: 6.25 to 10.00 ms)",
    "predicted_images_per_s": "predicted ±12.5 % (90 %: 100.0 to 160.0 images/s)",
    "measured_ratio": "measured (2.00 to 2.25× in 2 processes ⚠ indicative only)",
    "measured_latency_s": "measured (500.00 to 531.25 ms in 2 processes ⚠ indicative only)",
    "measured_images_per_s": "measured (3.8 to 4.0 images/s in 2 processes ⚠ indicative only)",
    "measured_peak_bytes": "measured (2 processes ⚠ indicative only)",
    "test_accuracy": "measured (95 % interval 50.0 to 75.0 %, 3 runs)",
    "generalisation_gap": "measured (95 % interval −1.5 to 9.5 points, 3 runs)",
    "training_cpu_s": "measured (3 runs)",
}
"""How each figure of `full` is known, as every place says that shows it."""


def full() -> Record:
    """A record in which every figure is known."""
    environment = Environment(
        device="cpu", device_name="Abacus", python="3.11", torch="2.13", analyzer="0.1", platform="Linux", threads=1,
        cpu_count=1,
    )  # fmt: skip
    measured = Measurement(
        protocol="by hand", environment=environment, batch=2, asked_batch=2, seconds_per_batch=(0.5, 0.53125),
        baseline_seconds_per_batch=(0.25, 0.25), measured_latency_s=0.515625, measured_images_per_s=4.25, ratio=2.125,
        ratio_low=2.0, ratio_high=2.25, baseline="densenet121", time="2026-01-01T00:00:00Z", conditions=Conditions(),
        measured_peak_bytes=7 * 2**20,
    )  # fmt: skip
    predicted = PredictedLatency(
        latency_s=0.03125, batch=4, device_name="Abacus", dtype="float32", mean_error=0.125, low_s=0.025, high_s=0.04
    )
    trained = TrainedFigures(
        test_accuracy=0.625, test_low=0.5, test_high=0.75, generalisation_gap=4.0, gap_low=-1.5, gap_high=9.5,
        cpu_s=120.5, runs=3, epochs=20, setting="by hand",
    )  # fmt: skip
    target = Target(name=SMALL.name, variant=SMALL)
    return Record(target=target, batch=2, trained=trained, measured=measured, predicted=predicted, **VALUES)


ROW = full()
OTHERS = {
    "predicted_latency_s": 0.03125, "predicted_image_ns": 7_812_500, "predicted_images_per_s": 128.0,
    "measured_latency_s": 0.515625, "measured_images_per_s": 4.25,
    "measured_ratio": 2.125, "measured_peak_bytes": 7 * 2**20,
    "test_accuracy": 0.625, "generalisation_gap": 4.0, "training_cpu_s": 120.5,
}  # fmt: skip
EXPECTED = {**VALUES, **OTHERS}


def test_every_figure_is_known_of_the_full_record() -> None:
    assert {name: figure.of(ROW) for name, figure in FIGURES.items()} == EXPECTED
    assert all(figure.of(Record(target=Target(name="none"))) is None for figure in ALL)


def test_rows_are_sound() -> None:
    for names in ([f.name for f in ALL], [f.label for f in ALL], [f.short for f in ALL], [f.word for f in ALL]):
        assert len(set(names)) == len(names)
    assert {f.name for f in ALL if f.arrays} == set(READINGS)
    for figure in ALL:
        assert figure.definition[0].isupper() or figure.definition.startswith(figure.label)
        assert figure.definition.endswith(".")
        assert not re.search(r"[.!?] [A-Z]", figure.definition), "one sentence"
        assert not (figure.searched and figure.static) or figure.arrays
        assert not figure.budgeted or figure.static
        assert not figure.training or figure.batched or not figure.arrays
        assert figure.better == "less" or not figure.budgeted


def test_the_documentation_defines_every_figure_in_the_same_words() -> None:
    rows = re.findall(
        r"^\| `([a-z_]+)` \| (.*) \| (exact|replayed|predicted|measured) \|$",
        (ROOT / "docs/figures.md").read_text(),
        re.M,
    )
    assert rows == [(figure.name, figure.definition, figure.standing) for figure in ALL]


# -- text ------------------------------------------------------------------------------------------------------


def test_differences_read_like_the_figures_beside_them() -> None:
    saved, params, ratio = FIGURES["saved_bytes"], FIGURES["params"], FIGURES["measured_ratio"]
    assert saved.text(2_998_514_284) == "2,859.61 MiB"
    assert saved.signed(-2_778_108_723) == "−2,649.41 MiB"
    assert saved.signed(2**20) == "+1.00 MiB"
    assert params.signed(-1_234_567) == "−1,234,567"
    assert params.signed(0) == "±0"
    assert params.signed(None) == saved.text(None) == "–"
    assert saved.exact(105_106_688) == "105,106,688 bytes"
    assert ratio.text(2.125) == "2.12×"
    assert FIGURES["measured_latency_s"].text(0.515625) == "515.62 ms"
    assert (saved.heading, saved.bare(2**21)) == ("saved MiB", "2.00")
    assert units.mib(-2_778_108_723) == "-2,649.41 MiB"
    assert units.change(95, 100) == "−5.0 %"


@given(st.integers(-(2**62), 2**62))
def test_a_difference_holds_the_text_of_its_size(value: int) -> None:
    for figure in STATIC:
        assert figure.signed(value)[1:] == figure.text(abs(value))
        assert figure.signed(value)[0] == ("+" if value > 0 else "−" if value else "±")


def test_a_word_means_one_figure() -> None:
    for figure in LIMITED:
        assert figure_named(figure.word, LIMITED, "here") is figure
        assert figure_named(figure.name, LIMITED, "here") is figure
    with pytest.raises(UsageError, match="did you mean 'depth'"):
        figure_named("dept", LIMITED, "--by")
    assert known("bytes_of_tomorrow_bytes").unit == "bytes"


@pytest.mark.parametrize(
    ("figure", "text", "value"),
    [("macs", "2.5 GMACs", 2_500_000_000), ("flops", "5GFLOPs", 5 * 10**9), ("saved_bytes", "3 MiB", 3 * 2**20),
     ("trainable_params", "8M params", 8_000_000), ("depth", "121", 121)],
)  # fmt: skip
def test_numbers_are_read_in_the_figures_own_unit(figure: str, text: str, value: int) -> None:
    assert FIGURES[figure].parse(text) == value
    with pytest.raises(UsageError, match="own unit"):
        FIGURES["conv_activations"].parse("5 GFLOPs")


# -- sinks -----------------------------------------------------------------------------------------------------


def test_tables_show_every_static_figure() -> None:
    shown = {label: cells for label, *cells in show._totals(ROW, None)[1]}
    for figure in STATIC:
        label = figure.label + (" at batch 2" if figure.batched else "")
        assert shown.pop(label) == [KNOWN[figure.name], figure.text(VALUES[figure.name])]
    assert not shown


def test_a_comparison_shows_every_static_figure(capsys: pytest.CaptureFixture[str]) -> None:
    less = full()
    other = Record(target=Target(name="b"), batch=2, **{name: value - 1000 for name, value in VALUES.items()})
    compare._print([less, other], [[]], "params", 10, "table")
    lines = [re.split(r"  +", line) for line in capsys.readouterr().out.splitlines()]
    found = {cells[0]: (cells[1], cells[4]) for cells in lines if len(cells) == 6}
    assert {f.label: found[f.label] for f in STATIC} == {f.label: (KNOWN[f.name], f.signed(-1000)) for f in STATIC}
    table = Comparison((less, other), ((),)).frame()
    assert {name: table[SMALL.name][name] for name in VALUES} == VALUES


@pytest.mark.parametrize("figure", ALL, ids=lambda figure: figure.name)
def test_a_notebook_says_how_it_is_known(figure: Figure) -> None:
    value = figure.exact(EXPECTED[figure.name])
    row = f'<th scope="row">{figure.label}</th><td class="n">{value}</td><td>{KNOWN[figure.name]}</td>'
    assert row in ROW._repr_html_()


@pytest.mark.parametrize("figure", ALL, ids=lambda figure: figure.name)
def test_files_and_frames_have_it(figure: Figure) -> None:
    value = EXPECTED[figure.name]
    (line,) = csv.DictReader(io.StringIO(to_csv([ROW])))
    assert line[figure.name] == str(value)
    table = frame([ROW, Record(target=Target(name="unknown"))])
    assert table[figure.name].iloc[0] == value
    assert table[figure.name].isna().iloc[1]
    assert Find(ROW, True, ()).to_dict()[figure.name] == value


def test_all_flat_rows_have_one_set_of_columns() -> None:
    header = to_csv([]).strip().split(",")
    assert header == list(COLUMNS) == list(flat(ROW))
    assert list(frame([ROW]).reset_index().columns) == header
    assert flat(ROW)["growth"] == 8
    assert flat(ROW)["block_config"] == (1, 2)
    assert flat(ROW)["device"] == "Abacus"


def page() -> str:
    data = against(record(Variant(image=64)), ROW, command=("test",), generated="now")
    return page_of(data)


def test_the_page_shows_and_defines_every_figure() -> None:
    text = re.sub(r"</?dfn[^>]*>", "", page())  # a word's tip is its definition, which is looked at below
    rows = dict(
        re.findall(r'<tr><th scope="row">([^<]+)</th><td class="n">([^<]+)</td>', text.split('id="every-figure"')[1])
    )
    defined = dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]+)</dd>", text))
    cards = re.findall(r'<li class="card [a-z]+">\s*<h3>([^<]+)</h3>', text)
    known = dict(re.findall(r'<h3>([^<]+)</h3>\s*<p class="value">[^<]+</p>\s*<p class="standing">([^<]+)</p>', text))
    standing = dict(
        re.findall(r'<tr><th scope="row">([^<]+)</th>(?:<td class="n">[^<]*</td>){3}<td>([^<]+)</td>', text)
    )
    for figure in ALL:
        assert rows[figure.label] == figure.exact(EXPECTED[figure.name])
        assert standing[figure.label] == KNOWN[figure.name]
        assert known.get(figure.label) == (KNOWN[figure.name] if figure.place != "detail" else None)
        assert defined[figure.label].startswith(figure.definition.replace('"', "&#34;").replace("'", "&#39;"))
        assert (figure.label in cards) == (figure.place != "detail")


def test_markdown_and_the_table_side_by_side_show_what_belongs_there() -> None:
    first = replace(SMALL, growth=16)
    rows = [ROW, record(first, 2)]
    data = against(*rows, command=("test",), generated="now")
    text = page_of(data)
    markdown = render_markdown(against(rows[1], ROW, command=(), generated=""))
    head, rest = text.split('id="variant-table"')[1].split("</thead>")[:2]
    heads = re.findall(r'<th scope="col" class="n"[^>]*>([^<]+)</th>', head)
    mib = re.findall(r"([\d,.]+) MiB</td>", rest.split("</tbody>")[0])
    for figure in ALL:
        assert (f"| {figure.label} | {KNOWN[figure.name]} |" in markdown) == (figure.place != "detail")
        if figure.place != "detail":
            assert figure.label in heads
            if figure.unit == "bytes":
                assert f"{EXPECTED[figure.name] / 2**20:,.2f}" in mib


@pytest.mark.parametrize("figure", [f for f in LIMITED if f.static], ids=lambda figure: figure.name)
def test_a_search_limits_and_optimises_it(figure: Figure) -> None:
    space = Space(block=["dense"], blocks=[(1, 1), (1, 2), (2, 2)], growth=[4, 8], bn_size=[2], image=[64])
    values = sorted(
        figure.of(record(part.variant(i), 2, layers=False)) for part in space.parts for i in range(part.size)
    )
    middle = values[len(values) // 2]
    limit = Limit(figure=figure.name, bound=middle, source="test")
    found = run_search(space, Query((Objective(figure.name),), (limit,), batch=2))
    assert found.finds.fitting == sum(value <= middle for value in values)
    for command, sides in ((search.command, ("min", "max")), (sweep.command, ("max",)), (report.command, ("max",))):
        options = {option for parameter in command.params for option in parameter.opts}
        assert {f"--{side}-{figure.word}" for side in sides} <= options


def checked(tmp_path: Path) -> Verdict:
    budgets = "\n".join(f"{figure.name} = {{ max = 0 }}" for figure in BUDGETED)
    budgets += '\npredicted_latency_s = { max = "0.001ms", on = "rtx4090", level = "error" }'
    (tmp_path / "analyzer.toml").write_text(f'[models.m]\ntarget = "{SMALL.name}"\n[models.m.budgets]\n{budgets}\n')
    return check(tmp_path, today=date(2026, 1, 1))


def test_a_check_holds_every_figure_and_every_format_tells_it(tmp_path: Path) -> None:
    verdict = checked(tmp_path)
    counted = record(SMALL, layers=False)
    found = {finding.figure: finding.value for finding in verdict.findings if finding.kind == "excess"}
    assert found.pop("predicted_latency_s")
    assert found == {figure.name: figure.of(counted) for figure in BUDGETED if figure.of(counted)}
    shown = {line.figure for model in verdict.models for line in model.figures}
    assert shown == {figure.name for figure in BUDGETED} | {"predicted_latency_s"}
    for finding in (finding for finding in verdict.findings if finding.kind == "excess"):
        figure, alone = known(finding.figure or ""), msgspec.structs.replace(verdict, findings=(finding,))
        for format_ in FORMATS:
            text = render(alone, format_).replace("\\_", "_")
            assert figure.name in text or figure.label in text, (format_, figure.name)


def test_every_face_of_a_check_says_how_a_figure_is_known(tmp_path: Path) -> None:
    verdict = checked(tmp_path)
    table, comment, page = (render(verdict, format_) for format_ in ("table", "md", "html"))
    data = json.loads(render(verdict, "json"))
    (predicted,) = (row for row in data["findings"] if row["figure"] == "predicted_latency_s")
    band = re.fullmatch(r"predicted ±[\d.]+ % \(90 %: ([\d.]+) to ([\d.]+) ms\)", predicted["standing"])
    assert band
    assert float(band[1]) < 1000 * predicted["value"] < float(band[2])
    said = KNOWN | {"predicted_latency_s": predicted["standing"]}
    for figure in [*BUDGETED, FIGURES["predicted_latency_s"]]:
        assert re.search(rf"^{re.escape(figure.label)} +{re.escape(said[figure.name])}  ", table, re.M)
        assert f"| m | {figure.label} | {said[figure.name]} | " in comment
        assert f'<tr><th scope="row">{figure.label}</th><td>{said[figure.name]}</td>' in page
    for row in [*data["findings"], *data["models"][0]["figures"]]:
        assert row["value"] is None or row["standing"] == said[row["figure"]]
    for finding in (finding for finding in verdict.findings if finding.kind == "excess"):
        alone = msgspec.structs.replace(verdict, findings=(finding,))
        for format_ in ("github", "gitlab", "junit", "sarif"):
            text = render(alone, format_).replace("\\u00b1", "±").replace("%25", "%")
            assert f"known: {said[finding.figure or '']}" in text, format_


@pytest.mark.parametrize("figure", BUDGETED, ids=lambda figure: figure.name)
def test_a_test_suite_holds_it(figure: Figure) -> None:
    value = figure.of(record(SMALL, layers=False))
    assert_budget(SMALL, **{f"max_{figure.name}": value})
    said = f"{figure.label}: {figure.exact(value)} ({figure.standing}), {figure.exact(1)} above"
    with pytest.raises(AssertionError, match=re.escape(said)):
        assert_budget(SMALL, **{f"max_{figure.name}": value - 1})


# -- limits ----------------------------------------------------------------------------------------------------

amounts = st.integers(0, 2**63 - 1)


@given(amounts, st.sampled_from(["most", "least"]), st.lists(amounts, min_size=1, max_size=5))
def test_one_judgement_of_records_and_arrays(bound: int, side: str, values: list[int]) -> None:
    limit = Limit(figure="params", bound=bound, side=side)
    met = [value <= bound if side == "most" else value >= bound for value in values]
    assert list(limit.beyond(np.array(values, np.int64)) <= 0) == met
    for value, fits in zip(values, met, strict=True):
        judged = hold(Record(target=Target(name="m"), params=value), limit)
        assert judged.state == ("within" if fits else "over")
        assert (limit.excess(value) <= 0) == fits


def test_what_is_not_known_is_not_within() -> None:
    limits = [Limit(figure="params", bound=VALUES["params"]), Limit(figure="params", bound=1, side="least")]
    assert state_of(hold_all(ROW, limits)) == "within"
    assert state_of(hold_all(ROW, [*limits, Limit(figure="of_tomorrow", bound=1)])) == "unknown"
    assert state_of(hold_all(ROW, [*limits, Limit(figure="depth", bound=1)])) == "over"
    assert state_of([]) == "unknown"
    assert str(limits[1]) == "params at least 1"
