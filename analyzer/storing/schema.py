"""The tables of `results.db`: rows that sweeps keep, runs that trainings keep."""

from __future__ import annotations

COLUMNS = (
    "name", "batch", "protocol", "device", "measured_batch", "baseline",
    "host", "created", "analyzer", "git_commit", "source", "record",
)  # fmt: skip
"""What a row says, and its checksum is of: its key, then what `StoredRow` is read from, in its fields' order."""
KEY = 6
SEALED = ", ".join(COLUMNS)
NUMBERS = ("batch", "measured_batch")
SEAL = ", ".join(f"{{row}}.{name}" if name in NUMBERS else f"CAST({{row}}.{name} AS BLOB)" for name in COLUMNS)
SEAL = f"seal({SEAL})"
"""The checksum of a row of a table; text as bytes, because what is damaged may be none."""
WHOLE = f"{{row}}.checksum = {SEAL}"

_ROWS = (
    """
    CREATE TABLE rows (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        batch INTEGER NOT NULL,
        protocol TEXT NOT NULL,
        device TEXT NOT NULL,
        measured_batch INTEGER NOT NULL,
        baseline TEXT NOT NULL,
        record TEXT NOT NULL,
        host TEXT NOT NULL,
        created TEXT NOT NULL,
        analyzer TEXT NOT NULL,
        git_commit TEXT,
        source TEXT NOT NULL,
        UNIQUE (name, batch, protocol, device, measured_batch, baseline)
    )
    """,
    "ALTER TABLE rows ADD COLUMN checksum TEXT NOT NULL DEFAULT ''",
    f"UPDATE rows SET checksum = {SEAL.format(row='rows')}",
)
"""A counted row has no protocol."""

_ORIGIN = """
        host TEXT NOT NULL,
        created TEXT NOT NULL,
        analyzer TEXT NOT NULL,
        git_commit TEXT,
        checksum TEXT NOT NULL
"""
_TRAINING = (
    f"""
    CREATE TABLE runs (
        run TEXT PRIMARY KEY,
        config TEXT NOT NULL,
        {_ORIGIN}
    )
    """,
    f"""
    CREATE TABLE epochs (
        run TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        record TEXT NOT NULL,
        {_ORIGIN},
        PRIMARY KEY (run, epoch)
    )
    """,
    """
    CREATE TABLE predictions (
        run TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        split TEXT NOT NULL,
        logits BLOB NOT NULL,
        checksum TEXT NOT NULL,
        PRIMARY KEY (run, epoch, split)
    )
    """,
    """
    CREATE TABLE images (
        run TEXT NOT NULL,
        split TEXT NOT NULL,
        keys TEXT NOT NULL,
        labels BLOB NOT NULL,
        checksum TEXT NOT NULL,
        PRIMARY KEY (run, split)
    )
    """,
)
"""`config` and `record` are JSON; `logits` are little-endian float32, a split's images by classes; `keys` is a JSON
list of those images, `labels` their classes as little-endian int32.
"""

MIGRATIONS = (*_ROWS, *_TRAINING)
"""Step i takes a database from version i to i + 1; a new file has version 0."""
