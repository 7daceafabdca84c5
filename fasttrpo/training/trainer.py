"""The owner of a run: its agent, environments, episode statistics and counts.

    collect -> update -> record

`Trainer.iterate` runs one iteration; `Learning` (learning.py) repeats it, with callbacks and logs.
`TRPO` checks and converts what users pass, and delegates to the `Trainer`.

A changed setting takes effect at the start of the next iteration and at no other time: until then
agent, rollout and policy have the old settings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from sys import intern
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from fasttrpo import spaces
from fasttrpo.core import backend
from fasttrpo.errors import UserRuntimeError
from fasttrpo.logs.logger import Logger
from fasttrpo.protocols import Agent, Record, State
from fasttrpo.settings import Settings
from fasttrpo.settings.agent import resolve
from fasttrpo.settings.critics import CRITICS
from fasttrpo.settings.schedules import SCHEDULED, is_schedule
from fasttrpo.stream.make import user_env
from fasttrpo.stream.stream import Stream
from fasttrpo.training.callback import BaseCallback
from fasttrpo.training.collect import collect
from fasttrpo.training.combined import CallbackList
from fasttrpo.training.episodes import EpisodeStatistics
from fasttrpo.training.rejections import Rejections
from fasttrpo.training.rollout import Rollout, replay
from fasttrpo.training.slot import AgentSlot, Recipe
from fasttrpo.training.watch import Stopped, Watch

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv

# Phases: no iteration is running; rows are being collected; before and after that, until the update
# is done.
BETWEEN, ROLLOUT, UPDATE = "", "a rollout", "an update"
WORD = 2**32


class Trainer:
    """One run.

    settings      as the user set them; the agent uses them from the next iteration on
    observations, actions    convert between the environment's spaces and rows of numbers
    stream        the environments' steps in order; None without an environment
    env_name      the id or path that the environments were made from; None if the user made them
    statistics    the episodes' returns and lengths
    num_timesteps, n_updates, records    steps, updates, and the records of the last updates
    logger        the log; `has_own_logger` if the user set it
    remaining     the remaining progress of `learn`, from 1 to 0, for schedules
    started, first_step    when the last `learn` started: the clock, and `num_timesteps`
    unlogged      the record of the last update, until the log has shown it
    draws         what distributions of actions draw samples with; not training, nor `predict`
    """

    def __init__(
        self,
        settings: Settings,
        observations: spaces.Observations,
        actions: spaces.Actions,
        saved: Callable[[State], State] | None = None,
    ) -> None:
        self.settings = settings
        self.observations = observations
        self.actions = actions.configured(settings.clip_actions, settings.scale_actions)
        self.num_timesteps = self.n_updates = 0
        self.records: list[Record] = []
        self.stream: Stream | None = None
        self.env_name: str | None = None
        self.statistics = EpisodeStatistics(settings.n_envs, settings.stats_window_size)
        self.remaining = 1.0
        self.seed_is_given = True
        self.phase, self.is_learning = BETWEEN, False
        self.logger, self.has_own_logger = Logger(None), False
        self.started, self.first_step = perf_counter(), 0
        self.unlogged: Record | None = None
        self.draws = np.random.default_rng(settings.seed)
        self._collected: EpisodeStatistics | None = None  # includes an unfinished iteration's
        self._new_seed: int | None = None
        self._rejections = Rejections()
        backend.choose_with_warning(settings.backend)
        # A loaded model needs little memory to act, whatever its n_steps, until its first rollout.
        n_steps = settings.n_steps if saved is None else 1
        self._slot = AgentSlot(self._recipe(n_steps, settings.n_envs), saved)
        self._fitted: tuple | None = None

    # -- the agent ----------------------------------------------------------------------------

    @property
    def agent(self) -> Agent:
        """The agent, as the last iteration left it."""
        return self._slot.agent

    def _recipe(self, n_steps: int, n_envs: int) -> Recipe:
        """The recipe of the current settings, with memory for n_steps x n_envs rows."""
        settings = replace(self.settings, n_steps=n_steps, n_envs=n_envs)
        resolved = resolve(
            settings,
            self.observations.size,
            self.actions.distribution,
            self.actions.parts,
            settings.n_threads or backend.n_threads(),
            self.remaining,
        )
        return Recipe(resolved, backend.choose(settings.backend), settings.dtype)

    def _fit_agent(self, n_steps: int, n_envs: int) -> None:
        """Prepares the agent for the next iteration: changed settings take effect here."""
        scheduled = any(is_schedule(getattr(self.settings, name)) for name in SCHEDULED)
        key = (self.settings, n_steps, n_envs, self.remaining if scheduled else 1.0)
        if self._fitted is None or not _is_same(key, self._fitted):
            self._slot.fit(self._recipe(n_steps, n_envs))
            self._fitted = key

    def change(self, settings: Settings) -> None:
        """Sets the settings of the next iteration. Raises ValueError if they are impossible."""
        before, self.settings = self.settings, settings
        try:
            self._recipe(settings.n_steps, settings.n_envs)
        except BaseException:
            self.settings = before
            raise

    def reseed(self, seed: int) -> None:
        """Restarts all random streams, including the environments', with a seed: at once between
        two iterations, else after the update.
        """
        self.refuse_environment("set_random_seed")
        self.settings = replace(self.settings, seed=seed)
        self.seed_is_given, self._new_seed = True, seed
        self.draws = np.random.default_rng(seed)
        if not self.phase:
            self._restart_streams()
        self.interrupt()

    def _restart_streams(self) -> None:
        """Starts the random streams with the new seed, if there is one."""
        seed, self._new_seed = self._new_seed, None
        if seed is not None:
            state = self.agent.state()
            _, _, _, _, *learnt = state["counters"]
            self.agent.load_state({**state, "counters": [seed % WORD, seed // WORD, 0, 0, *learnt]})

    def set_parameters(self, theta: Any, value_theta: Any) -> None:
        """Sets the flat parameters of policy and critic; None keeps them."""
        self.refuse_policy("setting parameters")
        agent = self.agent
        if theta is not None:
            agent.theta = theta
        if value_theta is not None:
            agent.value_theta = value_theta

    # -- the environments ---------------------------------------------------------------------

    def attach(self, env: VectorEnv, name: str | None = None) -> None:
        """Replaces the environments; the new ones are reset before their first step.

        name  the id or path that they were made from, if they were
        """
        self.env_name = name
        self.settings = replace(self.settings, n_envs=env.num_envs)
        self.stream = Stream(env)
        self.statistics.restart(env.num_envs)

    def interrupt(self) -> None:
        """Makes the next rollout start with a reset of the environments."""
        if self.stream is not None:
            self.stream.interrupt()

    def release(self, env: Any) -> tuple[np.ndarray, np.ndarray] | None:
        """Called when something else steps or resets `env`. If that is the run's own, interrupts
        it, and returns the returns and lengths so far (E,) of unfinished episodes, or None.
        """
        if self.stream is None or self.stream.env is not env or self.stream.obs is None:
            return None
        self.stream.interrupt()
        return self.statistics.unfinished()

    def run_state(self) -> dict[str, np.ndarray]:
        """The state of episodes and, between rollouts, of environments, for `restore`."""
        stream = {} if self.stream is None or self.phase else self.stream.state()
        return {**self.statistics.state(), **stream}

    def restore(self, run: dict[str, np.ndarray]) -> None:
        """Restores what `run_state` returned. Raises ValueError for anything else."""
        if run:
            self.statistics.load_state(run)
        if self.stream is not None:
            self.stream.load_state(run)

    def ready_environment(self) -> None:
        """Resets the environments if necessary.

        The seed depends on the model's seed and the number of updates, so a later reset, in this
        run or in a loaded one, does not repeat the first episodes.
        """
        assert self.stream is not None
        if self.stream.obs is None:
            self.stream.reset(self._environment_seed(self.stream.env))
            self.statistics.restart(self.stream.env.num_envs)
            self.agent.restart()

    def _environment_seed(self, env: Any) -> int | None:
        """A seed, or None for a `VecEnv` if the user gave no seed: not all have `seed`, and SB3
        calls it on request only.
        """
        if user_env(env) is not env and not self.seed_is_given:
            return None
        sequence = np.random.SeedSequence((self.settings.seed, self.n_updates))
        return int(sequence.generate_state(1)[0])

    # -- an iteration -------------------------------------------------------------------------

    def iterate(self, callback: BaseCallback | None = None) -> Record:
        """Collects a rollout, updates the agent, and returns the record.

        If the rollout fails or a callback stops it (Stopped), the rollout and its episodes are
        dropped. The steps of a stopped rollout count.
        """
        started, before = perf_counter(), self.num_timesteps
        callback = no_callback(self) if callback is None else callback
        try:
            callback.on_rollout_start()
            self.phase = UPDATE
            self._fit_agent(self.settings.n_steps, self.settings.n_envs)
            self.ready_environment()
            statistics = self.collect(callback)
            collected = perf_counter()
            result = self.agent.update()
        except BaseException as error:
            if self.phase:
                self.agent.discard()
            self.interrupt()
            if not isinstance(error, Stopped):
                self.num_timesteps = before
            raise
        finally:
            self.phase, self._collected = BETWEEN, None
            self._restart_streams()
        self.num_timesteps, self.statistics = before, statistics
        of_rollout = {**statistics.record(), "seconds_collect": collected - started}
        return self._record(result, of_rollout, started, self._last_rows)

    def collect(self, callback: BaseCallback) -> EpisodeStatistics:
        """Fills the agent's rollout; returns the episode statistics after it.

        Collects again if every row was a reset (short rollouts under NEXT_STEP), which leaves
        nothing to learn from.
        """
        assert self.stream is not None
        agent, statistics, watch = self.agent, self.statistics.copy(), Watch(self, callback)
        arguments = self.stream, self.observations, self.actions, statistics, self.settings.n_steps
        before, self.phase = self.phase, ROLLOUT
        self._collected = statistics
        try:
            while not collect(agent, *arguments, watch):
                agent.discard()
        finally:
            self.phase = before
        watch.end()
        return statistics

    @property
    def latest_statistics(self) -> EpisodeStatistics:
        """The episode statistics up to the last step, also during a rollout."""
        return self.statistics if self._collected is None else self._collected

    def _last_rows(self) -> np.ndarray | None:
        """The environments' current observations (E, O), or None if they must be reset."""
        obs = None if self.stream is None else self.stream.obs
        return None if obs is None else self.observations.batch(obs)[0]

    def update(self, rows: Rollout, shape: tuple[int, int]) -> Record:
        """Runs one iteration on a checked rollout (T, E). An error leaves everything unchanged."""
        started, contents, fitted = perf_counter(), self._slot.contents(), self._fitted
        before = contents[0].state()
        try:
            self._fit_agent(*shape)
            replay(self.agent, rows)
            result = self.agent.update()
        except BaseException:
            self._slot.put_back(*contents)
            self._fitted = fitted
            self.agent.load_state(before)
            raise
        return self._record(result, {}, started, lambda: rows.obs)

    def _record(
        self,
        result: Record,
        of_rollout: Record,
        started: float,
        get_obs: Callable[[], np.ndarray | None],
    ) -> Record:
        """Counts an update, and keeps its record.

        get_obs() returns observations (..., O) of the rollout or after it, or None if unknown.
        """
        self.n_updates += 1
        self.num_timesteps += result["n_samples"]
        record = {
            "iteration": self.n_updates,
            "num_timesteps": self.num_timesteps,
            **of_rollout,
            "steps_per_second": result["n_samples"] / (perf_counter() - started),
            **_flat(result),
        }
        if "learning_rate" in CRITICS[self.settings.critic].settings:
            record["learning_rate"] = self.agent.learning_rate
        self.records.append(record)
        keep_last(self.records, self.settings.max_records)
        self._rejections.check(record, self.settings, self.agent, get_obs)
        return record

    # -- calls that are not allowed in some phases ------------------------------------------------

    def refuse_environment(self, call: str) -> None:
        """Raises RuntimeError during a rollout, whose rows must follow each other."""
        if self.phase == ROLLOUT:
            raise UserRuntimeError(
                f"{call} is not allowed during a rollout: call it in _on_rollout_start, "
                "_on_rollout_end or _on_record, or after learn"
            )

    def refuse_policy(self, call: str) -> None:
        """Raises RuntimeError until the update, which needs the policy that drew the actions."""
        if self.phase:
            raise UserRuntimeError(
                f"{call} is not allowed during {self.phase}, which needs the current policy: call "
                "it in _on_rollout_start or _on_record, or after learn"
            )


def no_callback(trainer: Trainer) -> CallbackList:
    """A callback that does nothing."""
    callback = CallbackList([])
    callback.init_callback(trainer)
    return callback


def keep_last(values: list, most: int | None) -> None:
    """Drops the first values if there are more than `most`; None keeps all."""
    if most is not None and len(values) > most:
        del values[: len(values) - most]


def _is_same(key: tuple, other: tuple) -> bool:
    """Compares settings by identity, because equal ones can hold different functions."""
    return key[0] is other[0] and key[1:] == other[1:]


def _flat(result: Record) -> Record:
    """An update's result with its `seconds` as seconds_advantages, seconds_gradient, ..."""
    seconds = {intern(f"seconds_{stage}"): time for stage, time in result["seconds"].items()}
    return {name: value for name, value in result.items() if name != "seconds"} | seconds
