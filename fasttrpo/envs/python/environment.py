"""`NumbaEnvironment`: what the user says of an environment, checked."""

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
    "environments written in Python are compiled by Numba, which is not installed: "
    "pip install 'fasttrpo[numba]'; or run them in the interpreter: "
    "FASTTRPO_NUMBA=0 in the environment, compiled=False for make_vec"
)


_TAKEN = RESERVED | {"compiled"}  # by `make_vec`
_NUMBER = real("a finite number", lambda value: True)


class Sources:
    """The C structs of one environment, compiled and interpreted: each is made once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[bool, Any] = {}

    def get(self, is_compiled: bool, make: Callable[[bool], Any]) -> Any:
        """That of this kind; of several threads one calls `make`."""
        with self._lock:
            if is_compiled not in self._made:
                self._made[is_compiled] = make(is_compiled)
            return self._made[is_compiled]


class NumbaEnvironment(Definition):
    """An environment of a few small functions, the last two optional:

        def reset(state, random, options)             writes the state of a new episode
        def step(state, action, random, options)      moves it on; returns (reward, terminated)
        def observe(state, obs, options)              writes what the policy sees of a state
        def mask(state, mask, options)                sets which choices a state leaves open

    Each takes what it needs, by these names, in any order. Without `observe` the state is seen as
    it is, without `mask` all choices are open, always. They run for each simulation by itself;
    fasttrpo keeps the step limit, the resets, the seeds, and checks every number.

    state    (state_size,) float64: all there is to a simulation; zeros when `reset` is called
    action   an int for Discrete, a tuple of ints for MultiDiscrete, else an array within bounds
    mask     (A,) bool, the choices of Discrete, or those of all parts of MultiDiscrete in a row;
             False when `mask` is called, and one of each part's must be True after it
    random   the simulation's own stream: random.uniform(low, high), .normal(mean, std),
             .integers(low, high); np.random and the module random are refused
    options  `options.gravity` and so on, of the numbers in `options={"gravity": 9.8}`, which
             `make_vec(64, gravity=3.7)` sets

    name               for messages and saved states
    observation_space  gymnasium.spaces.Box with one dimension
    action_space       Discrete, MultiDiscrete, or a Box with one dimension
    max_episode_steps  at which an episode is truncated; None: never
    reward_threshold   the mean return that counts as solved
    compiled           False runs the functions in the interpreter, where print and pdb work, to
                       the same results; so does FASTTRPO_NUMBA=0 in the environment. None: as that
                       says

    What Numba compiles is Python with numbers, arrays, tuples, `math` and NumPy; helper functions
    are compiled along. Globals are constants. It is compiled when first used, in seconds, and
    kept on disk (FASTTRPO_CACHE_DIR) until something in it changes. What the functions raise, x / 0
    and an index out of bounds included, is a `SimulationError` that names the simulation and its
    step; a function that Numba cannot compile is a `CompileError` with the line.
    """

    def __init__(
        self,
        *,
        name: str,
        state_size: int,
        observation_space: Any,
        action_space: Any,
        reset: Callable[..., None],
        step: Callable[..., tuple[float, bool]],
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
        self.functions = {"reset": reset, "step": step, "observe": observe or self._usual_observe()}
        if mask is not None:
            self.functions["mask"] = mask
            self._check_choices()
        self.parameters = {role: parameters(role, f) for role, f in self.functions.items()}
        self.sources = Sources()

    def _usual_observe(self) -> Callable[..., None]:
        if self.obs_size != self.state_size:
            raise UserError(
                f"{self.name}: a state of {self.state_size} numbers is no observation of "
                f"{self.obs_size}: pass observe=, a function observe(state, obs) that writes obs"
            )
        return see_state

    def _check_choices(self) -> None:
        if self.choices is None:
            raise UserError(
                f"{self.name}: mask= forbids choices, of Discrete or MultiDiscrete actions, and "
                f"these are {self.action_space}"
            )

    def make_vec(
        self, num_envs: int = 1, *, compiled: bool | None = None, **keywords: Any
    ) -> CompiledVectorEnv:
        """`num_envs` of it as a `CompiledVectorEnv`, which explains the keywords; and options."""
        from fasttrpo.envs.compiled import CompiledVectorEnv

        env = self
        if compiled is not None:
            env = copy.copy(self)
            env.compiled, env.sources = compiled, self.sources
        return CompiledVectorEnv(env, num_envs, **keywords)

    def source(self) -> Any:
        """The environment as a C struct (struct.py); compiled at the first call.

        ImportError names what to install, CompileError the line that cannot be compiled.
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
        """What is compiled stays behind: pickles hold the functions by name."""
        return {k: v for k, v in vars(self).items() if k != "sources"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.sources = Sources()

    def __repr__(self) -> str:
        return f"NumbaEnvironment({self.name!r})"


def see_state(state: Any, obs: Any) -> None:
    """The `observe` of an environment without one."""
    for i in range(len(obs)):
        obs[i] = state[i]


def _jit() -> Any:
    try:
        import numba  # noqa: F401
    except ImportError as error:
        raise UserImportError(INSTALL) from error
    from fasttrpo.envs.python import jit

    return jit


# -- what is checked ------------------------------------------------------------------------------


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name or "\0" in name:
        raise UserError(f"name must be a text, got {name!r}")
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
    """How many choices each component has, None for real numbers; the number of components."""
    from gymnasium.spaces import Box, Discrete, MultiDiscrete

    if isinstance(space, Box):
        return None, _box_size("action_space", space)
    if not isinstance(space, Discrete | MultiDiscrete):
        raise UserTypeError(
            f"action_space must be a gymnasium.spaces Discrete, MultiDiscrete or Box, got {space!r}"
        )
    counts = np.atleast_1d(space.n if isinstance(space, Discrete) else space.nvec)
    if np.any(space.start) or counts.ndim != 1:
        raise UserError(f"action_space must count its choices from 0, in one row, got {space!r}")
    return tuple(int(count) for count in counts), len(counts)


def _options(options: Mapping[str, float]) -> dict[str, float]:
    for name in options:
        is_name = isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name)
        if not is_name or name.startswith("_") or name in _TAKEN:
            raise UserError(f"options: {name!r} cannot be an option's name")
    return {name: _NUMBER(f"options[{name!r}]", value) for name, value in options.items()}
