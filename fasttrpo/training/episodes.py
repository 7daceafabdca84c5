"""Returns, lengths and successes of finished episodes, over a window of the last ones."""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fasttrpo.checks import arrays
from fasttrpo.errors import UserError
from fasttrpo.stream.step import Step, info_around

WINDOW = 100
REPORTED = "episode", "is_success"
"""keys of the info at an episode's end that are read here"""
_NOTHING: Mapping[str, Any] = {}
_FEW = 4  # environments, for which plain numbers take less time than arrays


class Episode(NamedTuple):
    """One finished episode."""

    env: int
    """index of its environment"""
    total: float
    """sum of its raw rewards"""
    length: int
    """number of its steps"""
    success: bool | None = None
    """the environment's "is_success" at the end, if it reported one"""


class EpisodeStatistics:
    """Returns and lengths of finished episodes, over a window of the last ones. Returns are sums of
    raw rewards, or what the environment reports in info["episode"] at the end (as SB3's `Monitor`
    and Gymnasium's `RecordEpisodeStatistics` do, before wrappers change the rewards).

    count    episodes finished so far
    window   the last `length` of them

    Rows without a step are not counted.
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

    def unfinished(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns and lengths so far (E,) of the unfinished episodes."""
        return self._totals.copy(), self._lengths.copy()

    def copy(self) -> EpisodeStatistics:
        """An independent copy."""
        twin = EpisodeStatistics(len(self._totals))
        twin.count, twin.window = self.count, self.window.copy()
        twin._totals, twin._lengths = self.unfinished()
        return twin

    def state(self) -> dict[str, np.ndarray]:
        """The complete state, for `load_state`."""
        return {
            "episode_count": np.array([self.count]),
            "episode_window": np.array(self.window, np.float64).reshape(-1, 4),  # None: nan
            "episode_totals": self._totals.copy(),
            "episode_lengths": self._lengths.copy(),
        }

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Restores what `state` returned, without unfinished episodes if the number of environments
        differs. Raises ValueError for malformed arrays.
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
        ended: Sequence[int]
        if step.ended is None:
            stepped = ~step.skip
            np.add(self._totals, step.raw_rewards, out=self._totals, where=stepped)
            self._lengths += stepped
            ended = np.flatnonzero(step.done).tolist()
        else:
            self._add_all(step.rewards)
            ended = step.ended
        if not ended:
            return []
        episodes = [self._episode(e, step) for e in ended]
        for e in ended:
            self._totals[e], self._lengths[e] = 0.0, 0
        self.count += len(episodes)
        self.window.extend(episodes)
        return episodes

    def _add_all(self, rewards: np.ndarray) -> None:
        """Counts a step of every environment."""
        if len(rewards) > _FEW:
            self._totals += rewards
            self._lengths += 1
            return
        for e, reward in enumerate(rewards.tolist()):
            self._totals[e] += reward
            self._lengths[e] += 1

    def _reported(self, env: int, step: Step, info: Mapping[str, Any]) -> Mapping:
        """The environment's report on the episode that ended; empty if there is none.

        The report of a `RecordEpisodeStatistics` around the vector environment is used if it
        counted all steps. It misses some if episodes are reset one by one, and before Gymnasium 1.4
        also the first step of an episode that starts in the step that ended the last one.
        """
        if step.ended is not None:  # no wrapper is around the vector environment
            own = info.get("episode", _NOTHING)
            return own if own is _NOTHING or isinstance(own, Mapping) else _NOTHING
        column = step.infos.get("episode")
        is_around = isinstance(column, Mapping) and "_r" not in column  # a wrapper has no masks
        if isinstance(info.get("episode"), Mapping) and not is_around:
            return info["episode"]
        around = info_around(step.infos, "episode", env)
        if not isinstance(around, Mapping):
            return {}
        if around.get("l") == self._lengths[env]:
            return around
        warnings.warn(
            f"infos['episode'] reports {around.get('l')} steps for an episode of "
            f"{self._lengths[env]}, so its return is computed from the rewards; put "
            "RecordEpisodeStatistics around each environment, not around the vector environment",
            RuntimeWarning,
            stacklevel=2,
        )
        return {}

    def _episode(self, env: int, step: Step) -> Episode:
        """The episode that ended in an environment."""
        info = step.last_info(env)
        reported = self._reported(env, step, info)
        total, length = _number(reported.get("r")), _number(reported.get("l"))
        success = _number(info.get("is_success"))
        return Episode(
            env,
            float(self._totals[env]) if total is None else total,
            int(self._lengths[env] if length is None else length),
            None if success is None else bool(success),
        )

    def extend(self, episodes: np.ndarray, totals: np.ndarray, lengths: np.ndarray) -> None:
        """Counts episodes that ended in a rollout in C.

        totals, lengths  (E,) of the unfinished episodes
        """
        self._totals, self._lengths = totals, lengths
        self.count += len(episodes)
        for _, env, length, total in episodes.tolist():
            self.window.append(Episode(env, total, length))

    def record(self) -> dict[str, float]:
        """The number of finished episodes; over the window, the mean return and length (nan if
        empty), and the success rate if environments report successes.
        """
        rate = success_rate(self.window)
        return {
            "episodes": self.count,
            "return_mean": _mean([episode.total for episode in self.window]),
            "length_mean": _mean([episode.length for episode in self.window]),
            **({} if rate is None else {"success_rate": rate}),
        }


