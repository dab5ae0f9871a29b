"""Axes, grids, Pareto fronts: what sweeps and searches share. No torch here."""
