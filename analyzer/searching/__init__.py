"""Searching millions of variants exactly, and explaining what moves the figures. No torch here."""
