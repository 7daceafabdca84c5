"""Evaluates a policy over full episodes, in which nothing is learnt."""

from __future__ import annotations

import inspect
import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fasttrpo.checks.values import integer, optional
from fasttrpo.errors import UserError, UserTypeError
from fasttrpo.protocols import Predictor
from fasttrpo.sb3.convert import vector_env as make_vector_env
from fasttrpo.spaces import check_same, describe
from fasttrpo.stream.make import is_name, shares, user_env
from fasttrpo.stream.step import Step
from fasttrpo.stream.stream import Stream
from fasttrpo.training.episodes import Episode, EpisodeStatistics
from fasttrpo.training.watch import infos
from fasttrpo.trpo import TRPO

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv

    from fasttrpo.protocols import EnvLike

N_ENVS = 10
LONG = 100_000  # steps of an episode


def evaluate_policy(
    model: Predictor,
    env: EnvLike,
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

    env                     as `TRPO` accepts it; an id makes the kind that the model trains in
    deterministic           use the policy's mode instead of samples
    render                  renders each step: `env` must have been made with a render_mode
    callback                called with (locals, globals) for each environment after each step;
                            locals has the environment's i, reward, done and info, and for all env,
                            observations, actions, new_observations, rewards, dones and infos
    reward_threshold        raises AssertionError unless the mean return is above it
    return_episode_rewards  returns (returns, lengths) of the episodes instead
    warn                    no effect; for SB3 scripts
    seed                    of the environments (None: random)

    Raises ValueError if the environment's spaces differ from the model's, or if it cannot be
    rendered. Warns if an episode does not end.
    """
    watch = _watch(render, callback)
    played = list(play(model, env, n_eval_episodes, deterministic, seed, watch))
    returns = [episode.total for episode in played]
    mean, std = float(np.mean(returns)), float(np.std(returns))
    if reward_threshold is not None and not mean > reward_threshold:
        raise AssertionError(f"mean reward below threshold: {mean:.2f} <= {reward_threshold:.2f}")
    if return_episode_rewards:
        return returns, [episode.length for episode in played]
    return mean, std


def _watch(render: bool, callback: Any) -> Callable[..., None] | None:
    """What `play` calls after each step, if anything."""
    if callback is not None and not callable(callback):
        raise UserTypeError(f"callback must be a function (locals, globals), got {callback!r}")
    if not render and callback is None:
        return None

    def watch(env: Any, observations: Any, actions: np.ndarray, step: Step, ended: list) -> None:
        if callback is not None:
            for local in _locals(env, observations, actions, step, ended):
                callback(local, globals())
        if render:
            render_step(env)

    return watch


def _locals(
    env: Any, observations: Any, actions: np.ndarray, step: Step, ended: list[Episode]
) -> Iterator[dict[str, Any]]:
    """What a callback sees of each environment: names as in SB3's loop."""
    each = infos(step, ended)
    common = {
        "env": env,
        "observations": observations,
        "actions": actions,
        "new_observations": step.next_obs,
        "rewards": step.rewards,
        "dones": step.done,
        "infos": each,
    }
    for i, info in enumerate(each):
        reward, done = float(step.rewards[i]), bool(step.done[i])
        yield {**common, "i": i, "reward": reward, "done": done, "info": info}


def render_step(env: Any, *of_step: Any) -> None:
    """Renders the environments; ValueError if they cannot be rendered."""
    if getattr(env, "render_mode", None) is None:
        raise UserError(
            "render=True requires an environment with a render_mode, say "
            'gymnasium.make(..., render_mode="human")'
        )
    env.render()


def play(
    model: Predictor,
    env: EnvLike,
    n_episodes: int,
    deterministic: bool = True,
    seed: int | None = None,
    watch: Callable[..., None] | None = None,
) -> Iterator[Episode]:
    """Yields exactly `n_episodes` finished episodes as they end.

    watch  called with (vector environment, observations, actions, step, episodes ended) after each
           step

    Each of E environments plays a fixed share of them: taking the first episodes that end would
    favour short ones.
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


def check_spaces(model: Predictor, env: VectorEnv) -> None:
    """Raises ValueError with both spaces if they differ; models of other classes check them."""
    if isinstance(model, TRPO):
        own = describe(model.observation_space, model.action_space)
        check_same(own, describe(env.single_observation_space, env.single_action_space))


def _play(
    model: Predictor,
    env: VectorEnv,
    n_episodes: int,
    deterministic: bool,
    seed: int | None,
    watch: Callable[..., None] | None,
) -> Iterator[Episode]:
    # Models of other classes may not have the argument.
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
    """Warns of an episode that may be the reason why an evaluation does not end."""
    if steps >= LONG:  # Python shows the same text once
        warnings.warn(
            f"evaluation: an episode has taken {LONG} steps so far, and may never end; set a "
            "step limit, say gymnasium.make(..., max_episode_steps=1000)",
            RuntimeWarning,
            stacklevel=4,
        )


def _release(model: Any, env: Any) -> None:
    """Makes a model that trains on this environment reset it before it continues."""
    own = model.get_env() if hasattr(model, "get_env") else None
    if own is None or not shares(own, env):
        return
    if isinstance(model, TRPO):
        model.interrupt()
    else:
        model.set_env(own)
