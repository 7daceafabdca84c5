"""The learning loop: a rollout from the environment, an update of the agent, a record; again.

The functions work on a `TRPO`, whose insides they read and book in: what a user may call of it
stands in `trpo.py`.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np

from fasttrpo.collect import EpisodeStatistics, collect
from fasttrpo.logger import Display
from fasttrpo.values import integer

Record = dict[str, Any]


def learn(
    model: Any,
    total_timesteps: int,
    callback: Any,
    log_interval: int,
    progress_bar: bool | None,
    restart: bool,
) -> None:
    """What `TRPO.learn` does; the arguments are explained there."""
    target = begin(model, total_timesteps, callback, log_interval, restart)
    steps = target - model.num_timesteps
    with Display(steps, model.settings.verbose, log_interval, progress_bar) as display:
        while model.num_timesteps < target:
            record = iterate(model)
            display.show(record)
            if callback is not None and callback(record) is False:
                break


def begin(model: Any, total_timesteps: int, callback: Any, log_interval: int, restart: bool) -> int:
    """Checks the arguments and readies the environment; returns the step to reach."""
    if model._stream is None:
        raise RuntimeError("the model has no environment to learn in; call set_env(env) first")
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function of a record, got {callback!r}")
    integer(1)("log_interval", log_interval)
    total_timesteps = integer(1)("total_timesteps", total_timesteps)
    if restart:
        model.num_timesteps = 0
        model._stream.interrupt()
    return model.num_timesteps + total_timesteps


def iterate(model: Any) -> Record:
    """One iteration: a rollout from the environment, then the agent's update."""
    started = perf_counter()
    n_steps, n_envs = model.settings.n_steps, model.settings.n_envs
    model._agent = model._fitting_agent(n_steps, n_envs)
    model._capacity = n_steps, n_envs
    try:
        ready_environment(model)
        statistics = collect_rollout(model, n_steps)
        result = model._agent.update()
    except BaseException:
        model._agent.discard()
        model._stream.interrupt()
        raise
    model._statistics = statistics
    return count(model, result, statistics.record(), started)


def ready_environment(model: Any) -> None:
    """Resets the environment where that is due.

    The seed depends on the model's and on how much was learnt, so that a run never repeats
    its beginning. A loaded model's environments begin anew: it goes on bit for bit as the
    saved one does if that one's are reset there too, or if both are given the same steps.
    """
    if model._stream.obs is None:
        sequence = np.random.SeedSequence((model.settings.seed, model.n_updates))
        model._stream.reset(int(sequence.generate_state(1)[0]))
        model._statistics.restart(model.settings.n_envs)
        model._agent.restart()


def collect_rollout(model: Any, n_steps: int) -> EpisodeStatistics:
    """Fills the agent's rollout; the episodes as they stand after it, not yet booked.

    Where every row is a reset (NEXT_STEP, short rollouts), there is nothing to learn from:
    it collects again.
    """
    statistics = model._statistics.copy()
    given = model._stream, model._observations, model._actions, statistics, n_steps
    while not collect(model._agent, *given):
        model._agent.discard()
    return statistics


def count(model: Any, result: Record, episodes: Record, started: float) -> Record:
    """Books an update's result: counts, and the record of the iteration."""
    model.n_updates += 1
    model.num_timesteps += result["n_samples"]
    record = {
        "iteration": model.n_updates,
        "num_timesteps": model.num_timesteps,
        **episodes,
        "steps_per_second": result["n_samples"] / (perf_counter() - started),
        **flat(result),
    }
    model.records.append(record)
    return record


def flat(result: Record) -> Record:
    """An update's result with its `seconds` as seconds_advantages, seconds_gradient, ..."""
    seconds = {f"seconds_{stage}": time for stage, time in result["seconds"].items()}
    return {name: value for name, value in result.items() if name != "seconds"} | seconds
