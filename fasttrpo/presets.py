"""Settings that are known to work, per environment id."""

from __future__ import annotations

from typing import Any, NamedTuple


class Preset(NamedTuple):
    """How long to train, and the keywords of `TRPO`."""

    total_timesteps: int
    settings: dict[str, Any]


DEFAULT = Preset(100_000, {"n_envs": 8, "n_steps": 256})

# Tuned for the wall clock until the target is reached (`python -m bench.learning`): starting a
# process costs more than most of these runs, and small batches reach it in the fewest steps.
PRESETS = {
    "CartPole-v1": Preset(
        58_368,
        {
            "n_envs": 16,
            "n_steps": 64,
            "gamma": 0.98,
            "gae_lambda": 0.95,
            "normalize_observations": True,
        },
    ),
    "Acrobot-v1": Preset(
        99_328,
        {
            "n_envs": 16,
            "n_steps": 64,
            "gamma": 0.99,
            "gae_lambda": 0.95,
            "normalize_observations": True,
        },
    ),
    # Rollouts of whole episodes: the environments start together, so that shorter ones would be all
    # swinging up in one iteration and all balancing in the next.
    "Pendulum-v1": Preset(
        150_000,
        {
            "n_envs": 10,
            "n_steps": 200,
            "gamma": 0.97,
            "gae_lambda": 0.9,
            "normalize_observations": True,
            "normalize_rewards": True,
        },
    ),
    # Sparse rewards: environments enough that some reach the goal by chance, and whole episodes.
    "MountainCar-v0": Preset(
        499_200,
        {
            "n_envs": 16,
            "n_steps": 200,
            "gamma": 0.99,
            "gae_lambda": 0.95,
            "normalize_observations": True,
            "normalize_rewards": True,
        },
    ),
    "MountainCarContinuous-v0": Preset(
        120_000,
        {
            "n_envs": 16,
            "n_steps": 500,
            "gamma": 0.999,
            "gae_lambda": 0.95,
            "normalize_observations": True,
            "normalize_rewards": True,
        },
    ),
}

# What differs for a policy other than MlpPolicy: (environment id, policy) -> settings.
OVERRIDES: dict[tuple[str, str], dict[str, Any]] = {
    ("CartPole-v1", "LinearPolicy"): {"n_critic_updates": 3},
}


def settings_for(env_id: str, policy: str = "MlpPolicy") -> Preset:
    """The preset of an environment and policy; `DEFAULT` for any other environment."""
    env_id = env_id.removeprefix("fasttrpo.envs:").removeprefix("fasttrpo/")
    preset = PRESETS.get(env_id, DEFAULT)
    return preset._replace(settings=preset.settings | OVERRIDES.get((env_id, policy), {}))
