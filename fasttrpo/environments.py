"""Environments: whatever the user passes as one vector environment, and its steps in order.

Gymnasium's vector environments start the next episode in one of three ways; `Stream` hides the
difference. E environments; observations keep the environment's own shape here.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np

from fasttrpo import answers, source_tree, workers
from fasttrpo.answers import Asked
from fasttrpo.errors import UserError, UserImportError, UserTypeError
from fasttrpo.infos import columns
from fasttrpo.masks import Masks
from fasttrpo.notes import Noted
from fasttrpo.ownership import close_at_end, kept
from fasttrpo.seeds import of_env
from fasttrpo.spaces import batches
from fasttrpo.step import Step
from fasttrpo.suggest import nearest


def as_vector_env(
    env: Any, n_envs: int = 1, env_backend: str | None = None, n_threads: int | None = None
) -> Any:
    """An environment id, a shared library, a `NumbaEnvironment`, a `gymnasium.Env`, `VectorEnv` or
    a `VecEnv` of Stable-Baselines3's as a `VectorEnv`.

    An Env is wrapped as it is, never made anew, and never closed by us. `n_envs`, `env_backend`
    and `n_threads` (settings) are for names (`is_name`); ValueError if n_envs says otherwise than
    the environment passed, TypeError for anything that is no environment, ImportError with the
    command to type where a simulator is missing.
    """
    import gymnasium

    from fasttrpo.sb3.env import WrappedVecEnv, is_vec_env
    from fasttrpo.sb3.view import VecEnvView

    if is_name(env):
        return _make(env, n_envs, env_backend, n_threads)
    if isinstance(env, VecEnvView):
        env = env.vector_env
    elif is_vec_env(env):
        env = WrappedVecEnv(env)
    is_vector = isinstance(env, gymnasium.vector.VectorEnv)  # EnvPool's are both
    if isinstance(env, gymnasium.Env) and not is_vector:
        answers.check_spaces(env, "observation_space", "action_space")
        env = _wrap(env)
    elif not is_vector:
        raise UserTypeError(
            "env must be an environment id, a shared library, a NumbaEnvironment, a gymnasium.Env, "
            "a gymnasium.vector.VectorEnv or a VecEnv of Stable-Baselines3's, "
            f"got {answers.no_environment(env)}"
        )
    answers.check_spaces(env, "single_observation_space", "single_action_space")
    if n_envs not in (1, env.num_envs):
        raise UserError(f"n_envs={n_envs}, but the environment passed has {env.num_envs}")
    return env


def given_env(env: Any) -> Any:
    """The environment as the user knows it: a `VecEnv`, if that is what was passed."""
    return getattr(env, "vec_env", env)


def seen_env(env: Any, given: Any, moved: Callable[[Any], Any]) -> Any:
    """What `TRPO.get_env` gives: the vector environment that was passed; or, for what `env` was
    made of, a view of it with Stable-Baselines3's calls, which tells when it is `moved`.
    """
    from fasttrpo.sb3.view import VecEnvView

    return given if given_env(env) is given else VecEnvView(env, moved)


def is_name(env: Any) -> bool:
    """Whether environments are made from this: an id, a library's path, one written in Python."""
    from fasttrpo import envs

    return isinstance(env, str | os.PathLike) or envs.is_definition(env)


def _wrap(env: Any) -> Any:
    from fasttrpo.in_turn import InTurn

    return kept(InTurn)([lambda: env])


def _make(name: Any, n_envs: int, env_backend: str | None, n_threads: int | None) -> Any:
    """`n_envs` environments: a library's, the user's, our own where there is one, or Gymnasium's.

    Reset in the same step: every row of a rollout is then a step that happened.
    """
    from fasttrpo import envs

    if envs.is_library(name) or envs.is_definition(name):
        return envs.CompiledVectorEnv(name, n_envs)
    if env_backend == "gymnasium":
        return _gymnasium_s(name, n_envs)
    maker = envs.native(name, n_threads)
    return _instead(name, n_envs, env_backend) if maker is None else maker(num_envs=n_envs)


