"""Custom MuJoCo models: the example of `fasttrpo.envs.mujoco.custom`, run as written there."""

from __future__ import annotations

import textwrap

import numpy as np
import pytest
from mujoco_envs import AutoresetMode, actions_for, assert_same_bits, mujoco, run
from tables import table

from fasttrpo import TRPO
from fasttrpo.envs.mujoco import custom

ARM = """
<mujoco>
  <option timestep="0.01" integrator="RK4"/>
  <default>
    <joint type="hinge" axis="0 1 0" damping="0.1"/>
    <geom type="capsule" size="0.03"/>
  </default>
  <worldbody>
    <body>
      <joint name="shoulder"/><geom fromto="0 0 0 0.3 0 0"/>
      <body pos="0.3 0 0">
        <joint name="elbow"/><geom fromto="0 0 0 0.3 0 0"/>
        <site name="hand" pos="0.3 0 0"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor joint="shoulder" gear="2" ctrlrange="-1 1"/>
    <motor joint="elbow" ctrlrange="-0.5 0.5"/>
  </actuator>
</mujoco>
"""


@pytest.fixture
def arm(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "arm.xml").write_text(ARM)
    return tmp_path / "arm.xml"


def example():
    """The code in the module's docstring."""
    lines = [line for line in custom.__doc__.splitlines() if line.startswith("    ") or not line]
    return textwrap.dedent("\n".join(lines))


def test_the_example_in_the_docstring_runs(arm):
    """Twenty lines of code, with fewer training steps."""
    code = example()
    assert 15 <= sum(bool(line.strip()) for line in code.splitlines()) <= 24
    shorter = code.replace('"MlpPolicy", env', '"MlpPolicy", env, n_steps=4')
    shorter = shorter.replace("100_000", "512")
    names = {"TARGET": np.array([0.2, 0.0, 0.4]), "TRPO": TRPO}
    exec(shorter, names)
    env = names["env"]
    assert env.num_envs == 64
    assert env.single_observation_space.shape == (7,)
    np.testing.assert_array_equal(env.single_action_space.high, np.float32([1, 0.5]))
    assert env.metadata["render_fps"] == 20


def observation(batch):
    return np.concatenate([batch.qpos, batch.qvel], axis=1)


def reward(batch, actions):
    return -np.abs(batch.qpos).sum(axis=1)


def start(model, rng):
    return rng.uniform(-0.1, 0.1, model.nq), np.zeros(model.nv)


def make(arm, num_envs=3, obs=observation, rew=reward, **kwargs):
    return mujoco.from_model(arm, obs, rew, num_envs=num_envs, n_threads=1, **kwargs)


@pytest.mark.parametrize("contact_forces", [False, True])
def test_steps_equal_those_of_mj_step(arm, contact_forces):
    """Against one MjData stepped directly."""
    library = pytest.importorskip("mujoco")
    env = make(arm, start=start, frame_skip=3, contact_forces=contact_forces)
    obs, infos = env.reset(seed=0)
    assert infos == {}
    model = library.MjModel.from_xml_path(str(arm))
    data = library.MjData(model)
    data.qpos[:] = obs[1, :2]
    for act in actions_for(env, 20):
        obs, rewards, *_ = env.step(act)
        data.ctrl[:] = act[1]
        library.mj_step(model, data, nstep=3)
        np.testing.assert_array_equal(obs[1], np.concatenate((data.qpos, data.qvel)))
        assert rewards[1] == -np.abs(data.qpos).sum()


def test_fields_used_only_by_the_reward_are_current(arm):
    """Fields are bound at their first use and may lag afterwards: they must be bound in time."""
    env = make(arm, rew=lambda batch, actions: batch.site_xpos[:, 0, 2])
    twin = make(arm, obs=lambda batch: batch.site_xpos[:, 0])
    env.reset(seed=0)
    twin.reset(seed=0)
    for act in actions_for(env, 3):
        rewards = env.step(act)[1]
        np.testing.assert_array_equal(rewards, twin.step(act)[0][:, 2])
    assert np.all(rewards != 0)


