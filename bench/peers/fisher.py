"""Fisher products of ours and of one peer, on the same rows at the same parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench import flops
from bench.batches import SHAPES, RandomBatch, Shape, random_batch
from bench.machine import Peak
from bench.peers import jax_peer, numpy_peer, ours, torch_peer
from bench.timing import Contestant, Times, alternate

TOLERANCE = 1e-3  # relative to the product in float64; the peers use float32
PEERS = {
    "torch": torch_peer.Product,
    "jax": jax_peer.Product,
    "numpy": numpy_peer.Product,
}


class Portable:
    """Our portable backend, in NumPy (and Numba if it is installed)."""

    per_run = 1

    def __init__(self, shape: Shape, batch: RandomBatch):
        self._agent, self._v = ours.loaded(shape, batch, kind="portable"), batch.v
        self.product = self._agent.theory.fisher_product

    def run(self) -> None:
        """Computes per_run products."""
        self.product(self._v)


def compare(
    shape: str, n: int, peer: str, threads: int, counts: list[int], seconds: float
) -> dict[str, Any]:
    """Times per product of both at `threads` threads, and the peak measured at the same time."""
    of, batch = SHAPES[shape], random_batch(SHAPES[shape], n)
    other = (PEERS | {"portable": Portable})[peer](of, batch)
    count = ours.thread_counts([threads])[0]
    agent, name = ours.loaded(of, batch, count), ours.label(count)
    check(of, batch, {peer: other.product, name: agent.theory.fisher_product})
    entries = {
        name: Contestant(lambda: agent.theory.fisher_product(batch.v)),
        peer: Contestant(other.run),
    }
    times, peak = timed(entries, seconds)
    times[peer] = _scaled(times[peer], 1 / other.per_run)
    work = n * flops.fisher_product(of.sizes)
    return {"times": times, "peak": peak.sets, "flops": work, "ours": name}


def scaling(shape: str, n: int, threads: int, counts: list[int], seconds: float) -> dict[str, Any]:
    """Ours at one thread and at `threads`."""
    of, batch = SHAPES[shape], random_batch(SHAPES[shape], n)
    both = ours.thread_counts([1, threads])
    agents = {ours.label(count): ours.loaded(of, batch, count) for count in both}
    check(of, batch, {k: a.theory.fisher_product for k, a in agents.items()})
    entries = {
        k: Contestant(lambda a=a: a.theory.fisher_product(batch.v)) for k, a in agents.items()
    }
    times, peak = timed(entries, seconds)
    work = n * flops.fisher_product(of.sizes)
    return {"times": times, "peak": peak.sets, "flops": work}


def timed(entries: dict[str, Contestant], seconds: float) -> tuple[dict[str, Times], Peak]:
    """Alternating times, and the peak sampled between the rounds."""
    peak = Peak()
    times = alternate(entries, seconds, between=lambda: peak.sample(every=0.4))
    peak.sample()
    return times, peak


def check(shape: Shape, batch: RandomBatch, products: dict[str, Any]) -> None:
    """Compares every contestant's product with ours in float64."""
    expected = ours.loaded(shape, batch, dtype="float64").theory.fisher_product(batch.v)
    for name, product in products.items():
        error = ours.relative_error(np.asarray(product(batch.v), np.float64), expected)
        ours.require(f"Fisher product of {name}", error, TOLERANCE)


def _scaled(times: Times, factor: float) -> Times:
    return Times(times.median * factor, times.low * factor, times.high * factor, times.rounds)
