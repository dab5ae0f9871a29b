"""A search finds exactly what looking at every variant one by one finds."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import run_command
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st

from analyzer.architecture.network import PRESETS
from analyzer.architecture.variant import Variant
from analyzer.errors import AnalyzerError, UsageError
from analyzer.limits import Limit
from analyzer.reading.family import record
from analyzer.searching import engine, results
from analyzer.searching.engine import Task, run_task, search
from analyzer.searching.query import FIGURES as KNOWN
from analyzer.searching.query import PREDICTED, Objective, Query, merged
from analyzer.searching.results import finds
from analyzer.space.space import Space

FIGURES = tuple(figure for figure in KNOWN if figure != PREDICTED)
"""Those that need no device."""

ROOT = Path(__file__).parents[2]


BLOCKS = [
    "residual",
    "dense",
    "basic",
    "add",
    "separable",
    "squeeze",
    "lowrank",
    "logdense",
    "harmonic",
    "csp",
    "vovnet",
]


def random_space(chance: random.Random) -> Space:
    axes = {
        "block": chance.sample(BLOCKS, chance.randint(1, 3)),
        "blocks": chance.sample([(1, 1), (2, 1), (2, 2, 1)], chance.randint(1, 2)),
        "growth": [*chance.sample(["double", 4, 6, 9, (4, 8), (3, 5), (4, 4, 8)], chance.randint(1, 4)), 8],
        "compression": [*chance.sample([0.25, 0.5, 1.0, (0.5,), (0.5, 0.25)], chance.randint(1, 3)), 0.75],
        "init": chance.sample([6, 8, 12], chance.randint(1, 3)),
        "groups": chance.sample([1, 2, 3], chance.randint(1, 2)),
        "image": [64],
    }
    if chance.random() < 0.5:
        axes["ratio"] = [0.25, 0.5, (0.5, 0.25)]
    if chance.random() < 0.3:
        axes["bn_size"] = [1, 3]
    try:
        return Space(**axes)
    except UsageError as error:
        assert "empty" in error.what
        reject()


def every(space: Space, batch: int) -> dict[Variant, tuple[int, ...]]:
    """Each variant's figures by the scalar form; those that make no network are left out."""
    found = {}
    for part in space.parts:
        for index in range(part.size):
            variant = part.variant(index)
            try:
                row = record(variant, batch, layers=False)
            except AnalyzerError:
                continue
            found[variant] = tuple(getattr(row, figure) for figure in FIGURES)
    return found


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks, tasks and merges of a few variants, so that even a small space has many of each."""
    monkeypatch.setattr(engine, "CHUNK", 5)
    monkeypatch.setattr(engine, "TASK", 13)
    monkeypatch.setattr(engine, "MERGE", 3)


def constraints_of(chance: random.Random, table: dict[Variant, tuple[int, ...]]) -> list[Limit]:
    """On any figure, from above, below or both, that some variants meet and some miss."""
    figure = chance.choice(FIGURES)
    values = sorted(row[FIGURES.index(figure)] for row in table.values())
    low, high = values[len(values) // 5], values[len(values) * 4 // 5]
    side = chance.randrange(3)
    both = [
        Limit(figure=figure, bound=low, side="least", source="--limit"),
        Limit(figure=figure, bound=high, side="most", source="--limit"),
    ]
    return both[1:] if side == 0 else both[:1] if side == 1 else both


def meets(limit: Limit, row: tuple[int, ...]) -> bool:
    value = row[FIGURES.index(limit.figure)]
    return value >= limit.bound if limit.side == "least" else value <= limit.bound


@pytest.mark.slow
@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_front_and_the_best_equal_brute_force(small_chunks: None, seed: int) -> None:
    chance = random.Random(seed)
    space = random_space(chance)
    table = every(space, 2)
    assume(table)
    goals = tuple(Objective(f, chance.random() < 0.3) for f in chance.sample(FIGURES, chance.randint(1, 4)))
    constraints = tuple(limit for _ in range(chance.randrange(3)) for limit in constraints_of(chance, table))
    fitting = {v: row for v, row in table.items() if all(meets(c, row) for c in constraints)}
    query = Query(goals, constraints, batch=2, best=3)
    if not fitting:
        with pytest.raises(UsageError):
            search(space, query, jobs=1)
        return
    signed = {
        v: tuple((-1 if g.maximize else 1) * row[FIGURES.index(g.figure)] for g in goals) for v, row in fitting.items()
    }
    expected = {
        v
        for v, goal in signed.items()
        if not any(all(a <= b for a, b in zip(g, goal, strict=True)) and g != goal for g in signed.values())
    }
    result = search(space, query, jobs=1)
    found = finds(result)
    assert result.exhaustive
    assert result.finds.fitting == len(fitting)
    assert {f.record.target.variant for f in found if f.front} == expected
    for i, goal in enumerate(goals):
        best = sorted(row[i] for row in signed.values())[:3]
        got = sorted(result.finds.best[i][0][:, FIGURES.index(goal.figure)] * (-1 if goal.maximize else 1))
        assert got == best
    for find in found:
        assert tuple(getattr(find.record, f) for f in FIGURES) == table[find.record.target.variant]


def test_two_processes_find_what_one_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "IN_PROCESS", 0)
    monkeypatch.setattr(engine, "TASK", 3000)
    space = Space(growth=range(4, 60), compression=[i / 50 for i in range(10, 50)], init=range(16, 64, 8))
    query = Query((Objective("params"), Objective("conv_activations", True)), best=2)
    one, two = search(space, query, jobs=1), search(space, query, jobs=2)
    assert np.array_equal(one.finds.points, two.finds.points)
    assert np.array_equal(one.finds.where, two.finds.where)
    assert one.finds.seen == two.finds.seen == space.size


def test_a_memory_bounds_the_processes_and_the_front(monkeypatch: pytest.MonkeyPatch) -> None:
    space, query = Space(growth=range(4, 60), init=range(16, 64, 8)), Query((Objective("params"), Objective("macs")))
    assert engine._within(None, 8) == (8, None)
    jobs, room = engine._within(2**30, 8)
    assert 1 <= jobs < 8
    assert room > 100_000
    free = search(space, query, jobs=1)
    bound = search(space, query, jobs=8, max_memory=2**30)
    assert np.array_equal(free.finds.where, bound.finds.where)
    with pytest.raises(UsageError, match="too few") as caught:
        search(space, query, max_memory=2**20)
    assert "512" in caught.value.fix
    monkeypatch.setattr(engine, "FOUND_BYTES", 2**28)
    with pytest.raises(UsageError, match="more than there is memory for"):
        search(space, query, jobs=1, max_memory=2**29)


def test_what_stands_already_changes_no_front() -> None:
    """A chunk is judged beside what was found before it: ties with that stay, whatever the order."""
    space = Space(growth=[8, 16], init=[16, 32], image=[64, 65, 66, 96], classes=[10], groups=[1, 2])
    for names in (("params",), ("params", "macs"), ("macs", "saved_bytes", "params", "depth")):
        query = Query(tuple(Objective(name, name == "depth") for name in names))
        standing, found = engine.Standing(query), []
        for start in range(0, space.parts[0].size, 3):
            count = min(3, space.parts[0].size - start)
            found.append(run_task(space, query, Task(0, start, count), standing))
        together = merged(query, found)
        alone = run_task(space, query, Task(0, 0, space.parts[0].size))
        assert np.array_equal(together.where, alone.where)
        assert (together.seen, together.fitting) == (alone.seen, alone.fitting)


def test_a_sample_visits_no_variant_twice_and_says_its_share() -> None:
    space = Space(growth=range(4, 104), compression=[i / 100 for i in range(1, 101)], init=range(8, 108))
    query = Query()
    tasks, planned = engine.plan(space, query, seconds=0.01, jobs=1, seed=7)
    tasks = list(tasks)
    assert 0 < planned < space.size
    steps = [engine._walk(t.start, t.count, t.walk_start, t.stride, space.parts[t.part].size) for t in tasks]
    visited = np.concatenate(steps)
    assert len(np.unique(visited)) == len(visited) == planned
    again = list(engine.plan(space, query, seconds=0.01, jobs=1, seed=7)[0])
    assert (again[0].walk_start, again[0].stride) == (tasks[0].walk_start, tasks[0].stride)


def test_the_walk_is_exact_at_the_largest_sizes() -> None:
    size, stride = 2**62 - 57, 2**61 + 3
    got = engine._walk(10**12, 50, 5, stride, size)
    assert got.tolist() == [(5 + (10**12 + i) * stride) % size for i in range(50)]


def test_finds_merge_in_any_order() -> None:
    space = Space(growth=range(4, 200), init=range(8, 40))
    query = Query(best=5)
    parts = [run_task(space, query, Task(0, start, 700)) for start in range(0, 4200, 700)]
    one = merged(query, parts)
    other = merged(query, [merged(query, parts[3:]), merged(query, parts[:3])])
    assert np.array_equal(one.points, other.points)
    assert np.array_equal(one.where, other.where)
    assert all(np.array_equal(one.best[i][1], other.best[i][1]) for i in one.best)


def test_the_constraint_that_excludes_all_is_named_with_the_nearest_miss() -> None:
    space = Space(growth=range(4, 20))
    fine = Limit(figure="macs", bound=10**12, source="--max-macs")
    impossible = Limit(figure="params", bound=1000, source="--max-params")
    with pytest.raises(UsageError, match="--max-params alone excludes all 16") as caught:
        search(space, Query(constraints=(fine, impossible)))
    smallest = record(Variant(growth=4), layers=False)
    assert smallest.target.name in caught.value.fix
    assert f"{smallest.params:,}" in caught.value.fix


def test_constraints_that_only_together_exclude_all() -> None:
    space = Space(growth=range(4, 20))
    middle = record(Variant(growth=12), layers=False).params
    query = Query(
        constraints=(
            Limit(figure="params", bound=middle, source="a"),
            Limit(figure="params", bound=middle + 1, side="least", source="b"),
        )
    )
    with pytest.raises(UsageError, match=r"together; alone each leaves: a \d, b \d"):
        search(space, query)


@pytest.mark.parametrize(
    "axes",
    [
        {"growth": []},
        {"growht": [1]},
        {"kernel": [2]},
        {"kernel": [1, 2, 3]},
        {"growth": [4, 0, 8]},
        {"init": [8, 10**9, 8]},
        {"growth": [4, True]},
        {"growth": [(1, 2)], "blocks": [(1, 1, 1)]},
        {"block": ["dens"]},
    ],
)
def test_a_space_that_is_none(axes: dict) -> None:
    with pytest.raises(UsageError):
        Space(**axes)


def test_no_variant_stands_in_a_space_twice() -> None:
    space = Space(
        block=["residual"], blocks=[(1, 1)], growth=[8, (8, 8), (4, 8)], ratio=[0.5, (0.5, 0.5)],
        compression=[0.5, (0.5,), (0.25,)], init=[8, 8],
    )  # fmt: skip
    variants = [part.variant(i) for part in space.parts for i in range(part.size)]
    assert len(variants) == len(set(variants)) == space.size == 4


def test_limits_are_inclusive() -> None:
    article = record(PRESETS["article"], layers=False)
    most, least = (Limit(figure="params", bound=article.params, side=side, source="x") for side in ("most", "least"))
    query = Query(constraints=(most, least))
    assert search(Space(), query).finds.fitting == 1


def analyze(tmp_path: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return run_command("search", *args, cwd=tmp_path)


def test_the_command_prints_the_front_and_marks_the_rest(tmp_path: Path) -> None:
    done = analyze(
        tmp_path, "--growth", "8:64:8", "--compression", "0.25,0.5", "--under", "densenet121", "--format", "jsonl",
        "--minimize", "params", "--maximize", "conv_activations", "--best", "2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert any(row["front"] for row in rows)
    assert "the front is exact" in done.stderr
    for row in rows:
        assert row["front"] or row["best_for"]
        assert row["params"] <= 6_955_906
        assert Variant.from_dict(row["variant"]).name == row["name"] or row["name"] in PRESETS


def test_axes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text(
        'blocks = [[2, 2], [1, 1]]\ngrowth = ["double", 4, "8:16:4", [4, 8]]\nimage = 64\n'
    )
    done = analyze(tmp_path, "--space", "space.toml", "--dry-run")
    assert "12 variants" in done.stderr  # 2 block configurations x 6 growths
    (tmp_path / "bad.toml").write_text("growht = [1]")
    done = analyze(tmp_path, "--space", "bad.toml")
    assert done.returncode == 2
    assert "bad.toml" in done.stderr
    assert "did you mean 'growth'" in done.stderr


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--minimize", "parms"], "did you mean 'params'"),
        (["--minimize", "params", "--maximize", "params"], "both"),
        (["--min-params", "2M", "--max-params", "1M"], "above"),
        (["--max-params", "8X"], "not a number"),
        (["--space", "absent.toml"], "can't be read"),
        (["--under", "densnet121"], "did you mean"),
    ],
)
def test_bad_input(tmp_path: Path, args: list[str], says: str) -> None:
    done = analyze(tmp_path, *args)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_finds_are_exported_with_their_marks(tmp_path: Path, suffix: str) -> None:
    import pandas as pd

    costs = ("--minimize", "params,macs", "--best", "2")
    done = analyze(tmp_path, "--growth", "8:64:8", *costs, "--export", f"found.{suffix}", "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    path = tmp_path / f"found.{suffix}"
    read = {"csv": pd.read_csv, "parquet": pd.read_parquet, "jsonl": lambda p: pd.read_json(p, lines=True)}[suffix]
    table = read(path)
    assert list(table["name"]) == [row["name"] for row in printed]
    for figure in (*FIGURES, "front"):
        assert list(table[figure]) == [row[figure] for row in printed]
    assert set(table["front"]) == {True, False}


@pytest.mark.parametrize(
    ("more", "says"), [([], "All 16 variants of 1 structure were"), (["--time", "0.001s"], "visits none")]
)
def test_a_report_says_what_was_searched(tmp_path: Path, more: list[str], says: str) -> None:
    space = ["--growth", "8:64:8"] + (["--init", "1:20000", "--image", "200:260:2"] if more else ["--init", "32,64"])
    done = analyze(tmp_path, *space, *more, "--under", "densenet121", "--best", "2", "--report", "found.html")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "found.html").read_text()
    section = page[page.index('<section id="search"') :].partition("</section>")[0]
    assert says in section
    assert "growth 8, 16, 24, 32, 40, 48, 56, 64" in section
    assert "params at most 6,955,906" in section
    assert "the 2 best of each are added" in section


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((32, 16), "32, 16"),
        (("double", *range(64, 7, -1)), "double, 8 to 64 (57 values)"),
        (tuple((i, 2) for i in range(1, 15)), ", ".join(f"{i}-2" for i in range(1, 13)) + " and 2 more"),
        ((0.5, (0.25, 0.5)), "0.5, 0.25-0.5"),
    ],
)
def test_an_axis_in_words(values: tuple, said: str) -> None:
    assert results._span(values) == said


def test_a_bad_export_is_known_before_the_search(tmp_path: Path) -> None:
    done = analyze(tmp_path, "--growth", "8:64:8", "--export", "found.xml")
    assert (done.returncode, done.stdout) == (2, "")
    assert ".parquet" in done.stderr
    block = "import sys; sys.modules['pyarrow'] = None; from analyzer.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", block, "search", "--growth", "8", "--export", "found.parquet"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert 'pip install "modelbudget[parquet]"' in done.stderr


def test_what_is_found_is_a_target(tmp_path: Path) -> None:
    done = analyze(tmp_path, "--growth", "8,16", "--block", "dense,csp", "--format", "jsonl", "--best", "4")
    names = [json.loads(line)["name"] for line in done.stdout.splitlines()]
    assert len(names) == 4
    for verb in (["show", names[0]], ["explain", names[1]], ["sweep", *names, "--measure", "none", "--out", "swept"]):
        done = run_command(*verb, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert verb[1] in done.stdout
    import analyzer as an

    assert [row.target.name for row in an.sweep(names).records[1:]] == names
    assert sum(p.numel() for p in an.build(names[0], device="meta").parameters()) == an.analyze(names[0]).params


def test_progress_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from analyzer.cli import search_progress as verb

    now = [0.0]
    monkeypatch.setattr(verb.time, "monotonic", lambda: now[0])
    with verb.ProgressLine() as line:
        for second in range(0, 31, 3):
            now[0] = float(second)
            line.update(engine.Progress(second * 1000, 60_000, float(second) or 1e-3))
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["20 % of 60,000, 1.00 k/s, 48 s left", "40 % of 60,000, 1.00 k/s, 36 s left"]


def test_from_python_the_front_is_a_data_frame(tmp_path: Path) -> None:
    import analyzer as an

    space = an.Space(growth=range(8, 40, 4), compression=[0.25, 0.5])
    found = an.search(space, minimize="params", maximize=["conv_activations"], under="densenet121", best=1, jobs=1)
    front = found.frame()
    assert len(an.search(space, limits={"params": "8M"}, at_least={"macs": 1}, jobs=1).finds) >= 1
    for wrong in ({"limits": {"params": "8X"}}, {"limits": {"parms": 1}}, {"minimize": "parms"}):
        with pytest.raises(UsageError):
            an.search(space, **wrong)
    with pytest.raises(UsageError, match="is no Space"):
        an.search([1])
    with pytest.raises(UsageError, match=r"at_least\['params'\] is above limits\['params'\]"):
        an.search(space, limits={"params": "1M"}, at_least={"params": "2M"})
    with pytest.raises(UsageError, match="both minimised and maximised"):
        an.search(space, minimize="saved", maximize="saved_bytes")
    with pytest.raises(UsageError, match="is for measuring"):
        an.search(space, trials=3)
    assert front.attrs["share"] == 1.0
    assert front["front"].any()
    assert set(found.front) == set(front.index[front["front"]])
    assert repr(found).startswith(f"Search({len(front)} finds, {len(found.front)} on the front; share 1")
    assert found.front[0] in found._repr_html_()
    assert found.front[0] in found.report(tmp_path / "found.html").read_text(encoding="utf-8")
    assert (front["params"] <= 7_978_856).all()
    name = front.index[0]
    assert an.analyze(name).params == front.loc[name, "params"]


def test_without_an_objective_capacity_is_searched_for_and_said(tmp_path: Path) -> None:
    """A front of costs alone would be the one smallest network."""
    space = ["--growth", "8:64:8", "--compression", "0.25,0.5"]
    done = analyze(tmp_path, *space, "--max-params", "400k", "--format", "jsonl")
    assert "nothing to optimise was named" in done.stderr
    assert "most conv_activations" in done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    variants = [Variant(growth=growth, compression=share) for growth in range(8, 65, 8) for share in (0.25, 0.5)]
    each = [record(variant, 1, layers=False) for variant in variants]
    allowed = sorted((r.conv_activations for r in each if r.params <= 400_000), reverse=True)
    assert [row["conv_activations"] for row in found] == allowed[:10]
    front = [json.loads(line) for line in analyze(tmp_path, *space, "--format", "jsonl").stdout.splitlines()]
    assert len(front) > 1
    assert max(row["conv_activations"] for row in front) == max(r.conv_activations for r in each)
