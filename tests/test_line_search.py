"""Backtracking on functions with known values."""

from __future__ import annotations

import math
from itertools import accumulate, repeat
from operator import mul

import numpy as np
import pytest
from tables import table

THETA, STEP = np.array([0.1, -0.2, 0.3]), np.array([1.0, 2.0, -3.0])


@pytest.fixture
def search(implementation):
    """A function that runs line_search on given (surrogate, KL) pairs: (result, thetas tried)."""

    def run(
        values,
        surr_old=0.0,
        target_kl=0.01,
        shrink=0.5,
        max_trials=None,
        step=STEP,
        acceptance="improvement",
    ):
        tried, remaining = [], iter(values)

        def evaluate(theta):
            tried.append(theta.copy())
            return next(remaining)

        max_trials = max_trials or len(values)
        found = implementation.stages.line_search(
            evaluate, THETA, step, surr_old, target_kl, shrink, max_trials, acceptance
        )
        return found, tried

    return run


def test_accepts_the_first_step_that_satisfies_both(search):
    values = [(9.0, 0.02), (-1.0, 0.001), (0.5, 0.005), (9.0, 0.0)]
    (theta, rejected, trials, surr, kl), tried = search(values)
    assert (rejected, trials, surr, kl) == ("", 3, 0.5, 0.005)
    expected = [THETA + STEP * 0.5**j for j in range(3)]
    np.testing.assert_allclose(tried, expected, rtol=1e-15)
    assert np.array_equal(theta, tried[-1])


def test_trials_have_the_same_bits_everywhere(search):
    """The factor is a product, as powers depend on the C library."""
    _, tried = search([(-1.0, 0.001)] * 12, shrink=0.8)
    factors = accumulate(repeat(0.8, 11), mul, initial=1.0)
    assert np.array_equal(tried, [THETA + factor * STEP for factor in factors])


def test_accepts_the_full_step_if_possible(search):
    (theta, rejected, trials, _, _), tried = search([(1.0, 0.01)])
    assert (rejected, trials) == ("", 1)
    assert np.array_equal(theta, THETA + STEP)
    assert len(tried) == 1


@table(
    ("refused", "why"),
    [
        ((1.0, 0.010001), "kl"),
        ((-1.0, 0.010001), "kl"),
        ((0.0, 0.001), "improvement"),
        ((-1e-9, 0.0), "improvement"),
        ((math.nan, 0.0), "not finite"),
        ((1.0, math.nan), "not finite"),
        ((9.0, math.inf), "not finite"),
        ((math.inf, 0.0), "not finite"),
    ],
)
def test_rejects_steps_too_far_or_without_improvement(search, refused, why):
    """The KL may equal its limit; the surrogate must exceed the old one; both must be finite."""
    (theta, rejected, trials, _, _), _ = search([refused] * 4)
    assert (rejected, trials) == (why, 4)
    assert theta.tobytes() == THETA.tobytes()


def test_improvement_is_relative_to_the_old_surrogate(search):
    values = [(4.9, 0.0), (5.1, 0.0)]
    (_, rejected, trials, surr, _), _ = search(values, surr_old=5.0)
    assert (rejected, trials, surr) == ("", 2, 5.1)


def test_a_rejected_search_returns_a_copy(search):
    (theta, rejected, _, surr, kl), _ = search([(9.0, 0.0), (-1.0, 0.5)], surr_old=9.0)
    assert rejected == "kl"  # the last trial's reason, not the first's
    assert (surr, kl) == (-1.0, 0.5)
    theta[:] = 0
    assert THETA.any()


def test_each_trial_shrinks_by_the_factor(search):
    _, tried = search([(9.0, 1.0)] * 5, shrink=0.8)
    lengths = [np.linalg.norm(theta - THETA) for theta in tried]
    np.testing.assert_allclose(np.divide(lengths[1:], lengths[:-1]), 0.8, rtol=1e-12)


def test_infinite_parameters_are_rejected(search):
    huge = np.array([1e308, 0.0, 0.0])
    with np.errstate(over="ignore"):
        (theta, rejected, *_), _ = search([(9.0, 0.0)], step=np.array([np.inf, 0.0, 0.0]))
        assert rejected == "not finite"
        (_, rejected, *_), _ = search([(9.0, 0.0)], step=huge)
    assert rejected == ""
    assert theta.tobytes() == THETA.tobytes()


def test_acceptance_kl_checks_only_the_kl(search):
    values = [(9.0, 0.02), (-1.0, 0.01), (9.0, 0.001)]
    (_, rejected, trials, surr, kl), _ = search(values, acceptance="kl")
    assert (rejected, trials, surr, kl) == ("", 2, -1.0, 0.01)
    (_, rejected, trials, *_), _ = search([(9.0, 0.02)] * 3, acceptance="kl")
    assert (rejected, trials) == ("kl", 3)


def test_acceptance_always_tries_only_the_full_step(search):
    (theta, rejected, trials, surr, kl), tried = search([(-9.0, 50.0)] * 3, acceptance="always")
    assert (rejected, trials, surr, kl) == ("", 1, -9.0, 50.0)
    assert np.array_equal(theta, THETA + STEP)
    assert len(tried) == 1


@table("acceptance", ["improvement", "kl", "always"])
@table("answer", [(math.nan, 0.0), (1.0, math.nan), (math.inf, 0.0), (1.0, -math.inf)])
def test_no_rule_accepts_values_that_are_not_finite(search, acceptance, answer):
    (theta, rejected, trials, *_), _ = search([answer] * 3, acceptance=acceptance)
    assert (rejected, trials) == ("not finite", 1 if acceptance == "always" else 3)
    assert theta.tobytes() == THETA.tobytes()
