"""The batched MuJoCo environment: seeds, resets, threads, errors, warnings."""

from __future__ import annotations

import importlib
import os
import re
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.utils.passive_env_checker import check_observation_space, env_reset_passive_checker
from gymnasium.vector import AutoresetMode
from mujoco_envs import MODES, actions_for, assert_same_bits, mujoco, ours, run
from tables import table

from fasttrpo.envs.mujoco.versions import require_mujoco

# The first runs on mujoco.batch.Batch, the second on the batch with contact forces.
BOTH = ["Hopper-v5", "Ant-v5"]


@table("env_id", mujoco.IDS)
def test_returned_values_fit_the_spaces(env_id):
    """Gymnasium's checks of spaces and resets; shapes and types of steps."""
    env = ours(env_id, 3)
    assert isinstance(env, gymnasium.vector.VectorEnv)
    check_observation_space(env.single_observation_space)
    env_reset_passive_checker(env, seed=1, options={})
    for act in actions_for(env, 3):
        assert env.action_space.contains(act.astype(env.action_space.dtype))
        obs, rewards, terminated, truncated, infos = env.step(act)
        assert env.observation_space.contains(obs)
        assert rewards.shape == terminated.shape == truncated.shape == (3,)
        assert all(f"_{key}" in infos for key in infos if not key.startswith("_"))


@pytest.mark.parametrize("env_id", BOTH)
def test_equal_seeds_give_equal_runs(env_id):
    env = ours(env_id, 3)
    actions = actions_for(env, 40)
    first = run(env, actions, seed=5)
    assert_same_bits(first, run(env, actions, seed=5))
    assert_same_bits(first, run(ours(env_id, 3), actions, seed=[5, 6, 7]))
    assert not np.array_equal(first[0], run(env, actions[:1], seed=6)[0])


def test_each_environment_has_its_own_seed():
    """Environment i of seed s is environment 0 of seed s + i, whatever the others do."""
    actions = actions_for(ours("Hopper-v5", 4), 60)
    together, alone = ours("Hopper-v5", 4), ours("Hopper-v5", 1)
    a, _ = together.reset(seed=10)
    b, _ = alone.reset(seed=12)
    np.testing.assert_array_equal(a[2:3], b)
    for act in actions:
        a, rewards, *_ = together.step(act)
        b, reward, *_ = alone.step(act[2:3])
        np.testing.assert_array_equal(a[2:3], b)
        assert rewards[2] == reward[0]
    assert together.np_random_seed == (10, 11, 12, 13)


def test_reset_without_a_seed_continues_the_streams():
    env, twin = ours("Hopper-v5", 2), ours("Hopper-v5", 2)
    for each in (env, twin):
        each.reset(seed=[3, None])
    a, b = env.reset()[0], twin.reset()[0]
    np.testing.assert_array_equal(a[0], b[0])
    assert not np.array_equal(a[1], b[1])
    assert not np.array_equal(a, env.reset()[0])
    assert len(set(env.np_random)) == 2


@pytest.mark.parametrize("env_id", BOTH)
def test_the_number_of_threads_changes_no_bit(env_id):
    actions = actions_for(ours(env_id, 5), 40)
    one = run(ours(env_id, 5, n_threads=1, max_episode_steps=15), actions)
    for n_threads in (2, 5):
        more = ours(env_id, 5, n_threads=n_threads, max_episode_steps=15)
        assert more.n_threads == n_threads
        assert_same_bits(one, run(more, actions))


def test_the_default_number_of_threads_is_that_of_available_cores():
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert mujoco.make("HalfCheetah-v5", 64).n_threads == min(64, cores)
    assert mujoco.make("HalfCheetah-v5", 1).n_threads == 1


@table("mode", MODES)
@table("env_id", BOTH)
def test_a_partial_reset_leaves_other_environments_unchanged(env_id, mode):
    actions = actions_for(ours(env_id, 3), 30, scale=0.3)
    env, twin = (ours(env_id, 3, mode, terminate_when_unhealthy=False) for _ in "ab")
    env.reset(seed=0)
    twin.reset(seed=0)
    others = [0, 2]
    for t, act in enumerate(actions):
        a, b = env.step(act), twin.step(act)
        if t % 7 == 3:
            mask = np.array([False, True, False])
            obs, infos = env.reset(options={"reset_mask": mask})
            np.testing.assert_array_equal(obs[others], b[0][others])
            np.testing.assert_array_equal(infos["_x_position"], mask)
            np.testing.assert_array_equal(mask, [False, True, False])
        for mine, its in zip(a[:4], b[:4], strict=True):
            np.testing.assert_array_equal(mine[others], its[others])
    assert not np.array_equal(a[0][1], b[0][1])


