"""Who closes environments: users close those they passed, fasttrpo those it made from a name.

Gymnasium 1.1 to 1.2.3 closes every garbage-collected `VectorEnv`; later versions do not.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Iterable
from typing import Any


class Kept:
    """A mix-in, before `VectorEnv`: garbage collection does not close its environments."""

    def __del__(self) -> None:
        pass


@functools.cache
def kept(kind: type) -> type:
    """A `Kept` subclass of a class of vector environments."""
    return type(kind.__name__, (Kept, kind), {"__module__": __name__})


def close_at_end(vector_env: Any) -> Any:
    """Returns `vector_env`, changed to close its environments once, when it is closed or
    garbage-collected.
    """
    base = vector_env.unwrapped
    end = weakref.finalize(base, _close, tuple(getattr(base, "envs", ())))
    base.close_extras = lambda **_: end()  # `close` calls it; a second call does nothing
    return vector_env


def _close(envs: Iterable[Any]) -> None:
    for env in envs:
        env.close()
