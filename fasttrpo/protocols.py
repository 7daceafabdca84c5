"""What objects that pass between rooms have in common, for type checkers and readers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # the command line starts without NumPy
    import numpy as np
    from gymnasium import Env
    from gymnasium.vector import VectorEnv

Record = dict[str, Any]
"""what an iteration reports, by name"""
State = dict[str, "np.ndarray"]
"""what an agent or a run needs to resume, by name"""


class Theory(Protocol):
    """The stages of an agent's update, one by one, on the batch that was loaded last."""

    def load_batch(self, obs: Any, act: Any, adv: Any) -> None:
        """Loads rows (N, O), (N, D), (N,)."""

    def gradient(self) -> np.ndarray:
        """The surrogate's gradient (P,)."""
        ...

    def fisher_product(self, v: Any) -> np.ndarray:
        """The damped Fisher matrix times v (P,)."""
        ...

    def evaluate(self, theta: Any) -> tuple[float, float, float]:
        """(surrogate, KL, largest ratio) at other parameters."""
        ...


class Agent(Protocol):
    """A policy, its critic and their rollout: the compiled one, or its twin."""

    @property
    def target_kl(self) -> float:
        """The size of the trust region; schedules set it."""
        ...

    @target_kl.setter
    def target_kl(self, value: float) -> None: ...

    @property
    def learning_rate(self) -> float:
        """The critic's step size; schedules set it."""
        ...

    @learning_rate.setter
    def learning_rate(self, value: float) -> None: ...

    @property
    def theta(self) -> np.ndarray:
        """The policy's parameters (P,)."""
        ...

    @theta.setter
    def theta(self, value: Any) -> None: ...

    @property
    def value_theta(self) -> np.ndarray:
        """The critic's parameters (Pv,)."""
        ...

    @value_theta.setter
    def value_theta(self, value: Any) -> None: ...

    @property
    def theory(self) -> Theory:
        """The stages of its update."""
        ...

    @property
    def instruction_set(self) -> str:
        """The instruction set of its kernels, or "portable"."""
        ...

    def state(self) -> State:
        """A copy of all that `load_state` needs."""
        ...

    def load_state(self, state: dict[str, Any]) -> None:
        """Restores what `state` returned."""

    def act(self, obs: Any, mask: Any = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(actions, log-probabilities, values) of a new row (E, O)."""
        ...

    def record(self, obs: Any, act: Any, mask: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """(log-probabilities, values) of a new row with given actions."""
        ...

    def push(self, rew: Any, term: Any, trunc: Any, next_obs: Any, skip: Any = None) -> None:
        """Completes the row with what the environments returned."""

    def discard(self) -> None:
        """Drops the rollout."""

    def restart(self) -> None:
        """Resets the running returns, because every environment starts an episode."""

    def update(self) -> Record:
        """One iteration on a full rollout."""
        ...

    def predict(self, obs: Any, deterministic: bool, mask: Any = None) -> np.ndarray:
        """Actions (N, D), outside of any rollout."""
        ...

    def outputs(self, obs: Any, mask: Any = None) -> np.ndarray:
        """The action distribution's parameters (N, A): means or logits."""
        ...

    def value(self, obs: Any) -> np.ndarray:
        """The critic's values (N,)."""
        ...


class CompiledAgent(Agent, Protocol):
    """An agent that also steps compiled environments itself."""

    def collect(self, envs: Any, n_rows: int, single: bool) -> tuple[Any, Any]:
        """Collects rows; returns (finished episodes, None) or (None, the failure)."""
        ...


# -- environments ---------------------------------------------------------------------------------


class PythonEnvironment(Protocol):
    """An environment written in Python: `fasttrpo.envs.NumbaEnvironment`."""

    def make_vec(self, num_envs: int = 1) -> Any:
        """A vector environment."""
        ...


class VecEnv(Protocol):
    """What fasttrpo needs of a `VecEnv` of Stable-Baselines3."""

    num_envs: int

    @property
    def observation_space(self) -> Any:
        """The space of one environment's observations."""
        ...

    @property
    def action_space(self) -> Any:
        """The space of one environment's actions."""
        ...

    def reset(self) -> Any:
        """Resets all environments; returns the first observations."""
        ...

    def step_async(self, actions: Any, /) -> None:
        """Sends actions."""

    def step_wait(self) -> Any:
        """(observations, rewards, dones, infos)"""
        ...


class Predictor(Protocol):
    """What `evaluate_policy` needs of a model, fasttrpo's or another library's."""

    def predict(self, observation: Any, *, deterministic: bool) -> Any:
        """(actions, anything) for a batch of observations."""
        ...


# -- callbacks ------------------------------------------------------------------------------------


class Callback(Protocol):
    """What `learn` calls: the methods of `BaseCallback`, here and in Stable-Baselines3."""

    def init_callback(self, model: Any, /) -> None:
        """Called first."""

    def on_training_start(self, locals_: dict[str, Any], globals_: dict[str, Any], /) -> None:
        """Learning starts."""

    def on_rollout_start(self) -> None:
        """A rollout starts."""

    def on_step(self) -> Any:
        """One more row was collected; False stops learning."""
        ...

    def on_rollout_end(self) -> None:
        """A rollout is full."""

    def on_training_end(self) -> None:
        """Learning ends without an exception."""

    def update_locals(self, locals_: dict[str, Any], /) -> None:
        """New values of the loop's variables."""


class Watcher(Protocol):
    """Gets a report of the rows of a rollout as they are collected."""

    @property
    def needs_every_row(self) -> bool:
        """Whether rows must be reported one by one."""
        ...

    def rows(self) -> int:
        """How many rows may pass until the next report."""
        ...

    def passed(self, rows: int, steps: int, row: Any = None, /) -> None:
        """Reports a number of rows, and of environment steps in them."""


if TYPE_CHECKING:
    Named = str | os.PathLike[str] | PythonEnvironment
    Maker = Named | Callable[..., Env[Any, Any]]
    EnvLike = Maker | Env[Any, Any] | VectorEnv[Any, Any, Any] | VecEnv
    """what `TRPO` accepts as environment"""
    CallbackLike = Callback | Callable[..., Any] | Sequence["CallbackLike"] | None
    """what `learn` accepts as callback"""
