"""`NumbaEnvironment`: the specification of an environment, checked."""

from __future__ import annotations

import copy
import keyword
import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fasttrpo.checks.values import flag, integer, optional, real
from fasttrpo.envs.definition import Definition
from fasttrpo.envs.names import RESERVED
from fasttrpo.envs.python.functions import parameters
from fasttrpo.errors import UserError, UserImportError, UserTypeError

if TYPE_CHECKING:
    from fasttrpo.envs.compiled import CompiledVectorEnv

VARIABLE = "FASTTRPO_NUMBA"  # as in fasttrpo.portable: 0 turns compilation off
INSTALL = (
    "environments written in Python need Numba, which is not installed: "
    "pip install 'fasttrpo[numba]'; or run them in the interpreter: "
    "set FASTTRPO_NUMBA=0, or pass compiled=False to make_vec"
)


_TAKEN = RESERVED | {"compiled"}  # used by `make_vec`
_NUMBER = real("a finite number", lambda value: True)


class Sources:
    """The compiled and the interpreted C struct of an environment, each made at most once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[bool, Any] = {}

    def get(self, is_compiled: bool, make: Callable[[bool], Any]) -> Any:
        """The struct of this kind, made by `make` if needed, in only one of several threads."""
        with self._lock:
            if is_compiled not in self._made:
                self._made[is_compiled] = make(is_compiled)
            return self._made[is_compiled]


class NumbaEnvironment(Definition):
    """An environment defined by a few small functions, of which the last two are optional:

        def reset(state, random, options)             writes the state of a new episode
        def step(state, action, random, options)      advances it; returns (reward, terminated),
                                                      or (reward, terminated, truncated)
        def observe(state, obs, options)              writes the observation of a state
        def mask(state, mask, options)                sets which choices a state allows

    Each declares the parameters that it needs, by these names, in any order. Without `observe` the
    observation is the state, without `mask` all choices are always allowed. The functions handle
    one simulation at a time; fasttrpo handles the step limit, resets and seeds, and checks every
    number. `truncated` cuts an episode as the step limit does, e.g. where a simulation becomes
    unstable: the last observation, which must be finite, stands for what would have followed.

    state    (state_size,) float64: the complete state of a simulation; zeros before `reset`
    action   an int for Discrete, a tuple of ints for MultiDiscrete, else an array within bounds
    mask     (A,) bool, the choices of Discrete, or the concatenated ones of MultiDiscrete's parts;
             False before `mask`, which must set at least one choice of each part to True
    random   the simulation's own stream: random.uniform(low, high), .normal(mean, std),
             .integers(low, high); np.random and the module random are rejected
    options  `options.gravity` etc., from the numbers in `options={"gravity": 9.8}`, which
             `make_vec(64, gravity=3.7)` overrides

    name               for messages and saved states
    observation_space  gymnasium.spaces.Box with one dimension
    action_space       Discrete, MultiDiscrete, or a Box with one dimension
    max_episode_steps  number of steps after which an episode is truncated; None: never
    reward_threshold   the mean return that counts as solved
    compiled           False runs the functions in the interpreter, where print and pdb work, with
                       the same results. None: False if the environment variable FASTTRPO_NUMBA is 0

    Numba compiles Python with numbers, arrays, tuples, `math` and NumPy, helper functions included.
    Globals are constants. Compilation takes seconds at the first use, and is cached on disk
    (FASTTRPO_CACHE_DIR) until something changes. An exception in the functions, including x / 0 and
    an index out of bounds, raises `SimulationError` with the simulation and its step; a function
    that Numba cannot compile raises `CompileError` with the line.
    """

    def __init__(
        self,
        *,
        name: str,
        state_size: int,
        observation_space: Any,
        action_space: Any,
        reset: Callable[..., None],
        step: Callable[..., tuple[float, bool] | tuple[float, bool, bool]],
        observe: Callable[..., None] | None = None,
        mask: Callable[..., None] | None = None,
        max_episode_steps: int | None = None,
        reward_threshold: float | None = None,
        options: Mapping[str, float] | None = None,
        compiled: bool | None = None,
    ) -> None:
        self.name = _name(name)
        self.state_size = integer(1, 2**24)("state_size", state_size)
        self.observation_space, self.action_space = observation_space, action_space
        self.obs_size = _box_size("observation_space", observation_space)
        self.choices, self.n_actions = _actions(action_space)
        self.max_episode_steps = integer(0, 2**31 - 1)("max_episode_steps", max_episode_steps or 0)
        self.reward_threshold = optional(_NUMBER)("reward_threshold", reward_threshold)
        self.options = _options(options or {})
        self.compiled = optional(flag)("compiled", compiled)
        self.functions = {"reset": reset, "step": step}
        self.functions["observe"] = observe or self._default_observe()
        if mask is not None:
            self.functions["mask"] = mask
            self._check_choices()
        self.parameters = {role: parameters(role, f) for role, f in self.functions.items()}
        self.sources = Sources()

    def _default_observe(self) -> Callable[..., None]:
        if self.obs_size != self.state_size:
            raise UserError(
                f"{self.name}: a state of {self.state_size} numbers cannot be an observation of "
                f"{self.obs_size}: pass observe=, a function observe(state, obs) that writes obs"
            )
        return copy_state

    def _check_choices(self) -> None:
        if self.choices is None:
            raise UserError(
                f"{self.name}: mask= requires Discrete or MultiDiscrete actions, "
                f"not {self.action_space}"
            )

    def make_vec(
        self, num_envs: int = 1, *, compiled: bool | None = None, **keywords: Any
    ) -> CompiledVectorEnv:
        """`num_envs` copies as a `CompiledVectorEnv`, which documents the keywords and options."""
        from fasttrpo.envs.compiled import CompiledVectorEnv

        env = self
        if compiled is not None:
            env = copy.copy(self)
            env.compiled, env.sources = compiled, self.sources
        return CompiledVectorEnv(env, num_envs, **keywords)

    def source(self) -> Any:
        """The environment as a C struct (struct.py), compiled at the first call.

        Raises ImportError with what to install, CompileError with the line that does not compile.
        """
        is_compiled = self.compiled
        if is_compiled is None:
            is_compiled = os.environ.get(VARIABLE) != "0"
        return self.sources.get(is_compiled, self._make)

    def _make(self, is_compiled: bool) -> Any:
        from fasttrpo.envs.python import interpreter, randomness, struct

        randomness.check(self.name, self.functions)
        maker = _jit().compiled if is_compiled else interpreter.interpreted
        return struct.Source(self, maker(self, self.parameters), is_compiled)

    def __getstate__(self) -> dict[str, Any]:
        """Pickles contain the functions' names, and no compiled code."""
        return {k: v for k, v in vars(self).items() if k != "sources"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.sources = Sources()

    def __repr__(self) -> str:
        return f"NumbaEnvironment({self.name!r})"


def copy_state(state: Any, obs: Any) -> None:
    """The default `observe`, which copies the state."""
    for i in range(len(obs)):
        obs[i] = state[i]


def _jit() -> Any:
    try:
        import numba  # noqa: F401
    except ImportError as error:
        raise UserImportError(INSTALL) from error
    from fasttrpo.envs.python import jit

    return jit


# -- checks ---------------------------------------------------------------------------------------


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name or "\0" in name:
        raise UserError(f"name must be a non-empty string, got {name!r}")
    return name


def _box_size(what: str, space: Any) -> int:
    """The length of a one-dimensional Box."""
    from gymnasium.spaces import Box

    if not isinstance(space, Box):
        raise UserTypeError(f"{what} must be a gymnasium.spaces.Box, got {space!r}")
    if len(space.shape) != 1 or space.shape[0] < 1:
        raise UserError(f"{what} must have one dimension, shape=(n,), got shape {space.shape}")
    return space.shape[0]


def _actions(space: Any) -> tuple[tuple[int, ...] | None, int]:
    """The number of choices of each component (None for real numbers), and of components."""
    from gymnasium.spaces import Box, Discrete, MultiDiscrete

    if isinstance(space, Box):
        return None, _box_size("action_space", space)
    if not isinstance(space, Discrete | MultiDiscrete):
        raise UserTypeError(
            f"action_space must be a gymnasium.spaces Discrete, MultiDiscrete or Box, got {space!r}"
        )
    counts = np.atleast_1d(space.n if isinstance(space, Discrete) else space.nvec)
    if np.any(space.start) or counts.ndim != 1:
        raise UserError(f"action_space must be one-dimensional with choices from 0, got {space!r}")
    return tuple(int(count) for count in counts), len(counts)


def _options(options: Mapping[str, float]) -> dict[str, float]:
    for name in options:
        is_name = isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name)
        if not is_name or name.startswith("_") or name in _TAKEN:
            raise UserError(f"options: {name!r} cannot be an option's name")
    return {name: _NUMBER(f"options[{name!r}]", value) for name, value in options.items()}
