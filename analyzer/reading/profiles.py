"""Profiles of devices by name or in files: those that ship with the package, one's own, one that is named by its file.

`rtx4090` is amp, channels first, eager, the newest torch that was timed; `rtx4090:nhwc` and `rtx4090:compiled` choose
others, in any order. One's own stand in a folder of the user's (`analyze calibrate --name`).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from analyzer.errors import UsageError, did_you_mean
from analyzer.files import write_text
from analyzer.reading.latency import SCHEMA, Profile
from analyzer.seals import decoded, sealed, unsealed

SHIPPED = Path(__file__).with_name("shipped")
SUFFIX = ".json"
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,60}(:[a-z0-9]{1,20}){0,4}")


def own_folder() -> Path:
    """Where one's own profiles are kept."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "analyzer" / "devices"


def file_of(name: str, folder: Path) -> Path:
    """A profile's file in a folder. Raises UsageError on a name that can't be one."""
    if NAME.fullmatch(name) is None:
        raise UsageError(f"{name[:60]!r} is no name of a device", where="--name", fix="such as rtx4080 or mybox:nhwc")
    return folder / (name.replace(":", "+") + SUFFIX)


def files() -> dict[str, Path]:
    """Every profile that can be named, by its name; one's own in place of one that ships."""
    found: dict[str, Path] = {}
    for folder in (SHIPPED, own_folder()):
        for path in sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else ():
            found[path.name.removesuffix(SUFFIX).replace("+", ":")] = path
    return found


def profile_at(word: str | Path | None, batch: int | None = None) -> Profile | None:
    """The profile that a word names, or a file's, at a batch (default: its own). Raises UsageError where there is none,
    with the nearest name.
    """
    if word is None:
        return None
    path = _named(word) if isinstance(word, str) else None
    return read_profile(path or _file(word)).at(batch)


def _named(word: str) -> Path | None:
    first, *settings = word.lower().split(":")
    return next((path for name, path in files().items() if name == _canonical(first, settings)), None)


def _canonical(device: str, settings: list[str]) -> str:
    """Settings in the order that names have; those that every name has by itself left out."""
    order = ("nhwc", "ampbf16", "bf16", "compiled")
    usual = ("nchw", "amp", "eager")
    known = [word for word in order if word in settings]
    return ":".join([device, *known, *(word for word in settings if word not in (*order, *usual))])


def _file(word: str | Path) -> Path:
    """A file that is named; a word that looks like none is a device that isn't there."""
    if isinstance(word, Path) or "/" in word or word.endswith(SUFFIX) or Path(word).is_file():
        return Path(word)
    names = list(files())
    fix = f"{did_you_mean(word, names)} (analyze devices lists them; a profile's file is taken too)"
    raise UsageError(f"no profile of a device is called {word[:60]!r}", where="--on", fix=fix)


def write_profile(profile: Profile, path: Path) -> None:
    """As JSON."""
    data = sealed(msgspec.to_builtins(profile))
    write_text(path, msgspec.json.format(msgspec.json.encode(data), indent=1).decode() + "\n")


def read_profile(path: Path) -> Profile:
    """The profile of a file. Raises UsageError that says what is wrong with it."""
    again = "run `analyze calibrate` again"
    try:
        data = unsealed(decoded(path.read_bytes()), str(path))
        if isinstance(data, dict) and data.get("schema", SCHEMA) != SCHEMA:
            raise UsageError(f"has schema {data['schema']!r:.20}, not {SCHEMA}", where=str(path), fix=again)
        profile = msgspec.convert(data, Profile)
    except OSError as error:
        raise UsageError(f"can't be read: {error.strerror}", where=str(path), fix="run `analyze calibrate`") from None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UsageError(f"is no profile: {error}", where=str(path), fix=again) from None
    fits = [profile.coefficients, *([profile.attention] if profile.attention is not None else [])]
    if not all(any(fit.values()) for fit in fits) or not profile.bands:
        raise UsageError("predicts no times", where=str(path), fix=again)
    return profile
