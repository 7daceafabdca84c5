"""Checks of arrays from users, for both backends. Errors name the culprit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fasttrpo.checks.distributions import DISTRIBUTIONS
from fasttrpo.checks.values import positive as positive  # for settings that follow a schedule
from fasttrpo.errors import UserError, UserTypeError

# NumPy's own objects for these types, which arrays share: `is` is faster than `==`.
_PLAIN: Any = {t: np.dtype(t) for t in (np.float64, np.bool_)}
_PLAIN |= {np.dtype(t): np.dtype(t) for t in (np.float32, np.float64)}
NO_FACTORS = "there is no preconditioner: the settings say preconditioner='none'"


def as_array(name: str, value: ArrayLike, shape: Sequence[int], dtype: DTypeLike) -> np.ndarray:
    """`value` as a C-contiguous array of `dtype`.

    Raises ValueError if its shape is not `shape`, TypeError if it holds anything but real numbers.
    """
    if type(value) is np.ndarray and value.dtype is _PLAIN.get(dtype) and value.shape == shape:
        return np.ascontiguousarray(value)  # as in every row of a rollout
    given = np.asarray(value)
    if given.dtype.kind not in "biuf":
        raise UserTypeError(f"{name} must be an array of real numbers, got {given.dtype}")
    if given.shape != tuple(shape):
        raise UserError(f"{name} has shape {given.shape}, not {tuple(shape)}")
    if given.dtype != dtype:
        with np.errstate(over="ignore", invalid="ignore"):
            given = given.astype(dtype)
    return np.ascontiguousarray(given)


def finite_vector(name: str, value: ArrayLike, size: int) -> np.ndarray:
    """A float64 copy of `value` (size,). Raises ValueError if its shape is wrong, or not finite."""
    vector = as_array(name, value, (size,), np.float64).copy()
    for i in np.flatnonzero(~np.isfinite(vector))[:1]:
        raise UserError(f"{name} is not finite ({vector[i]:g} in component {i})")
    return vector


def finite_rows(
    name: str,
    array: np.ndarray,
    noun: str = "row",
    step: int | None = None,
    skip: np.ndarray | None = None,
) -> None:
    """Raises ValueError for the first value of `array` (rows, ...) that is not finite.

    noun  what a row is: "environment" or "row"
    step  the step of the rollout, if there is one
    skip  (rows,) bool: rows that are not checked
    """
    bad = ~np.isfinite(array)
    if skip is not None:
        bad[skip] = False
    if not bad.any():
        return
    row, *component = np.argwhere(bad)[0]
    where = f" in component {component[0]}" if component else ""
    value = array[(row, *component)]
    raise UserError(f"{name} of {noun} {row} is not finite ({value:g}{where}){_at(step)}")


def actions(
    act: np.ndarray,
    distribution: str,
    parts: Sequence[int],
    noun: str = "row",
    step: int | None = None,
) -> None:
    """Raises ValueError for the first entry of `act` (rows, D) that cannot have been drawn."""
    entry = DISTRIBUTIONS[distribution]
    for row, d in np.argwhere(~entry.legal(act, parts))[:1]:
        raise UserError(
            f"action of {noun} {row} is {act[row, d]:g}, not {entry.wanted(parts[d])} "
            f"(component {d}){_at(step)}"
        )


def mask_rows(
    mask: ArrayLike | None, n: int, distribution: str, parts: Sequence[int]
) -> np.ndarray | None:
    """`mask` as (n, A) bool, A = sum(parts); None stays None.

    Raises ValueError if its shape is wrong, an entry is neither 0 nor 1, or the distribution has no
    choices.
    """
    if mask is None:
        return None
    if not DISTRIBUTIONS[distribution].takes_masks:
        raise UserError(
            f"a {distribution} policy takes no mask: masks are for actions that are choices "
            "(Discrete, MultiDiscrete)"
        )
    given = np.asarray(mask)
    rows = as_array("mask", given, (n, sum(parts)), np.bool_)
    if given.dtype.kind != "b" and (given != rows).any():
        row, choice = np.argwhere(given != rows)[0]
        raise UserError(f"mask has {given[row, choice]:g} in row {row}, not 0 or 1")
    return rows


def masks(
    mask: np.ndarray | None,
    act: np.ndarray | None,
    parts: Sequence[int],
    noun: str = "row",
    step: int | None = None,
) -> None:
    """Raises ValueError for the first component whose mask forbids every choice, or the action.

    mask  (rows, A), or None
    act   (rows, D), or None
    """
    if mask is None:
        return
    if act is None and len(parts) == 1 and mask.any(axis=1).all():  # as in most rows
        return
    starts = np.cumsum(parts, dtype=np.int64) - np.asarray(parts)
    empty = ~np.logical_or.reduceat(mask, starts, axis=1)
    for row, d in np.argwhere(empty)[:1]:
        raise UserError(
            f"mask of {noun} {row} forbids all {parts[d]} choices (component {d}){_at(step)}"
        )
    if act is None:
        return
    taken = np.take_along_axis(mask, starts + act.astype(np.int64), axis=1)
    for row, d in np.argwhere(~taken)[:1]:
        raise UserError(
            f"action of {noun} {row} is {act[row, d]:g}, which its mask forbids "
            f"(component {d}){_at(step)}"
        )


def _at(step: int | None) -> str:
    return "" if step is None else f" at step {step}"


LARGEST_COUNT = 2**52  # more than any training needs; float64 can still count beyond it
LARGEST_WORD = 2**32 - 1  # of the first two counters, the halves of the seed
LEAST_SCALE, LARGEST_SCALE = 1e-7, 1e4  # of cg_damping; from 0.1, that is 1e-8 to 1e3


def state_fields(state: Mapping[str, Any], like: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Copies of the vectors in `state`, in the order of `like`.

    Raises ValueError unless names and sizes match and training can have produced every value; the
    rules are those of trpo_load.
    """
    for name in sorted(set(like) ^ set(state)):
        raise UserError(f"the state {'lacks' if name in like else 'has an unknown'} {name!r}")
    fields = {name: finite_vector(name, state[name], len(value)) for name, value in like.items()}
    if not are_counts(fields["counters"], [LARGEST_WORD] * 2 + [LARGEST_COUNT] * 5):
        raise UserError("counters are not integers in their ranges")
    for name in ("obs_count", "obs_m2", "rew_count", "rew_m2", "adam_v"):
        if (fields[name] < 0).any():
            raise UserError(f"{name} is negative")
    for name in ("obs_count", "rew_count"):
        if not are_counts(fields[name]):
            raise UserError(f"{name} is not an integer up to 2^52")
    scale = fields["damping_scale"].item()
    if not scale > 0:
        raise UserError("damping_scale is not positive")
    if not LEAST_SCALE <= scale <= LARGEST_SCALE:
        raise UserError(f"damping_scale is {scale:g}, not in [{LEAST_SCALE:g}, {LARGEST_SCALE:g}]")
    return fields


def are_counts(values: ArrayLike, most: int | Sequence[int] = LARGEST_COUNT) -> bool:
    """Whether all are integers from 0 to `most`, one bound for all or one for each."""
    values = np.asarray(values)
    return bool(((values >= 0) & (values <= most) & (values == np.floor(values))).all())
