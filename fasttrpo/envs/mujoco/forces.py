"""A batch whose contact forces are up to date after each step, as in Gymnasium's tasks.

MuJoCo computes cfrc_ext, cfrc_int and cacc only in `mj_rnePostConstraint`, which Gymnasium calls
after each `mj_step`. `mujoco.batch.Batch` cannot call it (its cfrc_ext is stale), but MuJoCo's C
interface to the same batches can, with `mjb_apply` (`mujoco/mjbatch.h`):

    mjb_step      mj_step, nstep times
    mjb_apply     mj_rnePostConstraint, on each simulation's own mjData
    mjb_forward   without any stage: copies the bound fields out

Each runs on the batch's threads, outside the GIL. `mjb_apply` also passes the simulation's number
and an argument, so it calls `mj_rnePostConstraint` through a callback with that signature, compiled
in fasttrpo.core._envs. The library's file name contains its version, so its symbols are looked up
when the first such batch is created.
"""

from __future__ import annotations

import ctypes
import functools
import weakref
from ctypes import POINTER, byref, c_char_p, c_int, c_ubyte, c_void_p
from pathlib import Path
from typing import Any

import numpy as np

from fasttrpo.envs.mujoco.versions import COMMAND, require_mujoco
from fasttrpo.errors import UserError, UserImportError

_NO_STAGE = 0
_ERROR_SIZE = 1024


class _Config(ctypes.Structure):
    _fields_ = (("nthread", c_int), ("persistent", c_ubyte))


# mjfBatchFunc: void (const mjModel *, mjData *, int simulation, void *argument).
_CALLBACK = ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_int, c_void_p)

# Function -> its result and arguments (mujoco/mjbatch.h). Invalid arguments must never be passed:
# MuJoCo would end the process.
_SIGNATURES = {
    "mjb_makeBatch": (c_void_p, [c_void_p, c_int, POINTER(_Config), c_char_p, c_int]),
    "mjb_deleteBatch": (None, [c_void_p]),
    "mjb_nstate": (c_int, [c_void_p]),
    "mjb_state": (c_void_p, [c_void_p]),
    "mjb_stateComponent": (c_void_p, [c_void_p, c_int, POINTER(c_int)]),
    "mjb_output": (c_void_p, [c_void_p, c_char_p, POINTER(c_int), POINTER(c_int)]),
    "mjb_warning": (c_void_p, [c_void_p]),
    "mjb_status": (c_void_p, [c_void_p]),
    "mjb_error": (c_char_p, [c_void_p, c_int]),
    "mjb_step": (c_int, [c_void_p, c_void_p, c_int, c_int, c_int]),
    "mjb_forward": (c_int, [c_void_p, c_void_p, c_int, c_int]),
    "mjb_reset": (c_int, [c_void_p, c_void_p, c_int, c_void_p, c_int]),
    "mjb_apply": (c_int, [c_void_p, c_void_p, c_int, _CALLBACK, c_void_p, c_int]),
    "mjb_getData": (None, [c_void_p, c_int, c_void_p]),
    "mj_rnePostConstraint": (None, [c_void_p, c_void_p]),
}


@functools.cache
def _library() -> Any:
    """MuJoCo's C library. Raises ImportError if it has no batches."""
    mujoco = require_mujoco()
    folder = Path(mujoco.__file__).parent
    names = ("libmujoco.so*", "libmujoco*.dylib", "mujoco.dll")
    found = [path for name in names for path in sorted(folder.glob(name))]
    try:
        library = ctypes.CDLL(str(found[0]))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (IndexError, OSError, AttributeError) as error:
        raise UserImportError(
            f"MuJoCo's C library with mjbatch.h is needed for contact forces ({error!r}), in "
            f"{folder}; {COMMAND} --upgrade"
        ) from error
    return library


@functools.cache
def forces_stage() -> tuple[Any, Any]:
    """The callback that calls mj_rnePostConstraint, and its argument.

    Without the compiled extension the callback is in Python, and every call acquires the GIL.
    """
    stage = _library().mj_rnePostConstraint
    try:
        from fasttrpo.core._envs import RUN_STAGE
    except ImportError:
        return _CALLBACK(lambda model, data, sim, argument: stage(model, data)), None
    return _CALLBACK(RUN_STAGE), ctypes.cast(stage, c_void_p)


# Fields of mjData that are part of the state; their views are writable.
_STATE = {
    "time": "mjSTATE_TIME",
    "qpos": "mjSTATE_QPOS",
    "qvel": "mjSTATE_QVEL",
    "act": "mjSTATE_ACT",
    "ctrl": "mjSTATE_CTRL",
    "qfrc_applied": "mjSTATE_QFRC_APPLIED",
    "mocap_pos": "mjSTATE_MOCAP_POS",
    "mocap_quat": "mjSTATE_MOCAP_QUAT",
}


