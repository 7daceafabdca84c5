"""Callbacks with Stable-Baselines3's names: evaluate, save, stop.

    from fasttrpo.callbacks import CheckpointCallback, EvalCallback, StopTrainingOnRewardThreshold

    stop = StopTrainingOnRewardThreshold(475)
    evaluate = EvalCallback("CartPole-v1", stop, eval_freq=1000, best_model_save_path="logs")
    model.learn(100_000, callback=[evaluate, CheckpointCallback(5000, "logs")])

Frequencies count steps of the vector environment, as there: max(5000 // n_envs, 1) is one of about
5000 steps of the environments together.
"""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from fasttrpo.callback_base import (
    EVER,
    BaseCallback,
    CallbackList,
    ConvertCallback,
    EventCallback,
    ProgressBarCallback,
    adopt,
)
from fasttrpo.collect import Episode, success_rate, successes
from fasttrpo.environments import as_vector_env, is_name, shares
from fasttrpo.evaluate import N_ENVS, play, rendering
from fasttrpo.files import replacing, write_text
from fasttrpo.sb3.calls import copy_statistics, vec_normalize
from fasttrpo.trpo import making
from fasttrpo.values import count, integer, real

__all__ = [
    "BaseCallback",
    "CallbackList",
    "CheckpointCallback",
    "ConvertCallback",
    "EvalCallback",
    "EventCallback",
    "EveryNTimesteps",
    "ProgressBarCallback",
    "StopTrainingOnMaxEpisodes",
    "StopTrainingOnNoModelImprovement",
    "StopTrainingOnRewardThreshold",
]


def _rows_to_multiple(n_calls: int, freq: int) -> int:
    """Rows until n_calls is the next multiple of freq."""
    return freq - n_calls % freq


