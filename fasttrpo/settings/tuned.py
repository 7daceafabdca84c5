"""Tuned settings per environment id."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, NamedTuple


class Preset(NamedTuple):
    """The number of steps to train, and keywords of `TRPO`."""

    total_timesteps: int
    settings: dict[str, Any]


DEFAULT = Preset(100_000, {"n_envs": 8, "n_steps": 256})

# MuJoCo. The trust region bounds the *sum* of the KL over action components, so it is a multiple of
# the 0.01 that is usual for means: after 500,000 steps, Hopper reaches 1,500 with 0.01 and 3,500
# with 0.03. gamma and gae_lambda are mjrl's (aravindr93/mjrl, examples/train_swimmer.py).
MUJOCO: dict[str, Any] = {
    "n_envs": 16,
    "n_steps": 128,
    "gamma": 0.995,
    "gae_lambda": 0.97,
    "target_kl": 0.03,
    "normalize_observations": True,
    "normalize_rewards": True,
}
# Small batches learn to balance in the fewest steps; a shrinking trust region prevents unlearning.
BALANCE = MUJOCO | {"n_steps": 64, "target_kl": "linear_0.02"}
# Less initial noise: without it HalfCheetah stays near 1,500 for some seeds. It hurts where a fall
# ends the episode: Walker2d then stays near 1,000, the return of standing still.
CALM = MUJOCO | {"gamma": 0.99, "gae_lambda": 0.95, "policy_kwargs": {"log_std_init": -1.0}}

# Tuned for the time to reach the target (`python -m bench.learning`): starting a process takes
# longer than most of these runs, and small batches need the fewest steps.
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
    # Rollouts of complete episodes: the environments start together, so in shorter rollouts all of
    # them would swing up in one iteration and balance in the next.
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
    # Sparse rewards: enough environments that some reach the goal by chance, and complete episodes.
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
    "InvertedPendulum-v5": Preset(100_352, BALANCE),
    "InvertedDoublePendulum-v5": Preset(150_528, BALANCE),
    "Reacher-v5": Preset(301_056, CALM | {"target_kl": "linear_0.04"}),
    # A stroke pays off late, and episodes never end early: long rollouts of few environments.
    "Swimmer-v5": Preset(
        999_424,
        MUJOCO
        | {"n_envs": 4, "n_steps": 512, "gamma": 0.999, "gae_lambda": 0.98, "target_kl": 0.06},
    ),
    "Hopper-v5": Preset(999_424, MUJOCO),
    "HalfCheetah-v5": Preset(999_424, CALM),
    "Walker2d-v5": Preset(999_424, MUJOCO),
}

# Changes for policies other than MlpPolicy: (environment id, policy) -> settings.
OVERRIDES: dict[tuple[str, str], dict[str, Any]] = {
    ("CartPole-v1", "LinearPolicy"): {"n_critic_updates": 3},
}


def settings_for(env_id: str, policy: str = "MlpPolicy") -> Preset:
    """The preset for an environment and policy; `DEFAULT` for an unknown environment."""
    preset = PRESETS.get(env_id := _plain(env_id), DEFAULT)
    return preset._replace(settings=deepcopy(preset.settings) | OVERRIDES.get((env_id, policy), {}))


def is_tuned(env_id: str) -> bool:
    """Whether there is a preset for the environment."""
    return _plain(env_id) in PRESETS


def _plain(env_id: str) -> str:
    """Gymnasium's id of an environment."""
    return env_id.removeprefix("fasttrpo.envs:").removeprefix("fasttrpo/")
