"""Random variants and the zoo's models are test tools of other rooms."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / room) for room in ("core", "zoo")]
