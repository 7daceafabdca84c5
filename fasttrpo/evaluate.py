"""Evaluates a policy over complete episodes, without learning."""

from __future__ import annotations

import inspect
import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from fasttrpo.checks.values import integer, optional
from fasttrpo.errors import UserError, UserTypeError
from fasttrpo.protocols import Predictor
from fasttrpo.sb3.convert import vector_env as make_vector_env
from fasttrpo.spaces import check_same, describe
from fasttrpo.stream.make import is_maker, shares, user_env
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
StepCallback = Callable[[dict[str, Any], dict[str, Any]], Any]


@overload
def evaluate_policy(
    model: Predictor,
    env: EnvLike,
    n_eval_episodes: int = ...,
    deterministic: bool = ...,
    render: bool = ...,
    callback: StepCallback | None = ...,
    reward_threshold: float | None = ...,
    return_episode_rewards: Literal[False] = ...,
    warn: bool = ...,
    *,
    seed: int | None = ...,
) -> tuple[float, float]: ...


@overload
def evaluate_policy(
    model: Predictor,
    env: EnvLike,
    n_eval_episodes: int = ...,
    deterministic: bool = ...,
    render: bool = ...,
    callback: StepCallback | None = ...,
    reward_threshold: float | None = ...,
    *,
    return_episode_rewards: Literal[True],
    warn: bool = ...,
    seed: int | None = ...,
) -> tuple[list[float], list[int]]: ...


def evaluate_policy(
    model: Predictor,
    env: EnvLike,
    n_eval_episodes: int = 10,
    deterministic: bool = True,
    render: bool = False,
    callback: StepCallback | None = None,
    reward_threshold: float | None = None,
    return_episode_rewards: bool = False,
    warn: bool = True,
    *,
    seed: int | None = None,
) -> tuple[float, float] | tuple[list[float], list[int]]:
    """Mean and standard deviation of the undiscounted return over exactly `n_eval_episodes`.

    env                     whatever `TRPO` accepts; an id, a class or a function with the model's
                            `env_backend` and `env_kwargs`
    deterministic           use the policy's mode instead of samples
    render                  render each step; `env` must have a render_mode
    callback                called with (locals, globals) after each step, once per environment;
                            locals has i, reward, done and info of that environment, and env,
                            observations, actions, new_observations, rewards, dones and infos of all
    reward_threshold        raise AssertionError unless the mean return exceeds it
    return_episode_rewards  return the lists (returns, lengths) of the episodes instead
    warn                    no effect; for SB3 scripts
    seed                    seed of the environments (None: random)

    Raises ValueError if the environment's spaces differ from the model's, or if it cannot be
    rendered. Warns about an episode that seems never to end.
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
    """The function that `play` calls after each step, or None."""
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
    """A callback's `locals` for each environment, named as in SB3's loop."""
    each = infos(step, ended)
    common = {
        "env": env,
        "observations": observations,
        "actions": actions,
        "new_observations": step.next_obs,
        "rewards": step.rewards,
        "dones": step.done.copy(),
        "infos": each,
    }
    for i, info in enumerate(each):
        reward, done = float(step.rewards[i]), bool(step.done[i])
        yield {**common, "i": i, "reward": reward, "done": done, "info": info}


def render_step(env: Any, *of_step: Any) -> None:
    """Renders the environments; raises ValueError if they have no render_mode."""
    if getattr(env, "render_mode", None) is None:
        raise UserError(
            "render=True requires an environment with a render_mode, for example "
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

    Each environment plays a fixed share of them: taking the first episodes to end would favour
    short ones. Ten environments in parallel, because all are stepped until the last one has played
    its share: with more, episodes of unequal length cost more steps.
    """
    n_episodes = integer(1)("n_eval_episodes", n_episodes)
    seed = optional(integer(0))("seed", seed)
    settings = model.settings if isinstance(model, TRPO) else None
    n_envs = n_envs_for(env, n_episodes)
    vector_env = make_vector_env(env, n_envs, settings)
    try:
        check_spaces(model, vector_env)
        yield from _play(model, vector_env, n_episodes, deterministic, seed, watch)
    finally:
        if is_maker(env):
            vector_env.close()
        _release(model, env)


def n_envs_for(env: EnvLike, n_episodes: int) -> int:
    """How many environments to make from `env` for an evaluation; 1 if it exists already."""
    return min(n_episodes, N_ENVS) if is_maker(env) else 1


def check_spaces(model: Predictor, env: VectorEnv) -> None:
    """Raises ValueError if the spaces differ. Models of other classes check them themselves."""
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
    # Models of other classes may lack this argument.
    accepts_masks = "action_masks" in inspect.signature(model.predict).parameters
    stream = Stream(env)
    stream.reset(seed)
    statistics = EpisodeStatistics(env.num_envs)
    left = [(n_episodes + e) // env.num_envs for e in range(env.num_envs)]
    for row in itertools.count():
        if not any(left):
            break
        has_masks = accepts_masks and stream.masks is not None
        masks = {"action_masks": stream.masks} if has_masks else {}
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
    """Warns about an episode that may keep the evaluation from ending."""
    if steps >= LONG:  # Python shows the same text once
        warnings.warn(
            f"evaluation: an episode has lasted {LONG} steps and may never end; set a step limit, "
            "for example gymnasium.make(..., max_episode_steps=1000)",
            RuntimeWarning,
            stacklevel=4,
        )


def _release(model: Any, env: Any) -> None:
    """If the model trains in `env`, makes it reset that before it continues."""
    own = model.get_env() if hasattr(model, "get_env") else None
    if own is None or not shares(own, env):
        return
    if isinstance(model, TRPO):
        model.interrupt()
    else:
        model.set_env(own)
