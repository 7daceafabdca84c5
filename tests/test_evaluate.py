"""Evaluation plays the given number of episodes, without bias, and changes no model."""

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
    """A model whose actions are all 0."""

    def predict(self, observation, deterministic=False):
        return np.zeros(len(observation), dtype=np.int64), None


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_episodes_are_split_evenly_among_environments(mode):
    """Taking the first seven episodes to end would favour short ones."""
    returns, lengths = evaluate_policy(Model(), counters(mode), 7, return_episode_rewards=True)
    assert sorted(zip(returns, lengths, strict=True)) == [(3.0, 2)] * 4 + [(6.0, 3)] * 3


def test_evaluate_returns_mean_and_standard_deviation():
    mean, std = evaluate_policy(Model(), counters(AutoresetMode.SAME_STEP), 4)
    assert (mean, std) == (4.5, 1.5)


def test_one_environment_and_one_episode():
    assert evaluate_policy(Model(), Counter(4), 1) == (10.0, 0.0)


def test_an_evaluation_with_an_id_and_a_seed_is_repeatable(model):
    first = evaluate_policy(model, "CartPole-v1", 3, return_episode_rewards=True, seed=5)
    second = evaluate_policy(model, "CartPole-v1", 3, return_episode_rewards=True, seed=5)
    assert first == second
    assert len(first[0]) == 3


def test_evaluation_does_not_change_the_model():
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


def test_zero_episodes_are_refused():
    with pytest.raises(ValueError, match="n_eval_episodes must be an integer >= 1, got 0"):
        evaluate_policy(Model(), Counter(), 0)


def test_an_environment_with_other_spaces_is_refused(model):
    with pytest.raises(ValueError, match=r"environment has Box\(.*\(6,\).* made for Box\(.*\(4,\)"):
        evaluate_policy(model, "Acrobot-v1", 1)


def test_negative_seeds_are_refused():
    with pytest.raises(ValueError, match="seed must be an integer >= 0, got -1"):
        evaluate_policy(Model(), Counter(), 1, seed=-1)


# -- arguments of Stable-Baselines3's evaluate_policy ----------------------------------------------


def test_the_callback_is_called_for_each_step_of_each_environment():
    calls = []

    def callback(locals_, globals_):
        calls.append(tuple(locals_[name] for name in ("i", "reward", "done")))
        assert locals_["dones"].shape == locals_["rewards"].shape == (2,)
        assert locals_["new_observations"].shape == locals_["observations"].shape == (2, 1)
        assert ("episode" in locals_["info"]) == locals_["done"]

    evaluate_policy(Model(), counters(AutoresetMode.SAME_STEP), 2, callback=callback, warn=False)
    rows = [(1, 1), (2, 2), (3, 1)]
    ends = [(False, False), (False, True), (True, False)]
    assert calls == [(i, float(rows[t][i]), ends[t][i]) for t in range(3) for i in range(2)]


@pytest.mark.parametrize("threshold", [4.4, 4.5])
def test_a_mean_below_the_threshold_is_an_assertion_error(threshold):
    env = counters(AutoresetMode.SAME_STEP)
    if threshold < 4.5:
        assert evaluate_policy(Model(), env, 2, reward_threshold=threshold) == (4.5, 1.5)
        return
    with pytest.raises(AssertionError, match=r"mean reward below threshold: 4\.50 <= 4\.50"):
        evaluate_policy(Model(), env, 2, reward_threshold=threshold)


class Rendering(Counter):
    """Counts calls of `render`."""

    render_mode = "human"
    n_rendered = 0

    def render(self):
        self.n_rendered += 1


def test_render_is_called_each_step():
    env = Rendering()
    assert evaluate_policy(Model(), env, 2, True, True) == (6.0, 0.0)  # by position, as in SB3
    assert env.n_rendered == 6
    callback = EvalCallback(env, n_eval_episodes=1, eval_freq=8, render=True, verbose=0)
    small_model(Counter(), n_steps=8).learn(8, callback=callback)
    assert env.n_rendered == 9
    with pytest.raises(ValueError, match=r'render_mode="human"'):
        evaluate_policy(Model(), Counter(), 1, render=True)


def test_an_endless_episode_warns(monkeypatch):
    monkeypatch.setattr("fasttrpo.evaluate.LONG", 10)
    with pytest.warns(RuntimeWarning, match="an episode has lasted 10 steps"):
        evaluate_policy(Model(), Counter(15), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate_policy(Model(), Counter(9), 3)
