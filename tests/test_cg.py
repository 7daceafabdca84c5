"""Conjugate gradient on dense matrices and on the policy's products."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import reference
from agents import every_distribution, loaded, settings
from tables import table
from tolerances import SOLVED, assert_close

SIZE = 20


@pytest.fixture
def cg(implementation):
    return implementation.stages.conjugate_gradient


@pytest.fixture
def system():
    """A symmetric positive definite H, a right-hand side, and a positive diagonal."""
    draw = np.random.default_rng(4)
    root = draw.normal(size=(SIZE, SIZE))
    H = root @ root.T / SIZE + np.eye(SIZE)
    return H, draw.normal(size=SIZE), draw.uniform(0.5, 2, size=SIZE)


@table("preconditioned", [False, True])
def test_solves_a_dense_system(cg, system, preconditioned):
    H, g, scale = system
    given = g.copy()
    x, steps, residual, curvature = cg(
        lambda p: H @ p, given, 200, 1e-13, (lambda r: r / scale) if preconditioned else None
    )
    assert_close(x, np.linalg.solve(H, g), SOLVED)
    assert curvature == pytest.approx(x @ H @ x, rel=SOLVED)
    assert np.array_equal(given, g)
    assert steps <= 2 * SIZE
    assert residual <= 1e-13


@table("steps", [1, 2, 5])
def test_each_step_is_optimal_in_its_krylov_space(cg, system, steps):
    H, g, scale = system
    x, taken, residual, curvature = cg(lambda p: H @ p, g, steps, 0.0, lambda r: r / scale)
    expected = reference.krylov_solution(H, g, np.diag(scale), steps)
    assert taken == steps
    assert_close(x, expected, SOLVED)
    r = g - H @ expected
    assert residual == pytest.approx(np.sqrt((r @ (r / scale)) / (g @ (g / scale))), rel=1e-6)
    assert curvature == pytest.approx(x @ (g - r), rel=SOLVED)


def test_each_step_takes_one_product(cg, system):
    H, g, _ = system
    directions = []

    def product(p):
        directions.append(p.copy())
        return H @ p

    _, steps, _, _ = cg(product, g, 7, 0.0)
    assert len(directions) == steps == 7
    for p, q in pairwise(directions):
        assert abs(p @ H @ q) < SOLVED * (p @ H @ p)  # conjugate


def test_tolerance_is_relative(cg, system):
    H, g, _ = system
    found = [cg(lambda p: H @ p, scale * g, 100, 1e-3) for scale in (1e-12, 1.0, 1e12)]
    assert len({steps for _, steps, _, _ in found}) == 1
    x, steps, residual, _ = found[1]
    assert 1 < steps < SIZE
    r = g - H @ x
    assert residual == pytest.approx(np.sqrt(r @ r / (g @ g)), rel=1e-6)
    before = cg(lambda p: H @ p, g, steps - 1, 1e-3)
    assert residual <= 1e-3 < before[2]


@table("preconditioned", [False, True])
def test_a_multiple_of_the_preconditioner_takes_one_step(cg, system, preconditioned):
    _, g, scale = system
    m, precondition = (scale, lambda r: r / scale) if preconditioned else (1.0, None)
    x, steps, _, _ = cg(lambda p: 3 * m * p, g, 10, 1e-10, precondition)
    assert steps == 1
    assert_close(x, g / (3 * m), SOLVED)


@table("matrix", [-np.eye(3), np.zeros((3, 3)), np.full((3, 3), np.nan)])
def test_stops_before_a_direction_without_curvature(cg, matrix):
    x, steps, residual, curvature = cg(lambda p: matrix @ p, np.ones(3), 5, 1e-5)
    assert not x.any()
    assert (steps, residual, curvature) == (0, 1.0, 0.0)


def test_keeps_the_solution_so_far_when_curvature_ends(cg):
    """H = diag(1, 2, -3) is positive along the first direction only."""
    H, g = np.diag([1.0, 2.0, -3.0]), np.array([1.0, 1.0, 0.3])
    x, steps, _, curvature = cg(lambda p: H @ p, g, 10, 1e-10)
    assert steps == 1
    assert_close(x, g * (g @ g) / (g @ H @ g), SOLVED)
    assert curvature == pytest.approx(x @ H @ x)


def test_a_zero_right_hand_side_takes_no_step(cg):
    x, steps, _, curvature = cg(lambda p: p, np.zeros(3), 5, 1e-5)
    assert not x.any()
    assert (steps, curvature) == (0, 0)


# -- on the policy's products ----------------------------------------------------------------------


@every_distribution
@table("kind", ["kfac", "none"])
@table("k", [1, 3])
def test_solve_reaches_the_dense_natural_gradient(implementation, distribution, kind, k):
    s = settings(
        distribution=distribution,
        preconditioner=kind,
        cg_max_steps=500,
        cg_tolerance=1e-12,
        sub_sampling_factor=k,
    )
    agent, batch = loaded(implementation, s)
    F = reference.dense_policy(s).fisher(agent.theta, batch.obs[::k])
    H = F + s.cg_damping * np.eye(len(F))
    x, info = agent.theory.solve()
    assert_close(x, np.linalg.solve(H, agent.theory.gradient()), SOLVED)
    assert info["curvature"] == pytest.approx(x @ H @ x, rel=SOLVED)


@pytest.mark.parametrize("kind", ["kfac", "none"])
def test_solve_stops_after_cg_max_steps(implementation, kind):
    s = settings(preconditioner=kind, cg_max_steps=3, cg_tolerance=0.0)
    agent, batch = loaded(implementation, s)
    F = reference.dense_policy(s).fisher(agent.theta, batch.obs)
    H, M = F + s.cg_damping * np.eye(len(F)), np.eye(len(F))
    if kind == "kfac":
        M = np.linalg.inv(reference.matrix(agent.theory.precondition, len(F)))
    x, info = agent.theory.solve()
    assert_close(x, reference.krylov_solution(H, agent.theory.gradient(), M, 3), SOLVED)
    assert info["cg_steps"] == 3


def test_linear_gaussian_is_exact_after_one_step(implementation):
    s = settings((), n_steps=700, cg_max_steps=10)
    agent, batch = loaded(implementation, s, 700)
    F = reference.dense_policy(s).fisher(agent.theta, batch.obs)
    x, info = agent.theory.solve()
    assert info["cg_steps"] == 1
    exact = np.linalg.solve(F + s.cg_damping * np.eye(len(F)), agent.theory.gradient())
    assert_close(x, exact, SOLVED)
