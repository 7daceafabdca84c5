"""`TRPO`: the model that users train, use and save. Its `Trainer` does the work."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO, Self, Unpack

import numpy as np

from fasttrpo import spaces
from fasttrpo.checks.values import integer
from fasttrpo.files import checkpoint as archives
from fasttrpo.logs.logger import Logger, as_logger
from fasttrpo.protocols import Record
from fasttrpo.sb3.calls import Calls, ModelPolicy
from fasttrpo.sb3.convert import returned_env, vector_env
from fasttrpo.settings import Settings, change, check_rows, forget, make_settings, signature
from fasttrpo.settings.cost import affordable
from fasttrpo.settings.peers import expand, for_actions
from fasttrpo.settings.sb3_arguments import check_device
from fasttrpo.settings.schedules import values_of_functions, warn_of_functions
from fasttrpo.stream.make import check_made, is_maker
from fasttrpo.training.episodes import Episode
from fasttrpo.training.learning import Learning
from fasttrpo.training.rollout import Rollout, checked
from fasttrpo.training.trainer import Trainer

if TYPE_CHECKING:
    from fasttrpo.protocols import CallbackLike, EnvLike
    from fasttrpo.settings.keywords import Changes, Keywords, Overrides


class TRPO(Calls):
    """Trust Region Policy Optimization, with Stable-Baselines3's calls.

        model = TRPO("MlpPolicy", "CartPole-v1", n_envs=8, n_steps=250, seed=0)
        model.learn(60_000, progress_bar=True)
        action, _ = model.predict(observation, deterministic=True)

    policy    "MlpPolicy" or "LinearPolicy"
    env       an environment id, the path of a shared library (csrc/include/trpo_env.h), a
              `NumbaEnvironment`, a class or function that makes a `gymnasium.Env`; or an Env, a
              `gymnasium.vector.VectorEnv` or an SB3 `VecEnv`
    keywords  settings: the other fields of `fasttrpo.settings.Settings` (docs/settings.md)

    `settings` holds the checked settings, and `records` the records of the last `max_records`
    iterations. `num_timesteps` and `n_updates` count environment steps and updates.
    """

    _trainer: Trainer
    _env: Any = None

    def __init__(self, policy: str | type, env: EnvLike, **keywords: Unpack[Keywords]) -> None:
        n_envs = None if is_maker(env) else getattr(env, "num_envs", 1)
        wanted = expand(policy, keywords, n_envs)
        settings = make_settings(policy, wanted)
        check_made(env, keywords)
        given, env = env, vector_env(env, settings.n_envs, settings)
        observations, actions = spaces.describe(
            env.single_observation_space, env.single_action_space
        )
        spaces.warn_of_images(observations)
        settings = for_actions(settings, keywords, actions.distribution)
        settings = replace(settings, n_envs=env.num_envs)
        settings = affordable(settings, wanted, observations.size, sum(actions.parts))
        check_rows(settings)
        self._trainer = Trainer(settings, observations, actions)
        self._trainer.seed_is_given = keywords.get("seed") is not None
        self._attach(env, given)

    # -- the run ------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """The checked settings. A change takes effect at the start of the next iteration."""
        return self._trainer.settings

    @property
    def num_timesteps(self) -> int:
        """Environment steps taken, summed over all environments."""
        return self._trainer.num_timesteps

    @num_timesteps.setter
    def num_timesteps(self, value: int) -> None:
        self._trainer.num_timesteps = integer(0)("num_timesteps", value)

    @property
    def n_updates(self) -> int:
        """Completed iterations."""
        return self._trainer.n_updates

    @n_updates.setter
    def n_updates(self, value: int) -> None:
        self._trainer.n_updates = integer(0)("n_updates", value)

    @property
    def records(self) -> list[Record]:
        """The records of the last `max_records` iterations."""
        return self._trainer.records

    @records.setter
    def records(self, value: list[Record]) -> None:
        self._trainer.records = value

    @property
    def episodes(self) -> list[Episode]:
        """The last `stats_window_size` finished episodes."""
        return list(self._trainer.statistics.window)

    # -- spaces and environment ---------------------------------------------------------------

    @property
    def observation_space(self) -> Any:
        """The Gymnasium space of one environment's observations."""
        return self._trainer.observations.to_space()

    @property
    def action_space(self) -> Any:
        """The Gymnasium space of one environment's actions."""
        return self._trainer.actions.to_space()

    def get_env(self) -> Any:
        """The environments that `learn` steps, or None. A `VectorEnv` or SB3 `VecEnv` is returned
        as passed; an id or a single environment as a view with a `VecEnv`'s methods
        (`fasttrpo.sb3.view`), whose `vector_env` is the Gymnasium environment.
        """
        return self._env

    @property
    def is_amid_episodes(self) -> bool:
        """Whether `learn(..., reset_num_timesteps=False)` continues unfinished episodes."""
        stream = self._trainer.stream
        return stream is not None and stream.obs is not None

    def set_env(self, env: EnvLike) -> None:
        """Replaces the environment. The new one is reset before its first step.

        Called from a callback, it takes effect in the next iteration. Raises ValueError if the
        spaces differ, and RuntimeError during a rollout (in `_on_step`).
        """
        self._trainer.refuse_environment("set_env")
        self._replace_env(self._vector_env(env), env)

    def interrupt(self) -> None:
        """Makes the next `learn` reset the environments. Call it after you stepped or reset them
        yourself.
        """
        self._trainer.interrupt()

    def _attach(self, env: Any, given: Any) -> None:
        name = os.fspath(given) if isinstance(given, str | os.PathLike) else None
        self._trainer.attach(env, name)
        self._env = returned_env(env, given, self._trainer.release)

    def _vector_env(self, given: Any) -> Any:
        n_envs = self.settings.n_envs if is_maker(given) else 1
        return vector_env(given, n_envs, self.settings)

    def _replace_env(self, env: Any, given: Any) -> None:
        """Raises ValueError if its spaces differ from the model's."""
        described = spaces.describe(env.single_observation_space, env.single_action_space)
        spaces.check_same((self._trainer.observations, self._trainer.actions), described)
        self._attach(env, given)

    # -- learning -----------------------------------------------------------------------------

    def learn(
        self,
        total_timesteps: float,
        callback: CallbackLike = None,
        log_interval: int | None = 1,
        tb_log_name: str = "TRPO",
        reset_num_timesteps: bool = True,
        progress_bar: bool | None = False,
        *,
        max_seconds: float | None = None,
    ) -> Self:
        """Trains for at least `total_timesteps` environment steps, in complete iterations.

        total_timesteps      an integer, or a float with an integer value: 1e6
        callback             a callback of `fasttrpo.callbacks`, a function, or a list of these. A
                             function is called with each iteration's record; if it has two required
                             arguments, with (locals, globals) after every step, as in SB3.
                             Returning False stops learning
        log_interval         log every this many iterations (None: never)
        tb_log_name          TensorBoard logs go to tensorboard_log/{tb_log_name}_{1, 2, ...}
        reset_num_timesteps  False continues from the last call, unfinished episodes included
        progress_bar         show a progress bar (None: on a terminal only)
        max_seconds          stop after the iteration in which this time runs out

        A record holds iteration, num_timesteps, episodes, return_mean and length_mean (of raw
        rewards, over the last `stats_window_size` episodes), success_rate if environments report
        "is_success", seconds_collect, steps_per_second, the results of the agent's update, and
        values that callbacks recorded in `logger`. `outcome` is 0 if a step was taken. Otherwise
        the policy is unchanged: 1 no trial of the line search was accepted, 2 the gradient is zero,
        3 there is no curvature along it. `ended` is "max_seconds", "callback" or "" (completed).

        If a callback returns False during a rollout, the rollout is dropped, but its steps stay
        counted in `num_timesteps`. Exceptions raised by the environment or a callback, and
        KeyboardInterrupt, propagate: the unfinished rollout and its episodes are dropped, the model
        stays usable, and the next call resets the environment. A note names the failing step.
        """
        Learning(
            self._trainer,
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
        """The run's log; `logger.record(key, value)` adds a value."""
        return self._trainer.logger

    def set_logger(self, logger: Any) -> None:
        """Uses a logger from `fasttrpo.configure` or SB3, instead of one made from the settings
        `verbose` and `tensorboard_log`. Raises TypeError if `logger` is not a logger.

        Callbacks can call it too: the old logger first writes what it has recorded.
        """
        logger, trainer = as_logger(logger), self._trainer
        if trainer.is_learning:
            trainer.logger.dump(trainer.num_timesteps)
        trainer.logger, trainer.has_own_logger = logger, True

    def update(self, rollout: Rollout) -> Record:
        """Runs one iteration on a rollout that you collected; returns its record.

        The actions must be drawn from the current policy, whose log-probabilities are used. T and E
        can have any size. Raises ValueError or TypeError if the rollout is invalid, and leaves the
        model unchanged. Raises RuntimeError during a rollout of `learn`.
        """
        self._trainer.refuse_policy("update")
        rows = checked(rollout, self._trainer.observations, self._trainer.actions)
        return self._trainer.update(rows, rollout.shape)

    def change(self, **changes: Unpack[Changes]) -> None:
        """Changes settings from the next iteration on. Raises the same errors as `load`."""
        if "n_envs" in changes:
            raise AttributeError("n_envs belongs to the environment: call set_env(env)")
        self._trainer.change(change(self.settings, changes))

    def set_random_seed(self, seed: int | None = None) -> None:
        """Restarts all random streams, including the environment's; None does nothing."""
        if seed is not None:
            self._trainer.reseed(integer(0, 2**64 - 1)("seed", seed))

    @property
    def theta(self) -> np.ndarray:
        """A copy of the policy's parameters, (P,) float64, in the order of `fasttrpo.theory`."""
        return np.array(self._trainer.agent.theta)

    @theta.setter
    def theta(self, value: Any) -> None:
        self._trainer.set_parameters(value, None)

    @property
    def value_theta(self) -> np.ndarray:
        """A copy of the critic's parameters, (Pv,) float64."""
        return np.array(self._trainer.agent.value_theta)

    @value_theta.setter
    def value_theta(self, value: Any) -> None:
        self._trainer.set_parameters(None, value)

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

        For a Dict or Tuple space, an observation is a dict or tuple, and a batch a dict or tuple of
        arrays (n, ...). Returns (action, None); the action can be passed to the environment: it has
        the action space's shape and dtype. `state` and `episode_start` have no effect.

        action_masks  (A,) or (n, A) bool, True for allowed choices, for Discrete and MultiDiscrete;
                      for MultiDiscrete one mask per component, concatenated or as a tuple (None:
                      everything is allowed)

        Raises ValueError or TypeError if an observation is invalid or not finite, or if a mask is
        malformed or leaves no choice.
        """
        trainer = self._trainer
        rows, single = trainer.observations.batch(observation)
        masks = self._masks(action_masks, () if single else (len(rows),))
        action = trainer.actions.to_env(trainer.agent.predict(rows, deterministic, *masks))
        return (action[0] if single else action), None

    def _masks(self, given: Any, lead: tuple[int, ...]) -> tuple:
        """The agent's arguments for masks: none, or one array (n, A)."""
        masks = self._trainer.actions.masks("action_masks", given, lead)
        return () if masks is None else (masks.reshape(-1, masks.shape[-1]),)

    def predict_values(self, observation: Any) -> np.ndarray:
        """The critic's values (n, 1) for one observation or a batch, in discounted reward."""
        rows, _ = self._trainer.observations.batch(observation)
        return np.array(self._trainer.agent.value(rows)).reshape(-1, 1)

    # -- saving and loading -------------------------------------------------------------------

    def save(
        self,
        path: str | os.PathLike | BinaryIO,
        exclude: Iterable[str] | None = None,
        include: Iterable[str] | None = None,
        *,
        checkpoint: bool = False,
    ) -> None:
        """Saves everything needed to act and to train further.

        path        a path, to which ".npz" is added if it has no suffix; or a binary file that is
                    open for writing. A path that ends in ".bin" gets the format of C programs
                    (docs/file-format.md), from which `load` restores the same model
        exclude     names of settings not to save: `load` uses their defaults
        include     names of settings to save even if they are in `exclude`
        checkpoint  True also saves the state of the run: after `load(path, env)`, training
                    continues bit for bit, if the environment can be saved (see `load`). Saved
                    during a rollout (in `_on_step`), the loaded run starts new episodes

        Creates the folder if necessary, and follows links. The file is written atomically: a kill
        at any time leaves the old file intact, and the last of several writers wins. Raises
        ValueError if the state is not finite, which `load` would refuse; SaveError (an OSError) if
        the disk is full.
        """
        snapshot = self.snapshot(checkpoint)
        forgotten = set(exclude or ()) - set(include or ())
        forgetful = replace(snapshot, settings=forget(snapshot.settings, forgotten))
        archives.write(path, forgetful, follow=True)

    def snapshot(self, checkpoint: bool = True) -> archives.Checkpoint:
        """A copy of everything that `save` writes, for `checkpoint.write`."""
        trainer = self._trainer
        last: dict[str, Any] = values_of_functions(self.settings, trainer.remaining)
        return archives.Checkpoint(
            replace(self.settings, **last),
            trainer.observations,
            trainer.actions,
            trainer.num_timesteps,
            trainer.n_updates,
            trainer.agent.state(),
            trainer.run_state() if checkpoint else {},
            functions=tuple(last),
            seed_is_given=trainer.seed_is_given,
        )

    @classmethod
    def load(
        cls,
        path: str | os.PathLike | BinaryIO,
        env: EnvLike | None = None,
        device: Any = "auto",
        custom_objects: Mapping[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        **overrides: Unpack[Overrides],
    ) -> Self:
        """Loads a model that `save` wrote. Without `env` it can predict, save and `update`.

        path       a path or an open file; X finds X, X.npz or X.zip, and X.zip also X.npz
        device, custom_objects, print_system_info, force_reset
                   no effect; for SB3 scripts: models are on the CPU, files hold no objects, and
                   environments that cannot be restored are always reset
        overrides  settings to change, for example dtype, backend or target_kl; not policy, preset,
                   policy_kwargs, scale_actions or seed, which belong to the saved state

        After loading a checkpoint, `learn(..., reset_num_timesteps=False)` continues the unfinished
        episodes, bit-identical to an uninterrupted run, if `env` makes the same environments and
        they can be saved: compiled ones and fasttrpo's MuJoCo tasks can. Other environments are
        reset; the agent then continues bit for bit as the saved one would on the same steps.

        Schedules that are functions are not saved: pass them in `overrides`. Otherwise the setting
        keeps its last value, with a warning.

        Raises FormatError (a ValueError) with the name of the file and what is wrong with it.
        """
        check_device(device)
        saved = archives.read(path)
        warn_of_functions(saved.settings, set(saved.functions) - set(overrides))
        self = cls.__new__(cls)  # __init__ would make an agent and environments
        self._trainer = trainer = Trainer(
            change(saved.settings, overrides),
            saved.observations,
            saved.actions,
            lambda fresh: archives.complete_state(saved, fresh),
        )
        trainer.num_timesteps, trainer.n_updates = saved.num_timesteps, saved.n_updates
        trainer.seed_is_given = saved.seed_is_given
        if env is not None:
            check_made(env, overrides)
            saved.warn_of_numerics(archives.shown(path))
        made = None if env is None else self._vector_env(env)
        try:
            if made is not None:
                self._replace_env(made, env)
            trainer.restore(saved.run)
        except ValueError as error:
            raise archives.FormatError(f"{archives.shown(path)}: {error}") from error
        return self


ModelPolicy.model_class = TRPO
setattr(TRPO, "__signature__", signature())  # noqa: B010
