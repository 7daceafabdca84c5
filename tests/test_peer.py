"""The policy step against sb3-contrib's, on recorded batches.

``make_peer_steps.py`` describes ``data/*.npz`` and how the two are made comparable. The last tests
run the peer where it is installed (``pip install 'fasttrpo[peer]'``).
"""

import os
from pathlib import Path

import make_peer_steps as peer
import numpy as np
import pytest
from tables import table

from fasttrpo.core.backend import make_agent
from fasttrpo.settings.agent import AgentSettings

DATA = Path(__file__).parent / "data"
GAUSSIAN = ("halfcheetah", "hopper")
DTYPES = ("float32", "float64")
# Relative to the peer's float64 step. In float32, rounding of the Fisher products is amplified
# by 15 iterations of CG; the peer's own float32 runs are 0.5e-4 to 7e-4 away, see
# peer_stock_difference.
STEP_TOLERANCE = {"float32": 1e-3, "float64": 1e-5}


@pytest.fixture
def backend():
    return os.environ.get("FASTTRPO_BACKEND")


@pytest.fixture(scope="module")
def batches():
    """{name: recorded batch}, each a dict of arrays."""
    loaded = {}
    for name in peer.NAMES:
        with np.load(DATA / f"{name}.npz") as file:
            loaded[name] = dict(file)
    return loaded


def agent_settings(batch, **changes):
    """Settings for the batch's policy, with the peer's trust region in this library's summed KL."""
    n_outputs, dims = int(batch["n_outputs"]), peer.kl_dims(batch)
    is_gaussian = bool(batch["is_gaussian"])
    values = {
        "obs_size": batch["obs"].shape[1],
        "distribution": "gaussian" if is_gaussian else "categorical",
        "parts": (1,) * n_outputs if is_gaussian else (n_outputs,),
        "policy_hidden": tuple(map(int, batch["policy_hidden"])),
        "value_hidden": tuple(map(int, batch["value_hidden"])),
        "n_steps": peer.STEPS,
        "n_envs": peer.ENVS,
        "target_kl": dims * float(batch["peer_target_kl"]),
        "cg_damping": dims * float(batch["peer_cg_damping"]),
        "cg_max_steps": int(batch["peer_cg_max_steps"]),
        "cg_tolerance": 1e-12,
        "preconditioner": "none",
    }
    return AgentSettings(**(values | changes))


def loaded_agent(batch, backend, dtype, **changes):
    """An agent with the batch's policy and the batch loaded."""
    agent = make_agent(agent_settings(batch, **changes), backend, dtype)
    agent.theta = batch["theta"].astype(np.float64)
    adv, logp = peer.normalized_advantages(batch), batch["log_probs"].astype(np.float64)
    agent.theory.load_batch(batch["obs"], batch["actions"], adv, None, logp)
    return agent


def policy_step(agent, target_kl):
    """The full step beta x, beta = sqrt(2 target_kl / x'Hx)."""
    x, info = agent.theory.solve()
    return np.sqrt(2.0 * target_kl / info["curvature"]) * x


@table("dtype", DTYPES)
@table("name", peer.NAMES)
def test_the_step_equals_that_of_the_peer(batches, name, dtype, backend):
    batch = batches[name]
    agent = loaded_agent(batch, backend, dtype)
    step = policy_step(agent, agent_settings(batch).target_kl)
    assert peer.relative_difference(step, batch["peer_step"]) <= STEP_TOLERANCE[dtype]


@table("dtype", DTYPES)
@table("name", peer.NAMES)
def test_the_step_of_the_peer_passes_our_line_search(batches, name, dtype, backend):
    batch = batches[name]
    agent = loaded_agent(batch, backend, dtype)
    surr, kl, _ = agent.theory.evaluate(batch["theta"] + batch["peer_step"].astype(np.float64))
    assert batch["peer_backtracks"] == 0
    # the surrogate's batch mean starts from 0, the mean of the normalised advantages
    assert surr == pytest.approx(float(batch["peer_surr"]), rel=1e-3)
    assert 0 < kl <= agent_settings(batch).target_kl
    # KL(old || new) here, KL(new || old) there: equal up to third order in the step
    assert kl == pytest.approx(peer.kl_dims(batch) * float(batch["peer_kl"]), rel=0.1)


def gain(agent, x, damping):
    """g'x / sqrt(x'Hx): the improvement predicted at equal (damped) KL, H = F + damping I."""
    return agent.theory.gradient() @ x / np.sqrt(x @ (agent.theory.fisher_product(x) + damping * x))


def gain_of(batch, backend, dtype, **changes):
    """The gain of CG's direction with these settings."""
    settings = agent_settings(batch, **changes)
    agent = loaded_agent(batch, backend, dtype, **changes)
    x, info = agent.theory.solve()
    assert info["cg_steps"] == settings.cg_max_steps
    return gain(agent, x, settings.cg_damping)


# Damping with the KL summed over action dimensions. As fractions of the exact solution's gain,
# HalfCheetah / Hopper: 5 K-FAC iterations reach 0.92 / 0.94 at damping 0.01, where 15 plain ones
# reach 0.79 / 0.85; and 0.976 / 0.977 at 0.1, where 10 plain ones reach 0.908 / 0.954.
AT_LEAST = [
    (0.01, 15),
    (0.1, 10),
    pytest.param(
        0.1,
        15,
        marks=pytest.mark.xfail(
            strict=True,
            reason="15 plain iterations reach 0.979 / 0.992 at damping 0.1; on Hopper even exact "
            "inverses of the layers' diagonal blocks reach only 0.989 in 5",
        ),
    ),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", GAUSSIAN)
@pytest.mark.parametrize(("damping", "plain_steps"), AT_LEAST)
def test_five_preconditioned_iterations_gain_at_least_as_much_as_plain_ones(
    batches, name, dtype, backend, damping, plain_steps
):
    def of(preconditioner, n_steps):
        return gain_of(
            batches[name],
            backend,
            dtype,
            cg_damping=damping,
            preconditioner=preconditioner,
            cg_max_steps=n_steps,
        )

    assert of("kfac", 5) >= of("none", plain_steps)


@pytest.mark.parametrize("name", peer.NAMES)
def test_the_peer_repeats_its_recorded_step(batches, name):
    pytest.importorskip("sb3_contrib")
    again = peer.peer_step(batches[name])
    assert again["peer_accepted"]
    assert peer.relative_difference(again["peer_step"], batches[name]["peer_step"]) <= 1e-5


@pytest.mark.parametrize("name", peer.NAMES)
def test_the_unmodified_peer_takes_the_recorded_step_up_to_rounding(batches, name):
    pytest.importorskip("sb3_contrib")
    # 0.5e-4 to 2e-3 over 20 seeds
    stock = peer.stock_step(batches[name], seed=0)
    assert peer.relative_difference(stock, batches[name]["peer_step"]) <= 5e-3
