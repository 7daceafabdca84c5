"""`MujocoVectorEnv`: a batch of MuJoCo simulations and a task, as a vector environment."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from fasttrpo.checks.suggest import unknown
from fasttrpo.checks.values import integer, plain
from fasttrpo.envs.mujoco import infos as vector_infos
from fasttrpo.envs.mujoco import saved, task_class
from fasttrpo.envs.mujoco.rendering import MODES, Rendering
from fasttrpo.envs.mujoco.task import Task
from fasttrpo.envs.mujoco.versions import require_mujoco
from fasttrpo.errors import UserError, UserTypeError

# The keyword arguments of the vector environment, without those for rendering.
OWN_ARGUMENTS = ("num_envs", "n_threads", "autoreset_mode", "max_episode_steps")
_NO_STAGE = 0


class UnstableSimulation(RuntimeWarning):
    """MuJoCo reports a simulation as unstable: its episode is truncated, the others continue."""


def make_task(env_id: str, num_envs: int, kwargs: dict[str, Any]) -> MujocoVectorEnv:
    """A `MujocoVectorEnv` for one of Gymnasium's ids. Raises TypeError for an unknown keyword."""
    kind = task_class(env_id)
    for name in kwargs:
        known = (*kind.arguments(), *OWN_ARGUMENTS, *Rendering.arguments())
        if name not in known:
            raise UserTypeError(f"{env_id}: {unknown('keyword argument', name, known)}")
    task = kind(**{name: kwargs.pop(name) for name in list(kwargs) if name in kind.arguments()})
    kwargs.setdefault("max_episode_steps", gymnasium.spec(env_id).max_episode_steps)
    return MujocoVectorEnv(task, num_envs, **kwargs)


