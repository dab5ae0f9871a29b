"""What to do about an error of a user's own code: a fix that cures."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from analyzer.errors import did_you_mean
from analyzer.targets.resolving import ModuleTarget


def cure_of(error: BaseException, text: str, target: ModuleTarget, factory: Any) -> str:
    """What to do about an error of the user's code."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.partition(".")[0]
        return f"install it: pip install {_DISTRIBUTIONS.get(top, top)}"
    if isinstance(error, ImportError) and "relative import" in text:
        root, dotted = _dotted(Path(target.location))
        return f"name the module, not the file: {dotted}:{target.attribute}, from the folder {root}"
    if isinstance(error, TypeError) and "argument" in text:
        return _arguments(text, factory)
    if "CUDA" in text:
        return "leave the device to whoever uses the model (no .cuda() in it): counting needs no GPU"
    return "make it import and construct on its own first"


_DISTRIBUTIONS = {
    "cv2": "opencv-python", "PIL": "pillow", "sklearn": "scikit-learn", "skimage": "scikit-image", "yaml": "pyyaml",
}  # fmt: skip
"""Modules whose distribution has another name."""


def _dotted(path: Path) -> tuple[Path, str]:
    """The folder to run from, and a file's name as a module there: as far up as there are packages, one at least."""
    path = path.resolve()
    parts, folder = [] if path.stem == "__init__" else [path.stem], path.parent
    while True:
        parts.insert(0, folder.name)
        folder = folder.parent
        if not (folder / "__init__.py").is_file():
            return folder, ".".join(parts)


def _arguments(text: str, factory: Any) -> str:
    """What arguments the factory takes, where it is one of the user's that was called wrongly."""
    try:
        taken = [name for name, one in inspect.signature(factory).parameters.items() if one.kind in _BY_NAME]
    except (TypeError, ValueError):
        taken = []
    wrong = re.search(r"unexpected keyword argument '(\w+)'", text)
    if wrong and taken and wrong[1] not in taken:
        return f"{did_you_mean(wrong[1], taken)} --kwarg takes {', '.join(taken)}"
    listed = f" (it takes {', '.join(taken)})" if taken else ""
    return f"pass its arguments with --kwarg name=value{listed}"


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
