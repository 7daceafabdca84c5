"""This library's side of each comparison."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np

from bench.batches import GAE_LAMBDA, GAMMA, RandomBatch, Recorded, Shape
from fasttrpo.core.backend import choose, make_agent
from fasttrpo.settings.agent import AgentSettings

HAS_THREADS = "n_threads" in {each.name for each in fields(AgentSettings)}
WITHOUT_THREADS = "this fasttrpo has no n_threads: ours used one thread"


def thread_counts(wanted: list[int]) -> list[int]:
    """The requested counts that this library supports."""
    return sorted(set(wanted)) if HAS_THREADS else [1]


def with_threads(of: AgentSettings, threads: int) -> AgentSettings:
    """The settings with this number of threads."""
    return replace(of, n_threads=threads) if HAS_THREADS else of


def label(threads: int, what: str = "ours") -> str:
    """A contestant's name: "ours, 2 threads"."""
    return f"{what}, {threads} thread{'s' if threads > 1 else ''}"


def stage_functions() -> Any:
    """The module of stand-alone stages, such as gae, in float32."""
    name = "core._core32" if choose() == "compiled" else "portable.stages"
    return importlib.import_module(f"fasttrpo.{name}")


def loaded(
    shape: Shape,
    batch: RandomBatch,
    threads: int = 1,
    kind: str | None = None,
    dtype: str = "float32",
) -> Any:
    """An agent at the batch's parameters with the batch in it."""
    of = with_threads(shape.settings(len(batch.obs)), threads)
    agent = make_agent(of, kind, dtype)
    agent.theta = batch.theta
    agent.theory.load_batch(batch.obs, batch.act, batch.adv)
    return agent


# -- updates --------------------------------------------------------------------------------------


def settings(batch: Recorded, **changes: Any) -> AgentSettings:
    """The defaults with changes, for the batch's spaces."""
    return batch.shape.settings(
        batch.n, batch.n_envs, gamma=GAMMA, gae_lambda=GAE_LAMBDA, **changes
    )


def defaults(batch: Recorded) -> AgentSettings:
    """The default settings; for a linear policy, with the ridge critic."""
    return settings(batch, **({} if batch.shape.hidden else {"critic": "ridge"}))


def like_sb3(batch: Recorded) -> AgentSettings:
    """The defaults of sb3-contrib's TRPO; its KL is a mean over action components."""
    dims = batch.shape.outputs if batch.shape.is_gaussian else 1
    adam = {"critic": "adam", "n_critic_updates": 10, "batch_size": 128, "learning_rate": 1e-3}
    return settings(
        batch,
        preconditioner="none",
        cg_max_steps=15,
        cg_tolerance=1e-12,
        target_kl=0.01 * dims,
        cg_damping=0.1 * dims,
        **(adam if batch.shape.hidden else {"critic": "ridge"}),
    )


def like_tianshou(batch: Recorded) -> AgentSettings:
    """The policy step of tianshou's TRPO: plain CG of 10 iterations, summed KL."""
    return settings(
        batch, preconditioner="none", cg_max_steps=10, cg_tolerance=1e-12, cg_damping=0.1
    )


class Update:
    """One update on a recorded rollout, repeated from the same state."""

    def __init__(self, of: AgentSettings, batch: Recorded, kind: str | None = None):
        self._batch, self.settings = batch, of
        self.agent = make_agent(of, kind, "float32")
        self.agent.theta = batch.theta
        if self.agent.value_theta.shape == batch.value_theta.shape:
            self.agent.value_theta = batch.value_theta
        self._start = self.agent.state()
        self.record: dict[str, Any] = {}

    def seed(self, seed: int) -> None:
        """Sets the seed of minibatches and factors from now on; < 2^32."""
        self._start["counters"][0] = seed

    def prepare(self) -> None:
        """Restores the agent and records its rollout: untimed, as collecting is."""
        batch = self._batch
        self.agent.load_state(self._start)
        for t in range(len(batch.rew)):
            self.agent.record(batch.obs[t], batch.act[t])
            self.agent.push(batch.rew[t], batch.term[t], batch.trunc[t], batch.next_obs[t])

    def run(self) -> None:
        """Runs the update."""
        self.record = self.agent.update()

    @property
    def step(self) -> np.ndarray:
        """theta after minus theta before, (P,)."""
        return self.agent.theta - self._batch.theta

    def values(self, obs: np.ndarray) -> np.ndarray:
        """V (n,) of the current critic."""
        return self.agent.value(obs)


class Judge:
    """The quality of a policy step and of a critic, computed in float64 for every contestant."""

    def __init__(self, batch: Recorded, adv: np.ndarray):
        self._batch = batch
        self._agent = make_agent(defaults(batch), None, "float64")
        self._agent.theta = batch.theta
        normal = (adv - adv.mean()) / (adv.std() + 1e-8)
        self._agent.theory.load_batch(batch.flat("obs"), batch.flat("act"), normal.ravel())
        self._gradient = self._agent.theory.gradient()

    def gain(self, step: np.ndarray) -> float:
        """g'x / sqrt(x'F x), F undamped: the improvement predicted at equal KL; 0 for no step."""
        curvature = step @ self._agent.theory.fisher_product(step)
        return float(self._gradient @ step / np.sqrt(curvature)) if curvature > 0 else 0.0

    def kl(self, step: np.ndarray) -> float:
        """The KL of the step as taken, summed over action components."""
        return float(self._agent.theory.evaluate(self._batch.theta + step)[1])

    def explained_variance(self, values: Callable[[np.ndarray], np.ndarray]) -> float:
        """The explained variance of the next rollout's returns, which no contestant has used."""
        held_ret = self._batch.held_ret
        left = held_ret - np.asarray(values(self._batch.held_obs), np.float64)
        return float(1 - left.var() / held_ret.var())


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """||found - expected|| / ||expected||."""
    expected = np.asarray(expected, np.float64)
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def require(what: str, error: float, most: float) -> None:
    """Raises AssertionError if the error is too large, so that nothing wrong is timed."""
    if not error <= most:
        raise AssertionError(f"{what}: error {error:.1e} exceeds {most:.1e}")
