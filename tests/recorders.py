"""Callbacks that record their calls."""

from __future__ import annotations

from fasttrpo.callbacks import BaseCallback


class Moments(BaseCallback):
    """Records every hook that is called, except `_on_step`."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def _init_callback(self):
        self.seen.append("init")

    def _on_training_start(self):
        self.seen.append(("start", self.num_timesteps, self.locals["total_timesteps"]))

    def _on_rollout_start(self):
        self.seen.append(("rollout", self.n_calls))

    def _on_rollout_end(self):
        self.seen.append(("end", self.n_calls, self.num_timesteps, self.model.n_updates))

    def _on_record(self, record):
        self.seen.append(("record", self.num_timesteps, record["iteration"]))

    def _on_training_end(self):
        self.seen.append("over")


class Rows(Moments):
    """Also records every step."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def _on_step(self):
        assert self.num_timesteps == self.model.num_timesteps
        names = ("n_steps", "obs", "actions", "new_obs", "rewards", "dones", "infos")
        self.rows.append({name: self.locals[name] for name in names} | {"n_calls": self.n_calls})
        return True
