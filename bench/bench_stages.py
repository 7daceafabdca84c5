"""Time of each stage, compiled and portable side by side.

    pytest bench/bench_stages.py

Needs the `test` extra. The nets are 64-64 tanh, the batch N = 2,048 with 17 observation and 6
action components (HalfCheetah's sizes); float32; one thread (set OPENBLAS_NUM_THREADS=1 for the
portable backend's share). Before a product is timed it is compared with the other backend's.
"""

from __future__ import annotations

import numpy as np
import pytest

from fasttrpo.backend import has_extension, make_agent
from fasttrpo.settings import AgentSettings

OBS, A, E, T = 17, 6, 8, 256
SETTINGS = AgentSettings(
    obs_size=OBS, distribution="gaussian", parts=(1,) * A, n_envs=E, n_steps=T, seed=1
)
BACKENDS = ["compiled", "portable"] if has_extension() else ["portable"]


def batch():
    rng = np.random.default_rng(0)
    return rng.normal(size=(T * E, OBS)), rng.normal(size=(T * E, A)), rng.normal(size=T * E)


@pytest.fixture(scope="module", params=BACKENDS)
def agent(request):
    made = make_agent(SETTINGS, request.param, "float32")
    made.load_batch(*batch())
    return made


def direction(agent):
    return np.random.default_rng(1).normal(size=len(agent.theta))


def test_fisher_product(benchmark, agent):
    v = direction(agent)
    oracle = make_agent(SETTINGS, "portable", "float64")
    oracle.load_batch(*batch())
    expected = oracle.fisher_product(v)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(agent.fisher_product(v) / scale, expected / scale, atol=1e-4)
    benchmark(agent.fisher_product, v)


def test_gradient(benchmark, agent):
    benchmark(agent.gradient)


def test_solve(benchmark, agent):
    benchmark(agent.solve)


def test_evaluate(benchmark, agent):
    benchmark(agent.evaluate, agent.theta + 1e-3 * direction(agent))


@pytest.mark.parametrize("rows", [1, 8, 256])
def test_predict(benchmark, agent, rows):
    benchmark(agent.predict, batch()[0][:rows], True)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("critic", ["gauss_newton", "adam", "ridge"])
def test_update(benchmark, backend, critic):
    """A whole update: policy and critic, on a recorded rollout."""
    from dataclasses import replace

    epochs = 10 if critic == "adam" else 1
    made = make_agent(replace(SETTINGS, critic=critic, n_critic_updates=epochs), backend, "float32")

    def record():
        rng = np.random.default_rng(2)
        flags = np.zeros(E, bool)
        for _ in range(T):
            obs = rng.normal(size=(E, OBS))
            act, _, _ = made.act(obs)
            made.push(np.tanh(obs[:, 0]) + 0.1 * act[:, 0], flags, flags, obs)

    benchmark.pedantic(made.update, setup=record, rounds=10, warmup_rounds=1)
