"""`hf:CONFIG`: a model of transformers, made from a local configuration: nothing is downloaded, no code in it run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.errors import TargetError, UsageError, did_you_mean
from analyzer.targets.resolving import ModuleTarget

if TYPE_CHECKING:
    from torch import nn

CONFIG = "config.json"


def read_config(target: ModuleTarget) -> dict[str, Any]:
    """The fields of a configuration, with those that the target's arguments override. Raises UsageError."""
    path = Path(target.location)
    path = path / CONFIG if path.is_dir() else path
    if not path.is_file():
        fix = f"save it there first: AutoConfig.from_pretrained(NAME).save_pretrained(FOLDER), then hf:FOLDER/{CONFIG}"
        raise UsageError(f"there is no file {str(path)[:120]}", where=target.name, fix=fix)
    try:
        fields = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"is no configuration: {error}", where=str(path), fix="save it anew") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("model_type"), str):
        raise UsageError("says no model_type", where=str(path), fix="use a configuration that transformers saved")
    return {**fields, **dict(target.kwargs)}


def make(target: ModuleTarget) -> nn.Module:
    """The model, of the class that the configuration names where transformers has it, on the device that is set.

    Raises UsageError and TargetError.
    """
    fields = read_config(target)
    try:
        import transformers
    except ImportError:
        raise TargetError(
            "needs transformers, which is not installed", where=target.name, fix="pip install transformers"
        ) from None
    kind = fields.pop("model_type")
    known = transformers.CONFIG_MAPPING
    if kind not in known:
        raise TargetError(
            f"transformers {transformers.__version__} has no model_type {kind[:80]!r}", where=target.name,
            fix=did_you_mean(kind, sorted(known.keys())),
        )  # fmt: skip
    config = known[kind].from_dict({"model_type": kind, **fields})
    names = fields.get("architectures") or []
    found = getattr(transformers, str(names[0]), None) if names else None
    made: nn.Module = transformers.AutoModel.from_config(config) if found is None else found(config)
    return made
