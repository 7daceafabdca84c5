"""MuJoCo tasks against Gymnasium's v5 environments: the same numbers from the same seeds."""

from __future__ import annotations

import inspect

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import load_env_creator
from gymnasium.utils.env_match import check_environments_match
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics
from mujoco_envs import (
    IS_NUMPY_1,
    MODES,
    actions_for,
    assert_same_infos,
    assert_same_resets,
    assert_same_steps,
    its,
    mujoco,
    ours,
)
from tables import table

# Every keyword argument with a non-default value; xml_file has a separate test.
SMALLER = {"exclude_current_positions_from_observation": False}
BODY = {
    **SMALLER,
    "include_cinert_in_observation": False,
    "include_cvel_in_observation": False,
    "include_qfrc_actuator_in_observation": False,
    "include_cfrc_ext_in_observation": False,
}
CHANGED = {
    "Ant-v5": SMALLER
    | {"frame_skip": 4, "forward_reward_weight": 1.5, "ctrl_cost_weight": 0.3, "main_body": "aux_1"}
    | {"contact_cost_weight": 0.01, "healthy_reward": 2, "terminate_when_unhealthy": False}
    | {"healthy_z_range": (0.4, 0.7), "contact_force_range": (-3.0, 2.0)}
    | {"reset_noise_scale": 0.2, "include_cfrc_ext_in_observation": False},
    "HalfCheetah-v5": SMALLER
    | {"frame_skip": 3, "forward_reward_weight": 0.7, "ctrl_cost_weight": 0.3}
    | {"reset_noise_scale": 0.3},
    "Hopper-v5": SMALLER
    | {"frame_skip": 5, "forward_reward_weight": 0.7, "ctrl_cost_weight": 0.3, "healthy_reward": 2}
    | {"terminate_when_unhealthy": False, "healthy_state_range": (-5.0, 5.0)}
    | {"healthy_z_range": (0.5, 1.3), "healthy_angle_range": (-0.4, 0.3), "reset_noise_scale": 0.1},
    "Humanoid-v5": BODY
    | {"frame_skip": 4, "forward_reward_weight": 2.0, "ctrl_cost_weight": 0.3}
    | {"contact_cost_weight": 1e-4, "contact_cost_range": (0.1, 2.0), "healthy_reward": 3}
    | {"terminate_when_unhealthy": False, "healthy_z_range": (0.5, 1.3), "reset_noise_scale": 0.1},
    "HumanoidStandup-v5": BODY
    | {"frame_skip": 4, "uph_cost_weight": 2, "ctrl_cost_weight": 0.3, "impact_cost_weight": 1e-4}
    | {"impact_cost_range": (0.1, 2.0), "reset_noise_scale": 0.1},
    "InvertedDoublePendulum-v5": {"frame_skip": 2, "healthy_reward": 3, "reset_noise_scale": 0.02},
    "InvertedPendulum-v5": {"frame_skip": 3, "reset_noise_scale": 0.05},
    "Pusher-v5": {"frame_skip": 3, "reward_near_weight": 1.5, "reward_dist_weight": 0.3}
    | {"reward_control_weight": 0.7},
    "Reacher-v5": {"frame_skip": 3, "reward_dist_weight": 0.3, "reward_control_weight": 0.7},
    "Swimmer-v5": SMALLER
    | {"frame_skip": 3, "forward_reward_weight": 0.7, "ctrl_cost_weight": 0.3}
    | {"reset_noise_scale": 0.3},
    "Walker2d-v5": SMALLER
    | {"frame_skip": 3, "forward_reward_weight": 0.7, "ctrl_cost_weight": 0.3, "healthy_reward": 2}
    | {"terminate_when_unhealthy": False, "healthy_z_range": (0.5, 1.3)}
    | {"healthy_angle_range": (-0.4, 0.3), "reset_noise_scale": 0.1},
}
# Keywords about pictures or files.
ELSEWHERE = {"xml_file", "default_camera_config"}
# Defaults, but episodes continue to the step limit.
ENDLESS = {"terminate_when_unhealthy": False}
VARIANTS = [(env_id, {}) for env_id in mujoco.IDS]
VARIANTS += list(CHANGED.items())
VARIANTS += [(f"{name}-v5", ENDLESS) for name in ("Ant", "Hopper", "Humanoid", "Walker2d")]


