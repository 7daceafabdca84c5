"""Compiled environments match Gymnasium's: physics, spaces, limits, resets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from tables import table

pytest.importorskip("fasttrpo.core._envs", reason="this installation has no compiled environments")

from fasttrpo.envs import CompiledVectorEnv
from fasttrpo.envs.classic import IDS

PI = np.pi


class Case(NamedTuple):
    """What the tests need to know about an environment."""

    spread: tuple[float, ...]
    """random states are uniform in [-spread, spread]"""
    see: Callable[[Any], Any]
    """the observation of a state, in float64"""
    act: Callable[[Any], int | float]
    """a reasonable policy: the action for a state"""
    tolerance: float = 1e-12
    """of one step: rounding, or float32's where Gymnasium keeps its state in float32"""


CASES = {
    "CartPole-v1": Case((2.5, 3, 0.22, 3), lambda s: s, lambda s: s[2] + 0.3 * s[3] > 0),
    "Acrobot-v1": Case(
        (PI, PI, 4 * PI, 9 * PI),
        lambda s: (np.cos(s[0]), np.sin(s[0]), np.cos(s[1]), np.sin(s[1]), s[2], s[3]),
        lambda s: 2 * (s[2] > 0),
    ),
    "MountainCar-v0": Case((1.2, 0.07), lambda s: s, lambda s: 2 * (s[1] > 0)),
    "MountainCarContinuous-v0": Case((1.2, 0.07), lambda s: s, lambda s: s[1] / 0.07, 3e-8),
    "Pendulum-v1": Case(
        (3 * PI, 8), lambda s: (np.cos(s[0]), np.sin(s[0]), s[1]), lambda s: 2 * np.sin(s[1])
    ),
}


def compiled(env_id, num_envs=1, **keywords):
    return CompiledVectorEnv(env_id, num_envs, **keywords)


def numbers(env):
    """(E, ...) the states as a view of the environments' memory."""
    return env.states.view(np.float64)


def set_states(env, states):
    numbers(env)[:] = states
    env.observe()


def set_gymnasium_state(env, state):
    env.state = np.array(state, np.float64)
    if hasattr(env, "steps_beyond_terminated"):
        env.steps_beyond_terminated = None


def make_gymnasium(env_id, **keywords):
    """Gymnasium's environment without wrappers, reset."""
    env = gymnasium.make(env_id, **keywords).unwrapped
    env.reset(seed=0)
    return env


def to_gymnasium_action(env, action):
    """In float64, so that Gymnasium computes in float64."""
    is_choice = isinstance(env.action_space, gymnasium.spaces.Discrete)
    return int(action) if is_choice else np.array([action], np.float64)


def random_states(case, n, rng):
    return rng.uniform(-1, 1, (n, len(case.spread))) * case.spread


def random_actions(env_id, n, rng):
    """(n,) within the bounds."""
    space = make_gymnasium(env_id).action_space
    if isinstance(space, gymnasium.spaces.Discrete):
        return rng.integers(0, space.n, n)
    return rng.uniform(space.low[0], space.high[0], n)


def batched(env, actions):
    is_box = isinstance(env.single_action_space, gymnasium.spaces.Box)
    return np.asarray(actions, np.float64 if is_box else np.int64).reshape(env.action_space.shape)


def single_steps(env_id, states, actions, **keywords):
    """Gymnasium's next observations (float64), rewards and terminated, one step from each state."""
    case, env = CASES[env_id], make_gymnasium(env_id, **keywords)
    rows = []
    for state, action in zip(states, actions, strict=True):
        set_gymnasium_state(env, state)
        _, reward, terminated, _, _ = env.step(to_gymnasium_action(env, action))
        rows.append((case.see(env.state), float(reward), terminated))
    obs, rewards, terminated = zip(*rows, strict=True)
    return np.array(obs, np.float64), np.array(rewards), np.array(terminated)


def check_single_steps(env_id, n, **keywords):
    case, rng = CASES[env_id], np.random.default_rng(1)
    states, actions = random_states(case, n, rng), random_actions(env_id, n, rng)
    env = compiled(env_id, n, autoreset_mode="Disabled", **keywords)
    set_states(env, states)
    _, rewards, terminated, _, _ = env.step(batched(env, actions))
    expected = single_steps(env_id, states, actions, **keywords)
    np.testing.assert_allclose(env.envs_in_c.obs, expected[0], 0, case.tolerance * 30)
    np.testing.assert_allclose(rewards, expected[1], case.tolerance, case.tolerance)
    np.testing.assert_array_equal(terminated, expected[2])
    return terminated


