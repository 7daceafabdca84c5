"""Reference implementation of the action distributions in plain NumPy, slow and short. The selftest
and the tests compare both backends with it.

Letters: N rows, D action components, A network outputs. out (..., N, A) are outputs, log_std
(..., 1, n) follows the network in theta, n = A or 0; act (N, D). Results have the leading axes of
their arguments. `logp`, `kl` and `entropy` are analytic in out and log_std (formulas.derivative).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

Array = np.ndarray

FORBIDDEN = -1e30  # the output of an invalid choice: its probability is exactly 0


@dataclass(frozen=True)
class Distribution(ABC):
    """parts (D,): network outputs of each component.

    log_std_curvature   the Fisher matrix of log_std is this times I; 0: there is no log_std
    has_normal_noise    `sample` needs standard normals (N, A); else uniforms on (0, 1), (N, D)
    """

    parts: tuple[int, ...]
    log_std_curvature: ClassVar[float] = 0.0
    has_normal_noise: ClassVar[bool] = False

    @abstractmethod
    def sample(self, noise: Array, out: Array, log_std: Array) -> Array:
        """The actions (N, D) for this noise."""

    @abstractmethod
    def mode(self, out: Array, log_std: Array) -> Array:
        """The most likely actions (N, D)."""

    @abstractmethod
    def logp(self, out: Array, log_std: Array, act: Array) -> Array:
        """log pi(act): (..., N)."""

    @abstractmethod
    def kl(self, out: Array, log_std: Array, out_new: Array, log_std_new: Array) -> Array:
        """KL(old || new), summed over components, in nats: (..., N)."""

    @abstractmethod
    def entropy(self, out: Array, log_std: Array) -> Array:
        """In nats, summed over components: (..., N), or (..., 1) if it is the same in all rows."""

    @abstractmethod
    def metric(self, out: Array, log_std: Array) -> Array:
        """The Fisher matrix of each row's outputs: (N, A, A)."""

    def draw(self, draw: np.random.Generator, out: Array, log_std: Array) -> Array:
        """Random actions (N, D)."""
        shape = len(out), sum(self.parts) if self.has_normal_noise else len(self.parts)
        noise = draw.normal(size=shape) if self.has_normal_noise else draw.random(shape)
        return self.sample(noise, out, log_std)

    def score(self, out: Array, log_std: Array, act: Array) -> Array:
        """d logp / d out, by complex steps: (N, A)."""
        steps = 1e-30j * np.eye(out.shape[-1])
        columns = [np.imag(self.logp(out + step, log_std, act)) / 1e-30 for step in steps]
        return np.stack(columns, axis=-1)


class Gaussian(Distribution):
    """act_i ~ N(out_i, exp(log_std_i)^2)."""

    log_std_curvature = 2.0
    has_normal_noise = True

    def sample(self, noise: Array, out: Array, log_std: Array) -> Array:
        """See `Distribution`, also for the other methods."""
        return out + np.exp(log_std) * noise

    def mode(self, out: Array, log_std: Array) -> Array:
        return out

    def logp(self, out: Array, log_std: Array, act: Array) -> Array:
        z = (act - out) * np.exp(-log_std)
        return np.sum(-0.5 * z * z - log_std - 0.5 * np.log(2 * np.pi), axis=-1)

    def kl(self, out: Array, log_std: Array, out_new: Array, log_std_new: Array) -> Array:
        spread = (np.exp(2 * log_std) + (out_new - out) ** 2) * np.exp(-2 * log_std_new)
        return np.sum(log_std_new - log_std + spread / 2 - 0.5, axis=-1)

    def entropy(self, out: Array, log_std: Array) -> Array:
        return np.sum(log_std + 0.5 * np.log(2 * np.pi * np.e), axis=-1)

    def metric(self, out: Array, log_std: Array) -> Array:
        return np.exp(-2 * log_std + 0 * out)[..., None] * np.eye(out.shape[-1])


