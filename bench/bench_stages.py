"""Times of each stage of an update, compiled and portable, next to each other.

    pytest bench/bench_stages.py

Needs the `test` extra. 64-64 tanh networks, N = 2,048, the sizes of HalfCheetah and CartPole,
float32, one thread (set OPENBLAS_NUM_THREADS=1 for the portable backend). Before a stage is timed
its result is compared with the same stage in NumPy and float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.batches import SHAPES, Shape, random_batch
from bench.peers.ours import relative_error
from fasttrpo.core.backend import has_extension, make_agent

T, E = 256, 8
BACKENDS = ["compiled", "portable"] if has_extension() else ["portable"]
TOLERANCE = 1e-3

# Each stage on an agent with a batch: (agent, batch) -> numbers.
STAGES: dict[str, Callable[[Any, Any], Any]] = {
    "gradient": lambda agent, batch: agent.theory.gradient(),
    "fisher_product": lambda agent, batch: agent.theory.fisher_product(batch.v),
    "precondition": lambda agent, batch: agent.theory.precondition(batch.v),
    "evaluate": lambda agent, batch: agent.theory.evaluate(batch.theta + 1e-3 * batch.v)[1:],
    "value_gradient": lambda agent, batch: agent.theory.value_gradient(),
    "value_product": lambda agent, batch: agent.theory.value_product(agent.value_theta),
    "value": lambda agent, batch: agent.value(batch.obs),
    "predict": lambda agent, batch: agent.predict(batch.obs, True),
}


@pytest.fixture(scope="module", params=["halfcheetah", "cartpole"])
def shape(request) -> Shape:
    return SHAPES[request.param]


def agent_of(shape: Shape, backend: str, dtype: str, **changes: Any) -> Any:
    """An agent with the random parameters and the random batch."""
    batch = random_batch(shape, T * E)
    agent = make_agent(shape.settings(T * E, E, seed=1, **changes), backend, dtype)
    agent.theta = batch.theta
    agent.theory.load_batch(batch.obs, batch.act, batch.adv, batch.adv)
    return agent


@pytest.fixture(scope="module", params=BACKENDS)
def agent(request, shape):
    return agent_of(shape, request.param, "float32")


@pytest.fixture(scope="module")
def oracle(shape):
    return agent_of(shape, "portable", "float64")


@pytest.mark.parametrize("stage", STAGES)
def test_stage(benchmark, agent, oracle, shape, stage):
    batch, run = random_batch(shape, T * E), STAGES[stage]
    found, expected = (np.asarray(run(each, batch), float) for each in (agent, oracle))
    if stage == "predict" and not shape.is_gaussian:  # ties may differ
        assert (found != expected).mean() < TOLERANCE
    else:
        assert relative_error(found, expected) < TOLERANCE
    benchmark(run, agent, batch)


def test_factors(benchmark, agent, shape):
    """K-FAC's factors, their inverses and one application."""
    batch = random_batch(shape, T * E)

    def load():
        agent.theory.load_batch(batch.obs, batch.act, batch.adv, batch.adv)

    assert np.isfinite(agent.theory.precondition(batch.v)).all()
    benchmark.pedantic(
        agent.theory.precondition, (batch.v,), setup=load, rounds=20, warmup_rounds=1
    )


@pytest.mark.parametrize("preconditioner", ["kfac", "none"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_solve(benchmark, shape, backend, preconditioner):
    """Gradient and five iterations of CG, with the factors if there are any."""
    changes = {"preconditioner": preconditioner, "cg_max_steps": 5}
    agent, exact = (
        agent_of(shape, b, d, **changes) for b, d in ((backend, "float32"), ("portable", "float64"))
    )
    assert relative_error(agent.theory.solve()[0], exact.theory.solve()[0]) < 10 * TOLERANCE
    benchmark(agent.theory.solve)


@pytest.mark.parametrize("rows", [1, 8, 256])
def test_predict_rows(benchmark, agent, shape, rows):
    benchmark(agent.predict, random_batch(shape, T * E).obs[:rows], True)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("critic", ["kfac", "gauss_newton", "adam", "ridge"])
def test_update(benchmark, shape, backend, critic):
    """A complete update of policy and critic on a recorded rollout."""
    epochs = 10 if critic == "adam" else 1
    settings = replace(shape.settings(T * E, E, seed=1), critic=critic, n_critic_updates=epochs)
    agent, flags = make_agent(settings, backend, "float32"), np.zeros(E, bool)

    def record():
        draw = np.random.default_rng(2)
        for _ in range(T):
            obs = draw.normal(size=(E, shape.obs_size))
            act = agent.act(obs)[0]
            agent.push(np.tanh(obs[:, 0]) + 0.1 * act[:, 0], flags, flags, obs)

    record()
    assert agent.update()["outcome"] == 0
    benchmark.pedantic(agent.update, setup=record, rounds=10, warmup_rounds=1)
