"""The settings that a run used, where its folder leaves them to their defaults.

A run of an earlier version lacks newer settings, whose defaults change nothing. A setting that is
None stands for a value that depends on others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from itertools import islice
from typing import Any

from fasttrpo.envs.names import is_in_source, is_library
from fasttrpo.files.run_folder import MAX_SETTINGS
from fasttrpo.report.runs import Run
from fasttrpo.settings import POLICIES, Settings
from fasttrpo.settings.agent import cg_steps
from fasttrpo.settings.critics import CRITICS, critics_with, minibatch_rows
from fasttrpo.settings.policy_kwargs import network
from fasttrpo.settings.table import ROWS

UNUSED, NONE, GIVEN = "unused", "none", "the script's"
NO_VALUES = UNUSED, NONE, GIVEN, "all", "random"
_NESTED = ("policy_kwargs", "env_kwargs")
_WORDS = {"max_records": "all", "seed": "random", "n_threads": "all cores", "backend": "compiled"}


@cache
def defaults() -> dict[str, Any]:
    """`Settings`' defaults; None for those without one."""
    values = {each.name: each.default for each in fields(Settings)} | {"seed": None}
    return json.loads(json.dumps(values, default=str))


def default_settings(policy: Any) -> dict[str, Any]:
    """The defaults, flattened. Those of the network depend on the policy."""
    kwargs = network(policy, None) if policy in POLICIES else {}
    return flat(defaults() | {"policy_kwargs": kwargs})


def used_settings(run: Run) -> tuple[dict[str, Any], set[str]]:
    """The run's settings, flattened, with every default filled in; and the names of those. ({},
    set()) for a run without settings.
    """
    given = run.settings
    if not given:
        return {}, set()
    complete = defaults() | given
    filled = {name for name in complete if given.get(name) is None}
    values = flat({n: _default(run, n, complete) if n in filled else complete[n] for n in complete})
    known = ((name, value) for name, value in values.items() if value is not None)
    return dict(islice(known, MAX_SETTINGS)), filled


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flattens nested networks and environment arguments to "outer.inner"."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict) and value and (prefix or name in _NESTED):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def _default(run: Run, name: str, settings: Mapping[str, Any]) -> Any:
    """The value that a setting without one stands for."""
    value = defaults().get(name)
    if value is not None:
        return value
    system = run.config.get("system", {})
    critic = settings.get("critic")
    if name == "policy_kwargs":
        policy = settings.get("policy")
        return network(policy, None) if policy in POLICIES else NONE
    if (used_by := critics_with(name)) and critic not in used_by:
        return UNUSED
    found = {
        "learning_rate": lambda: ROWS["learning_rate"].default,
        "batch_size": lambda: _batch_size(settings),
        "cg_max_steps": lambda: cg_steps(settings.get("preconditioner")),
        "n_critic_updates": lambda: _updates(critic),
        "env_backend": lambda: _env_backend(run),
        "backend": lambda: system.get("backend"),
        "n_threads": lambda: system.get("threads"),
    }.get(name, lambda: None)()
    return _WORDS.get(name, NONE) if found is None else found


def _updates(critic: Any) -> int | None:
    return CRITICS[critic].n_updates if isinstance(critic, str) and critic in CRITICS else None


def _env_backend(run: Run) -> str:
    """Which library makes environments of an id, if it can."""
    from fasttrpo.envs import classic, mujoco

    if run.config.get("env_is_given"):
        return GIVEN
    own = {*classic.entry_points(), *mujoco.entry_points()}
    plain = run.env_id.removeprefix("fasttrpo.envs:").removeprefix("fasttrpo/")
    return "native" if plain in own or is_library(plain) or is_in_source(plain) else "gymnasium"


def _batch_size(settings: Mapping[str, Any]) -> Any:
    """The rows of a minibatch: 128 for adam; a sixteenth of the rows, within limits, for kfac."""
    if settings.get("critic") == "adam":
        return 128
    n_steps, n_envs = settings.get("n_steps"), settings.get("n_envs")
    if not isinstance(n_steps, int) or not isinstance(n_envs, int):
        return None
    rows = n_steps * n_envs
    kwargs = settings.get("policy_kwargs")
    arch = kwargs.get("net_arch") if isinstance(kwargs, dict) else None
    is_linear = isinstance(arch, dict) and arch.get("vf") == []
    return rows if is_linear else minibatch_rows(rows)
