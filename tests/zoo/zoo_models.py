"""The zoo, whole."""

import zoo_cnn
import zoo_others
import zoo_transformers
from zoo_entry import ENTRIES, Entry

__all__ = ["ENTRIES", "Entry", "zoo_cnn", "zoo_others", "zoo_transformers"]
