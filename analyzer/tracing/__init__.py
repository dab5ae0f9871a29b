"""The same figures of any torch module, from every operator that it runs."""