def test_a_partial_reset_restarts_the_step_count():
    env = ours("HalfCheetah-v5", 2, AutoresetMode.DISABLED, max_episode_steps=5)
    env.reset(seed=0)
    actions = actions_for(env, 5)
    for act in actions[:3]:
        env.step(act)
    env.reset(options={"reset_mask": np.array([True, False])}, seed=[9, 9])
    truncated = [env.step(act)[3].tolist() for act in actions[3:]]
    assert truncated == [[False, False], [False, True]]
    assert env.np_random_seed == (9, 1)


@pytest.mark.parametrize("limit", [None, -1])
def test_episodes_without_a_step_limit_are_never_truncated(limit):
    env = ours("HalfCheetah-v5", 1, max_episode_steps=limit)
    env.reset(seed=0)
    assert not any(env.step(action)[3].any() for action in actions_for(env, 1001))


@pytest.mark.parametrize("env_id", BOTH)
def test_returned_arrays_belong_to_the_caller(env_id):
    actions = actions_for(ours(env_id, 3), 30)
    env = ours(env_id, 3)
    expected = run(ours(env_id, 3), actions)
    seen = [env.reset(seed=0)[0].copy()]
    for act in actions:
        *arrays, infos = env.step(act)
        arrays += [infos[key] for key in sorted(infos) if "final" not in key]
        arrays += [x for x in infos.get("final_obs", ()) if x is not None]
        seen += [array.copy() for array in arrays]
        for array in arrays:
            array[...] = 1 if array.dtype == bool else 77
    assert_same_bits(seen, expected)
    obs, _ = env.reset(options={"reset_mask": np.array([True, False, False])})
    assert not np.any(obs == 77)


def test_final_observations_differ_from_the_next_ones():
    env = ours("HalfCheetah-v5", 2, max_episode_steps=3)
    env.reset(seed=0)
    for act in actions_for(env, 3):
        obs, *_, infos = env.step(act)
    assert infos["_final_obs"].all()
    assert not np.array_equal(np.stack(infos["final_obs"]), obs)
    assert data_equivalence(infos["final_info"]["_x_velocity"], np.array([True, True]))


# -- simulations that MuJoCo aborts ---------------------------------------------------------------


@table("mode", MODES)
@table("env_id", BOTH)
@table(("field", "value"), [("qvel", np.nan), ("qpos", np.inf), ("qvel", 1e15)])
def test_an_unstable_simulation_is_reported_and_others_are_unaffected(env_id, mode, field, value):
    env, twin = (ours(env_id, 3, mode, reset_noise_scale=0) for _ in "ab")
    env.reset(seed=0)
    twin.reset(seed=0)
    actions = actions_for(env, 4, scale=0.1)
    last = env.step(actions[0])[0][1]
    twin.step(actions[0])
    getattr(env.task, field)[1] = value
    with pytest.warns(mujoco.UnstableSimulation, match=rf"environment 1: .*{field.upper()}"):
        obs, rewards, terminated, truncated, infos = env.step(actions[1])
    expected = twin.step(actions[1])
    for mine, its in zip((obs, rewards, terminated, truncated), expected, strict=False):
        np.testing.assert_array_equal(mine[[0, 2]], its[[0, 2]])
    assert (rewards[1], terminated[1], truncated[1]) == (0.0, False, True)
    same = mode is AutoresetMode.SAME_STEP
    reported = infos["final_info"] if same else infos
    np.testing.assert_array_equal(reported["unstable"], [False, True, False])
    np.testing.assert_array_equal(infos["final_obs"][1] if same else obs[1], last)
    assert_continues(env, twin, actions, mode)


def assert_continues(env, twin, actions, mode):
    """The others as if nothing had happened, the restarted one healthy, without a warning."""
    if mode is AutoresetMode.DISABLED:
        env.reset(options={"reset_mask": np.array([False, True, False])})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for act in actions[2:]:
            mine, its = env.step(act), twin.step(act)
            np.testing.assert_array_equal(mine[0][[0, 2]], its[0][[0, 2]])
            assert np.isfinite(mine[0]).all()
            assert not mine[3].any()


