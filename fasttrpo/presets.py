"""Settings that are known to work, per environment id."""

from __future__ import annotations

from typing import Any, NamedTuple


class Preset(NamedTuple):
    """How long to train, and the keywords of `TRPO`."""

    total_timesteps: int
    settings: dict[str, Any]


DEFAULT = Preset(100_000, {"n_envs": 8, "n_steps": 256})

PRESETS = {
    "CartPole-v1": Preset(
        60_000,
        {"n_envs": 8, "n_steps": 125, "gamma": 0.99, "gae_lambda": 0.95},
    ),
    "Acrobot-v1": Preset(
        100_000,
        {
            "n_envs": 16,
            "n_steps": 125,
            "gamma": 0.99,
            "gae_lambda": 0.95,
            "normalize_observations": True,
        },
    ),
    "Pendulum-v1": Preset(
        150_000,
        {
            "n_envs": 5,
            "n_steps": 200,
            "gamma": 0.95,
            "gae_lambda": 0.9,
            "normalize_observations": True,
            "normalize_rewards": True,
        },
    ),
}

# What differs for a policy other than MlpPolicy: (environment id, policy) -> settings.
OVERRIDES: dict[tuple[str, str], dict[str, Any]] = {
    ("CartPole-v1", "LinearPolicy"): {"normalize_observations": True, "n_critic_updates": 3},
}


def settings_for(env_id: str, policy: str = "MlpPolicy") -> Preset:
    """The preset of an environment and policy; `DEFAULT` for any other environment."""
    env_id = env_id.removeprefix("fasttrpo.envs:").removeprefix("fasttrpo/")
    preset = PRESETS.get(env_id, DEFAULT)
    return preset._replace(settings=preset.settings | OVERRIDES.get((env_id, policy), {}))
