"""The infos of E environments as Gymnasium's dict of columns.

infos[key] holds a row per environment; infos["_key"] (E,) bool says which rows are valid.
Gymnasium uses the first environment's dtype and shape for all. Here a column is a numeric array as
long as all rows have the same dtype and shape, and an array of objects otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fasttrpo.errors import UserError

FINAL_OBS, FINAL_INFO = "final_obs", "final_info"


def columns(infos: Any, n_envs: int) -> dict[str, Any]:
    """Columns, from columns or a list of E dicts (`gymnasium.wrappers.vector.DictInfoToList`).

    Raises ValueError for anything else.
    """
    if isinstance(infos, dict):
        return infos
    if isinstance(infos, LazyColumns):
        return infos.columns()
    if isinstance(infos, Mapping):
        return dict(infos)
    rows = infos if isinstance(infos, list | tuple | np.ndarray) else ()
    if len(rows) != n_envs or not all(isinstance(row, Mapping) for row in rows):
        raise UserError(
            f"the environment returned infos of type {type(infos).__name__}, expected a dict, or a "
            f"list of {n_envs} dicts: return an empty dict if there is nothing to report"
        )
    gathered: dict[str, Any] = {}
    for env, row in enumerate(rows):
        gather(gathered, row, env, n_envs)
    return gathered


class LazyColumns(Mapping):
    """The columns of infos that are added one by one, made when they are first used.

    Most steps need none: only callbacks read all that infos say.

    finals  by environment, the last info of the episode that ended
    """

    __slots__ = ("_added", "_columns", "_n_envs", "finals")

    def __init__(self, n_envs: int) -> None:
        self._n_envs = n_envs
        self._added: list[tuple[Mapping, int]] = []
        self._columns: dict[str, Any] = {}
        self.finals: dict[int, Mapping] = {}

    def add(self, info: Mapping, env: int) -> None:
        """Adds the info of one environment, which may change its dict later."""
        self._added.append((dict(info), env))

    def add_final(self, obs: Any, info: Mapping, env: int) -> None:
        """Adds the last observation and info of an episode."""
        self.finals[env] = info
        self._added.append(({FINAL_OBS: obs, FINAL_INFO: info}, env))

    def added(self, key: str) -> list[tuple[Any, int]]:
        """(value, env) for the infos with this key; empty once they are columns."""
        return [(info[key], env) for info, env in self._added if key in info]

    def columns(self) -> dict[str, Any]:
        """All that was added."""
        for info, env in self._added:
            gather(self._columns, info, env, self._n_envs)
        self._added.clear()
        return self._columns

    def __contains__(self, key: object) -> bool:
        for info, _ in self._added:
            if key in info:
                return True
        if key in self._columns:
            return True
        return isinstance(key, str) and key[:1] == "_" and key[1:] in self

    def __getitem__(self, key: str) -> Any:
        return self.columns()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns())

    def __len__(self) -> int:
        return len(self.columns())

    def __bool__(self) -> bool:
        return bool(self._added or self._columns)


def gather(infos: dict[str, Any], info: Mapping, env: int, n_envs: int) -> dict[str, Any]:
    """Adds one environment's `info` to the columns `infos`, and returns them."""
    for key, value in info.items():
        infos[key] = _with(infos.get(key), key, value, env, n_envs)
        infos.setdefault(f"_{key}", np.zeros(n_envs, bool))[env] = True
    return infos


def _with(column: Any, key: Any, value: Any, env: int, n_envs: int) -> Any:
    """The column with `value` in one row; a new column if the value does not fit."""
    if isinstance(value, dict) and key != FINAL_OBS and (column is None or type(column) is dict):
        return gather({} if column is None else column, value, env, n_envs)
    if column is None:
        column = _column_like(value, n_envs) if key != FINAL_OBS else _objects(n_envs)
    if not _fits(column, value):
        column = _as_objects(column, n_envs)
    column[env] = value
    return column


def _column_like(value: Any, n_envs: int) -> np.ndarray:
    """Zeros of the dtype and shape of `value`; objects if it is not a number or array."""
    if isinstance(value, np.ndarray) and value.ndim:
        return np.zeros((n_envs, *value.shape), value.dtype)
    if type(value) in (bool, int, float) or isinstance(value, np.number | np.bool_):
        return np.zeros(n_envs, type(value))
    return _objects(n_envs)


def _objects(n_envs: int) -> np.ndarray:
    return np.full(n_envs, None, object)


def _fits(column: Any, value: Any) -> bool:
    """Whether the column can hold the value unchanged."""
    if type(column) is dict:
        return False
    if column.dtype == object:
        return column.ndim == 1
    if isinstance(value, np.ndarray):
        return value.dtype == column.dtype and value.shape == column.shape[1:]
    if column.ndim > 1:
        return False
    if type(value) is int:
        return column.dtype == np.int64 and -(2**63) <= value < 2**63
    is_number = type(value) in (bool, float) or isinstance(value, np.number | np.bool_)
    return is_number and column.dtype == type(value)


def _as_objects(column: Any, n_envs: int) -> np.ndarray:
    """A column as an array of objects."""
    rows = _objects(n_envs)
    for env in range(n_envs):
        rows[env] = row(column, env)
    return rows


def row(column: Any, env: int) -> Any:
    """One environment's value in a column, which can be a dict of columns."""
    if type(column) is not dict:
        return column[env]
    return {
        key: row(values, env)
        for key, values in column.items()
        if f"_{key}" in column and column[f"_{key}"][env]
    }