def crowded(folder, memory):
    """Ten boxes, and memory for the contacts of only some of them."""
    bodies = "".join(
        f'<body pos="{2 * x} 0 1"><freejoint/><geom type="box" size=".3 .3 .3"/></body>'
        for x in range(10)
    )
    path = folder / f"crowded{memory}.xml"
    path.write_text(
        f'<mujoco><size memory="{memory}K"/><worldbody><geom type="plane" size="50 50 .1"/>'
        f"{bodies}</worldbody></mujoco>"
    )
    return path


def crowd(path, contact_forces):
    env = mujoco.from_model(
        path,
        lambda batch: batch.qpos,
        lambda batch, actions: batch.qpos[:, 2],
        num_envs=3,
        n_threads=1,
        contact_forces=contact_forces,
    )
    before, _ = env.reset(seed=0)
    env.task.qpos[1].reshape(-1, 7)[:, 2] = 0.25
    return env, before


@pytest.mark.parametrize("contact_forces", [False, True])
def test_an_error_inside_mujoco_is_reported_and_others_are_unaffected(tmp_path, contact_forces):
    """Some memory sizes make MuJoCo raise an error when the boxes of one simulation land."""
    no_actions, found = np.zeros((3, 0)), 0
    for memory in range(48, 112, 8):
        env, before = crowd(crowded(tmp_path, memory), contact_forces)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            _, _, _, truncated, infos = env.step(no_actions)
        if not caught:
            continue
        found += 1
        assert re.search("environment 1: .*memory", str(caught[0].message))
        np.testing.assert_array_equal(truncated, [False, True, False])
        np.testing.assert_array_equal(infos["final_obs"][1], before[1])
        assert not env.step(no_actions)[3].any()
    assert found


# -- rejected input -------------------------------------------------------------------------------


def test_calls_in_the_wrong_order_are_rejected():
    env = ours("Hopper-v5", 2, AutoresetMode.DISABLED, max_episode_steps=2)
    act = actions_for(env, 1)[0]
    with pytest.raises(ResetNeeded, match="call reset before step"):
        env.step(act)
    with pytest.raises(ResetNeeded, match="first reset"):
        env.reset(options={"reset_mask": np.array([True, False])})
    env.reset(seed=0)
    env.step(act)
    env.step(act)
    with pytest.raises(ResetNeeded, match=r"environments \[0, 1\]"):
        env.step(act)
    env.reset()
    env.step(act)
    env.close()
    env.close()
    for call in (lambda: env.step(act), env.reset, env.render):
        with pytest.raises(ClosedEnvironmentError):
            call()


@pytest.mark.filterwarnings("error")
def test_unknown_or_invalid_arguments_are_rejected():
    with pytest.raises(TypeError, match=r"Hopper-v5.*'helthy_reward'.*'healthy_reward'"):
        ours("Hopper-v5", helthy_reward=1)
    with pytest.raises(TypeError, match=r"'n_thread'.*'n_threads'"):
        mujoco.make("Hopper-v5", 2, n_thread=1)
    with pytest.raises(TypeError, match="'healthy_reward'"):  # of another task
        ours("HalfCheetah-v5", healthy_reward=1)
    with pytest.raises(ValueError, match=r"'HalfCheeta-v5'.*'HalfCheetah-v5'"):
        mujoco.make("HalfCheeta-v5", 2)
    for bad in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="num_envs"):
            mujoco.make("Hopper-v5", bad)
    for bad in (0, -3, 1.5):
        with pytest.raises(ValueError, match="n_threads"):
            mujoco.make("Hopper-v5", 2, n_threads=bad)
        with pytest.raises(ValueError, match="max_episode_steps"):
            mujoco.make("Hopper-v5", 2, max_episode_steps=bad)
    with pytest.raises(ValueError, match="render_mode"):
        ours("Hopper-v5", render_mode="human")
    with pytest.raises(ValueError, match="sometimes"):
        ours("Hopper-v5", mode="sometimes")


def test_invalid_actions_and_reset_options_are_rejected():
    env = ours("Hopper-v5", 2)
    env.reset(seed=0)
    for shape in ((2,), (3, 3), (2, 4), (6,)):
        with pytest.raises(ValueError, match=r"expected \(2, 3\)"):
            env.step(np.zeros(shape))
    with pytest.raises(ValueError, match="3 seeds for 2"):
        env.reset(seed=[1, 2, 3])
    for mask in ([True, False], np.array([1, 0]), "x"):
        with pytest.raises(TypeError, match="reset_mask"):
            env.reset(options={"reset_mask": mask})
    for mask in (np.zeros(2, bool), np.ones(3, bool)):
        with pytest.raises(ValueError, match="reset_mask"):
            env.reset(options={"reset_mask": mask})


