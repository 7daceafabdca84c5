"""The core's settings in `.bin` files, as in csrc/core/saved_settings.c: fields of the sections
`policy` and `training`, by name. And the keywords of `TRPO` that give them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from fasttrpo.files.plain_spaces import BOUNDS, CLIP, SCALE
from fasttrpo.files.sections import Damaged
from fasttrpo.settings import Settings
from fasttrpo.settings.agent import AgentSettings, averaged
from fasttrpo.settings.row import Row
from fasttrpo.settings.table import ROWS

POLICY, TRAINING = "policy", "training"
# The settings in the section `policy`; all others are in `training`.
POLICY_SETTINGS = (
    *("obs_size", "distribution", "parts", "policy_hidden", "activation", "log_std_init"),
    *("log_std_min", "log_std_max", "features", "n_features", "feature_bandwidth"),
    *("feature_degree", "normalize_observations"),
)
# The settings that a C program can change between loading a model and saving it, besides those in
# `training` that are keywords of TRPO: they do not define the arrays.
_FREE_KWARGS = ("ortho_init", "log_std_init", "log_std_min", "log_std_max")
# Keywords whose defaults follow from others: they stay what they were in C.
_DERIVED = ("cg_max_steps", "n_critic_updates")
C_ONLY = ("cg_tolerance", "critic_damping")
_WORD = 2**32
_DTYPES = {"int": np.int32, "flag": np.int32, "sizes": np.int32, "real": np.float64}
_DTYPES |= {"seed": np.uint64}
_RANKS = {"sizes": 1}


# -- writing ---------------------------------------------------------------------------------------


def fields_of(agent: AgentSettings) -> dict[str, dict[str, Any]]:
    """The settings in each section; numbers of features that there are not are left out."""
    found: dict[str, dict[str, Any]] = {POLICY: {}, TRAINING: {}}
    for row in ROWS.values():
        if _is_used(row.name, agent.features):
            value = _as_field(row, getattr(agent, row.name))
            found[section_of(row.name)][row.name] = value
    return found


def section_of(name: str) -> str:
    """The section of a setting."""
    return POLICY if name in POLICY_SETTINGS else TRAINING


def _is_used(name: str, features: str) -> bool:
    if name in ("n_features", "feature_bandwidth"):
        return features in ("fourier", "rbf")
    return name != "feature_degree" or features == "polynomial"


def _as_field(row: Row, value: Any) -> Any:
    return value if row.type == "word" else np.array(value, _DTYPES[row.type])


# -- reading ---------------------------------------------------------------------------------------


def values_of(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The core's settings, {name: plain value}; what is missing has its default."""
    values = {}
    for row in ROWS.values():
        field = found.get(section_of(row.name), {}).get(row.name)
        values[row.name] = row.default if field is None else _checked(row, field)
        if values[row.name] is None:
            raise Damaged(f"lacks the setting {row.name}")
    return values


def _checked(row: Row, field: Any) -> Any:
    """The plain value of a setting's field."""
    if row.type != "word":
        is_array = isinstance(field, np.ndarray) and field.dtype == _DTYPES[row.type]
        if not is_array or field.ndim != _RANKS.get(row.type, 0):
            raise Damaged(f"is damaged: its setting {row.name} has another type")
    elif not isinstance(field, str):
        raise Damaged(f"is damaged: its setting {row.name} is not a word")
    value = plain(row, field)
    for each in value if row.type == "sizes" else (value,):
        row.check(row.name, each)
    return value


def plain(row: Row, field: Any) -> Any:
    """A field as a value of `AgentSettings`."""
    if row.type == "word":
        return field
    value = field.tolist()
    return tuple(value) if row.type == "sizes" else bool(value) if row.type == "flag" else value


# -- keywords --------------------------------------------------------------------------------------


def seed_of(state: Mapping[str, np.ndarray]) -> int:
    """The seed in the counters."""
    low, high = (int(word) for word in state["counters"][:2])
    return low + _WORD * high


def user_settings(core: Mapping[str, Any], policy: Mapping[str, Any]) -> Settings:
    """The keywords of `TRPO` that give the core's settings."""
    features = {"features": core["features"]}
    for name in ("n_features", "feature_bandwidth", "feature_degree"):
        if _is_used(name, core["features"]) and not (
            name == "feature_bandwidth" and not core[name]
        ):
            features[name] = core[name]
    network = {
        "net_arch": {"pi": list(core["policy_hidden"]), "vf": list(core["value_hidden"])},
        "activation_fn": core["activation"],
        **{name: core[name] for name in ("log_std_init", "log_std_min", "log_std_max")},
        "ortho_init": core["ortho_init"],
        **features,
    }
    to_env = int(policy[BOUNDS[2]].item()) if BOUNDS[2] in policy else CLIP
    return Settings(
        **_keywords(core),
        policy="MlpPolicy" if core["policy_hidden"] else "LinearPolicy",
        policy_kwargs=network,
        seed=seed_of(policy),
        clip_actions=bool(to_env & CLIP),
        scale_actions=bool(to_env & SCALE),
    )


def with_changes(
    settings: Settings, before: AgentSettings, found: Mapping[str, Mapping[str, Any]]
) -> Settings:
    """`settings`, which give `before`, with those that a C program has changed since."""
    core, fields = values_of(found), fields_of(before)
    new = {
        name: core[name]
        for section in (POLICY, TRAINING)
        for name, value in fields[section].items()
        if section in found and core[name] != plain(ROWS[name], value)
    }
    if new and TRAINING in found:
        new |= {name: core[name] for name in _DERIVED}
    values = {n: v for n, v in _keywords(core).items() if n in new and section_of(n) == TRAINING}
    for name in {"target_kl", "cg_damping"} & set(values):
        values[name] /= averaged(settings, before.distribution, before.parts)
    free = {name: new[name] for name in _FREE_KWARGS if name in new}
    if free:
        values["policy_kwargs"] = {**(settings.policy_kwargs or {}), **free}
    return replace(settings, **values)


def _keywords(core: Mapping[str, Any]) -> dict[str, Any]:
    """The core's settings that are keywords of `TRPO`; the seed is in the counters."""
    names = set(Settings.__dataclass_fields__) & set(core) - {"seed"}
    return {name: core[name] for name in names} | {"batch_size": core["batch_size"] or None}


def warn_of_c_only(training: Mapping[str, Any]) -> None:
    """Warns of settings that Python does not have."""
    for name in C_ONLY:
        value = _checked(ROWS[name], training[name]) if name in training else ROWS[name].default
        if value != ROWS[name].default:
            warnings.warn(
                f"only C programs have the setting {name}, {value:g} in this file: Python trains "
                f"with {ROWS[name].default:g}",
                stacklevel=2,
            )
