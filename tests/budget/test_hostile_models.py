"""One model's code, whatever it does, costs nobody else a verdict, and leaves nothing behind."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from project import Project, finding

HEAD = """\
import os, signal, subprocess, sys, threading, time
from torch import nn


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(8, 9)
        self.odd()

    def odd(self):
        pass

    def forward(self, x):
        return self.out(x)


class Mute(Exception):
    def __str__(self):
        raise ValueError("has no words")

    __repr__ = __str__


class Unhashable(Exception):
    def __hash__(self):
        raise ValueError("has no hash")

    def __eq__(self, other):
        raise ValueError("is like nothing")


class Good(Base):
    pass

"""
BROKEN = {
    "mute": "raise Mute()",
    "mute_quit": "raise type('MuteQuit', (BaseException,), {'__str__': Mute.__str__})()",
    "unhashable": "raise Unhashable('odd')",
    "interrupts": "raise KeyboardInterrupt",
    "interrupted": "os.kill(os.getpid(), signal.SIGINT); time.sleep(60)",
    "exits": "sys.exit(0)",
    "leaves": "os._exit(0)",
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "terminated": "os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)",
    "asks": "input()",
}
WHOLE = {
    "forks": "os.fork()",
    "forks_and_sleeps": "open('asleep', 'a').close(); os.fork() or time.sleep(600)",
    "starts_a_daemon": "subprocess.Popen(['sleep', '600'], start_new_session=True)",
    "has_a_thread": "threading.Thread(target=time.sleep, args=(600,)).start()",
    "writes": "os.write(1, b'{\"not\": \"ours\"}\\n'); print('not ours')",
}


def project_of(folder: Path, odd: dict[str, str], place: str = "odd", top: str = "") -> Project:
    """A project of one model a piece of odd code, and a good one."""
    project = Project(folder, example=False)
    signature = {"odd": "def odd(self):", "forward": "def forward(self, x):"}[place]
    classes = [
        f"class {name}(Base):\n    {signature}\n        {code}\n        return self.out(x)\n"
        for name, code in odd.items()
    ]
    if place == "odd":
        classes = [text.replace("        return self.out(x)\n", "") for text in classes]
    project.write("net.py", HEAD + "\n\n".join(classes))
    names = {"good": "Good", **{name: name for name in odd}}
    tables = [
        f'[models.{name}]\ntarget = "net.py:{attribute}"\ninput = [1, 8]\nbudgets.params = {{ max = 81 }}\n'
        for name, attribute in names.items()
    ]
    project.write("analyzer.toml", top + "\n".join(tables))
    return project


def running(word: str) -> list[int]:
    """Processes with a word in their command line, but those that were there before."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="models run apart where there is a fork")
@pytest.mark.parametrize("place", ["odd", "forward"])
def test_an_odd_model_is_broken_and_the_others_keep_their_verdicts(tmp_path: Path, place: str) -> None:
    project = project_of(tmp_path / "odd", BROKEN, place)
    code, verdict = project.check()
    assert code == 3
    for name in BROKEN:
        found = finding(verdict, "broken", model=name)
        assert found["what"], name
    assert {f["model"] for f in verdict["findings"] if f["level"] == "error"} == set(BROKEN)
    good = next(model for model in verdict["models"] if model["name"] == "good")
    assert good["record"]["params"] == 8 * 9 + 9
    assert "Mute" in finding(verdict, "broken", model="mute")["what"]
    assert "signal 9" in finding(verdict, "broken", model="killed")["what"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="models run apart where there is a fork")
def test_a_model_that_leaves_something_behind_is_counted_and_what_it_left_is_ended(tmp_path: Path) -> None:
    before = running("sleep\x00600")
    project = project_of(tmp_path / "odd", WHOLE)
    started = time.monotonic()
    code, verdict = project.check()
    assert (code, verdict["findings"]) == (0, [])
    assert time.monotonic() - started < 300  # half of what its children sleep
    assert running("sleep\x00600") == before
    assert [model["record"]["params"] for model in verdict["models"]] == [81] * (1 + len(WHOLE))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="models run apart where there is a fork")
def test_a_model_that_runs_for_ever_is_ended_in_time(tmp_path: Path) -> None:
    project = project_of(tmp_path / "odd", {"loops": "while True: pass"}, top='timeout = "3s"\n')
    code, verdict = project.check()
    assert code == 3
    assert "took over 3 s" in finding(verdict, "broken", model="loops")["what"]
    assert verdict["models"][0]["record"]["params"] == 81
    project = project_of(tmp_path / "odd", {"sleeps": "time.sleep(600)"})
    code, verdict = project.check("--timeout", "2s", "--model", "sleeps")
    assert (code, "took over 2 s" in finding(verdict, "broken")["what"]) == (3, True)


@pytest.mark.parametrize("timeout", ['"soon"', "0", "-1", "[]"])
def test_a_timeout_that_is_none_is_a_wrong_configuration(tmp_path: Path, timeout: str) -> None:
    project = project_of(tmp_path / "odd", {}, top=f"timeout = {timeout}\n")
    code, verdict = project.check()
    assert (code, "timeout" in finding(verdict, "configuration")["where"]) == (2, True)
