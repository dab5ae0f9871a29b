"""The page as text: one file, nothing from outside, the same bytes, every drawing to scale."""

from __future__ import annotations

import base64
import gzip
import hashlib
import itertools
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample import ATTACKS, sweep_report

from analyzer.architecture.variant import Variant
from analyzer.figures import SHARED
from analyzer.limits import Limit
from analyzer.reading.layers import tree
from analyzer.records import LayerRow, Record, Remark, Target
from analyzer.reporting import page as module
from analyzer.reporting.changes import waterfall
from analyzer.reporting.data import ReportData
from analyzer.reporting.icicle import HEIGHT as ICICLE_HEIGHT
from analyzer.reporting.icicle import icicle, shown_name
from analyzer.reporting.interactive import plotly_script, sweep_figure
from analyzer.reporting.markdown import render_markdown
from analyzer.reporting.page import read_report, render, write_report
from analyzer.reporting.plots import waterfall as draw_waterfall
from analyzer.reporting.points import pareto
from analyzer.reporting.svg import NARROW, WIDTH, LogScale, el, number


class Outline(HTMLParser):
    """Elements with their attributes, text by element, and whether every element was closed."""

    VOID = ("meta", "link", "input", "img", "br", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))


@pytest.mark.parametrize("name", ["sweep", "measured", "hostile"])
def test_page_is_well_formed_and_asks_for_nothing(request: pytest.FixtureRequest, name: str) -> None:
    outline = Outline(render(request.getfixturevalue(name)))
    assert outline.open == []
    for tag, attributes in outline.elements:
        assert tag not in ("iframe", "object", "embed", "form", "base", "img", "foreignobject", "use", "image")
        assert not [
            key for key in attributes if key.startswith("on") or key in ("style", "src", "srcdoc", "xlink:href")
        ]
        assert (attributes.get("href") or "#").startswith(("#", "data:,"))
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_policy_allows_exactly_the_page_s_own_scripts_and_style(sweep: ReportData) -> None:
    outline = Outline(render(sweep))
    policy = next(a["content"] for t, a in outline.elements if t == "meta" and a.get("http-equiv"))
    assert policy is not None
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy

    def source(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    style = next(text for tag, text in outline.texts if tag == "style")
    script = "".join(text for tag, text in outline.texts if tag == "script" and "use strict" in text)
    assert source(style) in policy
    assert source(script) in policy


def test_equal_data_give_equal_bytes(sweep: ReportData) -> None:
    assert render(sweep) == render(sweep_report())


def test_the_default_sweep_s_page_is_under_a_megabyte(sweep: ReportData) -> None:
    assert len(sweep.records) == 34
    assert len(render(sweep).encode()) < 1_000_000


def test_the_bundle_is_plotly_s_with_its_licence() -> None:
    folder = Path(module.__file__).parent / "bundle"
    text = gzip.decompress((folder / "plotly-basic.min.js.gz").read_bytes()).decode()
    version = re.search(r"^PLOTLY := (\S+)$", (Path(__file__).parents[2] / "Makefile").read_text(), re.MULTILINE)
    assert version is not None
    assert f"plotly.js (basic - minified) v{version[1]}" in text[:200]
    assert "</script" not in text
    assert "MIT License" in (folder / "LICENSE").read_text(encoding="utf-8")


def test_two_hundred_variants_cost_little_more() -> None:
    data = sweep_report(growth=list(range(8, 108)), compression=[0.5])
    assert len(data.records) >= 200
    assert len(render(data)) - len(plotly_script().packed) < 500_000


def test_many_variants_leave_the_front_and_a_word_on_the_rest() -> None:
    data = sweep_report(growth=list(range(8, 208)), compression=[0.5, 1.0])
    outline = Outline(render(data))
    names = {text for tag, text in outline.texts if tag == "th"}
    assert {data.baseline.target.shown, data.subject.target.shown, *data.front} <= names  # type: ignore[union-attr]
    said = " ".join(text for tag, text in outline.texts if tag == "p")
    assert f"of {len(data.records):,}" in said
    assert "results.csv" in said


def test_sections_without_records_are_left_out(sweep: ReportData) -> None:
    foreign = Record(target=Target(name="mine.py:Net"), params=10, macs=20)
    alone = msgspec.structs.replace(
        sweep, records=(foreign,), subject=foreign, baseline=foreign, front=(), limits=sweep.limits
    )
    ids = {a.get("id") for tag, a in Outline(render(alone)).elements if tag == "section"}
    assert ids == {"verdict", "methods"}
    nobody = msgspec.structs.replace(alone, subject=None, limits=())
    assert "No verdict" in render(nobody)


def test_the_plotly_figure_is_one(sweep: ReportData) -> None:
    graph = pytest.importorskip("plotly.graph_objects")
    figure = sweep_figure()
    checked = graph.Figure(data=figure["data"], layout=figure["layout"])  # refuses unknown properties
    assert [trace.name for trace in checked.data] == [
        "variants",
        "not selected",
        "front",
        "baseline",
        "subject",
        "fits",
    ]


# -- drawings --------------------------------------------------------------------------------------------------


def boxes(drawing: str) -> list[tuple[str, float, float, float]]:
    """Title, x, y and height of an icicle's rectangles."""
    found = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="[\d.]+" height="([\d.]+)"[^>]*><title>([^<]*)', drawing)
    return [(title, float(x), float(y), float(height)) for x, y, height, title in found]


def test_icicle_is_to_scale(sweep: ReportData) -> None:
    assert sweep.subject is not None
    for figure in SHARED:
        total = getattr(sweep.subject, figure.name)
        drawn = boxes(str(icicle(sweep.subject, figure)))
        assert drawn[0][3] == pytest.approx(ICICLE_HEIGHT, abs=1)
        layers = [(f"{layer.path}.", getattr(layer, figure.name)) for layer in sweep.subject.layers or ()]
        assert len(drawn) > 20
        for title, _, _, height in drawn:
            path = title.split(":")[0]
            below = sum(value for name, value in layers if name.startswith(f"{path}.") or path == "article")
            assert height == pytest.approx(below / total * ICICLE_HEIGHT, abs=0.7)


def ancestors(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[:i]) for i in range(len(parts) - 1, 0, -1)]


