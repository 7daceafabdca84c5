"""`TRPO`: the model that a user trains, asks and saves. It checks, converts and calls an agent."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from time import perf_counter
from typing import Any, BinaryIO
from weakref import WeakMethod

import numpy as np

from fasttrpo import spaces
from fasttrpo.core import backend
from fasttrpo.files import checkpoint as archives
from fasttrpo.logs.logger import Logger, as_logger
from fasttrpo.sb3.calls import Calls
from fasttrpo.sb3.view import register
from fasttrpo.settings import Settings, change, check_rows, forget, make_settings, signature
from fasttrpo.settings.agent import AgentSettings, resolve
from fasttrpo.settings.cost import affordable
from fasttrpo.settings.peers import expand, for_actions
from fasttrpo.settings.sb3_arguments import check_device
from fasttrpo.settings.schedules import values_of_functions, warn_of_functions
from fasttrpo.stream.make import as_vector_env, is_name, seen_env
from fasttrpo.stream.stream import Stream
from fasttrpo.training import learning
from fasttrpo.training.amid import refuse_environment, refuse_policy
from fasttrpo.training.collect import EpisodeStatistics
from fasttrpo.training.learning import Record
from fasttrpo.training.rejections import Rejections
from fasttrpo.training.rollout import Rollout, checked, replay


class TRPO(Calls):
    """Trust Region Policy Optimization, with Stable-Baselines3's calls.

        model = TRPO("MlpPolicy", "CartPole-v1", n_envs=8, n_steps=250, seed=0)
        model.learn(60_000, progress_bar=True)
        action, _ = model.predict(observation, deterministic=True)

    policy    "MlpPolicy" or "LinearPolicy"
    env       an environment id, the path of a shared library (csrc/include/trpo_env.h), a
              `gymnasium.Env`, a `gymnasium.vector.VectorEnv`, or a `VecEnv` of Stable-Baselines3's
    keywords  every other field of `fasttrpo.settings.Settings`, where each is explained

    `settings` holds them as checked, `num_timesteps` and `n_updates` count what was learnt from,
    `records` has one record per iteration, of the last `max_records`.
    """

    settings: Settings
    num_timesteps: int
    n_updates: int
    records: list[Record]

    def __init__(self, policy: str, env: Any, **keywords: Any) -> None:
        n_envs = None if is_name(env) else getattr(env, "num_envs", 1)
        wanted = expand(policy, keywords, n_envs)
        settings = make_settings(policy, wanted)
        given, env = env, as_vector_env(env, settings.n_envs, **making(settings))
        observations, actions = spaces.describe(
            env.single_observation_space, env.single_action_space
        )
        spaces.warn_of_images(observations)
        settings = for_actions(settings, keywords, actions.distribution)
        settings = replace(settings, n_envs=env.num_envs)
        settings = affordable(settings, wanted, observations.size, sum(actions.parts))
        check_rows(settings)
        self._build(settings, observations, actions)
        self._seed_is_given = keywords.get("seed") is not None
        self._attach(env, given)

    def _build(
        self,
        settings: Settings,
        observations: spaces.Observations,
        actions: spaces.Actions,
        saved: archives.Checkpoint | None = None,
    ) -> None:
        self.settings = settings
        self.num_timesteps = self.n_updates = 0
        self.records = []
        self._logger, self._has_own_logger = Logger(None), False
        self._rejections = Rejections()
        self._remaining, self._is_learning = 1.0, False
        self._seed_is_given = True
        self._amid: str | None = None
        self._observations = observations
        self._actions = actions.sent(settings.clip_actions, settings.scale_actions)
        self._stream: Stream | None = None
        self._seen_env: Any = None
        self._statistics = EpisodeStatistics(settings.n_envs, settings.stats_window_size)
        self._backend = backend.choose_aloud(settings.backend)
        # A loaded model acts in little memory, whatever its n_steps; the first rollout makes room.
        self._capacity = settings.n_steps if saved is None else 1, settings.n_envs
        self._made, self._saved = None, saved
        if saved is None:
            self._made = self._make_agent(*self._capacity)

    # -- spaces and environment ---------------------------------------------------------------

    @property
    def observation_space(self) -> Any:
        """One environment's observations, a space of Gymnasium's."""
        return self._observations.to_space()

    @property
    def action_space(self) -> Any:
        """One environment's actions, a space of Gymnasium's."""
        return self._actions.to_space()

    def get_env(self) -> Any:
        """The environments that `learn` steps, or None: the `VectorEnv`, or the `VecEnv` of
        Stable-Baselines3's, that was passed; of an id or one environment, a view with the calls of
        a `VecEnv` (`fasttrpo.sb3.view`), whose `vector_env` is Gymnasium's.
        """
        register()
        return self._seen_env

    @property
    def is_amid_episodes(self) -> bool:
        """Whether `learn(..., reset_num_timesteps=False)` goes on in them, or resets first."""
        return self._stream is not None and self._stream.obs is not None

    def set_env(self, env: Any) -> None:
        """Takes another environment, which is reset when it is first stepped.

        A callback may do so too, from the next iteration on; RuntimeError in the midst of a rollout
        (`_on_step`). ValueError for other spaces.
        """
        refuse_environment(self, "set_env")
        made = as_vector_env(env, _n_envs(env, self.settings), **making(self.settings))
        self._check_spaces(made)
        self._attach(made, env)

    def _attach(self, env: Any, given: Any) -> None:
        self.settings = replace(self.settings, n_envs=env.num_envs)
        self._stream = Stream(env)
        self._seen_env = seen_env(env, given, weakly(self._leave))
        self._statistics.restart(env.num_envs)

    def _leave(self, env: Any) -> tuple[np.ndarray, np.ndarray] | None:
        """Somebody else moves the environment: `learn` resets it. Where it was amid episodes, their
        returns and lengths (E,) until now.
        """
        if self._stream is None or self._stream.env is not env or not self.is_amid_episodes:
            return None
        self._stream.interrupt()
        return self._statistics.under_way()

    def _check_spaces(self, env: Any) -> None:
        given = spaces.describe(env.single_observation_space, env.single_action_space)
        spaces.check_same((self._observations, self._actions), given)

    # -- learning -----------------------------------------------------------------------------

    def learn(
        self,
        total_timesteps: float,
        callback: Any = None,
        log_interval: int | None = 1,
        tb_log_name: str = "TRPO",
        reset_num_timesteps: bool = True,
        progress_bar: bool | None = False,
        *,
        max_seconds: float | None = None,
    ) -> TRPO:
        """Trains for at least `total_timesteps` environment steps, in whole iterations.

        total_timesteps      an integer, or a float that is one: 1e6
        callback             callbacks of `fasttrpo.callbacks`, or a list of such; or a function of
                             each iteration's record, which stops by returning False; a function
                             that needs two arguments gets (locals, globals) at every step, as
                             Stable-Baselines3's do
        log_interval         iterations between two lines of the log (None: no log)
        tb_log_name          TensorBoard's folder is tensorboard_log/{tb_log_name}_{1, 2, ...}
        reset_num_timesteps  False goes on where the last call stopped, episodes included
        progress_bar         None: on a terminal only
        max_seconds          stops at the first iteration that ends after so many

        A record holds iteration, num_timesteps, episodes, return_mean and length_mean (of the
        last 100 episodes, raw rewards), success_rate where environments tell "is_success",
        seconds_collect, steps_per_second, what the agent's update reports, and the numbers and
        texts that callbacks recorded in `logger`. `outcome` is 0 where a step was taken; or
        the policy stayed, since 1 the line search found no acceptable step, 2 the gradient is zero,
        3 there is no curvature along it. `ended` says what ended the run early, "max_seconds" or
        "callback"; else it is "".

        A callback that returns False in the midst of a rollout drops it: its steps stay counted in
        `num_timesteps`. Whatever the environment or a callback raises, and KeyboardInterrupt, comes
        through; the unfinished rollout is dropped with its episodes, the model stays usable, and
        the next call resets the environment. An environment's exceptions have a note on the step.
        """
        learning.Learning(
            self,
            total_timesteps,
            callback,
            log_interval,
            tb_log_name,
            reset_num_timesteps,
            progress_bar,
            max_seconds,
        ).run()
        return self

    @property
    def logger(self) -> Logger:
        """The log of the run; `record` puts values into it."""
        return self._logger

    def set_logger(self, logger: Any) -> None:
        """Takes a logger, of `fasttrpo.configure` or Stable-Baselines3's, instead of what the
        settings verbose and tensorboard_log would make. TypeError for what is none.

        In a callback, too: what was recorded until then is written where it was recorded.
        """
        taken = as_logger(logger)
        if self._is_learning:
            self._logger.dump(self.num_timesteps)
        self._logger, self._has_own_logger = taken, True

    def update(self, rollout: Rollout) -> Record:
        """One iteration on a rollout of the user's own; returns the agent's record.

        The log-probabilities are those of the present policy, so the actions must be drawn
        from it. T and E are free. ValueError or TypeError names what is wrong with the rollout;
        the model is then unchanged. RuntimeError in the midst of a rollout of `learn`.
        """
        refuse_policy(self, "update")
        rows = checked(rollout, self._observations, self._actions)
        started = perf_counter()
        agent, before = self._fitting_agent(*rollout.shape), self._agent.state()
        try:
            replay(agent, rows)
            result = agent.update()
        except BaseException:
            if agent is self._agent:
                agent.load_state(before)
            raise
        self._agent, self._capacity = agent, rollout.shape
        return learning.count(self, result, {}, started, lambda: rows.obs)

    # -- the agent ----------------------------------------------------------------------------

    @property
    def _agent(self) -> Any:
        """A loaded model makes its agent when it is first needed."""
        if self._made is None:
            with _MAKING:
                if self._made is None:
                    self._made = self._saved_agent()
                    self._saved = None
        return self._made

    @_agent.setter
    def _agent(self, agent: Any) -> None:
        self._made = agent

    def _saved_agent(self) -> Any:
        n_steps, n_envs = self._capacity
        agent, saved = self._make_agent(n_steps, n_envs), self._saved
        assert saved is not None
        agent.load_state(_for_n_envs(archives.completed(saved, agent.state()), n_envs))
        return agent

    def _make_agent(self, n_steps: int, n_envs: int) -> Any:
        settings = replace(self.settings, n_steps=n_steps, n_envs=n_envs)
        return backend.make_agent(self._resolved(settings), self._backend, settings.dtype)

    def _resolved(self, settings: Settings) -> AgentSettings:
        """As they are with the progress that remains."""
        return resolve(
            settings,
            self._observations.size,
            self._actions.distribution,
            self._actions.parts,
            settings.n_threads or backend.n_threads(),
            self._remaining,
        )

    def _fitting_agent(self, n_steps: int, n_envs: int) -> Any:
        """The agent, or one that knows the same, if only that takes n_steps x n_envs rows."""
        if self._capacity == (n_steps, n_envs):
            return self._agent
        agent = self._make_agent(n_steps, n_envs)
        agent.load_state(_for_n_envs(self._agent.state(), n_envs))
        return agent

    # -- acting -------------------------------------------------------------------------------

    def predict(
        self,
        observation: Any,
        state: None = None,
        episode_start: None = None,
        deterministic: bool = False,
        action_masks: Any = None,
    ) -> tuple[Any, None]:
        """The action for one observation (*obs), or the actions for a batch (n, *obs).

        An observation of a Dict or Tuple is a dict or tuple; a batch is one of arrays (n, ...).
        Returns (action, None): as the environment gets it, in the space's shape and type. `state`
        and `episode_start` are there for callers of recurrent policies and have no effect.

        action_masks  which choices are open, (A,) or (n, A) bool, for Discrete and MultiDiscrete;
                      of these the parts' masks in a row, or a tuple of them (None: all are)

        ValueError or TypeError for an observation that is none, or not finite, and for masks of
        another form or that leave no choice.
        """
        rows, single = self._observations.batch(observation)
        masks = self._masks(action_masks, () if single else (len(rows),))
        action = self._actions.to_env(self._agent.predict(rows, deterministic, *masks))
        return (action[0] if single else action), None

    def _masks(self, given: Any, lead: tuple[int, ...]) -> tuple:
        """What the agent takes for them: nothing, or one array (n, A)."""
        masks = self._actions.masks("action_masks", given, lead)
        return () if masks is None else (masks.reshape(-1, masks.shape[-1]),)

    # -- keeping ------------------------------------------------------------------------------

    def save(
        self,
        path: str | os.PathLike | BinaryIO,
        exclude: Iterable[str] | None = None,
        include: Iterable[str] | None = None,
        *,
        checkpoint: bool = False,
    ) -> None:
        """Writes all that is needed to act and to go on training; ".npz" is added to a bare name.

        path        or a binary file that is open for writing
        exclude     names of settings to forget: `load` gives them their defaults
        include     names that are kept though in `exclude`
        checkpoint  True adds where the run stands, between two iterations: `load(path, env)`
                    then goes on bit for bit, where the environment can be saved (`load` says more).
                    In the midst of a rollout, in `_on_step` say, it stands nowhere: the rollout is
                    in no file, and a loaded run begins new episodes

        The folder is made if there is none; a path that is a link is followed. The file is written
        beside its place and then moved there: a kill at any moment leaves the old file whole, and
        of several that save to one path the last is kept. ValueError for a state that is
        not finite, which `load` would refuse; SaveError (an OSError) where the disk is full.
        """
        snapshot = self.snapshot(checkpoint)
        forgotten = set(exclude or ()) - set(include or ())
        forgetful = replace(snapshot, settings=forget(snapshot.settings, forgotten))
        archives.write(path, forgetful, follow=True)

    def snapshot(self, checkpoint: bool = True) -> archives.Checkpoint:
        """All that `save` writes, as it is now, for `checkpoint.write`."""
        run = self._run_state() if checkpoint else {}
        last: dict[str, Any] = values_of_functions(self.settings, self._remaining)
        return archives.Checkpoint(
            replace(self.settings, **last),
            self._observations,
            self._actions,
            self.num_timesteps,
            self.n_updates,
            self._agent.state(),
            run,
            functions=tuple(last),
            seed_is_given=self._seed_is_given,
        )

    def _run_state(self) -> dict[str, np.ndarray]:
        stream = {} if self._stream is None or self._amid else self._stream.state()
        return {**self._statistics.state(), **stream}

    @classmethod
    def load(
        cls,
        path: str | os.PathLike | BinaryIO,
        env: Any = None,
        device: Any = "auto",
        custom_objects: Mapping[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        **overrides: Any,
    ) -> TRPO:
        """The model that `save` wrote; without `env` it predicts, saves and updates.

        path       a bare name finds .npz before .zip, and a name in .zip its .npz; or an open file
        device, custom_objects, print_system_info, force_reset
                   taken for Stable-Baselines3's scripts: models are on the CPU, files hold no
                   objects, and environments that cannot go on are reset anyway
        overrides  settings to change, say dtype, backend or target_kl; not policy,
                   policy_kwargs and seed, which the saved parameters and random streams have

        From a checkpoint `learn(..., reset_num_timesteps=False)` goes on in the midst of the
        episodes, bit for bit as if it had never stopped, if `env` makes the same environments and
        these can be saved: the compiled ones can, and fasttrpo's MuJoCo tasks. Elsewhere the
        environments begin anew, and the agent goes on bit for bit as the saved one does if both
        are given the same steps.

        A schedule that is a function is in no file: without it in `overrides` there is a warning,
        and the setting keeps its last value.

        FormatError (a ValueError) names the file and what is wrong with it.
        """
        check_device(device)
        saved = archives.read(path)
        warn_of_functions(saved.settings, set(saved.functions) - set(overrides))
        model = cls.__new__(cls)
        model._build(change(saved.settings, overrides), saved.observations, saved.actions, saved)
        model.num_timesteps, model.n_updates = saved.num_timesteps, saved.n_updates
        model._seed_is_given = saved.seed_is_given
        made = env
        if env is not None:
            made = as_vector_env(env, _n_envs(env, model.settings), **making(model.settings))
        try:
            if env is not None:
                model._check_spaces(made)
                model._attach(made, env)
            model._go_on(saved.run)
        except ValueError as error:
            raise archives.FormatError(f"{archives.shown(path)}: {error}") from error
        return model

    def _change(self, changes: Mapping[str, Any]) -> None:
        """Replaces settings, from the next iteration on; errors as `load` has them."""
        if "n_envs" in changes:
            raise AttributeError("n_envs belongs to the environment: call set_env(env)")
        self._remake(change(self.settings, changes))

    @classmethod
    def _loaded(cls, path: Any) -> TRPO:
        return cls.load(path)

    def _reseed(self, seed: int) -> None:
        refuse_environment(self, "set_random_seed")
        self._remake(replace(self.settings, seed=seed))
        self._seed_is_given = True
        if self._stream is not None:
            self._stream.interrupt()

    def _remake(self, settings: Settings) -> None:
        """Goes on with other settings; what was learnt stays."""
        state, before = self._agent.state(), self.settings
        self.settings = settings
        try:
            agent = self._make_agent(*self._capacity)
            agent.load_state(state)
        except ValueError:
            self.settings = before
            raise
        self._agent = agent

    def _go_on(self, run: dict[str, np.ndarray]) -> None:
        """Takes up the run where a checkpoint left it."""
        if run:
            self._statistics.load_state(run)
        if self._stream is not None:
            self._stream.load_state(run)


# Where threads share a loaded model, one of them makes its agent. A signal's handler may save the
# model meanwhile, and a schedule may ask another loaded model: the thread takes the lock again.
_MAKING = threading.RLock()


def weakly(method: Callable[..., Any]) -> Callable[..., Any]:
    """A bound method that does not keep its object alive, and gives None once that is gone: a
    model must not wait for the garbage collector, for its memory is large.
    """
    found = WeakMethod(method)

    def call(*args: Any) -> Any:
        method = found()
        return None if method is None else method(*args)

    return call


def making(settings: Settings) -> dict[str, Any]:
    """Whose environments are made from a name, on how many threads: for `as_vector_env`."""
    threads = settings.n_threads or backend.n_threads()
    return {"env_backend": settings.env_backend, "n_threads": threads}


def _n_envs(env: Any, settings: Settings) -> int:
    """How many environments to make from a name; those that exist have a number."""
    return settings.n_envs if is_name(env) else 1


def _for_n_envs(state: dict[str, np.ndarray], n_envs: int) -> dict[str, np.ndarray]:
    """`state` for another number of environments: their running returns start at zero."""
    if "rew_running" not in state or len(state["rew_running"]) == n_envs:
        return state
    return {**state, "rew_running": np.zeros(n_envs)}


setattr(TRPO, "__signature__", signature())  # noqa: B010
