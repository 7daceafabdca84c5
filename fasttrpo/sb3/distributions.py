"""The distribution of a policy's actions, with the methods of Stable-Baselines3's.

NumPy arrays in and out, for n observations. A distribution keeps the parameters of the moment when
it was made. Numbers are computed in float64 and returned in the model's dtype.

Actions have the action space's shape and values. Those of a Box are as the policy draws them,
before scaling (`scale_actions`) and clipping (`clip_actions`): a callback's `locals["actions"]`.
`predict` returns them scaled and clipped.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fasttrpo.checks import arrays
from fasttrpo.checks.distributions import DISTRIBUTIONS
from fasttrpo.errors import UserError
from fasttrpo.spaces import numeric

_LOG_2_PI = np.log(2 * np.pi)


class Distribution:
    """Base class: n distributions over the actions of a space.

    outputs  (n, A) what the policy network computed, in the model's dtype
    actions  the model's `spaces.Actions`
    draws    the generator of samples
    """

    def __init__(self, outputs: np.ndarray, actions: Any, draws: np.random.Generator) -> None:
        self._outputs, self._actions, self._draws = outputs, actions, draws

    @property
    def distribution(self) -> Any:
        """The object with the parameters: this one, or a list of one for each component."""
        return self

    def log_prob(self, actions: Any) -> np.ndarray:
        """log p of n actions, summed over components; (n,)."""
        return self._real(self._log_prob(self._rows(actions)))

    def entropy(self) -> np.ndarray:
        """The entropy in nats, summed over components; (n,)."""
        return self._real(self._entropy())

    def sample(self) -> np.ndarray:
        """n random actions. They come from a random stream of their own, which starts with the
        model's seed: training and `predict` draw the same numbers with and without them.
        """
        return self._shaped(self._sample())

    def mode(self) -> np.ndarray:
        """The n most likely actions."""
        return self._shaped(self._mode())

    def get_actions(self, deterministic: bool = False) -> np.ndarray:
        """`mode()` if deterministic, else `sample()`."""
        return self.mode() if deterministic else self.sample()

    def _real(self, numbers: np.ndarray) -> np.ndarray:
        return numbers.astype(self._outputs.dtype)

    def _given(self, actions: Any) -> np.ndarray:
        """(n, D), from (n, *shape), (n, D), or the one action of one observation."""
        given, n, shape = numeric("actions", actions), len(self._outputs), self._actions.shape
        d = len(self._actions.parts)
        if given.shape not in ((n, *shape), (n, d)) and not (n == 1 and given.shape == shape):
            raise UserError(f"actions has shape {given.shape}, expected {(n, *shape)}")
        return given.reshape(n, d)

    def _rows(self, actions: Any) -> np.ndarray:
        """(n, D) as drawn. Raises ValueError for an action that is not in the space."""
        return self._actions.choices.from_zero("action", self._given(actions))

    def _shaped(self, rows: np.ndarray) -> np.ndarray:
        """(n, D) as drawn -> (n, *shape)."""
        return self._actions.to_env(rows)

    def _log_prob(self, rows: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _entropy(self) -> np.ndarray:
        raise NotImplementedError

    def _sample(self) -> np.ndarray:
        raise NotImplementedError

    def _mode(self) -> np.ndarray:
        raise NotImplementedError


class DiagGaussianDistribution(Distribution):
    """Independent normal distributions, with the same standard deviations in every state.

    log_std  (D,)
    """

    def __init__(
        self, outputs: np.ndarray, actions: Any, draws: np.random.Generator, log_std: np.ndarray
    ) -> None:
        super().__init__(outputs, actions, draws)
        self.log_std = log_std

    @property
    def mean(self) -> np.ndarray:
        """(n, *shape)"""
        return self._shaped(self._outputs)

    @property
    def std(self) -> np.ndarray:
        """(n, *shape), the same in every row."""
        return self._shaped(np.broadcast_to(np.exp(self.log_std), self._outputs.shape))

    loc, scale, stddev = mean, std, std  # PyTorch's names

    def _rows(self, actions: Any) -> np.ndarray:
        rows = self._given(actions).astype(np.float64)
        arrays.finite_rows("action", rows)
        return rows

    def _shaped(self, rows: np.ndarray) -> np.ndarray:
        return self._real(rows).reshape(len(rows), *self._actions.shape)

    def _log_prob(self, rows: np.ndarray) -> np.ndarray:
        z = (rows - self._outputs) * np.exp(-self.log_std)
        return -np.sum(0.5 * z * z + self.log_std + 0.5 * _LOG_2_PI, axis=1)

    def _entropy(self) -> np.ndarray:
        return np.full(len(self._outputs), np.sum(self.log_std + 0.5 * (_LOG_2_PI + 1)))

    def _sample(self) -> np.ndarray:
        noise = self._draws.standard_normal(self._outputs.shape)
        return self._outputs + np.exp(self.log_std) * noise

    def _mode(self) -> np.ndarray:
        return self._outputs


class Component:
    """One categorical component of n rows. The logit of a forbidden choice is about -1e30."""

    def __init__(self, outputs: np.ndarray) -> None:
        x = outputs.astype(np.float64)
        x -= x.max(axis=1, keepdims=True)
        self._outputs = outputs
        self.logs = x - np.log(np.exp(x).sum(axis=1, keepdims=True))

    @property
    def logits(self) -> np.ndarray:
        """(n, K) the logarithms of the probabilities, as PyTorch's `logits`."""
        return self.logs.astype(self._outputs.dtype)

    @property
    def probs(self) -> np.ndarray:
        """(n, K), 0 for choices that the mask forbids."""
        return np.exp(self.logs).astype(self._outputs.dtype)

    def entropy(self) -> np.ndarray:
        """(n,)"""
        return -np.sum(np.exp(self.logs) * self.logs, axis=1)

    def sample(self, draws: np.random.Generator) -> np.ndarray:
        """(n,) The largest of log p plus Gumbel noise (Gumbel 1954)."""
        return np.argmax(self.logs + draws.gumbel(size=self.logs.shape), axis=1)

    def mode(self) -> np.ndarray:
        """(n,) The most likely choices, the first in a tie."""
        return np.argmax(self._outputs, axis=1)