class MujocoVectorEnv(VectorEnv):
    """`num_envs` simulations of a task's model, as a Gymnasium `VectorEnv`.

    task               the model, observations and rewards (`fasttrpo.envs.mujoco.task.Task`)
    n_threads          threads for the simulations, including the caller's; None: the number of
                       cores that this process may use. Results do not depend on it
    autoreset_mode     SAME_STEP, NEXT_STEP or DISABLED, as defined by Gymnasium
    max_episode_steps  steps after which an episode is truncated; None or -1: never
    rendering          arguments of `Rendering`: render_mode, width, height, ...

    Observations are (E, O) float64, actions (E, A), within the actuators' control ranges if they
    have any, and rewards (E,) float64. Every returned array belongs to the caller.

    Each environment has its own random generator, as in `SyncVectorEnv`: `reset(seed=s)` seeds
    environment i with s + i, a list contains a seed for each, and None continues the generators.

    If MuJoCo finds a simulation unstable, or raises an error in it, the episode of that environment
    is truncated, with reward 0, the last valid observation and infos["unstable"] (under SAME_STEP
    infos["final_info"]["unstable"], like all infos of a last step). An `UnstableSimulation` warning
    names the environment and the reason. The others are unaffected.
    """

    takes_any_seed = True  # beyond 2**31 too

    def __init__(
        self,
        task: Task,
        num_envs: int = 1,
        *,
        n_threads: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        max_episode_steps: int | None = None,
        **rendering: Any,
    ) -> None:
        self._rendering = Rendering()  # `close` needs it even if something below fails
        self.task, self.num_envs = task, (num_envs := _positive("num_envs", num_envs))
        n_threads = _cores() if n_threads is None else _positive("n_threads", n_threads)
        self.n_threads = min(num_envs, n_threads)
        self._rendering = Rendering(**rendering)
        self.render_mode = self._rendering.render_mode
        self._batch = _batch_for(task, num_envs, self.n_threads)
        task.bind(self._batch)
        self._mode = AutoresetMode(autoreset_mode)
        self.metadata = {
            "render_modes": list(MODES),
            "render_fps": round(1 / task.dt),
            "autoreset_mode": self._mode,
        }
        self.max_episode_steps = _step_limit(max_episode_steps)
        self._elapsed = np.zeros(num_envs, dtype=np.int64)
        self._rngs: list[Any] = [None] * num_envs
        self._seeds: list[int | None] = [None] * num_envs
        self._obs: Any = None  # (E, O) once reset
        self._over = np.zeros(num_envs, dtype=bool)
        self._remembers = False  # whether `load` has set what `Task.remember` sets
        self._warnings = _unstable_warnings(self._batch)
        self._make_spaces()

    def _make_spaces(self) -> None:
        size = self.task.observe().shape[1:]
        low, high = _control_ranges(self.task.model)
        self.single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, size, np.float64)
        self.single_action_space = gymnasium.spaces.Box(low, high, dtype=np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    @property  # type: ignore[misc] # read-only, and one per environment, as in SyncVectorEnv
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The environments' random generators."""
        return tuple(map(self._stream, range(self.num_envs)))

    @property
    def np_random_seed(self) -> tuple[int | None, ...]:  # type: ignore[override]
        """The seed of each generator."""
        return tuple(self._seeds)

    def _stream(self, env: int) -> np.random.Generator:
        if self._rngs[env] is None:
            self._rngs[env], self._seeds[env] = seeding.np_random()
        return self._rngs[env]

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts new episodes everywhere, or where options["reset_mask"] (E,) bool is True.

        Returns observations (E, O), unchanged elsewhere, and infos. Raises TypeError or ValueError
        for a malformed mask or list of seeds.
        """
        self._check_open()
        mask = self._reset_mask(options or {})
        seeds = self._seed_list(seed)
        for env in np.flatnonzero(mask).tolist():
            if seeds[env] is not None:
                self._rngs[env], self._seeds[env] = seeding.np_random(seeds[env])
        if self._obs is None:
            self._obs = self.task.observe()
        infos: dict[str, Any] = {}
        self._restart(mask, self._obs, infos)
        return self._obs.copy(), infos

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Applies actions (E, A) for `frame_skip` steps of MuJoCo.

        Returns observations (E, O), rewards (E,), terminated (E,), truncated (E,), infos.
        Raises ValueError for actions of the wrong shape; ResetNeeded before `reset`, and in
        DISABLED mode after an episode's end.
        """
        self._check_open()
        actions = self._checked(actions)
        pause = self._over if np.count_nonzero(self._over) else None
        failed = self._advance(actions, pause)
        rewards, terminated, values = self.task.score(actions)
        obs = self.task.observe()
        self._elapsed += 1
        truncated = self._elapsed >= self.max_episode_steps
        for env in failed:
            obs[env], rewards[env] = self._obs[env], 0.0
            terminated[env], truncated[env] = False, True
        if failed:
            values["unstable"] = np.isin(np.arange(self.num_envs), list(failed))
        if pause is not None:
            rewards[pause], terminated[pause], truncated[pause] = 0.0, False, False
        self._obs = obs
        infos = self._autoreset(values, terminated | truncated, pause)
        self._warn(failed)
        return self._obs.copy(), rewards, terminated, truncated, infos

    def _advance(self, actions: np.ndarray, pause: np.ndarray | None) -> dict[int, str]:
        """Steps the simulations not in `pause` (E,); returns why some failed, by index."""
        ids = None if pause is None else np.flatnonzero(~pause)
        if not self._remembers:
            self.task.remember()
        self._remembers = False
        self.task.ctrl[...] = actions
        failed: dict[int, str] = {}
        if ids is None or len(ids):
            try:
                self._batch.step(ids, nstep=self.task.frame_skip)
            except require_mujoco().batch.SimulationError as error:
                failed = {int(env): self._batch.error(int(env)) for env in error.ids}
        if np.count_nonzero(self._warnings):
            failed |= self._unstable(pause)
        return failed

    def _unstable(self, pause: np.ndarray | None) -> dict[int, str]:
        found = np.argwhere(self._warnings if pause is None else self._warnings * ~pause[:, None])
        names = ("QPOS", "QVEL", "QACC")
        return {int(env): f"NaN, infinity or a huge value in {names[n]}" for env, n in found}

    def _autoreset(
        self, values: dict[str, np.ndarray], done: np.ndarray, pause: np.ndarray | None
    ) -> dict[str, Any]:
        """Ends and starts episodes according to the autoreset mode; returns the infos."""
        infos: dict[str, Any] = {}
        self._over = done
        if pause is not None:
            vector_infos.add(infos, values, ~pause)
            self._restart(pause, self._obs, infos)
        elif self._mode is AutoresetMode.SAME_STEP and np.count_nonzero(done):
            infos = vector_infos.final(values, self._obs, done)
            vector_infos.add(infos, values, ~done)
            self._restart(done.copy(), self._obs, infos)
        else:
            infos = vector_infos.everywhere(values, self.num_envs)
        return infos

    def _restart(self, mask: np.ndarray, obs: np.ndarray, infos: dict[str, Any]) -> None:
        """Starts episodes where `mask` is True; writes their rows of `obs` and `infos`."""
        envs = np.flatnonzero(mask).tolist()
        ids = None if len(envs) == self.num_envs else envs
        self._batch.reset(ids, stage=_NO_STAGE)
        for env in envs:
            start = self.task.start(self._stream(env))
            self.task.qpos[env], self.task.qvel[env] = start
        self._batch.forward(ids)
        self._elapsed[envs] = 0
        self._over = self._over & ~mask
        obs[envs] = self.task.observe()[envs]
        vector_infos.add(infos, self.task.reset_info(), mask)

    def _warn(self, failed: dict[int, str]) -> None:
        for env, reason in failed.items():
            text = f"environment {env}: MuJoCo reports an unstable simulation ({reason}); its "
            text += "episode is truncated, the others continue"
            warnings.warn(text, UnstableSimulation, stacklevel=3)

    def _checked(self, actions: Any) -> np.ndarray:
        """(E, A) contiguous, in the caller's dtype."""
        if self._obs is None:
            raise ResetNeeded("call reset before step")
        if self._mode is AutoresetMode.DISABLED and np.count_nonzero(self._over):
            over = np.flatnonzero(self._over).tolist()
            raise ResetNeeded(
                f"the episodes of environments {over} are over and autoreset is disabled: call "
                "reset(options={'reset_mask': ...}) first"
            )
        actions = np.ascontiguousarray(actions)
        if actions.shape != self.action_space.shape:
            raise UserError(
                f"actions have shape {actions.shape}, expected {self.action_space.shape}"
            )
        return actions

    def _reset_mask(self, options: dict[str, Any]) -> np.ndarray:
        if "reset_mask" not in options:
            return np.ones(self.num_envs, dtype=bool)
        mask = options["reset_mask"]
        if not isinstance(mask, np.ndarray) or mask.dtype != bool:
            kind = getattr(mask, "dtype", type(mask).__name__)
            raise UserTypeError(f"reset_mask must be a NumPy array of bool, got {kind}")
        if mask.shape != (self.num_envs,) or not mask.any():
            raise UserError(
                f"reset_mask must have shape ({self.num_envs},) and be True somewhere, got {mask}"
            )
        if self._obs is None and not mask.all():
            raise ResetNeeded("the first reset must be of all environments")
        return mask.copy()

    def _seed_list(self, seed: Any) -> Sequence[int | None]:
        if seed is None:
            return [None] * self.num_envs
        seed = plain(seed)
        if isinstance(seed, int):
            first = integer(0)("seed", seed)
            return [first + env for env in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise UserError(f"{len(seed)} seeds for {self.num_envs} environments")
        return seed

    def _check_open(self) -> None:
        if self.closed:
            raise ClosedEnvironmentError("the environment is closed")

    @property
    def is_savable(self) -> bool:
        """Whether `save` and `load` work: the task names what it remembers, and it is open."""
        return not self.closed and saved.is_savable(self.task)

    def save(self) -> bytes:
        """The complete state of the simulations, from which `load` resumes bit for bit.

        Raises ResetNeeded before the first reset, and ValueError if the task does not name what it
        remembers (`Task.remembered`).
        """
        self._check_open()
        if self._obs is None:
            raise ResetNeeded("call reset before save")
        if not self.is_savable:
            raise UserError(
                f"{type(self.task).__name__} does not name what it remembers (Task.remembered), so "
                "its simulations cannot be saved"
            )
        if not self._remembers:
            self.task.remember()
        return saved.pack(self._live_state(), self._rngs, self._seeds)

    def load(self, data: bytes) -> np.ndarray:
        """Resumes where `save` was called, and returns the observations there.

        Raises ValueError for bytes of other environments; nothing has changed then.
        """
        self._check_open()
        if not self._remembers:
            self.task.remember()
        state = self._live_state()
        if self._obs is None:
            state["obs"] = self.task.observe()
        arrays, self._rngs, self._seeds = saved.unpack(data, state)
        for name, array in state.items():
            array[...] = arrays[name]
        self._obs, self._remembers = state["obs"], True
        return self._obs.copy()

    @property
    def over(self) -> np.ndarray:
        """(E,) bool: whether the episode has ended and no other has started."""
        return self._over.copy()

    def _live_state(self) -> dict[str, np.ndarray]:
        """Live views of the simulations' state."""
        own = {"elapsed": self._elapsed, "obs": self._obs, "over": self._over}
        batch = {"state": self._batch.state, "warning": self._batch.warning}
        return {**own, **batch, **{n: getattr(self.task, n) for n in self.task.remembered}}

    def render(self) -> tuple[Any, ...] | None:
        """An image of each simulation as `render_mode` specifies; None without a mode."""
        self._check_open()
        return self._rendering.frames(self._batch, self.task)

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the renderer. The simulations' threads end with the environment."""
        self._rendering.close()


def _batch_for(task: Task, num_envs: int, n_threads: int) -> Any:
    """The simulations of the task's model. Raises OSError if there is no such file."""
    mujoco, model = require_mujoco(), task.xml_file
    if not isinstance(model, mujoco.MjModel):
        from gymnasium.envs.mujoco.mujoco_env import expand_model_path

        model = mujoco.MjModel.from_xml_path(expand_model_path(os.fspath(model)))
    if task.contact_forces:
        from fasttrpo.envs.mujoco.forces import ForcesBatch

        return ForcesBatch(model, num_envs, n_threads)
    return mujoco.batch.Batch(model, num_envs, n_threads)


def _unstable_warnings(batch: Any) -> np.ndarray:
    """(E, 3), live: how often QPOS, QVEL, QACC were infinite, NaN or huge since the reset."""
    kinds = require_mujoco().mjtWarning
    return batch.warning[:, int(kinds.mjWARN_BADQPOS) : int(kinds.mjWARN_BADQACC) + 1, 1]


def _control_ranges(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """(A,) float32 each: the smallest and largest control; infinite if MuJoCo sets no limit."""
    ranges = model.actuator_ctrlrange.astype(np.float32)
    ranges[model.actuator_ctrllimited == 0] = (-np.inf, np.inf)
    return ranges[:, 0].copy(), ranges[:, 1].copy()


def _step_limit(max_episode_steps: int | None) -> int:
    if max_episode_steps is None or max_episode_steps == -1:
        return int(np.iinfo(np.int64).max)
    return _positive("max_episode_steps", max_episode_steps)


def _positive(name: str, value: Any) -> int:
    try:
        return integer(1)(name, value)
    except ValueError:
        raise UserError(f"{name} must be a positive integer, got {value!r}") from None


def _cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
