"""Kills, damages and fuzzing without end: `make soak N=100 SEED=0` prints one line a kind, tried and failed.

Not part of the tests: the same things stand there in small. A failure's seed repeats it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE)]

from known import PLAN, expected  # noqa: E402

from analyzer.budget import configuration, lock_file  # noqa: E402
from analyzer.cli import COMMANDS, cli  # noqa: E402
from analyzer.cli.base import run as run_command  # noqa: E402
from analyzer.errors import AnalyzerError, BaselineError, UsageError  # noqa: E402
from analyzer.reading.latency import read_profile  # noqa: E402
from analyzer.records import Record, Target  # noqa: E402
from analyzer.sweeping.database import ALL, Database  # noqa: E402
from analyzer.sweeping.results_store import open_store  # noqa: E402

Trial = Callable[[random.Random, Path], None]
ENVIRONMENT = {
    **os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]), "RAY_USAGE_STATS_ENABLED": "0",
}  # fmt: skip


# -- kills -----------------------------------------------------------------------------------------------------


def killed(kind: str, *more: str, longest: float) -> Trial:
    """A run that is killed at moments of its own, again and again in one folder, and then ends."""
    said: set[str] = set()

    def trial(chance: random.Random, folder: Path) -> None:
        place = folder.parent / kind
        if chance.random() < 0.2:  # now and then from the beginning
            shutil.rmtree(place, ignore_errors=True)
            said.clear()
        process = start(kind, place, *more)
        assert process.stdout is not None
        if chance.random() < 0.8:  # else while it starts
            for _ in range(chance.randint(1, 12)):
                said.update(line_of(process.stdout.readline()))
        time.sleep(chance.uniform(0, longest))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for line in process.communicate(timeout=600)[0].splitlines():
            said.update(line_of(line))
        require_kept(kind, place, said)
        if chance.random() < 0.1:
            ended = start(kind, place, *more)
            for line in ended.communicate(timeout=600)[0].splitlines():
                said.update(line_of(line))
            assert ended.returncode == 0, "the next run does not end"
            require_kept(kind, place, said)
            if kind in ("sweep", "ray"):
                assert len(measured_in(place)) == PLAN.rows, "the next run does not do the rest"

    return trial


def start(kind: str, folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / "work.py"), kind, str(folder), *more]
    return subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )


def line_of(line: str) -> list[str]:
    return line.split()[1:] if line.startswith("put") else []


def measured_in(folder: Path) -> list[Record]:
    if not (folder / "results.db").exists():
        return []
    with warnings.catch_warnings(), closing(Database(folder / "results.db")) as opened:
        warnings.simplefilter("error")
        return [row.record for row in opened.rows(ALL) if row.record.measured]


def require_kept(kind: str, folder: Path, said: set[str]) -> None:
    """No finished measurement is lost, doubled or wrong."""
    if kind == "calibrate":
        if said:
            assert read_profile(folder / "profile.json").mean_error < 0.01, "a profile of other times"
        return
    rows = measured_in(folder)
    names = Counter(row.target.name for row in rows)
    assert set(names.values()) <= {1}, "a row twice"
    assert said <= set(names), f"lost: {said - set(names)}"
    for row in rows:
        assert row.measured is not None
        assert row.measured == expected(row.target.variant.name, row.measured.baseline), "another time"  # type: ignore[union-attr]


@contextlib.contextmanager
def nodes() -> Iterator[str]:
    """A Ray cluster of two nodes on this machine."""
    os.environ |= {name: ENVIRONMENT[name] for name in ("PYTHONPATH", "RAY_USAGE_STATS_ENABLED")}
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    try:
        yield str(cluster.address)
    finally:
        cluster.shutdown()


# -- damages ---------------------------------------------------------------------------------------------------


ROWS = [Record(target=Target(name=f"row{i}"), params=1000 + 37 * i, macs=10**6 + i, depth=i) for i in range(300)]


def damaged_database(chance: random.Random, folder: Path) -> None:
    """Bytes changed anywhere: what is shown all the same is as it was written."""
    with closing(open_store(folder)) as store:
        store.put(ROWS)
    path = folder / "results.db"
    data = bytearray(path.read_bytes())
    for _ in range(chance.randint(1, 6)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    with contextlib.suppress(UsageError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with closing(Database(path)) as opened:
            shown = [row.record for row in opened.rows()]
        assert all(row in ROWS for row in shown), "a figure that was never written"
    code, errors = outcome(["results", "list", str(path)])
    assert code in (0, 2), errors


def mutated_lock(chance: random.Random, folder: Path) -> None:
    """One change anywhere in a lock: refused, or of no meaning."""
    text = (ROOT / "examples" / "budget" / "analyzer.lock").read_text()
    place, kind = chance.randrange(len(text)), chance.randrange(4)
    other = chance.choice('0123456789abcdefxyz"{}[],:- ')
    changed = {
        0: text[:place] + other + text[place + 1 :],
        1: text[:place] + text[place + 1 :],
        2: text[:place] + other + text[place:],
        3: "".join(chance.sample(lines := text.splitlines(keepends=True), len(lines))),
    }[kind]
    with contextlib.suppress(BaselineError):
        assert lock_file.from_text(changed, "lock").models == lock_file.from_text(text, "lock").models


# -- fuzzing ---------------------------------------------------------------------------------------------------


def mutated_configuration(chance: random.Random, folder: Path) -> None:
    """Any configuration is read or refused."""
    text = (ROOT / "examples" / "budget" / "pyproject.toml").read_text()
    for _ in range(chance.randint(1, 5)):
        place = chance.randrange(len(text))
        piece = chance.choice(["", '"', "]", "= -1", "{}", "\0", "[[", "nan", "1e999", text[place : place + 20]])
        text = text[:place] + piece + text[place + chance.randint(0, 8) :]
    with contextlib.suppress(AnalyzerError):
        configuration.parse(text, "pyproject.toml")


WORDS = (
    "article", "densenet121", "--batch", "--input", "1,3,8,8", "--format", "json", "csv", "-1", "0", "1e999", "\0",
    "--depth", "--peak", "--classes", "2", "--config", "--against", "HEAD", "--output", "table", "--model", "x", "..",
    "--memory", "8GiB", "--timeout", "--witnesses", "net.py:build", "--kwarg", "a=b", "--check", "--help", "", "/", "é",
    "::error::", "\x1b[2J", "a" * 5000,
)  # fmt: skip


def random_arguments(chance: random.Random, folder: Path) -> None:
    """Any words have an answer with a code that means something."""
    verb = chance.choice([verb for verb in COMMANDS if verb not in ("measure", "calibrate")])
    words = [verb, *(chance.choice(WORDS) for _ in range(chance.randint(0, 5)))]
    words += ["--dry-run"] if verb in ("sweep", "search") else []
    with contextlib.chdir(folder):
        code, errors = outcome(words)
    assert code in (0, 1, 2, 3, 4), (words, code, errors[-500:])
    assert "Traceback" not in errors, words


def outcome(words: list[str]) -> tuple[int, str]:
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        return run_command(cli, words), errors.getvalue()


# -- all of it -------------------------------------------------------------------------------------------------


def soaked(kind: str, trial: Trial, number: int, seed: int) -> int:
    """Tries a kind, and prints its line."""
    failures = []
    with tempfile.TemporaryDirectory(prefix="soak-") as made:
        for i in range(number):
            folder = Path(made) / str(i)
            folder.mkdir()
            try:
                trial(random.Random(f"{kind} {seed} {i}"), folder)
            except Exception as error:
                failures.append(f"  {kind}, seed {seed}, trial {i}: {type(error).__name__}: {str(error)[:300]}")
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{kind}: tried {number:,}, failed {len(failures):,}", *failures[:10], sep="\n", flush=True)
    return len(failures)


def main() -> int:
    number, seed = (int(word) for word in sys.argv[1:3])
    only = sys.argv[3:]
    trials: dict[str, tuple[Trial, int]] = {
        "kill a measured sweep": (killed("sweep", longest=0.6), number),
        "kill a search": (killed("search", longest=1.5), number),
        "kill a calibration": (killed("calibrate", longest=2.0), number),
        "damage a database": (damaged_database, 5 * number),
        "mutate a lock": (mutated_lock, 50 * number),
        "mutate a configuration": (mutated_configuration, 50 * number),
        "random arguments": (random_arguments, 10 * number),
    }
    chosen = {kind: trial for kind, trial in trials.items() if not only or any(word in kind for word in only)}
    failed = sum(soaked(kind, trial, tries, seed) for kind, (trial, tries) in chosen.items())
    if not only or any(word in "kill a Ray run" for word in only):
        with nodes() as address:
            failed += soaked("kill a Ray run", killed("ray", address, longest=3.0), number, seed)
    print(json.dumps({"seed": seed, "failed": failed}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