class MultiCategoricalDistribution(Distribution):
    """Independent categorical distributions; `distribution` has one for each component."""

    def __init__(self, outputs: np.ndarray, actions: Any, draws: np.random.Generator) -> None:
        super().__init__(outputs, actions, draws)
        ends = np.cumsum(actions.parts)[:-1]
        self._components = [Component(part) for part in np.split(outputs, ends, axis=1)]

    @property
    def distribution(self) -> Any:
        """A list with the `logits` and `probs` (n, K) of each component."""
        return self._components

    def _log_prob(self, rows: np.ndarray) -> np.ndarray:
        n = np.arange(len(rows))
        each = [part.logs[n, rows[:, d]] for d, part in enumerate(self._components)]
        return np.sum(each, axis=0)

    def _entropy(self) -> np.ndarray:
        return np.sum([part.entropy() for part in self._components], axis=0)

    def _sample(self) -> np.ndarray:
        return np.stack([part.sample(self._draws) for part in self._components], axis=1)

    def _mode(self) -> np.ndarray:
        return np.stack([part.mode() for part in self._components], axis=1)


class CategoricalDistribution(MultiCategoricalDistribution):
    """A categorical distribution."""

    @property
    def distribution(self) -> Any:
        """The object with `logits` and `probs` (n, K)."""
        return self._components[0]

    @property
    def logits(self) -> np.ndarray:
        """(n, K), see `Component`."""
        return self.distribution.logits

    @property
    def probs(self) -> np.ndarray:
        """(n, K), see `Component`."""
        return self.distribution.probs


class BernoulliDistribution(Distribution):
    """Independent zeros and ones."""

    @property
    def logits(self) -> np.ndarray:
        """(n, D) of a one."""
        return self._outputs.copy()

    @property
    def probs(self) -> np.ndarray:
        """(n, D) of a one."""
        return self._real(np.exp(self._logs(1)))

    def _logs(self, value: Any) -> np.ndarray:
        """log p of zeros and ones: -log(1 + exp(-z)) of a one, -log(1 + exp(z)) of a zero."""
        z = self._outputs.astype(np.float64)
        return -np.logaddexp(0, np.where(value, -z, z))

    def _log_prob(self, rows: np.ndarray) -> np.ndarray:
        return np.sum(self._logs(rows), axis=1)

    def _entropy(self) -> np.ndarray:
        logs = np.stack([self._logs(0), self._logs(1)])
        return -np.sum(np.exp(logs) * logs, axis=(0, 2))

    def _sample(self) -> np.ndarray:
        return self._draws.random(self._outputs.shape) < np.exp(self._logs(1))

    def _mode(self) -> np.ndarray:
        return self._outputs > 0


_CLASSES = {
    "box": DiagGaussianDistribution,
    "discrete": CategoricalDistribution,
    "multi_discrete": MultiCategoricalDistribution,
    "multi_binary": BernoulliDistribution,
}


def distribution_at(trainer: Any, observation: Any, action_masks: Any = None) -> Any:
    """The distribution of a run's policy for one observation or a batch, as `predict` takes them.

    trainer  the run's `Trainer`
    """
    agent, actions = trainer.agent, trainer.actions
    rows, single = trainer.observations.batch(observation)
    masks = actions.masks("action_masks", action_masks, () if single else (len(rows),))
    if masks is not None:
        masks = masks.reshape(len(rows), -1)
    arguments = agent.outputs(rows, masks), actions, trainer.draws
    n_log_std = DISTRIBUTIONS[actions.distribution].n_log_std(actions.parts)
    log_std = (agent.theta[-n_log_std:],) if n_log_std else ()
    return _CLASSES[actions.kind](*arguments, *log_std)
