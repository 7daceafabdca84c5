"""Calls callbacks during a rollout: after every row, or as rarely as they allow."""

from __future__ import annotations

from time import time
from typing import Any

import numpy as np

from fasttrpo.spaces import batches
from fasttrpo.stream.step import Step
from fasttrpo.training.callback import EVERY_ROW, BaseCallback, rows_until_step
from fasttrpo.training.collect import Row
from fasttrpo.training.episodes import Episode


class Stopped(Exception):
    """Raised to end a rollout in which a callback returned False."""


class Watch:
    """Counts rows and steps of one rollout, and calls a callback when it is due.

    needs_every_row  whether the callback must be called after every row
    """

    def __init__(self, trainer: Any, callback: BaseCallback) -> None:
        self._trainer, self._callback = trainer, callback
        self._row = self._unreported = 0
        self.needs_every_row = rows_until_step(callback) == EVERY_ROW
        self._due = self._rows_left()

    def _rows_left(self) -> int:
        return max(1, rows_until_step(self._callback))

    def rows(self) -> int:
        """The number of rows that can pass before `passed` must be called."""
        return self._due - self._unreported

    def passed(self, rows: int, steps: int, row: Row | None = None) -> None:
        """Counts rows, and the environment steps in them. `row` is the last one, if it is known.

        Raises Stopped if the callback stops learning.
        """
        self._trainer.num_timesteps += steps
        self._row += rows
        self._unreported += rows
        if self._unreported < self._due:
            return
        self._pass_unreported(self._unreported - 1)
        of_row = {} if row is None else _locals(row, self._trainer.stream.obs)
        self._callback.update_locals({"n_steps": self._row - 1, **of_row})
        if self._callback.on_step() is False:
            raise Stopped
        self._due = self._rows_left()

    def end(self) -> None:
        """Called when the rollout is full."""
        self._pass_unreported(self._unreported)
        self._callback.on_rollout_end()

    def _pass_unreported(self, rows: int) -> None:
        if rows:
            self._callback.pass_by(rows)
        self._unreported = 0


def _locals(row: Row, new_obs: Any) -> dict[str, Any]:
    """The local variables that SB3's loop has after a step."""
    return {
        "obs": row.obs,
        "actions": _as_drawn(row),
        "clipped_actions": row.sent,
        "values": np.array(row.val),
        "log_probs": np.array(row.logp),
        "rewards": row.step.rewards,
        "dones": row.step.done.copy(),
        "new_obs": new_obs,
        "infos": infos(row.step, row.ended),
    }


def _as_drawn(row: Row) -> np.ndarray:
    """The actions before clipping, for a Box; others are not changed for the environment."""
    continuous = row.sent.dtype.kind == "f"
    return np.array(row.act).reshape(row.sent.shape) if continuous else row.sent


def infos(step: Step, ended: list[Episode]) -> list[dict[str, Any]]:
    """The infos of E environments, with the keys that SB3 adds at an episode's end.

    "episode" has r (the episode's return), l (its length) and t (the clock).
    """
    each: list[dict[str, Any]] = [step.info(e) for e in range(len(step.done))]
    for episode in ended:
        info, env = each[episode.env], episode.env
        info["episode"] = {"r": episode.total, "l": episode.length, "t": time()}
        info["terminal_observation"] = batches.row(step.next_obs, env)
        info["TimeLimit.truncated"] = bool(step.truncated[env] and not step.terminated[env])
    return each
