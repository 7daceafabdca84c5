"""Saved MuJoCo simulations resume bit for bit, in each of the eleven tasks."""

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
    """All results of a run, as bytes."""
    results = [env.step(act)[:4] for act in actions]
    return [[np.asarray(value).tobytes() for value in result] for result in results]


@table("env_id", mujoco.IDS)
@table("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_a_loaded_batch_continues_bit_for_bit(env_id, mode):
    """Also where saving is at an episode's end: at 12, and at 24 or 25."""
    env, uninterrupted, fresh = (ours(env_id, 3, mode, max_episode_steps=12) for _ in range(3))
    actions, saved, results = actions_for(env, 40), {}, []
    for each in (env, uninterrupted):
        each.reset(seed=5)
    for k, act in enumerate(actions, start=1):
        results += steps(env, [act])
        if k in (1, 12, 13, 25):
            saved[k] = env.save()
    assert results == steps(uninterrupted, actions)  # saving has no effect
    for k, data in saved.items():
        fresh.load(data)
        assert steps(fresh, actions[k:]) == results[k:]


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_resumed_run_is_the_uninterrupted_one(n_threads, tmp_path):
    def make():
        return ours("Hopper-v5", 3, n_threads=n_threads)

    keywords = {"n_steps": 40, "normalize_observations": True}
    uninterrupted = small_model(make(), **keywords).learn(600)
    small_model(make(), **keywords).learn(240).save(tmp_path / "half", checkpoint=True)
    resumed = TRPO.load(tmp_path / "half", env=make())
    resumed.learn(360, reset_num_timesteps=False)
    assert same_state(uninterrupted, resumed)
    assert uninterrupted.records[-1]["return_mean"] == resumed.records[-1]["return_mean"]


def test_save_and_load_reject_invalid_states():
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


def test_a_task_that_does_not_name_what_it_remembers_is_not_savable():
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


def test_impossible_saved_states_are_rejected():
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
