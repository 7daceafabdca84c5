"""`TRPO.update` with the user's own rollouts; an invalid one changes nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers import insides, same_state, small_model
from tables import table

from fasttrpo import TRPO, Rollout

T, E = 6, 3


def cartpole_rollout(seed=0, shape=(T, E)):
    """Synthetic numbers in the right form for CartPole."""
    random = np.random.default_rng(seed)
    terminated = np.zeros(shape, dtype=bool)
    terminated[2, 0] = True
    return Rollout(
        obs=random.normal(size=(*shape, 4)).astype(np.float32),
        actions=random.integers(0, 2, shape),
        rewards=random.normal(size=shape),
        terminated=terminated,
        truncated=np.zeros(shape, dtype=bool),
        last_obs=random.normal(size=(shape[1], 4)),
    )


def test_constant_advantages_do_not_change_the_policy():
    """Every step ends an episode with reward 1 and V is 0, so all advantages are 1."""
    model = small_model(critic="ridge")
    theta = np.array(model.theta)
    ones = np.ones((T, E))
    rollout = replace(cartpole_rollout(), rewards=ones, terminated=ones > 0)
    assert model.update(rollout)["outcome"] == 2
    np.testing.assert_array_equal(model.theta, theta)
    assert all(np.isfinite(values).all() for values in model.snapshot().state.values())


def test_update_accepts_any_shape_and_learn_continues(model):
    record = model.update(cartpole_rollout())
    assert record["n_samples"] == T * E
    assert model.update(cartpole_rollout(shape=(9, 2)))["n_samples"] == 18
    assert model.num_timesteps == 36
    model.learn(64, reset_num_timesteps=False)
    assert model.num_timesteps == 100


def test_update_equals_recording_row_by_row(model):
    rollout = cartpole_rollout()
    agent = insides(small_model(n_steps=T, n_envs=E)).agent
    model.update(rollout)
    for t in range(T):
        agent.record(rollout.obs[t], rollout.actions[t][:, None])
        following = rollout.obs[t + 1] if t + 1 < T else rollout.last_obs
        agent.push(rollout.rewards[t], rollout.terminated[t], rollout.truncated[t], following, None)
    agent.update()
    np.testing.assert_array_equal(agent.theta, model.theta)
    np.testing.assert_array_equal(agent.value_theta, model.value_theta)


def test_update_bootstraps_from_final_obs(model):
    """After truncation at step 2, the value of final_obs counts, not that of the next row."""
    plain = cartpole_rollout()
    final = np.full((T, E, 4), np.nan)
    final[2, 0] = plain.obs[3, 0]
    cut = replace(
        plain,
        terminated=np.zeros((T, E)),
        truncated=plain.terminated,
        final_obs=final,
    )
    model.update(cut)
    other = small_model()
    final = final.copy()
    final[2, 0] += 1
    other.update(replace(cut, final_obs=final))
    assert not np.array_equal(model.value_theta, other.value_theta)


def test_invalid_rows_are_ignored(model):
    """A gap after the terminated step 2 of environment 0 shortens the batch by one."""
    rollout = cartpole_rollout()
    valid = np.ones((T, E), dtype=bool)
    valid[3, 0] = False
    thetas = []
    for filler in (0.0, np.nan):
        obs, rewards = rollout.obs.copy(), rollout.rewards.copy()
        obs[3, 0] = rewards[3, 0] = filler
        twin = small_model()
        gap = replace(rollout, obs=obs, rewards=rewards, valid=valid)
        assert twin.update(gap)["n_samples"] == T * E - 1
        thetas.append(np.array(twin.theta))
    np.testing.assert_array_equal(*thetas)


def nan_at(name, index):
    values = np.array(getattr(cartpole_rollout(), name), dtype=float)
    values[index] = np.nan
    return {name: values}


@table(
    ("changes", "error", "message"),
    [
        ({"obs": np.zeros((0, E, 4))}, ValueError, r"obs has shape \(0, 3, 4\), expected \(6"),
        ({"obs": np.zeros(4)}, ValueError, r"obs has shape \(4,\)"),
        ({"obs": np.zeros((T, E, 5))}, ValueError, r"obs has shape \(6, 3, 5\), expected"),
        ({"rewards": np.zeros((0, E))}, ValueError, r"rewards has shape \(0, 3\), expected \(T, E"),
        ({"rewards": np.zeros((T, E, 1))}, ValueError, r"rewards has shape \(6, 3, 1\)"),
        ({"actions": np.zeros((T, 2))}, ValueError, r"actions has shape \(6, 2\)"),
        ({"actions": np.full((T, E), 2)}, ValueError, "action 2 of environment 0 at step 0"),
        ({"last_obs": np.zeros((E, 3))}, ValueError, r"last_obs has shape \(3, 3\)"),
        ({"rewards": np.full((T, E), "1")}, TypeError, "rewards must be an array of real numbers"),
        ({"terminated": np.full((T, E), 2)}, ValueError, "terminated must hold"),
        ({"truncated": np.ones((T, E))}, ValueError, "final_obs is missing: environment 0 is trun"),
        ({"valid": np.zeros((T, E))}, ValueError, "valid is False everywhere"),
        ({"valid": np.arange(T)[:, None] < [5, 6, 6]}, ValueError, "0 has no step after step 4"),
        (nan_at("obs", (0, 1, 2)), ValueError, "observation of environment 1 .* at step 0"),
        (
            nan_at("obs", (4, 1, 2)),
            ValueError,
            r"^observation of .* 1 .*\(nan in component 2\) at step 4",
        ),
        (nan_at("rewards", (3, 2)), ValueError, "reward of environment 2 .* at step 3"),
        (nan_at("actions", (1, 2)), ValueError, "action nan of environment 2 at step 1"),
        (nan_at("last_obs", (0, 0)), ValueError, "^last observation of environment 0 .* at step 5"),
    ],
)
def test_invalid_rollouts_are_named_and_change_nothing(model, changes, error, message):
    before = {name: np.array(values) for name, values in model.snapshot().state.items()}
    with pytest.raises(error, match=message):
        model.update(replace(cartpole_rollout(), **changes))
    for name, values in model.snapshot().state.items():
        np.testing.assert_array_equal(values, before[name], err_msg=name)
    model.update(cartpole_rollout())


def test_final_observations_are_checked_only_where_needed(model):
    cut = replace(cartpole_rollout(), truncated=np.arange(T)[:, None] == [2, T, T])
    final = np.full((T, E, 4), np.nan)
    with pytest.raises(ValueError, match=r"^final observation of environment 0 .* at step 2"):
        model.update(replace(cut, final_obs=final))
    final[2, 0] = 0
    model.update(replace(cut, final_obs=final))


def test_update_accepts_only_rollouts(model):
    with pytest.raises(TypeError, match=r"fasttrpo\.Rollout, got int"):
        model.update(3)


@pytest.mark.parametrize("shape", [(T, E), (9, 2)])
def test_an_update_that_fails_midway_changes_nothing(shape):
    """1e200 is finite but overflows float32, which the agent detects only at the last step."""
    keywords = {"normalize_observations": True, "normalize_rewards": True}
    model, twin = small_model(**keywords), small_model(**keywords)
    for each in (model, twin):
        each.update(cartpole_rollout())
    agent = insides(model).agent
    wrong = cartpole_rollout(shape=shape)
    wrong.obs = wrong.obs.astype(float)
    wrong.obs[-1, 0, 0] = 1e200
    with pytest.raises(ValueError, match="not finite"):
        model.update(wrong)
    assert insides(model).agent is agent
    assert (insides(model).agent.n_recorded, model.n_updates) == (0, 1)
    assert same_state(model, twin)
    for each in (model, twin):
        each.update(cartpole_rollout(seed=1))
    assert same_state(model, twin)


def test_a_loaded_model_updates_without_an_environment(model, tmp_path):
    model.save(tmp_path / "model")
    loaded = TRPO.load(tmp_path / "model")
    assert loaded.update(cartpole_rollout())["n_samples"] == T * E
