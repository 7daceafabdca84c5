"""Model files of C programs, `.bin` (docs/file-format.md), as checkpoints and back.

The sections `policy` and `training` are those of the core (csrc/core/fields.c, saved_settings.c);
`environments` has the bytes of `trpo_envs_save`. What they cannot express, such as the spaces of
Gymnasium and the settings of Python, is in the section `python`, which core programs skip. It is
left out where it would say nothing new, so that a file from C is written again as it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np

from fasttrpo.checks import arrays
from fasttrpo.files import checkpoint as archives
from fasttrpo.files import sections
from fasttrpo.files.sections import Damaged
from fasttrpo.settings import Settings
from fasttrpo.settings.agent import AgentSettings, resolve
from fasttrpo.settings.row import Row
from fasttrpo.settings.sizes import state_sizes
from fasttrpo.settings.table import ROWS
from fasttrpo.spaces import from_json

POLICY, TRAINING, ENVIRONMENTS, PYTHON = "policy", "training", "environments", "python"
# The settings in the section `policy`; all others are in `training`.
POLICY_SETTINGS = (
    *("obs_size", "distribution", "parts", "policy_hidden", "activation", "log_std_init"),
    *("log_std_min", "log_std_max", "features", "n_features", "feature_bandwidth"),
    *("feature_degree", "normalize_observations"),
)
# The agent's state in each section, {field: name in `state()`}: a setting is called `features`.
STATE = {
    POLICY: {name: name for name in ("theta", "obs_count", "obs_mean", "obs_m2", "counters")}
    | {"drawn_features": "features"},
    TRAINING: {
        name: name
        for name in (
            *("value_theta", "rew_count", "rew_mean", "rew_m2", "rew_running", "adam_m", "adam_v"),
            "damping_scale",
        )
    },
}
MOMENTS = ("adam_m", "adam_v")
BOUNDS = ("act_low", "act_high", "act_to_env")
CLIP, SCALE = 1, 2
_WORD = 2**32
_DTYPES = {"int": np.int32, "flag": np.int32, "sizes": np.int32, "real": np.float64}
_DTYPES |= {"seed": np.uint64}
_RANKS = {"sizes": 1}


# -- writing ---------------------------------------------------------------------------------------


def to_bytes(checkpoint: archives.Checkpoint, policy_only: bool = False) -> bytes:
    """The file; without the sections `training` and `environments` if `policy_only`."""
    if policy_only:
        checkpoint = replace(checkpoint, run={})
    core = _core_fields(checkpoint)
    if policy_only:
        del core[TRAINING]
    environment = checkpoint.run.get("environment")
    if environment is not None:
        core[ENVIRONMENTS] = {"bytes": environment}
    python = _python_fields(checkpoint, core)
    return sections.pack(core | ({PYTHON: python} if python else {}))


def _core_fields(saved: archives.Checkpoint) -> dict[str, dict[str, Any]]:
    """The sections `policy` and `training`, as trpo_save writes them."""
    agent = _agent_settings(saved)
    settings = _setting_fields(replace(agent, seed=_seed(saved.state)))
    moments = agent.critic == "adam" or any(saved.state[name].any() for name in MOMENTS)
    fields = {
        section: {
            name: np.asarray(saved.state[of_state], np.float64)
            for name, of_state in names.items()
            if of_state in saved.state and (moments or name not in MOMENTS)
        }
        for section, names in STATE.items()
    }
    return {
        POLICY: settings[POLICY] | _ordered(fields[POLICY] | _bounds(saved)),
        TRAINING: settings[TRAINING] | fields[TRAINING],
    }


def _ordered(fields: dict[str, Any]) -> dict[str, Any]:
    """The state of the policy in the order of the core's table."""
    order = ("theta", "obs_count", "obs_mean", "obs_m2", "counters", "drawn_features", *BOUNDS)
    return {name: fields[name] for name in order if name in fields}


def _agent_settings(saved: archives.Checkpoint) -> AgentSettings:
    actions = saved.actions
    return resolve(saved.settings, saved.observations.size, actions.distribution, actions.parts)


def _seed(state: Mapping[str, np.ndarray]) -> int:
    low, high = (int(word) for word in state["counters"][:2])
    return low + _WORD * high


def _setting_fields(agent: AgentSettings) -> dict[str, dict[str, Any]]:
    """The settings in each section; numbers of features that there are not are left out."""
    found: dict[str, dict[str, Any]] = {POLICY: {}, TRAINING: {}}
    for row in ROWS.values():
        if _is_used(row.name, agent.features):
            value = _as_field(row, getattr(agent, row.name))
            found[_section_of(row.name)][row.name] = value
    return found


def _section_of(name: str) -> str:
    return POLICY if name in POLICY_SETTINGS else TRAINING