class CheckpointCallback(BaseCallback):
    """Saves the model every `save_freq` steps of the vector environment.

    Where learning ends by an exception, Ctrl-C included, the model is saved as its last iteration
    left it, and a note on the exception says where.

    save_path  the folder; the files are {name_prefix}_{num_timesteps}_steps.npz
    save_replay_buffer  without effect: there is none
    save_vecnormalize   saves the `VecNormalize` around the environment too, if there is one, as
               {name_prefix}_vecnormalize_{num_timesteps}_steps.pkl; fasttrpo's own normalisers are
               in the model's file
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
        """Until the next file is due."""
        return _rows_to_multiple(self.n_calls, self.save_freq)

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
        normaliser = self.model.get_vec_normalize_env() if self.save_vecnormalize else None
        if normaliser is not None:
            normaliser.save(str(folder / f"{self.name_prefix}_vecnormalize_{steps}.pkl"))
        return path

    def _on_exception(self, error: BaseException) -> None:
        if self.model.n_updates == 0:
            return
        try:
            error.add_note(f"the model is saved as its last iteration left it: {self._save()}")
        except (OSError, ValueError) as failure:
            error.add_note(f"the model could not be saved: {failure}")


class EvalCallback(EventCallback):
    """Evaluates the policy every `eval_freq` steps of the vector environment, and keeps the best.

    eval_env              an environment of its own, as `TRPO` takes them. Made from a name, it is
                          seeded with the model's seed; what you made yourself you seed
    callback_on_new_best  a callback whose `on_step` is called where the mean return is the best yet
    callback_after_eval   one that is called after each evaluation; both stop by returning False
    n_eval_episodes       in each evaluation
    eval_freq             0: never
    log_path              a folder for the evaluations so far: evaluations.npz as in
                          Stable-Baselines3 (timesteps, and results and ep_lengths, evaluations x
                          episodes), and evaluations.csv with a line for each
    best_model_save_path  a folder for best_model.npz
    deterministic         the policy's mode, or draws from it
    render                shows each step, where `eval_env` was made with a render_mode
    verbose               1 prints each evaluation
    warn                  of an environment that does not report its episodes; there is none such

    best_mean_reward, last_mean_reward, and the lists evaluations_timesteps, evaluations_results and
    evaluations_length have the outcomes. The log has eval/mean_reward and eval/mean_ep_length; and
    where environments tell "is_success", eval/success_rate, and the file and
    evaluations_successes have them.
    Where the model learns in a `VecNormalize` of Stable-Baselines3's, that of `eval_env` gets its
    statistics before each evaluation.

    ValueError where `eval_env` is the model's own environment, whose episodes it would spoil, or
    has no `VecNormalize` though the model sees observations through one.
    """

    def __init__(
        self,
        eval_env: Any,
        callback_on_new_best: Any = None,
        callback_after_eval: Any = None,
        n_eval_episodes: int = 5,
        eval_freq: float = 10000,
        log_path: str | os.PathLike | None = None,
        best_model_save_path: str | os.PathLike | None = None,
        deterministic: bool = True,
        render: bool = False,
        verbose: int = 1,
        warn: bool = True,
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
        self.best_mean_reward = self.last_mean_reward = -np.inf
        self.evaluations_timesteps: list[int] = []
        self.evaluations_results: list[list[float]] = []
        self.evaluations_length: list[list[int]] = []
        self.evaluations_successes: list[list[bool]] = []
        self._seed: int | None = None

    def init_callback(self, model: Any) -> None:
        """The one for a new best has a turn too."""
        adopt(self.callback_on_new_best, self)
        self._on_new_best.init_callback(model)
        super().init_callback(model)

    def _init_callback(self) -> None:
        named = is_name(self.eval_env)
        n_envs = min(self.n_eval_episodes, N_ENVS) if named else 1
        env = as_vector_env(self.eval_env, n_envs, **making(self.model.settings))
        self.model._check_spaces(env)
        if named:
            self.eval_env, self._seed = env, self.model.settings.seed % 2**32
        if shares(self.training_env, self.eval_env):
            raise ValueError("eval_env is the environment that the model learns in; make another")

        learnt = self.model.get_vec_normalize_env()
        if getattr(learnt, "norm_obs", False) and vec_normalize(self.eval_env) is None:
            raise ValueError(
                "the model sees observations through a VecNormalize, and eval_env has none: pass "
                "VecNormalize(eval_env, training=False, norm_reward=False), which gets the "
                "statistics of the model's"
            )

    def _on_training_start(self) -> None:
        super()._on_training_start()
        self._on_new_best.on_training_start(self.locals, self.globals)

    def _on_exception(self, error: BaseException) -> None:
        super()._on_exception(error)
        self._on_new_best.on_exception(error)

    def update_child_locals(self, locals_: dict[str, Any]) -> None:
        """To both callbacks."""
        super().update_child_locals(locals_)
        self._on_new_best.update_locals(locals_)

    def rows_until_step(self) -> int:
        """Until the next evaluation."""
        return _rows_to_multiple(self.n_calls, self.eval_freq) if self.eval_freq else EVER

    def _on_step(self) -> bool:
        if not self.eval_freq or self.n_calls % self.eval_freq:
            return True
        played = self._evaluate()
        self.last_mean_reward = float(np.mean([episode.total for episode in played]))
        self._log(played)
        goes_on = True
        if self.last_mean_reward > self.best_mean_reward:
            self.best_mean_reward = self.last_mean_reward
            goes_on = self._keep_best()
        return self._on_event() and goes_on

    def _evaluate(self) -> list[Episode]:
        learnt, own = self.model.get_vec_normalize_env(), vec_normalize(self.eval_env)
        if learnt is not None and own is not None:
            copy_statistics(learnt, own)
        seed, self._seed = self._seed, None
        given = self.model, self.eval_env, self.n_eval_episodes, self.deterministic, seed
        played = list(play(*given, rendering if self.render else None))
        self.evaluations_timesteps.append(self.num_timesteps)
        self.evaluations_results.append([episode.total for episode in played])
        self.evaluations_length.append([episode.length for episode in played])
        known = successes(played)
        if len(known) == len(played):
            self.evaluations_successes.append(known)
        if self.log_path is not None:
            self._write(Path(self.log_path))
        return played

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
            self.model.save(Path(self.best_model_save_path) / "best_model.npz")
        return self._on_new_best._on_event()

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
        results, lengths = map(np.array, (self.evaluations_results, self.evaluations_length))
        means = results.mean(axis=1), results.std(axis=1), lengths.mean(axis=1)
        text = io.StringIO(newline="")
        rows = csv.writer(text)
        rows.writerow(["num_timesteps", "mean_reward", "std_reward", "mean_ep_length", "episodes"])
        for steps, *each in zip(self.evaluations_timesteps, *means, strict=True):
            rows.writerow([steps, *each, self.n_eval_episodes])
        write_text(folder / "evaluations.csv", text.getvalue())


class EveryNTimesteps(EventCallback):
    """Calls another callback's `on_step` each time `n_steps` steps of the environments are over."""

    def __init__(self, n_steps: float, callback: Any) -> None:
        super().__init__(callback)
        self.n_steps = count(1)("n_steps", n_steps)
        self.last_time_trigger = 0

    def rows_until_step(self) -> int:
        """Until that is so; no sooner, if every environment steps in every row."""
        left = self.last_time_trigger + self.n_steps - self.num_timesteps
        return -(-left // self.training_env.num_envs)

    def _on_step(self) -> bool:
        if self.num_timesteps - self.last_time_trigger < self.n_steps:
            return True
        self.last_time_trigger = self.num_timesteps
        return self._on_event()


class _ChildOfEval(BaseCallback):
    """One that reads an `EvalCallback`'s results."""

    def init_callback(self, model: Any) -> None:
        """ValueError where there is no such parent."""
        if not hasattr(self.parent, "best_mean_reward"):
            raise ValueError(
                f"{type(self).__name__} belongs into an EvalCallback: "
                "callback_on_new_best= or callback_after_eval="
            )
        super().init_callback(model)


class StopTrainingOnRewardThreshold(_ChildOfEval):
    """Stops where the best mean return is `reward_threshold` or more; `callback_on_new_best`."""

    def __init__(self, reward_threshold: float, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.reward_threshold = real("a number", lambda x: True)(
            "reward_threshold", reward_threshold
        )

    def _on_step(self) -> bool:
        goes_on = bool(self.parent.best_mean_reward < self.reward_threshold)
        if self.verbose >= 1 and not goes_on:
            self.logger.say(
                f"Stopping training because the mean reward {self.parent.best_mean_reward:.2f} "
                f"is above the threshold {self.reward_threshold}"
            )
        return goes_on


class StopTrainingOnNoModelImprovement(_ChildOfEval):
    """Stops after more than `max_no_improvement_evals` evaluations in a row without a new best.

    min_evals  evaluations before which it does not count; for `callback_after_eval`
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
        goes_on = self.no_improvement_evals <= self.max_no_improvement_evals
        if self.verbose >= 1 and not goes_on:
            self.logger.say(
                "Stopping training because there was no new best model in the last "
                f"{self.no_improvement_evals} evaluations"
            )
        return goes_on


class StopTrainingOnMaxEpisodes(BaseCallback):
    """Stops after max_episodes * n_envs episodes, all environments together."""

    def __init__(self, max_episodes: int, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.max_episodes = integer(1)("max_episodes", max_episodes)
        self.n_episodes = 0

    def _on_step(self) -> bool:
        self.n_episodes += int(np.count_nonzero(self.locals["dones"]))
        goes_on = self.n_episodes < self.max_episodes * self.training_env.num_envs
        if self.verbose >= 1 and not goes_on:
            self.logger.say(
                f"Stopping training after {self.n_episodes} episodes, at {self.num_timesteps} steps"
            )
        return goes_on