def label(value):
    return value if isinstance(value, str) else f"{len(value)}-changed"


@table(("env_id", "keywords"), VARIANTS, ids=label)
def test_steps_equal_those_of_gymnasium(env_id, keywords):
    """Including episode ends and the resets after them, with the same seed."""
    mine, other = (make(env_id, max_episode_steps=60, **keywords) for make in (ours, its))
    assert_same_resets(mine, other, seed=7)
    assert_same_steps(mine, other, actions_for(mine, 140))


@table("mode", MODES)
@table("env_id", ["Ant-v5", "Hopper-v5", "InvertedPendulum-v5", "Reacher-v5"])
def test_autoreset_modes_equal_those_of_gymnasium(env_id, mode):
    """Terminations and truncations, at different times and together."""
    mine, other = (make(env_id, 3, mode, max_episode_steps=12) for make in (ours, its))
    assert_same_resets(mine, other, seed=3)
    assert assert_same_steps(mine, other, actions_for(mine, 60)) >= 9


@pytest.mark.parametrize(
    "kind", [np.float64, np.int64] if IS_NUMPY_1 else [np.float32, np.float64, np.int64]
)
def test_rewards_follow_the_dtype_of_actions(kind):
    """Gymnasium sums the squares in the dtype of the action."""
    mine, other = ours("Hopper-v5"), its("Hopper-v5")
    assert_same_resets(mine, other, seed=3)
    assert_same_steps(mine, other, (3 * actions_for(mine, 20)).astype(kind))


def test_fortran_ordered_actions_are_accepted():
    mine, other = ours("Ant-v5", 3), its("Ant-v5", 3)
    assert_same_resets(mine, other, seed=3)
    actions = actions_for(mine, 10)
    assert_same_steps(mine, other, [np.asfortranarray(act) for act in actions])


@table("env_id", mujoco.IDS)
def test_spaces_metadata_and_limits_equal_those_of_gymnasium(env_id):
    mine, other = ours(env_id), its(env_id)
    for name in ("single_observation_space", "single_action_space", "observation_space"):
        assert getattr(mine, name) == getattr(other, name)
    assert mine.action_space == other.action_space
    assert mine.metadata["render_fps"] == other.metadata["render_fps"]
    assert mine.max_episode_steps == gymnasium.spec(env_id).max_episode_steps
    assert mine.num_envs == 2


@table("env_id", mujoco.IDS)
def test_arguments_equal_those_of_gymnasium(env_id):
    """Names, order and defaults; the steps above use a non-default value of each."""
    its_class = load_env_creator(gymnasium.spec(env_id).entry_point)
    parameters = inspect.signature(its_class).parameters.values()
    expected = {p.name: p.default for p in parameters if p.kind is not p.VAR_KEYWORD}
    mine = vars(mujoco.task_class(env_id)()).copy()
    for defaults in (mine, expected):  # only the renderer reads it
        defaults.pop("default_camera_config")
    assert mine == expected
    assert set(CHANGED[env_id]) == set(mine) - ELSEWHERE
    assert all(value != mine[name] for name, value in CHANGED[env_id].items())