@table("env_id", CASES)
def test_steps_from_random_states_match_gymnasium(env_id):
    terminated = check_single_steps(env_id, 3_000)
    assert terminated.any() == (env_id != "Pendulum-v1")


@table(
    ("env_id", "keywords"),
    [
        ("CartPole-v1", {"sutton_barto_reward": True}),
        ("MountainCar-v0", {"goal_velocity": 0.05}),
        ("MountainCarContinuous-v0", {"goal_velocity": 0.05}),
        ("Pendulum-v1", {"g": 3.7}),
    ],
)
def test_keyword_arguments_match_gymnasium(env_id, keywords):
    check_single_steps(env_id, 500, **keywords)
    usual = compiled(env_id).envs_in_c.options
    assert compiled(env_id, **keywords).envs_in_c.options != usual


def starts(env_id, n, rng):
    """Initial states of episodes: Gymnasium's resets, perturbed."""
    env = make_gymnasium(env_id)
    found = []
    for seed in range(n):
        env.reset(seed=seed)
        found.append(np.array(env.state, np.float64) * rng.uniform(0.5, 1.5))
    return np.array(found)


def episode(env_id, state, rng, limit):
    """Gymnasium's episode from a state: actions, observations, rewards, terminated.

    Two of three actions are the reasonable policy's, the others random.
    """
    case, env = CASES[env_id], make_gymnasium(env_id)
    set_gymnasium_state(env, state)
    rows = []
    for random in random_actions(env_id, limit, rng):
        action = random if rng.random() < 1 / 3 else case.act(env.state)
        if env_id == "MountainCarContinuous-v0":
            action = float(np.clip(action, -1, 1))
        before = np.array(env.state, np.float64)
        _, reward, terminated, _, _ = env.step(to_gymnasium_action(env, action))
        rows.append((before, action, case.see(env.state), float(reward), terminated))
        if terminated:
            break
    return [np.array(column, np.float64) for column in zip(*rows, strict=True)]


INJECTION = 50  # steps; unstable simulations amplify a difference in a sine's last bit


@table("env_id", CASES)
def test_complete_episodes_match_gymnasium(env_id):
    rng, limit = np.random.default_rng(2), compiled(env_id).max_episode_steps
    lengths = []
    for state in starts(env_id, 3, rng):
        states, actions, obs, rewards, terminated = episode(env_id, state, rng, limit)
        env = compiled(env_id, autoreset_mode="Disabled")
        set_states(env, [state])
        for t, action in enumerate(actions):
            if t % INJECTION == 0:
                numbers(env)[:] = states[t]
            _, reward, term, trunc, _ = env.step(batched(env, [action]))
            np.testing.assert_allclose(env.envs_in_c.obs[0], obs[t], 0, 1e-5)
            np.testing.assert_allclose(reward, rewards[t], 0, 1e-5)
            assert (term[0], trunc[0]) == (terminated[t], t + 1 == limit)
        lengths.append(t + 1)
        np.testing.assert_allclose(env.envs_in_c.episode_return, rewards[: t + 1].sum(), 1e-5)
        assert env.envs_in_c.episode_length == t + 1
    assert np.mean(lengths) >= 50, "the episodes are too short to prove anything"


@table("env_id", CASES)
def test_spaces_limit_and_threshold_match_gymnasium(env_id):
    env, spec = compiled(env_id, 3), gymnasium.spec(env_id)
    other = SyncVectorEnv([lambda: gymnasium.make(env_id)] * 3)
    for name in ("single_observation_space", "single_action_space"):
        assert getattr(env, name) == getattr(other, name)
        assert getattr(env, name).dtype == getattr(other, name).dtype
    assert env.observation_space == other.observation_space
    assert env.action_space == other.action_space
    assert env.max_episode_steps == spec.max_episode_steps
    threshold = np.nan if spec.reward_threshold is None else spec.reward_threshold
    np.testing.assert_equal(env.reward_threshold, threshold)
    assert list(CASES) == list(IDS)


@table("env_id", CASES)
def test_the_step_limit_truncates(env_id):
    """From a state at rest, which never terminates."""
    env = compiled(env_id, 2, autoreset_mode="Disabled")
    env.reset(seed=0)
    limit, at_rest = env.max_episode_steps, numbers(env).copy() * 0
    at_rest[:, 0] = -PI / 6 if env_id.startswith("MountainCar") else 0
    set_states(env, at_rest)
    for t in range(1, limit + 1):
        kept = numbers(env).copy()
        _, _, term, trunc, _ = env.step(batched(env, np.full(2, 1 if "Con" not in env_id else 0)))
        if env_id == "CartPole-v1":
            numbers(env)[:] = kept
        assert not term.any()
        assert (trunc == (t == limit)).all()


