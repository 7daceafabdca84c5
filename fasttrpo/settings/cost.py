"""Decides whether K-FAC is worth its cost: default settings omit it for large layers.

Work is counted in float32 multiply-adds of an update's dense kernels. For a network with layers of
K inputs and M outputs, P parameters, and a rollout of N rows:

    a product F v            4 N P        tangent forward, adjoint backward; 2 N P each
    a factor of size S       INVERT S^3   factored and inverted in float64
    a preconditioned vector  APPLY (K^2 M + K M^2) per layer, in float64
    an epoch of minibatches  3 N P

The two constants, measured on one core with AVX-512 for sizes of 64 to 512, are rough. So K-FAC is
omitted only if it clearly costs more than it saves, and if the cost is noticeable.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from fasttrpo.settings.critics import CRITICS, minibatch_rows
from fasttrpo.settings.policy_kwargs import n_inputs, resolve_features
from fasttrpo.settings.user import Settings

INVERT, APPLY = 25.0, 2.5
CLEARLY = 1.75  # times as much work
NOTICEABLE = 2.5e10  # work: about half a second on one core
PRODUCTS = 15, 3  # in conjugate gradient, without K-FAC and with it


def affordable(
    settings: Settings, chosen: Collection[str], obs_size: int, n_outputs: int
) -> Settings:
    """`settings`, without K-FAC (and with a warning) if that costs too much.

    chosen  names of the settings that the user chose, which are kept
    """
    network = settings.policy_kwargs
    resolve_features(network, obs_size)  # raises ValueError if there are too many
    inputs = n_inputs(network, obs_size)
    rows = settings.n_steps * settings.n_envs
    policy = [inputs, *network["net_arch"]["pi"], n_outputs]
    value = [inputs, *network["net_arch"]["vf"], 1]
    changes: dict[str, Any] = {}
    reasons: list[str] = []
    if (
        settings.preconditioner == "kfac"
        and "preconditioner" not in chosen
        and _is_expensive(*_of_policy(policy, -(-rows // settings.sub_sampling_factor)))
    ):
        changes["preconditioner"] = "none"
        reasons.append(_shape("policy", policy))
    cheaper = CRITICS[settings.critic].cheaper
    if (
        cheaper is not None
        and "critic" not in chosen
        and _is_expensive(*_of_critic(value, rows, CRITICS[cheaper].n_updates))
    ):
        changes["critic"] = cheaper
        reasons.append(_shape("value network", value))
    if changes:
        _warn(changes, reasons)
    return replace(settings, **changes)


def _is_expensive(with_kfac: float, without: float) -> bool:
    return with_kfac > CLEARLY * without and with_kfac > NOTICEABLE


def _of_policy(sizes: Sequence[int], rows: int) -> tuple[float, float]:
    """The work of solving for a step, with and without K-FAC."""
    product = 4.0 * rows * _parameters(sizes)
    plain, few = PRODUCTS
    return few * product + _factors(sizes) + (few + 1) * _applied(sizes), plain * product


def _of_critic(sizes: Sequence[int], rows: int, epochs: int) -> tuple[float, float]:
    """The work of fitting the critic, with K-FAC and by `epochs` epochs of gradient steps."""
    epoch = 3.0 * rows * _parameters(sizes)
    n_steps = -(-rows // minibatch_rows(rows))
    return epoch + _factors(sizes) + n_steps * _applied(sizes), epochs * epoch


def _layers(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """(inputs and bias, outputs) of each layer."""
    return [(inputs + 1, outputs) for inputs, outputs in pairwise(sizes)]


def _parameters(sizes: Sequence[int]) -> float:
    return float(sum(K * M for K, M in _layers(sizes)))


def _factors(sizes: Sequence[int]) -> float:
    return INVERT * sum(float(K) ** 3 + float(M) ** 3 for K, M in _layers(sizes))


def _applied(sizes: Sequence[int]) -> float:
    return APPLY * sum(float(K) * M * (K + M) for K, M in _layers(sizes))


def _shape(name: str, sizes: Sequence[int]) -> str:
    return f"the {name}'s layers are {'-'.join(map(str, sizes))}"


def _warn(changes: dict[str, str], reasons: list[str]) -> None:
    chosen = " and ".join(f"{name}={value!r}" for name, value in changes.items())
    kept = ", ".join(f"{name}='kfac'" for name in changes)
    warnings.warn(
        f"{chosen} instead of 'kfac', which would cost more than it saves: "
        f"{' and '.join(reasons)}, and K-FAC inverts matrices of these sizes in every update; "
        f"pass {kept} to keep it",
        UserWarning,
        stacklevel=4,
    )
