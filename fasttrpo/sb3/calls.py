"""Calls for Stable-Baselines3 scripts: parameters, `model.policy`, devices."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fasttrpo.checks.imported import is_instance
from fasttrpo.files import checkpoint as archives
from fasttrpo.sb3.distributions import Distribution, distribution_at
from fasttrpo.sb3.parameters import Parameters, load_state_dict, set_objects, state_dict
from fasttrpo.settings import Settings
from fasttrpo.settings.schedules import SCHEDULED
from fasttrpo.training.episodes import successes
from fasttrpo.training.log import dump_logs

_VEC_NORMALIZE = "stable_baselines3.common.vec_env.vec_normalize", "VecNormalize"
if TYPE_CHECKING:  # declares what `__getattr__` and `__setattr__` below find
    from fasttrpo.settings.keywords import Attributes
else:
    Attributes = object

_SETTINGS = frozenset(each.name for each in fields(Settings))


class Device(str):
    """ "cpu", with the attribute `type` of a PyTorch device."""

    @property
    def type(self) -> str:
        """The name."""
        return str(self)


CPU = Device("cpu")


class ModelPolicy:
    """`model.policy`: a live view of a model's policy and critic."""

    device = CPU
    model_class: ClassVar[Any]  # TRPO, which sets it

    def __init__(self, model: Any, trainer: Any) -> None:
        self._model, self._trainer = model, trainer

    @property
    def observation_space(self) -> Any:
        """The model's observation space."""
        return self._model.observation_space

    @property
    def action_space(self) -> Any:
        """The model's action space."""
        return self._model.action_space

    def predict(self, observation: Any, *args: Any, **keywords: Any) -> tuple[Any, None]:
        """As `TRPO.predict`."""
        return self._model.predict(observation, *args, **keywords)

    def predict_values(self, observation: Any) -> np.ndarray:
        """The critic's values (n, 1) for one observation or a batch, in discounted reward."""
        return self._model.predict_values(observation)

    def get_distribution(self, obs: Any, action_masks: Any = None) -> Distribution:
        """The distribution of the actions for one observation or a batch, as `predict` takes them
        (`fasttrpo.sb3.distributions`). One observation is a batch of one.
        """
        return distribution_at(self._trainer, obs, action_masks)

    def evaluate_actions(
        self, obs: Any, actions: Any, action_masks: Any = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(values (n, 1), log p of the actions (n,), entropies (n,)) for n observations.

        The actions of a Box are those before scaling and clipping: see `get_distribution`.
        """
        distribution = self.get_distribution(obs, action_masks)
        log_prob, entropy = distribution.log_prob(actions), distribution.entropy()
        return self.predict_values(obs), log_prob, entropy

    def state_dict(self) -> Parameters:
        """Copies of the parameters under SB3's names (`fasttrpo.sb3.parameters`)."""
        return state_dict(self._model)

    def load_state_dict(self, parameters: Mapping[str, Any], strict: bool = True) -> None:
        """Sets the parameters. If names or shapes differ, raises RuntimeError and changes none."""
        load_state_dict(self._model, parameters, strict)

    def save(self, path: Any) -> None:
        """As `TRPO.save`: the file holds the complete model; if it ends in ".bin", only what acting
        needs, for C programs (docs/file-format.md).
        """
        archives.write(path, self._model.snapshot(False), follow=True, policy_only=True)

    @classmethod
    def load(cls, path: Any, device: Any = "auto") -> ModelPolicy:
        """The policy of a saved model."""
        return cls.model_class.load(path, device=device).policy

    def to(self, device: Any) -> ModelPolicy:
        """Returns self: everything runs on the CPU."""
        return self

    def set_training_mode(self, mode: bool) -> None:
        """Does nothing: the policy acts the same way in training and evaluation."""


class Calls(Attributes):
    """The methods of `TRPO` that only scripts written for Stable-Baselines3 need.

    Every setting can be read as an attribute (`model.gamma`). Those that `load` can change can also
    be set (`model.target_kl = 0.02`); the change takes effect in the next iteration.
    """

    device = CPU
    settings: Any
    episodes: Any
    get_env: Any
    load: Any
    save: Any
    change: Any
    _trainer: Any

    def dump_logs(self, iteration: int = 0) -> None:
        """Writes the log now, whatever the `log_interval`: returns, lengths and successes of the
        last episodes, times, and the latest update if no log has shown it yet.

        iteration  written as time/iterations if above 0

        Raises RuntimeError if the log is one that an earlier `learn` made and closed.
        """
        dump_logs(self._trainer, iteration)

    if not TYPE_CHECKING:  # a type checker would accept every name

        def __getattr__(self, name: str) -> Any:
            if name in _SETTINGS:
                return getattr(self.settings, name)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

        def __setattr__(self, name: str, value: Any) -> None:
            if name in _SETTINGS:
                self.change(**{name: value})
            else:
                object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple:
        """Pickles and copies what `save` writes. A copy has no environment until `set_env`."""
        file = io.BytesIO()
        self.save(file)
        values = {name: getattr(self, name) for name in SCHEDULED}
        functions = {name: value for name, value in values.items() if callable(value)}
        return _unpickled, (type(self), file.getvalue(), functions)

    @property
    def policy(self) -> ModelPolicy:
        """The policy: `predict`, `evaluate_actions`, `get_distribution`, `state_dict`, `save`."""
        return ModelPolicy(self, self._trainer)

    @property
    def env(self) -> Any:
        """As `get_env()`."""
        return self.get_env()

    @property
    def ep_info_buffer(self) -> deque[dict[str, Any]]:
        """The return r and the length l of each of the last `stats_window_size` episodes."""
        episodes = ({"r": episode.total, "l": episode.length} for episode in self.episodes)
        return deque(episodes, maxlen=self.settings.stats_window_size)

    @property
    def ep_success_buffer(self) -> deque[bool]:
        """The infos["is_success"] that the same episodes reported at their end, if they did."""
        return deque(successes(self.episodes), maxlen=self.settings.stats_window_size)

    def get_vec_normalize_env(self) -> Any:
        """The `VecNormalize` that wraps the environment, or None.

        fasttrpo's own normalisers (`normalize_observations`, `normalize_rewards`) belong to the
        model instead.
        """
        return vec_normalize(self.get_env())

    def get_parameters(self) -> dict[str, Parameters]:
        """{"policy": copies of all parameters by name} (`fasttrpo.sb3.parameters`)."""
        return {"policy": state_dict(self)}

    def set_parameters(
        self,
        load_path_or_dict: str | os.PathLike[str] | Mapping[str, Any],
        exact_match: bool = True,
        device: Any = "auto",
    ) -> None:
        """Sets parameters from a saved model, or from a dict like that of `get_parameters`.

        The weights of an sb3-contrib policy fit: {"policy": {name: tensor.numpy(), ...}}. Raises
        ValueError for an unknown or missing object, RuntimeError for unsuitable parameters.
        """
        given = load_path_or_dict
        if not isinstance(given, Mapping):
            given = type(self).load(given).get_parameters()
        set_objects(self, given, exact_match)


def _unpickled(kind: Any, saved: bytes, functions: dict[str, Any]) -> Any:
    return kind.load(io.BytesIO(saved), **functions)


def vec_normalize(env: Any) -> Any:
    """The `VecNormalize` among an SB3 environment's wrappers, or None."""
    while env is not None and not is_instance(env, *_VEC_NORMALIZE):
        env = getattr(env, "venv", None)
    return env


def copy_statistics(source: Any, target: Any) -> None:
    """Copies the running statistics of one `VecNormalize` to another."""
    for name in ("obs_rms", "ret_rms"):  # absent without norm_obs
        if hasattr(source, name):
            setattr(target, name, deepcopy(getattr(source, name)))
