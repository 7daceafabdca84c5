"""The owner of a run: its agent, environments, episode statistics and counts.

    collect -> update -> record

`Trainer.iterate` is one iteration; `Learning` (learning.py) repeats it with callbacks and logs.
`TRPO` checks and converts what users hand in, and delegates to this.

A changed setting takes effect at the start of the next iteration and nowhere else: until then the
agent, and with it the rollout and the policy, are those of the settings before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from sys import intern
from time import perf_counter
from typing import Any

import numpy as np

from fasttrpo import spaces
from fasttrpo.core import backend
from fasttrpo.errors import UserRuntimeError
from fasttrpo.logs.logger import Logger
from fasttrpo.settings import Settings
from fasttrpo.settings.agent import resolve
from fasttrpo.settings.critics import CRITICS
from fasttrpo.settings.schedules import SCHEDULED, is_schedule
from fasttrpo.stream.make import user_env
from fasttrpo.stream.stream import Stream
from fasttrpo.training.callback import CallbackList
from fasttrpo.training.collect import collect
from fasttrpo.training.episodes import EpisodeStatistics
from fasttrpo.training.rejections import Rejections
from fasttrpo.training.rollout import Rollout, replay
from fasttrpo.training.slot import AgentSlot, Recipe, State
from fasttrpo.training.watch import Stopped, Watch

Record = dict[str, Any]

# Where an iteration is: between two, as rows are collected, or around the update: as the rollout is
# prepared, and from the full rollout until the update is made.
BETWEEN, ROLLOUT, UPDATE = "", "a rollout", "an update"
WORD = 2**32


class Trainer:
    """One run.

    settings      as the user wants them; the agent has them from the next iteration on
    observations, actions    how the environment's spaces become numbers, and back
    stream        the environments' steps in order; None without an environment
    statistics    of the episodes
    num_timesteps, n_updates, records    what was learnt from, and what came of it
    logger        the log; `has_own_logger` if the user gave it
    remaining     1 at the start of `learn`, falling to 0; schedules are functions of it
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
        self.actions = actions.sent(settings.clip_actions, settings.scale_actions)
        self.num_timesteps = self.n_updates = 0
        self.records: list[Record] = []
        self.stream: Stream | None = None
        self.statistics = EpisodeStatistics(settings.n_envs, settings.stats_window_size)
        self.remaining = 1.0
        self.seed_is_given = True
        self.phase, self.is_learning = BETWEEN, False
        self.logger, self.has_own_logger = Logger(None), False
        self._new_seed: int | None = None
        self._rejections = Rejections()
        backend.choose_aloud(settings.backend)
        # A loaded model acts in little memory, whatever its n_steps; the first rollout makes room.
        n_steps = settings.n_steps if saved is None else 1
        self._slot = AgentSlot(self._recipe(n_steps, settings.n_envs), saved)
        self._fitted: tuple | None = None

    # -- the agent ----------------------------------------------------------------------------

    @property
    def agent(self) -> Any:
        """As the last iteration left it."""
        return self._slot.agent

    def _recipe(self, n_steps: int, n_envs: int) -> Recipe:
        """For an agent with the settings as they are now, and room for n_steps x n_envs rows."""
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
        """Prepares the agent for the iteration that starts: here changed settings take effect."""
        scheduled = any(is_schedule(getattr(self.settings, name)) for name in SCHEDULED)
        key = (self.settings, n_steps, n_envs, self.remaining if scheduled else 1.0)
        if self._fitted is None or not _is_same(key, self._fitted):
            self._slot.fit(self._recipe(n_steps, n_envs))
            self._fitted = key

    def change(self, settings: Settings) -> None:
        """Other settings, from the next iteration on. ValueError for what no agent can have."""
        before, self.settings = self.settings, settings
        try:
            self._recipe(settings.n_steps, settings.n_envs)
        except BaseException:
            self.settings = before
            raise

    def reseed(self, seed: int) -> None:
        """Begins the random streams of a seed, in the environments too; at once between two
        iterations, and when the update has been made after a full rollout.
        """
        self.refuse_environment("set_random_seed")
        self.settings = replace(self.settings, seed=seed)
        self.seed_is_given, self._new_seed = True, seed
        if not self.phase:
            self._begin_streams()
        self.interrupt()

    def _begin_streams(self) -> None:
        """Those of the new seed, if there is one."""
        seed, self._new_seed = self._new_seed, None
        if seed is not None:
            state = self.agent.state()
            _, _, _, _, *learnt = state["counters"]
            self.agent.load_state({**state, "counters": [seed % WORD, seed // WORD, 0, 0, *learnt]})

    def set_parameters(self, theta: Any, value_theta: Any) -> None:
        """New parameters of policy and critic, both flat; None: they stay."""
        self.refuse_policy("setting parameters")
        agent = self.agent
        if theta is not None:
            agent.theta = theta
        if value_theta is not None:
            agent.value_theta = value_theta

    # -- the environments ---------------------------------------------------------------------

    def attach(self, env: Any) -> None:
        """Other environments; they are reset when they are first stepped."""
        self.settings = replace(self.settings, n_envs=env.num_envs)
        self.stream = Stream(env)
        self.statistics.restart(env.num_envs)

    def interrupt(self) -> None:
        """Forgets where the environments stand: they are reset before the next rollout."""
        if self.stream is not None:
            self.stream.interrupt()

    def release(self, env: Any) -> tuple[np.ndarray, np.ndarray] | None:
        """Someone else moves `env`. Where that is the run's own, amid episodes: their returns and
        lengths (E,) until now.
        """
        if self.stream is None or self.stream.env is not env or self.stream.obs is None:
            return None
        self.stream.interrupt()
        return self.statistics.under_way()

    def run_state(self) -> dict[str, np.ndarray]:
        """The state of episodes and environments, for `restore`; in a rollout, of episodes only."""
        stream = {} if self.stream is None or self.phase else self.stream.state()
        return {**self.statistics.state(), **stream}

    def restore(self, run: dict[str, np.ndarray]) -> None:
        """Continues where `run_state` was called. ValueError for what it cannot have returned."""
        if run:
            self.statistics.load_state(run)
        if self.stream is not None:
            self.stream.load_state(run)

    def ready_environment(self) -> None:
        """Resets the environments where that is due.

        The seed depends on the model's and on how much was learnt, so that a run never repeats
        its beginning: not after a load either, unless a checkpoint has the environments' own state.
        """
        assert self.stream is not None
        if self.stream.obs is None:
            self.stream.reset(self._environment_seed(self.stream.env))
            self.statistics.restart(self.stream.env.num_envs)
            self.agent.restart()

    def _environment_seed(self, env: Any) -> int | None:
        """None for a `VecEnv` where the user gave no seed: not all have `seed`, and
        Stable-Baselines3 calls it on request only.
        """
        if user_env(env) is not env and not self.seed_is_given:
            return None
        sequence = np.random.SeedSequence((self.settings.seed, self.n_updates))
        return int(sequence.generate_state(1)[0])

    # -- an iteration -------------------------------------------------------------------------

    def iterate(self, callback: Any = None) -> Record:
        """Collects a rollout, updates the agent, and returns the record.

        Where the rollout fails, or a callback stops it (Stopped), it is dropped with its episodes;
        the steps count if it was stopped.
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
            self.phase = BETWEEN
            self._begin_streams()
        self.num_timesteps, self.statistics = before, statistics
        of_rollout = {**statistics.record(), "seconds_collect": collected - started}
        return self._record(result, of_rollout, started, self._last_rows)

    def collect(self, callback: Any) -> EpisodeStatistics:
        """Fills the agent's rollout; the episodes as they stand after it, not yet kept.

        Where every row is a reset (NEXT_STEP, short rollouts), there is nothing to learn from:
        it collects again.
        """
        assert self.stream is not None
        agent, statistics, watch = self.agent, self.statistics.copy(), Watch(self, callback)
        given = self.stream, self.observations, self.actions, statistics, self.settings.n_steps
        before, self.phase = self.phase, ROLLOUT
        try:
            while not collect(agent, *given, watch):
                agent.discard()
        finally:
            self.phase = before
        watch.end()
        return statistics

    def _last_rows(self) -> np.ndarray | None:
        """The observations (E, O) that the environments show now, if they are amid episodes."""
        obs = None if self.stream is None else self.stream.obs
        return None if obs is None else self.observations.batch(obs)[0]

    def update(self, rows: Rollout, shape: tuple[int, int]) -> Record:
        """One iteration on a checked rollout (T, E). After an error nothing has changed."""
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
        seen: Callable[[], np.ndarray | None],
    ) -> Record:
        """Counts an update, and keeps its record.

        seen() is observations (..., O) that it learnt from, or some near them; None: unknown
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
        self._rejections.see(record, self.settings, self.agent, seen)
        return record

    # -- what would spoil an iteration ----------------------------------------------------------

    def refuse_environment(self, call: str) -> None:
        """RuntimeError as rows are collected: the next ones would not follow the last."""
        if self.phase == ROLLOUT:
            raise UserRuntimeError(
                f"{call} in the midst of a rollout: call it in _on_rollout_start, _on_rollout_end "
                "or _on_record, or when learn has returned"
            )

    def refuse_policy(self, call: str) -> None:
        """RuntimeError until the update is made: a rollout belongs to the policy that drew it."""
        if self.phase:
            raise UserRuntimeError(
                f"{call} in the midst of {self.phase}, which belongs to the policy as it is: call "
                "it in _on_rollout_start or _on_record, or when learn has returned"
            )


def no_callback(trainer: Trainer) -> CallbackList:
    """A callback that does nothing."""
    callback = CallbackList([])
    callback.init_callback(trainer)
    return callback


def keep_last(values: list, most: int | None) -> None:
    """Drops the first of the values where there are more than `most`; None: none is dropped."""
    if most is not None and len(values) > most:
        del values[: len(values) - most]


def _is_same(key: tuple, other: tuple) -> bool:
    """Settings are compared by identity: equal ones could hold other functions."""
    return key[0] is other[0] and key[1:] == other[1:]


def _flat(result: Record) -> Record:
    """An update's result with its `seconds` as seconds_advantages, seconds_gradient, ..."""
    seconds = {intern(f"seconds_{stage}"): time for stage, time in result["seconds"].items()}
    return {name: value for name, value in result.items() if name != "seconds"} | seconds
