"""A vector environment's steps, in order.

Gymnasium's vector environments start the next episode in one of three ways; `Stream` hides the
difference. E environments; observations keep the environment's own shape here.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np

from fasttrpo.errors import UserError
from fasttrpo.spaces import batches
from fasttrpo.stream import answers, workers
from fasttrpo.stream.answers import ExplainedCall
from fasttrpo.stream.infos import columns
from fasttrpo.stream.masks import Masks
from fasttrpo.stream.notes import Noted
from fasttrpo.stream.seeds import of_env
from fasttrpo.stream.step import Step

PIECE = 0.05  # seconds


class Pace:
    """How many rows to collect until the next look for signals: some 50 ms of them."""

    def __init__(self) -> None:
        self.rows = 1

    def took(self, rows: int, seconds: float) -> None:
        """Rows were collected in that time. Few at first, for a step may take long."""
        fitting = int(rows * PIECE / max(seconds, 1e-9))
        self.rows = max(1, min(fitting, 8 * self.rows))


# The stream that moved an environment last, by the environment itself.
_streams: WeakKeyDictionary[Any, ref[Stream]] = WeakKeyDictionary()


class Stream:
    """A vector environment's steps, the same under each of Gymnasium's autoreset modes.

    NEXT_STEP   the call after an episode's end only resets: `Step.skip`
    SAME_STEP   the observation returned is the next episode's first; the last one of the
                episode that ended is infos["final_obs"]
    DISABLED    nothing resets by itself: environments that ended are reset here

    An environment that reports no mode is taken for NEXT_STEP, with a warning, as Gymnasium's
    own wrappers do. What the environment raises passes through with a note that says so. Where a
    process of its own ended, this is a RuntimeError which names it.
    """

    def __init__(self, env: Any) -> None:
        from gymnasium import spaces
        from gymnasium.vector import AutoresetMode

        self.env = env
        self._nowhere = np.zeros(env.num_envs, dtype=bool)
        self._modes = AutoresetMode
        self.mode = _autoreset_mode(env, AutoresetMode)
        # Asked of the class, for a wrapper may hand on what it does not have itself.
        self.steps_in_c = hasattr(type(env), "steps_in_c") and env.steps_in_c
        self.pace = Pace()
        self._has_parts = isinstance(env.single_observation_space, spaces.Dict | spaces.Tuple)
        self._masks = Masks(env)
        self.interrupt()

    def interrupt(self) -> None:
        """Forgets where the environment is; `reset` is needed next."""
        self.obs: Any = None
        self.masks: np.ndarray | None = None
        self._over = self._nowhere

    def reset(self, seed: int | None = None) -> None:
        """Starts an episode in every environment, after whatever call was broken off there.

        `obs` (E, *obs) is what the agent sees next, `masks` (E, A) which choices are open, or None.
        The environment gets the seed as `seeds.of_env` has it.
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
        """Any other stream of these environments has to reset them before it goes on."""
        envs = getattr(self.env, "envs", None)
        for each in envs if isinstance(envs, list | tuple) else (self.env,):
            # Of a class that cannot be a key, or only looks like an environment.
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
        """Where the environment stands, for `load_state`; empty if it cannot tell.

        It can if its class has `is_savable`, which is true: `save` then gives bytes, and `load`
        takes them and returns the observations there. An environment that a wrapper hides cannot.
        """
        if self.obs is None or not _is_savable(self.env):
            return {}
        saved = np.frombuffer(self.env.save(), np.uint8)
        return {"environment": saved, "environment_over": self._over.copy()}

    def load_state(self, state: dict[str, np.ndarray]) -> bool:
        """Goes on where `state` was called, and tells whether it can; if not, `reset` is next.

        ValueError for what is not this environment's.
        """
        if not {"environment", "environment_over"} <= set(state) or not _is_savable(self.env):
            return False
        over = state["environment_over"]
        if over.dtype != bool:
            raise UserError(f"environment_over has dtype {over.dtype}, not bool")
        if over.shape != (self.env.num_envs,):
            return False
        self._claim()
        self.obs = self.env.load(state["environment"].tobytes())
        is_next_step = self.mode is self._modes.NEXT_STEP
        self._over = self.env.over if is_next_step and hasattr(self.env, "over") else over
        self.masks = self._masks.at_load(self._over if is_next_step else None)
        return True

    def step(self, actions: np.ndarray, row: int | None = None) -> Step:
        """Sends E actions. ValueError or TypeError if the environment's answer has no such form.

        row  the rollout's step that this is, for the note on an exception
        """
        with ExplainedCall("step" if row is None else f"step at step {row}"):
            answer = workers.call(self.env, self.env.step, actions)
            answer = answers.of_vector_env(answer, "step")
        n_envs = self.env.num_envs
        obs, rewards, terminated, truncated, infos = answer
        rewards = answers.rewards(rewards, n_envs)
        terminated = answers.truths("terminated", terminated, n_envs)
        truncated = answers.truths("truncated", truncated, n_envs)
        infos = columns(infos, n_envs)
        skip = self._over if self.mode is self._modes.NEXT_STEP else self._nowhere
        done = (terminated | truncated) & ~skip
        next_obs, over, reset = obs, None, None
        if np.count_nonzero(done):
            next_obs, obs, reset = self._turn(obs, done, infos, terminated)
            over = done if self.mode is self._modes.NEXT_STEP else None
        self.obs, self._over = obs, done
        self.masks = self._masks.read(infos, None if row is None else row + 1, over, reset)
        return Step(rewards, terminated, truncated, next_obs, skip, done, infos)

    def run(self, agent: Any, n_steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Steps of the agent's own into its rollout, without Python in between (`steps_in_c`).

        Returns the episodes that ended, and the returns and lengths (E,) of those under way;
        raises as `step` and the agent's `act` and `push` do.
        """
        with self.env.envs_in_c:
            episodes, failure = agent.collect(self.env.capsule, n_steps, self.env.is_single)
            if failure is not None:
                with Noted(f"step at step {failure['row']}"):
                    self.env.envs_in_c.refuse(**failure)
            self.obs = self.env.observations()
            under_way = self.env.under_way()
        self.masks = self._masks.read({}, None)
        return episodes, *under_way

    def _turn(
        self, obs: Any, done: np.ndarray, infos: dict[str, Any], terminated: np.ndarray
    ) -> tuple[Any, Any, Any]:
        """Where episodes ended: the observation after the step, and what the agent sees next; and
        where environments were reset here, the infos of that.

        Nothing is learnt from the observation after a termination: where it is missing or not
        finite, the one before stands for it.
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


def _is_savable(env: Any) -> bool:
    """Whether `save` and `load` are the environment's own, and work: see `Stream.state`."""
    return hasattr(type(env), "is_savable") and bool(env.is_savable)


def _autoreset_mode(env: Any, modes: Any) -> Any:
    mode = _declared_mode(env, modes)
    if mode is None:
        warnings.warn(
            f"{env} reports no metadata['autoreset_mode']; taken for NEXT_STEP. If it resets in "
            "another way, episodes are cut in the wrong places: say which, env.metadata = "
            "{**env.metadata, 'autoreset_mode': gymnasium.vector.AutoresetMode.SAME_STEP} (or "
            "NEXT_STEP, DISABLED), before the model gets it",
            UserWarning,
            stacklevel=5,
        )
        return modes.NEXT_STEP
    return modes(mode)


def _declared_mode(env: Any, modes: Any) -> Any:
    """The mode that the environment says it has, or None.

    Gymnasium 1.1's vector environments write theirs into a dict that all environments of a class
    share, so that the last one made speaks for the others: their attribute knows better.
    """
    metadata, base = getattr(env, "metadata", None) or {}, env.unwrapped
    mode, own = metadata.get("autoreset_mode"), getattr(base, "autoreset_mode", None)
    is_theirs = mode is not None and metadata is getattr(base, "metadata", None)
    return own if is_theirs and isinstance(own, modes) else mode


def _final_observations(
    obs: Any, done: np.ndarray, infos: dict, unneeded: np.ndarray, seen: Any
) -> Any:
    """SAME_STEP: `obs` (E, *obs) with the ended episodes' last observations in their rows; where
    these are unneeded (E,) and missing or not finite, what was `seen` before.
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
            obs = batches.replaced(obs, lost, seen)
        return batches.replaced(obs, done & ~lost, final)
    except (ValueError, TypeError, LookupError) as error:
        raise UserError(
            "the last observation of an episode (infos['final_obs']) has not the form of the "
            f"others: {' '.join(str(error).split())}"
        ) from error
