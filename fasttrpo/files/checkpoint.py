"""Model files: `.npz` archives without pickle, or `.bin` files of C programs (binary.py), written
atomically.

Members of an archive: `header`, a JSON text (format, version, settings, spaces, counts), and the
arrays of the agent's `state()` by name, float64 whatever the model's precision. A checkpoint also
has members `run.*`: the state of the episodes and, if it can be saved, of the environments.

Files are not trusted. The header is compared with the types and sizes in the arrays' own headers
before an array is read (`npz`), and loading needs no more memory than the file's contents.
"""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import asdict, dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from fasttrpo import spaces
from fasttrpo._version import __version__
from fasttrpo.checks import arrays
from fasttrpo.checks.values import flag, integer
from fasttrpo.errors import UserError, UserFileNotFoundError
from fasttrpo.files.atomic import replacing, saving
from fasttrpo.files.run_folder import MODEL
from fasttrpo.settings import Settings
from fasttrpo.settings.agent import resolve
from fasttrpo.settings.schedules import SCHEDULED
from fasttrpo.settings.sizes import state_sizes

FORMAT = 2
# The arithmetic that training uses: another number, other bits from the same settings and seed.
# 1 (and files without the number): the C library's elementary functions; 2: our own.
NUMERICS = 2
READABLE = (1, 2)
# The state of agents in format 1.
_STATE_1 = "theta value_theta obs_count obs_mean obs_m2 rew_count rew_mean rew_m2 rew_running "
_STATE_1 += "adam_m adam_v counters"
SUFFIX = ".npz"
BINARY = ".bin"  # files of C programs: binary.py
_RUN = "run."
_INTEGERS = ("<i8", "<i4")  # NumPy 1 has 32 bits on Windows
_RUN_DTYPES = {
    "run.episode_count": _INTEGERS,
    "run.episode_window": ("<f8",),
    "run.episode_totals": ("<f8",),
    "run.episode_lengths": _INTEGERS,
    "run.environment": ("|u1",),
    "run.environment_over": ("|b1",),
}
_COUNT = integer(0, 2**63 - 1)
# The longest header in characters, and what each number of an observation may add, because the
# header contains its bounds.
_MAX_HEADER = 2**22
_MAX_PER_BOUND = 64
_MAX_REASON = 300


class FormatError(UserError):
    """A file is not a model that this version can load; the message names the file and why."""


@dataclass(frozen=True)
class Checkpoint:
    """The contents of a model file: everything needed to act and to continue training.

    run            state of `Stream` and `EpisodeStatistics` in a checkpoint; else empty
    functions      names of settings that were functions; `settings` has their last values
    numerics       the NUMERICS of the version that trained it
    seed_is_given  whether the user chose settings.seed; if not, an SB3 `VecEnv` is not seeded
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
    numerics: int = NUMERICS

    def warn_of_numerics(self, name: str) -> None:
        """Warns that a run of a version with other arithmetic is not continued bit for bit."""
        if self.run and self.numerics != NUMERICS:
            warnings.warn(
                f"{name} was written by a version of fasttrpo with other rounding: training "
                "continues from the same state, but the bits are not those of an uninterrupted run",
                stacklevel=3,
            )


def write(
    path: str | os.PathLike | BinaryIO,
    checkpoint: Checkpoint,
    follow: bool = False,
    policy_only: bool = False,
) -> Path | None:
    """Saves to `path`, adding ".npz" if it has no suffix, and returns the path written.

    `path` can also be an open binary file, to which an archive is written.

    follow       see `atomic.replacing`
    policy_only  to a path that ends in ".bin": only what acting needs

    Raises ValueError for a state that `read` would reject and for a path without a name, SaveError
    if the disk is full or the folder cannot be created. Nothing is written then.
    """
    arrays.state_fields(checkpoint.state, checkpoint.state)
    if not isinstance(path, str | os.PathLike):
        np.savez(path, **cast(Any, _members(checkpoint)))
        return None
    path = Path(path)
    if not path.name:
        raise UserError(f"a model's file must have a name, got {str(path)!r}")
    path = path if path.suffix else path.with_suffix(SUFFIX)
    with saving(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, follow) as file:
        if path.suffix == BINARY:
            from fasttrpo.files import binary

            file.write(binary.to_bytes(checkpoint, policy_only))
        else:
            np.savez(file, **cast(Any, _members(checkpoint)))
    return path


def complete_state(saved: Checkpoint, fresh: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The saved state; arrays that an older format or a policy alone lacks are a new agent's."""
    return {**fresh, **saved.state}


