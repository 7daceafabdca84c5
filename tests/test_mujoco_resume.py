"""Simulations that are saved and go on: bit for bit, in each of the eleven tasks."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from helpers import same_state, small_model
from mujoco_envs import actions_for, mujoco, ours
from tables import table

from fasttrpo import TRPO
from fasttrpo.envs.mujoco.batch_env import MujocoVectorEnv
from fasttrpo.envs.mujoco.planar import Hopper


def steps(env, actions):
    """All that a run returns, as bytes."""
    results = [env.step(act)[:4] for act in actions]
    return [[np.asarray(value).tobytes() for value in result] for result in results]


@table("env_id", mujoco.IDS)
@table("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_a_loaded_batch_goes_on_bit_for_bit(env_id, mode):
    env, fresh = (ours(env_id, 3, mode, max_episode_steps=25) for _ in range(2))
    env.reset(seed=5)
    actions = actions_for(env, 70)
    for k in range(1, 60):
        obs = env.step(actions[k - 1])[0]
        if k not in (1, 25, 26, 51):  # episodes end at 25, and at 50 or 51
            continue
        saved = env.save()
        np.testing.assert_array_equal(fresh.load(saved), obs)
        whole = ours(env_id, 3, mode, max_episode_steps=25)
        whole.reset(seed=5)
        steps(whole, actions[:k])
        assert steps(fresh, actions[k:]) == steps(whole, actions[k:])


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_resumed_run_is_the_uninterrupted_one(n_threads, tmp_path):
    def make():
        return ours("Hopper-v5", 3, n_threads=n_threads)

    keywords = {"n_steps": 40, "normalize_observations": True}
    whole = small_model(make(), **keywords).learn(600)
    small_model(make(), **keywords).learn(240).save(tmp_path / "half", checkpoint=True)
    resumed = TRPO.load(tmp_path / "half", env=make())
    resumed.learn(360, reset_num_timesteps=False)
    assert same_state(whole, resumed)
    assert whole.records[-1]["return_mean"] == resumed.records[-1]["return_mean"]


def test_what_cannot_be_saved_or_loaded():
    env = ours("Hopper-v5", 2)
    with pytest.raises(ResetNeeded, match="call reset before save"):
        env.save()
    env.reset(seed=1)
    saved = env.save()
    for other in (ours("Hopper-v5", 3), ours("Walker2d-v5", 2)):
        with pytest.raises(ValueError, match="other environments"):
            other.load(saved)
        with pytest.raises(ResetNeeded):  # nothing has changed
            other.save()
    with pytest.raises(ValueError, match="damaged"):
        env.load(saved[:-30])


def test_a_task_that_does_not_say_what_it_remembers_is_not_saved():
    class Secretive(Hopper):
        remembered = ()

        def remember(self):
            super().remember()

    env = MujocoVectorEnv(Secretive(), 2)
    env.reset(seed=0)
    assert not env.is_savable
    with pytest.raises(ValueError, match="Secretive does not name what it remembers"):
        env.save()


def changed(data, **arrays):
    """The saved bytes with other arrays in them."""
    with np.load(io.BytesIO(data)) as archive:
        members = dict(archive) | arrays
    file = io.BytesIO()
    np.savez(file, **members)
    return file.getvalue()


def test_what_cannot_have_been_saved_is_refused():
    env = ours("Hopper-v5", 2)
    env.reset(seed=1)
    data = env.save()
    with np.load(io.BytesIO(data)) as archive:
        state = archive["state"]
    streams = json.dumps([[{"bit_generator": "seterr"}] * 2, [None] * 2])
    for name, value in {
        "elapsed": np.array([-1, 0]),
        "over": np.array([0.0, np.nan]),
        "state": np.full_like(state, np.nan),
        "streams": np.array(streams),
    }.items():
        before = env.save()
        with pytest.raises(ValueError, match="the saved bytes"):
            env.load(changed(data, **{name: value}))
        assert env.save() == before
    env.load(data)
