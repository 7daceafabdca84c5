"""Presets with the semantics of other libraries, to reproduce published results.

    model = TRPO("MlpPolicy", "Hopper-v5", preset="baselines", gamma=0.995)

Explicit keywords take precedence, in `policy_kwargs` name by name. A preset has the settings of the
peer's own entry point for MuJoCo, in fasttrpo's units; `kl_reduction="mean"` if the peer averages
the KL over action dimensions. All peers use conjugate gradient without a preconditioner, and a
critic network trained by Adam. Presets do not reproduce a peer's initial weights, random streams or
environment version. Some details always follow fasttrpo: truncated episodes are bootstrapped, CG
starts from 0 and stops at a relative residual, and advantages are divided by std + 1e-8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

from fasttrpo.checks.distributions import DISTRIBUTIONS
from fasttrpo.checks.suggest import unknown
from fasttrpo.checks.values import size
from fasttrpo.errors import UserError
from fasttrpo.settings.user import Settings


class PeerPreset(NamedTuple):
    """A peer's settings as keywords of `TRPO`."""

    source: str
    """repository, commit and files that the numbers were read from"""
    not_repeated: str
    """further differences from this peer, besides those in the module's docstring"""
    settings: dict[str, Any]
    discrete: Mapping[str, Any] = MappingProxyType({})
    """settings that differ if actions are not a Box"""


_COMMON: dict[str, Any] = {
    "preconditioner": "none",
    "critic": "adam",
    "learning_rate": 1e-3,
    "gamma": 0.99,
    "target_kl": 0.01,
    "cg_damping": 0.1,
    "cg_max_steps": 10,
    "line_search_shrinking_factor": 0.8,
    "line_search_max_iter": 10,
    "acceptance": "improvement",
    "kl_direction": "forward",
    "kl_reduction": "sum",
    "kl_slack": 1.0,
    "sub_sampling_factor": 1,
    "normalize_advantage": True,
}


def _network(hidden: list[int], value_hidden: list[int] | None = None, **more: Any) -> dict:
    arch = {"pi": hidden, "vf": value_hidden or hidden}
    return {"net_arch": arch, "activation_fn": "tanh", **more}


