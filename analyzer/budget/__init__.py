"""Budgets: configuration, lock file, check, one file an output format."""
