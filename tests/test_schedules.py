"""Settings that depend on the remaining progress."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import Pointer, same_state, small_model
from tables import table

from fasttrpo import TRPO


def budgets(model):
    return [record["target_kl"] for record in model.records]


def test_linear_starts_at_the_default_and_stays_positive():
    model = small_model(target_kl="linear").learn(256)
    np.testing.assert_allclose(budgets(model), [0.01, 0.0075, 0.005, 0.0025])
    assert all(r["kl"] <= r["target_kl"] * (1 + 1e-6) for r in model.records)


def test_linear_may_start_at_another_number():
    model = small_model(target_kl="linear_0.02").learn(128)
    np.testing.assert_allclose(budgets(model), [0.02, 0.01])


def test_a_schedule_uses_the_units_of_kl_reduction():
    """Pointer has two action components, so the mean's budget is half of the sum's."""
    mean = small_model(Pointer(), target_kl="linear_0.02", kl_reduction="mean", cg_damping=0.05)
    summed = small_model(Pointer(), target_kl="linear_0.04", cg_damping=0.1)
    assert same_state(mean.learn(64), summed.learn(64))
    np.testing.assert_allclose(budgets(summed), [0.04, 0.03, 0.02, 0.01])


def test_a_schedule_may_be_a_function():
    progress = []

    def schedule(remaining):
        progress.append(remaining)
        return 0.001 + 0.01 * remaining**2

    model = small_model(target_kl=schedule).learn(256)
    np.testing.assert_allclose(budgets(model), [0.001 + 0.01 * p**2 for p in (1, 0.75, 0.5, 0.25)])
    assert set(progress) == {1.0, 0.75, 0.5, 0.25}
    assert same_state(model, small_model(target_kl=schedule).learn(256))


def test_a_constant_function_equals_the_constant():
    settings = {"critic": "adam", "learning_rate": lambda remaining: 0.004}
    model = small_model(target_kl=lambda remaining: 0.02, **settings).learn(256)
    constant = small_model(target_kl=0.02, critic="adam", learning_rate=0.004).learn(256)
    assert same_state(model, constant)


def test_the_learning_rate_is_recorded_if_it_is_used():
    model = small_model(critic="adam", learning_rate="linear").learn(128)
    assert [r["learning_rate"] for r in model.records] == [1e-3, 5e-4]
    assert "learning_rate" not in small_model().learn(64).records[-1]


def test_continued_training_counts_all_its_steps():
    model = small_model(target_kl="linear").learn(64)
    model.learn(64, reset_num_timesteps=False)
    np.testing.assert_allclose(budgets(model), [0.01, 0.01 * (1 - 64 / 128)])


def test_named_schedules_are_saved(tmp_path):
    small_model(target_kl="linear_0.02").learn(64).save(tmp_path / "model")
    loaded = TRPO.load(tmp_path / "model", "CartPole-v1")
    assert loaded.settings.target_kl == "linear_0.02"
    assert budgets(loaded.learn(128)) == [0.02, 0.01]


@pytest.mark.parametrize("checkpoint", [False, True])
def test_functions_are_not_saved_and_loading_warns(tmp_path, checkpoint):
    def schedule(remaining):
        return 0.02 * remaining

    small_model(target_kl=schedule).learn(128).save(tmp_path / "model", checkpoint=checkpoint)
    message = r"target_kl was a function.*stays at 0\.01; pass target_kl=\.\.\. to load"
    with pytest.warns(UserWarning, match=message):
        loaded = TRPO.load(tmp_path / "model")
    assert loaded.settings.target_kl == 0.01
    again = TRPO.load(tmp_path / "model", "CartPole-v1", target_kl=schedule)
    assert budgets(again.learn(128)) == [0.02, 0.01]
    with np.load(tmp_path / "model.npz") as file:
        json.loads(str(file["header"]))


@table(
    ("value", "message"),
    [
        ("linaer", r"unknown schedule of target_kl: 'linaer'; did you mean 'linear'"),
        ("linear_fast", r"target_kl: 'linear_fast' is not a schedule"),
        ("linear_", r"target_kl: 'linear_' is not a schedule"),
        ("linear_-1", r"target_kl must be a number > 0, got -1.0"),
        ("linear_nan", r"target_kl must be a number > 0, got nan"),
        (0, r"target_kl must be a number > 0, got 0"),
        (lambda p: "x", r"target_kl must be a number > 0, got 'x' .* at remaining progress 1$"),
        (lambda p: p - 1, r"target_kl must be a number > 0, got 0.0 .* at remaining progress 1$"),
    ],
)
def test_invalid_schedules_are_rejected(value, message):
    with pytest.raises(ValueError, match=message):
        small_model(target_kl=value)


def test_a_schedule_is_checked_at_every_iteration(model):
    model = small_model(target_kl=lambda remaining: remaining - 0.5)
    message = r"target_kl must be a number > 0, got 0\.0 from .* remaining progress 0\.5"
    with pytest.raises(ValueError, match=message):
        model.learn(256)
    assert model.num_timesteps == 128
