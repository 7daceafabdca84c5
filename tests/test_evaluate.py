"""Evaluation: exactly as many episodes as asked, without bias, and nothing learns from it."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from helpers import Counter, counters, same_state, small_model

from fasttrpo import evaluate_policy


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
    assert model._stream.obs is None
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