class Categorical(Distribution):
    """Component d is one of 0..parts[d]-1, its logits one part of the outputs."""

    def sample(self, noise: Array, out: Array, log_std: Array) -> Array:
        """The first choice whose cumulative probability exceeds the noise."""
        below = [np.cumsum(np.exp(logs), axis=-1) <= noise[:, [d]] for d, logs in self._each(out)]
        chosen = [np.minimum(each.sum(axis=-1), each.shape[-1] - 1) for each in below]
        return np.stack(chosen, axis=-1) * 1.0

    def mode(self, out: Array, log_std: Array) -> Array:
        return np.stack([logs.argmax(axis=-1) for _, logs in self._each(out)], axis=-1)

    def logp(self, out: Array, log_std: Array, act: Array) -> Array:
        onehot = [np.eye(k)[a.astype(int)] for k, a in zip(self.parts, act.T, strict=True)]
        return np.sum(self.log_probabilities(out) * np.concatenate(onehot, axis=-1), axis=-1)

    def kl(self, out: Array, log_std: Array, out_new: Array, log_std_new: Array) -> Array:
        old, new = self.log_probabilities(out), self.log_probabilities(out_new)
        return np.sum(np.exp(old) * (old - new), axis=-1)

    def entropy(self, out: Array, log_std: Array) -> Array:
        logs = self.log_probabilities(out)
        return -np.sum(np.exp(logs) * logs, axis=-1)

    def metric(self, out: Array, log_std: Array) -> Array:
        p, part = np.exp(self.log_probabilities(out)), np.repeat(range(len(self.parts)), self.parts)
        together = part[:, None] == part
        return p[:, :, None] * np.eye(len(part)) - p[:, :, None] * p[:, None, :] * together

    def log_probabilities(self, out: Array) -> Array:
        """Log-probabilities of all choices, the parts concatenated: (..., N, A)."""
        return np.concatenate([logs for _, logs in self._each(out)], axis=-1)

    def _each(self, out: Array) -> list[tuple[int, Array]]:
        """(component, log-probabilities of its choices) of each component."""
        split = np.split(out, np.cumsum(self.parts)[:-1], axis=-1)
        return [(d, z - np.log(np.exp(z).sum(-1, keepdims=True))) for d, z in enumerate(split)]


class Bernoulli(Distribution):
    """act_i is 1 with probability 1 / (1 + exp(-out_i)), else 0."""

    def sample(self, noise: Array, out: Array, log_std: Array) -> Array:
        """0 where the noise is below the probability of 0."""
        return (noise >= 1 / (1 + np.exp(out))) * 1.0

    def mode(self, out: Array, log_std: Array) -> Array:
        return (out > 0) * 1.0

    def logp(self, out: Array, log_std: Array, act: Array) -> Array:
        return np.sum(act * out - _softplus(out), axis=-1)

    def kl(self, out: Array, log_std: Array, out_new: Array, log_std_new: Array) -> Array:
        p = 1 / (1 + np.exp(-out))
        return np.sum(p * (out - out_new) + _softplus(out_new) - _softplus(out), axis=-1)

    def entropy(self, out: Array, log_std: Array) -> Array:
        return np.sum(_softplus(out) - out / (1 + np.exp(-out)), axis=-1)

    def metric(self, out: Array, log_std: Array) -> Array:
        p = 1 / (1 + np.exp(-out))
        return (p * (1 - p))[..., None] * np.eye(out.shape[-1])


def _softplus(z: Array) -> Array:
    return np.log(1 + np.exp(z))


DISTRIBUTIONS: dict[str, type[Distribution]] = {
    "gaussian": Gaussian,
    "categorical": Categorical,
    "bernoulli": Bernoulli,
}

# What is checked: (distribution, parts).
EXAMPLES = {
    "gaussian": ("gaussian", (1, 1)),
    "categorical": ("categorical", (3,)),
    "several categoricals": ("categorical", (2, 3)),
    "bernoulli": ("bernoulli", (1, 1, 1)),
}
