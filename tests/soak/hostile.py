"""Models that do anything to their process, and repositories whose settings name programs."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from damages import outcome
from kills import MARK, left
from trial import ENVIRONMENT

HEAD = """\
import atexit, ctypes, gc, os, resource, signal, subprocess, sys, threading, time, warnings
import torch
from torch import nn


class Good(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(8, 9)

    def forward(self, x):
        return self.out(x)


class Mute(BaseException):
    def __str__(self):
        raise self

    __repr__ = __hash__ = __str__


def daemon():
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.fork() and os._exit(0)
        time.sleep(600)


"""
ODD = (
    "os.fork()", "os.fork() or time.sleep(600)", "daemon()", "os._exit(0)", "os._exit(7)", "sys.exit(3)",
    "raise Mute()", "raise KeyboardInterrupt", "raise SystemExit('x')", "raise RecursionError", "raise GeneratorExit",
    "raise StopIteration", "os.kill(os.getpid(), signal.SIGKILL)", "os.kill(os.getpid(), signal.SIGSEGV)",
    "os.abort()", "os.kill(0, signal.SIGINT)", "os.kill(os.getppid(), signal.SIGTERM)", "ctypes.string_at(0)",
    "os.close(1)", "os.close(2)", "os.closerange(0, 3)", "os.closerange(3, 256)", "os.write(1, b'{}\\n[')",
    "print('::error::x'); sys.stdout.flush()", "sys.stdout = None", "sys.stderr = None", "sys.stdout.close()",
    "sys.__stdout__.write('x')", "sys.modules.clear()", "os.chdir('/')", "os.environ.clear()",
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)", "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))",
    "threading.Thread(target=time.sleep, args=(600,)).start()", "atexit.register(time.sleep, 600)",
    "atexit.register(print, 'late')", "subprocess.Popen(['sleep', '600'], start_new_session=True)",
    "sys.setrecursionlimit(10)", "torch.set_default_dtype(torch.float64)", "torch.set_default_device('meta')",
    "torch.Tensor.numel = lambda self: 0", "warnings.simplefilter('error'); warnings.warn('x')", "input()",
    "exec('raise SyntaxError')", "1 / 0", "open(os.devnull).read(-2)",
    "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))", "[None] * 2**60", "gc.disable(); gc.freeze()",
    "sys.excepthook = lambda *a: os._exit(0); 1 / 0", "while True: pass", "os.setpgid(0, 0)",
    "os.killpg(os.getpgid(0), signal.SIGTERM)", "os.nice(19)", "os.umask(0o777)",
)  # fmt: skip
"""What a model's code does; the gate may call it whole or broken, and is hurt by none."""
PLACES = ("import", "init", "forward")


def source(odd: dict[str, tuple[str, str]]) -> str:
    """A module of odd models: class by class what it does, and where."""
    classes = []
    for name, (code, place) in odd.items():
        init, forward = (code if place == where else "pass" for where in ("init", "forward"))
        classes.append(
            f"class {name}(Good):\n    def __init__(self):\n        super().__init__()\n        {init}\n\n"
            f"    def forward(self, x):\n        {forward}\n        return self.out(x)\n\n\n"
        )
    return HEAD + "".join(classes) + "".join(f"{code}\n" for code, place in odd.values() if place == "import")


def hostile_models(chance: random.Random, folder: Path) -> str:
    """Some odd models, each in a file of its own, and a good one: it keeps its verdict, and nothing is left."""
    odd = {f"M{i}": (chance.choice(ODD), chance.choice(PLACES)) for i in range(4)}
    tables = ['timeout = "10s"']
    for name, (code, place) in {"Good": ("pass", "init"), **odd}.items():
        (folder / f"{name.lower()}.py").write_text(source({} if name == "Good" else {name: (code, place)}))
        tables += [f'[models.{name}]\ntarget = "{name.lower()}.py:{name}"\ninput = [1, 8]']
        tables += [f"[models.{name}.budgets]\nparams = {{ max = 81 }}"]
    (folder / "analyzer.toml").write_text("\n".join(tables) + "\n")
    done = ended(["check", "--output", "json"], folder)
    assert done.returncode in (0, 3), (odd, done.returncode, done.stderr[-300:])
    models = {model["name"]: model for model in json.loads(done.stdout)["models"]}
    assert models["Good"]["record"]["params"] == 81, odd
    name = chance.choice(list(odd))
    shown = ended(
        ["show", f"{name.lower()}.py:{name}", "--input", "1,8", "--timeout", "10s", "--format", "json"], folder
    )
    assert shown.returncode in (0, 3), (odd[name], shown.returncode, shown.stderr[-300:])
    assert (shown.returncode == 0) == bool(shown.stdout), odd[name]
    if shown.returncode == 0:
        assert json.loads(shown.stdout)["target"]["name"], odd[name]
    return f"exit code {done.returncode}"


def ended(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """A command that ends with no traceback, and leaves no process."""
    mark = f"{os.getpid()}-{folder.name}-{time.monotonic_ns()}"
    done = subprocess.run(
        [sys.executable, "-m", "analyzer", *words], cwd=folder, env={**ENVIRONMENT, MARK: mark}, capture_output=True,
        text=True, timeout=300, check=False, start_new_session=True,
    )  # fmt: skip
    assert "defect" not in done.stderr, done.stderr[-500:]
    assert not left(mark), f"{words[0]} leaves {len(left(mark))} processes"
    return done


# -- git -------------------------------------------------------------------------------------------------------

PROGRAMS = (
    "alias.log", "alias.show", "alias.rev-parse", "core.fsmonitor", "core.pager", "core.editor", "core.askPass",
    "core.sshCommand", "core.gitProxy", "core.alternateRefsCommand", "credential.helper", "diff.external",
    "diff.evil.command", "diff.evil.textconv", "filter.evil.clean", "filter.evil.smudge", "filter.evil.process",
    "gpg.program", "gpg.ssh.program", "gpg.x509.program", "gpg.ssh.defaultKeyCommand", "interactive.diffFilter",
    "merge.evil.driver", "pager.log", "pager.show", "pager.diff", "sequence.editor", "trailer.x.cmd",
    "trailer.x.command", "uploadpack.packObjectsHook", "remote.origin.uploadpack", "remote.origin.vcs",
    "mergetool.x.cmd", "browser.x.cmd", "core.hooksPath", "init.templateDir", "url.ext::evil.insteadOf",
    "protocol.ext.allow", "include.path",
)  # fmt: skip
ODDITIES = {
    "log.showSignature": ["true"], "i18n.logOutputEncoding": ["UTF-16", "nonsense"],
    "i18n.commitEncoding": ["latin1"], "log.showRoot": ["false"], "log.date": ["relative"], "log.decorate": ["full"],
    "log.mailmap": ["true"], "format.pretty": ["%x00%x1b[31m", "oneline"], "color.ui": ["always"],
    "core.quotePath": ["false"], "log.follow": ["true"], "diff.renames": ["copies"], "diff.noprefix": ["true"],
    "core.abbrev": ["4"], "log.excludeDecoration": ["*"], "core.autocrlf": ["true", "input"], "core.eol": ["crlf"],
    "core.bare": ["false"], "core.safecrlf": ["true"], "checkout.guess": ["false"], "advice.detachedHead": ["true"],
    "core.sparseCheckout": ["true"], "extensions.worktreeConfig": ["false"],
    "submodule.recurse": ["true"], "core.logAllRefUpdates": ["always"], "status.showUntrackedFiles": ["all"],
    "filter.evil.required": ["true"], "transfer.fsckObjects": ["true"],
}  # fmt: skip
HOOKS = (
    "post-checkout",
    "post-index-change",
    "reference-transaction",
    "pre-commit",
    "pre-auto-gc",
    "fsmonitor-watchman",
)


def git_settings(chance: random.Random, folder: Path) -> None:
    """Any settings of a repository: nothing that they name is run, and what is said of its commits is the same."""
    place, mark = folder / "models", folder / "marks"
    place.mkdir()
    (place / "net.py").write_text("from torch import nn\n\n\ndef build():\n    return nn.Linear(8, 8)\n")
    (place / "analyzer.toml").write_text(
        '[models.net]\ntarget = "net.py:build"\ninput = [1, 8]\nbudgets.params = { max = 72 }\n'
    )
    (place / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    git(place, "init", "--quiet", "--initial-branch=main")
    with contextlib.chdir(place):
        assert outcome(["lock"])[0] == 0
    git(place, "add", "--all")
    git(place, "commit", "--quiet", "-m", "Ünïcode")
    evil, hooks = folder / "evil.sh", folder / "hooks"
    evil.write_text(f'#!/bin/sh\necho "$0 $*" >> {mark}\ncat\n')
    evil.chmod(0o755)
    hooks.mkdir()
    for name in HOOKS:
        (hooks / name).symlink_to(evil)
        (place / ".git" / "hooks" / name).unlink(missing_ok=True)
        (place / ".git" / "hooks" / name).symlink_to(evil)
    settings = {key: chance.choice(values) for key, values in ODDITIES.items() if chance.random() < 0.4}
    named = {"core.hooksPath": str(hooks), "include.path": str(folder / "more"), "init.templateDir": str(folder)}
    settings |= {key: named.get(key, str(evil)) for key in PROGRAMS if chance.random() < 0.5}
    (folder / "more").write_text(f"[core]\n\tfsmonitor = {evil}\n[alias]\n\tlog = !{evil}\n")
    for key, value in settings.items():
        git(place, "config", "--file", str(place / ".git" / "config"), key, value)
    (place / "net.py").touch()
    with contextlib.chdir(place):
        for words in (["check", "--against", "main"], ["check", "--against", "main", "--rebuild"], ["history"]):
            code, errors = outcome(words)
            assert code == 0, (words, settings, code, errors[-500:])
    assert not mark.exists(), (settings, mark.read_text())


def git(folder: Path, *words: str) -> None:
    """Git as it is set up in a new folder."""
    identity = ("-c", "user.name=Soak", "-c", "user.email=soak@example.test", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, check=True)
