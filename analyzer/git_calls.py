"""The one way in which git is called: without a shell, and running nothing that a repository's settings name."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

SECONDS = 120.0
GRACE_S = 5.0
"""What git has for taking back what it was writing, before it is killed."""
_OPTIONS = ("--no-pager", "--literal-pathspecs")
"""Of every call: a path is a path."""
_SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.alternateRefsCommand": "",
    "core.sshCommand": "false",
    "core.gitProxy": "",
    "credential.helper": "",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "submodule.recurse": "false",
    "log.showSignature": "false",
    "log.showRoot": "true",
    "log.follow": "false",
    "gpg.program": "false",
    "gpg.ssh.program": "false",
    "gpg.x509.program": "false",
    "i18n.logOutputEncoding": "UTF-8",
    "i18n.commitEncoding": "UTF-8",
}
"""What takes the place of settings that name a program, or change what is read."""
_UNSET = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_EXTERNAL_DIFF", "GIT_SSH", "GIT_SSH_COMMAND")
"""A hook's own variables would point another worktree's calls at this one."""


def git(*arguments: str, folder: Path, seconds: float = SECONDS) -> subprocess.CompletedProcess[bytes]:
    """What git answers in a folder. Raises OSError where it can't be run, subprocess.TimeoutExpired."""
    return _run(arguments, folder, seconds, {**_SETTINGS, **_no_filters(folder, seconds)})


def _no_filters(folder: Path, seconds: float) -> dict[str, str]:
    """Settings in the place of each filter's, which git would run on files as it writes or compares them."""
    asked = ("config", "--null", "--name-only", "--get-regexp", r"^filter\.")
    keys = _run(asked, folder, seconds, _SETTINGS).stdout.decode("utf-8", "surrogateescape").split("\0")
    names = {key.split(".", 1)[1].rpartition(".")[0] for key in keys if key}
    off = {"smudge": "", "clean": "", "process": "", "required": "false"}
    return {f"filter.{name}.{key}": value for name in names for key, value in off.items()}


def _run(
    arguments: Sequence[str], folder: Path, seconds: float, settings: Mapping[str, str]
) -> subprocess.CompletedProcess[bytes]:
    command = ["git", *_OPTIONS, *arguments]
    with subprocess.Popen(
        command, cwd=folder, env=_environment(settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL, process_group=0,
    ) as process:  # fmt: skip
        try:
            said, told = process.communicate(timeout=seconds)
        except BaseException:
            _end(process)
            raise
    return subprocess.CompletedProcess(command, process.returncode, said, told)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends git, and the gits that it has started, as they wish to be ended: killed ones leave half a worktree."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    given = {name: value for name, value in os.environ.items() if name not in _UNSET}
    first = int(given.get("GIT_CONFIG_COUNT") or 0)
    for number, (key, value) in enumerate(settings.items(), start=first):
        given |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    safe = {
        "GIT_CONFIG_COUNT": str(first + len(settings)), "GIT_ALLOW_PROTOCOL": "https", "GIT_ASKPASS": "",
        "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C",
    }  # fmt: skip
    return {**given, **safe}
