"""numpy, imported when it is first used: neither a Tab nor --help waits for it."""

from __future__ import annotations

from typing import Any


class _Numpy:
    """Its attributes, each looked up once."""

    def __getattr__(self, name: str) -> Any:
        import numpy

        found = getattr(numpy, name)
        setattr(self, name, found)
        return found


np = _Numpy()
