"""Tuned presets: settings that `TRPO` accepts, for existing environments."""

from __future__ import annotations

import pytest
from tables import table

from fasttrpo import TRPO
from fasttrpo.envs import mujoco
from fasttrpo.settings.tuned import DEFAULT, OVERRIDES, PRESETS, settings_for

CASES = [(env_id, policy) for env_id in PRESETS for policy in ("MlpPolicy", "LinearPolicy")]


@table(("env_id", "policy"), CASES)
def test_presets_are_valid_and_train_complete_iterations(env_id, policy):
    if env_id in mujoco.IDS:
        pytest.importorskip("mujoco.batch", reason="no MuJoCo with mujoco.batch")
    preset = settings_for(env_id, policy)
    model = TRPO(policy, env_id, **preset.settings)
    rows = model.settings.n_steps * model.settings.n_envs
    assert preset.total_timesteps % rows == 0
    model.get_env().close()


def test_overrides_belong_to_presets():
    assert {env_id for env_id, _ in OVERRIDES} <= set(PRESETS)


def test_unknown_environments_get_the_default():
    assert settings_for("Breakout-v9") == DEFAULT


@pytest.mark.parametrize("prefix", ["fasttrpo/", "fasttrpo.envs:fasttrpo/"])
def test_our_ids_have_the_presets_of_gymnasium_ids(prefix):
    for env_id in ("Pendulum-v1", "Hopper-v5"):
        assert settings_for(f"{prefix}{env_id}") == PRESETS[env_id]


def test_a_preset_is_a_deep_copy():
    settings_for("CartPole-v1").settings["gamma"] = 0.0
    assert settings_for("CartPole-v1").settings["gamma"] != 0.0
    settings_for("HalfCheetah-v5").settings["policy_kwargs"]["log_std_init"] = 0.0
    assert settings_for("HalfCheetah-v5").settings["policy_kwargs"]["log_std_init"] == -1.0
