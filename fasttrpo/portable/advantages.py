"""Stage 1: advantages by GAE (Schulman et al. 2016, "High-dimensional continuous control using
generalized advantage estimation"), distinguishing truncation from termination.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fasttrpo.errors import UserError

from . import normalizer
from .jit import jit

EPSILON = 1e-8


@dataclass
class Samples:
    """The rollout's rows that are not skipped, in the order (t, e)."""

    raw: np.ndarray  # (N, O) real
    act: np.ndarray  # (N, D) real
    logp: np.ndarray  # (N,) real
    val: np.ndarray  # (N,) float64
    adv: np.ndarray  # (N,) float64
    ret: np.ndarray  # (N,) float64
    mask: np.ndarray | None  # (N, A) bool


@jit
def gae(rew, val, boot, done, skip, gamma, gae_lambda):
    """Advantages and returns (T, E), backwards over the rows of each environment:

    next_t  = boot_t if done_t or t = T-1 else val_{t+1}      (boot = 0 after a termination)
    delta_t = rew_t + gamma next_t - val_t
    adv_t   = delta_t + gamma lambda (0 if done_t or t = T-1 else adv_{t+1})
    ret_t   = adv_t + val_t
    Skipped rows have advantage and return 0. All (T, E): rew, val, boot float64; done, skip bool.
    """
    T, E = rew.shape
    adv, ret = np.zeros((T, E)), np.zeros((T, E))
    for e in range(E):
        for t in range(T - 1, -1, -1):
            cut = done[t, e] or t == T - 1
            next_val = boot[t, e] if cut else val[t + 1, e]
            later = 0.0 if cut else adv[t + 1, e]
            if not skip[t, e]:
                delta = rew[t, e] + gamma * next_val - val[t, e]
                adv[t, e] = delta + gamma * gae_lambda * later
                ret[t, e] = adv[t, e] + val[t, e]
    return adv, ret


def standardize(adv, real, wanted=True):
    """0 for advantages that differ only by rounding, since they prefer no action. Otherwise adv,
    or if wanted (adv - mean) / (std + 1e-8), with the population's std.
    """
    centred = adv - adv.mean()
    centred -= centred.mean()  # removes the mean's rounding error
    std = np.sqrt(np.mean(centred * centred))
    if len(adv) > 1 and std <= 4 * np.finfo(real).eps * np.abs(adv).max():
        return np.zeros_like(adv)
    return centred / (std + EPSILON) if wanted else adv


def estimate(rollout, state):
    """The rollout's rows as samples with advantages and returns. ValueError if there are none."""
    model, s, T = rollout.model, rollout.model.settings, rollout.t
    keep = ~rollout.skip[:T]
    if not keep.any():
        raise UserError("the rollout is empty")
    rew, skip, val = rollout.rew[:T], rollout.skip[:T], rollout.val[:T].astype(np.float64)
    done, boot = rollout.term[:T] | rollout.trunc[:T], rollout.boot[:T].astype(np.float64)
    used = normalizer.scale_rewards(rew, state.rewards) if s.normalize_rewards else rew
    adv, ret = gae(used, val, boot, done, skip, s.gamma, s.gae_lambda)
    return Samples(
        raw=rollout.raw[:T][keep],
        act=rollout.act[:T][keep],
        logp=rollout.logp[:T][keep],
        val=val[keep],
        adv=standardize(adv[keep], model.real, s.normalize_advantage),
        ret=ret[keep],
        mask=rollout.mask[:T][keep] if rollout.has_masks else None,
    )
