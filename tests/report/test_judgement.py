"""Verdict, findings and changes: worked out by hand from the article's network and DenseNet121, and by properties."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.architecture.network import PRESETS
from analyzer.architecture.variant import Variant
from analyzer.errors import AnalyzerError
from analyzer.figures import SHARED, known
from analyzer.limits import Limit, hold_all, state_of
from analyzer.reading import family
from analyzer.records import Failure, Record, Target
from analyzer.reporting.actions import actions
from analyzer.reporting.changes import module_changes, stages, waterfall
from analyzer.reporting.data import ReportData
from analyzer.reporting.findings import findings
from analyzer.reporting.heat import heat_map
from analyzer.reporting.judge import judge
from analyzer.reporting.tables import trust
from analyzer.reporting.text import times
from analyzer.reporting.timings import _quantile, measured_lines
from analyzer.reporting.variants import differences, varying
from analyzer.shown import visible


def state(record: Record, limits: list[Limit]) -> str:
    return state_of(hold_all(record, limits))


def limit(figure: str, maximum: int) -> Limit:
    return Limit(figure=figure, bound=maximum, source="test")


@pytest.mark.parametrize(("maximum", "expected"), [(99, "over"), (100, "within"), (101, "within"), (0, "over")])
def test_a_limit_is_inclusive(maximum: int, expected: str) -> None:
    record = Record(target=Target(name="x"), params=100)
    assert state(record, [limit("params", maximum)]) == expected


def test_a_figure_that_is_not_known_is_never_within() -> None:
    record = Record(target=Target(name="x"), params=100)
    assert state(record, [limit("params", 100), limit("macs", 10**18)]) == "unknown"
    assert state(record, [limit("params", 99), limit("macs", 10**18)]) == "over"
    assert state(record, []) == "unknown"
    assert state(record, [limit("a_figure_of_the_future", 1)]) == "unknown"


def test_the_article_is_over_densenet121(sweep: ReportData) -> None:
    verdict = judge(sweep.subject, sweep.limits)
    assert verdict.state == "over"
    # 149,871,874 / 6,955,906 and 18,622,955,520 / 2,833,139,712 (2 x 2.834 G less 998 classes x 1024)
    assert verdict.sentence == (
        "article has 21.55× the allowed params and 6.57× the allowed MACs; it stays within the limit for saved bytes "
        "(0.80×)."
    )


def test_verdicts_without_a_subject_limits_or_figures() -> None:
    good = Record(target=Target(name="x"), params=1)
    bad = Record(target=Target(name="x"), error=Failure(what="the image shrinks away"))
    assert judge(None, [limit("params", 1)]).state == "unknown"
    assert judge(good, []).word == "No budget"
    assert "shrinks away" in judge(bad, [limit("params", 1)]).sentence
    assert judge(good, [limit("macs", 1)]).sentence == "x has no figure for MACs."


def test_findings_of_the_sweep(sweep: ReportData) -> None:
    found = findings(sweep)
    titles = [finding.title for finding in found]
    # denseblock4's second layer: 8192 -> 2048 -> 2048 (3x3) -> 8192 channels, with its three batch norms
    weights = 8192 * 2048 + 9 * 2048 * 2048 + 2048 * 8192 + 2 * (8192 + 2048 + 2048)
    share = f"{100 * weights / 149_871_874:.1f} %"
    assert share == "47.6 %"
    assert f"features.denseblock4.denselayer2 holds {share} of the params" in titles
    # the third transition: 8192 -> 4096 channels at 14 x 14
    macs = 8192 * 4096 * 14 * 14
    assert any(
        f"features.transition3 holds {100 * macs / 18_622_955_520:.1f} % of the MACs" in title for title in titles
    )
    assert [finding.kind for finding in found] == sorted(
        (finding.kind for finding in found), key=["budget", "cost", "trust"].index
    )


def test_actions_are_ranked_by_what_they_keep(sweep: ReportData) -> None:
    first, second = actions(sweep)
    assert (first.title, second.title) == ("compression 0.25 instead of 0.5", "growth 48 instead of double")
    assert first.meets
    assert second.meets
    # of 149,871,874 params, 18,622,955,520 MACs and 105,106,688 saved bytes there stay 4,611,522 and 1,293,541,376
    assert first.saves.startswith("145,260,352 params (96.9 %), 17,329,414,144 MACs (93.1 %)")
    assert first.keeps.startswith(f"{129_354_137_600 / 18_622_955_520:.1f} % of the MACs")
    assert first.command == "analyze compare article residual_b2-4-3-2_gdouble_r0.25_c0.25"
    assert second.also == "So would growth 32, growth 24, growth 16, growth 12."


def test_a_variant_alone_is_told_where_to_ask(sweep: ReportData) -> None:
    alone = msgspec.structs.replace(sweep, records=(sweep.subject,), limits=(limit("params", 8_000_000),))
    (action,) = actions(alone)
    assert action.command == "analyze explain article --max-params=8000000"
    nothing = msgspec.structs.replace(alone, compared=True)
    assert actions(nothing) == []


def test_a_change_is_only_said_to_suffice_where_it_does(sweep: ReportData) -> None:
    tight = msgspec.structs.replace(sweep, limits=(limit("params", 1000),))
    (action,) = actions(tight)
    assert action.title == "growth 12 instead of double"
    assert not action.meets
    assert action.outcome.startswith("still over")
    assert "0 of 33 variants are within budget" in [finding.title for finding in findings(tight)]
    wide = msgspec.structs.replace(sweep, limits=(limit("params", 299_743_748),))
    assert actions(wide) == []
    assert findings(wide)[0].title == "The tightest limit is params: 50.0 % of it is left"


def test_differences_between_variants() -> None:
    def named(**fields: object) -> Record:
        return Record(target=family.target(Variant(**fields)))  # type: ignore[arg-type]

    assert differences(named(), named(compression=0.25)) == ["compression"]
    assert differences(named(), named(block="dense", growth=32)) == ["block", "growth"]  # the hidden width follows
    assert differences(named(ratio=0.25), named(bn_size=4)) == ["bn_size"]
    assert differences(named(), named()) == []
    assert differences(named(), Record(target=Target(name="x"))) is None


def test_varying_leaves_out_what_the_block_implies(sweep: ReportData) -> None:
    variants = [row for row in sweep.records if row.target != sweep.baseline.target]
    assert varying(variants) == ["block", "growth", "compression"]


def test_waterfall_of_the_article_against_densenet121(sweep: ReportData) -> None:
    assert sweep.subject is not None
    steps = waterfall(sweep.baseline, sweep.subject, SHARED[0])
    by_name = {step.label: step for step in steps}
    assert by_name["stem"].difference == 0
    # DenseNet121: 256 -> 128 channels; the article: 64 -> 128 -> 256 -> 128: the same transition
    assert by_name["transition 1"].before == by_name["transition 1"].after == 256 * 128 + 2 * 256
    assert by_name["transition 3"].after == 8192 * 4096 + 2 * 8192
    assert sum(step.difference for step in steps) == 149_871_874 - 6_955_906


def partless(record: Record) -> Record:
    layers = tuple(msgspec.structs.replace(row, part=None) for row in record.layers or ())
    return msgspec.structs.replace(record, layers=layers)


def test_stages_of_networks_of_two_families() -> None:
    """The parts that the assemblies say; without them, as of any model, the outer modules."""
    names = ("densenet121", "resnet50", "vovnet39a")
    records = [family.record(PRESETS[name]) for name in names]
    labels = [[part.label for part in stages(record)] for record in records]
    between = [name for i in (1, 2, 3) for name in (f"stage {i}", f"transition {i}")]
    assert labels[0] == ["stem", *between, "stage 4", "head"]
    assert labels[1] == labels[2] == ["stem", "stage 1", "stage 2", "stage 3", "stage 4", "head"]
    paths = [[part.path for part in stages(record)] for record in records]
    assert paths[0][:3] == ["features.conv0", "features.denseblock1", "features.transition1"]
    assert paths[1] == ["conv1", "layer1", "layer2", "layer3", "layer4", "avgpool"]
    foreign = [partless(record) for record in records]
    blocks = ["denseblock1", "transition1", "denseblock2", "transition2", "denseblock3", "transition3", "denseblock4"]
    labels = [[part.label for part in stages(record)] for record in foreign]
    assert labels[0] == ["conv0 … pool0", *blocks, "norm5 … classifier"]
    assert labels[1] == ["conv1 … maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool … fc"]


def test_stages_are_compared_by_modules_where_one_network_says_no_parts() -> None:
    ours = family.record(PRESETS["densenet121"])
    theirs = partless(ours)
    steps = waterfall(ours, theirs, SHARED[0])
    assert "denseblock1" in [step.label for step in steps]
    assert all(step.before == step.after for step in steps)


def test_module_changes_name_what_was_added_and_removed(sweep: ReportData) -> None:
    assert sweep.subject is not None
    changes = {change.path: change for change in module_changes(sweep.baseline, sweep.subject)}
    assert changes["features.denseblock1.denselayer6"].state == "removed"
    assert changes["features.transition1"].state == "same"
    assert changes["features.denseblock4.denselayer2"].state == "grown"
    back = {change.path: change for change in module_changes(sweep.subject, sweep.baseline)}
    assert back["features.denseblock1.denselayer6"].state == "added"


variants = st.builds(
    Variant,
    block=st.sampled_from(["residual", "dense", "basic"]),
    block_config=st.lists(st.integers(1, 4), min_size=1, max_size=5).map(tuple),
    growth=st.integers(4, 48),
    init=st.integers(8, 64),
    stem=st.sampled_from(["imagenet", "deep"]),
)


@settings(max_examples=60, deadline=None)
@given(variants, variants)
def test_stages_and_differences_add_up(first: Variant, second: Variant) -> None:
    try:
        before, after = family.record(first), family.record(second)
    except AnalyzerError:
        return
    for figure in SHARED:
        for record in (before, after):
            assert sum(part.totals[figure.name] or 0 for part in stages(record)) == getattr(record, figure.name)
        steps = waterfall(before, after, figure, most=5)
        assert len(steps) <= 5
        assert sum(step.difference for step in steps) == getattr(after, figure.name) - getattr(before, figure.name)
    tops = [change for change in module_changes(before, after) if change.level == 0]
    assert sum(change.difference("params") or 0 for change in tops) == (after.params or 0) - (before.params or 0)


def test_trust_says_when_layers_do_not_add_up(sweep: ReportData) -> None:
    assert sweep.subject is not None
    assert all(good for good, _ in trust(sweep))
    wrong = msgspec.structs.replace(sweep.subject, params=149_871_875)
    said = trust(msgspec.structs.replace(sweep, subject=wrong))
    assert (
        False,
        "The layers of article and DenseNet121 (2 classes) do not add up to the totals: do not rely on this report.",
    ) in said


def test_heat_map_is_around_the_subject(sweep: ReportData) -> None:
    found = heat_map(sweep)
    assert found is not None
    assert (found.row_label, found.column_label) == ("growth", "compression")
    assert found.columns == ("0.25", "0.5", "1")
    assert [name for name, _ in found.rows] == ["12", "16", "24", "32", "48", "double"]
    double = dict(found.rows)["double"]
    assert double[1] is not None
    assert (double[1].text, double[1].state) == ("149.87 M", "✗")


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [(1, (None, None, None)), (9, (5, None, None)), (10, (5, 9, None)), (100, (50, 90, 99)), (200, (100, 180, 198))],
)
def test_percentiles_only_from_enough_rounds(rounds: int, expected: tuple[int | None, ...]) -> None:
    ordered = list(range(1, rounds + 1))
    assert tuple(_quantile(ordered, share) for share in (50, 90, 99)) == expected


def test_text_of_figures() -> None:
    assert known("macs").text(2_833_139_712) == "2,833,139,712"
    assert known("saved_bytes").text(105_106_688) == "100.24 MiB"
    assert known("saved_bytes").exact(105_106_688) == "105,106,688 bytes"
    assert known("params").signed(-5) == "−5"
    assert times(149_871_874, 6_955_906) == "21.55×"
    assert times(1, 0) == "–"
    assert visible("1\u202e2") == "1\\u202e2"


def test_times_of_unlike_devices_stand_apart(measured: ReportData) -> None:
    timed = [row for row in measured.records if row.measured]
    assert len(timed) >= 3
    other = msgspec.structs.replace(timed[-1].measured.environment, device_name="Slate")
    moved = msgspec.structs.replace(timed[-1], measured=msgspec.structs.replace(timed[-1].measured, environment=other))
    rows = tuple(moved if row is timed[-1] else row for row in measured.records)
    mixed = msgspec.structs.replace(measured, records=rows)
    assert not any("unlike devices" in said for _, said in trust(measured))
    assert any("1 on Slate" in said for good, said in trust(mixed) if not good)
    names = [line["name"] for line in measured_lines(mixed)]
    assert names[-1] == f"{moved.target.shown} on Slate"
    assert all(" on " not in line["name"] for line in measured_lines(measured))
