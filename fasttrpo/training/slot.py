"""Holds a run's agent: makes it on first use, and replaces it when settings change."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fasttrpo.core import backend
from fasttrpo.protocols import Agent, State
from fasttrpo.settings.agent import AgentSettings
from fasttrpo.settings.schedules import SCHEDULED

# If threads share a loaded model, only one of them makes its agent. Reentrant, because meanwhile a
# signal handler can save the model, and a schedule can use another loaded model.
_LOCK = threading.RLock()


@dataclass(frozen=True)
class Recipe:
    """Everything that an agent is made from."""

    settings: AgentSettings
    backend: str
    dtype: str

    def make(self) -> Agent:
        """Makes an agent. Raises ValueError or MemoryError if the settings are impossible."""
        return backend.make_agent(self.settings, self.backend, self.dtype)

    def without_schedules(self) -> Recipe:
        """A copy with fixed values of the scheduled settings."""
        same: dict[str, Any] = dict.fromkeys(SCHEDULED, 1.0)
        return replace(self, settings=replace(self.settings, **same))


class AgentSlot:
    """Holds one agent. An agent that replaces it takes over its state.

    saved  of a loaded model: a function from a fresh agent's state to the loaded one
    """

    def __init__(self, recipe: Recipe, saved: Callable[[State], State] | None = None) -> None:
        self._recipe, self._saved = recipe, saved
        self._agent = recipe.make() if saved is None else None

    @property
    def agent(self) -> Agent:
        """The agent; a loaded model's is made on first access."""
        if self._agent is None:
            with _LOCK:
                if self._agent is None:
                    self._agent = self._loaded()
        return self._agent

    def _loaded(self) -> Agent:
        assert self._saved is not None
        agent = self._recipe.make()
        state = self._saved(agent.state())
        agent.load_state(_for_n_envs(state, self._recipe.settings.n_envs))
        self._saved = None
        return agent

    def fit(self, recipe: Recipe) -> Agent:
        """Adapts or replaces the agent to fit the recipe. An error leaves the slot unchanged."""
        if recipe != self._recipe:
            if recipe.without_schedules() == self._recipe.without_schedules():
                for name in SCHEDULED:
                    setattr(self.agent, name, getattr(recipe.settings, name))
            else:
                agent = recipe.make()
                agent.load_state(_for_n_envs(self.agent.state(), recipe.settings.n_envs))
                self._agent = agent
            self._recipe = recipe
        return self.agent

    def contents(self) -> tuple[Agent, Recipe]:
        """The agent and its recipe, for `put_back`."""
        return self.agent, self._recipe

    def put_back(self, agent: Agent, recipe: Recipe) -> None:
        """Undoes `fit`, given the earlier `contents`."""
        self._agent, self._recipe = agent, recipe


def _for_n_envs(state: State, n_envs: int) -> State:
    """`state` for another number of environments, whose running returns start at zero."""
    if "rew_running" not in state or len(state["rew_running"]) == n_envs:
        return state
    return {**state, "rew_running": np.zeros(n_envs)}
