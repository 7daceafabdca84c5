"""`policy_kwargs`: network shapes, features and initial standard deviation, as plain values.

Features of the observation replace it as the input of both networks (formulas:
csrc/core/features.c). A policy that is linear in them is not linear in the observation.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fasttrpo.checks.suggest import unknown
from fasttrpo.checks.values import Check, positive, real, refuse, size
from fasttrpo.errors import UserError, UserTypeError
from fasttrpo.settings.sb3_arguments import drop_ignored_policy_kwargs
from fasttrpo.settings.table import ROWS

ACTIVATIONS = ROWS["activation"].choices
HIDDEN = (64, 64)
FEATURES = ROWS["features"].choices
MOST_FEATURES = int(ROWS["n_features"].high)


class _FeatureSetting(NamedTuple):
    default: Any
    check: Check
    users: tuple[str, ...]
    """the features that it applies to"""


_FEATURE_SETTINGS = {
    # The cost of an update grows with their square. Rajeswaran et al. 2017 use up to 500.
    "n_features": _FeatureSetting(
        ROWS["n_features"].default, ROWS["n_features"].check, ("fourier", "rbf")
    ),
    "feature_bandwidth": _FeatureSetting(None, positive, ("fourier", "rbf")),
    "feature_degree": _FeatureSetting(
        ROWS["feature_degree"].default, ROWS["feature_degree"].check, ("polynomial",)
    ),
}


class Keyword(NamedTuple):
    """A name in `policy_kwargs`, for docs/settings.md."""

    default: Any
    legal: str
    meaning: str


def _of_row(name: str) -> Keyword:
    row = ROWS[name]
    return Keyword(row.default, row.check.legal, row.meaning)


def _feature(name: str, meaning: str = "") -> Keyword:
    own = _FEATURE_SETTINGS[name]
    return Keyword(own.default, own.check.legal, meaning or ROWS[name].meaning)


KEYWORDS = {
    "net_arch": Keyword(
        list(HIDDEN),
        "a list of layer widths, or dict(pi=[...], vf=[...])",
        "hidden layers of the policy (pi) and the value network (vf); LinearPolicy has pi=[]",
    ),
    "activation_fn": Keyword(
        ROWS["activation"].default,
        f"{ROWS['activation'].check.legal}, or a class with such a name",
        ROWS["activation"].meaning,
    ),
    "log_std_init": _of_row("log_std_init"),
    "log_std_min": _of_row("log_std_min"),
    "log_std_max": _of_row("log_std_max"),
    "ortho_init": _of_row("ortho_init"),
    "features": _of_row("features")._replace(
        meaning="for LinearPolicy: features of the observation that replace it as the input of "
        "both networks; the formulas are in csrc/core/features.c"
    ),
    "n_features": _feature("n_features"),
    "feature_bandwidth": _feature(
        "feature_bandwidth",
        "bandwidth nu of fourier and rbf features. None: sqrt(2 O) for fourier and sqrt(O / 2) for "
        "rbf, which suits observations of O components of variance 1",
    ),
    "feature_degree": _feature("feature_degree"),
}


def network(policy: str, given: Any) -> dict[str, Any]:
    """`policy_kwargs` as plain values: net_arch {pi, vf}, activation_fn, log_std_..., features.

    Feature settings that the chosen features do not use are None.
    """
    given = {} if given is None else given
    if not isinstance(given, Mapping):
        raise refuse("policy_kwargs", given, "a dict")
    given = drop_ignored_policy_kwargs(given)
    for name in given:
        if name not in KEYWORDS:
            raise UserTypeError(f"policy_kwargs: {unknown('name', str(name), KEYWORDS)}")
    ortho_init = ROWS["ortho_init"]
    return {
        "net_arch": _net_arch(policy, given.get("net_arch")),
        "activation_fn": _activation(given.get("activation_fn", "tanh")),
        **_log_std(given),
        "ortho_init": ortho_init.check(
            "policy_kwargs ortho_init", given.get("ortho_init", ortho_init.default)
        ),
        **_features(policy, given),
    }


def _log_std(given: Mapping[str, Any]) -> dict[str, float]:
    """log_std_init and its two bounds."""
    init, low, high = (ROWS[f"log_std_{each}"] for each in ("init", "min", "max"))
    values = {row.name: given.get(row.name, row.default) for row in (init, low, high)}
    start = init.check(f"policy_kwargs {init.name}", values[init.name])
    below = real(f"a number from {low.low:g} to {init.name}", lambda x: low.low <= x <= start)
    above = real(f"a number from {init.name} to {high.high:g}", lambda x: start <= x <= high.high)
    return {
        init.name: start,
        low.name: below(f"policy_kwargs {low.name}", values[low.name]),
        high.name: above(f"policy_kwargs {high.name}", values[high.name]),
    }


def _net_arch(policy: str, given: Any) -> dict[str, list[int]]:
    """Hidden widths of the policy (pi) and of the value network (vf)."""
    linear = policy == "LinearPolicy"
    arch: dict[str, Any] = {"pi": () if linear else HIDDEN, "vf": HIDDEN}
    given = _without_old_style(given)
    if isinstance(given, Mapping):
        for name in given:
            if name not in arch:
                raise UserError(f"policy_kwargs net_arch: {unknown('name', str(name), arch)}")
        arch |= given
    elif given is not None:
        arch = {"pi": given, "vf": given}
    arch = {name: _widths(f"policy_kwargs net_arch {name}", arch[name]) for name in arch}
    if linear and arch["pi"]:
        raise UserError(
            f"LinearPolicy has no hidden layers, got net_arch pi={arch['pi']}; "
            "the value network's are set by net_arch=dict(vf=[...])"
        )
    return arch


def _without_old_style(given: Any) -> Any:
    """Converts [dict(pi=..., vf=...)], Stable-Baselines3's style before 1.8, with a warning.

    Raises ValueError for layers shared by both networks.
    """
    if not _is_list(given) or not any(isinstance(each, Mapping) for each in given):
        return given
    if len(given) > 1:
        raise UserError(
            f"policy_kwargs net_arch={given!r}: the policy and the value network share no layers; "
            "set the widths of each: net_arch=dict(pi=[...], vf=[...])"
        )
    warnings.warn(
        "policy_kwargs net_arch=[dict(pi=..., vf=...)] is the old style of Stable-Baselines3: "
        "write net_arch=dict(pi=..., vf=...)",
        UserWarning,
        stacklevel=8,
    )
    return given[0]


def _is_list(given: Any) -> bool:
    return isinstance(given, Sequence) and not isinstance(given, str)


def _widths(name: str, given: Any) -> list[int]:
    given = given.tolist() if hasattr(given, "tolist") else given  # an array
    if not _is_list(given):
        raise refuse(name, given, "a list of layer widths")
    return [size(f"{name} width", width) for width in given]


def _activation(given: Any) -> str:
    """The name, also of a class such as torch.nn.Tanh, without importing torch."""
    name = given if isinstance(given, str) else getattr(given, "__name__", None)
    if not isinstance(name, str) or name.lower() not in ACTIVATIONS:
        legal = f"one of {', '.join(ACTIVATIONS)} or a class with such a name"
        raise refuse("policy_kwargs activation_fn", given, legal)
    return name.lower()


def _features(policy: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The name of the features, and their settings."""
    name = given.get("features")
    name = "none" if name is None else name
    if not isinstance(name, str) or name not in FEATURES:
        raise UserError(f"policy_kwargs: {unknown('features', str(name), FEATURES)}")
    if name != "none" and policy != "LinearPolicy":
        raise UserError(
            f"policy_kwargs features={name!r} requires a policy that is linear in them: use "
            '"LinearPolicy", or omit features: "MlpPolicy" learns them in its hidden layers'
        )
    return {"features": name} | {
        setting: _feature_setting(setting, given.get(setting), name)
        for setting in _FEATURE_SETTINGS
    }


