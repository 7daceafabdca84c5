"""`EvalCallback`, and the callbacks that stop learning depending on its results."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fasttrpo.checks.values import count, integer, optional, real
from fasttrpo.errors import UserError
from fasttrpo.evaluate import check_spaces, n_envs_for, play, render_step
from fasttrpo.files.atomic import replacing
from fasttrpo.files.run_folder import BEST
from fasttrpo.logs.writers import ProgressFile
from fasttrpo.sb3.calls import copy_statistics, vec_normalize
from fasttrpo.sb3.convert import vector_env
from fasttrpo.stream.make import is_maker, shares
from fasttrpo.training.callback import NEVER, BaseCallback, adopt, continues, rows_to_multiple
from fasttrpo.training.combined import EventCallback
from fasttrpo.training.episodes import Episode, success_rate, successes
from fasttrpo.training.trainer import keep_last

if TYPE_CHECKING:
    from fasttrpo.protocols import CallbackLike, EnvLike


class EvalCallback(EventCallback):
    """Evaluates the policy every `eval_freq` steps of the vector environment, and keeps the best.

    eval_env              whatever `TRPO` accepts, except the training environment. If it is made
                          (from an id, a class, ...), it is seeded with the model's seed; seed
                          others yourself
    callback_on_new_best  its `on_step` is called when the mean return is the best so far
    callback_after_eval   its `on_step` is called after each evaluation; in both cases, returning
                          False stops learning
    n_eval_episodes       episodes per evaluation
    eval_freq             steps of the vector environment between evaluations; 0: never evaluate
    log_path              a folder for the results: evaluations.csv with a line per evaluation, and
                          evaluations.npz as in SB3, with the last `max_evaluations` (timesteps;
                          results and ep_lengths, evaluations x episodes)
    best_model_save_path  a folder for best_model.npz
    deterministic         use the policy's mode instead of samples
    render                render each step; `eval_env` must have a render_mode
    verbose               1 prints each evaluation
    warn                  no effect; for SB3 scripts
    max_evaluations       how many evaluations the lists and evaluations.npz keep (None: all)

    The results are in best_mean_reward, last_mean_reward, and the lists evaluations_timesteps,
    evaluations_results and evaluations_length, and in the log as eval/mean_reward and
    eval/mean_ep_length. If environments report "is_success", they are also in eval/success_rate,
    evaluations_successes and the file. If the model learns in an SB3 `VecNormalize`, its statistics
    are copied to that of `eval_env` before each evaluation.

    Raises ValueError if `eval_env` is the model's own environment, or has no `VecNormalize`
    although the model sees observations through one.
    """

    def __init__(
        self,
        eval_env: EnvLike,
        callback_on_new_best: CallbackLike = None,
        callback_after_eval: CallbackLike = None,
        n_eval_episodes: int = 5,
        eval_freq: float = 10000,
        log_path: str | os.PathLike | None = None,
        best_model_save_path: str | os.PathLike | None = None,
        deterministic: bool = True,
        render: bool = False,
        verbose: int = 1,
        warn: bool = True,
        *,
        max_evaluations: int | None = 5000,
    ) -> None:
        super().__init__(callback_after_eval, verbose)
        self._on_new_best = EventCallback(callback_on_new_best)
        self.callback_on_new_best = self._on_new_best.callback
        adopt(self.callback_on_new_best, self)
        self.eval_env = eval_env
        self.n_eval_episodes = integer(1)("n_eval_episodes", n_eval_episodes)
        self.eval_freq = count(0)("eval_freq", eval_freq)
        self.log_path, self.best_model_save_path = log_path, best_model_save_path
        self.deterministic, self.render, self.warn = deterministic, render, warn
        self.max_evaluations = optional(integer(1))("max_evaluations", max_evaluations)
        self.best_mean_reward = self.last_mean_reward = -np.inf
        self.evaluations_timesteps: list[int] = []
        self.evaluations_results: list[list[float]] = []
        self.evaluations_length: list[list[int]] = []
        self.evaluations_successes: list[list[bool]] = []
        self._seed: int | None = None
        self._table: ProgressFile | None = None
        self._steps_kept = 0  # of an earlier table

    def init_callback(self, model: Any) -> None:
        """Also initialises `callback_on_new_best`."""
        adopt(self.callback_on_new_best, self)
        self._on_new_best.init_callback(model)
        super().init_callback(model)

    def _init_callback(self) -> None:
        is_made = is_maker(self.eval_env)
        settings = self.model.settings
        n_envs = n_envs_for(self.eval_env, self.n_eval_episodes)
        env = vector_env(self.eval_env, n_envs, settings)
        check_spaces(self.model, env)
        if is_made:
            self.eval_env, self._seed = env, settings.seed % 2**32
        if shares(self.training_env, self.eval_env):
            raise UserError("eval_env is the training environment; pass another one")

        learnt = self.model.get_vec_normalize_env()
        if getattr(learnt, "norm_obs", False) and vec_normalize(self.eval_env) is None:
            raise UserError(
                "the model sees observations through a VecNormalize, and eval_env has none: pass "
                "VecNormalize(eval_env, training=False, norm_reward=False); the model's "
                "statistics are copied to it"
            )

    def _on_training_start(self) -> None:
        super()._on_training_start()
        self._on_new_best.on_training_start(self.locals, self.globals)

    def _on_exception(self, error: BaseException) -> None:
        self._close()
        super()._on_exception(error)
        self._on_new_best.on_exception(error)

    def _on_training_end(self) -> None:
        self._close()
        super()._on_training_end()

    def update_child_locals(self, locals_: dict[str, Any]) -> None:
        """Passes the variables to both callbacks."""
        super().update_child_locals(locals_)
        self._on_new_best.update_locals(locals_)

    def rows_until_step(self) -> int:
        """The rows until the next evaluation."""
        return rows_to_multiple(self.n_calls, self.eval_freq) if self.eval_freq else NEVER

    def _on_step(self) -> bool:
        if not self.eval_freq or self.n_calls % self.eval_freq:
            return True
        return self._on_evaluation()

    def _on_evaluation(self) -> bool:
        """Evaluates now; False stops learning."""
        played = self._evaluate()
        self.last_mean_reward = float(np.mean([episode.total for episode in played]))
        self._log(played)
        keep_learning = True
        if self.last_mean_reward > self.best_mean_reward:
            self.best_mean_reward = self.last_mean_reward
            keep_learning = self._keep_best()
        return self._on_event() and keep_learning

    def _evaluate(self) -> list[Episode]:
        learnt, own = self.model.get_vec_normalize_env(), vec_normalize(self.eval_env)
        if learnt is not None and own is not None:
            copy_statistics(learnt, own)
        played = list(self._play(render_step if self.render else None))
        self.evaluations_timesteps.append(self.num_timesteps)
        self.evaluations_results.append([episode.total for episode in played])
        self.evaluations_length.append([episode.length for episode in played])
        known = successes(played)
        if len(known) == len(played):
            self.evaluations_successes.append(known)
        self._drop_old()
        if self.log_path is not None:
            self._write(Path(self.log_path))
        return played

    def _play(self, watch: Callable[..., None] | None) -> Iterator[Episode]:
        arguments = self.model, self.eval_env, self.n_eval_episodes, self.deterministic
        return play(*arguments, self._next_seed(), watch)

    def _next_seed(self) -> int | None:
        """The seed of the next evaluation: later ones continue the environments' generators."""
        seed, self._seed = self._seed, None
        return seed

    def _drop_old(self) -> None:
        keep_last(self.evaluations_timesteps, self.max_evaluations)
        keep_last(self.evaluations_results, self.max_evaluations)
        keep_last(self.evaluations_length, self.max_evaluations)
        keep_last(self.evaluations_successes, self.max_evaluations)

    def _log(self, played: list[Episode]) -> None:
        returns, lengths = [each.total for each in played], [each.length for each in played]
        rate = success_rate(played)
        if self.verbose >= 1:
            self.logger.say(
                f"Eval num_timesteps={self.num_timesteps}, "
                f"episode_reward={self.last_mean_reward:.2f} +/- {np.std(returns):.2f}\n"
                f"Episode length: {np.mean(lengths):.2f} +/- {np.std(lengths):.2f}"
            )
            if rate is not None:
                self.logger.say(f"Success rate: {100 * rate:.2f}%")
        self.logger.record("eval/mean_reward", self.last_mean_reward)
        self.logger.record("eval/mean_ep_length", float(np.mean(lengths)))
        if rate is not None:
            self.logger.record("eval/success_rate", rate)
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        self.logger.dump(self.num_timesteps)

    def _keep_best(self) -> bool:
        if self.verbose >= 1:
            self.logger.say("New best mean reward!")
        if self.best_model_save_path is not None:
            self._save_best(Path(self.best_model_save_path) / BEST)
        callback = self.callback_on_new_best
        return callback is None or continues(callback.on_step())

    def _save_best(self, path: Path) -> None:
        self.model.save(path)

    def _write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        columns: dict[str, Any] = {
            "timesteps": self.evaluations_timesteps,
            "results": self.evaluations_results,
            "ep_lengths": self.evaluations_length,
        }
        if self.evaluations_successes:
            columns["successes"] = self.evaluations_successes
        with replacing(folder / "evaluations.npz") as file:
            np.savez(file, **columns)
        self._add_line(folder / "evaluations.csv")

    def _add_line(self, path: Path) -> None:
        """Appends the last evaluation; the first one starts a new file."""
        if self._table is None:
            self._table = ProgressFile(path, self._steps_kept)
            self._steps_kept = sys.maxsize
        results, lengths = self.evaluations_results[-1], self.evaluations_length[-1]
        self._table.write(
            {
                "num_timesteps": self.evaluations_timesteps[-1],
                "mean_reward": float(np.mean(results)),
                "std_reward": float(np.std(results)),
                "mean_ep_length": float(np.mean(lengths)),
                "episodes": self.n_eval_episodes,
            }
        )

    def _close(self) -> None:
        """Closes the table; the next `learn` appends to it."""
        if self._table is not None:
            self._table.close()
            self._table = None