def _is_used(name: str, features: str) -> bool:
    if name in ("n_features", "feature_bandwidth"):
        return features in ("fourier", "rbf")
    return name != "feature_degree" or features == "polynomial"


def _as_field(row: Row, value: Any) -> Any:
    return value if row.type == "word" else np.array(value, _DTYPES[row.type])


def _bounds(saved: archives.Checkpoint) -> dict[str, np.ndarray]:
    """The bounds of real actions, unless all are infinite."""
    actions = saved.actions.to_json()
    if "low" not in actions or not np.isfinite([actions["low"], actions["high"]]).any():
        return {}
    settings = saved.settings
    to_env = CLIP * settings.clip_actions + SCALE * settings.scale_actions
    values = (actions["low"], actions["high"], [to_env])
    return {name: np.array(v, np.float64) for name, v in zip(BOUNDS, values, strict=True)}


def _python_fields(saved: archives.Checkpoint, core: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What the other sections cannot express."""
    header, implied = json.dumps(archives.header(saved)), ""
    with suppress(ValueError):  # settings that only the core can have
        implied = json.dumps(archives.header(_of_core(core)))
    fields: dict[str, Any] = {} if header == implied else {"header": header}
    run = {name: value for name, value in saved.run.items() if name != "environment"}
    is_new = ENVIRONMENTS in core and _is_same_run(run, _new_run(saved.settings.n_envs))
    return fields | ({} if is_new else {name: _widened(value) for name, value in run.items()})


def _widened(value: np.ndarray) -> np.ndarray:
    """Integers with 64 bits."""
    return value.astype(np.int64) if value.dtype.kind == "i" else value


# -- reading ---------------------------------------------------------------------------------------


def from_bytes(data: bytes) -> archives.Checkpoint:
    """The checkpoint in a file. Raises FormatError or another ValueError if it is damaged."""
    found = sections.unpack(data)
    if POLICY not in found:
        raise Damaged("has no section policy")
    for section in (POLICY, TRAINING):
        _check_names(section, found.get(section, {}))
    described = _described(found)
    state = _state(described, found)
    return replace(described, state=state, run=_run(described, found))


def _check_names(section: str, fields: Mapping[str, Any]) -> None:
    settings = {name for name in ROWS if _section_of(name) == section}
    known = settings | set(STATE[section]) | (set(BOUNDS) if section == POLICY else set())
    for name in fields:
        if name not in known:
            raise Damaged(
                f"was written by a newer version of fasttrpo: its section {section} has {name!r}; "
                "upgrade it"
            )


def _described(found: dict[str, dict[str, Any]]) -> archives.Checkpoint:
    """The checkpoint without its arrays."""
    python = found.get(PYTHON, {})
    if "header" not in python:
        return _of_core(found)
    obs_mean = found[POLICY].get("obs_mean", np.zeros(0))
    described = archives.described_by(archives.parsed_header(python["header"], np.size(obs_mean)))
    core = _settings_of(found)
    expected = _setting_fields(_agent_settings(described))
    for section in (POLICY, TRAINING):
        for name, value in expected[section].items():
            given = _plain(ROWS[name], value)
            if section in found and name != "seed" and core[name] != given:
                raise Damaged(
                    f"is inconsistent: its sections {section} and python differ in {name}"
                )
    for name, value in _bounds(described).items():
        if not np.array_equal(found[POLICY].get(name, ()), value):
            raise Damaged(f"is inconsistent: its sections policy and python differ in {name}")
    return described


def _settings_of(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The core's settings, {name: plain value}; what is missing has its default."""
    values = {}
    for row in ROWS.values():
        field = found.get(_section_of(row.name), {}).get(row.name)
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
    value = _plain(row, field)
    for each in value if row.type == "sizes" else (value,):
        row.check(row.name, each)
    return value


def _plain(row: Row, field: Any) -> Any:
    if row.type == "word":
        return field
    value = field.tolist()
    return tuple(value) if row.type == "sizes" else bool(value) if row.type == "flag" else value


def _of_core(found: Mapping[str, Mapping[str, Any]]) -> archives.Checkpoint:
    """The checkpoint that the core's sections describe, without its arrays."""
    core, policy = _settings_of(found), found[POLICY]
    if core["obs_size"] != np.size(policy.get("obs_mean", ())):
        raise Damaged("is damaged: obs_size does not match obs_mean")
    if np.size(policy.get("counters", ())) != len(_COUNTERS):
        raise Damaged("lacks the field counters")
    if not arrays.are_counts(policy["counters"]):
        raise Damaged("is damaged: counters are not counts")
    counts = dict(zip(_COUNTERS, (int(x) for x in policy["counters"].tolist()), strict=True))
    observations, actions = from_json(*_spaces(core, policy))
    return archives.Checkpoint(
        _user_settings(core, policy),
        observations,
        actions,
        min(counts["n_acts"] * core["n_envs"], 2**63 - 1),
        counts["n_updates"],
        {},
    )


_COUNTERS = (
    *("seed_low", "seed_high", "n_acts", "n_predicts", "n_updates", "n_critic_steps"),
    "adam_t",
)


def _spaces(core: Mapping[str, Any], policy: Mapping[str, Any]) -> tuple[dict, dict]:
    """Spaces of rows of numbers, as JSON."""
    n = core["obs_size"]
    observations = _box((n,), (-inf,) * n, (inf,) * n, "float32")
    return observations, _ACTIONS[core["distribution"]](core["parts"], policy)


def _real_actions(parts: tuple[int, ...], policy: Mapping[str, Any]) -> dict[str, Any]:
    low, high = (
        (end,) * len(parts) if policy.get(name) is None else tuple(np.ravel(policy[name]).tolist())
        for name, end in zip(BOUNDS, (-inf, inf), strict=False)
    )
    is_single = all(np.float32(x) == x for x in (*low, *high))
    return _box((len(parts),), low, high, "float32" if is_single else "float64")


def _choices(parts: tuple[int, ...], _: Mapping[str, Any]) -> dict[str, Any]:
    if len(parts) == 1:
        return {"kind": "discrete", "n": parts[0], "start": 0}
    start = (0,) * len(parts)
    shape = (len(parts),)
    return {"kind": "multi_discrete", "shape": shape, "nvec": parts, "start": start, **_INT64}


def _bits(parts: tuple[int, ...], _: Mapping[str, Any]) -> dict[str, Any]:
    return {"kind": "multi_binary", "shape": (len(parts),)}


_INT64 = {"dtype": "int64"}
_ACTIONS = {"gaussian": _real_actions, "categorical": _choices, "bernoulli": _bits}


def _box(shape: tuple, low: tuple, high: tuple, dtype: str) -> dict[str, Any]:
    return {"kind": "box", "shape": shape, "low": low, "high": high, "dtype": dtype}


def _user_settings(core: Mapping[str, Any], policy: Mapping[str, Any]) -> Settings:
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
    names = set(Settings.__dataclass_fields__) & set(core)
    return Settings(
        **{name: core[name] for name in names - {"batch_size", "seed"}},
        policy="MlpPolicy" if core["policy_hidden"] else "LinearPolicy",
        policy_kwargs=network,
        batch_size=core["batch_size"] or None,
        seed=_seed(policy),
        clip_actions=bool(to_env & CLIP),
        scale_actions=bool(to_env & SCALE),
    )


# -- the state -------------------------------------------------------------------------------------


def _state(described: archives.Checkpoint, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The agent's state, as far as the file has it."""
    sizes = state_sizes(_agent_settings(described))
    state: dict[str, Any] = {}
    for section, names in STATE.items():
        for name, of_state in names.items():
            if section in found and of_state in sizes:
                value = found[section].get(name)
                if value is None and name in MOMENTS:
                    value = np.zeros(sizes[of_state])
                state[of_state] = _vector(name, value, sizes[of_state])
    stand_in = {name: np.broadcast_to(1.0, size) for name, size in sizes.items()}
    arrays.state_fields({**stand_in, **state}, stand_in)
    return state


def _vector(name: str, value: Any, size: int) -> np.ndarray:
    if value is None:
        raise Damaged(f"is damaged: it lacks {name}")
    if not isinstance(value, np.ndarray) or value.dtype != np.float64 or value.shape != (size,):
        raise Damaged(f"is damaged: {name} does not match its settings")
    return value


# -- a run -----------------------------------------------------------------------------------------


def _new_run(n_envs: int) -> dict[str, np.ndarray]:
    """The episodes of environments that C saved: none has been counted."""
    return {
        "episode_count": np.zeros(1, np.int64),
        "episode_window": np.zeros((0, 4)),
        "episode_totals": np.zeros(n_envs),
        "episode_lengths": np.zeros(n_envs, np.int64),
        "environment_over": np.zeros(n_envs, bool),
    }


def _is_same_run(run: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return run.keys() == other.keys() and all(
        np.array_equal(value, other[name]) for name, value in run.items()
    )


def _run(described: archives.Checkpoint, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    run = {n: value for n, value in found.get(PYTHON, {}).items() if n != "header"}
    for name, value in run.items():
        legal = archives.run_dtypes(name)
        if not isinstance(value, np.ndarray) or value.dtype not in map(np.dtype, legal):
            raise Damaged(f"is damaged: its {name} has another type")
    environment = found.get(ENVIRONMENTS, {}).get("bytes")
    if environment is None:
        return run
    if not isinstance(environment, np.ndarray) or environment.dtype != np.uint8:
        raise Damaged("is damaged: its environments are not bytes")
    n_envs = np.size(found.get(TRAINING, {}).get("rew_running", ()))
    return (run or _new_run(n_envs)) | {"environment": environment.reshape(-1)}
