"""`TRPO`: the model that users train, use and save; its `Trainer` does the work."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np

from fasttrpo import spaces
from fasttrpo.checks.values import integer
from fasttrpo.files import checkpoint as archives
from fasttrpo.logs.logger import Logger, as_logger
from fasttrpo.sb3.calls import Calls, ModelPolicy
from fasttrpo.sb3.convert import returned_env, vector_env
from fasttrpo.settings import Settings, change, check_rows, forget, make_settings, signature
from fasttrpo.settings.cost import affordable
from fasttrpo.settings.peers import expand, for_actions
from fasttrpo.settings.sb3_arguments import check_device
from fasttrpo.settings.schedules import values_of_functions, warn_of_functions
from fasttrpo.stream.make import is_name
from fasttrpo.training.episodes import Episode
from fasttrpo.training.learning import Learning
from fasttrpo.training.rollout import Rollout, checked
from fasttrpo.training.trainer import Record, Trainer


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

    _trainer: Trainer
    _env: Any = None

    def __init__(self, policy: str, env: Any, **keywords: Any) -> None:
        n_envs = None if is_name(env) else getattr(env, "num_envs", 1)
        wanted = expand(policy, keywords, n_envs)
        settings = make_settings(policy, wanted)
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
        """As checked. What changes takes effect at the start of the next iteration."""
        return self._trainer.settings

    @property
    def num_timesteps(self) -> int:
        """Steps of all environments that were learnt from."""
        return self._trainer.num_timesteps

    @num_timesteps.setter
    def num_timesteps(self, value: int) -> None:
        self._trainer.num_timesteps = integer(0)("num_timesteps", value)

    @property
    def n_updates(self) -> int:
        """Iterations so far."""
        return self._trainer.n_updates

    @property
    def records(self) -> list[Record]:
        """One record per iteration, of the last `max_records`."""
        return self._trainer.records

    @property
    def episodes(self) -> list[Episode]:
        """The last `stats_window_size` finished episodes."""
        return list(self._trainer.statistics.window)

    # -- spaces and environment ---------------------------------------------------------------

    @property
    def observation_space(self) -> Any:
        """One environment's observations, a space of Gymnasium's."""
        return self._trainer.observations.to_space()

    @property
    def action_space(self) -> Any:
        """One environment's actions, a space of Gymnasium's."""
        return self._trainer.actions.to_space()

    def get_env(self) -> Any:
        """The environments that `learn` steps, or None: the `VectorEnv`, or the `VecEnv` of
        Stable-Baselines3's, that was passed; of an id or one environment, a view with the calls of
        a `VecEnv` (`fasttrpo.sb3.view`), whose `vector_env` is Gymnasium's.
        """
        return self._env

    @property
    def is_amid_episodes(self) -> bool:
        """Whether `learn(..., reset_num_timesteps=False)` goes on in them, or resets first."""
        stream = self._trainer.stream
        return stream is not None and stream.obs is not None

    def set_env(self, env: Any) -> None:
        """Takes another environment, which is reset when it is first stepped.

        A callback may do so too, from the next iteration on; RuntimeError in the midst of a rollout
        (`_on_step`). ValueError for other spaces.
        """
        self._trainer.refuse_environment("set_env")
        self._replace_env(self._vector_env(env), env)

    def interrupt(self) -> None:
        """Forgets where the environments stand: the next `learn` resets them. For those who step
        or reset them otherwise.
        """
        self._trainer.interrupt()

    def _attach(self, env: Any, given: Any) -> None:
        self._trainer.attach(env)
        self._env = returned_env(env, given, self._trainer.release)

    def _vector_env(self, given: Any) -> Any:
        n_envs = self.settings.n_envs if is_name(given) else 1
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
        """The log of the run; `record` puts values into it."""
        return self._trainer.logger

    def set_logger(self, logger: Any) -> None:
        """Takes a logger, of `fasttrpo.configure` or Stable-Baselines3's, instead of what the
        settings verbose and tensorboard_log would make. TypeError for what is none.

        In a callback, too: what was recorded until then is written where it was recorded.
        """
        taken, trainer = as_logger(logger), self._trainer
        if trainer.is_learning:
            trainer.logger.dump(trainer.num_timesteps)
        trainer.logger, trainer.has_own_logger = taken, True

    def update(self, rollout: Rollout) -> Record:
        """One iteration on a rollout of the user's own; returns the agent's record.

        The log-probabilities are those of the present policy, so the actions must be drawn
        from it. T and E are free. ValueError or TypeError names what is wrong with the rollout;
        the model is then unchanged. RuntimeError in the midst of a rollout of `learn`.
        """
        self._trainer.refuse_policy("update")
        rows = checked(rollout, self._trainer.observations, self._trainer.actions)
        return self._trainer.update(rows, rollout.shape)

    def change(self, **changes: Any) -> None:
        """Replaces settings from the next iteration on; errors as `load` has them."""
        if "n_envs" in changes:
            raise AttributeError("n_envs belongs to the environment: call set_env(env)")
        self._trainer.change(change(self.settings, changes))

    def set_random_seed(self, seed: int | None = None) -> None:
        """Begins the random streams of a seed, in the environment too; None changes nothing."""
        if seed is not None:
            self._trainer.reseed(integer(0, 2**64 - 1)("seed", seed))

    @property
    def theta(self) -> np.ndarray:
        """The policy's parameters, a copy (P,) float64; `fasttrpo.theory` says in what order."""
        return np.array(self._trainer.agent.theta)

    @theta.setter
    def theta(self, value: Any) -> None:
        self._trainer.set_parameters(value, None)

    @property
    def value_theta(self) -> np.ndarray:
        """The critic's parameters, a copy (Pv,) float64."""
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

        An observation of a Dict or Tuple is a dict or tuple; a batch is one of arrays (n, ...).
        Returns (action, None): as the environment gets it, in the space's shape and type. `state`
        and `episode_start` are there for callers of recurrent policies and have no effect.

        action_masks  which choices are open, (A,) or (n, A) bool, for Discrete and MultiDiscrete;
                      of these the parts' masks in a row, or a tuple of them (None: all are)

        ValueError or TypeError for an observation that is none, or not finite, and for masks of
        another form or that leave no choice.
        """
        trainer = self._trainer
        rows, single = trainer.observations.batch(observation)
        masks = self._masks(action_masks, () if single else (len(rows),))
        action = trainer.actions.to_env(trainer.agent.predict(rows, deterministic, *masks))
        return (action[0] if single else action), None

    def _masks(self, given: Any, lead: tuple[int, ...]) -> tuple:
        """What the agent takes for them: nothing, or one array (n, A)."""
        masks = self._trainer.actions.masks("action_masks", given, lead)
        return () if masks is None else (masks.reshape(-1, masks.shape[-1]),)

    def predict_values(self, observation: Any) -> np.ndarray:
        """The critic's values (n, 1) of one observation or n, in discounted reward."""
        rows, _ = self._trainer.observations.batch(observation)
        return np.array(self._trainer.agent.value(rows)).reshape(-1, 1)

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
        self = cls.__new__(cls)  # __init__ would make an agent and environments
        self._trainer = trainer = Trainer(
            change(saved.settings, overrides),
            saved.observations,
            saved.actions,
            lambda fresh: archives.completed(saved, fresh),
        )
        trainer.num_timesteps, trainer.n_updates = saved.num_timesteps, saved.n_updates
        trainer.seed_is_given = saved.seed_is_given
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