def test_episodes_end_as_terminated_and_the_limit_say(arm):
    env = make(arm, terminated=lambda batch: batch.time > 0.035, max_episode_steps=3)
    env.reset(seed=0)
    flags = [env.step(act)[2:4] for act in actions_for(env, 6)]
    np.testing.assert_array_equal([f[1][0] for f in flags], [0, 0, 1, 0, 0, 1])
    assert not any(f[0].any() for f in flags)
    env = make(arm, terminated=lambda batch: batch.time > 0.035)
    env.reset(seed=0)
    flags = [env.step(act)[2:4] for act in actions_for(env, 8)]
    np.testing.assert_array_equal([f[0][2] for f in flags], [0, 0, 0, 1, 0, 0, 0, 1])


def test_a_model_may_be_an_mjmodel(arm):
    library = pytest.importorskip("mujoco")
    env, twin = make(library.MjModel.from_xml_path(str(arm))), make(arm)
    actions = actions_for(env, 5)
    assert_same_bits(run(env, actions), run(twin, actions))


def test_motors_without_limits_have_unbounded_actions(arm):
    arm.write_text(ARM.replace('ctrlrange="-0.5 0.5"', ""))
    space = make(arm).single_action_space
    np.testing.assert_array_equal(space.low, np.float32([-1, -np.inf]))
    np.testing.assert_array_equal(space.high, np.float32([1, np.inf]))


def test_episodes_start_from_the_model_by_default(arm):
    obs, _ = make(arm).reset(seed=0)
    np.testing.assert_array_equal(obs, np.zeros((3, 4)))


def test_the_number_of_threads_changes_no_bit_of_a_custom_model(arm):
    env = make(arm, 5, start=start, max_episode_steps=7)
    actions = actions_for(env, 20)
    more = mujoco.from_model(
        arm, observation, reward, start=start, num_envs=5, max_episode_steps=7, n_threads=2
    )
    assert_same_bits(run(env, actions), run(more, actions))


WRONG = [
    ({"obs": lambda batch: batch.qpos[0]}, r"observation returned .*\(2,\), expected \(3, O\)"),
    ({"obs": lambda batch: batch.qpos[:2]}, r"observation returned .*\(2, 2\)"),
    ({"rew": lambda batch, actions: -1.0}, r"reward returned .*\(\), expected \(3,\)"),
    ({"rew": lambda batch, actions: batch.qpos}, r"reward returned .*\(3, 2\)"),
    ({"terminated": lambda batch: np.zeros((3, 1), bool)}, r"terminated returned .*\(3, 1\)"),
    ({"terminated": lambda batch: batch.time}, "terminated returned float64, expected bool"),
    ({"start": lambda model, rng: (np.zeros(3), np.zeros(2))}, r"start: qpos .*\(3,\)"),
    ({"start": lambda model, rng: (np.zeros(2), 0.0)}, r"start: qvel .*\(\), expected \(2,\)"),
]


@table(("functions", "message"), WRONG)
def test_functions_that_return_wrong_shapes_are_named(arm, functions, message):
    """When the environment is created; for `start`, at the first reset."""
    with pytest.raises(ValueError, match=message):
        make(arm, **functions).reset(seed=0)


def test_a_missing_file_and_an_unknown_keyword_raise(arm):
    with pytest.raises(OSError, match=r"nothing\.xml"):
        make("nothing.xml")
    with pytest.raises(TypeError, match="max_steps"):
        make(arm, max_steps=3)


def test_a_custom_task_adds_infos_and_autoreset_modes(arm):
    """What `from_model` lacks: rewards from two states, infos, autoreset modes."""

    class Swing(mujoco.Task):
        def remember(self):
            self.before = self.qpos[:, 0].copy()

        def observe(self):
            return self.qpos.copy()

        def score(self, actions):
            speed = (self.qpos[:, 0] - self.before) / self.dt
            return speed, speed > 1e9, {"speed": speed.copy()}

    env = mujoco.MujocoVectorEnv(Swing(arm, 2), 2, autoreset_mode=AutoresetMode.NEXT_STEP)
    env.reset(seed=0)
    _, rewards, _, _, infos = env.step(actions_for(env, 1)[0])
    np.testing.assert_allclose(rewards, env.task.qpos[:, 0] / 0.02)
    np.testing.assert_array_equal(infos["speed"], rewards)
