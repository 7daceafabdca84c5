"""Action masks: (*lead, A) bool, True for choices that are allowed; A = sum(parts).

`lead` is as in `convert`. A mask can be one array (*lead, A), the concatenated masks of the parts;
a tuple or list of arrays (*lead, parts[d]), one for each part; or, if all parts have k choices, an
array (*lead, D, k). It contains True and False, or 1 and 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fasttrpo.errors import UserError
from fasttrpo.spaces.convert import Lead, place


def rows(
    name: str,
    given: Any,
    lead: Lead,
    parts: tuple[int, ...],
    noun: str = "row",
    valid: np.ndarray | None = None,
) -> np.ndarray:
    """(*lead, A) bool, all True where `valid` (*lead) is False.

    noun  what a single `lead` axis counts, for messages

    Raises ValueError for a malformed mask.
    """
    array = _joined(name, given, lead, parts)
    if array.shape != (*lead, sum(parts)) or array.dtype.kind not in "biuf":
        raise UserError(
            f"{name} has shape {array.shape} and dtype {array.dtype}, "
            f"expected True and False of shape {(*lead, sum(parts))}"
        )
    if valid is not None:
        array = np.where(valid[..., None], array, True)
    allowed = array.astype(bool)
    if array.dtype == bool or not np.count_nonzero(allowed != array):
        return allowed
    for *index, choice in np.argwhere(allowed != array)[:1].tolist():
        wrong = array[(*index, choice)]
        raise UserError(f"{name} has {wrong:g}{place(index, noun)}, not True or False")
    return allowed


def is_plain(mask: Any, parts: tuple[int, ...]) -> bool:
    """Whether a mask for one part is an array of 0 and 1, in bytes, that allows a choice. Others
    can be right too: `rows` checks them.
    """
    if type(mask) is not np.ndarray or (mask.shape,) != (parts,) or mask.dtype.kind not in "biu":
        return False
    given = mask.tobytes()
    return mask.itemsize == 1 and b"\1" in given and not given.strip(b"\0\1")


def _joined(name: str, given: Any, lead: Lead, parts: tuple[int, ...]) -> np.ndarray:
    """`given` as one array, with its parts concatenated."""
    try:
        if isinstance(given, tuple | list):
            each = [np.asarray(part) for part in given]
            if [part.shape for part in each] == [(*lead, k) for k in parts]:
                return np.concatenate(each, axis=-1)
        array = np.asarray(given)
    except ValueError as error:  # ragged
        raise UserError(f"{name} is not an array, or one for each of {parts}: {error}") from error
    is_grid = array.shape == (*lead, len(parts), parts[0]) and len(set(parts)) == 1
    return array.reshape(*lead, sum(parts)) if is_grid else array