def _instead(env_id: str, n_envs: int, env_backend: str | None) -> Any:
    """Gymnasium's where there are none of our own, unless ours were asked for."""
    from fasttrpo import envs

    missing = envs.missing(env_id)
    if missing and (env_backend == "native" or envs.is_ours(env_id)):
        raise UserImportError(f"{env_id}: {missing}")
    if env_backend == "native":
        raise UserError(f"env_backend='native': there is no {env_id!r} of fasttrpo's own here")
    made = _gymnasium_s(env_id, n_envs)
    if missing and not (source_tree.was_told() and source_tree.remedy() in missing):
        warnings.warn(
            f"{env_id}: Gymnasium's environments are taken, for {missing}; "
            "env_backend='gymnasium' says so without this warning",
            RuntimeWarning,
            stacklevel=5,
        )
    return made


def _gymnasium_s(env_id: str, n_envs: int) -> Any:
    """Gymnasium's environments of an id. ValueError names the nearest id if there is none such."""
    import gymnasium

    from fasttrpo import envs
    from fasttrpo.in_turn import InTurn

    try:
        made = InTurn([lambda: gymnasium.make(env_id)] * n_envs)
        made.spec = made.envs[0].spec
        return close_at_end(made)
    except (gymnasium.error.Error, ImportError) as error:
        spec = gymnasium.registry.get(env_id.rpartition(":")[2])  # of module:id, imported by now
        if spec is not None and spec.entry_point is None and spec.vector_entry_point is not None:
            how = "vector_entry_point"
            return gymnasium.make_vec(env_id, num_envs=n_envs, vectorization_mode=how)
        if spec is not None:
            missing = envs.missing(env_id)
            if missing and isinstance(error, gymnasium.error.DependencyNotInstalled):
                raise UserImportError(f"{env_id}: {missing}") from error
            raise
        raise UserError(f"unknown environment id {env_id!r}; {_hint(env_id, error)}") from error


def _hint(env_id: str, error: Exception) -> str:
    """What may have been meant by an id that there is not; else what Gymnasium says."""
    import gymnasium

    if env_id.endswith(".py"):
        return f"one in a file is named too: {env_id}:NAME"
    match = nearest(env_id, gymnasium.registry)
    return f"did you mean {match!r}?" if match else str(error)


def shares(env: Any, other: Any) -> bool:
    """Whether stepping `other` would move `env`: the same object, or one of its environments."""
    return other is env or any(other is each for each in getattr(env, "envs", ()))


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
        self._mode = _autoreset_mode(env, AutoresetMode)
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
        with Asked("reset"):
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
        is_next_step = self._mode is self._modes.NEXT_STEP
        self._over = self.env.over if is_next_step and hasattr(self.env, "over") else over
        self.masks = self._masks.at_load(self._over if is_next_step else None)
        return True

    def step(self, actions: np.ndarray, row: int | None = None) -> Step:
        """Sends E actions. ValueError or TypeError if the environment's answer has no such form.

        row  the rollout's step that this is, for the note on an exception
        """
        with Asked("step" if row is None else f"step at step {row}"):
            answer = workers.call(self.env, self.env.step, actions)
            answer = answers.of_vector_env(answer, "step")
        n_envs = self.env.num_envs
        obs, rewards, terminated, truncated, infos = answer
        rewards = answers.rewards(rewards, n_envs)
        terminated = answers.truths("terminated", terminated, n_envs)
        truncated = answers.truths("truncated", truncated, n_envs)
        infos = columns(infos, n_envs)
        skip = self._over if self._mode is self._modes.NEXT_STEP else self._nowhere
        done = (terminated | truncated) & ~skip
        next_obs, over, reset = obs, None, None
        if np.count_nonzero(done):
            next_obs, obs, reset = self._turn(obs, done, infos, terminated)
            over = done if self._mode is self._modes.NEXT_STEP else None
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
        if self._mode is self._modes.SAME_STEP:
            return _final_observations(obs, done, infos, unneeded, self.obs), obs, None
        lost = ~batches.are_finite(obs, unneeded)
        if np.count_nonzero(lost):
            obs = batches.replaced(obs, lost, self.obs)
        if self._mode is self._modes.DISABLED:
            # The environment may write the reset observations into the array it just returned.
            after = batches.copy(obs)
            with Asked("reset"):
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
