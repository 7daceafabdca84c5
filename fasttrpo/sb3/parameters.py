"""A model's parameters under Stable-Baselines3's names, for exchange with its models.

The policy's hidden layer l is "mlp_extractor.policy_net.{2 l}.weight" (out, in) and ".bias" (out,),
its last layer "action_net"; the critic's are "mlp_extractor.value_net.{2 l}" and "value_net". A
Gaussian policy also has "log_std" (D,). All are NumPy arrays of float64. A critic that is not a
network ("ridge") has "value_net.coefficients". Normalisers are not included; `save` writes them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fasttrpo import spaces
from fasttrpo.checks.distributions import DISTRIBUTIONS
from fasttrpo.errors import UserError, UserRuntimeError
from fasttrpo.settings.critics import CRITICS

Parameters = dict[str, np.ndarray]


def state_dict(model: Any) -> Parameters:
    """Copies of all parameters by name, always in the same order."""
    return {name: np.array(view) for name, view in _views(model, *_vectors(model))}


def load_state_dict(model: Any, given: Mapping[str, Any], exact: bool = True) -> None:
    """Sets parameters by name; others keep their values. The model is unchanged after an error.

    exact  whether every parameter must be given

    Raises RuntimeError, as PyTorch does, with the names that are missing, unknown or have the wrong
    shape, and also during a rollout.
    """
    vectors = _vectors(model)
    views = dict(_views(model, *vectors))
    missing = [name for name in views if name not in given] if exact else []
    unknown = [str(name) for name in given if name not in views]
    if missing or unknown:
        raise UserRuntimeError(f"parameters missing: {missing}, unknown: {unknown}")
    for name, values in given.items():
        values = np.asarray(values, np.float64)
        if values.shape != views[name].shape:
            raise UserRuntimeError(f"{name} has shape {values.shape}, expected {views[name].shape}")
        if not np.isfinite(values).all():
            raise UserRuntimeError(f"{name} is not finite")
        views[name][...] = values
    model.theta, model.value_theta = vectors


def set_objects(model: Any, given: Mapping[str, Any], exact: bool) -> None:
    """Sets {"policy": parameters by name}. Raises ValueError for unknown or missing objects."""
    unknown = sorted(set(given) - {"policy"})
    if unknown:
        raise UserError(f"there are no parameters of {unknown}, only of 'policy'")
    if exact and "policy" not in given:
        raise UserError("parameters of 'policy' are missing")
    if "policy" in given:
        load_state_dict(model, given["policy"], exact)


def _vectors(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """Copies of the policy's and the critic's parameters, flat."""
    return model.theta, model.value_theta


def _views(
    model: Any, theta: np.ndarray, value_theta: np.ndarray
) -> Iterator[tuple[str, np.ndarray]]:
    """The parameters by name, as views into the flat vectors."""
    settings = model.settings
    _, actions = spaces.describe(model.observation_space, model.action_space)
    arch, outputs = settings.policy_kwargs["net_arch"], sum(actions.parts)
    n_log_std = DISTRIBUTIONS[actions.distribution].n_log_std(actions.parts)
    if n_log_std > 0:
        theta, log_std = theta[:-n_log_std], theta[-n_log_std:]
        yield "log_std", log_std
    yield from _layers(theta, [*arch["pi"], outputs], "policy_net", "action_net")
    if CRITICS[settings.critic].is_network:
        yield from _layers(value_theta, [*arch["vf"], 1], "value_net", "value_net")
    else:
        yield "value_net.coefficients", value_theta


def _layers(
    theta: np.ndarray, widths: list[int], hidden: str, last: str
) -> Iterator[tuple[str, np.ndarray]]:
    """A network's weights (out, in) and biases (out,).

    In the flat vector each layer is a row-major (in + 1) x out matrix whose last row is the bias.
    """
    later = sum((a + 1) * b for a, b in itertools.pairwise(widths))
    n_in, start = (len(theta) - later) // widths[0] - 1, 0
    for i, n_out in enumerate(widths):
        shape = n_in + 1, n_out
        layer = theta[start : start + math.prod(shape)].reshape(shape)
        name = last if i == len(widths) - 1 else f"mlp_extractor.{hidden}.{2 * i}"
        yield f"{name}.weight", layer[:-1].T
        yield f"{name}.bias", layer[-1]
        start, n_in = start + layer.size, n_out