def test_a_level_with_one_child_that_is_seen_is_folded(sweep: ReportData) -> None:
    assert sweep.subject is not None
    titles = [title.split(":")[0] for title, *_ in boxes(str(icicle(sweep.subject, SHARED[0])))]
    assert "features" not in titles  # the classifier, 0.02 % of the params, is too small to be drawn
    assert "article › features" in icicle(sweep.subject, SHARED[0])


def test_children_of_a_sequential_say_what_they_are() -> None:
    rows = [LayerRow(path=path, type=kind, output=None, params=1, macs=1, conv_activations=1, saved_bytes=1)
            for path, kind in (("stem.0", "Conv2d"), ("stem.1", "ReLU"), ("0", "Conv2d"))]  # fmt: skip
    names = [shown_name(node, "net") for _, node in tree(rows).walk()]
    assert names == ["net", "stem", "stem.0 (Conv2d)", "stem.1 (ReLU)", "0 (Conv2d)"]


@pytest.mark.parametrize("width", [WIDTH, NARROW])
def test_words_of_a_drawing_stay_inside_it(sweep: ReportData, width: float) -> None:
    """Nothing begins beyond an edge; a word that ends at a place has room to its left (letters of 7 units)."""
    assert sweep.subject is not None
    steps = waterfall(sweep.baseline, sweep.subject, SHARED[0])
    drawn = [icicle(sweep.subject, SHARED[0], width), pareto(sweep, width=width),
             draw_waterfall(steps, SHARED[0], "DenseNet121 (2 classes)", "article", width)]  # fmt: skip
    for drawing in map(str, drawn):
        assert f'viewBox="0 0 {width}' in drawing
        for x, more, words in re.findall(r'<text x="([\d.-]+)"([^>]*)>([^<]*)', drawing):
            start = float(x) - 7 * len(words) if 'anchor="end"' in more else float(x)
            assert -2 <= start <= width
            assert 'anchor="end"' in more or "middle" in more or float(x) + 6.6 * len(words) <= width + 4


def test_modules_of_the_icicle_lie_inside_their_parents(sweep: ReportData) -> None:
    assert sweep.subject is not None
    for figure in SHARED:
        places = {title.split(":")[0]: (y, height) for title, _, y, height in boxes(str(icicle(sweep.subject, figure)))}
        below: dict[str, list[tuple[float, float]]] = {}
        for path, place in places.items():
            if path != "article":
                above = next((p for p in ancestors(path) if p in places), "article")
                below.setdefault(above, []).append(place)
        assert len(below) > 5
        for parent, children in below.items():
            y, height = places[parent]
            assert all(y - 0.2 <= top and top + size <= y + height + 1 for top, size in children)
            assert all(a[0] + a[1] <= b[0] + 0.2 for a, b in itertools.pairwise(sorted(children)))
            assert sum(size for _, size in children) == pytest.approx(height, abs=0.7 * (1 + len(children)) + 6)


def test_pareto_places_every_variant_and_draws_the_front(sweep: ReportData) -> None:
    drawing = str(pareto(sweep))
    assert drawing.count("h0") == len({(row.params, row.macs) for row in sweep.records}) - len(sweep.front)
    assert drawing.count('class="on-front"') == len(sweep.front)
    assert drawing.count('class="limit"') == 2
    bare = msgspec.structs.replace(sweep, records=(sweep.baseline,), subject=sweep.baseline)
    assert pareto(bare) is None


