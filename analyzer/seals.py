"""Checksums of what is stored, so that a changed digit is never taken for a figure."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from analyzer.errors import UsageError

FIELD = "checksum"


class DamagedRowError(UsageError):
    """A stored row or file whose checksum is another's (exit 2)."""


def digest(value: object, digits: int) -> str:
    """So many hexadecimal digits over a value's JSON without spaces, keys in their own order (SHA-256)."""
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()[:digits]


def checksum(*parts: object) -> str:
    """Of JSON-ready values: 16 digits."""
    return digest(parts, 16)


def decoded(text: str | bytes) -> Any:
    """JSON's value. Raises msgspec.DecodeError also where it is no text."""
    try:
        return msgspec.json.decode(text)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(f"is no text: {error.reason}") from None


def sealed(data: dict[str, Any]) -> dict[str, Any]:
    """An object with its checksum as its last field."""
    bare = {key: value for key, value in data.items() if key != FIELD}
    return {**bare, FIELD: checksum(bare)}


def unsealed(data: Any, where: str) -> Any:
    """An object without its checksum; what has none is taken as it is. Raises DamagedRowError where it is another's."""
    if not isinstance(data, dict) or FIELD not in data:
        return data
    bare = {key: value for key, value in data.items() if key != FIELD}
    if data[FIELD] is not None and data[FIELD] != checksum(bare):
        raise DamagedRowError("is damaged: its checksum is another's", where=where, fix="make it again")
    return bare


def line(data: dict[str, Any]) -> str:
    """A sealed object as a line of JSON, ending with a line end."""
    return msgspec.json.encode(sealed(data)).decode() + "\n"