def test_rgb_arrays_are_rendered():
    env = ours("Hopper-v5", 2, render_mode="rgb_array", width=64, height=48)
    env.reset(seed=0)
    assert ours("Hopper-v5").render() is None
    try:
        frames = env.render()
    except Exception as error:  # depends on the platform's library
        pytest.skip(f"OpenGL is not available: {error}")
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 2
    assert frames[0].std() > 0
    env.close()


class Camera:
    """Stands in for Gymnasium's renderer: its picture is qpos."""

    last = None

    def __init__(self, model, data, camera, width, height, *rest):
        self.data, self.camera, self.size, self.closed = data, camera, (width, height), 0
        Camera.last = self

    def render(self, mode):
        return self.data.qpos.copy()

    def close(self):
        self.closed += 1


@pytest.mark.parametrize("env_id", BOTH)
def test_each_simulation_is_rendered_without_side_effects(env_id, monkeypatch):
    rendering = pytest.importorskip("gymnasium.envs.mujoco.mujoco_rendering")
    monkeypatch.setattr(rendering, "MujocoRenderer", Camera)
    env = ours(env_id, 3, render_mode="rgb_array", width=32)
    env.reset(seed=0)
    actions = actions_for(env, 2)
    env.step(actions[0])
    np.testing.assert_array_equal(np.stack(env.render()), env.task.qpos)
    twin = ours(env_id, 3)
    twin.reset(seed=0)
    twin.step(actions[0])
    assert_same_bits(env.step(actions[1])[:4], twin.step(actions[1])[:4])
    camera = Camera.last
    assert camera.camera["distance"] == (3.0 if env_id == "Hopper-v5" else 4.0)
    assert camera.size == (32, 480)
    env.close()
    assert camera.closed == 1


def test_views_outlive_the_environment():
    """The batch of the C interface goes with the last view of it."""
    from fasttrpo.envs.mujoco.forces import ForcesBatch

    model = ours("Ant-v5", 2).task.model
    batch = ForcesBatch(model, 2, 1)
    batch.reset()
    qpos, forces = batch.bind("qpos"), batch.bind("cfrc_ext")
    batch.step()
    expected = qpos.copy(), forces.copy()
    del batch
    others = [ForcesBatch(model, 2, 1) for _ in range(3)]
    assert len(others) == 3
    np.testing.assert_array_equal(qpos, expected[0])
    np.testing.assert_array_equal(forces, expected[1])


def test_both_batches_bind_the_same_fields():
    from fasttrpo.envs.mujoco.forces import ForcesBatch

    library = require_mujoco()
    model = ours("Humanoid-v5").task.model
    one, other = library.batch.Batch(model, 2, 1), ForcesBatch(model, 2, 1)
    names = ("time", "qpos", "qvel", "act", "ctrl", "qfrc_applied", "mocap_pos", "xpos", "cvel")
    for batch in (one, other):
        batch.reset(stage=0)
        batch.ctrl[...] = 0.1
        batch.bind("cvel")
        batch.bind("xpos")
        batch.step(nstep=3)
    for name in names:
        assert one.bind(name).shape == other.bind(name).shape, name
        np.testing.assert_array_equal(one.bind(name), getattr(other, name), err_msg=name)
    for bad in ("qposs", "efc_force"):
        with pytest.raises(ValueError, match=bad):
            other.bind(bad)
        with pytest.raises(AttributeError, match=bad):
            getattr(other, bad)
    with pytest.raises(ValueError, match="ids"):
        other.step([2])
    with pytest.raises(ValueError, match="read-only"):
        other.xpos[...] = 0


def test_contact_forces_are_the_same_without_the_extension(monkeypatch):
    """Without it, MuJoCo's batches call back into Python."""
    forces = importlib.import_module("fasttrpo.envs.mujoco.forces")

    def observed():
        forces.forces_stage.cache_clear()
        env = mujoco.make("Ant-v5", num_envs=3, n_threads=2)
        env.reset(seed=0)
        return [env.step(np.full((3, 8), 0.5))[0] for _ in range(20)]

    compiled = observed()
    monkeypatch.setitem(sys.modules, "fasttrpo.core._envs", None)
    np.testing.assert_array_equal(observed(), compiled)
    assert forces.forces_stage()[1] is None
    forces.forces_stage.cache_clear()
