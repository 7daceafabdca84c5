"""Evaluation: exactly as many episodes as asked, without bias, and nothing learns from it."""

from __future__ import annotations

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from helpers import Counter, counters, insides, same_state, small_model

from fasttrpo import evaluate_policy
from fasttrpo.callbacks import EvalCallback


class Model:
    """Does nothing in particular."""

    def predict(self, observation, deterministic=False):
        return np.zeros(len(observation), dtype=np.int64), None


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_each_environment_plays_its_share(mode):
    """Of seven episodes, counter 1 plays the odd one: to take the first ones to end would not."""
    returns, lengths = evaluate_policy(Model(), counters(mode), 7, return_episode_rewards=True)
    assert sorted(zip(returns, lengths, strict=True)) == [(3.0, 2)] * 4 + [(6.0, 3)] * 3


def test_mean_and_deviation():
    mean, std = evaluate_policy(Model(), counters(AutoresetMode.SAME_STEP), 4)
    assert (mean, std) == (4.5, 1.5)


def test_one_environment_and_one_episode():
    assert evaluate_policy(Model(), Counter(4), 1) == (10.0, 0.0)


def test_an_id_and_a_seed_repeat(model):
    first = evaluate_policy(model, "CartPole-v1", 3, return_episode_rewards=True, seed=5)
    again = evaluate_policy(model, "CartPole-v1", 3, return_episode_rewards=True, seed=5)
    assert first == again
    assert len(first[0]) == 3


def test_nothing_learns_from_an_evaluation():
    model = small_model(normalize_observations=True, normalize_rewards=True).learn(64)
    twin = small_model(normalize_observations=True, normalize_rewards=True).learn(64)
    evaluate_policy(model, "CartPole-v1", 5)
    assert same_state(model, twin)
    assert model.num_timesteps == twin.num_timesteps


def test_the_training_environment_is_reset_afterwards():
    env = gymnasium.make("CartPole-v1")
    model = small_model(env).learn(16)
    evaluate_policy(model, env, 2)
    assert insides(model).stream.obs is None
    model.learn(16, reset_num_timesteps=False)
    evaluate_policy(model, model.get_env(), 2)
    model.learn(16, reset_num_timesteps=False)
    assert model.num_timesteps == 48


def test_no_episodes():
    with pytest.raises(ValueError, match="n_eval_episodes must be an integer >= 1, got 0"):
        evaluate_policy(Model(), Counter(), 0)


def test_another_environments_spaces(model):
    with pytest.raises(ValueError, match=r"environment has Box\(.*\(6,\).* made for Box\(.*\(4,\)"):
        evaluate_policy(model, "Acrobot-v1", 1)


def test_seeds_below_zero():
    with pytest.raises(ValueError, match="seed must be an integer >= 0, got -1"):
        evaluate_policy(Model(), Counter(), 1, seed=-1)


# -- as Stable-Baselines3's function of that name --------------------------------------------------


def test_a_callback_sees_each_environment_s_step():
    seen = []

    def callback(locals_, globals_):
        seen.append(tuple(locals_[name] for name in ("i", "reward", "done")))
        assert locals_["dones"].shape == locals_["rewards"].shape == (2,)
        assert locals_["new_observations"].shape == locals_["observations"].shape == (2, 1)
        assert ("episode" in locals_["info"]) == locals_["done"]

    evaluate_policy(Model(), counters(AutoresetMode.SAME_STEP), 2, callback=callback, warn=False)
    rows = [(1, 1), (2, 2), (3, 1)]
    ends = [(False, False), (False, True), (True, False)]
    assert seen == [(i, float(rows[t][i]), ends[t][i]) for t in range(3) for i in range(2)]


@pytest.mark.parametrize("threshold", [4.4, 4.5])
def test_a_mean_below_the_threshold_is_an_assertion_error(threshold):
    env = counters(AutoresetMode.SAME_STEP)
    if threshold < 4.5:
        assert evaluate_policy(Model(), env, 2, reward_threshold=threshold) == (4.5, 1.5)
        return
    with pytest.raises(AssertionError, match=r"mean reward below threshold: 4\.50 <= 4\.50"):
        evaluate_policy(Model(), env, 2, reward_threshold=threshold)


class Drawn(Counter):
    """Counts how often it is drawn."""

    render_mode = "human"
    drawn = 0

    def render(self):
        self.drawn += 1


def test_rendering():
    env = Drawn()
    assert evaluate_policy(Model(), env, 2, True, True) == (6.0, 0.0)  # by position, as there
    assert env.drawn == 6
    callback = EvalCallback(env, n_eval_episodes=1, eval_freq=8, render=True, verbose=0)
    small_model(Counter(), n_steps=8).learn(8, callback=callback)
    assert env.drawn == 9
    with pytest.raises(ValueError, match=r'takes an environment .* render_mode="human"'):
        evaluate_policy(Model(), Counter(), 1, render=True)


def test_an_episode_without_an_end_is_told(monkeypatch):
    monkeypatch.setattr("fasttrpo.evaluate.LONG", 10)
    with pytest.warns(RuntimeWarning, match="an episode has taken 10 steps so far, and may never"):
        evaluate_policy(Model(), Counter(15), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate_policy(Model(), Counter(9), 3)