def test_xml_file_replaces_the_model(tmp_path):
    shipped = gymnasium.make("HalfCheetah-v5").unwrapped.fullpath
    with open(shipped) as file:
        text = file.read().replace('timestep="0.01"', 'timestep="0.004"')
    assert "0.004" in text
    (tmp_path / "slow.xml").write_text(text)
    path = str(tmp_path / "slow.xml")
    mine, other = ours("HalfCheetah-v5", xml_file=path), its("HalfCheetah-v5", xml_file=path)
    assert_same_resets(mine, other, seed=0)
    assert_same_steps(mine, other, actions_for(mine, 50))
    mine, other = (make("Walker2d-v5", xml_file="walker2d.xml") for make in (ours, its))
    assert_same_resets(mine, other, seed=0)
    assert_same_steps(mine, other, actions_for(mine, 50))
    with pytest.raises(OSError, match=r"nowhere\.xml"):
        ours("Ant-v5", xml_file="nowhere.xml")


def starts(env_id, n):
    """qpos and qvel (n, nq + nv) after a reset: our batch, and Gymnasium's environments in turn."""
    mine, other = ours(env_id, n), gymnasium.make(env_id).unwrapped
    mine.reset(seed=1_000_000)
    rows = []
    for seed in range(n):
        other.reset(seed=seed)
        rows.append(np.concatenate((other.data.qpos, other.data.qvel)))
    return np.concatenate((mine.task.qpos, mine.task.qvel), axis=1), np.array(rows)


@table("env_id", mujoco.IDS)
def test_initial_states_are_distributed_as_in_gymnasium(env_id):
    """Means, standard deviations and two-sample Kolmogorov-Smirnov, with unequal seeds.

    Over at most 47 components, D > 2.4 sqrt(2 / n) has probability 2e-5, and 6 standard errors
    (a normal's standard deviation has at most std / sqrt(2 n)) less.
    """
    n = 1000
    mine, other = starts(env_id, n)
    for a, b in zip(mine.T, other.T, strict=True):
        error = np.hypot(a.std(), b.std()) / np.sqrt(n)
        assert abs(a.mean() - b.mean()) <= 6 * error + 1e-15
        assert abs(a.std() - b.std()) <= 6 * error / np.sqrt(2) + 1e-15
        values = np.sort(np.concatenate((a, b)))
        cdf, cdf2 = (np.searchsorted(np.sort(x), values, side="right") / n for x in (a, b))
        assert np.abs(cdf - cdf2).max() < 2.4 * np.sqrt(2 / n)
    assert not np.array_equal(mine, other)


@pytest.mark.parametrize("env_id", ["HalfCheetah-v5", "Hopper-v5", "Humanoid-v5"])
def test_check_environments_match_finds_no_difference(env_id):
    """It compares single environments, or vector environments of one: bit for bit."""
    mode = AutoresetMode.DISABLED
    mine, other = ours(env_id, 1, mode), its(env_id, 1, mode)
    check_environments_match(other, mine, 100, info_comparison="keys-equivalence")


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_vector_wrappers_see_the_same_episodes(mode):
    """(In DISABLED mode, Gymnasium 1.4's own environment hides the mask from its wrapper.)"""
    envs = [make("Hopper-v5", 3, mode, max_episode_steps=15) for make in (ours, its)]
    wrapped = [RecordEpisodeStatistics(env) for env in envs]
    for env in wrapped:
        env.reset(seed=2)
    for act in actions_for(envs[0], 40):
        steps = [env.step(act) for env in wrapped]
        infos = [step[4] for step in steps]
        for info in infos:
            info.get("episode", {}).pop("t", None)  # seconds
            info.get("episode", {}).pop("_t", None)
        assert_same_infos(*infos)
    assert list(wrapped[0].length_queue) == list(wrapped[1].length_queue)
    assert len(wrapped[0].length_queue) >= 3


def test_infos_convert_to_lists():
    env = DictInfoToList(ours("Hopper-v5", 3))
    _, infos = env.reset(seed=0)
    assert [sorted(info) for info in infos] == [["x_position", "z_distance_from_origin"]] * 3
    *_, infos = env.step(actions_for(env, 1)[0])
    assert all(info["reward_survive"] == 1.0 for info in infos)
