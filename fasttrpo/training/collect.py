"""Collects rollouts: T steps of the current policy in E environments, into the agent's arrays."""

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
    """One row of a rollout, for the watch."""

    obs: Any
    """(E, *obs): the observations that the policy saw"""
    act: np.ndarray
    """(E, D): the actions as drawn, in the agent's memory"""
    sent: np.ndarray
    """(E, *act): the actions as sent to the environments"""
    logp: np.ndarray
    """(E,), in the agent's memory"""
    val: np.ndarray
    """(E,), in the agent's memory"""
    step: Step
    """the environments' answer"""
    ended: list[Episode]
    """the episodes that ended"""


class Unwatched:
    """A watch that does nothing."""

    singly = False

    def rows(self) -> int:
        """Unlimited."""
        return sys.maxsize

    def passed(self, rows: int, happened: int, row: Row | None = None) -> None:
        """Does nothing."""


def collect(
    agent: Agent,
    stream: Stream,
    observations: Observations,
    actions: Actions,
    statistics: EpisodeStatistics,
    n_steps: int,
    watch: Watcher = Unwatched(),  # noqa: B008 - it has no state
) -> int:
    """Collects `n_steps` rows into the agent's rollout; returns how many steps really happened.

    `watch` (watch.py) is notified of the rows, as many at a time as it allows. Exceptions of the
    watch, the agent and the environment pass through and leave the rollout incomplete. The rows are
    collected in C if agent and environment support it; they are the same.
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
    """Raises RuntimeError if the next row would not follow the last one."""
    if stream.obs is None:
        raise UserRuntimeError(
            "a callback or another model reset, stepped, seeded or evaluated on the environment "
            "that the model learns in, during a rollout: use another one for that, or do it in "
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
    """Collects in pieces; between them the interpreter handles signals, threads and the watch."""
    collected = 0
    while collected < n_steps:
        _check_unmoved(stream)
        rows = min(stream.pace.rows, n_steps - collected, watch.rows())
        started = perf_counter()
        statistics.extend(*stream.run(agent, rows))
        stream.pace.took(rows, perf_counter() - started)
        collected += rows
        watch.passed(rows, rows * stream.env.num_envs)
