"""The configurations of TRPO in rl-baselines3-zoo construct a model, or are refused with a reason.

From its hyperparams/trpo.yml and hyperparams/python/trpo.py: what differs between their entries, by
the first environment that has it. The zoo itself uses n_timesteps, normalize and the like; it
passes TRPO the rest, with `policy_kwargs` evaluated.
"""

from __future__ import annotations

import warnings

import pytest
from tables import table

from fasttrpo import TRPO


class ReLU:
    """Has the name of torch.nn's class."""


class NormalizeFeaturesExtractor:
    """Has the name of the class in `imitation`, which the zoo's seals environments use."""


# policy_kwargs of ReacherBulletEnv-v0; those of Walker2DBulletEnv-v0, with -2, are commented out.
WIDE = {
    "ortho_init": False,
    "activation_fn": ReLU,
    "net_arch": {"pi": [256, 256], "vf": [256, 256]},
}
BULLET = {
    "batch_size": 128,
    "n_steps": 1024,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "sub_sampling_factor": 1,
    "cg_max_steps": 25,
    "cg_damping": 0.1,
    "n_critic_updates": 20,
    "learning_rate": 1e-3,
}
CONFIGURATIONS = {
    "default": {},
    "CartPole-v1": {
        "n_steps": 512,
        "batch_size": 512,
        "cg_damping": 1e-3,
        "gae_lambda": 0.98,
        "gamma": 0.99,
        "learning_rate": 1e-3,
        "n_critic_updates": 20,
    },
    "LunarLander-v3": {
        "n_steps": 512,
        "cg_damping": 0.01,
        "gae_lambda": 0.98,
        "learning_rate": 1e-3,
        "n_critic_updates": 15,
    },
    "LunarLanderContinuous-v3": {"n_steps": 1024, "n_critic_updates": 20},
    "Acrobot-v1": {"n_steps": 1024},
    "HalfCheetahBulletEnv-v0": BULLET,
    "HalfCheetah-v4": BULLET | {"target_kl": 0.04},
    "Swimmer-v4": BULLET | {"gamma": 0.9999},
    "ReacherBulletEnv-v0": BULLET | {"policy_kwargs": {"log_std_init": -1, **WIDE}},
    "Walker2DBulletEnv-v0": BULLET | {"policy_kwargs": {"log_std_init": -2, **WIDE}},
    "MinitaurBulletEnv-v0": {
        "n_steps": 2048,
        "batch_size": 64,
        "gae_lambda": 0.95,
        "gamma": 0.99,
        "learning_rate": 2.5e-4,
    },
}
GSDE = "state-dependent exploration .gSDE. is not implemented"


@table("name", CONFIGURATIONS)
def test_each_configuration_makes_a_model_with_its_settings(name):
    given = CONFIGURATIONS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = TRPO("MlpPolicy", "Pendulum-v1", n_envs=2, preset="sb3", seed=0, **given)
    for key, value in given.items():
        if key == "policy_kwargs":
            wanted = value | {"activation_fn": "relu"}
            assert wanted.items() <= model.settings.policy_kwargs.items()
            assert model.policy.state_dict()["action_net.bias"].all()  # 0 where orthogonal
        else:
            assert getattr(model, key) == value, key


@table(
    ("name", "given", "reason"),
    [
        (
            "Pendulum-v1",
            {"gamma": 0.9, "n_critic_updates": 15, "use_sde": True, "sde_sample_freq": 4},
            GSDE,
        ),
        ("MountainCarContinuous-v0", {"use_sde": True, "sde_sample_freq": 4}, GSDE),
        (
            "seals/Ant-v0",
            BULLET | {"policy_kwargs": {"features_extractor_class": NormalizeFeaturesExtractor}},
            "NormalizeFeaturesExtractor.* not supported.*normalize_observations=True",
        ),
    ],
)
def test_the_others_are_refused_with_the_reason(name, given, reason):
    with pytest.raises(ValueError, match=reason):
        TRPO("MlpPolicy", "Pendulum-v1", n_envs=2, preset="sb3", **given)
