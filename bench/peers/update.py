"""Complete updates on one recorded rollout, and their quality."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench import flops
from bench.batches import GAE_LAMBDA, GAMMA, Recorded, recorded
from bench.peers import ours, sb3_peer, tianshou_peer
from bench.peers.fisher import timed
from bench.timing import Contestant
from fasttrpo.theory import gae

# Relative difference between our step with the peer's settings and its own. Both use float32;
# sb3-contrib starts CG from random numbers, which moves its step by up to 2e-3 between seeds.
SAME_STEP = 2e-2
SAME_ADVANTAGES = 1e-4
SEEDS = 5  # over which explained variances are averaged


def compare(
    peer: str, name: str, threads: int, counts: list[int], seconds: float
) -> dict[str, Any]:
    """Seconds per update, gain at equal KL and held-out explained variance of the peer at `threads`
    threads, ours with its settings, and our defaults at each of `counts`.
    """
    batch = recorded(name)
    values, after = _values(batch)
    adv, ret = _advantages(batch, values, after)
    other = PEERS[peer](batch, values, after, adv, ret)
    updates = {peer: other, "ours, its settings": ours.Update(LIKE[peer](batch), batch)}
    for count in ours.thread_counts([1, *counts]):
        settings = ours.with_threads(ours.defaults(batch), count)
        updates[ours.label(count)] = ours.Update(settings, batch)
    quality = _quality(updates, ours.Judge(batch, adv))
    _check_step(updates[peer], updates["ours, its settings"], batch)
    entries = {k: Contestant(u.run, u.prepare) for k, u in updates.items()}
    times, peak = timed(entries, seconds)
    first = updates[ours.label(1)]
    work = flops.update(first.settings, first.record)
    return {
        "times": times,
        "peak": peak.sets,
        "flops": work,
        "quality": quality,
        "n": batch.n,
        "source": batch.source,
    }


def critics(name: str, threads: int, counts: list[int], seconds: float) -> dict[str, Any]:
    """Cost and quality of our critics, with the same policy step."""
    batch = recorded(name)
    adv, _ = _advantages(batch, *_values(batch))
    updates = {
        label: ours.Update(ours.settings(batch, **changes), batch)
        for label, changes in CRITICS.items()
    }
    judge = ours.Judge(batch, adv)
    before = judge.explained_variance(ours.Update(ours.defaults(batch), batch).values)
    quality = _quality(updates, judge)
    times, peak = timed({k: Contestant(u.run, u.prepare) for k, u in updates.items()}, seconds)
    found = {"times": times, "peak": peak.sets, "quality": quality, "before": before}
    return found | {"n": batch.n, "source": batch.source}


CRITICS = {
    "kfac, 1 epoch": {"critic": "kfac", "n_critic_updates": 1},
    "kfac, 2 epochs": {"critic": "kfac", "n_critic_updates": 2},
    "gauss_newton, 1 step": {"critic": "gauss_newton", "n_critic_updates": 1},
    "gauss_newton, 2 steps": {"critic": "gauss_newton", "n_critic_updates": 2},
    "gauss_newton, 5 steps": {"critic": "gauss_newton", "n_critic_updates": 5},
    "adam, 1 epoch": {"critic": "adam", "n_critic_updates": 1},
    "adam, 10 epochs": {"critic": "adam", "n_critic_updates": 10},
    "ridge": {"critic": "ridge"},
}


class Sb3(sb3_peer.Update):
    """Uses the values with which the rollout was collected, and checks its advantages."""

    def __init__(self, batch: Recorded, values, after, adv, ret):
        super().__init__(batch)
        self._collected_with = values.astype(np.float32), after.astype(np.float32)
        self.prepare()
        error = ours.relative_error(self.advantages, adv)
        ours.require("advantages of sb3-contrib", error, SAME_ADVANTAGES)

    def prepare(self) -> None:
        super().prepare(*self._collected_with)


def _tianshou(batch: Recorded, values, after, adv, ret) -> tianshou_peer.Update:
    return tianshou_peer.Update(batch, adv, ret)


PEERS = {"sb3-contrib": Sb3, "tianshou": _tianshou}
LIKE = {"sb3-contrib": ours.like_sb3, "tianshou": ours.like_tianshou}


def _values(batch: Recorded) -> tuple[np.ndarray, np.ndarray]:
    """V of each step's observation and of the following one, (T, E)."""
    agent = ours.Update(ours.defaults(batch), batch).agent
    return tuple(
        agent.value(batch.flat(name)).reshape(batch.rew.shape).astype(np.float64)
        for name in ("obs", "next_obs")
    )


def _advantages(batch: Recorded, values: np.ndarray, after: np.ndarray):
    """adv, ret (T, E) in float64."""
    return gae(batch.rew, values, batch.term, batch.trunc, after, GAMMA, GAE_LAMBDA)


def _quality(updates: dict[str, Any], judge: ours.Judge) -> dict[str, dict[str, float]]:
    """Runs each update with SEEDS seeds, since minibatches are shuffled; returns means, and the
    standard deviation of the explained variance.
    """
    quality = {}
    for name, update in updates.items():
        found = [_judged(update, seed, judge) for seed in range(SEEDS)]
        means = {key: float(np.mean([each[key] for each in found])) for key in found[0]}
        spread = np.std([each["explained variance"] for each in found])
        quality[name] = means | {"explained variance, spread": float(spread)}
    return quality


def _judged(update: Any, seed: int, judge: ours.Judge) -> dict[str, float]:
    update.seed(seed)
    update.prepare()
    update.run()
    return {
        "gain": judge.gain(update.step),
        "kl": judge.kl(update.step),
        "explained variance": judge.explained_variance(update.values),
    }


def _check_step(peer: Any, same: ours.Update, batch: Recorded) -> None:
    """Checks that both took the same step up to rounding and the peer's noise, after one run."""
    error = ours.relative_error(same.step, peer.step)
    ours.require(f"policy step with the peer's settings on {batch.source}", error, SAME_STEP)