@settings(deadline=None)
@given(st.lists(st.floats(1e-3, 1e18), min_size=1, max_size=9))
def test_log_scale_keeps_order_and_bounds(values: list[float]) -> None:
    scale = LogScale.over(values, 10, 500)
    places = [scale(value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(10 <= place <= 500 for place in places)
    ticks = scale.ticks()
    assert len(ticks) <= 9
    assert all(scale.low <= tick <= scale.high for tick in ticks)


@settings(deadline=None)
@given(st.floats(-1e6, 1e6))
def test_numbers_in_drawings(value: float) -> None:
    assert float(number(value)) == pytest.approx(value, abs=0.0501)
    assert number(value) != "-0"


@settings(deadline=None)
@given(st.text())
def test_svg_text_and_attributes_are_escaped(text: str) -> None:
    assert not re.search(r"[<>\"]", str(el("text", text))[len("<text>") : -len("</text>")])
    inside = str(el("text", id_=text))[len('<text id="') : -len('"/>')]
    assert not re.search(r"[<>\"]", inside)


# -- Markdown --------------------------------------------------------------------------------------------------


def test_markdown_has_the_same_verdict_and_figures(sweep: ReportData) -> None:
    text = render_markdown(sweep)
    assert text.startswith("## ❌ Over budget")
    assert "| params | exact | 149,871,874 | 6,955,906 | 21.55× | 6,955,906 | ✗ over |" in text
    assert "1. **compression 0.25 instead of 0.5**: within budget" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 2


def test_markdown_keeps_attacks_as_text(hostile: ReportData) -> None:
    text = render_markdown(hostile)
    assert "<" not in text
    assert "](" not in text.replace("\\](", "")
    assert "@user" not in text
    assert "http://" not in text
    assert "\u202e" not in text
    assert not re.search(r"(?<!\\)`", text)
    for line in text.splitlines():
        if line.startswith("| ") and "---" not in line:
            assert line.endswith(" |")
    assert any("HYPERLINK" in line for line in text.splitlines())
    assert len(ATTACKS) > 10


def test_markdown_in_a_real_renderer(hostile: ReportData) -> None:
    markdown_it = pytest.importorskip("markdown_it")
    html = markdown_it.MarkdownIt("gfm-like", {"linkify": False}).render(render_markdown(hostile))
    tags: set[str] = set(re.findall(r"<(\w+)", html))
    assert tags <= {"h2", "h3", "p", "ul", "ol", "li", "strong", "table", "thead", "tbody", "tr", "th", "td"}


def test_written_file_is_whole(written: Callable[..., Path], sweep: ReportData) -> None:
    path: Any = written(sweep)
    assert path.read_text(encoding="utf-8") == render(sweep)
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_a_name_that_is_no_text_is_written_out(sweep: ReportData, tmp_path: Path) -> None:
    """A file name of the command line that is not UTF-8 comes as lone surrogates."""
    assert sweep.subject is not None
    odd = msgspec.structs.replace((sweep.subject.layers or ())[0], path="features.\udcff")
    subject = msgspec.structs.replace(sweep.subject, layers=(odd, *(sweep.subject.layers or ())[1:]))
    data = msgspec.structs.replace(sweep, command=("analyze", "sweep", "\udce9.py"), subject=subject)
    write_report(data, tmp_path / "report.html")
    assert "\\udce9.py" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert read_report(tmp_path / "report.html").command == ("analyze", "sweep", "\\udce9.py")


def test_notes_of_many_rows_stand_once(sweep: ReportData) -> None:
    noted = tuple(
        msgspec.structs.replace(row, remarks=(Remark(kind="untrainable", text="can't train"),))
        for row in sweep.records[1:]
    )
    page = render(msgspec.structs.replace(sweep, records=(sweep.records[0], *noted)))
    assert page.count("can&#39;t train") == 1
    assert f"and {len(noted) - 3} more" in page


names = st.text(max_size=30) | st.sampled_from(ATTACKS)


@settings(max_examples=40, deadline=None)
@given(st.lists(names, min_size=8, max_size=8))
def test_any_names_leave_the_page_well_formed(words: list[str]) -> None:
    layers = tuple(
        LayerRow(path=w, type=words[0], output=None, params=i, macs=i, conv_activations=i, saved_bytes=i)
        for i, w in enumerate(dict.fromkeys(words), start=1)
    )
    total = sum(layer.params for layer in layers)
    rows = tuple(
        Record(
            target=Target(name=f"{i}{w}", label=w, variant=Variant(growth=i + 1)),
            params=total,
            macs=total,
            saved_bytes=total,
            layers=layers,
            remarks=(Remark(kind="note", text=w),),
        )
        for i, w in enumerate(words)
    )
    data = ReportData(
        title=words[1],
        command=tuple(words),
        records=rows,
        baseline=rows[0],
        subject=rows[1],
        limits=(Limit(figure="params", bound=1, source=words[2]),),
        front=(),
        environment=None,
        generated=words[3],
    )
    outline = Outline(render(data))
    assert outline.open == []
    assert not [a for _, attributes in outline.elements for a in attributes if a.startswith("on") or a == "style"]
    assert sum(tag == "script" for tag, _ in outline.elements) == 3
