"""Finished episodes: their returns, lengths and successes, over a window of the last ones."""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fasttrpo.checks import arrays
from fasttrpo.errors import UserError
from fasttrpo.stream.step import Step, told_around

WINDOW = 100


class Episode(NamedTuple):
    """One finished episode."""

    env: int
    """index of its environment"""
    total: float
    """sum of its raw rewards"""
    length: int
    """number of its steps"""
    success: bool | None = None
    """what the environment said as "is_success" at its end, if it did"""


class EpisodeStatistics:
    """Returns and lengths of finished episodes, over a window of the last ones: from raw rewards,
    or as the environment says itself at the end, in info["episode"] (Stable-Baselines3's `Monitor`
    and Gymnasium's `RecordEpisodeStatistics` do, whatever wrappers around them make of rewards).

    count    episodes finished so far
    window   the last `length` of them

    Rows in which no step happened are left out.
    """

    def __init__(self, n_envs: int, length: int = WINDOW) -> None:
        self.count = 0
        self.window: deque[Episode] = deque(maxlen=length)
        self.restart(n_envs)

    def restart(self, n_envs: int) -> None:
        """Drops the unfinished episodes (after a reset); the window stays."""
        self._totals = np.zeros(n_envs)
        self._lengths = np.zeros(n_envs, dtype=np.int64)

    @property
    def longest(self) -> int:
        """Steps of the longest unfinished episode."""
        return int(self._lengths.max())

    def under_way(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns and lengths (E,) of the unfinished episodes until now."""
        return self._totals.copy(), self._lengths.copy()

    def copy(self) -> EpisodeStatistics:
        """A twin that goes on by itself."""
        twin = EpisodeStatistics(len(self._totals))
        twin.count, twin.window = self.count, self.window.copy()
        twin._totals, twin._lengths = self.under_way()
        return twin

    def state(self) -> dict[str, np.ndarray]:
        """All that it knows: `load_state` goes on here."""
        return {
            "episode_count": np.array([self.count]),
            "episode_window": np.array(self.window, np.float64).reshape(-1, 4),  # None: nan
            "episode_totals": self._totals.copy(),
            "episode_lengths": self._lengths.copy(),
        }

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Goes on where `state` was called; with another number of environments, these have no
        unfinished episodes. ValueError for arrays of another form.
        """
        count, window, totals, lengths = _saved_episodes(state)
        self.count = count
        self.window.clear()
        self.window.extend(
            Episode(int(e), total, int(n), None if math.isnan(success) else bool(success))
            for e, total, n, success in window.tolist()
        )
        if len(totals) == len(self._totals):
            self._totals, self._lengths = totals.copy(), lengths.astype(np.int64)

    def add(self, step: Step) -> list[Episode]:
        """Counts one step of E environments; returns the episodes that it ended."""
        stepped = ~step.skip
        np.add(self._totals, step.raw_rewards, out=self._totals, where=stepped)
        self._lengths += stepped
        if not np.count_nonzero(step.done):
            return []
        ended = np.flatnonzero(step.done).tolist()
        episodes = [self._episode(e, step) for e in ended]
        self._totals[ended] = 0.0
        self._lengths[ended] = 0
        self.count += len(episodes)
        self.window.extend(episodes)
        return episodes

    def _told(self, env: int, step: Step, info: dict[str, Any]) -> Mapping:
        """The environment's own count of the episode that ended there; empty if there is none.

        A `RecordEpisodeStatistics` around the vector environment is believed if it counted all
        steps: Gymnasium's forgets some where episodes are reset one by one, and before 1.4 an
        episode's first where it begins in the step before.
        """
        column = step.infos.get("episode")
        is_around = isinstance(column, Mapping) and "_r" not in column  # a wrapper has no masks
        if isinstance(info.get("episode"), Mapping) and not is_around:
            return info["episode"]
        around = told_around(step.infos, "episode", env)
        if not isinstance(around, Mapping):
            return {}
        if around.get("l") == self._lengths[env]:
            return around
        warnings.warn(
            f"infos['episode'] tells of {around.get('l')} steps where an episode had "
            f"{self._lengths[env]}: the sum of the rewards is taken for its return; put "
            "RecordEpisodeStatistics around each environment, not around all",
            RuntimeWarning,
            stacklevel=2,
        )
        return {}

    def _episode(self, env: int, step: Step) -> Episode:
        """The one that ended there."""
        info = step.info(env)
        told = self._told(env, step, info)
        total, length = _number(told.get("r")), _number(told.get("l"))
        success = _number(info.get("is_success"))
        return Episode(
            env,
            float(self._totals[env]) if total is None else total,
            int(self._lengths[env] if length is None else length),
            None if success is None else bool(success),
        )

    def extend(self, episodes: np.ndarray, totals: np.ndarray, lengths: np.ndarray) -> None:
        """Counts episodes that ended in a rollout in C.

        totals, lengths  (E,) of those that are under way, which may go on row by row
        """
        self._totals, self._lengths = totals, lengths
        self.count += len(episodes)
        for _, env, length, total in episodes.tolist():
            self.window.append(Episode(env, total, length))

    def successes(self) -> list[bool]:
        """Of the window's episodes whose environment told."""
        return successes(self.window)

    def record(self) -> dict[str, float]:
        """Episodes finished so far; mean return and length over the window (nan if none), and the
        share of successes where environments tell of them.
        """
        rate = success_rate(self.window)
        return {
            "episodes": self.count,
            "return_mean": _mean([episode.total for episode in self.window]),
            "length_mean": _mean([episode.length for episode in self.window]),
            **({} if rate is None else {"success_rate": rate}),
        }


def _saved_episodes(state: Mapping[str, np.ndarray]) -> tuple[int, Any, Any, Any]:
    """The count, window (n, 4), totals (E,) and lengths (E,) that `state` gave. ValueError for
    arrays of another form, and for numbers that it cannot have given.
    """
    names = ("episode_count", "episode_window", "episode_totals", "episode_lengths")
    if any(name not in state for name in names):
        raise UserError("the episodes are not complete")
    count, window, totals, lengths = (state[name] for name in names)
    is_table = window.ndim == 2 and window.shape[1] == 4
    if count.shape != (1,) or totals.ndim != 1 or lengths.shape != totals.shape or not is_table:
        raise UserError("the episodes do not fit together")
    _check_episodes(count, window, totals, lengths)
    return int(count[0]), window, totals, lengths


def _check_episodes(
    count: np.ndarray, window: np.ndarray, totals: np.ndarray, lengths: np.ndarray
) -> None:
    """ValueError for numbers that `EpisodeStatistics.state` cannot have given: counts are whole and
    not negative, returns are numbers, and a success is 0, 1 or nan where none was reported.
    """
    fields = {"count": count, "window": window, "totals": totals, "lengths": lengths}
    for name, array in fields.items():
        if array.dtype.kind not in ("f" if name in ("window", "totals") else "iu"):
            raise UserError(f"the episodes' {name} has dtype {array.dtype}")
    envs, sums, steps, success = window.T
    counted = {"count": count, "lengths": lengths, "window": np.concatenate([envs, steps])}
    for name, array in counted.items():
        if not arrays.are_counts(array):
            raise UserError(f"the episodes' {name} holds what is no count")
    if count.item() < len(window):
        raise UserError(f"of {count.item()} episodes {len(window)} are remembered")
    if np.isnan(totals).any() or np.isnan(sums).any():
        raise UserError("a return is not a number")
    if not (np.isnan(success) | (success == 0) | (success == 1)).all():
        raise UserError("a success is neither 0 nor 1")


def successes(episodes: Iterable[Episode]) -> list[bool]:
    """Of the episodes whose environment said "is_success"."""
    return [each.success for each in episodes if each.success is not None]


def success_rate(episodes: Iterable[Episode]) -> float | None:
    """The share of successes; None if no environment told of any."""
    known = successes(episodes)
    return _mean(known) if known else None


def _number(value: Any) -> float | None:
    """A finite number, in an array of any shape too; None for all else that an info may hold."""
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        return None
    return array.item() if array.size == 1 and np.isfinite(array).all() else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
