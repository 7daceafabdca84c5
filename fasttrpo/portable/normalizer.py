"""Running statistics of observations and discounted returns, fixed within an iteration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .jit import jit

EPSILON, CLIP = 1e-8, 10.0


@dataclass(frozen=True)
class Moments:
    """count, mean (K,) and m2 (K,), the sum of squared deviations from the mean."""

    count: float
    mean: np.ndarray
    m2: np.ndarray

    @staticmethod
    def empty(K):
        return Moments(0.0, np.zeros(K), np.zeros(K))

    def merge(self, x):
        """The moments after adding the rows of x (n, K), in float64.

        Chan, Golub, LeVeque 1979:  d = mean_b - mean,  mean += d n_b/n,  m2 += m2_b + d^2 n_a n_b/n
        A component whose moments would overflow is unchanged.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            x = x.astype(np.float64)
            n, mean = len(x), x.mean(axis=0)
            count, d = self.count + n, mean - self.mean
            m2 = self.m2 + np.square(x - mean).sum(axis=0) + d * d * (self.count * n / count)
            mean = self.mean + d * (n / count)
        fits = np.isfinite(m2)
        return Moments(count, np.where(fits, mean, self.mean), np.where(fits, m2, self.m2))

    @property
    def scale(self):
        """1 / sqrt(variance + 1e-8), (K,); 1 if the count is 0."""
        if self.count == 0:
            return np.ones_like(self.m2)
        return 1.0 / np.sqrt(self.m2 / self.count + EPSILON)


def normalize(raw, moments):
    """Observations: (raw - mean) scale, clipped to +-10, in raw's dtype; (n, O)."""
    if moments.count == 0:
        return raw
    return np.clip((raw - moments.mean) * moments.scale, -CLIP, CLIP).astype(raw.dtype)


def reward_scale(moments):
    """The factor on rewards; 1 until the discounted returns vary."""
    varies = moments.count > 0 and moments.m2[0] / moments.count > EPSILON
    return float(moments.scale[0]) if varies else 1.0


def scale_rewards(rew, moments):
    """Rewards: rew scale, clipped to +-10, without subtracting a mean; (T, E) float64."""
    return np.clip(rew * reward_scale(moments), -CLIP, CLIP)


@jit
def discounted_returns(running, rew, done, skip, gamma):
    """R_t = gamma R_{t-1} + rew_t per environment, reset to 0 after done; skipped rows are ignored.

    running (E,): R before row 0; rew (T, E) float64; done, skip (T, E) bool.
    Returns R_t (T, E), and R after the last row (E,).
    """
    now, out = running.copy(), np.zeros_like(rew)
    for t in range(rew.shape[0]):
        for e in range(rew.shape[1]):
            if not skip[t, e]:
                out[t, e] = gamma * now[e] + rew[t, e]
                now[e] = 0.0 if done[t, e] or not np.isfinite(out[t, e]) else out[t, e]
    return out, now


def rollout_returns(rollout, running):
    """Discounted returns of the raw rewards: of the rows not skipped (N, 1); at the end (E,)."""
    T = rollout.t
    done, skip = rollout.term[:T] | rollout.trunc[:T], rollout.skip[:T]
    gamma = rollout.model.settings.gamma
    returns, running = discounted_returns(running, rollout.rew[:T], done, skip, gamma)
    return returns[~skip][:, None], running
