"""The learning loop: a rollout from the environment, an update of the agent, a record; again.

`Learning` is one call of `TRPO.learn`. The functions work on a `TRPO`, whose insides they read and
book in: what a user may call of it stands in `trpo.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from sys import intern
from time import perf_counter
from typing import Any

import numpy as np

from fasttrpo.checks.values import count as count_of
from fasttrpo.checks.values import integer, optional, real
from fasttrpo.errors import UserRuntimeError, UserTypeError
from fasttrpo.logs import logger as logs
from fasttrpo.settings.critics import CRITICS
from fasttrpo.settings.schedules import SCHEDULED, is_schedule
from fasttrpo.stream.make import given_env
from fasttrpo.training.amid import ROLLOUT, UPDATE
from fasttrpo.training.callback import CallbackList, as_callback, loosen
from fasttrpo.training.collect import EpisodeStatistics, collect
from fasttrpo.training.progress_bar import ProgressBarCallback
from fasttrpo.training.watch import Stopped, Watch

Record = dict[str, Any]

_seconds = optional(real("a number > 0", lambda x: x > 0))


class Learning:
    """One call of `TRPO.learn`, whose arguments are explained there."""

    def __init__(
        self,
        model: Any,
        total_timesteps: float,
        callback: Any,
        log_interval: int | None,
        tb_log_name: str,
        reset_num_timesteps: bool,
        progress_bar: bool | None,
        max_seconds: float | None,
    ) -> None:
        if model._stream is None:
            raise UserRuntimeError(
                "the model has no environment to learn in; call set_env(env) first"
            )
        if not isinstance(tb_log_name, str):
            raise UserTypeError(f"tb_log_name must be a name, got {tb_log_name!r}")
        self.model = model
        self.callback = as_callback(callback)
        loosen(self.callback)
        self.bar = None if progress_bar is False else ProgressBarCallback(progress_bar)
        self.log_interval = optional(integer(1))("log_interval", log_interval)
        self.max_seconds = _seconds("max_seconds", max_seconds)
        self.name, self.goes_on = tb_log_name, not reset_num_timesteps
        self.total = count_of(1)("total_timesteps", total_timesteps)

    def run(self) -> None:
        """Learns until there were enough steps or seconds, or a callback has enough."""
        if self.model._is_learning:
            raise UserRuntimeError("the model is learning already: a callback cannot call learn")
        self.model._is_learning = True
        try:
            self._run()
        finally:
            self.model._is_learning = False

    def _run(self) -> None:
        self._begin()
        locals_ = self._locals()
        watcher = CallbackList([self.bar, self.callback] if self.bar else [self.callback])
        try:
            watcher.init_callback(self.model)
            watcher.on_training_start(locals_, globals())
            self._iterate(watcher)
            watcher.on_training_end()
            if self._made_logger is not None and self.log_interval is not None:
                self._made_logger.dump(self.model.num_timesteps)  # what was recorded since
        except BaseException as error:
            watcher.on_exception(error)
            raise
        finally:
            locals_.pop("callback", None)  # which holds them: a cycle would keep it and the model
            if self.bar is not None:
                self.bar.close()
            if self._made_logger is not None:  # the model may have another one by now
                self._made_logger.close()

    def _begin(self) -> None:
        """Readies counts, environment and log."""
        model = self.model
        if not self.goes_on:
            model.num_timesteps = 0
            model._stream.interrupt()
        self.started, self.first_step = perf_counter(), model.num_timesteps
        self.target = model.num_timesteps + self.total
        settings = model.settings
        self._made_logger = None
        if not model._has_own_logger:
            resumed = model.num_timesteps if self.goes_on else None
            self._made_logger = model._logger = logs.for_learning(
                settings.verbose, settings.tensorboard_log, self.name, resumed
            )

    def _locals(self) -> dict[str, Any]:
        """What Stable-Baselines3's loop has in its local variables as it begins."""
        return {
            "self": self.model,
            "env": self.model.get_env(),
            "callback": self.callback,
            "total_timesteps": self.target,
            "log_interval": self.log_interval,
            "tb_log_name": self.name,
        }

    def _iterate(self, watcher: CallbackList) -> None:
        model, iterations = self.model, 0
        while model.num_timesteps < self.target:
            change_by_schedule(model, 1 - model.num_timesteps / self.target)
            try:
                record = iterate(model, watcher)
            except Stopped:
                return
            iterations += 1
            record["ended"] = self._why_ended()
            self._log(record, iterations)
            if not watcher.on_record(record):
                record["ended"] = "callback"
            if record["ended"]:
                return

    def _why_ended(self) -> str:
        """The reason to end early, or ""."""
        late = self.max_seconds is not None and self._elapsed() >= self.max_seconds
        return "max_seconds" if late else ""

    def _elapsed(self) -> float:
        return perf_counter() - self.started

    def _log(self, record: Record, iterations: int) -> None:
        """What callbacks recorded goes into the record too."""
        news = self.model.logger.take_news()
        if self.log_interval is not None and iterations % self.log_interval == 0:
            self._dump(record)
        record |= news

    def _dump(self, record: Record) -> None:
        logger = self.model.logger
        if not logger.has_writers:  # spares a short iteration a tenth of its time
            logger.dump()
            return
        logs.log_record(logger, record)
        elapsed = self._elapsed()
        fps = int((self.model.num_timesteps - self.first_step) / max(elapsed, 1e-9))
        logger.put("time/fps", fps)
        logger.put("time/time_elapsed", int(elapsed))
        logger.dump(self.model.num_timesteps)


