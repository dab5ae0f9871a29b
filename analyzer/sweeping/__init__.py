"""Running a grid of variants, durably."""
