"""Making a network smaller: levers, aimed by the exact counter, each with what it did on record."""
