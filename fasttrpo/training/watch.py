"""Shows callbacks the rows of a rollout: every row, or as few as they need."""

from __future__ import annotations

from time import time
from typing import Any

import numpy as np

from fasttrpo.spaces import batches
from fasttrpo.stream.step import Step
from fasttrpo.training.callback import EACH, BaseCallback, rows_until_step
from fasttrpo.training.collect import Row
from fasttrpo.training.episodes import Episode


class Stopped(Exception):
    """Unwinds a rollout in which a callback returned False."""


class Watch:
    """Counts rows and steps of one rollout, and calls a callback when it is due.

    singly  whether the callback must see each row
    """

    def __init__(self, trainer: Any, callback: BaseCallback) -> None:
        self._trainer, self._callback = trainer, callback
        self._row = self._unseen = 0
        self.singly = rows_until_step(callback) == EACH
        self._due = self._rows_left()

    def _rows_left(self) -> int:
        return max(1, rows_until_step(self._callback))

    def rows(self) -> int:
        """How many rows can pass until `passed` must be called."""
        return self._due - self._unseen

    def passed(self, rows: int, happened: int, row: Row | None = None) -> None:
        """Counts rows, in which `happened` steps happened; `row` is the last if rows come singly.

        Raises Stopped if the callback stops learning.
        """
        self._trainer.num_timesteps += happened
        self._row += rows
        self._unseen += rows
        if self._unseen < self._due:
            return
        self._pass_unseen(self._unseen - 1)
        of_row = {} if row is None else _locals(row, self._trainer.stream.obs)
        self._callback.update_locals({"n_steps": self._row - 1, **of_row})
        if self._callback.on_step() is False:
            raise Stopped
        self._due = self._rows_left()

    def end(self) -> None:
        """The rollout is full."""
        self._pass_unseen(self._unseen)
        self._callback.on_rollout_end()

    def _pass_unseen(self, rows: int) -> None:
        if rows:
            self._callback.pass_by(rows)
        self._unseen = 0


def _locals(row: Row, new_obs: Any) -> dict[str, Any]:
    """The local variables of SB3's loop after a step."""
    return {
        "obs": row.obs,
        "actions": _as_drawn(row),
        "clipped_actions": row.sent,
        "values": np.array(row.val),
        "log_probs": np.array(row.logp),
        "rewards": row.step.rewards,
        "dones": row.step.done,
        "new_obs": new_obs,
        "infos": infos(row.step, row.ended),
    }


def _as_drawn(row: Row) -> np.ndarray:
    """The actions before clipping, for a Box; others are sent as drawn."""
    continuous = row.sent.dtype.kind == "f"
    return np.array(row.act).reshape(row.sent.shape) if continuous else row.sent


def infos(step: Step, ended: list[Episode]) -> list[dict[str, Any]]:
    """The infos of E environments, with the keys that SB3 adds at an episode's end.

    "episode" has r, the sum of the raw rewards, l, the number of steps, and t, the clock.
    """
    each: list[dict[str, Any]] = [step.info(e) for e in range(len(step.done))]
    for episode in ended:
        info, env = each[episode.env], episode.env
        info["episode"] = {"r": episode.total, "l": episode.length, "t": time()}
        info["terminal_observation"] = batches.row(step.next_obs, env)
        info["TimeLimit.truncated"] = bool(step.truncated[env] and not step.terminated[env])
    return each