def change_by_schedule(model: Any, remaining: float) -> None:
    """Gives the agent the settings that change, as they are at that remaining progress."""
    if any(is_schedule(getattr(model.settings, name)) for name in SCHEDULED):
        model._remaining = remaining
        resolved = model._resolved(model.settings)
        for name in SCHEDULED:
            setattr(model._agent, name, getattr(resolved, name))


def iterate(model: Any, callback: Any = None) -> Record:
    """One iteration: a rollout from the environment, then the agent's update.

    Where the rollout fails, or a callback stops it (Stopped), it is dropped with its episodes; the
    steps count if it was stopped.
    """
    started, before = perf_counter(), model.num_timesteps
    callback, agent = nobody(model) if callback is None else callback, None
    try:
        callback.on_rollout_start()  # which may give the model another agent, and train it
        model._amid = UPDATE
        agent = fit_agent(model)
        ready_environment(model)
        statistics = collect_rollout(model, model.settings.n_steps, callback)
        collected = perf_counter()
        result = agent.update()
    except BaseException as error:
        if agent is not None:
            agent.discard()
            hand_over(agent, model)
        model._stream.interrupt()
        if not isinstance(error, Stopped):
            model.num_timesteps = before
        raise
    finally:
        model._amid = None
    hand_over(agent, model)
    model.num_timesteps = before
    model._statistics = statistics
    of_rollout = {**statistics.record(), "seconds_collect": collected - started}
    return count(model, result, of_rollout, started, lambda: last_rows(model))


def fit_agent(model: Any) -> Any:
    """The agent, made anew if it cannot hold the rollout to come."""
    capacity = model.settings.n_steps, model.settings.n_envs
    model._agent, model._capacity = model._fitting_agent(*capacity), capacity
    return model._agent


def hand_over(agent: Any, model: Any) -> None:
    """A callback that changed a setting in the midst of a rollout gave the model another agent,
    which has its turn from the next iteration on: it gets what this one learnt."""
    if model._agent is not agent:
        model._agent.load_state(agent.state())


def ready_environment(model: Any) -> None:
    """Resets the environment where that is due.

    The seed depends on the model's and on how much was learnt, so that a run never repeats
    its beginning: not after a load either, unless a checkpoint has the environment's own state.
    """
    if model._stream.obs is None:
        model._stream.reset(environment_seed(model))
        model._statistics.restart(model.settings.n_envs)
        model._agent.restart()


def environment_seed(model: Any) -> int | None:
    """None for a `VecEnv` where the user gave no seed: not all have `seed`, and Stable-Baselines3
    calls it on request only.
    """
    env = model._stream.env
    if given_env(env) is not env and not model._seed_is_given:
        return None
    sequence = np.random.SeedSequence((model.settings.seed, model.n_updates))
    return int(sequence.generate_state(1)[0])


def collect_rollout(model: Any, n_steps: int, callback: Any = None) -> EpisodeStatistics:
    """Fills the agent's rollout; the episodes as they stand after it, not yet booked.

    Where every row is a reset (NEXT_STEP, short rollouts), there is nothing to learn from:
    it collects again.
    """
    statistics = model._statistics.copy()
    watch = Watch(model, nobody(model) if callback is None else callback)
    given = model._stream, model._observations, model._actions, statistics, n_steps, watch
    before, model._amid = model._amid, ROLLOUT
    try:
        while not collect(model._agent, *given):
            model._agent.discard()
    finally:
        model._amid = before
    watch.end()
    return statistics


def nobody(model: Any) -> CallbackList:
    """A callback that does nothing."""
    nobody = CallbackList([])
    nobody.init_callback(model)
    return nobody


def last_rows(model: Any) -> np.ndarray | None:
    """The observations (E, O) that the environment shows now, if it is amid episodes."""
    obs = model._stream.obs
    return None if obs is None else model._observations.batch(obs)[0]


def count(
    model: Any,
    result: Record,
    of_rollout: Record,
    started: float,
    seen: Callable[[], np.ndarray | None],
) -> Record:
    """Books an update's result: counts, and the record of the iteration.

    seen() is observations (..., O) that it learnt from, or some near them; None: unknown
    """
    model.n_updates += 1
    model.num_timesteps += result["n_samples"]
    record = {
        "iteration": model.n_updates,
        "num_timesteps": model.num_timesteps,
        **of_rollout,
        "steps_per_second": result["n_samples"] / (perf_counter() - started),
        **flat(result),
    }
    if "learning_rate" in CRITICS[model.settings.critic].settings:
        record["learning_rate"] = model._agent.learning_rate
    model.records.append(record)
    keep_last(model.records, model.settings.max_records)
    model._rejections.see(record, model.settings, model._agent, seen)
    return record


def keep_last(values: list, most: int | None) -> None:
    """Drops the first of the values where there are more than `most`; None: none is dropped."""
    if most is not None and len(values) > most:
        del values[: len(values) - most]


def flat(result: Record) -> Record:
    """An update's result with its `seconds` as seconds_advantages, seconds_gradient, ..."""
    seconds = {intern(f"seconds_{stage}"): time for stage, time in result["seconds"].items()}
    return {name: value for name, value in result.items() if name != "seconds"} | seconds