def read(path: str | os.PathLike | BinaryIO) -> Checkpoint:
    """Loads what `write` saved. Raises FileNotFoundError, or FormatError for other files.

    An open file must contain the archive and nothing else.
    """
    if not isinstance(path, str | os.PathLike):
        return _parsed(path, shown(path))
    path = _existing(Path(path))
    try:
        with open(path, "rb") as file:
            return _parsed(file, str(path))
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror}") from error


def shown(path: Any) -> str:
    """The name of a model file in messages."""
    name = path if isinstance(path, str | os.PathLike) else getattr(path, "name", None)
    return str(name) if isinstance(name, str | os.PathLike) else "the open file"


def _members(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    run = {_RUN + name: value for name, value in checkpoint.run.items()}
    members = {"header": np.array(json.dumps(header(checkpoint))), **checkpoint.state, **run}
    # Big-endian machines write little-endian files too.
    return {k: v.astype(v.dtype.newbyteorder("<"), copy=False) for k, v in members.items()}


def header(checkpoint: Checkpoint) -> dict[str, Any]:
    """Everything but the arrays, as plain values."""
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
        "numerics": checkpoint.numerics,
    }


# -- reading ---------------------------------------------------------------------------------------


def _parsed(file: BinaryIO, name: str) -> Checkpoint:
    """Raises FormatError for any damage."""
    from fasttrpo.files import npz, sections

    try:
        return _from_binary(file) if _is_binary(file) else _from(npz.Archive(file))
    except npz.NoArchive:
        reason = "is not a fasttrpo model: not an .npz archive, or truncated"
    except (FormatError, sections.Damaged) as error:
        reason = str(error)
    except Exception as error:  # a damaged file can cause any error
        reason = f"is damaged: {type(error).__name__ if str(error) == '' else error}"
    raise FormatError(f"{name} {_printable(reason)}")


def _is_binary(file: BinaryIO) -> bool:
    file.seek(0)
    return file.read(4) == b"TRPO"


def _from_binary(file: BinaryIO) -> Checkpoint:
    from fasttrpo.files import binary

    file.seek(0)
    return binary.from_bytes(file.read())


def _printable(text: str) -> str:
    """The text on one short line, because it may quote a damaged file."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= _MAX_REASON else f"{text[:_MAX_REASON]}..."


def _from(archive: Any) -> Checkpoint:
    """Raises FormatError with the message to follow the file's name, or another error."""
    if "policy.pth" in archive.files:
        raise FormatError(
            "is a Stable-Baselines3 model: load it there, and transfer its weights with "
            "set_parameters({'policy': {name: tensor.numpy(), ...}}) of a new model here"
        )
    if "header.npy" not in archive.files:
        raise FormatError("is not a fasttrpo model: it has no header")
    described = described_by(_json(archive))
    headers = {name: archive.header(name, _dtypes(name)) for name in archive.names}
    del headers["header"]
    sizes = _sizes(described, headers)
    _check_shapes(described, headers, sizes)
    loaded = {name: archive.array(name, header) for name, header in headers.items()}
    state = {name: loaded[name] for name in loaded if not name.startswith(_RUN)}
    run = {n.removeprefix(_RUN): loaded[n] for n in loaded if n.startswith(_RUN)}
    saved = replace(described, state=state, run=run)
    stand_in = {name: np.broadcast_to(1.0, size) for name, size in sizes.items()}
    arrays.state_fields(complete_state(saved, stand_in), stand_in)
    return saved


def _json(archive: Any) -> Any:
    """The header. Raises ValueError if it is larger than `write` can have written."""
    described = archive.header("header", ("<U",))
    n_bounds = 0
    if "obs_mean" in archive.names:
        n_bounds = archive.header("obs_mean", ("<f8",)).size // 8
    if described.shape != () or described.size > 4 * _longest_header(n_bounds):
        raise UserError("the header is not a single string, or is too long")
    return _parsed_json(str(archive.array("header", described)))


def _longest_header(n_bounds: int) -> int:
    return _MAX_HEADER + _MAX_PER_BOUND * n_bounds


def parsed_header(text: Any, n_bounds: int) -> Any:
    """A header's values. Raises ValueError if `text` is longer than `write` can have written for
    this number of bounds.
    """
    if not isinstance(text, str) or len(text) > _longest_header(n_bounds):
        raise UserError("the header is not a single string, or is too long")
    return _parsed_json(text)


def _parsed_json(text: str) -> Any:
    return json.loads(text, parse_constant=_constant, object_pairs_hook=_object)


def _constant(name: str) -> float:
    """Accepts infinity, for bounds. Raises ValueError for NaN."""
    if name == "NaN":
        raise UserError("its header has a NaN")
    return float(name)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        raise UserError("its header has a name twice")
    return data


