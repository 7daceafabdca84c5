"""Rollouts: the current policy, T steps in E environments, into the agent's own arrays."""

from __future__ import annotations

import sys
from time import perf_counter
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from fasttrpo.errors import UserRuntimeError
from fasttrpo.protocols import Agent, CompiledAgent, Watcher
from fasttrpo.spaces import Actions, Observations
from fasttrpo.stream.step import Step
from fasttrpo.stream.stream import Stream
from fasttrpo.training.episodes import Episode, EpisodeStatistics


class Row(NamedTuple):
    """One row of a rollout, for who watches."""

    obs: Any
    """(E, *obs): what the policy saw"""
    act: np.ndarray
    """(E, D): the actions as drawn, in the agent's memory"""
    sent: np.ndarray
    """(E, *act): the actions as the environments got them"""
    logp: np.ndarray
    """(E,), in the agent's memory"""
    val: np.ndarray
    """(E,), in the agent's memory"""
    step: Step
    """the environments' answer"""
    ended: list[Episode]
    """the episodes that ended"""


class Unwatched:
    """Nobody watches."""

    singly = False

    def rows(self) -> int:
        """All of them."""
        return sys.maxsize

    def passed(self, rows: int, happened: int, row: Row | None = None) -> None:
        """Nobody is told."""


def collect(
    agent: Agent,
    stream: Stream,
    observations: Observations,
    actions: Actions,
    statistics: EpisodeStatistics,
    n_steps: int,
    watch: Watcher = Unwatched(),  # noqa: B008 - it has no state
) -> int:
    """`n_steps` steps of every environment into the agent's rollout; how many really happened.

    `watch` (watch.py) is told of the rows, as many at a time as it asks for. What it raises, or
    the agent or the environment, passes through, with the rollout half full. In C where both can;
    the rows are the same.
    """
    n_envs = stream.env.num_envs
    if _steps_in_c(agent, stream, actions) and not watch.singly:
        _collect_in_c(agent, stream, statistics, n_steps, watch)
        return n_steps * n_envs
    happened, lead = 0, (n_envs,)
    for row in range(n_steps):
        _check_unmoved(stream)
        obs = stream.obs
        mask = () if stream.masks is None else (stream.masks,)
        act, logp, val = agent.act(observations.rows(obs, lead), *mask)
        sent = actions.to_env(act)
        step = stream.step(sent, row)
        next_obs = observations.rows(step.next_obs, lead)
        agent.push(step.rewards, step.terminated, step.truncated, next_obs, step.skip)
        ended = statistics.add(step)
        stepped = n_envs - int(np.count_nonzero(step.skip))
        happened += stepped
        watch.passed(1, stepped, Row(obs, act, sent, logp, val, step, ended))
    return happened


def _check_unmoved(stream: Stream) -> None:
    """The rows to come would not follow those that there are."""
    if stream.obs is None:
        raise UserRuntimeError(
            "a callback or another model reset, stepped, seeded or evaluated on the environment "
            "that the model learns in, in the midst of a rollout: give it another one, or do it in "
            "_on_rollout_start or _on_rollout_end"
        )


def _steps_in_c(agent: Agent, stream: Stream, actions: Actions) -> TypeGuard[CompiledAgent]:
    return stream.steps_in_c and hasattr(agent, "collect") and not actions.scale


def _collect_in_c(
    agent: CompiledAgent,
    stream: Stream,
    statistics: EpisodeStatistics,
    n_steps: int,
    watch: Watcher,
) -> None:
    """Piece by piece: in between the interpreter sees to signals, other threads and the watch."""
    collected = 0
    while collected < n_steps:
        _check_unmoved(stream)
        rows = min(stream.pace.rows, n_steps - collected, watch.rows())
        started = perf_counter()
        statistics.extend(*stream.run(agent, rows))
        stream.pace.took(rows, perf_counter() - started)
        collected += rows
        watch.passed(rows, rows * stream.env.num_envs)
