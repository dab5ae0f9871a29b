"""Kills, damages and fuzzing without end: `make soak N=100 SEED=0` prints one line a kind, tried and failed.

Not part of the tests: the same things stand there in small. A failure's seed repeats it.
"""

from __future__ import annotations

import json
import random
import shutil
import statistics
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

import damages  # noqa: E402
import hostile  # noqa: E402
import kills  # noqa: E402
from trial import Told, Trial  # noqa: E402


def soaked(kind: str, trial: Trial, number: int, seed: int) -> int:
    """Tries a kind, and prints its line."""
    failures: list[str] = []
    told: list[Told] = []
    with tempfile.TemporaryDirectory(prefix="soak-") as made:
        for i in range(number):
            folder = Path(made) / str(i)
            folder.mkdir()
            try:
                told.append(trial(random.Random(f"{kind} {seed} {i}"), folder))
            except Exception as error:
                failures.append(f"  {kind}, seed {seed}, trial {i}: {type(error).__name__}: {str(error)[:600]}")
            shutil.rmtree(folder, ignore_errors=True)
    line = f"{kind}: tried {number:,}, failed {len(failures):,}{_also(told)}"
    print(line, *failures[:10], sep="\n", flush=True)
    return len(failures)


def _also(told: list[Told]) -> str:
    """What trials said beside that they went well."""
    words = [f"{many:,} {word}" for word, many in sorted(Counter(w for w in told if isinstance(w, str)).items())]
    times = [each for each in told if isinstance(each, dict)]
    for name in times[0] if times else ():
        seconds = [each[name] for each in times]
        words.append(f"{name} {statistics.median(seconds):.2f} s in the median, {max(seconds):.2f} s at most")
    return "".join(f"; {each}" for each in words)


def main() -> int:
    number, seed = (int(word) for word in sys.argv[1:3])
    only = sys.argv[3:]
    trials: dict[str, tuple[Trial, int]] = {
        "kill a measured sweep": (kills.killed("sweep", longest=0.6), number),
        "kill a search": (kills.killed("search", longest=1.5), number),
        "kill a calibration": (kills.killed("calibrate", longest=2.0), number),
        "kill the command": (kills.killed_command(), number // 2),
        "end a command": (kills.signalled, number),
        "damage a database": (damages.damaged_database, 5 * number),
        "damage JSON lines": (damages.damaged_lines, 5 * number),
        "damage a profile": (damages.damaged_profile, 50 * number),
        "mutate a lock": (damages.mutated_lock, 50 * number),
        "mutate a configuration": (damages.mutated_configuration, 50 * number),
        "random arguments": (damages.random_arguments, 10 * number),
        "a full disk": (damages.full_disk, 5 * number),
        "hostile models": (hostile.hostile_models, number),
        "git settings": (hostile.git_settings, number),
    }
    chosen = {kind: trial for kind, trial in trials.items() if not only or any(word in kind for word in only)}
    failed = sum(soaked(kind, trial, tries, seed) for kind, (trial, tries) in chosen.items())
    if not only or any(word in "kill a Ray run" for word in only):
        with kills.nodes() as address:
            failed += soaked("kill a Ray run", kills.killed("ray", address, longest=3.0), number, seed)
    print(json.dumps({"seed": seed, "failed": failed}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
