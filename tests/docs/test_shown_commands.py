"""Every command that the documents show is run, in a small form: few images, one epoch, one round."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import ROOT, run_here
from PIL import Image

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SMALL = {
    "train": ["--image", "32", "--epochs", "1", "--seeds", "0", "--threads", "1"],
    "sweep": ["--measure", "none"],
    "measure": ["--rounds", "1", "--time", "20m", "--image", "64"],
    "search": ["--time", "45s"],
}
"""What makes a verb's command small: an option that is given twice is the last one's."""
ELSEWHERE = re.compile(r"pip install |ray (start|stop)|git |make |torchrun ")
"""Commands of others; those of make must be in the Makefile, that of torchrun trains as `analyze train` does."""
LONG = {"calibrate"}
"""What takes minutes whatever is said: that its options are right is all that is tried."""
PLACES = {
    "reports/sweep-…": "reports/sweep", "runs/runs/…/last.safetensors": "runs/runs/RUN/last.safetensors",
    "--executor ray --address auto": "", "mypkg.models:build": "mypkg/models.py:build",
}  # fmt: skip
NET = '''"""A network."""

from torch import nn


class Net(nn.Module):
    """Convolution, pool, linear."""

    def __init__(self, num_classes: int = 3, width: int = 8) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x):
        """(N, 3, H, W) to (N, num_classes)."""
        return self.head(self.conv(x).relu().mean((2, 3)))


def build(width: int = 8) -> Net:
    """One of a width."""
    return Net(width=width)


if __name__ == "__main__":
    import torch

    build()(torch.zeros(1, 3, 32, 32))
'''


def shown() -> Iterator[tuple[str, str]]:
    """Document and command, each command once."""
    seen = set()
    for document in DOCUMENTS:
        for block in re.findall(r"^```sh\n(.*?)^```", document.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
            for line in block.replace("\\\n", " ").splitlines():
                command = re.sub(r"\s{2,}# .*|\s+#\s.*$", "", line).strip()
                if command and command not in seen and not command.startswith("#"):
                    seen.add(command)
                    yield document.name, command


COMMANDS = list(shown())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with models, images, a trained run, a sweep's results and two reports."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "mypkg").mkdir()
    for name in ("models.py", "mypkg/__init__.py", "mypkg/models.py"):
        (folder / name).write_text(NET)
    draw = np.random.default_rng(0)
    for data in ("images", "examples/data/trashnet"):
        for name in ("glass", "metal", "paper"):
            (folder / data / name).mkdir(parents=True)
            for i in range(16):
                Image.fromarray(draw.integers(0, 256, (20, 20, 3), np.uint8)).save(folder / data / name / f"{i}.png")
    shutil.copy(folder / "images/glass/0.png", folder / "photo.jpg")
    done = [
        run_here("train", "residual_b1-1_g4_r0.5_c0.5_i4_stemsmall", "--data", "images", "--out", "runs",
                 "--image", "32", "--epochs", "1", "--batch", "8", cwd=folder),
        run_here("sweep", "--growth", "8,16", "--measure", "none", "--out", "reports/sweep", cwd=folder),
    ]  # fmt: skip
    assert [each.returncode for each in done] == [0, 0], done
    (run,) = (folder / "runs/runs").iterdir()
    (folder / "runs/runs/RUN").symlink_to(run.name)
    for name in ("before.html", "after.html"):
        shutil.copy(folder / "reports/sweep/report.html", folder / name)
    done = [run_here("init", cwd=folder)]
    (folder / ".gitignore").write_text("/runs*\n/reports\n/images\n/examples\n*.html\n")
    git = ["git", "-c", "user.email=a@example.org", "-c", "user.name=A"]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "models"],
                    ["update-ref", "refs/remotes/origin/main", "HEAD"]):  # fmt: skip
        subprocess.run([*git, *command], cwd=folder, check=True)
    return folder


def test_no_command_is_a_strangers() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document, command in COMMANDS:
        if command.startswith("make "):
            assert command.split()[1] in targets, (document, command)
        else:
            assert command.startswith("analyze") or ELSEWHERE.match(command), (document, command)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [command for _, command in COMMANDS if command.startswith("analyze")], ids=lambda command: command[:60]
)
def test_a_shown_command_runs(command: str, project: Path, tmp_path: Path) -> None:
    for shown_as, here in PLACES.items():
        command = command.replace(shown_as, here)
    arguments = shlex.split(command)[1:]
    verb = arguments[0] if arguments else ""
    small = [] if "compare" in arguments[1:2] else list(SMALL.get(verb, []))
    if verb == "train" and small:
        small += ["--out", str(tmp_path / "runs"), "--batch", "8"]
    if verb == "sweep":
        small += ["--out", str(tmp_path / "out")]
    if "--objective" in arguments:
        small += ["--trials", "1", "--batch", "1", "--image", "64"]
    if "--data" in arguments and verb in ("sweep", "search"):
        small += ["--epochs", "1", "--seeds", "0", "--threads", "1"]
    if "--hours" in arguments:
        small += ["--max-params", "300", "--hours", "0.001", "--epochs", "1", "--batch", "8", "--threads", "1"]
    folder = project
    if verb == "init":  # a project that has no budgets yet
        folder = tmp_path
        shutil.copy(project / "models.py", folder)
    done = run_here(*arguments, *(["--help"] if verb in LONG else small), cwd=folder)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