def _saved_episodes(state: Mapping[str, np.ndarray]) -> tuple[int, Any, Any, Any]:
    """The count, window (n, 4), totals (E,) and lengths (E,) of `state`. Raises ValueError for
    malformed arrays, and for numbers that `state` cannot have returned.
    """
    names = ("episode_count", "episode_window", "episode_totals", "episode_lengths")
    if any(name not in state for name in names):
        raise UserError("the saved episodes are incomplete")
    count, window, totals, lengths = (state[name] for name in names)
    is_table = window.ndim == 2 and window.shape[1] == 4
    if count.shape != (1,) or totals.ndim != 1 or lengths.shape != totals.shape or not is_table:
        raise UserError("the saved episodes have inconsistent shapes")
    _check_episodes(count, window, totals, lengths)
    return int(count[0]), window, totals, lengths


def _check_episodes(
    count: np.ndarray, window: np.ndarray, totals: np.ndarray, lengths: np.ndarray
) -> None:
    """Raises ValueError for numbers that `state` cannot have returned: counts are integers >= 0,
    returns are not nan, and a success is 0, 1 or nan (not reported).
    """
    fields = {"count": count, "window": window, "totals": totals, "lengths": lengths}
    for name, array in fields.items():
        if array.dtype.kind not in ("f" if name in ("window", "totals") else "iu"):
            raise UserError(f"the episodes' {name} has dtype {array.dtype}")
    envs, sums, steps, success = window.T
    counted = {"count": count, "lengths": lengths, "window": np.concatenate([envs, steps])}
    for name, array in counted.items():
        if not arrays.are_counts(array):
            raise UserError(f"the episodes' {name} has values that are not counts")
    if count.item() < len(window):
        raise UserError(f"the window has {len(window)} of {count.item()} episodes")
    if np.isnan(totals).any() or np.isnan(sums).any():
        raise UserError("a return is not a number")
    if not (np.isnan(success) | (success == 0) | (success == 1)).all():
        raise UserError("a success is neither 0 nor 1")


def successes(episodes: Iterable[Episode]) -> list[bool]:
    """The successes of the episodes that reported "is_success"."""
    return [each.success for each in episodes if each.success is not None]


def success_rate(episodes: Iterable[Episode]) -> float | None:
    """The share of successes; None if no episode reported one."""
    known = successes(episodes)
    return _mean(known) if known else None


def _number(value: Any) -> float | None:
    """A finite number, also from an array of one; None for anything else."""
    if value is None:
        return None
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        return None
    return array.item() if array.size == 1 and np.isfinite(array).all() else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
