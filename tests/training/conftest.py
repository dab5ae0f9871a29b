"""The images that the tests of training share."""

from __future__ import annotations

from pathlib import Path

import pytest
from trainings import folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 images of three classes."""
    return folder(tmp_path_factory.mktemp("pictures") / "data")
