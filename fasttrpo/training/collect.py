"""Collects rollouts: T steps of the current policy in E environments, into the agent's arrays."""

from __future__ import annotations

import sys
from time import perf_counter
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from fasttrpo.protocols import Agent, CompiledAgent, Watcher
from fasttrpo.spaces import Actions, Observations
from fasttrpo.stream.step import Step
from fasttrpo.stream.stream import Stream
from fasttrpo.training.episodes import Episode, EpisodeStatistics
from fasttrpo.training.unwatched import check_unmoved, unwatched_rows


class Row(NamedTuple):
    """One row of a rollout, as the watch gets it."""

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
    """what the environments returned"""
    ended: list[Episode]
    """the episodes that ended"""


class Unwatched:
    """A watch that does nothing."""

    needs_every_row = False

    def rows(self) -> int:
        """Unlimited."""
        return sys.maxsize

    def passed(self, rows: int, steps: int, row: Row | None = None) -> None:
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
    """Collects `n_steps` rows into the agent's rollout; returns the number of environment steps,
    without those in which an environment only reset itself.

    `watch` (watch.py) is notified of as many rows at a time as it allows. Exceptions raised by the
    watch, the agent and the environment propagate and leave the rollout incomplete. If agent and
    environment support it, the rows are collected in C, with the same bits.
    """
    n_envs = stream.env.num_envs
    if _steps_in_c(agent, stream, actions) and not watch.needs_every_row:
        _collect_in_c(agent, stream, statistics, n_steps, watch)
        return n_steps * n_envs
    row, n_stepped, lead, seen, rows = 0, 0, (n_envs,), None, None
    due, unwatched = Due(watch), unwatched_rows(agent, stream, observations, actions, statistics)
    while row < n_steps:
        check_unmoved(stream)
        if unwatched is not None:
            n_unwatched = unwatched.collect(row, min(due.left, n_steps - row) - 1)
            due.after(n_unwatched, n_unwatched)
            n_stepped += n_unwatched
            row += n_unwatched
        obs, masks = stream.obs, stream.masks
        if obs is not seen:
            rows = observations.rows(obs, lead)
        act, logp, val = agent.act(rows) if masks is None else agent.act(rows, masks)
        sent = actions.to_env(act)
        step = stream.step(sent, row)
        seen = step.next_obs  # unless an episode ended, also what the agent sees next
        rows = observations.rows(seen, lead)
        skip, stepped = None, n_envs
        if step.ended is None:
            skip = step.skip
            stepped -= int(np.count_nonzero(skip))
        agent.push(step.rewards, step.terminated, step.truncated, rows, skip)
        ended = statistics.add(step)
        n_stepped += stepped
        row += 1
        if due.after(1, stepped) or row == n_steps:
            due.report(Row(obs, act, sent, logp, val, step, ended))
    return n_stepped


class Due:
    """Counts rows until the watch wants a report."""

    def __init__(self, watch: Watcher) -> None:
        self._watch = watch
        self._left, self._rows, self._steps = watch.rows(), 0, 0

    @property
    def left(self) -> int:
        """The number of rows until a report is due."""
        return self._left - self._rows

    def after(self, rows: int, steps: int) -> bool:
        """Counts rows with environment steps; returns whether a report is due."""
        self._rows += rows
        self._steps += steps
        return self._rows >= self._left

    def report(self, row: Row) -> None:
        """Reports the rows counted, of which `row` is the last."""
        rows, steps, self._rows, self._steps = self._rows, self._steps, 0, 0
        self._watch.passed(rows, steps, row)
        self._left = self._watch.rows()


def _steps_in_c(agent: Agent, stream: Stream, actions: Actions) -> TypeGuard[CompiledAgent]:
    return stream.steps_in_c and hasattr(agent, "collect") and not actions.scale


def _collect_in_c(
    agent: CompiledAgent,
    stream: Stream,
    statistics: EpisodeStatistics,
    n_steps: int,
    watch: Watcher,
) -> None:
    """Collects a few rows at a time, so that Python handles signals, threads and the watch."""
    collected = 0
    while collected < n_steps:
        check_unmoved(stream)
        rows = min(stream.pace.rows, n_steps - collected, watch.rows())
        started = perf_counter()
        statistics.extend(*stream.run(agent, rows))
        stream.pace.adapt(rows, perf_counter() - started)
        collected += rows
        watch.passed(rows, rows * stream.env.num_envs)
