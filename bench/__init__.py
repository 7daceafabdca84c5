"""Benchmarks: `python -m bench.peers`, `python -m bench.profile`, `pytest bench`.

The installed fasttrpo is measured. When Python starts in the repository, the sources there would
shadow it, so the repository's root moves to the end of the path, where it still serves a library
built in place.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

sys.path[:] = [place for place in sys.path if Path(place).resolve() != ROOT] + [str(ROOT)]