def _feature_setting(setting: str, value: Any, features: str) -> Any:
    default, check, users = _FEATURE_SETTINGS[setting]
    if value is None:
        return default if features in users else None
    if features not in users:
        legal = " or ".join(map(repr, users))
        raise UserError(
            f"policy_kwargs {setting} needs features={legal}; features={features!r} does not use it"
        )
    return check(f"policy_kwargs {setting}", value)


def wants_unit_scale(network: Mapping[str, Any]) -> bool:
    """Whether the features' centres or default bandwidth assume observations of variance 1."""
    default = network["feature_bandwidth"] is None
    return network["features"] == "rbf" or (network["features"] == "fourier" and default)


def n_inputs(network: Mapping[str, Any], obs_size: int) -> int:
    """Number of network inputs for observations of obs_size components."""
    if network["features"] == "none":
        return obs_size
    degree = network["feature_degree"]
    if degree is not None:
        return math.comb(obs_size + degree, degree) - 1
    return int(network["n_features"])


def resolve_features(network: Mapping[str, Any], obs_size: int) -> dict[str, Any]:
    """The fields of `AgentSettings` that features set, for observations of obs_size.

    Raises ValueError with the number of polynomial features if there are too many.
    """
    degree, count = network["feature_degree"], n_inputs(network, obs_size)
    if degree is not None and count > MOST_FEATURES:
        number = f"{count:,}" if count < 10**15 else "more than 10**15"
        raise UserError(
            f"policy_kwargs feature_degree={degree}: {obs_size} observation components have "
            f"{number} monomials up to that degree, and at most {MOST_FEATURES:,} features are "
            "supported; use a lower feature_degree, or features='fourier'"
        )
    names = ("features", *_FEATURE_SETTINGS)
    return {name: network[name] for name in names if network[name] is not None}
