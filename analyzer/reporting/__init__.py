"""Records to figures to one HTML file."""
