"""Model files: one `.npz` archive without pickle, written so that a kill leaves the old one whole.

Members: `header`, a JSON text (format, version, settings, spaces, counts), and the agent's
`state()` arrays under their own names, float64 whatever the model's precision. A checkpoint is the
same file with more members, `run.*`: where the episodes and, if it can tell, the environment stand.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from fasttrpo import checks, spaces
from fasttrpo._version import __version__
from fasttrpo.files import replacing, saving
from fasttrpo.run_files import MODEL
from fasttrpo.settings import Settings
from fasttrpo.values import integer

FORMAT = 2
READABLE = (1, 2)
# All that agents remembered under format 1.
_STATE_1 = "theta value_theta obs_count obs_mean obs_m2 rew_count rew_mean rew_m2 rew_running "
_STATE_1 += "adam_m adam_v counters"
SUFFIX = ".npz"
_RUN = "run."


class FormatError(ValueError):
    """A file is not a model that this version can load; the message names the file and why."""


@dataclass(frozen=True)
class Checkpoint:
    """What a model file holds: everything needed to act and to go on training.

    run        of a checkpoint: where `Stream` and `EpisodeStatistics` stand; else empty
    functions  settings that were functions, of which `settings` holds the last values
    seed_is_given  whether the user chose settings.seed (see `learning.environment_seed`)
    """

    settings: Settings
    observations: spaces.Observations
    actions: spaces.Actions
    num_timesteps: int
    n_updates: int
    state: dict[str, np.ndarray]
    run: dict[str, np.ndarray] = field(default_factory=dict)
    format: int = FORMAT
    functions: tuple[str, ...] = ()
    seed_is_given: bool = True


def write(path: str | os.PathLike | BinaryIO, checkpoint: Checkpoint) -> Path | None:
    """Saves to `path` (".npz" is added if it has no suffix) and returns where.

    Into an open binary file it only writes.

    With nothing written: ValueError for a state that could not be loaded and for a path without a
    name, SaveError where the disk is full or the folder cannot be made.
    """
    checks.state_fields(checkpoint.state, checkpoint.state)
    if not isinstance(path, str | os.PathLike):
        np.savez(path, **cast(Any, _members(checkpoint)))
        return None
    path = Path(path)
    if not path.name:
        raise ValueError(f"a model's file must have a name, got {str(path)!r}")
    path = path if path.suffix else path.with_suffix(SUFFIX)
    with saving(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        np.savez(file, **cast(Any, _members(checkpoint)))
    return path


def completed(saved: Checkpoint, fresh: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The saved state; of an older format, with a fresh agent's for what it did not know yet."""
    if saved.format == FORMAT:
        return saved.state
    known = _STATE_1.split()
    return {name: value for name, value in fresh.items() if name not in known} | saved.state


def read(path: str | os.PathLike | BinaryIO) -> Checkpoint:
    """Loads what `write` saved. FileNotFoundError, or FormatError if it is no such file."""
    import zipfile
    import zlib

    if isinstance(path, str | os.PathLike):
        path = _existing(Path(path))
    # A file that was cut short has lost its directory, which stands at a zip archive's end.
    if not zipfile.is_zipfile(path):
        raise FormatError(f"{path} is not a fasttrpo model: no .npz archive, or one cut short")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise FormatError(f"{path} is damaged: {error}") from error
    return _parse(path, arrays)


def _members(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    run = {_RUN + name: value for name, value in checkpoint.run.items()}
    return {"header": np.array(json.dumps(_header(checkpoint))), **checkpoint.state, **run}


def _header(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": __version__,
        "settings": asdict(checkpoint.settings),
        "observations": checkpoint.observations.to_json(),
        "actions": checkpoint.actions.to_json(),
        "num_timesteps": checkpoint.num_timesteps,
        "n_updates": checkpoint.n_updates,
        "functions": checkpoint.functions,
        "seed_is_given": checkpoint.seed_is_given,
    }


def _parse(path: Path | BinaryIO, arrays: dict[str, np.ndarray]) -> Checkpoint:
    if "policy.pth" in arrays:
        raise FormatError(
            f"{path} is a model of Stable-Baselines3's: load it there, and carry its weights over "
            "by set_parameters({'policy': {name: tensor.numpy(), ...}}) of a new model here"
        )
    try:
        header = json.loads(str(arrays.pop("header")))
        number = header["format"]
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{path} is not a fasttrpo model: it has no header") from error
    if number not in READABLE:
        writer = header.get("version", "unknown")
        raise FormatError(
            f"{path} has format {number}, written by fasttrpo {writer}; "
            f"fasttrpo {__version__} reads format {FORMAT} and older: upgrade it"
        )
    try:
        observations, actions = spaces.from_json(header["observations"], header["actions"])
        return Checkpoint(
            Settings(**header["settings"]),
            observations,
            actions,
            integer(0)("num_timesteps", header["num_timesteps"]),
            integer(0)("n_updates", header["n_updates"]),
            {name: value for name, value in arrays.items() if not name.startswith(_RUN)},
            {n.removeprefix(_RUN): value for n, value in arrays.items() if n.startswith(_RUN)},
            number,
            tuple(header.get("functions", ())),
            bool(header.get("seed_is_given", True)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{path} has a damaged header: {error}") from error


def _existing(path: Path) -> Path:
    """`path` itself, or with the suffix that `write` adds, or Stable-Baselines3's scripts use.

    Those save "model" and load "model.zip", or the other way round.
    """
    others = {"": (SUFFIX, ".zip"), ".zip": (SUFFIX,)}.get(path.suffix, ()) if path.name else ()
    found = next((p for p in (path, *map(path.with_suffix, others)) if p.is_file()), None)
    if found is None and path.is_dir():
        raise FileNotFoundError(f"{path} is a folder; name a model in it, {path / MODEL} say")
    if found is None:
        name = path if path.suffix else path.with_suffix(SUFFIX)
        raise FileNotFoundError(f"there is no model file {name}")
    return found
