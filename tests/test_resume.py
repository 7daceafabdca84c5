"""Interrupted and resumed runs give the same bits as uninterrupted ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from agents import needs_extension
from gymnasium.vector import AutoresetMode
from helpers import CC, INCLUDE, build_library, same_state, small_model
from tables import table

from fasttrpo import TRPO, FormatError
from fasttrpo.callbacks import BaseCallback
from fasttrpo.envs.classic import has_extension
from fasttrpo.training.episodes import EpisodeStatistics

EXAMPLE = Path(__file__).resolve().parent.parent / "csrc/examples/balance_env.c"
NORMALIZED = {"normalize_observations": True, "normalize_rewards": True}
SIZES = {"n_steps": 40, "n_envs": 3}  # iterations end within episodes
ITERATION = 120
N_ITERATIONS = 5

in_c = pytest.mark.skipif(
    not has_extension(), reason="this installation has no compiled environments"
)


def environment(name, tmp_path):
    """TRPO's env argument, and settings to use with it."""
    if name == "balance":
        if shutil.which(CC) is None or not INCLUDE.exists():
            pytest.skip("no C compiler, or no sources beside the tests")
        return build_library(EXAMPLE, tmp_path / "balance_env.so"), NORMALIZED
    if name == "numba":
        pytest.importorskip("numba")
        from python_envs import noise

        return noise, {"normalize_rewards": True}
    return name, NORMALIZED if name == "Pendulum-v1" else {}


def without_times(record):
    """The entries of a record that do not depend on the clock."""
    is_time = ("seconds", "steps_per_second")
    return {name: value for name, value in record.items() if not name.startswith(is_time)}


def assert_same_records(records, others):
    assert len(records) == len(others)
    for one, other in zip(records, others, strict=True):
        assert list(one) == list(other)
        np.testing.assert_equal(without_times(one), without_times(other))


def learn_with_checkpoints(model, folder):
    """Runs all iterations and saves a checkpoint after each."""

    def save(record):
        model.save(folder / f"{record['iteration']}", checkpoint=True)

    return model.learn(N_ITERATIONS * ITERATION, save)


@in_c
@table("n_threads", [1, 2])
@table("name", ["CartPole-v1", "Pendulum-v1", "balance", "numba"])
def test_a_resumed_run_equals_the_uninterrupted_one(name, n_threads, tmp_path):
    env, keywords = environment(name, tmp_path)
    keywords = {**keywords, **SIZES, "n_threads": n_threads}
    uninterrupted = small_model(env, **keywords)
    uninterrupted.learn(N_ITERATIONS * ITERATION)
    observed = learn_with_checkpoints(small_model(env, **keywords), tmp_path)
    assert same_state(uninterrupted, observed)  # saving has no effect
    for done in range(1, N_ITERATIONS):
        resumed = TRPO.load(tmp_path / f"{done}.npz", env=env)
        resumed.learn((N_ITERATIONS - done) * ITERATION, reset_num_timesteps=False)
        assert same_state(uninterrupted, resumed)
        assert resumed.num_timesteps == uninterrupted.num_timesteps
        assert_same_records(resumed.records, uninterrupted.records[done:])


@in_c
@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("backend", [pytest.param("compiled", marks=needs_extension), "portable"])
def test_every_autoreset_mode_resumes_exactly(backend, mode, tmp_path):
    from fasttrpo.envs import CompiledVectorEnv

    def make():
        # The first episodes end together with the first iteration.
        return CompiledVectorEnv("Pendulum-v1", 3, autoreset_mode=mode, max_episode_steps=40)

    keywords = {"n_steps": 40, "backend": backend, "normalize_rewards": True}
    uninterrupted = learn_with_checkpoints(small_model(make(), **keywords), tmp_path)
    assert any(record["episodes"] for record in uninterrupted.records)
    for done in range(1, N_ITERATIONS):
        resumed = TRPO.load(tmp_path / f"{done}", env=make())
        rest = uninterrupted.records[-1]["num_timesteps"] - resumed.num_timesteps
        resumed.learn(rest, reset_num_timesteps=False)
        assert same_state(uninterrupted, resumed)
        assert_same_records(resumed.records, uninterrupted.records[done:])


