"""Checks of the mathematics: compare the current backend with slow formulas and dense algebra, in
float64. Each returns what it compared with, the largest error, and its tolerance.
"""

from __future__ import annotations

import math

import numpy as np

from fasttrpo import theory
from fasttrpo.selftest import formulas
from fasttrpo.selftest.cases import Case, Kind, perturbed_agent, rollout_and_update
from fasttrpo.selftest.result import (
    DIFFERENCES,
    ROUNDING,
    SECOND_DIFFERENCES,
    SOLVED,
    Outcome,
    error,
)

# -- one distribution -----------------------------------------------------------------------------


def densities(case: Case) -> Outcome:
    """The log-probabilities of sampled actions, and surrogate and KL of trial parameters."""
    agent = perturbed_agent(case.kind.settings(n_envs=len(case.obs)))
    act, logp, _ = agent.act(case.obs, case.mask)
    trial = case.theta + 0.1 * case.direction
    surr, kl, _ = case.agent.theory.evaluate(trial)
    errors = (
        error(logp, case.policy.logp(agent.theta, case.obs, act)),
        error(1 + surr, 1 + case.surrogate(trial)),  # the gain itself may be close to 0
        error(kl, case.kl(trial)),
    )
    return Outcome("log-density, surrogate and KL by slow formulas", max(errors), ROUNDING)


def gradient(case: Case) -> Outcome:
    """The surrogate's gradient g."""
    expected = formulas.differences(case.surrogate, case.theta, 1e-4)
    what = "finite differences of the surrogate"
    return Outcome(what, error(case.agent.theory.gradient(), expected), DIFFERENCES)


def fisher(case: Case) -> Outcome:
    """The Fisher product F v, for every unit vector v."""
    F = formulas.matrix(case.agent.theory.fisher_product, case.theta.size)
    return Outcome("dense Hessian of the KL by differences", error(F, case.fisher), DIFFERENCES)


def kl_hessian(case: Case) -> Outcome:
    """The curvature v'Fv of the KL that the line search measures."""
    v, h = case.direction, 1e-4
    kl = [case.agent.theory.evaluate(case.theta + sign * h * v)[1] for sign in (1, -1)]
    curvature = v @ case.agent.theory.fisher_product(v)
    what = "second difference of the line search's KL"
    return Outcome(what, error(sum(kl) / h**2, curvature), SECOND_DIFFERENCES)


def conjugate_gradient(kind: Kind) -> Outcome:
    """x = (F + damping I)^-1 g, with and without K-FAC."""
    errors = []
    for preconditioner in ("kfac", "none"):
        case = Case(kind, cg_max_steps=300, cg_tolerance=1e-12, preconditioner=preconditioner)
        x, _ = case.agent.theory.solve()
        H = formulas.matrix(case.agent.theory.fisher_product, case.theta.size)
        H += case.settings.cg_damping * np.eye(len(H))
        errors.append(error(x, np.linalg.solve(H, case.agent.theory.gradient())))
    return Outcome("dense solution, with and without K-FAC", max(errors), SOLVED)


def update(kind: Kind) -> Outcome:
    """A complete update: its KL is that of its step, and within the trust region."""
    s = kind.settings(n_envs=4)
    agent = perturbed_agent(s)
    before = agent.theta
    record, obs, mask = rollout_and_update(agent, kind, s)
    taken = record["outcome"] == 0 and record["surr_gain"] > 0 and record["kl"] <= s.target_kl
    expected = kind.policy(mask).kl(before, agent.theta, obs)
    what = "KL of its step by the slow formula; within the trust region"
    return Outcome(what, error(record["kl"], expected) if taken else math.inf, SOLVED)


# -- any distribution -----------------------------------------------------------------------------


def critic(kind: Kind) -> Outcome:
    """The gradient of 1/2 mean (V - ret)^2, and the Gauss-Newton product J'J v / N."""
    case = Case(kind)
    theta = case.agent.value_theta
    J = formulas.derivative(case.values, theta)
    product = formulas.matrix(case.agent.theory.value_product, theta.size)
    errors = (
        error(case.agent.theory.value_gradient(), J.T @ (case.values(theta) - case.ret) / len(J)),
        error(product, J.T @ J / len(J)),
    )
    return Outcome("dense Jacobian of the values", max(errors), ROUNDING)


def rejected_step() -> Outcome:
    """A line search without an acceptable step returns the old parameters, bit for bit."""
    theta, step = np.random.default_rng(0).normal(size=(2, 50))
    found = theory.line_search(lambda trial: (-1.0, 1.0), theta, step, 0.0)
    same = not found.accepted and found.theta.tobytes() == theta.tobytes()
    return Outcome("the parameters before it", 0.0 if same else math.inf, 0.0)


def gae() -> Outcome:
    """Advantages and returns, with terminated and truncated episodes."""
    draw, shape = np.random.default_rng(2), (60, 4)
    rew, val, final = draw.normal(size=(3, *shape))
    term, trunc = draw.random((2, *shape)) < 0.1
    adv, ret = theory.gae(rew, val, term, trunc, final, 0.97, 0.9)
    boot = np.where(term, 0.0, final)
    expected = formulas.gae(rew, val, boot, term | trunc, np.zeros(shape, bool), 0.97, 0.9)
    errors = error(adv, expected), error(ret, expected + val)
    return Outcome("the sum over all later steps, O(T^2)", max(errors), ROUNDING)
