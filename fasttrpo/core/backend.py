"""The choice of implementation: the compiled core, or its portable twin in NumPy.

`backend=None` uses the environment variable FASTTRPO_BACKEND if it is set, otherwise the compiled
core, or, with a warning, the portable twin if this installation has no extensions.
FASTTRPO_NUM_THREADS is the default number of threads.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
from typing import TYPE_CHECKING, Any

from fasttrpo._version import __version__
from fasttrpo.checks.suggest import unknown
from fasttrpo.checks.values import integer
from fasttrpo.core import source_tree
from fasttrpo.errors import UserError, UserImportError
from fasttrpo.settings import BACKENDS, MOST_THREADS
from fasttrpo.settings.agent import AgentSettings

if TYPE_CHECKING:
    from fasttrpo.protocols import Agent

VARIABLE = "FASTTRPO_BACKEND"
THREADS_VARIABLE = "FASTTRPO_NUM_THREADS"
# How many threads numerical libraries use. 1 in processes that share the cores with others, unless
# the user has set them.
LIBRARY_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_EXTENSION = {"float32": "fasttrpo.core._core32", "float64": "fasttrpo.core._core64"}


def has_extension() -> bool:
    """Whether this installation has the compiled core."""
    return all(importlib.util.find_spec(name) is not None for name in _EXTENSION.values())


def choose(backend: str | None = None) -> str:
    """The name of the backend to use. Raises ImportError if it is not available."""
    wanted = backend or os.environ.get(VARIABLE) or None
    if wanted is not None and wanted not in BACKENDS:
        raise UserError(f"{VARIABLE}: {unknown('backend', wanted, BACKENDS)}")
    if wanted == "compiled" and not has_extension():
        raise UserImportError(
            "backend='compiled': this installation has no compiled core "
            f"({source_tree.remedy()}), or use backend='portable'"
        )
    return wanted or ("compiled" if has_extension() else "portable")


def choose_with_warning(backend: str | None) -> str:
    """`choose`, with a warning if the portable backend is used but was not selected, unless the
    import of a source tree without extensions has warned already.
    """
    chosen = choose(backend)
    is_selected = backend or os.environ.get(VARIABLE)
    if chosen == "portable" and not is_selected and not source_tree.has_warned():
        warnings.warn(
            "the compiled core is missing: using the slower portable backend; "
            "backend='portable' selects it without this warning",
            RuntimeWarning,
            stacklevel=4,
        )
    return chosen


def make_agent(
    settings: AgentSettings, backend: str | None = None, dtype: str = "float32"
) -> Agent:
    """A new agent. Agents of both backends have the same methods."""
    if choose(backend) == "compiled":
        return importlib.import_module(_EXTENSION[dtype]).Agent(settings)
    return importlib.import_module("fasttrpo.portable").Agent(settings, dtype=dtype)


def cores() -> int:
    """How many cores this process may use, by its affinity and its control groups' quotas."""
    if has_extension():
        return importlib.import_module(_EXTENSION["float32"]).cores()
    allowed = getattr(os, "sched_getaffinity", None)  # not on every platform; ignores quotas
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def n_threads() -> int:
    """The default number of threads: FASTTRPO_NUM_THREADS if it is set, otherwise `cores`.

    Raises ValueError, naming the variable, if its value is invalid.
    """
    text = os.environ.get(THREADS_VARIABLE, "").strip()
    if not text:
        return cores()
    return integer(1, MOST_THREADS)(THREADS_VARIABLE, int(text) if text.isdecimal() else text)


def describe(backend: str | None = None, threads: int | None = None) -> dict[str, Any]:
    """What fasttrpo uses here: version, backend, precisions, instruction set, threads, cores.

    backend, threads: as in the settings; None: the defaults.
    """
    chosen = choose(backend)
    settings = AgentSettings(obs_size=1, distribution="gaussian", parts=(1,), n_steps=1)
    return {
        "version": __version__,
        "backend": chosen,
        "precision": ", ".join(_EXTENSION),
        "instruction set": make_agent(settings, chosen).instruction_set,
        "threads": (threads or n_threads()) if chosen == "compiled" else 1,
        "cores": cores(),
    }
