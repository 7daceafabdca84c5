"""The command, or the call in Python, that repeats a run.

Readers paste it, and the run's folder may be from somebody else: whatever is in it, the call is one
line and calls nothing but `TRPO(...).learn`.
"""

from __future__ import annotations

import shlex
from typing import Any

from fasttrpo.files.run_folder import CONFIG
from fasttrpo.logs.description import THEN
from fasttrpo.report.effective import default_settings, flat
from fasttrpo.report.runs import Run
from fasttrpo.report.words import shorten

_IN_THE_CALL = {"policy", "policy_kwargs", "verbose"}


def repeat(run: Run) -> str | None:
    """The line or lines; None for a run without settings."""
    if not run.config.get("settings"):
        return None
    if run.is_logged:
        return _call(run)
    return f"fasttrpo train --config {shlex.quote(str(run.folder / CONFIG))}"


def _call(run: Run) -> str:
    """`TRPO(...)` with the settings that differ from the defaults, and `learn`."""
    settings, defaults = run.settings, default_settings(run.settings.get("policy"))
    is_given = bool(run.config.get("env_is_given"))
    skipped = _IN_THE_CALL | ({"env_kwargs"} if is_given else set())  # a note has those
    given = {k: v for k, v in settings.items() if k not in skipped and v is not None}
    given = {k: v for k, v in given.items() if defaults.get(k) != v and k.isidentifier()}
    network = _network(settings.get("policy_kwargs"), defaults)
    if network:
        given["policy_kwargs"] = network
    env = "env" if is_given else repr(run.env_id)
    words = [repr(settings.get("policy")), env, *(f"{k}={v!r}" for k, v in given.items())]
    call = f"TRPO({', '.join(words)}).learn({run.config.get('total_timesteps', run.steps)})"
    note = _note(run, given, is_given)
    return shorten(call, 2000) if not note else f"{shorten(call, 2000)}  # {shorten(note)}"


def _network(kwargs: Any, defaults: dict[str, Any]) -> dict[str, Any]:
    """The parts of policy_kwargs that differ from the policy's defaults."""
    if not isinstance(kwargs, dict):
        return {}
    differ = {}
    for name, value in kwargs.items():
        parts = flat({"policy_kwargs": {name: value}})
        if value is not None and any(defaults.get(part) != v for part, v in parts.items()):
            differ[name] = value
    return differ


def _note(run: Run, given: dict[str, Any], is_given: bool) -> str:
    """What the call cannot say."""
    notes = []
    if is_given:
        kwargs = run.settings.get("env_kwargs")
        more = f" with {kwargs}" if kwargs else ""
        notes.append(f"env: {run.env_id}{more}, as the script made it")
    changed = [name for name, value in given.items() if THEN in str(value)]
    if changed:
        notes.append(f"{', '.join(changed)} changed during the run")
    functions = [name for name, value in given.items() if str(value).startswith("function ")]
    if functions:
        notes.append(f"{', '.join(functions)}: a function of the script")
    return " ".join("; ".join(notes).split())  # in one line
