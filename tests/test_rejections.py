"""Warnings after many consecutive rejected updates: once per streak, with cause and remedy."""

from __future__ import annotations

import re
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from helpers import insides

from fasttrpo import TRPO
from fasttrpo.training.rejections import N_REJECTED, Rejections


class Scaled(gymnasium.Env):
    """Observations and rewards of chosen magnitudes."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Box(-1, 1, (1,))

    def __init__(self, obs: float = 1.0, reward: float = 1.0) -> None:
        self.scale = obs, reward

    def observe(self):
        return self.np_random.uniform(-1, 1, 2) * self.scale[0]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observe(), {}

    def step(self, action):
        return (
            self.observe(),
            float(action[0]) * self.scale[1],
            False,
            self.np_random.random() < 0.1,
            {},
        )


def train(env, updates=12, **keywords):
    """A model after this number of updates, and its warnings about rejections."""
    kwargs = dict(n_steps=16, seed=0, policy_kwargs={"net_arch": [4]}) | keywords
    model = TRPO("MlpPolicy", env, **kwargs)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.learn(16 * updates)
    texts = [str(each.message) for each in caught if "updates in a row" in str(each.message)]
    assert np.isfinite(model.theta).all()
    assert np.isfinite(model.value_theta).all()
    return model, texts


@pytest.mark.parametrize(
    ("env", "keywords", "words"),
    [
        (Scaled(reward=1e300), {}, r"loss of inf .* normalize_rewards=True"),
        (Scaled(), dict(critic="adam", learning_rate=1e300), "diverged .* lower learning_rate"),
    ],
    ids=["rewards", "critic"],
)
def test_a_streak_of_rejected_updates_warns_with_its_cause(env, keywords, words):
    model, texts = train(env, **keywords)
    assert model.records[-1]["outcome"] != 0
    assert len(texts) == 1
    assert re.search(words, texts[0])


def test_a_warning_names_huge_observations():
    model, texts = train(Scaled(obs=1e30))
    rejected = [record["outcome"] != 0 for record in model.records]
    assert len(texts) == all(rejected[:10])
    if texts:
        assert "Observations are as large as" in texts[0]
        assert "normalize_observations=True" in texts[0]


def test_each_streak_warns_once():
    model, rejections = TRPO("MlpPolicy", Scaled(), n_steps=8, seed=0).learn(8), Rejections()

    def add(times, **changes):
        bad = {"outcome": 1, "rejected": "kl", "iteration": 1}
        record = model.records[-1] | bad | changes
        for _ in range(times):
            rejections.check(record, model.settings, insides(model).agent, lambda: None)

    with pytest.warns(
        UserWarning, match=f"^{N_REJECTED} updates in .* too long for cg_da"
    ) as warned:
        add(3 * N_REJECTED)
    assert len(warned) == 1
    add(1, outcome=0)
    with pytest.warns(UserWarning, match="updates in a row"):
        add(N_REJECTED)
