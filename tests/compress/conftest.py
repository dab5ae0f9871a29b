"""The images that the tests of compression share."""

from __future__ import annotations

from pathlib import Path

import pytest
from compressions import folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 images of two classes."""
    return folder(tmp_path_factory.mktemp("greys") / "data")
