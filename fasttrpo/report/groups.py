"""Groups runs by environment and settings, and names each group by how it differs."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fasttrpo.report.effective import used_settings
from fasttrpo.report.runs import Run
from fasttrpo.report.words import shorten

# Settings that do not affect a run's numbers, or only distinguish runs of a group.
_NOT_OF_A_GROUP = {"seed", "n_threads", "verbose", "max_records", "tensorboard_log"}
MAX_NAMED = 3


@dataclass(frozen=True, eq=False)
class Group:
    """Runs with the same environment and settings, but different seeds.

    label  distinguishes it from other groups of its environment
    name   distinguishes it from all other groups
    cache  averages computed so far
    """

    label: str
    name: str
    runs: tuple[Run, ...]
    cache: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def env_id(self) -> str:
        """The environment."""
        return self.runs[0].env_id

    def has(self, column: str) -> bool:
        """Whether any run has a finite value in the column."""
        return any(np.isfinite(run.column(column)).any() for run in self.runs)


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Groups the runs by environment and settings, except the seed and settings that do not affect
    numbers, in order of their first runs. Groups are named by how they differ.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(_key(run), []).append(run)
    members = [tuple(group) for group in groups.values()]
    labels = _labels(members)
    several = len({group[0].env_id for group in members}) > 1
    pairs = list(zip(labels, members, strict=True))
    return [Group(label, _name(label, g[0].env_id) if several else label, g) for label, g in pairs]


def _name(label: str, env_id: str) -> str:
    return env_id if label == env_id else f"{env_id}, {label}"


def group_settings(run: Run) -> dict[str, Any]:
    """The settings, flattened and with defaults, that the seeds of a group share."""
    settings = {k: v for k, v in used_settings(run)[0].items() if k not in _NOT_OF_A_GROUP}
    # A schedule spans all of a run's steps.
    if any(isinstance(value, str) and value.startswith("linear") for value in settings.values()):
        settings["total_timesteps"] = run.config.get("total_timesteps")
    return settings


def _key(run: Run) -> str:
    if not run.config:
        return f"folder {_place(run).parent}"
    return json.dumps([run.env_id, group_settings(run)], sort_keys=True, default=str)


def _labels(groups: Sequence[tuple[Run, ...]]) -> list[str]:
    """A label for each group: the settings in which it differs from the others of its environment,
    or its folder; the environment's name if it is the only one.
    """
    peers: dict[str, list[int]] = {}
    for i, group in enumerate(groups):
        peers.setdefault(group[0].env_id, []).append(i)
    settings = [group_settings(group[0]) for group in groups]
    given = [_given(group[0]) for group in groups]
    differing = {
        env_id: _differing([settings[i] for i in among], set().union(*(given[i] for i in among)))
        for env_id, among in peers.items()
    }
    labels = []
    for group, own in zip(groups, settings, strict=True):
        names = differing[group[0].env_id]
        words = (f"{name.split('.', 1)[-1]}={own.get(name, 'default')}" for name in names)
        if len(peers[group[0].env_id]) == 1:
            labels.append(group[0].env_id)
        elif 0 < len(names) <= MAX_NAMED:
            labels.append(", ".join(map(shorten, words)))
        else:
            labels.append(_folder_name(group))
    return _distinct(labels, groups)


def _differing(settings: Sequence[dict[str, Any]], given: set[str]) -> list[str]:
    """The names of settings that are not the same for all, without defaults that only follow from
    other settings.
    """
    names = dict.fromkeys(name for each in settings for name in each)
    return [
        name
        for name in names
        if name in given and any(each.get(name) != settings[0].get(name) for each in settings)
    ]


def _given(run: Run) -> set[str]:
    """The names of the settings that are not defaults filled in."""
    filled = used_settings(run)[1]
    return {name for name in group_settings(run) if name.partition(".")[0] not in filled}


def _place(run: Run) -> Path:
    return Path(os.path.realpath(run.folder))


def _folder_name(group: tuple[Run, ...]) -> str:
    """The folder's name of a single run, or the parent's of several."""
    folder = _place(group[0])
    same = len({_place(run).parent for run in group}) == 1
    return folder.parent.name if len(group) > 1 and same else folder.name


def _distinct(labels: list[str], groups: Sequence[tuple[Run, ...]]) -> list[str]:
    """Appends the folder to equal labels."""
    pairs = list(zip(labels, (group[0] for group in groups), strict=True))
    keys = [(label, run.env_id) for label, run in pairs]
    return [
        f"{label} ({run.folder})" if keys.count((label, run.env_id)) > 1 else label
        for label, run in pairs
    ]
