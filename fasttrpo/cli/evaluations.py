"""`--eval-freq`: evaluates a run during training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fasttrpo.callbacks.evaluation import EvalCallback
from fasttrpo.cli.eval import EVAL_SEED
from fasttrpo.cli.progress import Episodes
from fasttrpo.files import checkpoint
from fasttrpo.files.run_folder import EVALUATIONS, is_there
from fasttrpo.protocols import Record
from fasttrpo.report.columns import read_csv
from fasttrpo.training.episodes import Episode


class Evaluations(EvalCallback):
    """Evaluates whenever another `freq` environment steps are done, after the iteration. Writes a
    line of evaluations.csv, and best_model.npz if the mean return is the best so far.

    A resumed run has the same files as an uninterrupted one: every evaluation has the same seed,
    and the best so far is restored from evaluations.csv.

    has_lines  whether to print a line from time to time
    """

    def __init__(
        self, env_id: str, folder: Path, freq: int, episodes: int, has_lines: bool = False
    ) -> None:
        super().__init__(
            env_id,
            n_eval_episodes=episodes,
            eval_freq=0,
            log_path=folder,
            best_model_save_path=folder,
            verbose=0,
        )
        self._freq, self._folder, self._has_lines = freq, folder, has_lines
        self._last: tuple[int, list[Episode]] = (0, [])

    def played_at(self, steps: int) -> list[Episode]:
        """The episodes of the evaluation after `steps` steps, if it was the last one; else []."""
        at, played = self._last
        return played if at == steps else []

    def _on_training_start(self) -> None:
        self._steps_kept = self.num_timesteps
        self.best_mean_reward = _best(self._folder / EVALUATIONS, self.num_timesteps)
        super()._on_training_start()

    def _on_record(self, record: Record) -> bool:
        before = self.num_timesteps - record["n_samples"]
        is_due = self.num_timesteps // self._freq > before // self._freq
        return self._on_evaluation() if is_due else True

    def _next_seed(self) -> int:
        return EVAL_SEED

    def _evaluate(self) -> list[Episode]:
        played = super()._evaluate()
        self._last = self.num_timesteps, played
        return played

    def _play(self, watch: Callable[..., None] | None) -> Iterator[Episode]:
        if not self._has_lines:
            return super()._play(watch)
        shown = Episodes(self.n_eval_episodes, None)
        return shown.counted(super()._play(shown.watch))

    def _save_best(self, path: Path) -> None:
        """Unlike `save`, does not follow links: the folder may be from somebody else."""
        checkpoint.write(path, replace(self.model.snapshot(), run={}))

    def _write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._add_line(folder / EVALUATIONS)

    def _on_training_end(self) -> None:
        super()._on_training_end()
        self._close_env()

    def _on_exception(self, error: BaseException) -> None:
        super()._on_exception(error)
        self._close_env()

    def _close_env(self) -> None:
        close: Any = getattr(self.eval_env, "close", None)
        if close is not None:
            close()


def _best(path: Path, steps: int) -> float:
    """The best mean return in the table up to `steps`; -inf if there is none."""
    columns = read_csv(path) if is_there(path) else {}
    if not {"num_timesteps", "mean_reward"} <= columns.keys():
        return -np.inf
    returns = columns["mean_reward"][columns["num_timesteps"] <= steps]
    returns = returns[np.isfinite(returns)]
    return float(returns.max()) if len(returns) else -np.inf