PEERS: dict[str, PeerPreset] = {
    "sb3": PeerPreset(
        "sb3-contrib 2.9.2, sb3_contrib/trpo/trpo.py: TRPO.__init__'s defaults, train()",
        "it accepts trials at KL < target_kl, fasttrpo at <=; its sub_sampling_factor also applies "
        "to the gradient and the line search",
        _COMMON
        | {
            "n_envs": 1,
            "n_steps": 2048,
            "cg_max_steps": 15,
            "kl_direction": "reverse",
            "kl_reduction": "mean",
            "gae_lambda": 0.95,
            "n_critic_updates": 10,
            "batch_size": 128,
            "policy_kwargs": _network([64, 64]),
        },
    ),
    "baselines": PeerPreset(
        "openai/baselines 4b8bdcc, baselines/trpo_mpi/defaults.py: mujoco(); trpo_mpi.py: learn()",
        "its Fisher product uses every fifth row in time order, as here with one environment; it "
        "drops incomplete critic minibatches, and clips observations to 5 standard deviations",
        _COMMON
        | {
            "n_envs": 1,
            "n_steps": 1024,
            "sub_sampling_factor": 5,
            "kl_slack": 1.5,
            "line_search_shrinking_factor": 0.5,
            "gae_lambda": 0.98,
            "n_critic_updates": 5,
            "batch_size": 64,
            "normalize_observations": True,
            "policy_kwargs": _network([32, 32]),
        },
    ),
    "spinningup": PeerPreset(
        "openai/spinningup 2092113, spinup/algos/tf1/trpo/trpo.py: trpo()'s defaults; core.py",
        "it truncates an epoch's last episode, which continues here",
        _COMMON
        | {
            "n_envs": 1,
            "n_steps": 4000,
            "kl_direction": "reverse",
            "gae_lambda": 0.97,
            "n_critic_updates": 80,
            "batch_size": 4000,
            "policy_kwargs": _network([64, 64], log_std_init=-0.5),
        },
        {"kl_direction": "forward"},
    ),
    "tianshou": PeerPreset(
        "thu-ml/tianshou 03132cc, examples/mujoco/mujoco_trpo.py: get_args(), test_trpo(); "
        "tianshou 2.0.1, tianshou/algorithm/modelfree/npg.py, trpo.py: _update_with_batch()",
        "it scales returns by their running std (return_scaling), which is not supported here; its "
        "learning rate falls to 0, here to one iteration's share of the start",
        _COMMON
        | {
            "n_envs": 16,
            "n_steps": 64,
            "learning_rate": "linear_0.001",
            "gae_lambda": 0.95,
            "n_critic_updates": 20,
            "batch_size": 1024,
            "normalize_observations": True,
            "scale_actions": True,
            "policy_kwargs": _network([64, 64], log_std_init=-0.5),
        },
        {"scale_actions": False},
    ),
    "mjrl": PeerPreset(
        "aravindr93/mjrl 4a7c219, mjrl/algos/trpo.py: TRPO; 2e0aae6, examples/train_swimmer.py; "
        "0714f7f, mjrl/policies/gaussian_mlp.py; 15be0d3, mjrl/baselines/mlp_baseline.py",
        "its critic has ReLU units, weight decay (1e-3), observations clipped at 10, and the time "
        "in the episode as an input; its CG starts from the gradient; its batches are complete "
        "episodes",
        _COMMON
        | {
            "n_envs": 10,
            "n_steps": 500,
            "gamma": 0.995,
            "gae_lambda": 0.97,
            "cg_damping": 1e-4,
            "acceptance": "kl",
            "line_search_shrinking_factor": 0.9,
            "line_search_max_iter": 100,
            "n_critic_updates": 2,
            "batch_size": 64,
            "policy_kwargs": _network([32, 32], [128, 128], log_std_min=-3.0, log_std_max=1.0),
        },
    ),
}


def expand(policy: Any, keywords: Mapping[str, Any], n_envs: int | None = None) -> dict[str, Any]:
    """`TRPO`'s keywords, completed by those of their `preset`; explicit ones take precedence.

    n_envs  number of environments passed; None if they are made from a name. If it differs from
            the preset's, n_steps is scaled so that an iteration has as many rows.

    A LinearPolicy gets the preset's value network. Raises ValueError with the nearest name for an
    unknown preset.
    """
    name = keywords.get("preset")
    if name is None:
        return dict(keywords)
    settings = dict(_find(name).settings)
    rows = settings["n_steps"] * settings["n_envs"]
    wanted = keywords.get("n_envs")
    if n_envs is None and wanted is not None:
        n_envs = size("n_envs", wanted)
    settings["n_envs"] = n_envs or settings["n_envs"]
    settings["n_steps"] = max(1, rows // settings["n_envs"])
    if policy == "LinearPolicy":
        arch = settings["policy_kwargs"]["net_arch"] | {"pi": []}
        settings["policy_kwargs"] = settings["policy_kwargs"] | {"net_arch": arch}
    given = {key: value for key, value in keywords.items() if value is not None}
    if isinstance(given.get("policy_kwargs"), Mapping):
        given["policy_kwargs"] = settings["policy_kwargs"] | given["policy_kwargs"]
    return settings | given


def for_actions(settings: Settings, keywords: Mapping[str, Any], distribution: str) -> Settings:
    """`settings` with the preset's values for these actions; explicit keywords take precedence."""
    if settings.preset is None or DISTRIBUTIONS[distribution].is_real:
        return settings
    differing = _find(settings.preset).discrete
    return replace(settings, **{k: v for k, v in differing.items() if keywords.get(k) is None})


def _find(name: Any) -> PeerPreset:
    if not isinstance(name, str) or name not in PEERS:
        raise UserError(unknown("preset", str(name), PEERS))
    return PEERS[name]
