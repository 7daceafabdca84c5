"""Checks of the machine: threads, instruction sets, the portable twin, and files."""

from __future__ import annotations

import importlib
import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fasttrpo.core import backend
from fasttrpo.selftest.cases import Kind, perturbed_agent, rollout_and_update
from fasttrpo.selftest.result import UPDATES, Outcome, does_not_apply, error, state_error

VARIABLE = "FASTTRPO_INSTRUCTION_SET"
# Sets without fused multiply-add, whose rounding differs.
NOT_FUSED = {"baseline"}
NO_CORE = "the portable backend uses NumPy only"


def is_compiled() -> bool:
    """Whether the backend in use is the compiled core."""
    return backend.choose() == "compiled"


def thread_counts() -> list[int]:
    """1, 2, 3 and the number of cores."""
    return sorted({1, 2, 3, backend.cores()})


def threads(kind: Kind, dtype: str = "float32") -> Outcome:
    """Two updates of 4,000 rows with each number of threads."""
    if not is_compiled():
        return does_not_apply(NO_CORE)
    counts = thread_counts()
    states = [_updated(kind, None, dtype, 1000, n_threads=n) for n in counts]
    worst = max(state_error(states[0], state) for state in states)
    return Outcome(f"two updates by {_listed(counts)} threads", worst, 0.0)


def instruction_sets() -> list[str]:
    """The instruction sets that this machine supports, best first; [] for the portable backend."""
    if not is_compiled():
        return []
    return importlib.import_module("fasttrpo.core._core64").instruction_sets()


def instruction_set(name: str, dtype: str, kinds: tuple[Kind, ...]) -> Outcome:
    """Two updates with the kernels of one instruction set, against the portable twin."""
    errors = []
    for kind in kinds:
        with forced(name):
            state = _updated(kind, "compiled", dtype)
        errors.append(_twin_error(state, _updated(kind, "portable", dtype)))
    return Outcome("two updates by the portable twin", max(errors), UPDATES[dtype])


def fused_sets(dtype: str, kinds: tuple[Kind, ...]) -> Outcome:
    """The sets with fused multiply-add against each other."""
    if not is_compiled():
        return does_not_apply(NO_CORE)
    fused = [name for name in instruction_sets() if name not in NOT_FUSED]
    if len(fused) < 2:
        return does_not_apply("fewer than two sets with fused multiply-add here")
    worst = 0.0
    for kind in kinds:
        states = []
        for name in fused:
            with forced(name):
                states.append(_updated(kind, "compiled", dtype))
        worst = max(worst, *(state_error(one, two) for one, two in itertools.pairwise(states)))
    return Outcome(f"{' and '.join(fused)}, two updates", worst, 0.0)


@contextmanager
def forced(name: str) -> Iterator[None]:
    """Makes agents created in the block use the kernels of an instruction set."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = name
    try:
        yield
    finally:
        os.environ.pop(VARIABLE)
        if before is not None:
            os.environ[VARIABLE] = before


def saved_model() -> Outcome:
    """A saved and loaded model acts and continues learning with the same bits."""
    from fasttrpo.trpo import TRPO

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        model = TRPO("MlpPolicy", "CartPole-v1", n_envs=4, n_steps=32, seed=1).learn(128)
        model.save(path)
        loaded = TRPO.load(path)
    rollout = _cartpole_rollout()
    acts = [each.predict(rollout.last_obs, deterministic=True)[0] for each in (loaded, model)]
    for each in (model, loaded):
        each.update(rollout)
    worst = max(error(*acts), state_error(loaded.snapshot().state, model.snapshot().state))
    return Outcome("the original model's actions and next update", worst, 0.0)


def _cartpole_rollout() -> Any:
    """40 random steps of 4 environments with CartPole's spaces."""
    from fasttrpo.training.rollout import Rollout

    draw, shape = np.random.default_rng(1), (40, 4)
    terminated, truncated = draw.random((2, *shape)) < 0.05
    truncated[:-1] = False  # no final observations needed
    return Rollout(
        obs=draw.normal(size=(*shape, 4)),
        actions=draw.integers(2, size=shape),
        rewards=draw.normal(size=shape),
        terminated=terminated,
        truncated=truncated,
        last_obs=draw.normal(size=(4, 4)),
    )


# -- updates --------------------------------------------------------------------------------------


def _updated(
    kind: Kind, which: str | None, dtype: str, n_steps: int = 30, **settings: Any
) -> dict[str, np.ndarray]:
    """The agent's state after two rollouts and updates."""
    s = kind.settings(n_steps=n_steps, n_envs=4, normalize_observations=True, **settings)
    agent = perturbed_agent(s, which, dtype)
    for seed in range(2):
        rollout_and_update(agent, kind, s, seed)
    return agent.state()


def _twin_error(state: dict[str, np.ndarray], twin: dict[str, np.ndarray]) -> float:
    return max(error(state[name], twin[name]) for name in twin)


def _listed(numbers: list[int]) -> str:
    """ "1, 2 and 3" """
    return " and ".join(filter(None, [", ".join(map(str, numbers[:-1])), str(numbers[-1])]))
