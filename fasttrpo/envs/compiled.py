"""`CompiledVectorEnv`: a batch of environments in C, as a Gymnasium `VectorEnv`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.error import ClosedEnvironmentError
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from fasttrpo.checks.suggest import unknown
from fasttrpo.checks.values import integer, plain
from fasttrpo.core import source_tree
from fasttrpo.envs.definition import Definition, definition, is_definition
from fasttrpo.envs.names import is_library
from fasttrpo.envs.shared_library import Library
from fasttrpo.errors import UserError, UserImportError, UserTypeError

try:
    from fasttrpo.core import _envs
except ImportError as error:
    raise UserImportError(
        f"this installation has no compiled environments: {source_tree.remedy()}"
    ) from error

_MODES = {
    AutoresetMode.DISABLED: _envs.DISABLED,
    AutoresetMode.SAME_STEP: _envs.SAME_STEP,
    AutoresetMode.NEXT_STEP: _envs.NEXT_STEP,
}
_SEED = integer(0, 2**64 - 1)


class CompiledVectorEnv(VectorEnv):
    """`num_envs` environments in C: a built-in one by Gymnasium's id, one from a shared library, or
    one written in Python (`NumbaEnvironment`).

        CompiledVectorEnv("Pendulum-v1", num_envs=16, g=9.81)
        CompiledVectorEnv("./my_sim.so", num_envs=16)
        CompiledVectorEnv("./my_sim.py:walk", num_envs=16)

    autoreset_mode     "SameStep", "NextStep" or "Disabled", or Gymnasium's AutoresetMode
    max_episode_steps  replaces the environment's own limit; 0: none
    options            options of the environment, by Gymnasium's or the library's names

    Spaces, infos and resets follow Gymnasium's conventions: observations are float32 (float64 for a
    library, the dtype of the space for one in Python), infos["final_obs"] has the last observations
    of ended episodes under SameStep, and `reset(options={"reset_mask": ...})` resets a subset.
    `reset` also accepts the reset options of Gymnasium's environment (low and high, or x_init and
    y_init), for that reset only. If the simulation has masks, `action_masks()` returns the allowed
    choices, (E, A) bool. A failing environment raises `SimulationError`, which names it and its
    step. Actions are clipped to their bounds first, so the reward of MountainCarContinuous-v0
    depends on the clipped action; Gymnasium's depends on the unclipped one.

    Environment e draws from stream e of the seed, whatever `num_envs` is; with a list of seeds
    each environment draws from stream 0 of its own.
    """

    takes_any_seed = True  # beyond 2**31 too

    def __init__(
        self,
        env: str | os.PathLike | Definition,
        num_envs: int = 1,
        *,
        autoreset_mode: str | AutoresetMode = AutoresetMode.SAME_STEP,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        if render_mode is not None:
            raise UserError(
                f"render_mode={render_mode!r}: compiled environments do not render; "
                "watch the policy in gymnasium.make(env_id, render_mode=...)"
            )
        self.closed = True  # until it is complete
        source, dtypes = _opened(env)
        self.num_envs = integer(1, 2**24)("num_envs", num_envs)
        self._is_compiled = getattr(source, "is_compiled", True)
        self.envs_in_c = _envs.Envs(
            source,
            self.num_envs,
            seed=int.from_bytes(os.urandom(8), "little"),
            options=options,
            max_episode_steps=_limit(max_episode_steps),
        )
        self.closed = False
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {"render_modes": [], "autoreset_mode": self.autoreset_mode}
        self._describe(*dtypes)

    def _describe(self, dtype: Any, action_dtype: Any) -> None:
        """Sets the spaces and other attributes from the environment's description."""
        about = self.envs_in_c.describe()
        self.name = about["name"]
        self.max_episode_steps = about["max_episode_steps"]
        self.reward_threshold = about["reward_threshold"]
        self.single_observation_space = _box(about, "obs", about["obs_size"], dtype)
        self.single_action_space = _action_space(about, action_dtype)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._dtype, self._action_shape = dtype, self.action_space.shape
        self._actions = self.num_envs, about["n_actions"]
        self._mode = _MODES[self.autoreset_mode]

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """New episodes everywhere, or where options["reset_mask"] (E,) is True."""
        self._check_open()
        options = dict(options or {})
        mask = _mask(options.pop("reset_mask", None), self.num_envs)
        before = self.envs_in_c.options
        changed = self._reset_options(options)
        seed = plain(seed)
        if isinstance(seed, int):
            super().reset(seed=_SEED("seed", seed))
        self._seed(seed, mask)
        try:
            self.envs_in_c.set_options(changed)
            self.envs_in_c.reset(mask)
        finally:
            self.envs_in_c.set_options(before)
        return self.observations(), {}

    def step(
        self, actions: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step of each environment.

        Raises RuntimeError if no episode is running or another thread is using the environments,
        ValueError for an invalid action, and SimulationError if an environment fails: those before
        it have then stepped, those after it have not.
        """
        self._check_open()
        now = self.envs_in_c
        now.step(self._checked(actions), self._mode)
        term, trunc = now.term.copy(), now.trunc.copy()
        infos: dict[str, Any] = {}
        if self._mode == _envs.SAME_STEP:
            ended = term | trunc
            if np.count_nonzero(ended):
                infos = self._final(ended)
        return self.observations(), now.rew.copy(), term, trunc, infos

    def _checked(self, actions: Any) -> np.ndarray:
        """(E, D) float64; C checks the values."""
        actions = np.asarray(actions)
        if actions.dtype.kind not in "fiub":
            raise UserTypeError(f"actions must be numbers, got dtype {actions.dtype}")
        if actions.shape != self._action_shape:
            raise UserError(f"actions have shape {actions.shape}, not {self._action_shape}")
        return actions.astype(np.float64).reshape(self._actions)

    def _final(self, ended: np.ndarray) -> dict[str, Any]:
        """infos of the episodes that ended in this step, as in Gymnasium's SyncVectorEnv."""
        final_obs = np.empty(self.num_envs, object)  # of None
        (where,) = ended.nonzero()
        rows = self.envs_in_c.final_obs[where].astype(self._dtype)
        for e, row in zip(where.tolist(), rows, strict=True):
            final_obs[e] = row
        return {
            "final_obs": final_obs,
            "_final_obs": ended,
            "final_info": {},
            "_final_info": ended.copy(),
        }

    # -- resets -------------------------------------------------------------------------------

    def _reset_options(self, given: dict[str, Any]) -> dict[str, Any]:
        """Checks `options`. Raises TypeError with the nearest name for an unknown one."""
        known = self.envs_in_c.reset_options
        for name in given:
            if name not in known:
                raise UserTypeError(
                    f"reset: {unknown('option', str(name), [*known, 'reset_mask'])}"
                )
        low, high = (given.get(bound, 0) for bound in ("low", "high"))
        if {"low", "high"} <= set(known):
            low, high = ({**self.envs_in_c.options, **given}[b] for b in ("low", "high"))
        if low > high:
            raise UserError(f"Lower bound ({low}) must be lower than higher bound ({high}).")
        return given

    def _seed(self, seed: Any, mask: np.ndarray | None) -> None:
        """Seeds with an int, from which each environment has its own stream, or a list of seeds."""
        if seed is None:
            return
        is_one = isinstance(seed, int)
        seeds = [seed] * self.num_envs if is_one else list(seed)
        if len(seeds) != self.num_envs:
            raise UserError(f"seed has {len(seeds)} entries for {self.num_envs} environments")
        seeds = [None if s is None else _SEED("seed", s) for s in seeds]
        for e, each in enumerate(seeds):
            if each is not None and (mask is None or mask[e]):
                self.envs_in_c.seed_one(e, each, e if is_one else 0)

    # -- for compiled rollouts ----------------------------------------------------------------

    @property
    def capsule(self) -> Any:
        """The PyCapsule "trpo_envs" of the environments, for a compiled rollout."""
        self._check_open()
        return self.envs_in_c.capsule

    @property
    def is_single(self) -> bool:
        """Whether observations and actions are float32."""
        return self._dtype == np.float32

    @property
    def steps_in_c(self) -> bool:
        """Whether a rollout in C has the same rows as one by `step`.

        False under NextStep, which inserts rows without a step after episodes; for subclasses,
        which may override `step`; if the interpreter runs the environment's functions (for
        debugging); and if observations and actions have different precisions.
        """
        actions = self.single_action_space
        is_one_type = not isinstance(actions, spaces.Box) or actions.dtype == self._dtype
        is_ours = type(self) is CompiledVectorEnv and self._is_compiled and is_one_type
        return is_ours and self._mode != _envs.NEXT_STEP

    def observations(self) -> np.ndarray:
        """The current observations (E, O)."""
        return self.envs_in_c.obs.astype(self._dtype)

    def under_way(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns and lengths (E,) of the running episodes; 0 where one has just ended."""
        running = ~(self.envs_in_c.term | self.envs_in_c.trunc)
        return self.envs_in_c.episode_return * running, self.envs_in_c.episode_length * running

    @property
    def over(self) -> np.ndarray:
        """(E,) bool: whether the episode ended in the last step."""
        return self.envs_in_c.term | self.envs_in_c.trunc

    @property
    def action_masks(self) -> Callable[[], np.ndarray]:
        """A method that returns (E, A) bool, the choices allowed next; all after an episode's end.

        Raises AttributeError if the simulation has no masks.
        """
        mask = self.envs_in_c.mask
        if mask is None:
            raise AttributeError(f"{self.name} has no masks: all choices are always allowed")
        return lambda: mask.astype(bool)

    # -- states -------------------------------------------------------------------------------

    @property
    def states(self) -> np.ndarray:
        """(E, bytes) uint8, the simulations' memory; call `observe` after writing to it."""
        return self.envs_in_c.states

    def observe(self) -> np.ndarray:
        """Starts an episode in each environment from its current state; returns observations."""
        self._check_open()
        self.envs_in_c.observe()
        return self.observations()

    @property
    def is_savable(self) -> bool:
        """Whether `save` and `load` work: a library with `open` or `close` has `save` too, and the
        batch is open.
        """
        return not self.closed and self.envs_in_c.is_savable

    def save(self) -> bytes:
        """The complete state of the environments, from which `load` resumes bit for bit."""
        self._check_open()
        return self.envs_in_c.save()

    def load(self, saved: bytes) -> np.ndarray:
        """Resumes where `save` was called; returns the observations there."""
        self._check_open()
        self.envs_in_c.load(saved)
        return self.observations()

    # -- the end ------------------------------------------------------------------------------

    def __del__(self) -> None:
        """Does nothing. Gymnasium 1.1 to 1.2.3 would close the simulations, but arrays that view
        their memory may outlive this object. The memory frees its resources itself.
        """

    def close_extras(self, **kwargs: Any) -> None:
        """Frees the simulations' resources."""
        self.envs_in_c.close()

    def _check_open(self) -> None:
        if self.closed:
            raise ClosedEnvironmentError(f"{self} has been closed")


def _opened(env: Any) -> tuple[Any, tuple[Any, Any]]:
    """The source for `_envs.Envs`, and the dtypes of observations and real actions."""
    if is_definition(env):
        env = definition(env)
        action_dtype = np.float32 if env.choices else env.action_space.dtype
        return env.source(), (env.observation_space.dtype, action_dtype)
    if is_library(env):
        return Library(env), (np.float64, np.float64)
    return str(env), (np.float32, np.float32)


def _limit(max_episode_steps: int | None) -> int | None:
    if max_episode_steps is None:
        return None
    return integer(0, 2**31 - 1)("max_episode_steps", max_episode_steps)


def _box(about: dict[str, Any], what: str, size: int, dtype: Any) -> spaces.Box:
    low, high = about[f"{what}_low"], about[f"{what}_high"]
    if low is None:
        low, high = np.full(size, -np.inf), np.full(size, np.inf)
    return spaces.Box(low.astype(dtype), high.astype(dtype), (size,), dtype)


def _action_space(about: dict[str, Any], dtype: Any) -> spaces.Space:
    choices = about["choices"]
    if choices is None:
        return _box(about, "act", about["n_actions"], dtype)
    return spaces.Discrete(choices[0]) if len(choices) == 1 else spaces.MultiDiscrete(choices)


def _mask(mask: Any, num_envs: int) -> np.ndarray | None:
    """Checks a reset_mask as Gymnasium does: an array of num_envs bools, at least one True."""
    if mask is None:
        return None
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        raise UserTypeError(f"options['reset_mask'] must be an array of bool, got {mask!r}")
    if mask.shape != (num_envs,) or not mask.any():
        raise UserError(
            f"options['reset_mask'] must have shape ({num_envs},) and at least one True, got {mask}"
        )
    return mask
