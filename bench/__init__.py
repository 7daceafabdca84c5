"""Benchmarks: `python -m bench.peers`, `python -m bench.profile`, `pytest bench`.

What is measured is the installed fasttrpo. Where Python starts in the repository, the sources
there would hide it; so the repository's root goes to the end of the path, where it still serves a
library that was built in place.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

sys.path[:] = [place for place in sys.path if Path(place).resolve() != ROOT] + [str(ROOT)]