def smirnov(a, b):
    """The two-sample Kolmogorov-Smirnov statistic, in units of its spread."""
    both = np.concatenate([a, b])
    gap = [np.searchsorted(np.sort(x), both, "right") / len(x) for x in (a, b)]
    return np.abs(gap[0] - gap[1]).max() / np.sqrt(1 / len(a) + 1 / len(b))


def gymnasium_resets(env_id, n, options):
    env = make_gymnasium(env_id)
    env.reset(seed=11)
    rows = []
    for _ in range(n):
        env.reset(options=options)
        rows.append(np.array(env.state, np.float64))
    return np.array(rows)


@table("options", [False, True], ids=["usual", "options"])
@table("env_id", CASES)
def test_resets_have_the_distribution_of_gymnasium(env_id, options):
    bounds = {"low": -0.5, "high": -0.45} if "Car" in env_id else {"low": -0.3}
    bounds = {"x_init": 0.3, "y_init": 0.2} if env_id == "Pendulum-v1" else bounds
    options = bounds if options else None
    env = compiled(env_id, 4_000)
    env.reset(seed=5, options=options)
    ours, theirs = numbers(env), gymnasium_resets(env_id, 4_000, options)
    for i in range(ours.shape[1]):
        assert smirnov(ours[:, i], theirs[:, i]) < 2.2  # exceeded once in 10,000
    if env_id not in ("MountainCar-v0", "MountainCarContinuous-v0"):
        correlations = np.corrcoef(ours.T) - np.eye(ours.shape[1])
        assert np.abs(correlations).max() < 4 / np.sqrt(len(ours))


def test_reset_options_apply_to_one_reset_only():
    env = compiled("CartPole-v1", 100, max_episode_steps=1)
    obs, _ = env.reset(seed=0, options={"low": 0.2, "high": 0.3})
    assert ((obs >= 0.2) & (obs < 0.3)).all()
    obs, *_ = env.step(np.zeros(100, int))  # autoreset
    assert (np.abs(obs) <= 0.05).all()
    with pytest.raises(ValueError, match="Lower bound"):
        env.reset(options={"low": 1.0})
    with pytest.raises(TypeError, match="did you mean 'high'"):
        env.reset(options={"hihg": 1.0})


@table("env_id", CASES)
def test_infos_and_flags_match_sync_vector_env(env_id):
    """With the same initial states and actions, until the first episodes end."""
    rng, limit = np.random.default_rng(3), 40
    makers = [lambda: gymnasium.make(env_id, max_episode_steps=limit)] * 3
    theirs = SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)
    ours = compiled(env_id, 3, max_episode_steps=limit)
    theirs.reset(seed=0), ours.reset(seed=0)
    first = starts(env_id, 3, rng)
    set_states(ours, first)
    for env, state in zip(theirs.envs, first, strict=True):
        set_gymnasium_state(env.unwrapped, state)
    actions = random_actions(env_id, limit * 3, rng).reshape(limit, 3)
    for t in range(limit):
        a, b = (env.step(batched(env, actions[t])) for env in (ours, theirs))
        for mine, other in zip(a[1:4], b[1:4], strict=True):
            np.testing.assert_allclose(mine, other, 1e-5, 1e-5)
            assert mine.dtype == other.dtype
        assert a[0].dtype == b[0].dtype
        assert a[4].keys() == b[4].keys()
        if a[4]:
            break
        np.testing.assert_allclose(a[0], b[0], 1e-5, 1e-5)
    ended = a[2] | a[3]
    assert ended.any()
    check_same_infos(a[4], b[4], ended)


def check_same_infos(ours, theirs, ended):
    np.testing.assert_array_equal(ours["_final_obs"], theirs["_final_obs"])
    np.testing.assert_array_equal(ours["_final_info"], theirs["_final_info"])
    np.testing.assert_array_equal(ours["_final_obs"], ended)
    assert ours["final_info"] == theirs["final_info"]
    for mine, other, over in zip(ours["final_obs"], theirs["final_obs"], ended, strict=True):
        assert (mine is None) == (other is None) == (not over)
        if over:
            np.testing.assert_allclose(mine, other, 1e-5, 1e-5)
            assert mine.dtype == other.dtype