class ForcesBatch:
    """nsim simulations of a model on nthread threads, a subset of `mujoco.batch.Batch`.

    `bind`, `step`, `forward`, `reset`, `error`, `get_data`, `model`, `nsim`, `warning`, `status`
    and fields as attributes work as they do there. If a simulation fails, `step` raises
    `mujoco.batch.SimulationError` after all others have been stepped.
    """

    def __init__(self, model: Any, nsim: int, nthread: int) -> None:
        self._mujoco, self._lib = require_mujoco(), _library()
        self.model, self.nsim, self.nthread = model, nsim, nthread
        self._batch = _make_batch(self._lib, model, nsim, nthread)
        # The views below refer to it, so the batch is freed after the last of them.
        self._owner = _Owner()
        weakref.finalize(self._owner, self._lib.mjb_deleteBatch, self._batch)
        self._template = self._mujoco.MjData(model)
        size, address = self._lib.mjb_nstate(self._batch), self._lib.mjb_state(self._batch)
        number = self._template.qpos.dtype  # float64 except in single-precision builds
        self.state = self._view(address, number, (nsim, size))
        n_warnings = int(self._mujoco.mjtWarning.mjNWARNING)
        warning = self._lib.mjb_warning(self._batch)
        self.warning = self._view(warning, np.int32, (nsim, n_warnings, 2))
        self.status = self._view(self._lib.mjb_status(self._batch), np.int32, (nsim,))
        self._bound: dict[str, np.ndarray] = {}

    def bind(self, name: str) -> np.ndarray:
        """A live (nsim, ...) view of an mjData field. Raises ValueError for an unknown field."""
        if name not in self._mujoco.batch.DATA_FIELDS:
            raise UserError(f"{name} is not an mjData field that a batch can bind")
        if name not in self._bound:
            self._bound[name] = self._state(name) if name in _STATE else self._output(name)
        return self._bound[name]

    def __getattr__(self, name: str) -> np.ndarray:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self.bind(name)
        except ValueError as error:
            raise AttributeError(str(error)) from error

    def step(self, ids: Any = None, nstep: int = 1) -> None:
        """mj_step, nstep times, then mj_rnePostConstraint."""
        ids, n = self._ids(ids)
        failed = self._lib.mjb_step(self._batch, ids, n, nstep, _NO_STAGE)
        error = self._failure(ids) if failed else None
        self._lib.mjb_apply(self._batch, ids, n, *forces_stage(), 0)
        self._lib.mjb_forward(self._batch, ids, n, _NO_STAGE)
        if error:
            raise error

    def forward(self, ids: Any = None) -> None:
        """mj_forward."""
        ids, n = self._ids(ids)
        stage = int(self._mujoco.mjtStage.mjSTAGE_ACC)
        if self._lib.mjb_forward(self._batch, ids, n, stage):
            raise self._failure(ids)

    def reset(self, ids: Any = None, stage: int = _NO_STAGE) -> None:
        """Resets to the model's initial state. `stage`, which `Batch` has too, has no effect."""
        ids, n = self._ids(ids)
        if self._lib.mjb_reset(self._batch, ids, n, None, _NO_STAGE):
            raise self._failure(ids)

    def error(self, sim: int) -> str:
        """MuJoCo's error in a simulation's last call, or ''."""
        return self._errors.get(sim, "")

    def get_data(self, sim: int, data: Any) -> Any:
        """Copies a simulation's mjData into `data`."""
        self._lib.mjb_getData(self._batch, sim, _pointer(data))
        return data

    def _failure(self, ids: Any) -> Exception:
        failed = np.flatnonzero(self.status)
        if ids is not None:
            failed = np.intersect1d(failed, np.ctypeslib.as_array(ids))
        for sim in failed.tolist():
            message = self._lib.mjb_error(self._batch, sim)
            self._errors[sim] = message.decode(errors="replace")
        return self._mujoco.batch.SimulationError(failed, self.error(int(failed[0])))

    def _ids(self, ids: Any) -> tuple[Any, int]:
        """The ids for C: an int array, or None for all, and the count."""
        self._errors: dict[int, str] = {}
        if ids is None:
            return None, self.nsim
        array = (c_int * len(ids))(*map(int, ids))
        if any(not 0 <= i < self.nsim for i in array):
            raise UserError(f"ids must be in [0, {self.nsim})")
        return array, len(ids)

    def _state(self, name: str) -> np.ndarray:
        size = c_int()
        component = int(self._mujoco.mjtState.__members__[_STATE[name]])
        address = self._lib.mjb_stateComponent(self._batch, component, byref(size))
        offset = (address - self.state.ctypes.data) // self.state.itemsize if size.value else 0
        rows = self.state[:, offset : offset + size.value]
        return rows[:, 0] if name == "time" else rows.reshape(self.nsim, *self._shape(name))

    def _output(self, name: str) -> np.ndarray:
        size, item = c_int(), c_int()
        address = self._lib.mjb_output(self._batch, name.encode(), byref(size), byref(item))
        like = getattr(self._template, name)
        view = self._view(address, like.dtype, (self.nsim, *like.shape))
        view.flags.writeable = False
        return view

    def _shape(self, name: str) -> tuple[int, ...]:
        return getattr(self._template, name).shape

    def _view(self, address: int, dtype: Any, shape: tuple[int, ...]) -> np.ndarray:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if not size:
            return np.zeros(shape, dtype)
        memory = (c_ubyte * size).from_address(address)
        memory.owner = self._owner
        return np.frombuffer(memory, dtype=dtype).reshape(shape)


class _Owner:
    """Its finalizer deletes the batch."""


def _pointer(struct: Any) -> int:
    """The address of an MjModel's or MjData's C struct."""
    return struct._address  # noqa: SLF001 - MuJoCo's bindings have no public name for it


def _make_batch(library: Any, model: Any, nsim: int, nthread: int) -> int:
    """A batch with an mjData for each simulation. Raises ValueError with MuJoCo's message."""
    message = ctypes.create_string_buffer(_ERROR_SIZE)
    config = _Config(nthread, 1)
    batch = library.mjb_makeBatch(_pointer(model), nsim, byref(config), message, _ERROR_SIZE)
    if not batch:
        raise UserError(f"MuJoCo cannot create a batch: {message.value.decode(errors='replace')}")
    return batch
