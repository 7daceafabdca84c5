"""How good a policy is: full episodes, with everything that learns held still."""

from __future__ import annotations

import inspect
import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fasttrpo.checks.values import integer, optional
from fasttrpo.errors import UserError, UserTypeError
from fasttrpo.sb3.convert import vector_env as make_vector_env
from fasttrpo.spaces import check_same, describe
from fasttrpo.stream.make import is_name, shares, user_env
from fasttrpo.stream.step import Step
from fasttrpo.stream.stream import Stream
from fasttrpo.training.episodes import Episode, EpisodeStatistics
from fasttrpo.training.watch import infos
from fasttrpo.trpo import TRPO

N_ENVS = 10
LONG = 100_000  # steps of an episode


def evaluate_policy(
    model: Any,
    env: Any,
    n_eval_episodes: int = 10,
    deterministic: bool = True,
    render: bool = False,
    callback: Callable[[dict[str, Any], dict[str, Any]], Any] | None = None,
    reward_threshold: float | None = None,
    return_episode_rewards: bool = False,
    warn: bool = True,
    *,
    seed: int | None = None,
) -> tuple[float, float] | tuple[list[float], list[int]]:
    """Mean and standard deviation of the undiscounted return over exactly `n_eval_episodes`.

    env                     as `TRPO` takes it; an id makes the kind that the model trains in
    deterministic           the policy's mode, or draws from it
    render                  shows each step: `env` is one made with a render_mode
    callback                called with (locals, globals) for each environment after each step;
                            locals has i, reward, done and info of it, and of all env,
                            observations, actions, new_observations, rewards, dones and infos
    reward_threshold        AssertionError unless the mean return is above it
    return_episode_rewards  gives (returns, lengths) of the episodes instead
    warn                    for Stable-Baselines3's scripts; there is nothing to warn of
    seed                    of the environments (None: fresh)

    ValueError if the environment's spaces are not the model's, or if it cannot be rendered. A
    RuntimeWarning tells of an episode that does not end.
    """
    watch = _calls(render, callback)
    played = list(play(model, env, n_eval_episodes, deterministic, seed, watch))
    returns = [episode.total for episode in played]
    mean, std = float(np.mean(returns)), float(np.std(returns))
    if reward_threshold is not None and not mean > reward_threshold:
        raise AssertionError(f"mean reward below threshold: {mean:.2f} <= {reward_threshold:.2f}")
    if return_episode_rewards:
        return returns, [episode.length for episode in played]
    return mean, std


def _calls(render: bool, callback: Any) -> Callable[..., None] | None:
    """What is to be done after each step, if anything: see `play`."""
    if callback is not None and not callable(callback):
        raise UserTypeError(f"callback must be a function (locals, globals), got {callback!r}")
    if not render and callback is None:
        return None

    def watch(env: Any, observations: Any, actions: np.ndarray, step: Step, ended: list) -> None:
        if callback is not None:
            for local in _locals(env, observations, actions, step, ended):
                callback(local, globals())
        if render:
            rendering(env)

    return watch


def _locals(
    env: Any, observations: Any, actions: np.ndarray, step: Step, ended: list[Episode]
) -> Iterator[dict[str, Any]]:
    """What a callback sees of each environment: names as in Stable-Baselines3's loop."""
    told = infos(step, ended)
    common = {
        "env": env,
        "observations": observations,
        "actions": actions,
        "new_observations": step.next_obs,
        "rewards": step.rewards,
        "dones": step.done,
        "infos": told,
    }
    for i, info in enumerate(told):
        reward, done = float(step.rewards[i]), bool(step.done[i])
        yield {**common, "i": i, "reward": reward, "done": done, "info": info}


def rendering(env: Any, *of_step: Any) -> None:
    """Shows the environments as they are; ValueError if they cannot be shown."""
    if getattr(env, "render_mode", None) is None:
        raise UserError(
            "render=True takes an environment that can be rendered, say "
            'gymnasium.make(..., render_mode="human")'
        )
    env.render()


def play(
    model: Any,
    env: Any,
    n_episodes: int,
    deterministic: bool = True,
    seed: int | None = None,
    watch: Callable[..., None] | None = None,
) -> Iterator[Episode]:
    """Yields exactly `n_episodes` finished episodes as they end.

    watch  called with (vector environment, observations, actions, step, episodes ended) after each
           step

    Each of E environments plays its share, fixed beforehand: to take the first ones to end
    would favour short episodes.
    """
    n_episodes = integer(1)("n_eval_episodes", n_episodes)
    seed = optional(integer(0))("seed", seed)
    n_envs = min(n_episodes, N_ENVS) if is_name(env) else 1
    settings = model.settings if isinstance(model, TRPO) else None
    vector_env = make_vector_env(env, n_envs, settings)
    try:
        check_spaces(model, vector_env)
        yield from _play(model, vector_env, n_episodes, deterministic, seed, watch)
    finally:
        if is_name(env):
            vector_env.close()
        _release(model, env)


def check_spaces(model: Any, env: Any) -> None:
    """ValueError names both if they differ; what is no TRPO knows for itself what it takes."""
    if isinstance(model, TRPO):
        own = describe(model.observation_space, model.action_space)
        check_same(own, describe(env.single_observation_space, env.single_action_space))


def _play(
    model: Any, env: Any, n_episodes: int, deterministic: bool, seed: int | None, watch: Any
) -> Iterator[Episode]:
    # Models of others may have none.
    takes_masks = "action_masks" in inspect.signature(model.predict).parameters
    stream = Stream(env)
    stream.reset(seed)
    statistics = EpisodeStatistics(env.num_envs)
    left = [(n_episodes + e) // env.num_envs for e in range(env.num_envs)]
    for row in itertools.count():
        if not any(left):
            break
        masks = {} if stream.masks is None or not takes_masks else {"action_masks": stream.masks}
        obs = stream.obs
        action, _ = model.predict(obs, deterministic=deterministic, **masks)
        step = stream.step(action, row)
        ended = statistics.add(step)
        if watch is not None:
            watch(user_env(env), obs, action, step, ended)
        for episode in ended:
            if left[episode.env]:
                left[episode.env] -= 1
                yield episode
        if row % LONG == LONG - 1:
            _warn_if_endless(statistics.longest)


def _warn_if_endless(steps: int) -> None:
    """Nobody else would tell why an evaluation does not end."""
    if steps >= LONG:  # the same text each time: Python shows it once
        warnings.warn(
            f"evaluation: an episode has taken {LONG} steps so far, and may never end; give the "
            "environment a step limit, say gymnasium.make(..., max_episode_steps=1000)",
            RuntimeWarning,
            stacklevel=4,
        )


def _release(model: Any, env: Any) -> None:
    """If the model trains on this environment, it must not take the episode for its own."""
    own = model.get_env() if hasattr(model, "get_env") else None
    if own is None or not shares(own, env):
        return
    if isinstance(model, TRPO):
        model.interrupt()
    else:
        model.set_env(own)
