"""Results that outlive every end of a process: one SQLite file, its tables, its checksums."""
