"""A batch of simulations as bytes, and back: it goes on bit for bit.

An `.npz` archive of arrays, each (E, ...): MuJoCo's state of each simulation (mjSTATE_INTEGRATION,
what the solver starts from included) and its warnings, what the task remembers from before the
step, the step counters, and the random streams as JSON.
"""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np

from fasttrpo.envs.mujoco.task import Task


def is_savable(task: Task) -> bool:
    """Whether it is known what the task remembers: nothing, or what it names."""
    return type(task).remember is Task.remember or bool(task.remembered)


def pack(arrays: dict[str, np.ndarray], rngs: list[Any], seeds: list[int | None]) -> bytes:
    """The arrays, and each environment's stream with what it was seeded with."""
    states = [None if rng is None else rng.bit_generator.state for rng in rngs]
    file = io.BytesIO()
    np.savez(file, streams=np.array(json.dumps([states, seeds])), **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def unpack(
    saved: bytes, like: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], list[Any], list[int | None]]:
    """What was packed. ValueError unless the arrays are those of `like` in names and shapes."""
    try:
        with np.load(io.BytesIO(saved), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        states, seeds = json.loads(str(arrays.pop("streams")))
        rngs = [None if state is None else _stream(state) for state in states]
    except Exception as error:  # of zipfile, NumPy, json: there is no list of what they raise
        raise ValueError(f"the saved bytes are damaged: {error}") from error
    shapes = {name: value.shape for name, value in arrays.items()}
    if shapes != {name: value.shape for name, value in like.items()}:
        raise ValueError("the saved bytes are of other environments")
    return arrays, rngs, seeds


def _stream(state: dict[str, Any]) -> np.random.Generator:
    rng = np.random.Generator(getattr(np.random, state["bit_generator"])())
    rng.bit_generator.state = state
    return rng
