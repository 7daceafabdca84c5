"""Numbers from users: NumPy scalars and 0-d arrays count as their values."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from agents import needs_extension
from helpers import small_model
from tables import table

from fasttrpo import evaluate_policy
from fasttrpo.callbacks import (
    BaseCallback,
    CheckpointCallback,
    EvalCallback,
    EveryNTimesteps,
    StopTrainingOnMaxEpisodes,
    StopTrainingOnNoModelImprovement,
    StopTrainingOnRewardThreshold,
)
from fasttrpo.checks.values import count, flag, integer, real
from fasttrpo.logs.logger import configure
from fasttrpo.settings import make_settings

FLOATS = [np.float16, np.float32, np.float64, np.longdouble, np.array, Fraction, Decimal]
INTEGERS = [np.int8, np.uint8, np.int64, np.uint64, np.array]
NOT_NUMBERS = [
    True,
    np.True_,
    np.array(True),
    1j,
    np.complex64(1),
    "1",
    np.array([1]),
    np.datetime64(1, "s"),
    np.float32("nan"),
    np.array(np.inf),
    Decimal("nan"),
    Decimal("snan"),
    Fraction(10) ** 400,
    None,
]

number = real("a number", lambda x: True)


@table("kind", FLOATS)
def test_every_kind_of_number_is_accepted(kind):
    assert type(number("x", kind(0.5))) is float
    assert number("x", kind(0.5)) == 0.5
    assert count(1)("x", kind(1000.0)) == 1000
    assert type(count(1)("x", kind(1000.0))) is int
    with pytest.raises(ValueError, match="x must be an integer >= 1"):
        count(1)("x", kind(1000.5))


@table("kind", INTEGERS)
def test_every_kind_of_integer_is_accepted(kind):
    assert integer(0)("x", kind(100)) == count(0)("x", kind(100)) == number("x", kind(100)) == 100
    assert type(integer(0)("x", kind(100))) is int


@table("value", NOT_NUMBERS, ids=repr)
def test_values_that_are_not_numbers_are_rejected(value):
    for check in (number, integer(0), count(0)):
        with pytest.raises(ValueError, match=r"^x must be"):
            check("x", value)


def test_ranges_apply_to_the_converted_float():
    positive = real("a number > 0", lambda x: x > 0)
    with pytest.raises(ValueError, match="a number > 0"):
        positive("x", Fraction(1, 10**400))


def test_flags_are_booleans_of_any_kind_and_not_numbers():
    assert flag("x", np.array(True)) is flag("x", np.True_) is True
    for value in (1, np.int64(1), np.array(1), "True", np.array([True])):
        with pytest.raises(ValueError, match="True or False"):
            flag("x", value)


@table("steps", [np.float32(128), np.float16(128), np.array(128), Fraction(128)])
def test_learn_accepts_any_kind_of_number(steps):
    model = small_model().learn(steps, log_interval=np.array(1), max_seconds=np.float32(1e6))
    assert model.num_timesteps == 128


NUMERIC = {
    "learning_rate": 0.5,
    "n_steps": 8,
    "batch_size": 8,
    "gamma": 0.5,
    "cg_max_steps": 8,
    "cg_damping": 0.5,
    "line_search_shrinking_factor": 0.5,
    "line_search_max_iter": 8,
    "n_critic_updates": 8,
    "gae_lambda": 0.5,
    "target_kl": 0.5,
    "ent_coef": 0.5,
    "kl_slack": 2.0,
    "sub_sampling_factor": 2,
    "stats_window_size": 8,
    "verbose": 1,
    "seed": 8,
    "n_envs": 2,
    "n_threads": 1,
    "max_records": 8,
}


@pytest.mark.parametrize("kind", [np.array, np.int16, np.float32])
def test_settings_accept_any_kind_of_number(kind):
    given = {
        name: kind(value) if isinstance(value, float) else np.int16(value)
        for name, value in NUMERIC.items()
        if isinstance(value, int) or kind is not np.int16
    }
    settings = make_settings("MlpPolicy", {"critic": "adam", **given})
    for name in given:
        assert getattr(settings, name) == NUMERIC[name]
        assert type(getattr(settings, name)) is type(NUMERIC[name])


def test_policy_kwargs_accept_any_kind_of_number():
    kwargs = {
        "net_arch": np.array([32, 16]),
        "log_std_init": np.float32(-1),
        "log_std_min": np.array(-2),
        "ortho_init": np.True_,
    }
    network = make_settings("MlpPolicy", {"policy_kwargs": kwargs}).policy_kwargs
    assert network["net_arch"] == {"pi": [32, 16], "vf": [32, 16]}
    assert (network["log_std_init"], network["log_std_min"]) == (-1.0, -2.0)
    kwargs = {"features": "fourier", "n_features": np.array(8), "feature_bandwidth": np.array(2)}
    network = make_settings("LinearPolicy", {"policy_kwargs": kwargs}).policy_kwargs
    assert (network["n_features"], network["feature_bandwidth"]) == (8, 2.0)


def test_schedules_may_return_any_kind_of_number():
    model = small_model(target_kl=lambda remaining: np.array(0.01 * remaining, np.float32))
    assert model.learn(64).records[-1]["target_kl"] == pytest.approx(0.01)


def test_callbacks_and_functions_accept_any_kind_of_number(tmp_path):
    callbacks = [
        CheckpointCallback(np.float32(16), tmp_path),
        EvalCallback(
            "CartPole-v1",
            StopTrainingOnRewardThreshold(np.array(1e6)),
            StopTrainingOnNoModelImprovement(np.int8(100), np.array(1)),
            n_eval_episodes=np.array(1),
            eval_freq=np.float16(16),
            verbose=0,
        ),
        EveryNTimesteps(np.float32(64), BaseCallback()),
        StopTrainingOnMaxEpisodes(np.array(1000)),
    ]
    model = small_model().learn(64, callbacks)
    assert len(callbacks[1].evaluations_timesteps) == 1
    model.set_random_seed(np.array(5))
    evaluate_policy(
        model, "CartPole-v1", np.array(1), seed=np.uint8(3), reward_threshold=np.float32(0)
    )
    assert configure(None, [], resumed=np.array(3)).resumed == 3


@table("indices", [1, np.int64(1), np.array(1), [1], np.array([1])])
def test_environment_indices_may_be_of_any_kind(indices):
    vec_env = small_model(env_backend="gymnasium").get_env()
    assert len(vec_env.get_attr("spec", indices)) == 1
    assert len(vec_env.env_is_wrapped(object, indices)) == 1


@needs_extension
def test_compiled_environments_accept_any_kind_of_number():
    from fasttrpo.envs import CompiledVectorEnv

    env = CompiledVectorEnv("CartPole-v1", np.array(2), max_episode_steps=np.int16(9))
    assert type(env.num_envs) is int
    same = [env.reset(seed=seed)[0] for seed in (7, np.int32(7), np.array(7))]
    np.testing.assert_array_equal(same[0], same[1])
    np.testing.assert_array_equal(same[0], same[2])
    for wrong in (True, np.True_):
        with pytest.raises(ValueError, match="seed must be an integer"):
            env.reset(seed=wrong)
