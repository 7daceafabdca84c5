"""The steps of a vector environment, in order.

Gymnasium's vector environments start the next episode in one of three ways; `Stream` hides the
difference. There are E environments; observations have the environment's own shape here.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import numpy as np

from fasttrpo.envs.failures import SimulationError
from fasttrpo.errors import UserError
from fasttrpo.protocols import CompiledAgent
from fasttrpo.spaces import batches
from fasttrpo.stream import answers, workers
from fasttrpo.stream.answers import ExplainedCall
from fasttrpo.stream.infos import columns
from fasttrpo.stream.masks import Masks
from fasttrpo.stream.notes import Noted
from fasttrpo.stream.seeds import of_env
from fasttrpo.stream.step import Step

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv

PIECE = 0.05  # seconds


class Pace:
    """Chooses how many rows to collect between two checks for signals: about 50 ms."""

    def __init__(self) -> None:
        self.rows = 1

    def adapt(self, rows: int, seconds: float) -> None:
        """Adapts to the last collection. The first ones are short, because a step can be slow."""
        fitting = int(rows * PIECE / max(seconds, 1e-9))
        self.rows = max(1, min(fitting, 8 * self.rows))


# Environment -> the stream that last stepped or reset it.
_streams: WeakKeyDictionary[Any, ref[Stream]] = WeakKeyDictionary()


class Stream:
    """Steps a vector environment, with the same results in each of Gymnasium's autoreset modes.

    NEXT_STEP   the call after an episode's end only resets: `Step.skip`
    SAME_STEP   the returned observation is the next episode's first; infos["final_obs"] has the
                last one of the episode that ended
    DISABLED    the environment does not reset itself: it is reset here

    If an environment reports no mode, NEXT_STEP is assumed, as in Gymnasium's wrappers, with a
    warning. Exceptions of the environment propagate, with a note that names the call. If a process
    of the environment ended, a RuntimeError names the process.
    """

    def __init__(self, env: VectorEnv) -> None:
        from gymnasium import spaces
        from gymnasium.vector import AutoresetMode

        from fasttrpo.stream.in_turn import InTurn

        self.env: Any = env  # Any: compiled environments have more attributes
        self._no_envs = np.zeros(env.num_envs, dtype=bool)
        self._no_envs.flags.writeable = False
        self._modes = AutoresetMode
        self.mode = _autoreset_mode(env, AutoresetMode)
        self._is_next_step = self.mode is AutoresetMode.NEXT_STEP
        self._advance: Any = env.advance if isinstance(env, InTurn) else None
        self.steps_in_c = _steps_in_c(env)
        self.pace = Pace()
        self._has_parts = isinstance(env.single_observation_space, spaces.Dict | spaces.Tuple)
        self._masks = Masks(env)
        self.interrupt()

    def interrupt(self) -> None:
        """Makes `reset` necessary before the next step."""
        self.obs: Any = None
        self.masks: np.ndarray | None = None
        self._over = self._no_envs

    def reset(self, seed: int | None = None) -> None:
        """Starts an episode in every environment, also after an interrupted call.

        Sets `obs` (E, *obs), which the agent sees next, and `masks` (E, A), the open choices, or
        None. `seeds.of_env` makes the seed fit the environment.
        """
        self.interrupt()
        seed = None if seed is None else of_env(seed, self.env)
        self._claim()
        with ExplainedCall("reset"):
            workers.settle(self.env)
            answer = workers.call(self.env, self.env.reset, seed=seed)
            self.obs, infos = self._first(answer)
        self.masks = self._masks.at_reset(infos)

    def _claim(self) -> None:
        """Makes any other stream of these environments reset them before its next step."""
        envs = getattr(self.env, "envs", None)
        for each in envs if isinstance(envs, list | tuple) else (self.env,):
            # The class may not be hashable, or only look like an environment.
            with suppress(TypeError, AttributeError, RuntimeError):
                base = getattr(each, "unwrapped", each)
                other = _streams[base]() if base in _streams else None
                if other is not None and other is not self:
                    other.interrupt()
                _streams[base] = ref(self)

    def _first(self, answer: Any) -> tuple[Any, dict[str, Any]]:
        """Observations and infos of a reset."""
        obs, infos = answers.of_vector_env(answer, "reset")
        return obs, columns(infos, self.env.num_envs)

    def state(self) -> dict[str, np.ndarray]:
        """The environment's state, for `load_state`; empty if it cannot be saved.

        It can be if its class has `is_savable` and this is true: `save` then returns bytes, and
        `load` restores them and returns the observations. A wrapped environment cannot be saved.
        Warns if a simulation fails in its own `save`.
        """
        if self.obs is None or not _is_savable(self.env):
            return {}
        try:
            saved = np.frombuffer(self.env.save(), np.uint8)
        except SimulationError as error:
            warnings.warn(f"{error}; their state is not saved with the model", stacklevel=2)
            return {}
        return {"environment": saved, "environment_over": self._over.copy()}

    def load_state(self, state: dict[str, np.ndarray]) -> bool:
        """Restores what `state` returned. Returns False if that is impossible; then the stream
        must be reset. So it must, after a warning, if a simulation fails in its own `load`.

        Raises ValueError for a state of another environment.
        """
        if not {"environment", "environment_over"} <= set(state) or not _is_savable(self.env):
            return False
        over = state["environment_over"]
        if over.dtype != bool:
            raise UserError(f"environment_over has dtype {over.dtype}, not bool")
        if over.shape != (self.env.num_envs,):
            return False
        self._claim()
        try:
            self.obs = self.env.load(state["environment"].tobytes())
        except SimulationError as error:
            warnings.warn(f"{error}; so they start new episodes", stacklevel=2)
            return False
        is_next_step = self._is_next_step
        self._over = self.env.over if is_next_step and hasattr(self.env, "over") else over
        self.masks = self._masks.at_load(self._over if is_next_step else None)
        return True

    def step(self, actions: np.ndarray, row: int | None = None) -> Step:
        """Sends E actions. Raises ValueError or TypeError if the answer is malformed.

        row  the number of the step in the rollout, for the note on an exception
        """
        if self._advance is not None:
            return self._in_turn(row, actions)
        obs, rewards, terminated, truncated, infos = self._answer(actions, row)
        skip = self._over if self._is_next_step else self._no_envs
        done = (terminated | truncated) & ~skip
        next_obs, over, reset = obs, None, None
        if np.count_nonzero(done):
            infos = columns(infos, self.env.num_envs)
            next_obs, obs, reset = self._next_episodes(obs, done, infos, terminated)
            over = done if self._is_next_step else None
        self.obs, self._over = obs, done
        self.masks = self._masks.read(infos, None if row is None else row + 1, over, reset)
        return Step(rewards, terminated, truncated, next_obs, skip, done, infos)

    def _in_turn(self, row: int | None, actions: Any, given: Any = None) -> Step:
        """`step`, of an `InTurn`, which has checked everything; `given` as in `InTurn.advance`."""
        try:
            self.obs, step = self._advance(actions, given)
        except Exception as error:
            answers.explain(error, _step_at(row))
            raise
        self._over = step.done
        self.masks = self._masks.read(step.infos, None if row is None else row + 1)
        return step

    def _answer(self, actions: np.ndarray, row: int | None) -> tuple[Any, ...]:
        """The checked parts of the environment's answer."""
        try:
            answer = workers.call(self.env, self.env.step, actions)
            answer = answers.of_vector_env(answer, "step")
        except Exception as error:
            answers.explain(error, _step_at(row))
            raise
        n_envs = self.env.num_envs
        obs, rewards, terminated, truncated, infos = answer
        return (
            obs,
            answers.rewards(rewards, n_envs),
            answers.truths("terminated", terminated, n_envs),
            answers.truths("truncated", truncated, n_envs),
            columns(infos, n_envs),
        )

    def run(self, agent: CompiledAgent, n_steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Collects `n_steps` rows into the agent's rollout in C (`steps_in_c`).

        Returns the episodes that ended, and the returns and lengths so far (E,) of the unfinished
        ones. Raises what `step` and the agent's `act` and `push` raise.
        """
        with self.env.envs_in_c:
            episodes, failure = agent.collect(self.env.capsule, n_steps, self.env.is_single)
            if failure is not None:
                with Noted(f"step at step {failure['row']}"):
                    self.env.envs_in_c.refuse(**failure)
            self.obs = self.env.observations()
            unfinished = self.env.under_way()
        self.masks = self._masks.read({}, None)
        return episodes, *unfinished

    def plain_rows(self, agent: Any, *conversions: Any) -> Any:
        """The agent's `PlainRows` of an only environment, with these conversions of its actions and
        observations. None for environments that are not stepped in turn, or have a method that
        returns masks.
        """
        if self._advance is None or self.env.num_envs > 1 or self._masks.has_method:
            return None
        if self.obs is None:
            return None
        return agent.plain_rows(*self.env.only(), *conversions, *self._masks.plain())

    def run_plain(
        self, plain: Any, rows: np.ndarray, unfinished: tuple, n_steps: int, row: int
    ) -> Step | None:
        """Collects up to `n_steps` rows of the rollout, from `row` on, as long as they are plain.
        Returns the step of the first one that is not, for `Agent.push` to complete, or None.

        rows        (1, O): the observation
        unfinished  return and length so far (1,) of the episode, which it updates
        """
        try:
            given = plain.run(rows, self.masks, *unfinished, n_steps)
        except Exception as error:
            answers.explain(error, _step_at(row + plain.count))
            raise
        finally:
            if self.obs is not None:  # the environment was not interrupted
                self.obs, self.masks, self._over = self.env.resume(), plain.masks, self._no_envs
        if given is None or self.obs is None:
            return None
        return self._in_turn(row + plain.count, (None,), given)

    def _next_episodes(
        self, obs: Any, done: np.ndarray, infos: Mapping[str, Any], terminated: np.ndarray
    ) -> tuple[Any, Any, Any]:
        """At the end of episodes: the observation after the step, what the agent sees next, and,
        if environments were reset here, which ones and the infos of the reset.

        The observation after a termination is unused: if it is missing or not finite, the previous
        one replaces it.
        """
        if not self._has_parts:
            obs = np.asarray(obs)
        unneeded = done & terminated
        if self.mode is self._modes.SAME_STEP:
            return _final_observations(obs, done, infos, unneeded, self.obs), obs, None
        lost = ~batches.are_finite(obs, unneeded)
        if np.count_nonzero(lost):
            obs = batches.replaced(obs, lost, self.obs)
        if self.mode is self._modes.DISABLED:
            # The environment may write the reset observations into the array it just returned.
            after = batches.copy(obs)
            with ExplainedCall("reset"):
                first, infos = self._first(self.env.reset(options={"reset_mask": done.copy()}))
            return after, batches.replaced(after, done, first), (done, infos)
        return obs, obs, None


def _step_at(row: int | None) -> str:
    return "step" if row is None else f"step at step {row}"


def _steps_in_c(env: Any) -> bool:
    """Checks the class, because wrappers can forward attributes of the wrapped environment."""
    return hasattr(type(env), "steps_in_c") and env.steps_in_c


def _is_savable(env: Any) -> bool:
    """Whether the environment can be saved (see `Stream.state`), judging from its own class."""
    return hasattr(type(env), "is_savable") and bool(env.is_savable)


def _autoreset_mode(env: Any, modes: Any) -> Any:
    mode = _declared_mode(env, modes)
    if mode is None:
        warnings.warn(
            f"{env} reports no metadata['autoreset_mode']; assuming NEXT_STEP. If that is wrong, "
            "episodes are cut in the wrong places. Declare the mode: env.metadata = "
            "{**env.metadata, 'autoreset_mode': gymnasium.vector.AutoresetMode.SAME_STEP} (or "
            "NEXT_STEP, DISABLED), before you pass it to the model",
            UserWarning,
            stacklevel=5,
        )
        return modes.NEXT_STEP
    return modes(mode)


def _declared_mode(env: Any, modes: Any) -> Any:
    """The mode that the environment declares, or None.

    Gymnasium 1.1's vector environments write theirs into a dict that all environments of a class
    share, so it has the mode of the last one made; their attribute has the right one.
    """
    metadata, base = getattr(env, "metadata", None) or {}, env.unwrapped
    mode, own = metadata.get("autoreset_mode"), getattr(base, "autoreset_mode", None)
    is_theirs = mode is not None and metadata is getattr(base, "metadata", None)
    return own if is_theirs and isinstance(own, modes) else mode


def _final_observations(
    obs: Any, done: np.ndarray, infos: Mapping, unneeded: np.ndarray, previous: Any
) -> Any:
    """SAME_STEP: `obs` (E, *obs) with the last observations of ended episodes in their rows. Where
    these are unneeded (E,) and missing or not finite, the `previous` ones replace them.
    """
    final, missing = infos.get("final_obs"), np.zeros_like(done)
    if final is not None and not isinstance(final, Mapping | tuple):
        missing[done] = [final[env] is None for env in np.flatnonzero(done)]
    if final is None or np.count_nonzero(missing & ~unneeded):
        raise UserError(
            "an episode ended in an environment that resets in the same step, "
            "but infos['final_obs'] does not hold its last observation"
        )
    try:
        lost = missing | ~batches.are_finite(final, unneeded & ~missing)
        if np.count_nonzero(lost):
            obs = batches.replaced(obs, lost, previous)
        return batches.replaced(obs, done & ~lost, final)
    except (ValueError, TypeError, LookupError) as error:
        raise UserError(
            "the last observation of an episode (infos['final_obs']) differs in form from the "
            f"others: {' '.join(str(error).split())}"
        ) from error
