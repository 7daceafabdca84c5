"""Who closes an environment: the user what was passed, fasttrpo what it made from a name.

Gymnasium 1.1 to 1.2.3 closes every `VectorEnv` that is garbage-collected; later versions none.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Iterable
from typing import Any


class Kept:
    """A mix-in, before `VectorEnv`: what is inside stays open when this is garbage-collected."""

    def __del__(self) -> None:
        pass


@functools.cache
def kept(kind: type) -> type:
    """`kind`, a class of vector environments, as `Kept`."""
    return type(kind.__name__, (Kept, kind), {"__module__": __name__})


def close_at_end(vector_env: Any) -> Any:
    """`vector_env`, whose single environments are closed once: when it is closed, or when nobody
    holds it any more.
    """
    base = vector_env.unwrapped
    end = weakref.finalize(base, _close, tuple(getattr(base, "envs", ())))
    base.close_extras = lambda **_: end()  # what `close` calls; nothing if it was called before
    return vector_env


def _close(envs: Iterable[Any]) -> None:
    for env in envs:
        env.close()
