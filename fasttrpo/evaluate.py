"""How good a policy is: full episodes, with everything that learns held still."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from fasttrpo.collect import Episode, EpisodeStatistics
from fasttrpo.environments import Stream, as_vector_env, is_name, shares
from fasttrpo.spaces import check_same, describe
from fasttrpo.trpo import TRPO, making
from fasttrpo.values import integer, optional

N_ENVS = 10


def evaluate_policy(
    model: Any,
    env: Any,
    n_eval_episodes: int = 10,
    deterministic: bool = True,
    return_episode_rewards: bool = False,
    seed: int | None = None,
) -> tuple[float, float] | tuple[list[float], list[int]]:
    """Mean and standard deviation of the undiscounted return over exactly `n_eval_episodes`.

    env                     as `TRPO` takes it; an id makes the kind that the model trains in
    deterministic           the policy's mode, or draws from it
    return_episode_rewards  gives (returns, lengths) of the episodes instead
    seed                    of the environments (None: fresh)

    ValueError if the environment's spaces are not the model's.
    """
    played = list(play(model, env, n_eval_episodes, deterministic, seed))
    returns = [episode.total for episode in played]
    if return_episode_rewards:
        return returns, [episode.length for episode in played]
    return float(np.mean(returns)), float(np.std(returns))


def play(
    model: Any,
    env: Any,
    n_episodes: int,
    deterministic: bool = True,
    seed: int | None = None,
) -> Iterator[Episode]:
    """Yields exactly `n_episodes` finished episodes as they end.

    Each of E environments plays its share, fixed beforehand: to take the first ones to end
    would favour short episodes.
    """
    n_episodes = integer(1)("n_eval_episodes", n_episodes)
    seed = optional(integer(0))("seed", seed)
    n_envs = min(n_episodes, N_ENVS) if is_name(env) else 1
    vector_env = as_vector_env(env, n_envs, **_making(model))
    try:
        _check_spaces(model, vector_env)
        yield from _play(model, vector_env, n_episodes, deterministic, seed)
    finally:
        if is_name(env):
            vector_env.close()
        _release(model, env)


def _making(model: Any) -> dict[str, Any]:
    return making(model.settings) if isinstance(model, TRPO) else {}


def _check_spaces(model: Any, env: Any) -> None:
    """ValueError names both if they differ; what is no TRPO knows for itself what it takes."""
    if isinstance(model, TRPO):
        own = describe(model.observation_space, model.action_space)
        check_same(own, describe(env.single_observation_space, env.single_action_space))


def _play(
    model: Any, env: Any, n_episodes: int, deterministic: bool, seed: int | None
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
        action, _ = model.predict(stream.obs, deterministic=deterministic, **masks)
        for episode in statistics.add(stream.step(action, row)):
            if left[episode.env]:
                left[episode.env] -= 1
                yield episode


def _release(model: Any, env: Any) -> None:
    """If the model trains on this environment, it must not take the episode for its own."""
    own = model.get_env() if hasattr(model, "get_env") else None
    if own is not None and shares(own, env):
        model.set_env(own)