def _checked_header(header: Any) -> dict[str, Any]:
    """Raises FormatError unless it is a header of a readable format."""
    if not isinstance(header, dict) or "format" not in header:
        raise FormatError("is not a fasttrpo model: it has no header")
    number = header["format"]
    if type(number) is not int:
        raise FormatError(f"has a damaged header: its format is {str(number)[:40]!r}")
    if number not in READABLE:
        writer = str(header.get("version", "unknown"))[:40]
        raise FormatError(
            f"has format {number}, written by fasttrpo {writer}; "
            f"fasttrpo {__version__} reads format {FORMAT} and older: upgrade it"
        )
    return header


def described_by(header: Any) -> Checkpoint:
    """The checkpoint without its arrays. Raises FormatError for any other header."""
    header = _checked_header(header)
    try:
        return _described(header)
    except KeyError as error:
        raise FormatError(f"has a damaged header: it has no {error}") from error
    except Exception as error:
        raise FormatError(f"has a damaged header: {error}") from error


def _described(header: dict[str, Any]) -> Checkpoint:
    """The checkpoint without its arrays. Raises KeyError, TypeError or ValueError if damaged."""
    observations, actions = spaces.from_json(header["observations"], header["actions"])
    settings = Settings(**header["settings"])
    functions = tuple(header.get("functions", ()))
    for name in functions:
        if name not in SCHEDULED or not isinstance(getattr(settings, name), float):
            raise UserError(f"{name!r} is not a setting that can be a function")
    return Checkpoint(
        settings,
        observations,
        actions,
        _COUNT("num_timesteps", header["num_timesteps"]),
        _COUNT("n_updates", header["n_updates"]),
        {},
        format=header["format"],
        functions=functions,
        seed_is_given=flag("seed_is_given", header.get("seed_is_given", True)),
        numerics=_COUNT("numerics", header.get("numerics", 1)),
    )


def _sizes(described: Checkpoint, headers: dict[str, Any]) -> dict[str, int]:
    """The lengths of the state's arrays according to the settings. Raises ValueError if spaces do
    not fit the arrays: the header may claim any size.
    """
    count = {name: prod(header.shape) for name, header in headers.items()}
    observations, actions = described.observations, described.actions
    if observations.size != count.get("obs_mean") or prod(actions.shape) > count.get("theta", 0):
        raise UserError("its spaces do not match its arrays")
    return state_sizes(
        resolve(described.settings, observations.size, actions.distribution, actions.parts)
    )


def _check_shapes(described: Checkpoint, headers: dict[str, Any], sizes: dict[str, int]) -> None:
    """Raises ValueError unless the state's arrays match the settings."""
    given = {name: header.shape for name, header in headers.items() if not name.startswith(_RUN)}
    for name, size in sizes.items():
        if name not in given and (described.format == FORMAT or name in _STATE_1.split()):
            raise UserError(f"the state lacks {name!r}")
        if name in given and given[name] != (size,):
            raise UserError(f"{name} has shape {given[name]}, not {(size,)}")
    for name in sorted(set(given) - set(sizes)):
        raise UserError(f"the state has an unknown {name!r}")


def _dtypes(name: str) -> tuple[str, ...]:
    """The possible types of a member. Raises ValueError for unknown members."""
    if name == "header":
        return ("<U",)
    if not name.startswith(_RUN):
        return ("<f8",)
    return run_dtypes(name.removeprefix(_RUN))


def run_dtypes(name: str) -> tuple[str, ...]:
    """The possible types of an array in `Checkpoint.run`. Raises ValueError for unknown names."""
    if _RUN + name not in _RUN_DTYPES:
        raise UserError(f"it has an unknown member {_RUN + name!r}")
    return _RUN_DTYPES[_RUN + name]


def _existing(path: Path) -> Path:
    """`path`, or `path` with the suffix that `write` adds or that Stable-Baselines3 scripts expect:
    they save "model" and load "model.zip", or vice versa.
    """
    others = {"": (SUFFIX, ".zip"), ".zip": (SUFFIX,)}.get(path.suffix, ()) if path.name else ()
    found = next((p for p in (path, *map(path.with_suffix, others)) if p.is_file()), None)
    if found is None and path.is_dir():
        raise UserFileNotFoundError(
            f"{path} is a folder; pass a model file, such as {path / MODEL}"
        )
    if found is None:
        name = path if path.suffix else path.with_suffix(SUFFIX)
        raise UserFileNotFoundError(f"there is no model file {name}")
    return found