@in_c
def test_the_number_of_threads_may_change_on_resume(tmp_path):
    uninterrupted = learn_with_checkpoints(
        small_model("Pendulum-v1", **SIZES, n_threads=1), tmp_path
    )
    resumed = TRPO.load(tmp_path / "2", env="Pendulum-v1", n_threads=2)
    resumed.learn(3 * ITERATION, reset_num_timesteps=False)
    assert same_state(uninterrupted, resumed)


def test_gymnasium_environments_restart_from_the_documented_seed(tmp_path):
    """Their state cannot be saved; two resumed runs are equal."""
    keywords = {"env_backend": "gymnasium", **SIZES}
    model = small_model("CartPole-v1", **keywords).learn(2 * ITERATION)
    model.save(tmp_path / "half", checkpoint=True)
    model.set_env("CartPole-v1")
    model.learn(ITERATION, reset_num_timesteps=False)
    resumed = TRPO.load(tmp_path / "half", env="CartPole-v1")
    resumed.learn(ITERATION, reset_num_timesteps=False)
    assert same_state(model, resumed)
    assert_same_records(resumed.records, model.records[2:])


@in_c
@pytest.mark.parametrize("moment", ["_on_step", "_on_rollout_end"])
def test_a_checkpoint_within_a_rollout_restarts_episodes(moment, tmp_path):
    """It stores no rollout in progress, so resuming must not continue its episodes."""

    def save(callback):
        callback.model.save(tmp_path / "model", checkpoint=True)

    callback = type("Saving", (BaseCallback,), {moment: save})()
    small_model().learn(64 * 2, callback)
    loaded = TRPO.load(tmp_path / "model", "CartPole-v1")
    assert not loaded.is_amid_episodes
    loaded.learn(64, reset_num_timesteps=False)
    assert loaded.records[-1]["length_mean"] >= 8  # no episode of CartPole is shorter


def test_another_number_of_environments_restarts_episodes(tmp_path):
    model = small_model("CartPole-v1", **SIZES, normalize_rewards=True).learn(2 * ITERATION)
    model.save(tmp_path / "half", checkpoint=True)
    resumed = TRPO.load(tmp_path / "half", env="CartPole-v1", n_envs=2)
    resumed.learn(80, reset_num_timesteps=False)
    assert resumed.records[0]["episodes"] >= model.records[-1]["episodes"]


@in_c
def test_a_checkpoint_loads_without_an_environment(tmp_path):
    model = small_model("CartPole-v1", **SIZES).learn(ITERATION)
    model.save(tmp_path / "checkpoint", checkpoint=True)
    model.save(tmp_path / "model")
    loaded = TRPO.load(tmp_path / "checkpoint")
    assert same_state(model, loaded)
    small, large = ((tmp_path / f"{name}.npz").stat().st_size for name in ("model", "checkpoint"))
    assert small < large
    loaded.set_env("CartPole-v1")
    loaded.learn(ITERATION)


@in_c
def test_the_state_of_another_environment_is_rejected(tmp_path):
    """Of the same spaces, but not CartPole."""
    pytest.importorskip("numba")
    from python_envs import cart, cart_reset, cart_step

    from fasttrpo.envs import NumbaEnvironment

    small_model("CartPole-v1", **SIZES).learn(ITERATION).save(tmp_path / "one", checkpoint=True)
    other = NumbaEnvironment(
        name="Cart",
        state_size=4,
        observation_space=cart.observation_space,
        action_space=cart.action_space,
        options={"force": 10.0},
        reset=cart_reset,
        step=cart_step,
    )
    with pytest.raises(FormatError, match=r"one: .*different environments"):
        TRPO.load(tmp_path / "one", env=other)


def test_wrapped_environments_are_not_saved(tmp_path):
    env = gymnasium.make_vec("CartPole-v1", num_envs=3)
    wrapped = gymnasium.wrappers.vector.RecordEpisodeStatistics(env)
    model = small_model(wrapped, n_steps=40).learn(ITERATION)
    assert not any(name.startswith("environment") for name in model.snapshot().run)


def test_inconsistent_episode_statistics_are_rejected():
    statistics = EpisodeStatistics(2)
    with pytest.raises(ValueError, match="inconsistent shapes"):
        statistics.load_state({**statistics.state(), "episode_totals": np.zeros(3)})
