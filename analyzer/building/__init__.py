"""A traced network as torch modules."""
