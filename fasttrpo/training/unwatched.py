"""Rows of one Gymnasium environment that no callback looks at, in C as far as possible.

The core's `PlainRows` steps the environment as long as its answers need nothing but conversions to
numbers. Other rows are completed here, with the same bits.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

from fasttrpo.errors import UserRuntimeError
from fasttrpo.protocols import Agent
from fasttrpo.spaces import Actions, Observations
from fasttrpo.stream.step import Step
from fasttrpo.stream.stream import Stream
from fasttrpo.training.episodes import REPORTED, EpisodeStatistics

MOST_MISSES = 10


class UnwatchedRows:
    """Collects rows of a rollout with the core's `PlainRows`, until many in a row are not plain."""

    def __init__(
        self,
        plain: Any,
        agent: Agent,
        stream: Stream,
        observations: Observations,
        statistics: EpisodeStatistics,
    ) -> None:
        self._plain, self._agent, self._stream = plain, agent, stream
        self._observations, self._statistics = observations, statistics
        self._misses = 0

    def collect(self, row: int, n_rows: int) -> int:
        """Collects up to `n_rows` rows, from `row` of the rollout on; returns their number. A few
        rows at a time, so that other threads also run if the environment's step is not in Python.
        """
        collected, pace = 0, self._stream.pace
        while collected < n_rows and self._misses < MOST_MISSES:
            piece, started = min(pace.rows, n_rows - collected), perf_counter()
            step = self._run(row + collected, piece)
            collected += self._plain.count
            if step is not None:
                self._complete(step)
                collected += 1
                self._misses = 0 if self._plain.count else self._misses + 1
            elif self._plain.count < piece:
                break
            else:
                pace.adapt(piece, perf_counter() - started)
        return collected

    def _complete(self, step: Step) -> None:
        """Completes a row that is not plain."""
        rows = self._observations.rows(step.next_obs, (1,))
        self._agent.push(step.rewards, step.terminated, step.truncated, rows)
        self._statistics.add(step)

    def _run(self, row: int, n_rows: int) -> Step | None:
        """Collects plain rows; returns the step of the row that was not plain, or None."""
        stream, unfinished = self._stream, self._statistics.unfinished()
        rows = self._observations.rows(stream.obs, (1,))
        step = stream.run_plain(self._plain, rows, unfinished, n_rows, row)
        check_unmoved(stream)
        self._statistics.extend(self._plain.episodes, *unfinished)
        return step


def unwatched_rows(
    agent: Agent,
    stream: Stream,
    observations: Observations,
    actions: Actions,
    statistics: EpisodeStatistics,
) -> UnwatchedRows | None:
    """What collects such rows; None if the agent cannot."""
    if not hasattr(agent, "plain_rows") or not observations.plain:
        return None
    plain = stream.plain_rows(agent, actions.to_env, actions.plain, observations.plain, REPORTED)
    if plain is None:
        return None
    return UnwatchedRows(plain, agent, stream, observations, statistics)


def check_unmoved(stream: Stream) -> None:
    """Raises RuntimeError if something else used the environments after the last row."""
    if stream.obs is None:
        raise UserRuntimeError(
            "a callback or another model reset, stepped, seeded or evaluated the training "
            "environment during a rollout: use another environment, or do it in "
            "_on_rollout_start or _on_rollout_end"
        )
