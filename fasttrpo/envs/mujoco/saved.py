"""Converts a batch of simulations to bytes and back, to resume bit for bit.

An `.npz` archive of arrays, each (E, ...): MuJoCo's state of each simulation (mjSTATE_INTEGRATION,
which includes the solver's warm start) and its warnings, what the task remembers from before the
step, the step counters, and the random generators as JSON.
"""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
from numpy.random import MT19937, PCG64, PCG64DXSM, SFC64, Philox

from fasttrpo.checks.values import integer
from fasttrpo.envs.mujoco.task import Task
from fasttrpo.errors import UserError
from fasttrpo.files.npz import Archive


def is_savable(task: Task) -> bool:
    """Whether the task remembers nothing, or names all that it remembers."""
    return type(task).remember is Task.remember or bool(task.remembered)


def pack(arrays: dict[str, np.ndarray], rngs: list[Any], seeds: list[int | None]) -> bytes:
    """The arrays, and each environment's random generator and seed, as bytes."""
    states = [None if rng is None else rng.bit_generator.state for rng in rngs]
    file = io.BytesIO()
    in_c_order = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    streams = np.array(json.dumps([states, seeds]))
    np.savez(file, streams=streams, **in_c_order)  # type: ignore[arg-type]
    return file.getvalue()


def unpack(
    saved: bytes, like: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], list[Any], list[int | None]]:
    """Returns the arguments of `pack`.

    Raises ValueError unless the arrays have the names, types and shapes of `like`, the values are
    valid, and there is a generator and a seed for each environment.
    """
    try:
        arrays = _arrays(Archive(io.BytesIO(saved)), like)
        if arrays is not None:
            states, seeds = json.loads(str(arrays.pop("streams")))
            rngs = [None if state is None else _stream(state) for state in states]
            seeds = [None if seed is None else integer(0)("seed", seed) for seed in seeds]
    except Exception as error:  # NumPy and json do not document everything they raise
        raise UserError(f"the saved bytes are damaged: {error}") from error
    if arrays is None:
        raise UserError("the saved bytes belong to other environments")
    if not len(rngs) == len(seeds) == len(like["elapsed"]):
        raise UserError("the saved bytes belong to another number of environments")
    for name in ("state", "obs"):
        if not np.isfinite(arrays[name][~arrays["over"]]).all():  # the others will be reset
            raise UserError(f"the saved bytes are damaged: {name} is not finite")
    if not ((arrays["elapsed"] >= 0) & (arrays["elapsed"] <= 2**52)).all():
        raise UserError("the saved bytes are damaged: elapsed is not a count of steps")
    return arrays, rngs, seeds


def _arrays(archive: Archive, like: dict[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """All arrays; None, before reading any, if they belong to other environments."""
    if set(archive.names) != {"streams", *like}:
        return None
    headers = {name: archive.header(name, (value.dtype.str,)) for name, value in like.items()}
    if any(header.shape != like[name].shape for name, header in headers.items()):
        return None
    headers["streams"] = archive.header("streams", ("<U",))
    return {name: archive.array(name, header) for name, header in headers.items()}


def _stream(state: dict[str, Any]) -> np.random.Generator:
    """A generator in this state. Raises KeyError if it is not one of NumPy's."""
    generators = {each.__name__: each for each in (PCG64, PCG64DXSM, MT19937, Philox, SFC64)}
    rng = np.random.Generator(generators[state["bit_generator"]]())
    rng.bit_generator.state = state
    return rng