class _ChildOfEval(BaseCallback):
    """Base class of callbacks that read an `EvalCallback`'s results."""

    def init_callback(self, model: Any) -> None:
        """Raises ValueError if the parent is not an `EvalCallback`."""
        if not hasattr(self.parent, "best_mean_reward"):
            raise UserError(
                f"{type(self).__name__} must be passed to an EvalCallback, as "
                "callback_on_new_best or callback_after_eval"
            )
        super().init_callback(model)


class StopTrainingOnRewardThreshold(_ChildOfEval):
    """Stops learning once the best mean return reaches a threshold; a `callback_on_new_best`."""

    def __init__(self, reward_threshold: float, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.reward_threshold = real("a number", lambda x: True)(
            "reward_threshold", reward_threshold
        )

    def _on_step(self) -> bool:
        keep_learning = bool(self.parent.best_mean_reward < self.reward_threshold)
        if self.verbose >= 1 and not keep_learning:
            self.logger.say(
                f"Stopping training because the mean reward {self.parent.best_mean_reward:.2f} "
                f"is above the threshold {self.reward_threshold}"
            )
        return keep_learning


class StopTrainingOnNoModelImprovement(_ChildOfEval):
    """Stops learning after more than `max_no_improvement_evals` evaluations without a new best.

    min_evals  evaluations before counting starts; for `callback_after_eval`
    """

    def __init__(self, max_no_improvement_evals: int, min_evals: int = 0, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.max_no_improvement_evals = integer(0)(
            "max_no_improvement_evals", max_no_improvement_evals
        )
        self.min_evals = integer(0)("min_evals", min_evals)
        self.last_best_mean_reward = -np.inf
        self.no_improvement_evals = 0

    def _on_step(self) -> bool:
        best = self.parent.best_mean_reward
        if self.n_calls > self.min_evals:
            improved = best > self.last_best_mean_reward
            self.no_improvement_evals = 0 if improved else self.no_improvement_evals + 1
        self.last_best_mean_reward = best
        keep_learning = self.no_improvement_evals <= self.max_no_improvement_evals
        if self.verbose >= 1 and not keep_learning:
            self.logger.say(
                "Stopping training because there was no new best model in the last "
                f"{self.no_improvement_evals} evaluations"
            )
        return keep_learning
