"""What `fasttrpo train` says about a new run: its environments, and where its settings are from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from fasttrpo.cli.runs import is_file
from fasttrpo.settings import Settings

# Not settings of the algorithm.
_UNSAID = ("seed", "verbose", "preset", "tensorboard_log", "n_threads")


class Sources(NamedTuple):
    """Where settings come from; later ones take precedence.

    preset  the name of another library, or None
    tuned   those tuned for the environment, or the defaults of environments without them
    known   whether they are tuned
    file    those of the file `path`
    given   those of options
    """

    preset: str | None
    tuned: dict[str, Any]
    known: bool
    path: Path | None
    file: dict[str, Any]
    given: dict[str, Any]

    @property
    def merged(self) -> dict[str, Any]:
        """The settings in effect."""
        return self.tuned | self.file | self.given


def describe(env_id: str, sources: Sources) -> str:
    """One line: which settings a run has, and why."""
    replaced = {n for n, v in sources.tuned.items() if sources.file.get(n, v) != v}
    file = _without(sources.file, sources.given, replaced)
    tuned = _without(sources.tuned, sources.file | sources.given)
    is_complete = not sources.tuned.keys() - sources.file.keys()
    parts = []
    if sources.preset:
        parts.append(f"settings of {sources.preset}")
    elif sources.known and tuned:
        parts.append(f"tuned settings {tuned}")
    elif not sources.known and not (sources.path and is_complete):
        how = f"`fasttrpo tune {env_id}` searches for better ones"
        parts.append(f"no tuned settings, so defaults{' ' if tuned else ''}{tuned} ({how})")
    if sources.path is not None:
        parts.append(f"{sources.path}: {file or 'defaults'}")
    if given := _without(sources.given, {}, sources.given):
        parts.append(f"options {given}")
    return f"{env_id}: {'; '.join(parts) or 'defaults'}"


def _without(
    settings: Mapping[str, Any], others: Mapping[str, Any], replaced: Collection[str] = ()
) -> str:
    """NAME=VALUE of the settings that `others` do not replace and that are not TRPO's defaults,
    or that are among those `replaced`.
    """
    default = {each.name: each.default for each in fields(Settings)}
    chosen = {
        name: value
        for name, value in settings.items()
        if name not in others and name not in _UNSAID
        if name in replaced or value != default.get(name)
    }
    return ", ".join(f"{name}={_short(value)}" for name, value in _flat(chosen).items())


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """With the entries of policy_kwargs that are not defaults."""
    flat = dict(settings)
    network = flat.pop("policy_kwargs", None)
    if not isinstance(network, dict):
        return flat
    default = Settings().policy_kwargs
    return flat | {name: v for name, v in network.items() if v != default.get(name)}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def print_own_environments(env_id: str, model: Any) -> None:
    """Prints a note if the id is Gymnasium's but the environments are fasttrpo's."""
    kind = type(model.get_env().vector_env)
    if kind.__module__.startswith("fasttrpo.envs.") and not is_file(env_id):
        print(f"{env_id}: using fasttrpo's implementation (--env-backend gymnasium: Gymnasium's)")
