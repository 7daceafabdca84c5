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
from typing import Any

import numpy as np

from fasttrpo.checks import arrays
from fasttrpo.files import checkpoint as archives
from fasttrpo.files import sections
from fasttrpo.files.core_settings import (
    C_ONLY,
    POLICY,
    TRAINING,
    fields_of,
    plain,
    section_of,
    seed_of,
    user_settings,
    values_of,
    warn_of_c_only,
    with_changes,
)
from fasttrpo.files.plain_spaces import BOUNDS, CLIP, SCALE, check_bounds, plain_spaces
from fasttrpo.files.sections import Damaged
from fasttrpo.settings.agent import AgentSettings, resolve
from fasttrpo.settings.sizes import state_sizes
from fasttrpo.settings.table import ROWS

ENVIRONMENTS, PYTHON = "environments", "python"
# The agent's state in each section, in the order of the core's table, {field: name in `state()`}: a
# setting is called `features`.
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
# The most numbers of a new agent's critic, unless the policy has more: a file without the section
# `training` says how many, and would otherwise decide how much memory loading needs.
_MOST_NEW = 2**22


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
    settings = fields_of(replace(agent, seed=seed_of(saved.state)))
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
        POLICY: settings[POLICY] | fields[POLICY] | _bounds(saved),
        TRAINING: settings[TRAINING] | fields[TRAINING],
    }


def _agent_settings(saved: archives.Checkpoint) -> AgentSettings:
    actions = saved.actions
    return resolve(saved.settings, saved.observations.size, actions.distribution, actions.parts)


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
    check_bounds(found[POLICY])
    warn_of_c_only(found.get(TRAINING, {}))
    described = _described(found)
    state = _state(described, found)
    return replace(described, state=state, run=_run(described, found))


def _check_names(section: str, fields: Mapping[str, Any]) -> None:
    settings = {name for name in ROWS if section_of(name) == section}
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
    before = _agent_settings(described)
    changed = replace(described, settings=with_changes(described.settings, before, found))
    if changed.settings.n_envs != described.settings.n_envs:
        for section in (PYTHON, ENVIRONMENTS):  # the episodes are those of other environments
            found.pop(section, None)
    _check_header(changed, found)
    return changed


def _check_header(described: archives.Checkpoint, found: dict[str, dict[str, Any]]) -> None:
    """Raises Damaged if header and core sections describe different arrays."""
    core = values_of(found)
    expected = fields_of(_agent_settings(described))
    for section in (POLICY, TRAINING):
        for name, value in expected[section].items():
            given = plain(ROWS[name], value)
            is_checked = section in found and name not in ("seed", *C_ONLY)
            if is_checked and core[name] != given:
                raise Damaged(
                    f"is inconsistent: its sections {section} and python differ in {name}"
                )
    for name, value in _bounds(described).items():
        if not np.array_equal(found[POLICY].get(name, ()), value):
            raise Damaged(f"is inconsistent: its sections policy and python differ in {name}")


def _of_core(found: Mapping[str, Mapping[str, Any]]) -> archives.Checkpoint:
    """The checkpoint that the core's sections describe, without its arrays."""
    core, policy = values_of(found), found[POLICY]
    if core["obs_size"] != np.size(policy.get("obs_mean", ())):
        raise Damaged("is damaged: obs_size does not match obs_mean")
    if np.shape(policy.get("counters", ())) != (len(_COUNTERS),):
        raise Damaged("is damaged: counters are missing, or have another size")
    if not arrays.are_counts(policy["counters"]):
        raise Damaged("is damaged: counters are not counts")
    counts = dict(zip(_COUNTERS, (int(x) for x in policy["counters"].tolist()), strict=True))
    observations, actions = plain_spaces(core, policy)
    return archives.Checkpoint(
        user_settings(core, policy),
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


# -- the state -------------------------------------------------------------------------------------


def _state(described: archives.Checkpoint, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The agent's state, as far as the file has it."""
    sizes = state_sizes(_agent_settings(described))
    if TRAINING not in found:
        _check_new(sizes)
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


def _check_new(sizes: Mapping[str, int]) -> None:
    """Raises Damaged if a new critic would be much larger than what the file has."""
    size = max(sizes[name] for name in STATE[TRAINING].values())
    if size > max(_MOST_NEW, sizes["theta"]):
        raise Damaged(f"has no section training, but settings of a critic with {size} numbers")


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
