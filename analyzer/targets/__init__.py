"""What a user names: a variant of the family, or any model with its inputs; and its record."""
