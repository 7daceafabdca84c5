"""Callbacks with Stable-Baselines3's names: evaluate, save, log, stop.

    from fasttrpo.callbacks import CheckpointCallback, EvalCallback, StopTrainingOnRewardThreshold

    stop = StopTrainingOnRewardThreshold(475)
    evaluate = EvalCallback("CartPole-v1", stop, eval_freq=1000, best_model_save_path="logs")
    model.learn(100_000, callback=[evaluate, CheckpointCallback(5000, "logs")])

Frequencies count steps of the vector environment, as in SB3: max(5000 // n_envs, 1) means about
every 5000 steps of all environments together.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fasttrpo.callbacks.evaluation import (
    EvalCallback,
    StopTrainingOnNoModelImprovement,
    StopTrainingOnRewardThreshold,
)
from fasttrpo.checks.values import count, integer
from fasttrpo.files.atomic import replacing
from fasttrpo.training.callback import BaseCallback, rows_to_multiple
from fasttrpo.training.combined import CallbackList, ConvertCallback, EventCallback
from fasttrpo.training.progress_bar import ProgressBarCallback

if TYPE_CHECKING:
    from fasttrpo.protocols import CallbackLike

__all__ = [
    "BaseCallback",
    "CallbackList",
    "CheckpointCallback",
    "ConvertCallback",
    "EvalCallback",
    "EventCallback",
    "EveryNTimesteps",
    "LogEveryNTimesteps",
    "ProgressBarCallback",
    "StopTrainingOnMaxEpisodes",
    "StopTrainingOnNoModelImprovement",
    "StopTrainingOnRewardThreshold",
]


class CheckpointCallback(BaseCallback):
    """Saves the model every `save_freq` steps of the vector environment.

    If learning ends with an exception, Ctrl-C included, the model is saved as its last iteration
    left it, and a note on the exception has the path.

    save_path  the folder; files are named {name_prefix}_{num_timesteps}_steps.npz
    save_replay_buffer  no effect: there is no replay buffer
    save_vecnormalize   also save the `VecNormalize` around the environment, if there is one, as
               {name_prefix}_vecnormalize_{num_timesteps}_steps.pkl; the model's file contains
               fasttrpo's own normalisers
    """

    def __init__(
        self,
        save_freq: float,
        save_path: str | os.PathLike,
        name_prefix: str = "rl_model",
        save_replay_buffer: bool = False,
        save_vecnormalize: bool = False,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        self.save_freq = count(1)("save_freq", save_freq)
        self.save_path, self.name_prefix = save_path, name_prefix
        self.save_vecnormalize = save_vecnormalize

    def rows_until_step(self) -> int:
        """The rows until the next file."""
        return rows_to_multiple(self.n_calls, self.save_freq)

    def _on_step(self) -> bool:
        if self.n_calls % self.save_freq == 0:
            path = self._save()
            if self.verbose >= 2:
                self.logger.say(f"Saving model checkpoint to {path}")
        return True

    def _save(self) -> Path:
        folder, steps = Path(self.save_path), f"{self.model.num_timesteps}_steps"
        path = folder / f"{self.name_prefix}_{steps}.npz"
        self.model.save(path)
        vec_normalize = self.model.get_vec_normalize_env() if self.save_vecnormalize else None
        if vec_normalize is not None:
            with replacing(folder / f"{self.name_prefix}_vecnormalize_{steps}.pkl") as file:
                vec_normalize.save(file.name)
        return path

    def _on_exception(self, error: BaseException) -> None:
        if self.model.n_updates == 0:
            return
        try:
            error.add_note(f"the model is saved as its last iteration left it: {self._save()}")
        except (OSError, ValueError) as failure:
            error.add_note(f"the model could not be saved: {failure}")


class EveryNTimesteps(EventCallback):
    """Calls a callback's `on_step` every `n_steps` steps, summed over all environments."""

    def __init__(self, n_steps: float, callback: CallbackLike) -> None:
        super().__init__(callback)
        self.n_steps = count(1)("n_steps", n_steps)
        self.last_time_trigger = 0

    def rows_until_step(self) -> int:
        """The rows until the next call, if every environment steps in every row."""
        left = self.last_time_trigger + self.n_steps - self.num_timesteps
        return -(-left // self.training_env.num_envs)

    def _on_step(self) -> bool:
        if self.num_timesteps - self.last_time_trigger < self.n_steps:
            return True
        self.last_time_trigger = self.num_timesteps
        return self._on_event()


class LogEveryNTimesteps(EveryNTimesteps):
    """Writes the log (`TRPO.dump_logs`) every `n_steps` steps, summed over all environments.

    `learn(..., log_interval=None)` leaves the log to this callback.
    """

    def __init__(self, n_steps: float) -> None:
        super().__init__(n_steps, None)

    def _on_event(self) -> bool:
        self.model.dump_logs()
        return True


class StopTrainingOnMaxEpisodes(BaseCallback):
    """Stops learning after max_episodes * n_envs episodes, summed over all environments."""

    def __init__(self, max_episodes: int, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.max_episodes = integer(1)("max_episodes", max_episodes)
        self.n_episodes = 0

    def _on_step(self) -> bool:
        self.n_episodes += int(np.count_nonzero(self.locals["dones"]))
        continues = self.n_episodes < self.max_episodes * self.training_env.num_envs
        if self.verbose >= 1 and not continues:
            self.logger.say(
                f"Stopping training after {self.n_episodes} episodes, at {self.num_timesteps} steps"
            )
        return continues
