"""Which implementation runs: the compiled core, or its portable twin in NumPy.

`backend=None` takes the environment variable FASTTRPO_BACKEND if it is set, otherwise the
compiled core, otherwise (no extension in this installation) the portable one with a warning.
FASTTRPO_NUM_THREADS is the number of threads where no setting says it.
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
_EXTENSION = {"float32": "fasttrpo.core._core32", "float64": "fasttrpo.core._core64"}


def has_extension() -> bool:
    """Whether this installation has the compiled core."""
    return all(importlib.util.find_spec(name) is not None for name in _EXTENSION.values())


def choose(backend: str | None = None) -> str:
    """The backend that the setting means by name. ImportError if it is not there."""
    wanted = backend or os.environ.get(VARIABLE) or None
    if wanted is not None and wanted not in BACKENDS:
        raise UserError(f"{VARIABLE}: {unknown('backend', wanted, BACKENDS)}")
    if wanted == "compiled" and not has_extension():
        raise UserImportError(
            "backend='compiled': this installation has no compiled core "
            f"({source_tree.remedy()}), or take backend='portable'"
        )
    return wanted or ("compiled" if has_extension() else "portable")


def choose_aloud(backend: str | None) -> str:
    """`choose`, with a warning where nobody asked for the portable backend but it is what runs, if
    none was given when a source tree without extensions was imported.
    """
    chosen = choose(backend)
    is_asked_for = backend or os.environ.get(VARIABLE)
    if chosen == "portable" and not is_asked_for and not source_tree.has_warned():
        warnings.warn(
            "the compiled core is missing, so the slower portable backend runs; "
            "backend='portable' says so without this warning",
            RuntimeWarning,
            stacklevel=4,
        )
    return chosen


def make_agent(
    settings: AgentSettings, backend: str | None = None, dtype: str = "float32"
) -> Agent:
    """A fresh agent; both backends have the same constructor and methods."""
    if choose(backend) == "compiled":
        return importlib.import_module(_EXTENSION[dtype]).Agent(settings)
    return importlib.import_module("fasttrpo.portable").Agent(settings, dtype=dtype)


def cores() -> int:
    """How many cores this process may use: by its affinity and its control groups' quotas."""
    if has_extension():
        return importlib.import_module(_EXTENSION["float32"]).cores()
    allowed = getattr(os, "sched_getaffinity", None)  # not everywhere; and it knows no quota
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def n_threads() -> int:
    """How many threads an agent gets where nothing is set: the environment's number, or `cores`.

    ValueError names the environment variable if it holds no such number.
    """
    text = os.environ.get(THREADS_VARIABLE, "").strip()
    if not text:
        return cores()
    return integer(1, MOST_THREADS)(THREADS_VARIABLE, int(text) if text.isdecimal() else text)


def describe(backend: str | None = None, threads: int | None = None) -> dict[str, Any]:
    """What runs here: version, backend, precisions, instruction set, threads, cores.

    backend and threads are as the settings have them: None for the defaults.
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
